"""Go as a world: for Gymnasium, for PettingZoo, for many games at once; each held to the board and to its checker."""

import dataclasses
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_for_sb3

from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.envs.go import kernels, picture, table
from sparring.envs.go.aec import GoAEC
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.rules import Rules
from sparring.envs.go.vector import GoVectorEnv
from sparring.envs.go.world import GoEnv


def played(world, seed=0):
    """A game of random legal moves; what every step gave."""
    dice = np.random.default_rng(seed)
    _, info = world.reset(seed=seed)
    steps = []
    while not steps or not (steps[-1][2] or steps[-1][3]):
        action = int(dice.choice(np.flatnonzero(info["action_mask"])))
        steps.append(world.step(action))
        info = steps[-1][4]
    return steps


@pytest.mark.filterwarnings("ignore")  # that images are small, that render modes are not tried
@pytest.mark.parametrize("opponent", ["random", "none"])
def test_the_checkers_of_gymnasium_and_sb3_pass(opponent):
    check_env(GoEnv(5, opponent=opponent), skip_render_check=True)
    check_for_sb3(GoEnv(5, opponent=opponent))


@pytest.mark.filterwarnings("ignore:Treating image space")  # which the planes of Go are not
def test_maskable_ppo_of_sb3_contrib_plays_by_the_masks():
    """Where an illegal move raises, a learner that minds `action_masks` gets through, whatever it has learned."""
    from sb3_contrib import MaskablePPO

    world = GoEnv(3, illegal="raises")
    model = MaskablePPO("MlpPolicy", world, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(256)
    obs, _ = world.reset(seed=1)
    over = False
    while not over:
        action, _ = model.predict(obs, action_masks=world.action_masks())
        obs, _, terminated, truncated, _ = world.step(int(action))
        over = terminated or truncated
    assert len(world.board.moves) > 1


@pytest.mark.filterwarnings("ignore")
def test_the_checker_of_pettingzoo_passes(capsys):
    from pettingzoo.test import api_test  # which warns of itself while it is imported

    api_test(GoAEC(5), num_cycles=200)
    assert "Passed" in capsys.readouterr().out


@pytest.mark.parametrize("colour", ["black", "white"])
def test_the_reward_is_the_agents_and_comes_at_the_end(colour):
    rewards = set()
    for seed in range(12):
        world = GoEnv(3, komi=0.0, colour=colour)
        *before, last = played(world, seed)
        assert [step[1] for step in before] == [0.0] * len(before)
        sign = 1 if colour == "black" else -1
        # with both colours random, whoever moved last may be the opponent: the reward is the agent's all the same
        assert last[1] == sign * np.sign(world.board.margin())
        assert last[2] == (world.board.over == "passes")
        assert last[3] == (world.board.over == "cap")
        rewards.add(last[1])
    assert {1.0, -1.0} <= rewards


def test_whoever_moves_alone_plays_both_colours_and_sees_its_own_side():
    world = GoEnv(3, opponent="none")
    seen, info = world.reset()
    assert (seen[8] == 1).all()
    assert info["to_move"] == BLACK
    seen, reward, _, _, info = world.step(4)
    assert (seen[1].sum(), seen[1, 1, 1], info["to_move"], reward) == (1, 1, WHITE, 0.0)


def test_an_illegal_move_loses_or_raises_as_one_likes():
    world = GoEnv(3, opponent="none")
    world.reset()
    world.step(4)
    _, reward, terminated, _, info = world.step(4)
    assert (reward, terminated, info["illegal"]) == (-1.0, True, 4)
    strict = GoEnv(3, opponent="none", illegal="raises")
    strict.reset()
    strict.step(4)
    with pytest.raises(BadInputError, match=r"white may not play 4 \(B2\)"):
        strict.step(4)
    assert strict.board.moves == [4]


def test_a_game_may_begin_later_or_with_a_handicap():
    world = GoEnv(3, opponent="none")
    _, info = world.reset(options={"moves": [4, 0]})
    assert (info["to_move"], world.board.moves) == (BLACK, [4, 0])
    _, info = world.reset(options={"handicap": [4, 0]})
    assert (info["to_move"], int(world.board.stones().sum())) == (WHITE, 2)
    met = GoEnv(3)  # black, who has two stones: the opponent moves first
    _, info = met.reset(options={"handicap": [4, 0]}, seed=0)
    assert (info["to_move"], len(met.board.moves)) == (BLACK, 1)
    turns = GoAEC(3)
    turns.reset(options={"handicap": [4, 0]})
    assert turns.agent_selection == "white_0"
    turns.reset(options={"moves": [4]})
    assert turns.agent_selection == "white_0"
    with pytest.raises(BadInputError, match="not on different points of 9"):
        world.reset(options={"handicap": [9]})


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(UnknownNameError, match="no opponent is called 'randon'; did you mean random"):
        GoEnv(opponent="randon")
    with pytest.raises(BadInputError, match="colour is 'red'; it can be black, white or random"):
        GoEnv(colour="red")
    with pytest.raises(BadInputError, match="illegal is 'lose'; it can be loses or raises"):
        GoEnv(illegal="lose")
    with pytest.raises(BadInputError, match="render_mode is 'film'; it can be ansi, rgb_array, human"):
        GoEnv(render_mode="film")


# ---------------------------------------------------------------------------------------------- many games


@pytest.mark.parametrize(
    "rules", [Rules(4, 4, komi=0.5), Rules(3, 5, "situational", True), Rules(5, 5, "simple", cap=30)]
)
def test_many_games_are_what_each_alone_would_be(rules):
    worlds = GoVectorEnv(6, rules=rules)
    boards = [Board(rules) for _ in range(6)]
    seen, info = worlds.reset()
    dice = np.random.default_rng(0)
    ended = 0
    for _ in range(150):
        for game, board in enumerate(boards):
            np.testing.assert_array_equal(seen[game], board.planes())
            np.testing.assert_array_equal(info["action_mask"][game], board.legal())
        actions = np.array([dice.choice(np.flatnonzero(mask)) for mask in info["action_mask"]])
        movers = [board.to_move for board in boards]
        for board, action in zip(boards, actions.tolist(), strict=True):
            board.play(action)
        seen, rewards, terminated, truncated, info = worlds.step(actions)
        for game, board in enumerate(boards):
            assert terminated[game] == (board.over == "passes")
            assert truncated[game] == (board.over == "cap")
            if not board.over:
                assert (rewards[game], info["margin"][game]) == (0, 0)
                continue
            ended += 1
            assert info["margin"][game] == board.margin()
            assert rewards[game] == np.sign(board.margin()) * (1 if movers[game] == BLACK else -1)
            np.testing.assert_array_equal(info["final_obs"][game], board.planes())
            boards[game] = Board(rules)
    assert ended > 5


def test_a_batch_with_an_illegal_move_plays_nothing():
    worlds = GoVectorEnv(3, 3)
    worlds.reset()
    worlds.step(np.array([4, 4, 4]))
    before = worlds.table.u.copy()
    with pytest.raises(BadInputError, match="action 4 in game 1 is not legal: its action_mask is 0 there"):
        worlds.step(np.array([0, 4, 9]))
    with pytest.raises(BadInputError, match="action 10 in game 2 is not legal: it must lie between 0 and 9"):
        worlds.step(np.array([0, 0, 10]))
    with pytest.raises(BadInputError, match=r"actions are int64\[2\]; there are 3 games, and each takes a whole"):
        worlds.step(np.array([0, 0]))
    with pytest.raises(BadInputError, match=r"actions are float64\[3\]; there are 3 games"):
        worlds.step(np.zeros(3))
    with pytest.raises(BadInputError, match="action -1 in game 0 is not legal: it must lie between 0 and 9"):
        worlds.step(np.array([-1, 0, 0]))
    np.testing.assert_array_equal(worlds.table.u, before)


def test_playouts_end_where_only_eyes_are_left_and_follow_from_the_dice():
    rules = dataclasses.replace(Rules(5, 5), ko="simple")
    margins = []
    for seed in (1, 1, 2):
        t = table.lay(rules, 1, seed)
        found = np.zeros(200, np.int32)
        moves = kernels.playouts(t.u[0], t.i[0], t.k[0], t.z, t.geometry, t.shape, 200, found)
        margins.append(found)
        assert 200 * 20 < moves < 200 * 91
    assert np.array_equal(margins[0], margins[1])
    assert not np.array_equal(margins[0], margins[2])
    assert np.abs(margins[0]).max() <= 25
    assert margins[0].mean() > 0  # black moves first


def test_many_games_have_no_opponent():
    with pytest.raises(BadInputError, match="opponent is 'random'; many games at once are played with both colours"):
        GoVectorEnv(2, opponent="random")


def test_the_compiler_is_announced_and_its_work_kept(tmp_path):
    words = [sys.executable, "-c", "from sparring.envs.go.vector import GoVectorEnv; GoVectorEnv(1).reset()"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = [subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stderr for _ in range(2)]
    assert said == ["sparring compiles the kernels of Go: once, some ten seconds\n", ""]


# ---------------------------------------------------------------------------------------------- pictures


def test_a_board_is_drawn_stone_by_stone():
    board = Board(Rules(3, 4), [0, 6, 11])
    pixels = picture.pixels(board)
    assert pixels.dtype == np.uint8
    square, margin = 36, round(36 * picture.MARGIN)
    colours = {1: 0x14, 2: 0xF7}
    for (row, column), stone in np.ndenumerate(board.stones()):
        if stone:
            y, x = margin + row * square, margin + column * square
            assert abs(int(pixels[y, x + 4, 0]) - colours[int(stone)]) < 12
    assert picture.png(board).startswith(b"\x89PNG")
    root = ElementTree.fromstring(picture.svg(board))
    filled = [circle.get("fill") for circle in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert (filled.count(picture.STONES[1]), filled.count(picture.STONES[2]), filled.count("none")) == (2, 1, 1)
    assert GoEnv(3, render_mode="ansi").render() == str(Board(GoEnv(3).rules))


def test_a_window_shows_the_board_after_every_move(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    world = GoEnv(5, opponent="none", render_mode="human")
    world.reset()
    shown = []
    for action in (12, 6):
        world.step(action)
        shown.append(pygame.surfarray.array3d(world.window).swapaxes(0, 1))
        np.testing.assert_array_equal(shown[-1], picture.pixels(world.board))
    assert (shown[0] != shown[1]).any()
    world.close()
    assert world.window is None
