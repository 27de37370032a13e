"""A budget in minutes becomes a number of steps, once, before the run; from then on only steps count."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from sparring.agents.protocol import Experiment

WARM_UP = 2  # updates that are not timed: first calls allocate and tune
LONG_ENOUGH = 8.0  # seconds of timed updates
MOST = 50


def steps_in(minutes: float, build: Callable[[], Experiment]) -> int:
    """Steps that an experiment makes in `minutes`, measured on a copy that is thrown away."""
    algorithm, source, _ = build()
    source.reset(0)
    start, timed = perf_counter(), 0
    for update in range(WARM_UP + MOST):
        if update == WARM_UP:
            start = perf_counter()
        algorithm.update(source.draw(algorithm))
        timed = update + 1 - WARM_UP
        if timed > 0 and perf_counter() - start > LONG_ENOUGH:
            break
    seconds_each = (perf_counter() - start) / timed
    return max(round(60 * minutes / seconds_each), 1) * int(source.steps_per_draw)
