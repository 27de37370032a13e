"""What a user can get wrong. The command line prints these and exits with code 2; anything else is a bug of ours."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class BadInputError(ValueError):
    """Something that was asked for cannot be done; the message says what was wrong and what to do."""


class DivergedError(BadInputError):
    """A quantity is not finite any more, so nothing can be learned from here on; the message says which and where."""


class UnknownNameError(BadInputError):
    """A name that nothing answers to; the message lists the nearest names that something does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are: {', '.join(known)}"
        super().__init__(f"no {kind} is called {name!r}; {hint}")


def check_ranges(record: object, **ranges: tuple[float, float]) -> None:
    """Make sure that fields lie in their closed ranges.

    Raises:
        BadInputError: one does not; NaN lies nowhere.
    """
    for name, (low, high) in ranges.items():
        value = getattr(record, name)
        if not low <= value <= high:
            limits = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
            raise BadInputError(f"{name} is {value}; it must be {limits}")
