"""Why reproductions of DANN range from 66 to 92 %: one choice at a time, and some of them together.

From a base, normalisation, batch norm of the extractor and of the critic, optimiser (with a rate and rule of its own),
λ and its rule, averaging of what is judged, and steps are changed one by one (`--grid`: in all combinations). The base
is the paper's protocol in the 8,600 steps that tf-dann gives it, and with half of its λ, which is what the
extractor gets in usual code, whose domain loss is a mean over both domains; our critic keeps the paper's sum
(`weight_1` is the paper's). `bn_adam` and `instance_bn_adam_constant` combine choices that circulating code combines,
too; they are nobody's recipe. `normalised` is our preset `mnist-normalised`, but for its steps.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import adaptation
import numpy as np
import record

BASE = {
    "normalisation": "mean",
    "batch-norm": "none",
    "critic-norm": "no",
    "optimiser": "sgd",
    "weight": "0.5",
    "weight-rule": "ramp",
    "average": "0",
    "steps": "8600",
}
CHOICES = {
    "normalisation": ("mean", "instance", "none"),
    "batch-norm": ("none", "together", "apart"),
    "critic-norm": ("no", "yes"),
    "optimiser": ("sgd", "adam"),
    "weight": ("0.1", "0.5", "1"),
    "weight-rule": ("ramp", "constant"),
    "average": ("0", "0.999"),
    "steps": ("2150", "8600", "20000"),
}
COLLAPSED = 0.5  # accuracy on the source
RATES = {
    "sgd": {"learning-rate": "0.01", "rate-rule": "inverse"},
    "adam": {"learning-rate": "0.001", "rate-rule": "constant"},
}
TOGETHER = {
    "bn_adam": BASE | {"normalisation": "none", "batch-norm": "apart", "optimiser": "adam"},
    "instance_bn_adam_constant": BASE
    | {"normalisation": "instance", "batch-norm": "apart", "optimiser": "adam", "weight-rule": "constant"},
    "normalised": BASE
    | {"normalisation": "instance", "batch-norm": "apart", "optimiser": "adam", "weight": "0.1", "average": "0.999"},
}


def settings(grid: bool) -> dict[str, dict[str, str]]:
    """The choices by name, each with the rate of its optimiser."""
    others = {
        f"{choice.replace('-', '_')}_{value}": BASE | {choice: value}
        for choice, values in CHOICES.items()
        for value in values
        if value != BASE[choice]
    }
    every = itertools.product(*CHOICES.values())
    combined = {"_".join(chosen): dict(zip(CHOICES, chosen, strict=True)) for chosen in every}
    asked = combined if grid else {"base": BASE, **others, **TOGETHER}
    return {name: chosen | RATES[chosen["optimiser"]] for name, chosen in asked.items()}


def words_of(chosen: Mapping[str, str]) -> list[str]:
    """As options."""
    flags = {"yes": "--", "no": "--no-"}
    told = [[f"{flags[value]}{name}"] if value in flags else [f"--{name}", value] for name, value in chosen.items()]
    return ["--preset", "mnist", *itertools.chain(*told)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n{adaptation.__doc__}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", action="store_true", help="all combinations")
    names = [*settings(grid=False), *settings(grid=True)]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these settings, by name")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--steps", type=int, help="rounds of every run, whatever its setting says")
    parser.add_argument("--runs", type=Path, default=Path("runs/dann_spread"), help="folder of all runs")
    return parser.parse_args()


def collapsed(source: Mapping[str, Any]) -> int:
    """Seeds whose learner cannot even read the source any more, which is known without a label of the target."""
    return sum(accuracy < COLLAPSED for accuracy in source["per_seed"])


def effects(figures: Mapping[str, Any], chosen: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """How far apart the means of a choice's values are: what the choice is worth, averaged over the others."""
    found: dict[str, float] = {}
    for choice, values in CHOICES.items():
        means = {
            value: [figures[name]["mean"] for name, one in chosen.items() if one[choice] == value] for value in values
        }
        known: Sequence[float] = [sum(some) / len(some) for some in means.values() if some]
        if known:  # `--steps` is none of its values
            found[choice] = max(known) - min(known)
    return found


def moves(figures: Mapping[str, Any], chosen: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """How far each value of a choice, alone, moves the mean from the base, seed by seed."""
    found: dict[str, dict[str, Any]] = {}
    for name, one in chosen.items():
        changed = [choice for choice in CHOICES if one[choice] != chosen["base"][choice]]
        if len(changed) == 1:
            [choice] = changed
            moved = np.subtract(figures[name]["per_seed"], figures["base"]["per_seed"])
            found.setdefault(choice, {})[one[choice]] = record.over_seeds(list(moved))
    return found


def main() -> None:
    options = arguments()
    every = settings(grid=False) | settings(grid=True)
    length = {"steps": str(options.steps)} if options.steps else {}
    chosen = {name: every[name] | length for name in options.only or settings(options.grid)}
    methods = {name: words_of(one) for name, one in chosen.items()}
    options.methods, options.steps = list(methods), None
    swept = adaptation.swept(options, methods)
    failed = adaptation.failures(swept, options.seeds)
    done = {name: sweep for name, sweep in swept.items() if name not in failed}
    ended = {name: one for name, one in chosen.items() if name in done}
    figures = adaptation.figures_of(done, options.seeds) | {"failed": failed}
    figures |= {f"{name}_collapsed": collapsed(figures[f"{name}_source_accuracy"]) for name in done}
    if options.grid:
        figures["effects"] = effects(figures, ended)
    if "base" in ended:
        figures["moves"] = moves(figures, ended)
    path = record.write(
        "dann_spread",
        figures=figures,
        protocol={
            "settings": ended,
            "runs at a time": adaptation.at_once(options),
            "settings_that_failed": {name: chosen[name] for name in failed},
            "checkpoint": "last",
            "methods": adaptation.protocols(done, methods, options.seeds[0]),
        },
        seeds=options.seeds,
        notes="Accuracy on MNIST-M, learned from MNIST without labels of the target; _std is over seeds, _collapsed "
        "counts those whose accuracy on the source is below one half, too. moves are from the base, seed by seed. "
        "Choices made together are nobody's recipe; each optimiser has its own rate.",
        published={
            "tf-dann": {"value": 0.7189, "source": "pumpikano/tf-dann, README"},
            "pytorch-DANN": {"value": "0.798 (0.78–0.83)", "source": "NaJaeMin92/pytorch-DANN, 5 runs"},
            "fungtion": {"value": "0.894–0.907", "source": "fungtion/DANN, README"},
            "lowest": {"value": 0.67, "source": "CuthbertCai/pytorch_DANN#1, its author's worst run"},
            "highest": {"value": 0.9251, "source": "hehai131/DANN, README"},
        },
    )
    adaptation.draw(figures, list(done), f"MNIST → MNIST-M: {len(options.seeds)} seeds", path)


if __name__ == "__main__":
    main()
