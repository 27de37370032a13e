"""Players by name, matches between them, games at the terminal, champions in files."""

import dataclasses
import io
import itertools
import json
import re
import shlex
import sys

import numpy as np
import pytest
import torch
from rich.console import Console

from sparring.agents.boardnet import Instinct, Network
from sparring.agents.match import Searcher
from sparring.envs.errors import BadInputError
from sparring.envs.go import sgf
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.opponents import at_random
from sparring.envs.go.rules import Rules
from sparring.runners import arena, champion, checkpoint, cli, players
from sparring.runners.players import Player

pytestmark = pytest.mark.usefixtures("one_thread")

RULES = Rules(3, 3, komi=2.5)
QUIET = Console(file=io.StringIO(), width=200)
PROGRAM = """
import sys, time
move = sys.argv[1]
moves = 0
for line in sys.stdin:
    words = line.split()
    number, words = (words[0], words[1:]) if words[0].isdigit() else ("", words)
    if words[0] == "genmove":
        moves += 1
        if move == "dies" and moves == 1:
            sys.exit(1)
        if move == "hangs":
            time.sleep(60)
        if move == "babbles":
            print("what a fine board", flush=True)
            continue
        answer = {"resigns": "resign", "errs": "A1" if moves == 1 else "J9", "repeats": "A1"}[move]
        print(f"={number} {answer}\\n", flush=True)
    else:
        print(f"={number}" + (" 2" if words[0] == "protocol_version" else "") + "\\n", flush=True)
    if words[0] == "quit":
        break
"""


def program(tmp_path, way):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return f"gtp:{shlex.join([sys.executable, str(path), way])}"


def kept(path, size=3, width=8, blocks=1, seed=0, **rules):
    """A champion that has learned nothing, in its file."""
    torch.manual_seed(seed)
    weights, rules = Network(width, blocks).state_dict(), Rules(size, size, komi=2.5, **rules)
    champion.save(champion.Champion(rules, width, blocks, weights, "nothing, 0 updates"), path)
    return path


def met(tmp_path, *chosen, games=4, opening=1, seed=0, rules=RULES):
    out = tmp_path / "arena"
    return arena.tournament(chosen, rules, games=games, opening=opening, seed=seed, out=out, console=QUIET), out


# ---------------------------------------------------------------------------------------------- matches


def test_a_match_is_of_different_games_with_both_colours():
    one, other = Player("one", at_random), Player("other", at_random)
    played = list(arena.match(one, other, RULES, 30, np.random.default_rng(0)))
    assert len({(game.first, *game.board.moves) for game in played}) == 30
    assert [game.first for game in played].count(BLACK) == 15


def test_all_pairs_meet_and_every_game_is_kept(tmp_path):
    names = ("one", "two", "three")
    record, out = met(tmp_path, *(Player(name, at_random) for name in names))
    assert [(pair["first"], pair["second"]) for pair in record["pairs"]] == [*itertools.combinations(names, 2)]
    assert all(pair["games"] == 4 and pair["low"] <= pair["win_rate"] <= pair["high"] for pair in record["pairs"])
    assert json.loads((out / "arena.json").read_text()) == record
    assert record["elo"]["three"] == {"elo": 0.0, "low": 0.0, "high": 0.0}
    assert len(record["games"]) == 12
    for told in record["games"]:
        game = sgf.load(out / "games" / told["file"])
        board = Board.of(game, RULES)
        assert len(board.moves) == told["moves"]
        assert board.margin() == told["margin"]
        winner = {"black": BLACK, "white": WHITE, "nobody": 0}[told["winner"]]
        assert winner == (0 if board.margin() == 0 else BLACK if board.margin() > 0 else WHITE)


def test_all_pairs_begin_with_the_same_openings(tmp_path):
    record, out = met(tmp_path, *(Player(name, at_random) for name in "abc"), opening=3)
    begun = [sgf.load(out / "games" / told["file"]).plies[:3] for told in record["games"]]
    assert begun[0:4] == begun[4:8] == begun[8:12]
    assert begun[0] == begun[1] != begun[2] == begun[3]


def test_the_same_seed_plays_the_same_games(tmp_path):
    names = [Player(name, at_random) for name in "ab"]
    one, _ = met(tmp_path / "1", *names)
    two, _ = met(tmp_path / "2", *names)
    three, _ = met(tmp_path / "3", *names, seed=1)
    assert one == two
    assert one["games"] != three["games"]


def test_players_that_repeat_themselves_are_told_and_what_was_played_stays(tmp_path):
    passes = Player("passes", lambda board, dice: 9)
    with pytest.raises(BadInputError, match=r"passes and again have 2 different games from openings of 0 random moves"):
        met(tmp_path, Player("random", at_random), passes, Player("again", passes.opponent), opening=0)
    record = json.loads((tmp_path / "arena" / "arena.json").read_text())
    assert [(pair["first"], pair["second"], pair["games"]) for pair in record["pairs"]] == [
        ("random", "passes", 4),
        ("random", "again", 4),
        ("passes", "again", 2),
    ]
    assert len(record["games"]) == len([*(tmp_path / "arena" / "games").iterdir()]) == 10


def test_who_always_gives_up_at_once_does_not_end_a_match(tmp_path):
    passes, quits = Player("passes", lambda board, dice: 9), Player("quits", lambda board, dice: None)
    record, _ = met(tmp_path, passes, quits, games=60, opening=0)
    assert [game["reason"] for game in record["games"]] == ["resigned"] * 60
    assert record["pairs"][0]["win_rate"] == 1.0


def test_where_games_cannot_go_is_told_before_any_is_played(tmp_path):
    (tmp_path / "arena").write_text("a file")
    with pytest.raises(BadInputError, match=r"arena cannot be made \(.*\); name another --out"):
        met(tmp_path, Player("random", at_random), Player("nobody", None))


@pytest.mark.parametrize(
    ("way", "reason", "told"),
    [
        ("resigns", "resigned", None),
        ("repeats", "illegal", "chose 6"),
        ("dies", "failed", "ended"),
        ("babbles", "failed", "what a fine board"),
        ("hangs", "failed", "2 s"),
        ("errs", "failed", "J9"),
    ],
)
def test_a_bad_program_loses_that_game_and_the_match_goes_on(tmp_path, way, reason, told):
    """`repeats` always plays A1, `errs` first A1 and then what is no point of this board."""
    bad = players.player(program(tmp_path, way), simulations=1, timeout=2.0)
    try:
        record, out = met(tmp_path, Player("random", at_random), bad, games=2)
    finally:
        bad.close()
    assert len(record["games"]) == 2
    assert record["pairs"][0]["win_rate"] == 1.0
    for game in record["games"]:
        assert game["reason"] == reason
        assert game["winner"] == ("white" if game["black"] == bad.name else "black")
        assert told is None or told in game["told"]
        assert sgf.load(out / "games" / game["file"]).result in ("B+R", "W+R", "B+F", "W+F")


# ---------------------------------------------------------------------------------------------- players by name


def test_players_are_called_by_name(tmp_path):
    path = kept(tmp_path / "champion.pt")
    assert isinstance(players.player(str(path), simulations=8).opponent, Searcher)
    assert isinstance(players.player(str(path), simulations=1).opponent, Instinct)
    assert players.player("mcts:30", simulations=8).opponent.searching.simulations == 30
    assert players.player("random", simulations=8).opponent is at_random


def test_playouts_roll_dice_of_the_players_seed_and_trees_have_room_for_what_is_asked():
    board = Board(Rules(5, 5))
    asked = [players.player("mcts:30", simulations=8_000, seed=seed).opponent for seed in (0, 0, 1)]
    for one in asked:
        one.think(board, np.random.default_rng(0))
    first, again, other = (one.trees.total(0).tolist() for one in asked)
    assert first == again != other
    asked[0].think(board, np.random.default_rng(0), 6_000)
    assert asked[0].trees.visits(0).sum() == 6_030


def test_arenas_look_at_one_leaf_at_a_time(tmp_path):
    path = str(kept(tmp_path / "champion.pt"))
    assert players.player(path, simulations=8).opponent.rows == 1
    assert players.player(path, simulations=8, rows=players.ROWS).opponent.rows == 8


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nobody", "no player is called 'nobody'"),
        ("mcts:many", "'many' is not a whole number"),
        ("mcts:", "no player is called"),
        ("gnugo:x", "'x' is not a whole number"),
        ("gtp:", "no player is called"),
        ("gtp:no-such-program --gtp", "no-such-program"),
        ("random:3", "no player is called"),
    ],
)
def test_who_cannot_be_called_is_told(name, why):
    with pytest.raises(BadInputError, match=re.escape(why)):
        players.player(name, simulations=8)


def test_the_champion_of_5x5_that_ships_opens_in_the_centre_and_takes_the_whole_board(tmp_path):
    ours, chance = players.players(["go5", "random"], simulations=16)
    assert (ours.rules.height, ours.rules.komi) == (5, 24.5)
    assert ours.opponent(Board(ours.rules), np.random.default_rng(0)) == 12
    record, _ = met(tmp_path, ours, chance, games=4, opening=0, rules=players.common_rules([ours, chance], None, None))
    black = [game for game in record["games"] if game["black"] == "go5"]
    assert [(game["winner"], game["margin"]) for game in black] == [("black", 0.5)] * 2


@pytest.mark.parametrize(("name", "board", "komi"), [("go7", 7, 9.0), ("go9", 9, 7.0)])
def test_the_larger_champions_that_ship_beat_playouts_with_either_colour(tmp_path, name, board, komi):
    ours, theirs = players.players([name, "mcts:50"], simulations=64)
    assert (ours.rules.height, ours.rules.komi) == (board, komi)
    record, _ = met(tmp_path, ours, theirs, games=4, opening=2, rules=players.common_rules([ours, theirs], None, None))
    assert {game["black"] for game in record["games"]} == {name, "mcts:50"}
    assert record["pairs"][0]["win_rate"] == 1


def test_nobody_meets_himself():
    with pytest.raises(BadInputError, match="random is named twice"):
        players.players(["random", "mcts:3", "random"], simulations=8)


def test_boards_are_agreed_on(tmp_path):
    three = players.player(str(kept(tmp_path / "three.pt", 3)), simulations=4)
    four = players.player(str(kept(tmp_path / "four.pt", 4)), simulations=4)
    chance = players.player("random", simulations=4)
    common = players.common_rules([chance, three], None, None)
    assert (common.height, common.komi) == (3, 2.5)
    assert players.common_rules([three], 3, 0.5).komi == 0.5
    assert players.common_rules([chance], None, None).height == 9
    with pytest.raises(BadInputError, match=r"no board fits all: .*three.pt plays 3×3 .*four.pt plays 4×4"):
        players.common_rules([three, four], None, None)
    with pytest.raises(BadInputError, match=r"three.pt plays 3×3 .* --board plays 5×5"):
        players.common_rules([three], 5, None)


def test_rules_are_agreed_on(tmp_path):
    usual = players.player(str(kept(tmp_path / "usual.pt")), simulations=4)
    other = players.player(str(kept(tmp_path / "other.pt", suicide=True)), simulations=4)
    insists = Player("program", at_random, kind=("positional", False))
    assert players.common_rules([usual, insists], None, None).suicide is False
    assert players.common_rules([other], None, None).suicide is True
    with pytest.raises(BadInputError, match="program plays any board with positional ko and no suicide") as caught:
        players.common_rules([other, insists], None, None)
    assert "other.pt plays 3×3 with positional ko and suicide" in str(caught.value)
    with pytest.raises(BadInputError, match="no board fits all"):
        players.common_rules([usual, other], None, None)


def test_gnu_go_sits_at_the_table(gnu_go, tmp_path):
    strong = players.player("gnugo:1", simulations=1)
    try:
        nine = Rules(9, 9, komi=7.0, cap=500)
        record, _ = met(tmp_path, strong, Player("random", at_random), games=2, opening=0, rules=nine)
    finally:
        strong.close()
    assert record["pairs"][0]["win_rate"] == 1.0
    assert all(game["reason"] == "passes" for game in record["games"])  # it never resigns: all points are counted


# ---------------------------------------------------------------------------------------------- champions


def test_a_champion_comes_back_from_its_file(tmp_path):
    path = kept(tmp_path / "champion.pt")
    one = champion.at(path)
    assert one.rules == RULES
    torch.manual_seed(0)
    expected = Network(8, 1).eval()
    planes = torch.from_numpy(Board(RULES, [4, 0]).planes()[None])
    assert torch.equal(one.network()(planes).policy, expected(planes).policy)


def test_what_is_no_champion_is_named(tmp_path):
    other = tmp_path / "other.pt"
    checkpoint.write(other, {"kind": "a cake"})
    with pytest.raises(BadInputError, match=r"other.pt is no champion of Go; `sparring export RUN other.pt` makes one"):
        champion.load(other)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BadInputError, match="text is not a checkpoint"):
        players.player(str(tmp_path / "text"), simulations=4)
    whole = kept(tmp_path / "whole.pt")
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(BadInputError, match=r"whole.pt was cut short or altered"):
        champion.load(whole)
    wrong = dataclasses.replace(champion.load(kept(tmp_path / "narrow.pt")), width=16)
    with pytest.raises(BadInputError, match="these weights do not fit a network of 1 blocks of 16 channels"):
        wrong.network()


@pytest.mark.parametrize("algorithm", sorted(champion.LEARNED))
def test_a_run_becomes_a_champion_that_plays_the_same(algorithm, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = {
        "alphazero": "--preset go5-cpu --board 3 --komi 2.5 --draw 2 --slots 2 --simulations 4 --window 20 --batch 8",
        "ppo-selfplay": "--preset go5-cpu --board 3 --komi 2.5 --boards 4 --horizon 16",
    }[algorithm]
    sizes = "--width 8 --blocks 1 --anchor 2 --games 2 --evaluate-every 0 --track off --out run"
    steps = {"alphazero": "4", "ppo-selfplay": "128"}[algorithm]
    with pytest.raises(SystemExit) as left:
        cli.main(["train", algorithm, *few.split(), *sizes.split(), "--steps", steps])
    assert left.value.code in (0, None)
    with pytest.raises(SystemExit) as left:
        cli.main(["export", "run", "deep/champion.pt"])
    assert left.value.code in (0, None)
    assert f"{algorithm}, 2 updates" in capsys.readouterr().out
    dice, board = np.random.default_rng(0), Board(RULES, [4])
    moves = [players.player(name, simulations=12).opponent(board, dice) for name in ("run", "deep/champion.pt")]
    assert moves[0] == moves[1]


# ---------------------------------------------------------------------------------------------- at the terminal


def at_terminal(*said, opponent=lambda board, dice: 9, colour=BLACK):
    """What a game comes to, and what the screen showed."""
    screen, answers = io.StringIO(), iter(said)
    console = Console(file=screen, width=100)
    ask = lambda prompt: next(answers)  # noqa: E731
    played = arena.play(Player("passes", opponent), RULES, colour=colour, seed=0, console=console, ask=ask)
    return played, screen.getvalue()


def test_a_game_at_the_terminal_is_played_and_counted():
    played, screen = at_terminal("B2", "pass")
    assert played.board.moves == [4, 9, 9]
    assert (played.winner, played.reason) == (BLACK, "passes")
    assert "passes: pass" in screen


def test_mistakes_at_the_terminal_cost_nothing():
    played, screen = at_terminal("Z9", "", "b2", "B2", "undo", "A1", "pass")
    assert played.board.moves == [6, 9, 9]
    assert "Z9" in screen


def test_one_can_resign_leave_and_be_white():
    assert at_terminal("resign")[0].winner == WHITE
    assert at_terminal("quit")[0] is None
    played, _ = at_terminal("pass", colour=WHITE, opponent=lambda board, dice: 4 if not board.moves else 9)
    assert played.board.moves == [4, 9, 9]
    assert at_terminal(opponent=lambda board, dice: None, colour=WHITE)[0].winner == WHITE
