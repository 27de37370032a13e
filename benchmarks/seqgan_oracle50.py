"""Oracle-50: maximum likelihood, and every way in which SeqGAN goes on from there, on one harness.

All methods have the preset's generator, corpus and seeds, and begin with the same maximum likelihood: `mle`, whose runs
they go on from as if they had been their own (which a test proves to be the same). What they change is in METHODS; none
is tuned by itself, tokens are relaxed at τ = 1, and PPO takes as many gradient steps a round as its Config says.
NLL_oracle, NLL_test and entropy are told together, in nats a token, of the last checkpoint, beside the bars of n-grams
and the oracle's floor. `mle_long` spends all rounds on maximum likelihood; `_minus_mle` and `_minus_mle_long` are
differences from both, seed by seed. A method is said to beat maximum likelihood where its differences in NLL_test from
both lie below 0 for every seed, and with the whole of their intervals: lower NLL_oracle alone can be had by a sharper
distribution (see seqgan_temperature). `best_adversarial_…` is the method with the lowest NLL_test, and
`lowest_adversarial_nll_oracle…` another, each with all of its own numbers.

`rollouts_faster`, ten times the preset's rate, was added when the others had been read: play had hardly moved them,
which might have been for want of steps.

Standardised advantages have lost their batch's mean, which leaves nothing for a constant baseline to do; so none,
running and value are compared without.

Registered before any result: with 90,000 sentences to learn from, no adversarial method is expected to lower NLL_test.

Each method is a sweep in FOLDER/METHOD; what is complete is left alone, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import record
import sweeps
from matplotlib.figure import Figure
from mixtures import minutes_of

from sparring.runners.folder import JOURNALS, RunFolder
from sparring.runners.sweepfolder import Sweep

ROUNDS, MLE_ROUNDS = 320, 100  # of all methods but `mle`, and of its maximum likelihood
COMMON = ["--preset", "oracle-50", "--steps", str(ROUNDS), "--evaluate-every", "100", "--samples", "10000"]
METHODS: dict[str, list[str]] = {
    "mle": ["--steps", str(MLE_ROUNDS)],
    "mle_long": ["--mle-rounds", str(ROUNDS)],
    "terminal_none": ["--credit", "terminal", "--baseline", "none", "--no-standardise"],
    "terminal_running": ["--credit", "terminal", "--baseline", "running", "--no-standardise"],
    "terminal_value": ["--credit", "terminal", "--no-standardise"],
    "terminal": ["--credit", "terminal"],
    "per_step": ["--credit", "per-step"],
    "rollouts_none": ["--baseline", "none", "--no-standardise"],
    "rollouts": [],  # the preset
    "rollouts_faster": ["--rate", "3e-3"],
    "rollouts_ppo": ["--agent", "ppo"],
    "rollouts_teacher": ["--teacher", "1"],
    "gumbel": ["--signal", "gumbel"],
    "straight_through": ["--signal", "straight-through"],
    "soft_wgan": ["--signal", "soft-wgan"],
}
LIKELIHOOD = ("mle", "mle_long")
LEARNED = ("corpus", "clock", "network", "likelihood", "older", "places", "source")  # by maximum likelihood
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


def hours(run: RunFolder, after: int) -> float:
    """Of all that a run did after so many rounds: drawing, learning, evaluating."""
    rows = [row for row in run.rows("timing.jsonl") if row["update"] > after or not after]
    return sum(row.get(stage, 0.0) for row in rows for stage in ("drawing", "learning", "evaluating")) / 3600


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
    """Whether every seed's difference, and the whole interval, which needs two seeds, lie below 0."""
    found = told.get(difference, {})
    return bool(found.get("high", 0) < 0 and max(found["per_seed"]) < 0)


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
    """A method's runs, those of `mle` first where they begin with it; some may have failed, if not of likelihood's."""
    start = None if method in LIKELIHOOD else trained("mle", seeds, runs, at_once)

    def prepare(sweep: Sweep) -> None:
        for seed in seeds if start else ():
            take_over(sweep, start, seed)

    words, failing = [*COMMON, *METHODS[method]], start is not None
    return sweeps.trained("seqgan", words, seeds, runs / method, at_once, prepare=prepare, failing=failing)


def take_over(sweep: Sweep, start: Sweep, seed: int) -> None:
    """Make what a run of `start` has learned, evaluated and logged the beginning of a sweep's run that has not begun.

    Args:
        sweep: whose run begins.
        start: of maximum likelihood alone, in which the two do not differ.
        seed: of both runs.
    """
    run, begun = sweep.begin(seed), start.folder(seed)
    if run.update is not None:
        return
    algorithm, source, _ = sweep.of(seed).build()
    parts = {**algorithm.parts(), "source": source}
    done = begun.restore({name: parts[name] for name in LEARNED})
    assert done is not None, f"{begun.path} has not begun"
    for folder in ("episodes", "evaluations"):
        shutil.copytree(begun.path / folder, run.path / folder, dirs_exist_ok=True)
    for journal in JOURNALS:
        shutil.copy(begun.path / journal, run.path / journal)
    run.save(done, parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 7)))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs/seqgan_oracle50"), help="folder of all runs")
    options = parser.parse_args()
    figures: dict[str, Any] = {"core_hours": 0.0, "failed": {}}
    methods = list[str]()
    for name in options.methods:
        done = trained(name, options.seeds, options.runs, options.jobs)
        failed = sweeps.failures(done, options.seeds)
        if failed:
            figures["failed"][name] = failed
            continue
        methods.append(name)
        figures |= of_method(name, done, options.seeds)
        own = 0 if name in LIKELIHOOD else MLE_ROUNDS
        figures["core_hours"] += sum(hours(done.folder(seed), own) for seed in options.seeds)
        judged = done.folder(options.seeds[0]).judgement()
        bars = [key for key in judged if key == "floor" or key.startswith(("ngram", "uniform", "replay"))]
        figures |= {key: judged[key] for key in bars} | {"copied_run_real": judged["copied_run_real"]}
    figures |= compared(figures, methods)
    path = record.write(
        "seqgan_oracle50",
        figures=figures,
        protocol={
            "data": "oracle",
            "config": done.record["config"],
            "samples": done.job.config.schedule.samples,
            "rounds": ROUNDS,
            "jobs": {name: ["sparring", "sweep", "seqgan", *COMMON, *METHODS[name]] for name in methods},
            "comparisons": len([name for name in methods if name not in LIKELIHOOD]),
            "threads": 1,
        },
        seeds=options.seeds,
        notes="Means over seeds with bootstrap intervals; the oracle and its sentences are the same for all seeds. "
        "_minutes are of training, maximum likelihood included, with as many runs at a time as there are cores; "
        "core_hours are all that was computed, with that of `mle` once, but for start-up and corpora. No comparison "
        "is corrected for the others, and the best of many methods looks better than it would on other seeds. The "
        "preset's rates and D's mean over places were chosen by hand, of which no record was kept.",
        published=PUBLISHED,
    )
    draw(figures, methods, path)


if __name__ == "__main__":
    main()
