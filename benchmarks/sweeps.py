"""The runs behind a benchmark: sweeps, each in a folder of its own, that go on where they stopped.

This is `sparring sweep` but for one thing: it takes a single seed, too.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from sparring.envs.errors import BadInputError
from sparring.runners import begin, sweep
from sparring.runners import job as jobs
from sparring.runners.exits import FAILED
from sparring.runners.options import Sweep as Options
from sparring.runners.sweepfolder import Sweep


def trained(
    algorithm: str,
    words: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    at_once: int | None,
    *,
    prepare: Callable[[Sweep], None] = lambda sweep: None,
    failing: bool = False,
) -> Sweep:
    """The sweep in `out`, complete on `seeds`: what is complete is left alone, the rest is trained, `at_once` together.

    `prepare` is told the sweep before any of it runs. Exits where it was stopped, where `out` holds something else, and
    where a seed fails, unless `failing` lets it: see `failures`.
    """
    line = [*words, "--seeds", ",".join(map(str, seeds)), "--out", str(out), "--track", "off"]
    try:
        sweep = run(algorithm, [*line, *(["--jobs", str(at_once)] if at_once else [])], prepare)
    except BadInputError as error:
        sys.exit(f"{algorithm} in {out}: {error}")
    if failures(sweep, seeds) and not failing:
        sys.exit(FAILED)
    return sweep


def failures(sweep: Sweep, seeds: Sequence[int]) -> dict[int, str]:
    """The seeds that failed, and the last that they said."""
    left = [seed for seed in seeds if not sweep.is_complete(seed)]
    return {seed: sweep.log(seed).read_text(errors="replace").strip().rpartition("\n")[2] for seed in left}


def run(algorithm: str, words: Sequence[str], prepare: Callable[[Sweep], None]) -> Sweep:
    """Run `sparring sweep` to its end.

    Raises:
        BadInputError: as that does.
    """
    console = Console()
    options = begin.parse_training("sweep", Options, algorithm, words)
    stored = Sweep.open(options.out)
    if stored is None:
        job, experiment = begin.planned(algorithm, options, console, seed=options.seeds[0], at_once=options.jobs or 1)
        planned = Sweep.plan(options.out, job, experiment.source.steps_per_draw, options.seeds, None)
        del experiment  # its worlds
    else:
        planned = stored.asked_again(algorithm, options.config, options.seeds, None)
    planned.path.mkdir(parents=True, exist_ok=True)
    prepare(planned)
    at_once = options.jobs or max(jobs.cores() // planned.job.threads, 1)
    again = shlex.join(["sweep", algorithm, *words])
    code = sweep.run_to_end(
        planned, at_once=at_once, track=options.track, device=options.device, console=console, again=again
    )
    if code not in (0, FAILED):
        sys.exit(code)
    return planned
