"""A game of Go from the stones set up before it to its result: what `sgf` reads and writes.

Other properties than those with a field of their own go by their SGF identifiers and are kept as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.go.coordinates import Colour, Size, check_move, check_size, pass_move, point

Properties = Mapping[str, tuple[str, ...]]  # identifier → values

COLOURS: tuple[Colour, ...] = get_args(Colour)
LINES = {  # identifier → field of Game that holds its one line of text
    "RU": "rules",
    "PB": "black",
    "PW": "white",
    "BR": "black_rank",
    "WR": "white_rank",
    "RE": "result",
    "DT": "date",
}
SETUP = ("AB", "AW", "AE")
OF_A_PLY = {*COLOURS, *SETUP, "C"}  # what a ply's other properties cannot be
OF_A_GAME = {*OF_A_PLY, *LINES, "FF", "GM", "CA", "SZ", "KM", "HA"}


@dataclass(frozen=True)
class Ply:
    """One move of a game.

    Raises:
        BadInputError: no such colour, or a property that is none of a ply.
    """

    colour: Colour
    move: int
    """row * width + column from the top left; height * width passes"""
    comment: str = ""
    properties: Properties = field(default_factory=dict)
    """all others, private ones too: {"SBKV": ("65.5",)} is Sabaki's win rate in per cent"""

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise BadInputError(f"the colour of a ply is {self.colour!r}; there are {' and '.join(COLOURS)}")
        check_properties(self.properties, OF_A_PLY)


@dataclass(frozen=True)
class Game:
    """A game from the stones set up before it to its result. A text that is not recorded is empty.

    Raises:
        BadInputError: a stone or a move that is not on the board, two stones on one point, a komi that is no number,
            a handicap that does not fit on it, or a property that is none of a root.
    """

    size: Size
    """(height, width)"""
    plies: tuple[Ply, ...] = ()
    komi: float | None = None
    """points that White gets; None where they are not recorded"""
    rules: str = ""
    black: str = ""
    white: str = ""
    black_rank: str = ""
    white_rank: str = ""
    result: str = ""
    """such as B+3.5, W+R, 0 (a draw), Void, ?"""
    date: str = ""
    handicap: int = 0
    """how many stones were given; it sets up none"""
    black_stones: tuple[int, ...] = ()
    """points, set up before the first move"""
    white_stones: tuple[int, ...] = ()
    comment: str = ""
    properties: Properties = field(default_factory=dict)
    """all others of the root, such as {"AP": ("GoGui:1.5",), "PL": ("W",)}"""

    def __post_init__(self) -> None:
        check_size(self.size)
        for ply in self.plies:
            check_move(ply.move, self.size)
        check_stones((*self.black_stones, *self.white_stones), self.size)
        if self.komi is not None and not math.isfinite(self.komi):
            raise BadInputError(f"komi is {self.komi}; it must be a finite number")
        check_ranges(self, handicap=(0, pass_move(self.size)))
        check_properties(self.properties, OF_A_GAME)


def check_stones(stones: Sequence[int], size: Size) -> None:
    """Make sure that stones stand on the board, each on a point of its own.

    Raises:
        BadInputError: one does not.
    """
    taken: set[int] = set()
    for stone in stones:
        check_move(stone, size)
        if stone == pass_move(size):
            raise BadInputError(f"a stone is set up at {stone}, which is a pass; it must stand on a point")
        if stone in taken:
            raise BadInputError(f"the point {point(stone, size)} is set up twice; it must be once at most")
        taken.add(stone)


def check_properties(properties: Properties, fields: Iterable[str]) -> None:
    """Make sure that properties can be written, and that none of them stands in a field of the record.

    Raises:
        BadInputError: one cannot, or does.
    """
    for name, values in properties.items():
        if not re.fullmatch("[A-Z]+", name):
            raise BadInputError(f"{name!r} cannot name a property; that takes capital letters from A to Z")
        if name in fields:
            raise BadInputError(f"{name} cannot be among the other properties; the record has a field for it")
        if not (values and isinstance(values, tuple) and all(isinstance(value, str) for value in values)):
            raise BadInputError(f"{name} is {values!r}; the values of a property are a tuple of at least one text")
