"""From scikit-learn's digits to the same digits over photos: DANN and its relatives, and the plain baselines.

The baselines see 200 labels of the target, in the second half of their rounds: transfer with the first k layers copied,
which are frozen (`frozen_k`) or go on learning (`tuned_k`; of all layers, that is fine-tuning), for every k; `copied_0`
learns from the 200 alone. With all layers frozen, only the moments of batch norm learn. `lambda_0` is `dann` that hides
nothing: what is gained by seeing the moments of the target. λ of `mmd` is the best of 1, 10, 100 and that of `coral`
of 100, 10⁴ and 10⁶ by the A-distance on a seed that is not reported. The second picture is accuracy over k.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import adaptation
import pictures
from matplotlib.figure import Figure

from sparring.adversarial.dann import LAYERS

PRESET = ["--preset", "digits"]
FEW = [*PRESET, "--method", "transfer", "--labelled", "200"]
COPIED = range(1, LAYERS + 1)
METHODS = {
    "source_only": [*PRESET, "--method", "source-only"],
    "dann": PRESET,
    "lambda_0": [*PRESET, "--weight", "0"],
    "cdan": [*PRESET, "--method", "cdan"],
    "adda": [*PRESET, "--method", "adda"],
    "mmd": [*PRESET, "--method", "mmd", "--weight", "10"],
    "coral": [*PRESET, "--method", "coral", "--weight", "10000"],
    "copied_0": [*FEW, "--copied", "0"],
    **{f"frozen_{k}": [*FEW, "--copied", str(k), "--frozen"] for k in COPIED},
    **{f"tuned_{k}": [*FEW, "--copied", str(k)] for k in COPIED},
    "train_on_target": [*PRESET, "--method", "train-on-target"],
}


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Accuracy over the number of layers that are copied, between the floor and the ceiling."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = pictures.axes_of(
        figure, title="layers copied from the digits", xlabel="k", ylabel="accuracy on the target", xticks=[0, *COPIED]
    )
    for kind, colour in (("frozen", pictures.BLUE), ("tuned", pictures.VERMILLION)):
        found = [figures[name] for name in ("copied_0", *(f"{kind}_{k}" for k in COPIED))]
        axes.plot([0, *COPIED], [one["mean"] for one in found], "o-", color=colour, label=kind)
        if "low" in found[0]:
            bounds = ([one[end] for one in found] for end in ("low", "high"))
            axes.fill_between([0, *COPIED], *bounds, color=colour, alpha=0.15, lw=0)
    for name, style in (("source_only", ":"), ("train_on_target", "--")):
        axes.axhline(figures[name]["mean"], color=pictures.GREY, ls=style, label=name.replace("_", " "))
    axes.legend(frameon=False)
    pictures.save(figure, path)


if __name__ == "__main__":
    figures, path = adaptation.measure(
        "digits_to_colour",
        __doc__,
        METHODS,
        {},
        notes="frozen_k, tuned_k and copied_0 learn from 200 labels of the target in the second half of their rounds, "
        "and only then.",
    )
    if figures.keys() >= METHODS.keys():
        draw(figures, path.with_name("digits_to_colour_layers.png"))
