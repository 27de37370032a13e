"""How many modes of a mixture a GAN finds: the preset beside other methods, all on one harness.

Every method has the preset's networks, batch, rounds, optimisers, annealing and average; what it changes is in METHODS.
A seed's figures are its run's own final evaluation: 2,500 samples, last checkpoint. The preset is run on all seeds, the
others on the first of them (`--others`), since together they take many times as long. A mode counts if at least one
sample lies within 3σ (as published), or at least 1 % of the samples do (`_modes_1pct`). What is equal is not the number
of rounds but that of gradient evaluations, of which an unrolled or a five-to-one round takes more (COST).

Each method is a sweep in FOLDER/METHOD; what is complete is left alone, so a stopped benchmark goes on.
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

from sparring.agents.protocol import place_of
from sparring.runners import catalog, keepsakes, replay
from sparring.runners.folder import RunFolder
from sparring.runners.sweepfolder import Sweep

PLAIN = ["--r1", "0"]
METHODS = {
    "minimax": ["--loss", "minimax", *PLAIN],
    "non_saturating": PLAIN,
    "unrolled": ["--dynamics", "unrolled:k=5", *PLAIN],
    "wgan_gp": ["--loss", "wasserstein", "--gradient-penalty", "0.1", "--dynamics", "alternating:k=5", *PLAIN],
    "pac2": ["--pack", "2", *PLAIN],
    "pac4": ["--pack", "4", *PLAIN],
    "r3gan": ["--loss", "relativistic", "--r2", "0.1"],
    "r1": [],  # the preset
}
OURS = "r1"
COST = {"unrolled": 3.5, "wgan_gp": 3.0}  # evaluations of the field of both players' gradients in a round; others: 1
FIGURES = ("modes", "modes_1pct", "high_quality", "reverse_kl")
MODES = {"ring8": 8, "grid25": 25}
TABLE = "Lin et al. 2018, table 1, 10 trials, ± standard error"
PUBLISHED = {
    "ring8": {
        "gan_modes": {"value": 6.3, "source": TABLE},
        "pac2_modes": {"value": 7.9, "source": TABLE},
        "pac2_high_quality": {"value": 0.956, "source": TABLE},
        "pac2_reverse_kl": {"value": 0.07, "source": TABLE},
    },
    "grid25": {
        "gan_modes": {"value": 17.3, "source": TABLE},
        "pac4_modes": {"value": 24.8, "source": TABLE},
        "pac4_high_quality": {"value": 0.936, "source": TABLE},
        "pac4_reverse_kl": {"value": 0.04, "source": TABLE},
    },
}
DRAWN = {"modes": "modes", "high_quality": "high quality (share)", "reverse_kl": "reverse KL (nats)"}


def of_method(name: str, done: Sweep, seeds: Sequence[int]) -> dict[str, Any]:
    """A method's figures over seeds."""
    runs = [done.folder(seed) for seed in seeds]
    judged = [run.judgement() for run in runs]
    told = {f"{name}_{figure}": record.over_seeds([one[figure] for one in judged]) for figure in FIGURES}
    last = list(runs[0].rows())[-1]
    minutes = record.over_seeds([minutes_of(run) for run in runs])
    return {**told, f"{name}_minutes": minutes, f"{name}_evaluations": last["play/evaluations"]}


def words_of(name: str, preset: str, steps: int) -> list[str]:
    """The options of a method, whose rounds spend as many evaluations as `steps` rounds of the preset."""
    shorter = ["--steps", str(round(steps / COST[name]))] if name in COST else []
    return ["--preset", preset, *METHODS[name], *shorter]


def minutes_of(run: RunFolder) -> float:
    """How long a run was trained."""
    return float(sum(row.get("drawing", 0) + row.get("learning", 0) for row in run.rows("timing.jsonl"))) / 60


def draw(figures: Mapping[str, Any], methods: Sequence[str], title: str, path: Path) -> None:
    """A row a method, a plot a figure."""
    figure = Figure(figsize=(12, 0.5 * len(methods) + 1.6), layout="constrained")
    for number, (name, label) in enumerate(DRAWN.items(), start=1):
        axes = pictures.axes_of(figure, 1, len(DRAWN), number, title=title if number == 1 else "", xlabel=label)
        colours = [pictures.VERMILLION if method == OURS else pictures.BLUE for method in methods]
        pictures.estimates(axes, [figures[f"{method}_{name}"] for method in methods], colours)
        pictures.rows(axes, [method.replace("_", " ") if number == 1 else "" for method in methods])
    pictures.save(figure, path)


def film(run: RunFolder, path: Path) -> None:
    """A run's training as a strip of samples above the discriminator's field."""
    replay.strip(keepsakes.show(keepsakes.together(run.episodes)), path)
    print(f"wrote {path}")


def measure(claim: str, preset: str, description: str, published: Mapping[str, Any]) -> None:
    """The benchmark `claim`, on the data of a preset."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--others", type=int, default=5, help="how many of them for methods that are not the preset")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path(f"runs/{claim}"), help="folder of all runs")
    options = parser.parse_args()
    config = catalog.load("gan").PRESETS[preset].config
    figures: dict[str, Any] = {}
    jobs = {name: words_of(name, preset, config.schedule.steps) for name in options.methods}
    seeds = {name: options.seeds if name == OURS else options.seeds[: options.others] for name in jobs}
    for name, words in jobs.items():
        done = sweeps.trained("gan", words, seeds[name], options.runs / name, options.jobs)
        figures |= of_method(name, done, seeds[name])
        if name == OURS:
            figures["r1_all_modes"] = float(np.mean(np.array(figures["r1_modes"]["per_seed"]) == MODES[preset]))
            film(done.folder(seeds[name][0]), record.RESULTS / f"{claim}_training.png")
    path = record.write(
        claim,
        figures=figures,
        protocol={
            "data": place_of(config),
            "samples": config.schedule.samples,
            "evaluations": config.schedule.steps,
            "jobs": {name: ["sparring", "sweep", "gan", *words] for name, words in jobs.items()},
            "threads": 1,
            "seeds": seeds,
        },
        seeds=options.seeds,
        notes="Means over seeds with bootstrap intervals. reverse_kl is over the modes of high-quality samples. "
        "_minutes are of training, seed by seed, with as many runs at a time as there are cores.",
        published=published,
    )
    draw(figures, options.methods, claim, path)
