"""What the main job reaches: the very command that `make train` runs, once a seed, one after the other.

The score is each run's own final evaluation: full games, last checkpoint, stochastic policy, seeds set apart from
training. The claim is that it stands clearly above the random policy (148 points): at least 220 on every seed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import record

BAR = 220
RANDOM = {"value": 148, "source": "no-op starts: dqn_zoo atari_data.py, openrlbenchmark hns.py"}


def main_job() -> list[str]:
    """The words after `sparring` in the Makefile's `train` target."""
    recipe = (Path(__file__).parents[1] / "Makefile").read_text()
    found = re.search(r"\$\(BIN\)/sparring (train .*) \$\(ARGS\)", recipe)
    assert found, "the Makefile's train target calls sparring train … $(ARGS)"
    return found[1].split()


def train(seed: int, out: Path) -> dict[str, object]:
    """Run the main job with a seed; its evaluation, and how long all of it took."""
    start = perf_counter()
    program = Path(sys.executable).with_name("sparring")
    words = [*main_job(), "--seed", str(seed), "--out", str(out)]
    subprocess.run([program, *words], check=True)
    evaluation = json.loads(max((out / "evaluations").glob("*.json")).read_text())
    rows = (out / "metrics.jsonl").read_text().splitlines()
    seconds = [sum(json.loads(row).get(k, 0) for k in ("drawing", "learning")) for row in (out / "timing.jsonl").open()]
    return {
        **{name: evaluation[name] for name in ("score", "random", "random_low", "random_high")},
        "low": evaluation["score_low"],
        "high": evaluation["score_high"],
        "protocol": evaluation["protocol"],
        "steps": json.loads(rows[-1])["step"],
        "training_minutes": sum(seconds) / 60,
        "whole_minutes": (perf_counter() - start) / 60,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = {seed: train(seed, Path(folder) / f"seed{seed}") for seed in options.seeds}
    scores = [float(str(run["score"])) for run in runs.values()]
    protocol = next(iter(runs.values())).pop("protocol")
    for run in runs.values():
        run.pop("protocol", None)
    record.write(
        "space_invaders_five_minutes",
        figures={
            "score": record.over_seeds(scores),
            "random": float(np.mean([float(str(run["random"])) for run in runs.values()])),
            "seeds_at_least_220": float(np.mean([score >= BAR for score in scores])),
            **{f"seed_{seed}": run for seed, run in runs.items()},
        },
        protocol={**dict(protocol), "job": ["sparring", *main_job()]},  # type: ignore[call-overload]
        seeds=options.seeds,
        notes="score: mean of the seeds' evaluations, with a bootstrap interval over seeds (one seed has none); every "
        "seed's own interval is over its games. The steps are fixed; how long they take depends on the machine.",
        published={"random": RANDOM},
    )


if __name__ == "__main__":
    main()
