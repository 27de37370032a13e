"""Who answers in a game of Go: chance, functions, GNU Go over GTP; and the ids under which the worlds are known."""

import shlex
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import sparring.envs
from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.envs.go import WORLDS, opponents, sgf
from sparring.envs.go.board import Board, Start, handicap
from sparring.envs.go.gtp import GtpError
from sparring.envs.go.opponents import Engine
from sparring.envs.go.record import Game, Ply
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.go.vector import GoVectorEnv
from sparring.envs.go.world import GoEnv

STYLE = "--mode gtp --level 1 --chinese-rules --forbid-suicide --positional-superko"


def first(board, dice):
    """The first legal action."""
    return int(np.flatnonzero(board.legal())[0])


def finished(world, choose, seed=0):
    """Play a game; what its last step gave."""
    _, info = world.reset(seed=seed)
    while True:
        _, reward, terminated, truncated, info = world.step(choose(info))
        if terminated or truncated:
            return reward, terminated, truncated, info
        assert reward == 0


# ---------------------------------------------------------------------------------------------- ids


def test_gymnasium_knows_every_world_alone_and_in_numbers():
    sizes = {"sparring/Go-v0": 9, "sparring/Go5-v0": 5, "sparring/Go7-v0": 7, "sparring/Go9-v0": 9}
    assert set(WORLDS) == {*sizes, "sparring/Go19-v0"}
    for env, size in {**sizes, "sparring/Go19-v0": 19}.items():
        world = gymnasium.make(env)
        assert world.observation_space.shape == (10, size, size)
        assert world.get_wrapper_attr("action_masks")().shape == (size * size + 1,)
        worlds = gymnasium.make_vec(env, 3, komi=0.5)
        assert isinstance(worlds.unwrapped, GoVectorEnv)
        assert worlds.unwrapped.rules == chosen(size=size, komi=0.5)


def test_what_a_world_is_made_with_is_what_is_played():
    world = gymnasium.make("sparring/Go-v0", size=(3, 5), rules="aga", komi=2.0, opponent="none")
    assert world.unwrapped.rules == Rules(3, 5, "situational", False, 2.0)
    own = Rules(4, 6, "simple", komi=-1.0, cap=20)
    assert gymnasium.make("sparring/Go-v0", rules=own).unwrapped.rules == own
    assert gymnasium.make_vec("sparring/Go-v0", 2, rules=own).unwrapped.rules == own
    with pytest.raises(UnknownNameError, match="no rules is called 'chinesse'; did you mean chinese"):
        gymnasium.make("sparring/Go-v0", rules="chinesse")


def test_importing_the_worlds_does_not_wait_for_the_compiler():
    told = subprocess.run(
        [sys.executable, "-c", "import sys, sparring.envs; print('numba' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "False\n"
    assert sparring.envs.go.WORLDS


# ---------------------------------------------------------------------------------------------- functions


def test_a_function_answers_and_may_resign_or_err():
    met = GoEnv(3, opponent=first)
    met.reset()
    met.step(4)
    assert met.board.moves == [4, 0]
    reward, terminated, _, info = finished(GoEnv(3, opponent=lambda board, dice: None), lambda info: 4)
    assert (reward, terminated, info["resigned"]) == (1.0, True, "white")
    errs = GoEnv(3, opponent=lambda board, dice: 4, colour="black")
    reward, terminated, _, info = finished(errs, lambda info: 4)
    assert (reward, terminated, info["illegal"]) == (1.0, True, 4)
    with pytest.raises(BadInputError, match=r"the game is over .*reset begins another"):
        errs.step(0)
    strict = GoEnv(3, opponent=lambda board, dice: 4, illegal="raises")
    strict.reset()
    with pytest.raises(BadInputError, match=r"white may not play 4 \(B2\)"):
        strict.step(4)
    with pytest.raises(BadInputError, match="the opponent has not answered the last move; reset begins another game"):
        strict.step(0)
    strict.reset()
    assert strict.board.moves == []
    with pytest.raises(BadInputError, match="the game is over before the agent has moved: resigned black"):
        GoEnv(3, opponent=lambda board, dice: None, colour="white").reset()


@pytest.mark.parametrize("action", [-1, 10, 100])
def test_an_action_that_does_not_exist_is_illegal(action):
    world = GoEnv(3, opponent="none")
    world.reset()
    _, reward, terminated, _, info = world.step(action)
    assert (reward, terminated, info["illegal"]) == (-1.0, True, action)


def test_random_answers_follow_from_the_seed():
    games = []
    for seed in (1, 1, 2):
        world = GoEnv(5, colour="random")
        finished(world, lambda info: int(np.flatnonzero(info["action_mask"])[0]), seed)
        games.append(world.board.moves)
    assert games[0] == games[1] != games[2]


# ---------------------------------------------------------------------------------------------- programs


def test_gnu_go_meets_us_on_our_board_game_after_game(gnu_go):
    """It is asked for the stones that stand after every answer: its board is ours, from the first move of each game."""
    world = GoEnv(5, rules="chinese", opponent=f"gtp:{gnu_go} {STYLE}", colour="random")
    dice = np.random.default_rng(0)
    colours = set()
    for seed in range(4):
        _, info = world.reset(seed=seed)
        over = False
        while not over:
            colours.add(info["to_move"])
            legal = np.flatnonzero(info["action_mask"])
            _, reward, terminated, truncated, info = world.step(
                int(dice.choice(legal[:-1] if len(legal) > 1 else legal))
            )
            over = terminated or truncated
            for colour, stone in (("black", 1), ("white", 2)):
                theirs = world.opponent.program.send(f"list_stones {colour}").split()
                ours = {(5 - row, column) for row, column in np.argwhere(world.board.stones() == stone).tolist()}
                assert {(int(name[1:]), "ABCDE".index(name[0])) for name in theirs} == ours or over
        assert reward in (-1.0, 1.0)
    assert colours == {1, 2}
    world.close()
    with pytest.raises(GtpError, match="had been closed before"):
        world.opponent.program.send("name")


def test_gnu_go_beats_chance(gnu_go):
    """On nine lines no random player has a chance; a reward of the wrong sign would show here."""
    world = GoEnv(9, rules="chinese", opponent=f"gtp:{gnu_go} {STYLE}")
    dice = np.random.default_rng(0)
    rewards = [
        finished(world, lambda info: int(dice.choice(np.flatnonzero(info["action_mask"]))), seed)[0]
        for seed in range(3)
    ]
    world.close()
    assert rewards == [-1.0] * 3


def test_an_engine_takes_up_any_game(gnu_go):
    """A board that it has not followed: handicap, captures, a branch of what it knew, another size."""
    engine, dice = Engine(f"{gnu_go} {STYLE}"), np.random.default_rng(0)
    law = chosen("chinese", 5)
    for board in (
        Board(law, [12, 13, 7]),
        Board(law, [12, 13, 8]),
        Board(law, [12]),
        Board(law, [13, 6], handicap([12, 8])),
        Board(chosen("chinese", 7), [0]),
    ):
        action = engine(board, dice)
        size = board.rules.height
        assert board.allows(action)
        black = engine.program.send("list_stones black").split()
        assert len(black) == int((board.stones() == 1).sum()) + (board.turn == "B" and action != size * size)
        assert engine.program.send("query_boardsize") == str(size)
    engine.close()


def test_a_program_that_died_plays_the_next_game(gnu_go):
    world = GoEnv(5, rules="chinese", opponent=f"gtp:{gnu_go} {STYLE}")
    world.reset()
    world.step(12)
    world.opponent.program.close()
    with pytest.raises(GtpError, match="had been closed before"):
        world.opponent.program.send("name")
    world.reset()
    world.step(12)
    assert len(world.board.moves) == 2
    world.close()


def test_a_program_of_other_rules_is_named_with_ours(gnu_go):
    """Suicide of two stones, which GNU Go refuses here and Tromp and Taylor do not."""
    engine = Engine(f"{gnu_go} {STYLE}")
    board = Board(Rules(3, 3, "positional", suicide=True), [0, 2, 9, 4, 9, 3, 1])
    assert board.stones().flatten().tolist() == [0, 0, 2, 2, 2, 0, 0, 0, 0]
    with pytest.raises(GtpError, match=r"refused: illegal move; our rules \(positional ko, suicide allowed\) are not"):
        engine(board, np.random.default_rng(0))
    engine.close()


def test_opponents_that_there_are_not():
    with pytest.raises(UnknownNameError, match="no opponent is called 'gtp'; did you mean gtp:COMMAND"):
        opponents.called("gtp", Rules())
    with pytest.raises(BadInputError, match="GTP knows square boards only, and this one has 5 × 7"):
        GoEnv((5, 7), opponent=f"gtp:{sys.executable}")
    with pytest.raises(BadInputError, match="no_such_program"):
        GoEnv(opponent="gtp:no_such_program --mode gtp")
    mute = shlex.join([sys.executable, "-c", "print('hello')"])
    with pytest.raises(GtpError):
        GoEnv(opponent=f"gtp:{mute}")


# ---------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("stones", [(), (12, 6)])
def test_a_game_is_the_same_after_sgf(tmp_path, stones):
    law = Rules(5, 5, "positional", komi=3.5)
    dice, board = np.random.default_rng(1), Board(law, start=handicap(stones))
    while not board.over:
        legal = np.flatnonzero(board.legal())
        board.play(int(dice.choice(legal)))
    game = board.record(black="ours", rules="chinese")
    assert (game.black, game.handicap, game.komi) == ("ours", len(stones), 3.5)
    assert game.result == f"{'B' if board.margin() > 0 else 'W'}+{abs(board.margin()):g}"
    sgf.save(game, tmp_path / "game.sgf")
    again = Board.of(sgf.parse((tmp_path / "game.sgf").read_text()), Rules(9, 9, "positional"))
    assert (again.moves, again.plies, again.rules, again.over) == (board.moves, board.plies, law, board.over)
    assert str(again) == str(board)


def test_a_problem_with_stones_of_both_colours_is_set_up_and_written(tmp_path):
    law = Rules(3, 3, komi=0.0)
    board = Board(law, [2], Start((4,), (0, 1), 2))
    sgf.save(board.record(), tmp_path / "problem.sgf")
    again = Board.of(sgf.load(tmp_path / "problem.sgf"), law)
    assert (again.start, again.moves, str(again)) == (board.start, [2], str(board))
    empty = Board(law, (), Start((4,), (0,), 1))
    sgf.save(empty.record(), tmp_path / "empty.sgf")
    assert Board.of(sgf.load(tmp_path / "empty.sgf"), law).start == empty.start


def test_a_drawn_game_and_an_open_one_are_recorded_as_such():
    drawn = Board(Rules(2, 2, komi=0.0), [4, 4])
    assert (drawn.record().result, Board(Rules(2, 2), [0]).record().result) == ("0", "")


def test_records_that_cannot_be_played_say_why():
    law = Rules(3, 3)
    with pytest.raises(BadInputError, match="move 2 is B's, and it is W's turn"):
        Board.of(Game((3, 3), (Ply("B", 0), Ply("B", 1))), law)
    with pytest.raises(BadInputError, match=r"white may not play 0 \(A3\) as move 2"):
        Board.of(Game((3, 3), (Ply("B", 0), Ply("W", 0))), law)
