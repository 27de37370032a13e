"""What adapting to a domain without labels gains: methods side by side, over seeds, with the floor and the ceiling.

Every method is a sweep in FOLDER/METHOD of `sparring sweep dann`; what is complete is left alone, so a stopped
benchmark goes on. A seed's figure is its run's own final evaluation: accuracy on all held-out target images, last
checkpoint. `_share_of_gap` is (method − source only) / (train on target − source only), seed by seed, of runs that
differ from the method's in nothing else (mmd and coral are computed in fp32, though). `_a_distance` is what fresh
probes see in frozen features, `_source_accuracy` and `_entropy` are known without labels, too.

No label of the target is learned from, except in `train_on_target`, fine-tuning and transfer (there in the second half
of the rounds). How settings were chosen: CHOSEN.

MNIST, MNIST-M and USPS are found where the variable SPARRING_DATA says.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import record
import sweeps
from matplotlib.figure import Figure
from mixtures import minutes_of

from sparring.adversarial.dann import CRITICAL, Config, Method
from sparring.runners import keepsakes, replay
from sparring.runners.job import cores
from sparring.runners.sweepfolder import Sweep

UNLABELLED = (*CRITICAL, "mmd", "coral")  # the methods whose share of the gap is told
FLOOR, CEILING = "source-only", "train-on-target"
CHOSEN = (
    "λ = 0.5 of the paper's network is what usual code takes; 0.1 of the averaged ones, those of mmd and coral, and "
    "the optimiser for USPS are by the A-distance, as it was measured then (of the same drawings in both domains), on "
    "a seed that is not reported, λ on digits; batch norm, averaging and steps are published practice, but pilots of "
    "them, on seeds that are not reported, told the target's accuracy as well, and were seen"
)
FIGURES = {"source_accuracy": "source_accuracy", "a_distance": "a_distance", "entropy": "target_entropy"}
JMLR = "Ganin et al., JMLR 2016, table 2"
V1 = "Ganin & Lempitsky, arXiv 1409.7495v1 (2014), table 1"


def arguments(description: str, claim: str, methods: Sequence[str], seeds: int = 5) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(seeds)))
    parser.add_argument("--methods", nargs="+", default=list(methods), choices=list(methods))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--steps", type=int, help="rounds of every run; default: as the preset has it")
    parser.add_argument("--runs", type=Path, default=Path(f"runs/{claim}"), help="folder of all runs")
    return parser.parse_args()


def swept(options: argparse.Namespace, methods: Mapping[str, Sequence[str]]) -> dict[str, Sweep]:
    """The sweeps of the methods that were asked for, complete but for seeds that failed."""
    return {
        name: sweeps.trained("dann", words, options.seeds, options.runs / name, options.jobs, failing=True)
        for name, words in asked(options, methods).items()
    }


def at_once(options: argparse.Namespace) -> int:
    """Runs at a time, where all networks are so small that they learn on one thread."""
    return int(options.jobs or cores())


def asked(options: argparse.Namespace, methods: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The options of every run of the methods that were asked for."""
    more = ["--steps", str(options.steps)] if options.steps else []
    return {name: [*methods[name], *more] for name in options.methods}


def failures(done: Mapping[str, Sweep], seeds: Sequence[int]) -> dict[str, dict[int, str]]:
    """The methods that have no figures since a seed of theirs failed, and what it said."""
    return {name: failed for name, sweep in done.items() if (failed := sweeps.failures(sweep, seeds))}


def figures_of(done: Mapping[str, Sweep], seeds: Sequence[int]) -> dict[str, Any]:
    """Every method's figures over seeds, all of which are complete."""
    accuracies: dict[str, list[float]] = {}
    figures: dict[str, Any] = {}
    for name, sweep in done.items():
        runs = [sweep.folder(seed) for seed in seeds]
        judged = [run.judgement() for run in runs]
        accuracies[name] = [one["target_accuracy"] for one in judged]
        figures[name] = record.over_seeds(accuracies[name])
        figures[f"{name}_std"] = float(np.std(accuracies[name], ddof=1)) if len(seeds) > 1 else 0.0
        for figure, metric in FIGURES.items():
            figures[f"{name}_{figure}"] = record.over_seeds([one[metric] for one in judged])
        figures[f"{name}_minutes"] = float(np.mean([minutes_of(run) for run in runs]))
    for name in (name for name, sweep in done.items() if sweep.job.config.method in UNLABELLED):
        ends = [like(done[name].job.config, done, method) for method in (FLOOR, CEILING)]
        if all(ends):
            floor, ceiling = (np.array(accuracies[end]) for end in ends)
            gained = (np.array(accuracies[name]) - floor) / (ceiling - floor)
            figures[f"{name}_share_of_gap"] = record.over_seeds(list(gained))
    return figures


def like(config: Config, done: Mapping[str, Sweep], method: Method) -> str:
    """The name of runs that differ from `config` in their method, and at most in that, but for `alike`; or ''."""
    wanted = dataclasses.replace(config, method=method)
    return next((name for name, sweep in done.items() if alike(sweep.job.config, config) == wanted), "")


def alike(config: Config, other: Config) -> Config:
    """With λ as the other has it, which floor and ceiling do without, and its arithmetic, fp32 for mmd and coral."""
    told = {name: getattr(other, name) for name in ("weight", "weight_rule", "precision")}
    return dataclasses.replace(config, **told)


def protocols(done: Mapping[str, Sweep], words: Mapping[str, Sequence[str]], seed: int) -> dict[str, Any]:
    """What every method's number stands on, as the run of a seed was judged, and the command that makes it."""
    return {
        name: {
            **{key: told for key, told in sweep.folder(seed).judgement()["protocol"].items() if key != "seeds"},
            "threads": sweep.folder(seed).record["threads"],
            "job": ["sparring", "sweep", "dann", *words[name]],
        }
        for name, sweep in done.items()
    }


def draw(figures: Mapping[str, Any], methods: Sequence[str], title: str, path: Path) -> None:
    """A row a method."""
    figure = Figure(figsize=(9, 0.42 * len(methods) + 1.3), layout="constrained")
    axes = pictures.axes_of(figure, title=title, xlabel="accuracy on the target")
    ends = (FLOOR.replace("-", "_"), CEILING.replace("-", "_"))  # and the same, normalised
    colours = [
        pictures.GREY if name.startswith(ends) else pictures.VERMILLION if "dann" in name else pictures.BLUE
        for name in methods
    ]
    pictures.estimates(axes, [figures[name] for name in methods], colours)
    pictures.rows(axes, [name.replace("_", " ") for name in methods])
    pictures.save(figure, path)


def before_and_after(sweep: Sweep, seed: int, path: Path) -> None:
    """Features of both domains as a run's evaluations saw them, one picture beside the other."""
    replay.strip(keepsakes.show(keepsakes.together(sweep.folder(seed).episodes)), path, most=2)
    print(f"wrote {path}")


def measure(
    claim: str,
    description: str,
    methods: Mapping[str, Sequence[str]],
    published: Mapping[str, Any],
    *,
    seeds: int = 5,
    notes: str,
) -> tuple[dict[str, Any], Path]:
    """The benchmark `claim`: its figures, and where they are written."""
    options = arguments(f"{description}\n{__doc__}", claim, list(methods), seeds)
    swept_all = swept(options, methods)
    failed = failures(swept_all, options.seeds)
    done = {name: sweep for name, sweep in swept_all.items() if name not in failed}
    figures = figures_of(done, options.seeds)
    path = record.write(
        claim,
        figures={**figures, "failed": failed},
        protocol={
            "checkpoint": "last",
            "runs at a time": at_once(options),
            "settings": CHOSEN,
            "methods": protocols(done, asked(options, methods), options.seeds[0]),
        },
        seeds=options.seeds,
        notes=f"Means over seeds with bootstrap intervals; _minutes are of a run's training. {notes}",
        published=published,
    )
    draw(figures, list(done), f"{claim}: {len(options.seeds)} seeds", path)
    if "dann" in done:
        before_and_after(done["dann"], options.seeds[0], path.with_name(f"{claim}_features.png"))
    return figures, path
