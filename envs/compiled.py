"""How numba compiles what loops over boards and trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def jitted(function: Callable[..., Any]) -> Any:
    """Compiled once and kept on disk; Python's lock is let go."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


def short(function: Callable[..., Any]) -> Any:
    """The same, for what is done before another thread could have woken up: Python's lock is kept."""
    return njit(cache=True, error_model="numpy")(function)


def inlined(function: Callable[..., Any]) -> Any:
    """The same, put into every caller."""
    return njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function)


def vectorised(function: Callable[..., Any]) -> Any:
    """The same, put into every caller; sums may be taken in another order, so that they become vector instructions.

    There must be no NaN.
    """
    flags = {"reassoc", "nsz", "nnan", "contract"}
    return njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=flags)(function)
