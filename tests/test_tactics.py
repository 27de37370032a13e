"""Search finds what players know by heart: captures in one and two moves, ladders and what breaks them, from pictures.

A ladder is deep: random playouts do not see its end, and a learned value would have to. So it is searched as what it
is, a game of two players on the real board: the hunter has won when the prey is taken, the prey when it is the hunter's
turn and it has three liberties; moves are those at its liberties. A solver that looks at everything knows the answer.
"""

import functools

import numpy as np
import pytest

from boards import blind
from sparring.agents.match import Searcher, by_playouts
from sparring.agents.mcts import Searching, Trees
from sparring.envs.go.board import BLACK, Board, Start
from sparring.envs.go.coordinates import from_vertex, vertex
from sparring.envs.go.rules import Rules
from sparring.envs.leaves import Leaves

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(picture, komi=0.5):
    """A board from its picture, black to move: X black, O white."""
    rows = [line.split() for line in picture.split("\n") if line.strip()]
    symbols = [symbol for row in rows for symbol in row]
    stones = {colour: [point for point, symbol in enumerate(symbols) if symbol == colour] for colour in "XO"}
    rules = Rules(len(rows), len(rows[0]), komi=komi, cap=300)
    return Board(rules, start=Start(tuple(stones["X"]), tuple(stones["O"]), BLACK))


TAKES = {
    "three stones": (
        """
        . . . . .
        . X X X .
        X O O O .
        . X X X .
        . . . . .
        """,
        10.5,
        "E3",
    ),
    # White has two liberties, C4 and C3; after black at C3 it runs out into one more black stone.
    "two moves": (
        """
        . X . . .
        X O X . .
        X O . . .
        . X . . .
        . . . . .
        """,
        14.5,
        "C3",
    ),
}


@pytest.mark.parametrize("kind", ["uct", "puct", "gumbel"])
@pytest.mark.parametrize("name", TAKES)
def test_stones_that_decide_the_game_are_taken(name, kind):
    picture, komi, best = TAKES[name]
    board = drawn(picture, komi)
    searcher = Searcher(by_playouts, Searching(kind, 1500, c_puct=1.0, considered=25))
    assert vertex(searcher(board, np.random.default_rng(0)), (5, 5)) == best
    assert searcher.trees.value(0) > 0.3


# ---------------------------------------------------------------------------------------------- ladders

LADDER = """
    . . . . . . .
    . . . . . . .
    . . . . . . .
    . . . . . . .
    . X O . . . .
    . X O X . . .
    . X O X . . .
"""
BROKEN = LADDER.replace("    . . . . . . .\n    . . . . . . .", "    . . . . . . .\n    . . . . O . .", 1)
PREY = from_vertex("C1", (7, 7))


def chain(stones, point):
    """The chain at a point, and its liberties."""
    height, width = stones.shape
    found, free, front = {point}, set(), [point]
    while front:
        row, column = divmod(front.pop(), width)
        for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= y < height and 0 <= x < width:
                near = y * width + x
                if stones[y, x] == 0:
                    free.add(near)
                elif stones[y, x] == stones[divmod(point, width)] and near not in found:
                    found.add(near)
                    front.append(near)
    return found, free


class Hunt:
    """Boards: one hunt, black's, from a picture."""

    def __init__(self, picture):
        self.start = drawn(picture)
        self.actions = self.start.rules.area + 1

    @functools.cache  # noqa: B019 - it lives as long as the test
    def seen(self, moves):
        """What may be played, and who has won: 1 the player to move, −1 the other, None nobody yet."""
        board = Board(self.start.rules, moves, self.start.start)
        stones, hunter = board.stones(), board.to_move == BLACK
        if stones.flat[PREY] == 0:
            return (), 1 if hunter else -1
        _, free = chain(stones, PREY)
        if hunter and len(free) > 2:
            return (), -1
        playable = tuple(point for point in sorted(free) if board.allows(point))
        return playable, None if playable else -1

    @functools.cache  # noqa: B019
    def value(self, moves=()):
        """What the hunt is worth to who moves, by looking at everything."""
        playable, won = self.seen(moves)
        return won if won is not None else max(-self.value((*moves, point)) for point in playable)

    def look(self, games, actions, length):
        legal, over = np.zeros((len(length), self.actions), np.uint8), np.zeros(len(length), np.uint8)
        results = np.zeros(len(length), np.float32)
        for row in np.flatnonzero(np.asarray(length) >= 0):
            playable, won = self.seen(tuple(actions[row, : length[row]].tolist()))
            legal[row, list(playable)] = 1
            over[row], results[row] = won is not None, won or 0
        return Leaves(np.zeros((len(length), 1)), legal, over, results)


@pytest.mark.parametrize("kind", ["uct", "puct", "gumbel"])
@pytest.mark.parametrize(("picture", "worth"), [(LADDER, 1), (BROKEN, -1)])
def test_a_ladder_is_read_to_its_end(picture, worth, kind):
    hunt = Hunt(picture)
    assert hunt.value() == worth
    trees = Trees(1, hunt.actions, Searching(kind, 3000, c_puct=1.0, urgency=0.0))
    legal = hunt.look(np.zeros(1, int), np.zeros((1, 1), int), np.zeros(1, int)).legal[0].astype(bool)
    trees.begin(0, legal, np.random.default_rng(0), noisy=False)
    while not trees.finished[0]:
        trees.step(hunt, blind)
    if worth > 0:
        works = [point for point in hunt.seen(())[0] if -hunt.value((point,)) == 1]
        assert trees.best(0) in works
        assert trees.policy(0)[works].sum() > 0.9
    else:
        assert trees.value(0) < -0.5


def set_on_passing(games, hope=0.5):
    """Who would pass at the root, and believes that nobody answers a pass by a pass; all moves are worth the same."""
    games.observe = False
    said = iter([(2.0, hope)])

    def evaluate(leaves, rows):
        liking, value = next(said, (-20.0, 0.0))
        logits = np.zeros((len(rows), games.actions), np.float32)
        logits[:, -1] = liking
        return logits, np.full(len(rows), value, np.float32)

    return evaluate


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(("stone", "passes"), [("X", True), ("O", False)])
def test_a_pass_is_no_advice_where_another_one_loses_the_game(stone, passes, rows):
    """The only stone owns the board, and black, who is to move, would pass."""
    board = drawn(f". . .\n. {stone} .\n. . .")
    searcher = Searcher(set_on_passing, Searching("puct", 30), rows=rows)
    move = searcher(board, np.random.default_rng(0))
    assert searcher.trees.best(0) == 9
    assert (move == 9) == passes
    assert sorted(searcher.ranking()) == sorted(searcher.trees.ranking(0))


def test_who_has_lost_may_pass():
    board = drawn(". . .\n. O .\n. . .")
    searcher = Searcher(functools.partial(set_on_passing, hope=-0.5), Searching("puct", 30))
    assert searcher(board, np.random.default_rng(0)) == 9


@pytest.mark.parametrize(("stone", "passes"), [("X", True), ("O", False)])
def test_a_pass_that_ends_the_game_is_left_to_the_search(stone, passes):
    """White has passed; black's pass ends the game, and the search sees who has won it."""
    board = drawn(f". . .\n. {stone} .\n. . .")
    for move in (0, 9):
        board.play(move)
    searcher = Searcher(set_on_passing, Searching("puct", 30))
    assert (searcher(board, np.random.default_rng(0)) == 9) == passes
    assert searcher.ranking() == searcher.trees.ranking(0)
