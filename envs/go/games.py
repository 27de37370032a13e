"""Games of Go that a search looks ahead in: where they stand, and where ways from there would lead."""

from __future__ import annotations

import numpy as np

from sparring.envs.go import kernels, table
from sparring.envs.go.board import Board
from sparring.envs.go.rules import Rules
from sparring.envs.leaves import Leaves
from sparring.envs.worlds import Array


class Games:
    """B games, each begun and played by itself."""

    def __init__(self, rules: Rules, games: int, rows: int = 0, seed: int = 0) -> None:
        """Lay the boards; `rows` are the most ways looked at together, 0 for one a game. `seed` is for playouts.

        Whoever sets `observe` to False looks at no planes, and none are drawn.
        """
        self.rules = rules
        self.actions = rules.area + 1
        self.table = table.lay(rules, games)
        rows = rows or games
        self.ends = table.lay(rules, rows, seed)  # of ways
        shape = (rows, kernels.PLANES, rules.height, rules.width)
        self.seen = Leaves(
            np.zeros(shape, np.uint8),
            np.zeros((rows, self.actions), np.uint8),
            np.zeros(rows, np.uint8),
            np.zeros(rows, np.float32),
        )
        self.flat = self.seen.obs.reshape(rows, -1)
        self.scratch = np.zeros((2, int(self.table.shape[kernels.STRIP])), np.uint16)
        self.observe = True

    def begin(self, game: int) -> None:
        """An empty board."""
        u, i, k, _, geometry, shape = self.table
        kernels.begin(u[game], i[game], k[game], geometry, shape)

    def take(self, game: int, board: Board) -> None:
        """Stand where a board of the same rules does, with the same past."""
        for mine, its in zip(self.table[:3], board.table[:3], strict=True):
            mine[game] = its[0]

    def play(self, game: int, action: int) -> None:
        """A legal move."""
        u, i, k, *constants = self.table
        kernels.move(u[game], i[game], k[game], *constants, np.uint64(action))

    def legal(self, game: int) -> Array:
        """[A] bool; nothing is legal in a game that is over."""
        u, i, k, *constants = self.table
        legal = np.zeros(self.actions, np.uint8)
        kernels.mask(u[game], i[game], k[game], *constants, legal)
        return legal.astype(bool)

    def over(self, game: int) -> str:
        """How a game ended: "passes", "cap", or "" while it goes on."""
        return ("", "passes", "cap")[int(self.table.u[game, int(kernels.OVER)])]

    def to_move(self, game: int) -> int:
        """1 is black, 2 is white."""
        return int(self.table.u[game, int(kernels.MOVER)])

    def owners(self, game: int) -> Array:
        """Whose area every point is as the board stands [H · W] int8: 1 black's, −1 white's, 0 nobody's."""
        owner = np.zeros(self.rules.area, np.int8)
        kernels.owners(self.table.u[game], self.table.geometry, self.table.shape, owner)
        return owner

    def look(self, games: Array, actions: Array, length: Array) -> Leaves:
        """Where ways of `length` [R] of `actions` [R, D] lead from `games` [R]; see `agents.mcts.Boards`.

        What is returned is written over by the next look.
        """
        u, i, k, *_ = self.ends
        komi = np.float64(self.rules.komi)
        kernels.look_all(
            *self.table,
            u,
            i,
            k,
            games,
            actions,
            length,
            komi,
            self.seen.legal,
            self.flat[: len(self.flat) * self.observe],
            self.seen.results,
            self.seen.over,
            self.scratch,
        )
        return self.seen

    def play_out(self, rows: Array, count: int = 1) -> Array:
        """Random playouts from the last look's rows [n], which they spoil: mean result to who moves there [n]."""
        values = np.zeros(len(rows), np.float32)
        t = self.ends
        kernels.play_out_all(t.u, t.i, t.k, t.z, t.shape, np.float64(self.rules.komi), rows, count, values)
        return values

    def value(self, game: int) -> float:
        """The result as the board stands: 1 if black has won, −1 if white has, 0 for a draw."""
        return float(np.sign(self.owners(game).sum(dtype=int) - self.rules.komi))
