"""Does bf16 learn as well as fp32? PPO's main job on Space Invaders, the same seeds in both precisions.

All else is equal: preset, steps, seeds, protocol. The score of a seed is its run's own final evaluation (full games,
last checkpoint, stochastic policy), the interval is over seeds. A pair of runs with the same seed begins with the same
weights and the same first games, so the difference is told by pairs. Five seeds can show a large difference and cannot
rule out a small one; the interval of the difference says how small.

Every precision is a sweep in FOLDER/PRECISION; what is complete is left alone, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import record
import sweeps
from matplotlib.figure import Figure

from sparring.agents import statistics
from sparring.runners import overview
from sparring.runners.sweepfolder import Sweep

PRECISIONS = {"fp32": pictures.BLUE, "bf16": pictures.VERMILLION}


def figures_of(scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Both means over seeds, their difference, and whether the intervals say that there is one."""
    figures: dict[str, Any] = {name: record.over_seeds(told) for name, told in scores.items()}
    difference = record.over_seeds(np.subtract(scores["bf16"], scores["fp32"]).tolist())
    figures["difference"] = difference
    if "low" in difference:
        fp32, bf16 = figures["fp32"], figures["bf16"]
        figures["intervals_overlap"] = max(fp32["low"], bf16["low"]) <= min(fp32["high"], bf16["high"])
        figures["difference_includes_0"] = difference["low"] <= 0 <= difference["high"]
    return figures


def draw(done: Mapping[str, Sweep], seeds: Sequence[int], figures: dict[str, Any], path: Path) -> None:
    """Learning curves on the left, final scores and their difference on the right."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    title = f"PPO on Space Invaders, {len(seeds)} seeds in each precision"
    grid = figure.add_gridspec(2, 2, height_ratios=[2, 1])
    left = pictures.axes_of(figure, grid[:, 0], title=title, xlabel="agent steps", ylabel=pictures.SCORE)
    for name, colour in PRECISIONS.items():
        runs = [overview.curve(done[name].folder(seed).rows()) for seed in seeds]
        pictures.curves(left, runs, color=colour, label=name)
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.legend(frameon=False, loc="upper left")
    scores = pictures.axes_of(figure, grid[0, 1], title="Final evaluation", xlabel="score of full games (points)")
    pictures.estimates(scores, [figures[name] for name in PRECISIONS], list(PRECISIONS.values()))
    pictures.rows(scores, list(PRECISIONS))
    apart = pictures.axes_of(figure, grid[1, 1], title="", xlabel="difference, seed by seed (points)")
    apart.axvline(0, color="black", lw=0.8)
    pictures.estimates(apart, [figures["difference"]], [pictures.GREY])
    pictures.rows(apart, ["bf16 − fp32"])
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=250_000)
    parser.add_argument("--games", type=int, default=100, help="full games that a seed's score is the mean of")
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs/space_invaders_precision"), help="folder of all runs")
    options = parser.parse_args()
    length = ["--steps", str(options.steps), "--games", str(options.games)]
    words = {name: ["--preset", "space-invaders", "--precision", name, *length] for name in PRECISIONS}
    done = {
        name: sweeps.trained("ppo", line, options.seeds, options.runs / name, options.jobs)
        for name, line in words.items()
    }
    judged = {name: [told.folder(seed).judgement() for seed in options.seeds] for name, told in done.items()}
    figures = figures_of({name: [float(told["score"]) for told in runs] for name, runs in judged.items()})
    protocol = judged["fp32"][0]["protocol"]
    path = record.write(
        "space_invaders_precision",
        figures={**figures, "random": float(np.mean([told["random"] for told in judged["fp32"]]))},
        protocol={
            **{name: value for name, value in protocol.items() if name != "seeds"},
            "steps": options.steps,
            "jobs": {name: ["sparring", "sweep", "ppo", *line] for name, line in words.items()},
            "config": done["fp32"].record["config"] | {"precision": "fp32, bf16"},
        },
        seeds=options.seeds,
        notes="A seed's score is the mean of its full games; means have bootstrap intervals over seeds "
        f"({statistics.RESAMPLES:,} resamples), which with so few seeds are somewhat narrow. difference: bf16 − fp32 "
        "of the same seed. intervals_overlap: those of the two means.",
    )
    draw(done, options.seeds, figures, path)


if __name__ == "__main__":
    main()
