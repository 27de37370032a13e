"""A game of Go for people and tests: one board, moves by action or by name, drawn as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np

from sparring.envs.errors import BadInputError
from sparring.envs.go import kernels, table
from sparring.envs.go.coordinates import COLUMNS, Colour, vertex
from sparring.envs.go.record import Game, Ply
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.worlds import Array

BLACK, WHITE = int(kernels.BLACK), int(kernels.WHITE)
SIGNS = "·XO"
COLOURS = {BLACK: "black", WHITE: "white"}
LETTERS: dict[int, Colour] = {BLACK: "B", WHITE: "W"}
MOVERS: dict[str, int] = {letter: colour for colour, letter in LETTERS.items()}


class Start(NamedTuple):
    """How a board stands before the first move."""

    black: tuple[int, ...] = ()
    white: tuple[int, ...] = ()
    to_move: int = BLACK


def handicap(stones: Iterable[int]) -> Start:
    """Black stones, after which white moves first; without any, an empty board."""
    black = tuple(stones)
    return Start(black, (), WHITE if black else BLACK)


EMPTY_BOARD = Start()


class Board:
    """A game in progress. An action is a point, row · W + column with row 0 at the top, or H · W for a pass."""

    def __init__(self, rules: Rules, moves: Iterable[int] = (), start: Start = EMPTY_BOARD) -> None:
        """The game after `moves`, from an empty board or another `start`.

        Raises:
            BadInputError: a move is not legal, or stones do not stand on different points with liberties.
        """
        self.rules = rules
        self.start = start
        self.table = table.lay(rules, 1)
        if start != EMPTY_BOARD:
            self._set_up(start)
        self.resumed = 0  # times that play was taken up again after two passes
        self.moves: list[int] = []
        for action in moves:
            self.play(action)

    def _set_up(self, start: Start) -> None:
        stones = [*start.black, *start.white]
        if len({*stones}) < len(stones) or not all(0 <= point < self.rules.area for point in stones):
            raise BadInputError(f"stones at {stones} are not on different points of {self.rules.area}")
        black, white = (np.array(points, np.uint16) for points in start[:2])
        constants = self.table.z, self.table.geometry, self.table.shape
        kernels.set_up(*self._rows, *constants, black, white, np.uint16(start.to_move))
        if np.count_nonzero(self.stones()) < len(stones):
            raise BadInputError(f"stones at {stones} leave some of them no liberty")

    @classmethod
    def of(cls, game: Game, rules: Rules) -> Self:
        """Where a recorded game ended, on its board and with its komi, if it records one; the rest are `rules`.

        Who moves first is who does in the record, or whom its PL names; else white where only black stones stand.

        Raises:
            BadInputError: a player moves twice running, or a move or stone is not legal.
        """
        given = handicap(game.black_stones) if not game.white_stones else Start(game.black_stones, game.white_stones)
        first = game.plies[0].colour if game.plies else "".join(game.properties.get("PL", ()))[:1].upper()
        given = given._replace(to_move=MOVERS.get(first, given.to_move))
        board = cls(chosen(rules, game.size, game.komi), start=given)
        for number, ply in enumerate(game.plies, 1):
            if ply.colour != board.turn:
                raise BadInputError(f"move {number} is {ply.colour}'s, and it is {board.turn}'s turn")
            board.play(ply.move)
        return board

    @property
    def _rows(self) -> tuple[Array, Array, Array]:
        return self.table.u[0], self.table.i[0], self.table.k[0]

    @property
    def to_move(self) -> int:
        """1 is black, 2 is white."""
        return int(self.table.u[0, kernels.MOVER])

    @property
    def turn(self) -> Colour:
        """Who is to move, by its letter."""
        return LETTERS[self.to_move]

    @property
    def plies(self) -> tuple[Ply, ...]:
        """The moves and who made them."""
        turns = [LETTERS[self.start.to_move], LETTERS[3 - self.start.to_move]]
        return tuple(Ply(turns[number % 2], move) for number, move in enumerate(self.moves))

    def record(self, **told: Any) -> Game:
        """The game so far; `told` are other fields of it, such as black="ours" or a rules' name."""
        rules, margin = self.rules, self.margin()
        result = f"{'B' if margin > 0 else 'W'}+{abs(margin):g}" if margin else "0"
        return Game(
            **{
                "size": (rules.height, rules.width),
                "plies": self.plies,
                "komi": rules.komi,
                "result": result if self.over else "",
                "handicap": len(self.start.black) if self.start == handicap(self.start.black) else 0,
                "black_stones": self.start.black,
                "white_stones": self.start.white,
                "properties": {"PL": (LETTERS[self.start.to_move],)} if self.start != EMPTY_BOARD else {},
                **told,
            }
        )

    @property
    def over(self) -> str:
        """How the game ended: "passes", "cap", or "" while it goes on."""
        return ("", "passes", "cap")[int(self.table.u[0, kernels.OVER])]

    def allows(self, action: int) -> bool:
        """Whether an action is legal now; one that does not exist is not."""
        return 0 <= action <= self.rules.area and bool(self.legal()[action])

    def legal(self) -> Array:
        """[H · W + 1] bool; nothing is legal in a game that is over. One thread at a time: it marks points."""
        legal = np.zeros(self.rules.area + 1, np.uint8)
        kernels.mask(*self._rows, self.table.z, self.table.geometry, self.table.shape, legal)
        return legal.astype(bool)

    def play(self, action: int) -> None:
        """Play the mover's action.

        Raises:
            BadInputError: it is not legal.
        """
        if self.over:
            raise BadInputError(
                f"the game is over ({self.over}) after {len(self.moves)} moves; there is no move {action}"
            )
        if not self.allows(action):
            size = (self.rules.height, self.rules.width)
            named = vertex(action, size) if 0 <= action <= self.rules.area else "nowhere"
            raise BadInputError(
                f"{COLOURS[self.to_move]} may not play {action} ({named}) as move {len(self.moves) + 1} "
                f"on {size[0]} × {size[1]} under {self.rules.ko} ko:\n{self}"
            )
        kernels.move(*self._rows, self.table.z, self.table.geometry, self.table.shape, np.uint64(action))
        self.moves.append(action)

    def resume(self) -> None:
        """Play on after two passes, as players do who disagree about what is dead."""
        self.table.u[0, int(kernels.OVER)] = self.table.u[0, int(kernels.PASSES)] = 0
        self.resumed += 1

    def stones(self) -> Array:
        """[H, W] uint8: 0 empty, 1 black, 2 white."""
        strip = int(self.table.shape[kernels.STRIP])
        field = self.table.u[0, int(kernels.COUNTERS) : int(kernels.COUNTERS) + strip]
        return field[self.table.geometry[strip:]].reshape(self.rules.height, self.rules.width).astype(np.uint8)

    def planes(self, *, mine: bool = True) -> Array:
        """What the mover sees [10, H, W] uint8, or with `mine` False the other; see `kernels.planes`."""
        t, legal = self.table, self.legal().astype(np.uint8)[None]
        seen = np.zeros((1, kernels.PLANES * self.rules.area), np.uint8)
        kernels.planes_all(t.u, t.i, t.geometry, t.shape, legal, np.float64(self.rules.komi), seen)
        planes = seen.reshape(kernels.PLANES, self.rules.height, self.rules.width)
        return planes if mine else other_side(planes)

    def areas(self) -> tuple[int, int]:
        """Points of black and white: stones, and empty regions that reach one colour only."""
        scratch = np.zeros((2, int(self.table.shape[kernels.STRIP])), np.uint16)
        black, white = kernels.areas(self.table.u[0], self.table.shape, scratch)
        return int(black), int(white)

    def pass_alive(self, colour: int) -> Array:
        """What `colour` keeps though it pass for ever [H, W] uint8: 1 its stones, 2 its eyes (Benson 1976)."""
        strip = int(self.table.shape[kernels.STRIP])
        alive = np.zeros(strip, np.uint8)
        kernels.pass_alive(self.table.u[0], self.table.shape, np.uint16(colour), alive)
        return alive[self.table.geometry[strip:]].reshape(self.rules.height, self.rules.width)

    def margin(self) -> float:
        """Black's points less white's and komi, as the board stands."""
        black, white = self.areas()
        return black - white - self.rules.komi

    def __str__(self) -> str:
        """The board with its coordinates, the last move in brackets."""
        last = self.moves[-1] if self.moves else None
        height, width = self.rules.height, self.rules.width
        letters = "  ".join(COLUMNS[:width])
        lines = []
        for row, stones in enumerate(self.stones()):
            cells = []
            for column, stone in enumerate(stones):
                shown = SIGNS[stone]
                cells.append(f"({shown})" if row * width + column == last else f" {shown} ")
            lines.append(f"{height - row:2} {''.join(cells)}")
        return "\n".join([*lines, f"    {letters}"])


def other_side(seen: Array) -> Array:
    """What the other player sees of the same board, from the mover's planes [10, H, W]."""
    turned = seen.copy()
    turned[[0, 1]] = seen[[1, 0]]
    turned[4] = 0  # nothing is forbidden to who is not to move
    turned[8] = 1 - seen[8]
    turned[9] = 256 - seen[9].astype(np.int64).clip(1, 255)
    return turned
