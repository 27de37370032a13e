"""A table: the arrays in which games of one size and one rule set are played, for kernels and for looking into them."""

from __future__ import annotations

import functools
import sys
import threading
from time import process_time
from typing import NamedTuple

import numpy as np

from sparring.envs.go import kernels
from sparring.envs.go.coordinates import LARGEST
from sparring.envs.go.rules import Rules
from sparring.envs.worlds import Array

KO = {"simple": kernels.SIMPLE, "positional": kernels.POSITIONAL, "situational": kernels.SITUATIONAL}
ZOBRIST_SEED = 20260101  # the same keys everywhere and always
MOST_POINTS = (LARGEST + 2) * (LARGEST + 1) + 1  # of a strip


class Table(NamedTuple):
    """B games; kernels take these arrays."""

    u: Array  # [B, …] uint16
    i: Array  # [B, N] uint64
    k: Array  # [B, …] uint64
    z: Array  # [3 · N] uint64: the key of each colour on each point
    geometry: Array  # [N + H · W] uint16: the action of a point, then the point of an action
    shape: Array  # [9] uint64

    @property
    def bytes_per_game(self) -> int:
        """Memory that a game takes."""
        return (self.u.nbytes + self.i.nbytes + self.k.nbytes) // len(self.u)


class Constants(NamedTuple):
    """What all games of a kind share."""

    z: Array
    geometry: Array
    shape: Array


@functools.lru_cache(maxsize=256)
def constants(height: int, width: int, ko: str, suicide: bool, plies: int) -> Constants:
    """Keys, geometry and shape; komi is none of their business."""
    stride = width + 1
    strip, area = (height + 2) * stride + 1, height * width
    keys = np.random.default_rng(ZOBRIST_SEED).integers(1, 2**64, size=(3, MOST_POINTS), dtype=np.uint64)
    rows, columns = np.divmod(np.arange(area), width)
    points = (rows + 1) * stride + columns + 1
    geometry = np.zeros(strip + area, np.uint16)
    geometry[points] = np.arange(area)
    geometry[strip:] = points
    bits = 1 << max(6, (kernels.BITS_A_POSITION * plies - 1).bit_length())
    past = int(kernels.FILTER) + bits // 64
    shape = [strip, stride, area, KO[ko], suicide, plies, int(keys[0, 0]), bits - 1, past]
    return Constants(keys[:, :strip].ravel(), geometry, np.array(shape, np.uint64))


def lay(rules: Rules, games: int, seed: int = 0) -> Table:
    """A table for so many games, all of them at their beginning."""
    compile_kernels()
    return _lay(rules, games, seed)


def _lay(rules: Rules, games: int, seed: int) -> Table:
    z, geometry, shape = constants(rules.height, rules.width, rules.ko, rules.suicide, rules.plies)
    strip, past = int(shape[kernels.STRIP]), int(shape[kernels.PAST])
    u = np.zeros((games, int(kernels.COUNTERS) + kernels.FIELDS * strip), np.uint16)
    i = np.zeros((games, strip), np.uint64)
    k = np.zeros((games, strip + past + rules.plies + 2), np.uint64)
    seeds = np.random.SeedSequence(seed).generate_state(games, np.uint64) | np.uint64(1)
    kernels.begin_all(u, i, k, geometry, shape, seeds)
    return Table(u, i, k, z, geometry, shape)


@functools.cache
def compile_kernels() -> None:
    """Play a little on one point: every kernel is compiled, or loaded, which takes less than a second; who waits for
    more is told why.
    """
    done = threading.Event()
    threading.Thread(target=_announce, args=(done,), daemon=True).start()
    try:
        rules = Rules(1, 1)
        u, i, k, z, geometry, shape = _lay(rules, 1, 0)
        games, one = (u, i, k, z, geometry, shape), (u[0], i[0], k[0], z, geometry, shape)
        legal, scratch, komi = np.zeros((1, 2), np.uint8), np.zeros((2, int(shape[0])), np.uint16), np.float64(0)
        actions, planes = np.ones(1, np.int64), np.zeros((1, kernels.PLANES), np.uint8)
        results = np.zeros(1, np.float32), np.zeros(1), *np.zeros((2, 1), bool), np.zeros(1, np.uint8)
        kernels.renew(u, i, k, geometry, shape)
        kernels.mask_all(*games, legal)
        kernels.choose_all(u, k, geometry, shape, legal, actions)
        kernels.step_all(*games, actions, komi, legal, *results, planes, planes)
        kernels.planes_all(u, i, geometry, shape, legal, komi, planes)
        kernels.mask(*one, legal[0])
        kernels.move(*one, np.uint64(1))
        kernels.areas(u[0], shape, scratch)
        kernels.pass_alive(u[0], shape, np.uint16(1), np.zeros(int(shape[0]), np.uint8))
        kernels.set_up(*one, *np.zeros((2, 0), np.uint16), np.uint16(1))
        kernels.playouts(*one, 1, np.zeros(1, np.int32))
        kernels.owners(u[0], geometry, shape, np.zeros(1, np.int8))
        row = np.zeros(1, np.int32)
        ends = _lay(rules, 1, 0)
        found = legal, planes, np.zeros(1, np.float32), np.zeros(1, np.uint8)
        kernels.look_all(*games, *ends[:3], row, np.zeros((1, 1), np.int32), row, komi, *found, scratch)
        kernels.play_out_all(*ends[:3], z, shape, komi, np.zeros(1, np.int64), 1, np.zeros(1, np.float32))
    finally:
        done.set()


def _announce(done: threading.Event) -> None:
    """Tell who waits, once the work has taken a second of the processor's; on a busy machine loading is slow, too."""
    begun = process_time()
    while not done.wait(0.1):
        if process_time() - begun > 1.0:
            print("sparring compiles the kernels of Go: once, some ten seconds", file=sys.stderr, flush=True)
            return
