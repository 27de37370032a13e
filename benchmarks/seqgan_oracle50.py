"""Oracle-50: maximum likelihood, and every way in which SeqGAN goes on from there, on one harness.

All methods have the preset's generator, corpus and seeds, and begin with the same maximum likelihood; what they change
is in METHODS. NLL_oracle, NLL_test and entropy are told together, in nats a token, of the last checkpoint, beside the
bars of n-grams and the oracle's floor. `mle` is where the adversarial methods begin, and `mle_long` spends all their
rounds on maximum likelihood; `_minus_mle` and `_minus_mle_long` are differences from them, seed by seed. A method is
said to beat maximum likelihood where the intervals of both its differences in NLL_test lie below 0: lower NLL_oracle
alone can be had by a sharper distribution (see seqgan_temperature). `best_adversarial_…` is the method with the lowest
NLL_test, and `lowest_adversarial_nll_oracle…` another, each with all of its own numbers.

Standardised advantages have lost their batch's mean, which leaves nothing for a constant baseline to do; so none,
running and value are compared without.

Registered before any result: with 90,000 sentences to learn from, no adversarial method is expected to lower NLL_test.

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
from mixtures import minutes_of

from sparring.runners import catalog
from sparring.runners.sweepfolder import Sweep

METHODS: dict[str, list[str]] = {
    "mle": ["--steps", "100"],
    "mle_long": ["--mle-rounds", "320"],
    "terminal_none": ["--credit", "terminal", "--baseline", "none", "--no-standardise"],
    "terminal_running": ["--credit", "terminal", "--baseline", "running", "--no-standardise"],
    "terminal_value": ["--credit", "terminal", "--no-standardise"],
    "terminal": ["--credit", "terminal"],
    "per_step": ["--credit", "per-step"],
    "rollouts_none": ["--baseline", "none", "--no-standardise"],
    "rollouts": [],  # the preset
    "rollouts_ppo": ["--agent", "ppo"],
    "rollouts_teacher": ["--teacher", "1"],
    "gumbel": ["--signal", "gumbel"],
    "straight_through": ["--signal", "straight-through"],
    "soft_wgan": ["--signal", "soft-wgan"],
}
LIKELIHOOD = ("mle", "mle_long")
NUMBERS = ("nll_oracle", "nll_test", "entropy")
FIGURES = ("nll_oracle", "nll_test", "entropy", "kl_forward", "kl_reverse", "duplicates", "copied_run")
REFERENCE = "Oracle-50 measured independently: one seed, other samples"
PUBLISHED = {
    "floor": {"value": 2.229, "source": REFERENCE},
    **{
        f"ngram{n}_nll_test": {"value": value, "source": REFERENCE}
        for n, value in enumerate((3.478, 2.952, 2.694, 2.650), start=1)
    },
}
DRAWN = {"nll_test": "NLL_test", "nll_oracle": "NLL_oracle", "entropy": "entropy"}


def of_method(name: str, done: Sweep, seeds: Sequence[int]) -> dict[str, Any]:
    """A method's figures over seeds."""
    judged = [done.folder(seed).judgement() for seed in seeds]
    told = {f"{name}_{figure}": record.over_seeds([one[figure] for one in judged]) for figure in FIGURES}
    return {**told, f"{name}_minutes": float(np.mean([minutes_of(done.folder(seed)) for seed in seeds]))}


def compared(figures: Mapping[str, Any], methods: Sequence[str]) -> dict[str, Any]:
    """Differences from maximum likelihood, and the best of the others."""
    others = [name for name in methods if name not in LIKELIHOOD]
    told: dict[str, Any] = {}
    for reference in (one for one in LIKELIHOOD if one in methods):
        for name in [*others, *(one for one in LIKELIHOOD[1:] if one in methods and one != reference)]:
            for figure in NUMBERS:
                mine, its = (np.array(figures[f"{one}_{figure}"]["per_seed"]) for one in (name, reference))
                told[f"{name}_minus_{reference}_{figure}"] = record.over_seeds((mine - its).tolist())
    if others:
        best, lowest = (ranked(others, figures, by)[0] for by in ("nll_test", "nll_oracle"))
        told |= {f"best_adversarial_{figure}": figures[f"{best}_{figure}"] for figure in NUMBERS}
        told |= {"best_adversarial_method": best, "lowest_adversarial_nll_oracle": figures[f"{lowest}_nll_oracle"]}
        told |= {f"lowest_adversarial_nll_oracle_{figure}": figures[f"{lowest}_{figure}"] for figure in NUMBERS[1:]}
        told |= {"lowest_adversarial_nll_oracle_method": lowest}
    below = [name for name in others if all(is_below(told, f"{name}_minus_{one}_nll_test") for one in LIKELIHOOD)]
    return {**told, "beat_maximum_likelihood": below}


def ranked(names: Sequence[str], figures: Mapping[str, Any], by: str) -> list[str]:
    """Methods by the mean of a figure, the lowest first."""
    return sorted(names, key=lambda name: figures[f"{name}_{by}"]["mean"])


def is_below(told: Mapping[str, Any], difference: str) -> bool:
    """Whether the whole interval of a difference, which needs two seeds, lies below 0."""
    return bool(told.get(difference, {}).get("high", 0) < 0)


def draw(figures: Mapping[str, Any], methods: Sequence[str], path: Path) -> None:
    """A row a method, a plot a figure, with the floor and the bars."""
    figure = Figure(figsize=(13, 0.4 * len(methods) + 1.8), layout="constrained")
    colours = [pictures.BLUE if name in LIKELIHOOD else pictures.VERMILLION for name in methods]
    for number, (name, label) in enumerate(DRAWN.items(), start=1):
        title = "Oracle-50: likelihood is blue" if number == 1 else ""
        axes = pictures.axes_of(figure, 1, len(DRAWN), number, title=title, xlabel=f"{label} (nats a token)")
        pictures.estimates(axes, [figures[f"{method}_{name}"] for method in methods], colours)
        pictures.rows(axes, [method.replace("_", " ") if number == 1 else "" for method in methods])
        axes.axvline(figures["floor"], ls="--", lw=1, color=pictures.GREY)
        axes.annotate("floor", (figures["floor"], -0.45), (3, 0), **pictures.BESIDE)
        if name != "entropy":
            axes.axvline(figures[f"ngram4_{name}"], ls=":", lw=1, color=pictures.GREY)
            axes.annotate("4-grams", (figures[f"ngram4_{name}"], -0.45), (3, 0), **pictures.BESIDE)
    pictures.save(figure, path)


def trained(method: str, seeds: Sequence[int], runs: Path, at_once: int | None) -> Sweep:
    """A method's runs."""
    return sweeps.trained("seqgan", ["--preset", "oracle-50", *METHODS[method]], seeds, runs / method, at_once)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs/seqgan_oracle50"), help="folder of all runs")
    options = parser.parse_args()
    config = catalog.load("seqgan").PRESETS["oracle-50"].config
    figures: dict[str, Any] = {}
    for name in options.methods:
        done = trained(name, options.seeds, options.runs, options.jobs)
        figures |= of_method(name, done, options.seeds)
        judged = done.folder(options.seeds[0]).judgement()
        bars = [key for key in judged if key == "floor" or key.startswith(("ngram", "uniform", "replay"))]
        figures |= {key: judged[key] for key in bars} | {"copied_run_real": judged["copied_run_real"]}
    figures |= compared(figures, options.methods)
    path = record.write(
        "seqgan_oracle50",
        figures=figures,
        protocol={
            "data": "oracle",
            "samples": config.schedule.samples,
            "rounds": config.schedule.steps,
            "jobs": {
                name: ["sparring", "sweep", "seqgan", "--preset", "oracle-50", *METHODS[name]]
                for name in options.methods
            },
            "threads": 1,
        },
        seeds=options.seeds,
        notes="Means over seeds with bootstrap intervals; the oracle and its sentences are the same for all seeds. "
        "_minutes are of training, with as many runs at a time as there are cores. The best of many methods "
        "looks better than it would on other seeds.",
        published=PUBLISHED,
    )
    draw(figures, options.methods, path)


if __name__ == "__main__":
    main()
