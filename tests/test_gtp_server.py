"""Our player as a GTP program: the protocol, every command, clocks, analysis; and a match between two of its kind."""

import io
import re
import shlex
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from sparring.agents.match import Searcher, by_playouts
from sparring.agents.mcts import Searching
from sparring.envs.errors import BadInputError
from sparring.envs.go import sgf
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.gtp import Program
from sparring.envs.go.rules import Rules
from sparring.runners.clocks import Clock
from sparring.runners.gtp import Server

RULES = Rules(7, 7, komi=7.0)


def server(simulations=10, rules=RULES, **options):
    player = Searcher(by_playouts, Searching("puct", simulations), nodes=30_000)
    return Server(player, rules, name="ours", version="1.0", simulations=simulations, **options)


@pytest.fixture
def talk():
    """A function that says lines to one server and returns its answers."""
    one = server()
    one.sink = io.StringIO()

    def say(*lines):
        one.sink.seek(0)
        one.sink.truncate()
        for line in lines:
            one.answer(line)
        return one.sink.getvalue()

    say.server = one
    return say


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("protocol_version", "= 2\n\n"),
        ("7 protocol_version", "=7 2\n\n"),
        ("name", "= ours\n\n"),
        ("version", "= 1.0\n\n"),
        ("known_command genmove", "= true\n\n"),
        ("known_command dance", "= false\n\n"),
        ("known_command", "= false\n\n"),
        ("12 komi 5.5", "=12\n\n"),
        ("boardsize 9", "? unacceptable size\n\n"),
        ("boardsize 7", "=\n\n"),
        ("boardsize seven", "? a whole number is wanted, at least 1, not 'seven'\n\n"),
        ("boardsize", "? a whole number is wanted, at least 1\n\n"),
        ("play black d4", "=\n\n"),
        ("play B D4 # a comment", "=\n\n"),
        ("play\tb\td4\r", "=\n\n"),
        ("play red d4", "? invalid color 'red'; black or white\n\n"),
        ("play black", "? a vertex is missing\n\n"),
        ("play", "? a color is missing\n\n"),
        ("play white pass", "=\n\n"),
        ("play white resign", "=\n\n"),
        ("komi", "? komi is missing\n\n"),
        ("komi nan", "? komi is a number of points, not 'nan'\n\n"),
        ("undo", "? cannot undo\n\n"),
        ("dance", "? unknown command\n\n"),
        ("3 dance", "?3 unknown command\n\n"),
        ("3", "?3 there is no command\n\n"),
        ("", ""),
        ("# nothing", ""),
        ("  \t ", ""),
        ("² name", "? unknown command\n\n"),
        ("9999999999999 name", "? unknown command\n\n"),
        ("final_status_list limbo", "? alive, dead or seki is wanted\n\n"),
        ("owners", "? this player has no opinion of owners\n\n"),
        ("loadsgf", "? a file is wanted: not enough values to unpack (expected at least 1, got 0)\n\n"),
        ("loadsgf 'half", "? a file is wanted: No closing quotation\n\n"),
        ("time_settings 1 2", "? main time, byo-yomi time and stones are wanted\n\n"),
        ("time_settings 1 x 2", "? 'x' is no number of seconds\n\n"),
        ("time_left black 3", "? a color, a time and stones are wanted\n\n"),
        ("fixed_handicap 5", "? invalid number of stones\n\n"),
        ("set_free_handicap d4", "? bad vertex list\n\n"),
        ("gogui-interrupt", "=\n\n"),
        ("stop", "=\n\n"),
        ("scoring_system", "= area\n\n"),
        ("gogui-analyze_commands", "=\n\n"),
    ],
)
def test_every_line_has_its_answer(talk, line, answer):
    assert talk(line) == answer


def test_all_commands_are_listed_and_known(talk):
    listed = talk("list_commands").removeprefix("= ").split()
    required = "protocol_version name version known_command list_commands quit boardsize clear_board komi play genmove"
    more = "fixed_handicap place_free_handicap set_free_handicap time_settings time_left final_score final_status_list"
    other = "undo showboard loadsgf reg_genmove gg-undo kgs-genmove_cleanup lz-analyze kata-analyze cputime"
    assert {*required.split(), *more.split(), *other.split()} <= {*listed}
    assert all(talk(f"known_command {name}") == "= true\n\n" for name in listed)


def test_stones_are_put_taken_back_and_refused(talk):
    talk("play b d4", "play w d5")
    assert talk("play b d5") == "? illegal move\n\n"
    assert talk.server.game.board.moves == [24, 17]
    assert talk("undo") == "=\n\n"
    assert talk.server.game.board.moves == [24]
    assert talk("gg-undo 2") == "? cannot undo\n\n"
    assert "(X)" in talk("showboard")
    talk("clear_board")
    assert talk.server.game.board.moves == []


def test_moves_out_of_turn_are_possible_and_undo_takes_back_what_was_given(talk):
    talk("play b d4", "play b e4", "play b c3")
    assert (talk.server.game.board.stones() == BLACK).sum() == 3
    assert talk("gg-undo 2") == "=\n\n"
    assert (talk.server.game.board.stones() == BLACK).sum() == 1
    talk("play w pass", "play b pass")
    assert talk.server.game.board.over == "passes"
    assert talk("play w a1") == "=\n\n"  # they go on
    assert talk.server.game.board.over == ""


def test_it_moves_and_its_move_stands(talk):
    answer = talk("genmove b")
    name = re.fullmatch(r"= ([A-HJ-T]\d+|pass)\n\n", answer)[1]
    assert talk.server.game.given[0][0] == BLACK
    assert len(talk.server.game.board.moves) == 1
    assert talk(f"play w {name}") == "? illegal move\n\n"
    assert re.fullmatch(r"= \S+\n\n", talk("reg_genmove w"))
    assert len(talk.server.game.board.moves) == 1
    assert re.fullmatch(r"= \S+\n\n", talk("genmove b"))  # twice running
    assert [colour for colour, _ in talk.server.game.given] == [BLACK, BLACK]


def test_it_gives_up_only_where_it_was_told_to():
    lost = server(20, Rules(3, 3, komi=20.0), resign=0.2)
    lost.sink = io.StringIO()
    lost.answer("genmove b")
    assert lost.sink.getvalue() == "= resign\n\n"
    proud = server(20, Rules(3, 3, komi=20.0))
    proud.sink = io.StringIO()
    proud.answer("genmove b")
    assert "resign" not in proud.sink.getvalue()


def test_the_score_is_the_boards(talk):
    assert talk("final_score") == "= W+7\n\n"
    talk("play b d4")
    assert talk("final_score") == "= B+42\n\n"
    talk("komi 49")
    assert talk("final_score") == "= 0\n\n"


def test_what_is_dead_follows_from_who_owns_it():
    def owners(board):
        return np.where(np.arange(49).reshape(7, 7) < 7, 1.0, -1.0)  # black the upper line, white the rest

    one = server(owners=owners)
    one.sink = io.StringIO()
    for line in ("play b a7", "play w b7", "play b a1", "play w d4"):
        one.answer(line)
    one.sink = io.StringIO()
    for line in ("final_status_list alive", "final_status_list dead", "final_status_list seki"):
        one.answer(line)
    assert one.sink.getvalue() == "= A7\nD4\n\n= A1\nB7\n\n=\n\n"


def test_handicap_stones_stand_where_gnu_go_puts_them(gnu_go):
    for size, most in ((7, 4), (9, 9), (13, 9), (19, 9)):
        for count in range(2, most + 1):
            one = server(rules=Rules(size, size))
            one.sink = io.StringIO()
            one.answer(f"fixed_handicap {count}")
            with Program(f"{gnu_go} --mode gtp") as program:
                program.send(f"boardsize {size}")
                wanted = program.send(f"fixed_handicap {count}").split()
            assert {*one.sink.getvalue().removeprefix("=").split()} == {*wanted}, (size, count)
            assert one.game.board.to_move == WHITE


def test_stones_are_set_and_moves_are_played_in_a_row(talk):
    assert talk("set_free_handicap c3 e5") == "=\n\n"
    assert talk.server.game.board.stones()[[4, 2], [2, 4]].tolist() == [BLACK, BLACK]
    assert talk("set_free_handicap d4 e4") == "? board not empty\n\n"
    assert talk("gogui-play_sequence w d4 b d5 w a1") == "=\n\n"
    assert talk.server.game.board.moves == [24, 17, 42]
    assert talk("gogui-play_sequence b d4 w g7") == "? illegal move\n\n"


def test_games_are_loaded_up_to_a_move(talk, tmp_path):
    path = tmp_path / "a game.sgf"
    sgf.save(Board(RULES, [24, 17, 10]).record(), path)
    assert talk(f"loadsgf {shlex.quote(str(path))}") == "= white\n\n"
    assert talk.server.game.board.moves == [24, 17, 10]
    assert talk(f"loadsgf {shlex.quote(str(path))} 2") == "= white\n\n"
    assert talk.server.game.board.moves == [24]
    assert "no_such" in talk("loadsgf no_such.sgf")
    sgf.save(Board(Rules(5, 5), [2]).record(), path)
    assert talk(f"loadsgf {shlex.quote(str(path))}") == "? unacceptable size\n\n"


# ---------------------------------------------------------------------------------------------- time


def test_main_time_then_periods():
    clock = Clock(10.0, 4.0, 2)
    clock.start()
    assert clock.for_a_move(10) == pytest.approx(10 / 10 + 4 / 2 - 0.1)
    clock.spend(9)
    assert (clock.left, clock.stones_left) == (1, 0)
    clock.spend(2)
    assert (clock.left, clock.stones_left) == (4, 2)
    assert clock.for_a_move(10) == pytest.approx(4 / 2 - 0.1)
    clock.spend(1)
    assert (clock.left, clock.stones_left) == (3, 1)
    clock.spend(1)
    assert (clock.left, clock.stones_left) == (4, 2)  # a new period, for its stones are played
    sudden = Clock(1.0)
    sudden.start()
    sudden.spend(2)
    assert sudden.for_a_move(10) == pytest.approx(0.01)
    at_once = Clock(0.0, 5.0, 1)
    at_once.start()
    assert (at_once.left, at_once.stones_left) == (5, 1)


def test_a_clock_decides_how_long_it_thinks(talk):
    talk("genmove b")
    talk("time_settings 0 1 2")
    start = time.monotonic()
    talk("genmove w")
    assert 0.2 < time.monotonic() - start < 1.0
    assert talk.server.player.trees.visits(0).sum() > 10  # more than the simulations without a clock
    talk("time_settings 0 1 0")  # no limit
    assert talk.server.clocks == {}
    talk("time_left b 30 0")
    assert talk.server.clocks[BLACK].left == 30


def test_who_cleans_up_takes_dead_stones_before_he_passes():
    """White's A1 (42) is dead; of its liberties A2 (35) and B1 (43) the search likes B1 better, and a pass best."""
    one = server(owners=lambda board: np.ones((7, 7)))
    one.sink = io.StringIO()
    for line in ("play w a1", "play b d4"):
        one.answer(line)
    one.think = lambda colour: None
    one.player.trees = SimpleNamespace(value=lambda tree: 0.0)
    one.player.ranking = lambda: [49, 3, *left]
    left, said = [43, 35], []
    for command in ("genmove b", "kgs-genmove_cleanup b", "kgs-genmove_cleanup b", "kgs-genmove_cleanup b"):
        one.sink = io.StringIO()
        one.answer(command)
        said.append(one.sink.getvalue().strip())
        left = [point for point in (43, 35) if not one.game.board.stones().flat[point]]
    assert said == ["= pass", "= B1", "= A2", "= pass"]  # at last they are gone


def test_a_search_is_cut_short_by_gogui_and_the_next_is_not():
    one = server(simulations=20_000)
    lines = [b"genmove b\n", b"# interrupt\n", b"name\n"]
    one.serve(iter(lines), sink := io.StringIO())
    first, name, _ = sink.getvalue().split("\n\n")
    assert re.fullmatch(r"= \S+", first)
    assert name == "= ours"
    assert one.player.trees.visits(0).sum() < 15_000
    assert not one.cut_short.is_set()


def test_seconds_a_move():
    one = server(seconds=0.3)
    one.sink = io.StringIO()
    one.answer("genmove b")
    start = time.monotonic()
    one.answer("genmove w")
    assert 0.25 < time.monotonic() - start < 1.5


# ---------------------------------------------------------------------------------------------- analysis

INFO = r"(info move \S+ visits \d+ winrate \d+ prior \d+ order \d+ pv( \S+)+ ?)+"
KATA = r"(info move \S+ visits \d+ winrate \d\.\d{4} prior \d\.\d{4} order \d+ pv( \S+)+ ?)+"


@pytest.mark.parametrize(("command", "form"), [("lz-analyze b 5", INFO), ("kata-analyze 5 maxmoves 3", KATA)])
def test_an_analysis_goes_on_until_the_next_line(talk, command, form):
    threading.Timer(0.5, talk.server.lines.put, ["name"]).start()
    talk("name")
    told = talk(f"3 {command}")
    head, *lines, last, end = told.split("\n")
    assert (head, last, end) == ("=3", "", "")
    assert len(lines) >= 2
    assert all(re.fullmatch(form, line) for line in lines)
    assert talk.server.game.board.moves == []
    assert talk.server.lines.get() == "name"


@pytest.mark.parametrize("command", ["lz-genmove_analyze", "kata-genmove_analyze", "genmove_analyze"])
def test_a_move_with_analysis_ends_with_the_move(talk, command):
    told = talk(f"4 {command} w 10")
    assert told.startswith("=4\ninfo move ")
    assert re.search(r"\nplay \S+\n\n$", told)
    assert talk.server.game.given[0][0] == WHITE


# ---------------------------------------------------------------------------------------------- as a process


@pytest.fixture
def command():
    return shlex.join([sys.executable, "-m", "sparring.runners.cli", "gtp", "mcts:20", "--board", "5", "--komi", "0.5"])


def test_a_process_speaks_nothing_but_protocol_to_its_end(command):
    import subprocess

    said = b"1 name\n\xff\xfe\n2 boardsize 5\nplay b a1\ngenmove w\n3 final_score\nquit\nname\n"
    done = subprocess.run(shlex.split(command), input=said, capture_output=True, timeout=120, check=True)
    answers = done.stdout.decode().split("\n\n")
    assert answers[0] == "=1 sparring mcts:20"
    assert answers[1] == "? unknown command"
    assert answers[2] == "=2"
    assert re.fullmatch(r"= \S+", answers[4])
    assert answers[-2:] == ["=", ""]
    assert b"Traceback" not in done.stderr


def test_one_simulation_is_no_search():
    from sparring.runners.options import Gtp

    assert Gtp("mcts:20", sims=2).sims == 2
    with pytest.raises(BadInputError, match="sims is 1; it must be between 2 and"):
        Gtp("mcts:20", sims=1)


def test_two_of_them_play_a_game_to_the_end(command):
    board = Board(Rules(5, 5, "positional", komi=0.5, cap=200))
    with Program(command) as black, Program(command) as white:
        for program in (black, white):
            program.boardsize((5, 5))
        while not board.over:
            mover, other = (black, white) if board.to_move == BLACK else (white, black)
            move = mover.genmove(board.turn)
            other.play(board.turn, move)
            board.play(move)
        assert black.final_score() == white.final_score() == board.margin()
