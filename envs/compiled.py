"""How numba compiles what loops over boards and trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

BARE: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def jitted(function: Callable[..., Any]) -> Any:
    """Compiled once and kept on disk; Python's lock is let go."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


def short(function: Callable[..., Any]) -> Any:
    """The same, for what is done before another thread could have woken up: Python's lock is kept."""
    return njit(cache=True, error_model="numpy")(function)


def bare(function: Callable[..., Any]) -> Any:
    """The same, but nobody counts who holds an array (numba's NRT), which would take longer than all else where rows
    are handed about by the million. No array can be made or returned, here or in what is called.
    """
    return njit(cache=True, **BARE)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """The same, bare too, put into every caller."""
    return njit(cache=True, forceinline=True, **BARE)(function)


def vectorised(function: Callable[..., Any]) -> Any:
    """The same again; sums may be taken in another order, so that they become vector instructions.

    There must be no NaN.
    """
    flags = {"reassoc", "nsz", "nnan", "contract"}
    return njit(cache=True, forceinline=True, fastmath=flags, **BARE)(function)
