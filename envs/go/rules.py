"""Rules of Go: the size of the board, which repetition is forbidden, suicide, komi, how long a game may last.

Passing is always legal and two passes end a game; stones and empty regions that reach one colour only are counted (area
scoring, Tromp–Taylor), nothing is taken off as dead.

    tromp-taylor    positional superko, suicide of several stones          tromp.github.io/go.html
    chinese         positional superko, no suicide
    cgos            the same with komi 7 on 9×9, as the server plays       yss-aya.com/cgos
    aga             situational superko, no suicide
    simple-ko       only an immediate recapture is forbidden, no suicide: long cycles go on until the cap
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from numbers import Integral
from typing import Literal, get_args

from sparring.envs.errors import BadInputError, UnknownNameError, check_ranges
from sparring.envs.go.coordinates import LARGEST

Ko = Literal["simple", "positional", "situational"]
SHORTEST_CAP = 16  # plies


@dataclass(frozen=True)
class Rules:
    """What is played."""

    height: int = 9
    """rows"""
    width: int = 9
    """columns"""
    ko: Ko = "positional"
    """what may not recur: a single stone's recapture, a position, a position with the same player to move"""
    suicide: bool = False
    """whether a move may take its own stones"""
    komi: float = 7.0
    """points that white is given; whole ones allow draws"""
    cap: int = 0
    """plies after which a game is cut and counted; 0: twice the points of the board, at least 16"""

    def __post_init__(self) -> None:
        for name in ("height", "width", "cap"):
            if not isinstance(getattr(self, name), Integral):
                raise BadInputError(f"{name} is {getattr(self, name)!r}; it must be a whole number")
        check_ranges(self, height=(1, LARGEST), width=(1, LARGEST), komi=(-inf, inf), cap=(0, 2**15))
        if self.ko not in get_args(Ko):
            raise UnknownNameError("ko rule", str(self.ko), get_args(Ko))
        if self.komi in (inf, -inf):
            raise BadInputError(f"komi is {self.komi}; it must be a number of points")

    @property
    def area(self) -> int:
        """Points of the board; as an action, a pass."""
        return self.height * self.width

    @property
    def plies(self) -> int:
        """How many a game may have."""
        return self.cap or max(2 * self.area, SHORTEST_CAP)


PRESETS = {
    "tromp-taylor": Rules(ko="positional", suicide=True, komi=7.0),
    "chinese": Rules(ko="positional", suicide=False, komi=7.5),
    "cgos": Rules(ko="positional", suicide=False, komi=7.0),
    "aga": Rules(ko="situational", suicide=False, komi=7.5),
    "simple-ko": Rules(ko="simple", suicide=False, komi=7.0),
}


def chosen(
    rules: str | Rules = "tromp-taylor", size: int | tuple[int, int] | None = None, komi: float | None = None
) -> Rules:
    """Rules, or the preset of that name, on a board of that size (N, or rows and columns) and with that komi, if given.

    Raises:
        UnknownNameError: nothing is called so.
        BadInputError: the size or komi cannot be.
    """
    if isinstance(rules, str):
        if rules not in PRESETS:
            raise UnknownNameError("rules", rules, PRESETS)
        rules = PRESETS[rules]
    if size is not None:
        height, width = (size, size) if isinstance(size, Integral) else size  # type: ignore[misc]
        rules = replace(rules, height=int(height), width=int(width))
    return rules if komi is None else replace(rules, komi=komi)
