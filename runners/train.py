"""The loop: draw → update → log, and now and then evaluate and save.

It knows no reward, player, optimiser or world, so it drives whatever is an Experiment. A run that was killed anywhere
and resumed equals the run that never stopped, bit for bit on a CPU, because

* a checkpoint holds every part of the algorithm, its random generators and counters, and the source;
* at every save, in every run, a source that cannot be saved as it is starts anew from SeedSequence([seed, update]);
* what decides the learning counts updates, never seconds;
* an evaluation rolls dice of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from sparring.agents.protocol import Algorithm, Evaluation, Experiment, Watch, unwatched
from sparring.envs.errors import DivergedError
from sparring.envs.rollouts import Metrics
from sparring.runners.folder import EVALUATION, RunFolder
from sparring.runners.tracker import Tracker


@dataclass(frozen=True)
class Run:
    """How far to go, and how often what, counted in updates."""

    seed: int
    updates: int
    save_every: int
    evaluate_every: int  # counted from before the first; 0: only at the end


class StoppedError(Exception):
    """The run was asked to stop; all it did is saved."""


def due(update: int, *, every: int) -> bool:
    """Whether `update` is a multiple of `every`; never where `every` is 0."""
    return every > 0 and update % every == 0


def seed_at(run: Run, update: int) -> int:
    """The source's seed where it begins, or begins anew, at `update`: 30 bits, so that world k can add k."""
    return int(np.random.SeedSequence([run.seed, update]).generate_state(1)[0] >> 2)


def train(
    experiment: Experiment,
    run: Run,
    tracker: Tracker,
    folder: RunFolder,
    stop: Callable[[], bool] = lambda: False,
    watch: Watch = unwatched,
) -> Evaluation:
    """Restore, then learn until `run.updates`; returns the last evaluation.

    Args:
        experiment: what learns, from what, and how it is judged.
        run: the schedule.
        tracker: hears every update.
        folder: keeps the truth; its newest checkpoint is where the run starts.
        stop: asked after every update; where it says yes, everything is saved.
        watch: told how far an evaluation is.

    Raises:
        StoppedError: `stop` said yes.
        CheckpointError: the newest checkpoint is damaged or does not fit.
        DivergedError: what was learned is not finite; the newest checkpoint is from before.
    """
    algorithm, source, evaluate = experiment
    parts = {**algorithm.parts(), "source": source}

    def log(row: Metrics, seconds: Mapping[str, float]) -> None:
        folder.log(row, seconds)
        tracker.log(row, seconds)

    def judge(clock: Clock) -> Evaluation:
        judged = evaluate(algorithm, watch=watch)
        folder.keep(update, judged)
        clock.lap("evaluating")
        return judged

    begun = folder.restore(parts)
    update = begun or 0
    if begun is None:
        folder.rewind(-1)
        source.reset(seed_at(run, update))
        if run.evaluate_every:  # what there is before anything is learned
            clock = Clock()
            log({"update": update, "step": 0, **told(judge(clock))}, clock.seconds)
        folder.save(update, parts)
    folder.rewind(update)
    evaluation = evaluate(algorithm, watch=watch) if update == run.updates else None
    while update < run.updates:
        clock = Clock()
        with _diverging(update + 1, folder):
            batch = source.draw(algorithm)
            clock.lap("drawing")
            learned = _learn(algorithm, batch)
            clock.lap("learning")
        update += 1
        row = {"update": update, "step": update * source.steps_per_draw, **source.report().metrics, **learned}
        last = update == run.updates
        if last or due(update, every=run.evaluate_every):
            with _diverging(update, folder):
                evaluation = judge(clock)
            row |= told(evaluation)
        log(row, clock.seconds | source.report().seconds)
        regular, stopping = last or due(update, every=run.save_every), stop()
        if regular and source.begins_anew:
            source.reset(seed_at(run, update))
        if regular or stopping:
            folder.save(update, parts)
        if stopping and not last:
            raise StoppedError(update)
    assert evaluation is not None
    return evaluation


def told(evaluation: Evaluation) -> dict[str, float]:
    """What a row says of an evaluation."""
    return {f"{EVALUATION}{name}": value for name, value in evaluation.metrics.items()}


def _learn(algorithm: Algorithm[Any], batch: Any) -> Metrics:
    """One update, whose metrics come in the order in which they were computed, so that the first fault is the cause."""
    metrics = algorithm.update(batch)
    for name, value in metrics.items():
        if isinstance(value, float) and not isfinite(value):
            raise DivergedError(f"{name} became {value}")
    return metrics


@contextmanager
def _diverging(update: int, folder: RunFolder) -> Iterator[None]:
    """Where something is not finite any more during an update, say in which, and what to do."""
    try:
        yield
    except DivergedError as error:
        raise DivergedError(
            f"update {update}: {error}. {folder.checkpoints[-1]} is from before and intact; "
            "a smaller learning rate, in a new run, is the first thing to try"
        ) from None


class Clock:
    """Wall-clock seconds by stage: each lap ends one stage and begins the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = perf_counter()

    def lap(self, stage: str) -> None:
        """Say what the time since the last lap went into."""
        now = perf_counter()
        self.seconds[stage] = now - self.last
        self.last = now
