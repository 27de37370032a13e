"""A game of Go as a controller tells it: colours need not alternate, moves are taken back, passes end nothing.

The board is our own, exact in all rules; where a colour moves twice running the other one has passed in between.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sparring.envs.go import sgf
from sparring.envs.go.board import EMPTY_BOARD, MOVERS, Board, Start
from sparring.envs.go.board import handicap as given
from sparring.envs.go.coordinates import from_vertex, vertex
from sparring.envs.go.rules import Rules
from sparring.runners.gtp_talk import Refusal, number_of

LONGEST_GAME = 2_000  # plies: no controller's game is cut
HANDICAP = {  # (column, row from below) of the lines near 1 and far 3, with 2 between, in GNU Go's order
    2: "33 11",
    3: "33 11 13",
    4: "33 11 13 31",
    5: "33 11 13 31 22",
    6: "33 11 13 31 12 32",
    7: "33 11 13 31 12 32 22",
    8: "33 11 13 31 12 32 21 23",
    9: "33 11 13 31 12 32 21 23 22",
}


def turn_to(board: Board, colour: int) -> None:
    """Let a colour be to move: the other passes, and a game that passes have ended goes on.

    Raises:
        Refusal: the game is too long.
    """
    for _ in range(2):
        if board.over == "cap":
            raise Refusal("the game is too long")
        if board.over:
            board.resume()
        if board.to_move == colour:
            return
        board.play(board.rules.area)


class Told:
    """What a controller has told of a game."""

    def __init__(self, rules: Rules) -> None:
        self.rules = replace(rules, cap=LONGEST_GAME)
        self.begin()

    def begin(self, start: Start = EMPTY_BOARD) -> None:
        """A new game."""
        self.start = start
        self.given: list[tuple[int, int]] = []  # (colour, move) as the controller and we have made them
        self.board = Board(self.rules, start=start)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rules.height, self.rules.width

    def name_of(self, move: int | None) -> str:
        """A move in words."""
        return "resign" if move is None else vertex(move, self.size)

    def built(self, given: Sequence[tuple[int, int]], to_move: int = 0) -> Board:
        """The board after moves of given colours, and with a colour to move: who is not asked passes, and a game that
        passes have ended goes on.

        Raises:
            Refusal: a move is not legal.
        """
        board = Board(self.rules, start=self.start)
        for colour, move in given:
            turn_to(board, colour)
            if not board.allows(move):
                raise Refusal("illegal move")
            board.play(move)
        if to_move:
            turn_to(board, to_move)
        return board

    def put(self, colour: int, move: int) -> None:
        """A move of a colour.

        Raises:
            Refusal: it is not legal.
        """
        board = self.built(self.given, colour)
        if not board.allows(move):
            raise Refusal("illegal move")
        board.play(move)
        self.board = board
        self.given.append((colour, move))

    def change_komi(self, komi: float) -> None:
        """White's points; the position stays."""
        self.rules = replace(self.rules, komi=komi)
        self.board = self.built(self.given)

    def undo(self, count: int) -> None:
        """Take moves back.

        Raises:
            Refusal: there are not so many.
        """
        if len(self.given) < count:
            raise Refusal("cannot undo")
        self.given = self.given[:-count]
        self.board = self.built(self.given)

    def load(self, words: list[str]) -> None:
        """A game from a file, up to before a move.

        Raises:
            Refusal: no file is named, or its board is of another size.
            BadInputError: it cannot be read.
        """
        try:
            name, *rest = shlex.split(" ".join(words))
        except ValueError as error:
            raise Refusal(f"a file is wanted: {error}") from None
        game = sgf.load(Path(name))
        if game.size != self.size:
            raise Refusal("unacceptable size")
        if rest:
            game = replace(game, plies=game.plies[: number_of(rest, 1) - 1])
        board = Board.of(game, self.rules)
        self.rules, self.start, self.board = board.rules, board.start, board
        self.given = [(MOVERS[ply.colour], ply.move) for ply in game.plies]

    def handicap(self, count: int) -> list[int]:
        """Stones where they are wont to stand.

        Raises:
            Refusal: the board is too small for so many, or not empty.
        """
        height, width = self.size
        most = 9 if height == width and height % 2 and height >= 9 else 4 if height == width and height >= 7 else 0
        self._check_empty()
        if not 2 <= count <= most:
            raise Refusal("invalid number of stones")
        near = 3 if height > 11 else 2
        lines = {"1": near, "2": height // 2, "3": height - 1 - near}
        points = [(lines[place[0]], lines[place[1]]) for place in HANDICAP[count].split()]
        stones = [(height - 1 - row) * width + column for column, row in points]
        self.begin(given(stones))
        return stones

    def set_handicap(self, words: list[str]) -> None:
        """Stones where a controller wants them.

        Raises:
            Refusal: there are fewer than two, one is a pass, or the board is not empty.
        """
        self._check_empty()
        stones = [from_vertex(word, self.size) for word in words]
        if len(stones) < 2 or self.rules.area in stones:
            raise Refusal("bad vertex list")
        self.begin(given(stones))

    def _check_empty(self) -> None:
        if self.given or self.start != EMPTY_BOARD:
            raise Refusal("board not empty")

    @property
    def score(self) -> str:
        """By area, as the board stands: nothing is taken off as dead."""
        margin = self.board.margin()
        return f"{'B' if margin > 0 else 'W'}+{abs(margin):g}" if margin else "0"

    def chains(self) -> Iterator[tuple[int, list[int]]]:
        """The colour and the stones of every chain."""
        stones = self.board.stones()
        left = {point for point in range(self.rules.area) if stones.flat[point]}
        while left:
            colour, chain = int(stones.flat[min(left)]), [min(left)]
            left.remove(chain[0])
            for point in chain:
                joined = [one for one in self.near(point) if one in left and stones.flat[one] == colour]
                left.difference_update(joined)
                chain += joined
            yield colour, chain

    def near(self, point: int) -> list[int]:
        """The points above, below, left and right."""
        (height, width), (row, column) = self.size, divmod(point, self.size[1])
        upright = [point - width] * (row > 0) + [point + width] * (row < height - 1)
        return upright + [point - 1] * (column > 0) + [point + 1] * (column < width - 1)

    def beside(self, chain: list[int]) -> set[int]:
        """A chain's liberties."""
        stones = self.board.stones()
        return {one for point in chain for one in self.near(point) if not stones.flat[one]}
