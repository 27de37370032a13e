"""Settings of the process itself, made before the heavy libraries load."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
GIGABYTE = 2**30


def prepare() -> None:
    """Let idle threads sleep and freed memory stay with the process.

    Threads that spin while they wait slow the emulators' threads, and on a busy machine each other tenfold. Batches and
    activations of one size come and go with every update; glibc, where it is, hands large ones back to the system and
    takes them again page by page, thousands of page faults an update.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, GIGABYTE)
        mallopt(M_TRIM_THRESHOLD, GIGABYTE)
