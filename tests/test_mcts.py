"""Search: on tic-tac-toe, which is solved; on trees worked by hand; alone and in a batch."""

import numpy as np
import pytest

import boards
from boards import EMPTY, TicTacToe, blind, opinionated
from sparring.agents import tree as kernels
from sparring.agents.mcts import Searching, Trees, halving
from sparring.envs.errors import BadInputError
from sparring.envs.leaves import Leaves


def searched(world, searching, evaluate, *, seed=0, noisy=False, rows=1, count=None):
    """Trees of a finished search in every game of a world."""
    trees = Trees(len(world.boards), 9, searching, rows=rows)
    for game in range(len(world.boards)):
        trees.begin(game, world.legal(game), np.random.default_rng([seed, game]), noisy=noisy, simulations=count or 0)
    while not trees.finished.all():
        trees.step(world, evaluate)
    return trees


@pytest.mark.parametrize(
    "searching",
    [
        Searching("puct", 2000, c_puct=1.5, urgency=0.0),
        Searching("uct", 2500, c_puct=1.0),
        Searching("gumbel", 1600, considered=9),
    ],
    ids=lambda searching: searching.select,
)
def test_every_position_of_tic_tac_toe_is_solved(searching):
    """All in which somebody is to move, but for turned and mirrored ones, in one batch."""
    chosen = boards.unlike()
    assert len(chosen) == 627
    world = TicTacToe(chosen)
    trees = searched(world, searching, blind)
    for game, board in enumerate(chosen):
        assert trees.best(game) in boards.best(board), board


def test_values_are_of_who_is_to_move():
    """X to move wins at once at 2; O to move in the mirrored position does; and each loses where only the other can."""
    x_wins = (1, 1, 0, -1, -1, 0, 0, 0, 0)
    o_wins = (1, 1, 0, -1, -1, 0, 1, 0, 0)
    lost = (1, 1, 0, 0, -1, 0, 1, 0, -1)  # O to move: X threatens 2 and 3
    trees = searched(TicTacToe([x_wins, o_wins, lost]), Searching("puct", 400), blind)
    assert [trees.best(game) for game in range(2)] == [2, 5]
    assert trees.value(0) > 0.8
    assert trees.value(1) > 0.8
    assert trees.value(2) < -0.8


@pytest.mark.parametrize("rule", ["uct", "puct", "gumbel"])
@pytest.mark.parametrize("noisy", [False, True])
def test_a_batch_of_games_is_searched_as_each_alone(rule, noisy):
    chosen = boards.positions()[::500]
    searching = Searching(rule, 60, considered=4)
    together = searched(TicTacToe(chosen), searching, opinionated, noisy=noisy)
    for game, board in enumerate(chosen):
        trees, world = Trees(1, 9, searching), TicTacToe([board])
        trees.begin(0, world.legal(0), np.random.default_rng([0, game]), noisy=noisy)
        while not trees.finished.all():
            trees.step(world, opinionated)
        for field in ("prior", "value", "first", "degree", "action", "visits", "total", "child"):
            extent = "used" if field in ("action", "visits", "total", "child") else "size"
            count = getattr(together.slab, extent)[game]
            assert getattr(trees.slab, extent)[0] == count
            np.testing.assert_array_equal(
                getattr(trees.slab, field)[0, :count], getattr(together.slab, field)[game, :count]
            )
        np.testing.assert_array_equal(trees.policy(0), together.policy(game))
        assert trees.best(0) == together.best(game)


@pytest.mark.parametrize("rule", ["uct", "puct", "gumbel"])
def test_a_search_spends_what_it_has_and_looks_at_an_end_once(rule):
    nearly = (1, -1, 1, -1, 1, -1, 0, 1, 0)  # O to move: two moves, then one
    world = TicTacToe([nearly])
    asked = []

    def evaluate(leaves, rows):
        asked.append(len(rows))
        return blind(leaves, rows)

    trees = searched(world, Searching(rule, 50, considered=2), evaluate)
    assert trees.visits(0).sum() == 50
    assert sum(asked) < world.looked <= 5  # the root, its two children, and theirs, of which some are ends


# ---------------------------------------------------------------------------------------------- by hand


class Chain:
    """Two actions; the first goes on, the second ends the game and is worth `prize` to who took it."""

    actions = 2

    def __init__(self, prize):
        self.prize = prize

    def look(self, games, actions, length):
        over = np.array([n > 0 and row[n - 1] == 1 for row, n in zip(actions, length, strict=True)], np.uint8)
        return Leaves(
            np.asarray(length, np.float32)[:, None],
            np.ones((len(games), 2), np.uint8),
            over,
            np.full(len(games), -self.prize, np.float32),
        )


def told(leaves, rows):
    """Prior ¾ and ¼, value 0.1 to who is to move."""
    return np.tile(np.log([0.75, 0.25]).astype(np.float32), (len(rows), 1)), np.full(len(rows), 0.1, np.float32)


def test_puct_on_a_tree_worked_by_hand():
    """c = 1, f = 0.

    Root: V = 0.1. First: Q = 0.1 for both, U = ¾ · 1 and ¼ · 1: action 0, whose node says 0.1, so W(0) = −0.1.
    Second: V̄ = (0.1 − 0.1) / 2 = 0; √2 = 1.414: −0.1 + ¾ · 1.414 / 2 = 0.430 against 0 + ¼ · 1.414 = 0.354: action 0;
        there V = 0.1, action 0 again, whose node says 0.1: −0.1 there, and +0.1 at the root: W(0) = 0.
    Third: V̄ = 0.1 / 3; √3 = 1.732: 0 + ¾ · 1.732 / 3 = 0.433 against 0.033 + ¼ · 1.732 = 0.466: action 1, and W(1) = 1.
    """
    trees = Trees(1, 2, Searching("puct", 3, c_puct=1.0, urgency=0.0))
    world = Chain(1.0)
    trees.begin(0, np.ones(2, bool), np.random.default_rng(0), noisy=False)
    wanted = [([0, 0], [0, 0]), ([1, 0], [-0.1, 0]), ([2, 0], [0, 0]), ([2, 1], [0, 1])]
    for visits, total in wanted:
        trees.step(world, told)
        assert trees.visits(0).tolist() == visits
        np.testing.assert_allclose(trees.total(0), total, atol=1e-6)
    assert trees.finished[0]
    assert trees.value(0) == pytest.approx((0.1 + 0 + 1) / 4)
    np.testing.assert_allclose(trees.policy(0), [2 / 3, 1 / 3])


def test_urgency_makes_what_nobody_tried_look_worse():
    """As above with f = 1: at the second simulation 0.430 stands against 0 − √¾ + 0.354; at the third too."""
    trees = Trees(1, 2, Searching("puct", 3, c_puct=1.0, urgency=1.0))
    trees.begin(0, np.ones(2, bool), np.random.default_rng(0), noisy=False)
    while not trees.finished[0]:
        trees.step(Chain(1.0), told)
    assert trees.visits(0).tolist() == [3, 0]


def test_uct_tries_every_move_once_and_then_the_best_bound():
    """Two moves, the second worth 1: both are tried, and then the second is taken, for the first has −0.1."""
    trees = Trees(1, 2, Searching("uct", 3, c_puct=0.1))
    trees.begin(0, np.ones(2, bool), np.random.default_rng(0), noisy=False)
    seen = []
    while not trees.finished[0]:
        trees.step(Chain(1.0), told)
        seen.append(trees.visits(0).tolist())
    assert seen[1] in ([1, 0], [0, 1])
    assert seen[2:] == [[1, 1], [1, 2]]


def test_uct_tries_the_moves_of_each_node_in_an_order_of_its_own():
    """A node with few visits would else know but one side of the board."""
    prior, none = np.full(81, 1 / 81, np.float32), np.zeros(0, np.int32)
    first = [kernels.next_scrambled(prior, node, none) for node in range(2_000)]
    often = np.bincount(first, minlength=81)
    assert often.min() >= 5  # of 25 on average
    assert often.max() <= 60
    prior[first[0]] = -1  # what is not legal is not tried
    assert kernels.next_scrambled(prior, 0, none) not in (first[0], -1)


def test_the_completed_value_is_the_papers():
    """One visited action of two: v_mix = (v + N Σ P Q / Σ P(visited)) / (1 + N), σ(q) = (c + max N) s (q + 1) / 2."""
    trees = Trees(1, 2, Searching("gumbel", 1, considered=1, c_visit=2.0, c_scale=0.5))
    trees.begin(0, np.ones(2, bool), np.random.default_rng(0), noisy=False)
    while not trees.finished[0]:
        trees.step(Chain(1.0), told)
    assert trees.visits(0).tolist() == [1, 0]
    q, mixed = -0.1, (0.1 + 1 * -0.1) / 2
    logits = np.log([0.75, 0.25]) + (2 + 1) * 0.5 * (np.array([q, mixed]) + 1) / 2
    np.testing.assert_allclose(trees.policy(0), np.exp(logits) / np.exp(logits).sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("considered", "simulations", "plan"),
    [
        (1, 4, [0, 1, 2, 3]),
        (2, 6, [0, 0, 1, 1, 2, 2]),
        (4, 8, [0, 0, 0, 0, 1, 1, 2, 2]),
        (4, 16, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        (8, 4, [0, 0, 0, 0]),
    ],
)
def test_the_better_half_goes_on(considered, simulations, plan):
    assert list(halving(considered, simulations)) == plan


def test_gumbels_advice_is_better_than_the_prior():
    """Whatever the logits and the values are, Σ π Q > Σ P Q on average, with the policy and with the move itself."""
    dice = np.random.default_rng(0)

    class Bandit:
        actions = 6

        def __init__(self):
            self.values = dice.uniform(-1, 1, 6)

        def look(self, games, actions, length):
            ends = np.asarray(length) > 0
            return Leaves(
                np.zeros((len(games), 1)),
                np.ones((len(games), 6), np.uint8),
                ends.astype(np.uint8),
                np.float32(-self.values[actions[:, 0]]),
            )

    for _ in range(20):
        world, logits = Bandit(), dice.normal(size=6).astype(np.float32)
        prior = np.exp(logits) / np.exp(logits).sum()
        before = float(prior @ world.values)

        def evaluate(leaves, rows, logits=logits, before=before):
            return np.tile(logits, (len(rows), 1)), np.full(len(rows), before, np.float32)

        trees = Trees(200, 6, Searching("gumbel", 4, considered=4))
        for game in range(200):
            trees.begin(game, np.ones(6, bool), np.random.default_rng(game))
        while not trees.finished.all():
            trees.step(world, evaluate)
        assert np.mean([trees.policy(game) @ world.values for game in range(200)]) > before
        chosen = world.values[[trees.best(game) for game in range(200)]]
        assert chosen.mean() > before - 2 * chosen.std() / 200**0.5


# ---------------------------------------------------------------------------------------------- noise, reuse, rows


def test_noise_is_mixed_into_the_root_and_nowhere_else():
    searching = Searching("puct", 30, noise=0.25)
    quiet, noisy = (searched(TicTacToe([EMPTY]), searching, opinionated, noisy=with_it) for with_it in (False, True))
    mixed = 0.75 * quiet.slab.prior[0, 0] + 0.25 * noisy.slab.noise[0]
    np.testing.assert_allclose(noisy.slab.prior[0, 0], mixed, atol=1e-6)
    assert noisy.slab.noise[0].sum() == pytest.approx(1)
    inner = [node for node in range(1, 30) if not noisy.slab.over[0, node]]
    assert all(noisy.slab.prior[0, node][noisy.slab.prior[0, node] >= 0].sum() == pytest.approx(1) for node in inner)


def test_forced_visits_are_not_learned_from():
    """A bad move that the prior likes is forced at the root; the target says what PUCT alone would have spent on it."""
    world, searching = TicTacToe([(1, 1, 0, -1, -1, 0, 0, 0, 0)]), Searching("puct", 200, forced=2.0, noise=0.0)
    forced = searched(world, searching, blind, noisy=True)
    visits = forced.visits(0)
    legal = world.legal(0)
    floor = np.sqrt(2.0 * forced.slab.prior[0, 0].clip(0) * 200)
    tried = legal & (visits > 1)
    assert (visits[tried] >= np.floor(floor[tried])).all()
    assert forced.policy(0)[2] > visits[2] / 200  # the winning move's share grows
    assert forced.policy(0).sum() == pytest.approx(1)
    assert (forced.policy(0)[~legal] == 0).all()


def test_what_was_found_behind_a_move_is_kept():
    world = TicTacToe([EMPTY])
    trees = Trees(1, 9, Searching("puct", 200), nodes=800)
    trees.begin(0, world.legal(0), np.random.default_rng(0), noisy=False)
    while not trees.finished[0]:
        trees.step(world, opinionated)
    move = trees.best(0)
    node = int(trees.by_action(0, 0, trees.slab.child)[move])
    visits, prior = trees.by_action(0, node, trees.slab.visits), trees.slab.prior[0, node].copy()
    trees.follow(0, move)
    world.boards[0] = boards.played(EMPTY, move)
    np.testing.assert_array_equal(trees.visits(0), visits)
    np.testing.assert_array_equal(trees.slab.prior[0, 0], prior)
    trees.go_on(0, world.legal(0), np.random.default_rng(0))
    while not trees.finished[0]:
        trees.step(world, opinionated)  # the world checks that every way is legal
    assert trees.visits(0).sum() == visits.sum() + 200
    children = np.array([trees.by_action(0, node, trees.slab.child) for node in range(trees.slab.size[0])])
    assert sorted(children[children > 0].tolist()) == list(range(1, trees.slab.size[0]))


def test_what_lies_between_the_edges_is_never_an_index():
    """Room that edges moved away from, or have not come to, holds whatever was there; in Python indices are checked."""
    world = TicTacToe([EMPTY])
    trees = searched(world, Searching("puct", 200), opinionated)
    slab = trees.slab
    ends = [(slab.first[0, node], slab.degree[0, node]) for node in range(slab.size[0])]
    owned = np.concatenate([np.arange(first, first + degree) for first, degree in ends])
    slab.child[0, np.setdiff1d(np.arange(slab.child.shape[1]), owned)] = 2**30
    kernels.keep.py_func(slab, 0, trees.best(0), trees.rule)
    assert 0 < slab.size[0] < len(ends)
    children = np.array([trees.by_action(0, node, slab.child) for node in range(slab.size[0])])
    assert sorted(children[children > 0].tolist()) == list(range(1, slab.size[0]))


def test_rows_of_one_tree_are_driven_apart_and_leave_no_trace():
    """Eight leaves a round: the visits are as many, virtual losses are all taken back, no node stands twice."""
    world = TicTacToe([EMPTY])
    trees = searched(world, Searching("puct", 160), opinionated, rows=8)
    slab, size = trees.slab, trees.slab.size[0]
    visited, total, child = (
        np.array([trees.by_action(0, node, field) for node in range(size)])
        for field in (slab.visits, slab.total, slab.child)
    )
    assert visited[0].sum() == 160
    assert np.abs(total).max() <= visited.max()
    for node in range(1, size):
        parent = slab.parent[0, node]
        action = int(np.flatnonzero(child[parent] == node)[0])
        visits = visited[parent, action]
        inner = visited[node].sum()
        assert inner <= visits
        if not slab.over[0, node] and inner == visits - 1:
            whole = slab.value[0, node] + total[node].sum()
            assert total[parent, action] == pytest.approx(-whole, abs=1e-4)


def test_a_tree_never_outgrows_its_room():
    world = TicTacToe([EMPTY])
    for select in ("puct", "gumbel"):
        trees = Trees(1, 9, Searching(select, 20), nodes=50)
        trees.begin(0, world.legal(0), np.random.default_rng(0), simulations=1000, noisy=False)
        rounds = 0
        while not trees.finished[0]:
            trees.step(world, opinionated)
            rounds += 1
        assert trees.slab.size[0] <= 50
        assert trees.visits(0).sum() == (49 if select == "puct" else 20)
        assert rounds <= 50


def test_what_cannot_be_searched_with():
    with pytest.raises(BadInputError, match="select is 'ucb'; it can be uct, puct, gumbel"):
        Searching("ucb")
    with pytest.raises(BadInputError, match="simulations is 0"):
        Searching(simulations=0)


def test_exponentials_are_right_to_five_digits():
    x = np.concatenate([np.linspace(-10, 0, 3001), np.linspace(-100, -10, 300)]).astype(np.float32)
    found = np.array([kernels.exponential(one) for one in x])
    np.testing.assert_allclose(found[:3001], np.exp(x[:3001].astype(float)), rtol=1e-5)
    assert np.abs(found[3001:] - np.exp(x[3001:].astype(float))).max() < 1e-7
