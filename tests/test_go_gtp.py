"""GTP: GNU Go as a true opponent, and small programs that do what no program should."""

import os
import re
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from sparring.envs.errors import BadInputError
from sparring.envs.go import child, sgf
from sparring.envs.go.coordinates import from_vertex
from sparring.envs.go.gtp import GtpError, Program, RefusedError
from sparring.envs.go.record import Game, Ply

FAKE = """
import os, subprocess, sys, time

KNOWN = {"name": "Fake", "version": "1.0", "protocol_version": "2", "list_commands": "name\\nplay", "boardsize": ""}

def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def other(number, *words):
    say(f"={number} D4\\n\\n")

with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
#BODY
for line in sys.stdin:
    words = line.split()
    number = words.pop(0) if words[0].isdigit() else ""
    if words[0] == "quit":
        break
    if words[0] in KNOWN:
        say(f"={number} {KNOWN[words[0]]}\\n\\n")
    else:
        other(number, *words)
"""


def answers(text):
    """A body that answers so; N is the command's number."""
    return f"def other(number, *words): say({text!r}.replace('N', number))"


def does(*statements):
    """A body that does so where an answer is due."""
    return "\n    ".join(["def other(number, *words):", *statements])


@pytest.fixture
def fake(tmp_path):
    """The command line of a program that behaves but for what `body` says."""

    def write(body=""):
        script = tmp_path / "a fake.py"
        script.write_text(FAKE.replace("#BODY", body))
        return shlex.join([sys.executable, "-I", "-S", str(script), str(tmp_path / "pid")])

    return write


@pytest.fixture
def opened(fake):
    """A function that opens such a program, with a board of nine lines."""
    programs = []

    def start(body="", **options):
        programs.append(Program(fake(body), **{"timeout": 20.0, **options}))
        programs[-1].boardsize((9, 9))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


@pytest.fixture
def pid(tmp_path):
    """A function that tells the number of the process that was started last."""
    return lambda: int((tmp_path / "pid").read_text())


def collected(pid):
    """Whether a child of ours is gone, and no zombie."""
    return not Path(f"/proc/{pid}").exists()


def dead(pid):
    """Whether somebody else's child does nothing any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# What a program says


@pytest.mark.parametrize(
    ("said", "move"),
    [
        ("=N D4\n\n", 48),
        ("=N\tD4 \n\n", 48),
        ("=N d4\r\n\r\n", 48),
        ("= D4\n\n", 48),
        ("=D4\n\n", 48),
        ("\n\n\n=N D4\n\n", 48),
        ("=N A9\n\n", 0),
        ("=N J1\n\n\n", 80),
        ("=N pass\n\n", 81),
        ("=N PASS\n\n", 81),
        ("=N resign\n\n", None),
        ("=N Resign\n\n", None),
    ],
)
def test_an_answer_is_a_move_a_pass_or_resigning(opened, said, move):
    program = opened(answers(said))
    assert [program.genmove("B"), program.genmove("W")] == [move, move]


def test_an_answer_may_have_several_lines_or_none(opened):
    assert opened(answers("=N one\n two\nthree\n\n")).send("help") == "one\n two\nthree"
    assert opened(answers("=N\n\n")).send("help") == ""


def test_an_answer_may_come_in_pieces(opened):
    program = opened(does("for part in f'={number} D4\\n\\n':", "    say(part)", "    time.sleep(0.002)"))
    assert program.genmove("B") == 48


def test_what_is_asked_is_what_the_protocol_says(opened):
    program = opened(does("say(f'={number} {words}\\n\\n')"))
    assert program.send("play b D4") == "('play', 'b', 'D4')"
    asked = []
    program.send = asked.append
    program.play("B", 48)
    program.play("W", 81)
    program.komi(7)
    program.komi(-0.5)
    program.clear_board()
    program.undo()
    program.boardsize((5, 5))
    program.play("W", 24)
    assert asked == [
        "play black D4",
        "play white pass",
        "komi 7",
        "komi -0.5",
        "clear_board",
        "undo",
        "boardsize 5",
        "play white E1",
    ]


def test_commands_are_numbered_unless_the_program_knows_no_numbers(opened):
    body = does("say(f'= number {number}\\n\\n')")
    assert opened(body).send("x") == "number 6"  # after name, version, protocol_version, list_commands, boardsize
    assert opened(body, ids=False).send("x") == "number"
    assert opened(answers("=5\n\n"), ids=False).send("x") == "5"


def test_a_program_tells_its_name_its_version_and_its_commands(opened):
    program = opened()
    assert (program.name, program.version, program.commands) == ("Fake", "1.0", {"name", "play"})


def test_points_are_read_from_a_list(opened):
    assert opened(answers("=N A9 J1\nd4\n\n")).all_legal("B") == {0, 80, 48}
    assert opened(answers("=N\n\n")).all_legal("B") == frozenset()


@pytest.mark.parametrize(
    ("said", "score"),
    [("B+3.5", 3.5), ("W+12", -12.0), ("0", 0.0), ("W+0", 0.0), ("B+2.0 (upper bound: 3.0, lower: 1.0)", 2.0)],
)
def test_a_score_is_blacks_less_whites(opened, said, score):
    assert opened(answers(f"=N {said}\n\n")).final_score() == score


@pytest.mark.parametrize("said", ["?", "B+R", "Jigo", "", "B+3.5e7", "00"])
def test_what_is_no_score_is_told(opened, said):
    what = f"asked 'final_score', answered {said!r}, which is no score such as B+3.5"
    with pytest.raises(GtpError, match=re.escape(what)):
        opened(answers(f"=N {said}\n\n")).final_score()


@pytest.mark.parametrize(
    ("said", "why"),
    [("K5", "'K5' is not on the board of 9 rows and 9 columns"), ("", "'' is no vertex"), ("D4 D5", "is no vertex")],
)
def test_a_move_that_is_none_is_told_and_the_program_goes_on(opened, said, why):
    program = opened(answers(f"=N {said}\n\n"))
    with pytest.raises(GtpError, match=f"asked 'genmove white', answered what is no move: .*{why}"):
        program.genmove("W")
    assert program.send("name") == "Fake"


def test_a_command_that_is_refused_is_told_and_the_program_goes_on(opened):
    program = opened(answers("?N illegal move\n\n"))
    with pytest.raises(RefusedError, match=r"a fake\.py' .*, asked 'play black E5', refused: illegal move$"):
        program.play("B", 40)
    assert program.send("name") == "Fake"


def test_a_program_may_write_a_megabyte_to_stderr(opened):
    program = opened(does("sys.stderr.write('x' * 1_000_000)", "say(f'={number} D4\\n\\n')"))
    assert program.genmove("B") == 48


# What a program should not do

HANG = "time.sleep(600)"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            does("sys.stderr.write('out of paper\\n')", "sys.exit(3)"),
            "ended with exit code 3; its last words on stderr ",
        ),
        (does("sys.stderr.write('out of paper\\n')", "sys.exit(3)"), "were:\nout of paper"),
        (does("sys.exit(0)"), "ended with exit code 0"),
        (does("say('= D')", "sys.exit(0)"), "ended with exit code 0"),
        (does("os.kill(os.getpid(), 9)"), "was killed by signal 9 (Killed)"),
        (does("raise ValueError('no such point')"), "ValueError: no such point"),
        (does("os.close(1)", HANG), "closed a pipe and went on"),
        (does(HANG), "did not answer within 0.5 seconds"),
        (does("say('= D4\\n')", HANG), "did not answer within 0.5 seconds"),
        (does("while True: say('\\n' * 1000)"), "did not answer within 0.5 seconds"),
        (does("while True: sys.stderr.write('x' * 1000)"), "did not answer within 0.5 seconds"),
        (does("while True: say('=' + 'x' * 10_000)"), "answered more than 1,000,000 bytes"),
        (answers("D4\n\n"), "answered 'D4'; an answer begins with = or ?, and stdout is for answers only"),
        (answers("thinking ...\n=N D4\n\n"), "answered 'thinking ...'; an answer begins with"),
        (answers(" =N D4\n\n"), "answered ' =N D4'; an answer begins with".replace("N", "6")),
        (does("os.write(1, b'\\xff\\x00\\n\\n')"), "answered '\ufffd\\x00'; an answer begins with"),
        (answers("=77 D4\n\n"), "answered command '77' instead of 6; it answers twice, or knows no numbers and needs"),
        (answers("?77 no\n\n"), "answered command '77' instead of 6"),
    ],
)
def test_a_program_that_does_not_answer_is_ended_and_told_of(opened, pid, body, why):
    program = opened(body)
    program.timeout = 0.5 if "within" in why else 20.0  # it has more to start
    before = time.monotonic()
    with pytest.raises(GtpError, match=r"a fake\.py' .*, asked 'genmove black', ") as error:
        program.genmove("B")
    assert time.monotonic() - before < 15  # half a second, one of grace, and what a busy machine adds
    assert why in str(error.value)
    assert not isinstance(error.value, RefusedError)
    assert collected(pid())
    with pytest.raises(GtpError, match="asked 'name', had been closed before"):
        program.send("name")


def test_an_answer_too_many_is_noticed_before_the_next_command(opened, pid):
    program = opened(answers("=N D4\n\n=N E5\n\n"))
    assert program.genmove("B") == 48
    with pytest.raises(GtpError, match="asked 'genmove white', had said '=6 E5' without being asked"):
        program.genmove("W")
    assert collected(pid())


def test_a_program_that_ended_between_two_commands_is_told_of(opened, pid):
    program = opened(does("say(f'={number}\\n\\n')", "sys.exit(4)"))
    program.clear_board()
    time.sleep(0.3)
    with pytest.raises(GtpError, match="asked 'genmove black', ended with exit code 4"):
        program.genmove("B")
    assert collected(pid())


def test_a_process_that_does_not_read_makes_nobody_wait():
    process = child.Child("sleep 600")

    def fill():
        for _ in range(1000):
            process.write("x" * 4000)

    with pytest.raises(child.Lost, match="reads nothing"):
        fill()
    assert process.end() == "closed a pipe and went on"


def test_an_interrupted_answer_ends_the_program(opened, pid):
    program = opened(does(HANG))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            program.genmove("B")
    finally:
        signal.signal(signal.SIGINT, before)
    assert collected(pid())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("sys.exit('no weights')", "asked 'name', ended with exit code 1; its last words on stderr were:\nno weights"),
        (
            "KNOWN['protocol_version'] = '1'",
            "asked 'protocol_version', speaks version '1' of the protocol; it must be 2",
        ),
        ("del KNOWN['version']\n" + answers("?N unknown\n\n"), "asked 'version', refused: unknown"),
        ("say('Welcome!\\n')", "'Welcome!'"),
    ],
)
def test_a_program_that_does_not_introduce_itself_is_ended_and_told_of(fake, pid, body, why):
    with pytest.raises(GtpError) as error:
        Program(fake(body), timeout=20.0)
    assert why in str(error.value)
    assert collected(pid())


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("cat", "cat, asked 'name', answered '1 name'; an answer begins with = or ?"),
        ("sleep 600", "sleep 600, asked 'name', did not answer within 0.3 seconds"),
        ("true", "true, asked 'name', ended with exit code 0"),
        ("no-such-program --gtp", "'no-such-program' cannot be started ([Errno 2] No such file or directory"),
        ("/", "'/' cannot be started ([Errno 13] Permission denied"),
        ("a\0b", "cannot be started (embedded null byte)"),
        ("gnugo 'level", '"gnugo \'level" is no command line: No closing quotation'),
        ("  ", "the command line is empty; an example is 'gnugo --mode gtp'"),
    ],
)
def test_what_is_no_program_of_go_is_told(command, why):
    with pytest.raises(BadInputError, match=re.escape(why)):
        Program(command, timeout=0.3)


# What we should not ask


@pytest.mark.parametrize("command", ["", "play b D4\nquit", "name\r", "name # who", "a\0", "x" * 4001, "\ud800"])
def test_what_is_no_line_is_not_sent(opened, command):
    program = opened()
    with pytest.raises(BadInputError, match="is no command; one is a line of at most 4000 bytes without '#'"):
        program.send(command)
    assert program.send("name") == "Fake"


def test_only_square_boards_are_played(opened):
    program = opened()
    with pytest.raises(BadInputError, match="GTP knows square boards only, and this one has 9 rows and 7 columns"):
        program.boardsize((9, 7))
    with pytest.raises(BadInputError, match="there is no board of 20 rows and 20 columns"):
        program.boardsize((20, 20))


def test_a_board_that_is_refused_is_not_taken(opened):
    body = "del KNOWN['boardsize']\nsigns = iter('=?=')\n" + does("say(next(signs) + number + '\\n\\n')")
    program = opened(body)
    with pytest.raises(RefusedError, match="asked 'boardsize 5', refused"):
        program.boardsize((5, 5))
    program.play("B", 80)  # J1, which five lines do not have


def test_a_game_needs_a_board(fake):
    with Program(fake()) as program, pytest.raises(BadInputError, match="has no board yet; call boardsize first"):
        program.genmove("B")


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda program: program.komi(float("nan")), "komi is nan; it must be a finite number"),
        (lambda program: program.play("black", 0), "the colour is 'black'; there are B and W"),
        (lambda program: program.play("B", 82), "82 is no move on the board of 9 rows and 9 columns"),
    ],
)
def test_what_cannot_be_is_not_asked(opened, ask, why):
    with pytest.raises(BadInputError, match=why):
        ask(opened())


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_positive_number_of_seconds(timeout):
    with pytest.raises(BadInputError, match=rf"timeout is {timeout}; it must be above 0 and at most 1e\+06 seconds"):
        Program("true", timeout=timeout)


# Its end


def test_a_program_ends_with_the_block_and_leaves_nothing(fake, pid):
    before = sorted(os.listdir("/proc/self/fd"))
    with Program(fake()) as program:
        assert not collected(pid())
    assert collected(pid())
    assert sorted(os.listdir("/proc/self/fd")) == before
    program.close()


def test_a_program_that_will_not_quit_is_killed_with_all_that_it_started(opened, pid, tmp_path):
    sleeper = f"[sys.executable, '-c', {HANG!r}.join(['import time; ', ''])]"
    body = f"other_pid = subprocess.Popen({sleeper}).pid\n"
    program = opened(body + does("say(f'={number} {other_pid}\\n\\n')", HANG))
    grandchild = int(program.send("who"))
    assert not dead(grandchild)
    before = time.monotonic()
    program.close()
    assert time.monotonic() - before < 5
    assert collected(pid())
    while not dead(grandchild):  # the test's own time limit ends it
        time.sleep(0.01)


# GNU Go

RULES = "--mode gtp --chinese-rules --positional-superko --forbid-suicide --capture-all-dead --level 1 --never-resign"


@pytest.fixture
def program(gnu_go):
    with Program(f"{gnu_go} {RULES}") as program:
        program.boardsize((9, 9))
        program.clear_board()
        program.komi(7.0)
        yield program


def stones(program, colour, size):
    return {from_vertex(name, size) for name in program.send(f"list_stones {colour}").split()}


def test_gnu_go_introduces_itself(program):
    assert program.name == "GNU Go"
    assert {"genmove", "play", "undo", "final_score", "all_legal"} <= program.commands


def test_gnu_go_puts_a_stone_where_we_say(program):
    program.play("B", 2 * 9 + 8)
    assert program.send("list_stones black") == "J7"
    assert program.all_legal("W") == set(range(81)) - {26}
    program.undo()
    assert program.all_legal("W") == set(range(81))


def test_gnu_go_refuses_what_is_illegal_and_goes_on(program):
    program.play("B", 40)
    with pytest.raises(RefusedError, match="asked 'play white E5', refused: illegal move"):
        program.play("W", 40)
    with pytest.raises(RefusedError, match="asked 'no_such_command', refused: unknown command"):
        program.send("no_such_command")
    assert stones(program, "black", (9, 9)) == {40}


def test_gnu_go_plays_a_game_against_itself_to_the_end(program):
    """On five lines Black opens in the centre and takes the whole board, which is the solved value."""
    program.boardsize((5, 5))
    program.clear_board()
    program.komi(0.5)
    moves = []
    while moves[-2:] != [25, 25]:
        legal = program.all_legal("BW"[len(moves) % 2])
        moves.append(program.genmove("BW"[len(moves) % 2]))
        assert moves[-1] in {*legal, 25}
    assert moves[0] == 12
    assert program.final_score() == 24.5


def test_gnu_go_sees_the_game_that_we_wrote(program, tmp_path):
    plies = (Ply("B", 40), Ply("W", 3), Ply("B", 81), Ply("W", 77, "a ] and a \\"))
    game = Game((9, 9), plies, komi=5.5, black_stones=(0, 8, 10), white_stones=(72,), comment="[;(B[aa\\]")
    sgf.save(game, tmp_path / "game.sgf")
    assert program.send(f"loadsgf {tmp_path / 'game.sgf'}") == "black"
    assert stones(program, "black", (9, 9)) == {0, 8, 10, 40}
    assert stones(program, "white", (9, 9)) == {72, 3, 77}
    assert float(program.send("get_komi")) == 5.5
