"""Why reproductions of DANN range from 66 to 92 %: one choice at a time, and together as well-known ones have them.

From the paper's protocol, normalisation, batch norm, optimiser, λ rule and steps are changed one by one (`--grid`: in
all combinations). `like_…` are recipes as circulating code has them, on our network.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import adaptation
import record

PAPER = {"normalisation": "mean", "batch-norm": "none", "optimiser": "sgd", "weight-rule": "ramp", "steps": "8600"}
CHOICES = {
    "normalisation": ("mean", "instance", "none"),
    "batch-norm": ("none", "together", "apart"),
    "optimiser": ("sgd", "adam"),
    "weight-rule": ("ramp", "constant"),
    "steps": ("2150", "8600"),
}
RATES = {"sgd": ["--learning-rate", "0.01"], "adam": ["--learning-rate", "0.001", "--rate-rule", "constant"]}
LIKE = {
    "like_fungtion": PAPER | {"normalisation": "none", "batch-norm": "apart", "optimiser": "adam"},
    "like_dirt_t": PAPER
    | {"normalisation": "instance", "batch-norm": "apart", "optimiser": "adam", "weight-rule": "constant"},
}


def settings(grid: bool) -> dict[str, Mapping[str, str]]:
    """The choices by name."""
    if grid:
        every = itertools.product(*CHOICES.values())
        return {"_".join(chosen): dict(zip(CHOICES, chosen, strict=True)) for chosen in every}
    others = {
        f"{choice.replace('-', '_')}_{value}": PAPER | {choice: value}
        for choice, values in CHOICES.items()
        for value in values
        if value != PAPER[choice]
    }
    return {"paper": PAPER, **others, **LIKE}


def words_of(chosen: Mapping[str, str], steps: int | None) -> list[str]:
    """As options."""
    words = [word for name, value in chosen.items() if name != "steps" for word in (f"--{name}", value)]
    return ["--preset", "mnist", *words, *RATES[chosen["optimiser"]], "--steps", str(steps or chosen["steps"])]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n{adaptation.__doc__}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", action="store_true", help="all combinations")
    parser.add_argument("--only", nargs="+", help="these settings, by name")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--steps", type=int, help="rounds of every run, whatever its setting says")
    parser.add_argument("--runs", type=Path, default=Path("runs/dann_spread"), help="folder of all runs")
    return parser.parse_args()


def effects(figures: Mapping[str, Any], chosen: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """How far apart the means of a choice's values are: what the choice is worth, averaged over the others."""
    found: dict[str, float] = {}
    for choice, values in CHOICES.items():
        means = {
            value: [figures[name]["mean"] for name, one in chosen.items() if one[choice] == value] for value in values
        }
        known: Sequence[float] = [sum(some) / len(some) for some in means.values() if some]
        found[choice] = max(known) - min(known)
    return found


def main() -> None:
    options = arguments()
    chosen = {name: one for name, one in settings(options.grid).items() if not options.only or name in options.only}
    methods = {name: words_of(one, options.steps) for name, one in chosen.items()}
    options.methods, options.steps = list(methods), None
    done = adaptation.swept(options, methods)
    figures = adaptation.figures_of(done, options.seeds)
    if options.grid:
        figures["effects"] = effects(figures, chosen)
    path = record.write(
        "dann_spread",
        figures=figures,
        protocol={"settings": chosen, "checkpoint": "last", "methods": adaptation.protocols(done, methods)},
        seeds=options.seeds,
        notes="Accuracy on MNIST-M, learned from MNIST without labels of the target; _std is over seeds.",
        published={
            "tf-dann": {"value": 0.7189, "source": "pumpikano/tf-dann, README"},
            "pytorch-DANN": {"value": "0.798 (0.78–0.83)", "source": "NaJaeMin92/pytorch-DANN, 5 runs"},
            "fungtion": {"value": "0.894–0.907", "source": "fungtion/DANN, README"},
            "lowest": {"value": 0.67, "source": "CuthbertCai/pytorch_DANN#1, its author's worst run"},
            "highest": {"value": 0.9251, "source": "hehai131/DANN, README"},
        },
    )
    adaptation.draw(figures, list(methods), f"MNIST → MNIST-M: {len(options.seeds)} seeds", path)


if __name__ == "__main__":
    main()
