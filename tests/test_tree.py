"""Trees in slabs grow as the slow search of `plainsearch` does, which is the equations and nothing else."""

import zlib

import numpy as np
import pytest
from plainsearch import Plain

import boards
from boards import TicTacToe, blind
from sparring.agents.mcts import Searching, Trees
from sparring.envs.go.games import Games
from sparring.envs.go.rules import Rules

SEARCHINGS = {
    "uct": Searching("uct", 150),
    "puct": Searching("puct", 150, forced=2.0),
    "puct, all alike": Searching("puct", 150, urgency=0.0, noise=0.0),
    "gumbel": Searching("gumbel", 150, considered=6),
    "gumbel, all considered": Searching("gumbel", 40, considered=40, c_visit=5.0),
}


def surprising(leaves, rows):
    """Opinions that follow from a position and from nothing else, no two alike."""
    logits, values = [], []
    for obs in leaves.obs[rows]:
        dice = np.random.default_rng(zlib.crc32(obs.tobytes()))
        logits.append(2 * dice.normal(size=leaves.legal.shape[1]))
        values.append(dice.uniform(-0.9, 0.9))
    return np.array(logits, np.float32), np.array(values, np.float32)


def tictactoe(dice, rows):
    chosen = boards.positions()
    world = TicTacToe([chosen[one] for one in dice.choice(len(chosen), 4)])
    world.boards[0] = boards.EMPTY
    return world


def go(dice, rows):
    """Games of 3×4, some moves old; a pass would end the last."""
    games = Games(Rules(3, 4), 3, rows=3 * rows)
    for game in range(3):
        for _ in range(int(dice.integers(12))):
            games.play(game, int(dice.choice(np.flatnonzero(games.legal(game)[:-1]))))
    if not games.over(2):
        games.play(2, games.actions - 1)
    return games


def agree(trees, tree, plain):
    assert trees.visits(tree).tolist() == plain.visits()
    assert trees.value(tree) == pytest.approx(plain.value(), abs=1e-5)
    np.testing.assert_allclose(trees.policy(tree), plain.policy(), atol=2e-4)
    assert trees.slab.used[tree] <= trees.slab.action.shape[1]


@pytest.mark.parametrize("evaluate", [surprising, blind])
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("searching", SEARCHINGS.values(), ids=SEARCHINGS)
@pytest.mark.parametrize("make", [tictactoe, go])
def test_a_search_is_the_equations(make, searching, noisy, rows, evaluate):
    world = make(np.random.default_rng(0), rows)
    count = len(world.boards) if make is tictactoe else 3
    trees = Trees(count, world.actions, searching, rows=rows)
    for game in range(count):
        trees.begin(game, world.legal(game), np.random.default_rng(game), noisy=noisy)
    while not trees.finished.all():
        trees.step(world, evaluate)
    for game in range(count):
        plain = Plain(world, game, searching, evaluate, rows=rows)
        plain.search(np.random.default_rng(game), noisy=noisy)
        agree(trees, game, plain)


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("select", ["uct", "puct"])
def test_a_search_goes_on_behind_a_move(select, rows):
    """For all moves of a game."""
    world, searching = TicTacToe([boards.EMPTY]), Searching(select, 100)
    trees, plain = Trees(1, 9, searching, nodes=700, rows=rows), Plain(world, 0, searching, surprising, rows=rows)
    for _ in range(5):
        trees.go_on(0, world.legal(0), np.random.default_rng(0))
        while not trees.finished[0]:
            trees.step(world, surprising)
        plain.search(np.random.default_rng(0), noisy=False)
        agree(trees, 0, plain)
        move = trees.best(0)
        assert move == max(range(9), key=lambda a: (plain.visits()[a], plain.nodes[0].prior.get(a, -1)))
        trees.follow(0, move)
        plain.follow(move)
        world.boards[0] = boards.played(world.boards[0], move)
