"""How long a seed of DANN from MNIST to MNIST-M takes: alone, and with as many seeds at a time as there are cores.

`minutes_a_seed` are on the clock from the command to its end, so with loading, final evaluation, fresh probes and
pictures, over the number of seeds; `training_minutes` are those of training alone. A run uses one thread, for its
network is small, so that a core idles beside one that is alone. Accuracies are kept to tell that these were whole runs;
on another processor, which rounds otherwise, a seed ends elsewhere than in `mnist_to_mnistm`. All is trained anew, in a
folder that goes away.

MNIST and MNIST-M are found where the variable SPARRING_DATA says.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import record
import sweeps
from mixtures import minutes_of
from mnist_to_mnistm import METHODS

from sparring.runners.job import cores
from sparring.runners.sweepfolder import Sweep


def timed(seeds: range, more: list[str], out: Path) -> tuple[Sweep, dict[str, Any]]:
    """A sweep of these seeds, all at a time, and what it took."""
    begun = time.perf_counter()
    sweep = sweeps.trained("dann", [*METHODS["dann"], *more], seeds, out, len(seeds))
    minutes = (time.perf_counter() - begun) / 60
    runs = [sweep.folder(seed) for seed in seeds]
    return sweep, {
        "seeds": len(seeds),
        "minutes_a_seed": minutes / len(seeds),
        "training_minutes": [minutes_of(run) for run in runs],
        "target_accuracy": [run.judgement()["target_accuracy"] for run in runs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help="rounds of every run; default: as the preset has it")
    options = parser.parse_args()
    more = ["--steps", str(options.steps)] if options.steps else []
    with tempfile.TemporaryDirectory() as folder:
        _, alone = timed(range(1), more, Path(folder) / "alone")
        sweep, together = timed(range(cores()), more, Path(folder) / "together")
    record.write(
        "dann_minutes",
        figures={"alone": alone, "together": together},
        protocol={
            "job": ["sparring", "sweep", "dann", *METHODS["dann"], *more],
            "threads": sweep.job.threads,
            "checkpoint": "last",
        },
        seeds=list(range(cores())),
        notes="minutes_a_seed is on the clock, over the number of seeds; training_minutes are of training alone.",
    )


if __name__ == "__main__":
    main()
