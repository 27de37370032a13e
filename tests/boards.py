"""Tic-tac-toe as a search sees it, and solved: what tests of the search are held to."""

import functools

import numpy as np

from sparring.envs.leaves import Leaves

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
EMPTY = (0,) * 9


def mover(board):
    """1 begins."""
    return 1 if sum(board) == 0 else -1


def won(board):
    """Whether who has just moved has three in a line."""
    return any(board[a] == board[b] == board[c] == -mover(board) for a, b, c in LINES)


@functools.cache
def moves(board):
    return [] if won(board) else [point for point in range(9) if board[point] == 0]


def played(board, point):
    return (*board[:point], mover(board), *board[point + 1 :])


@functools.cache
def value(board):
    """What the position is worth to who moves, by looking at everything."""
    if won(board):
        return -1
    return max((-value(played(board, point)) for point in moves(board)), default=0)


def best(board):
    """The moves that keep the value."""
    return {point for point in moves(board) if -value(played(board, point)) == value(board)}


@functools.cache
def positions():
    """Every position in which somebody is to move."""
    found, front = set(), [EMPTY]
    while front:
        board = front.pop()
        if board not in found and moves(board):
            found.add(board)
            front += [played(board, point) for point in moves(board)]
    return sorted(found)


def unlike():
    """One position of all that are each other turned or mirrored."""
    grids = [np.array(board).reshape(3, 3) for board in positions()]
    turned = [[np.rot90(one, quarter) for one in (grid, grid.T) for quarter in range(4)] for grid in grids]
    return sorted({min(tuple(map(int, one.ravel())) for one in alike) for alike in turned})


@functools.cache
def seen(board):
    """A leaf's fields."""
    legal = moves(board)
    return (
        np.array([mover(board) * stone for stone in board], np.float32),
        np.array([point in legal for point in range(9)], np.uint8),
        np.uint8(not legal),
        np.float32(-1 if won(board) else 0),
    )


class TicTacToe:
    """Boards."""

    actions = 9

    def __init__(self, boards):
        self.boards = list(boards)
        self.looked = 0

    def legal(self, game):
        return np.array([point in moves(self.boards[game]) for point in range(9)])

    def look(self, games, actions, length):
        ends = [self._end(*row) for row in zip(games, actions, length, strict=True)]
        self.looked += int((np.asarray(length) >= 0).sum())
        return Leaves(*(np.array(field) for field in zip(*map(seen, ends), strict=True)))

    def _end(self, game, actions, length):
        board = self.boards[game]
        for action in actions[: max(length, 0)].tolist():
            assert action in moves(board)
            board = played(board, action)
        return board


def blind(leaves, rows):
    """Knows nothing: a flat policy, every value 0."""
    return np.zeros((len(rows), leaves.legal.shape[1]), np.float32), np.zeros(len(rows), np.float32)


def opinionated(leaves, rows):
    """Knows no better, but has opinions that follow from what it sees."""
    seed = leaves.obs[rows].reshape(len(rows), -1).astype(np.float64)
    weights = np.sin(np.arange(1, seed.shape[1] + 1))
    key = seed @ weights
    logits = np.cos(key[:, None] + np.arange(leaves.legal.shape[1]))
    return logits.astype(np.float32), (np.sin(3 * key) / 2).astype(np.float32)
