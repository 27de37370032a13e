"""The names of moves: one int, as it is written in GTP ("D4") and in SGF ("ce").

A board has `height` rows and `width` columns, at most 19 of each. A move is `row * width + column` with row 0 at the
top, and a pass is `height * width`. GTP counts rows from the bottom and skips the letter I among its columns; SGF
writes the column and then the row, each as a letter counted from the top left.
"""

from __future__ import annotations

import re
from reprlib import repr as brief
from string import ascii_lowercase
from typing import Literal

from sparring.envs.errors import BadInputError

LARGEST = 19  # rows or columns
COLUMNS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"  # of GTP: I looks like J and 1
PASS = "pass"  # in GTP, in either case
PASSES = ("", "tt")  # in SGF; "tt", the twentieth line, on boards that have no such line

Size = tuple[int, int]  # (height, width)
Colour = Literal["B", "W"]


def pass_move(size: Size) -> int:
    """The move that places no stone."""
    height, width = size
    return height * width


def vertex(move: int, size: Size) -> str:
    """The name of a move in GTP.

    Raises:
        BadInputError: there is no such move or no such board.
    """
    check_move(move, size)
    height, width = size
    row, column = divmod(move, width)
    return PASS if move == pass_move(size) else f"{COLUMNS[column]}{height - row}"


def from_vertex(name: str, size: Size) -> int:
    """The move that GTP calls `name`, in either case.

    Raises:
        BadInputError: it names no move of this board ("resign" is none); the message says what does.
    """
    check_size(size)
    if name.lower() == PASS:
        return pass_move(size)
    height, width = size
    parts = re.fullmatch("([A-Z])([1-9][0-9]?)", name, re.ASCII | re.IGNORECASE)
    if parts is None:
        raise BadInputError(f"{brief(name)} is no vertex: {_vertices(size)}, or is {PASS!r}")
    column, row = COLUMNS.find(parts[1].upper()), height - int(parts[2])
    if not (0 <= column < width and row >= 0):
        raise BadInputError(f"{brief(name)} is not on the board of {describe(size)}: {_vertices(size)}")
    return row * width + column


def point(move: int, size: Size) -> str:
    """The name of a move in SGF.

    Raises:
        BadInputError: there is no such move or no such board.
    """
    check_move(move, size)
    row, column = divmod(move, size[1])
    return PASSES[0] if move == pass_move(size) else ascii_lowercase[column] + ascii_lowercase[row]


def from_point(name: str, size: Size) -> int:
    """The move that SGF calls `name`.

    Raises:
        BadInputError: it names no move of this board; the message says what does.
    """
    check_size(size)
    if name in PASSES:
        return pass_move(size)
    height, width = size
    if not re.fullmatch("[a-z]{2}", name):
        raise BadInputError(f"{brief(name)} is no point: {_points(size)}; a pass is empty")
    column, row = (ascii_lowercase.index(letter) for letter in name)
    if not (column < width and row < height):
        raise BadInputError(f"{brief(name)} is not on the board of {describe(size)}: {_points(size)}")
    return row * width + column


def check_size(size: Size) -> None:
    """Make sure that there is such a board.

    Raises:
        BadInputError: there is not.
    """
    height, width = size
    if not (1 <= height <= LARGEST and 1 <= width <= LARGEST):
        raise BadInputError(f"there is no board of {describe(size)}; both run from 1 to {LARGEST}")


def check_move(move: int, size: Size) -> None:
    """Make sure that a board has such a move.

    Raises:
        BadInputError: there is no such move or no such board.
    """
    check_size(size)
    if not 0 <= move <= pass_move(size):
        points = pass_move(size)
        raise BadInputError(
            f"{move} is no move on the board of {describe(size)}: points are 0 to {points - 1}, a pass is {points}"
        )


def describe(size: Size) -> str:
    """A board's size in words that leave no doubt which side is which."""
    height, width = size
    return f"{height} {'row' if height == 1 else 'rows'} and {width} {'column' if width == 1 else 'columns'}"


def _vertices(size: Size) -> str:
    height, width = size
    return f"a vertex is a column from A to {COLUMNS[width - 1]} (there is no I) and a row from 1 to {height}"


def _points(size: Size) -> str:
    height, width = size
    columns, rows = ascii_lowercase[width - 1], ascii_lowercase[height - 1]
    return f"a point is a column from a to {columns} and a row from a to {rows}, counted from the top left"
