"""What does a lower NLL_oracle cost? Every generator of seqgan_oracle50, sharpened: its logits times α.

Whoever multiplies the logits by α > 1 writes fewer and likelier sentences: NLL_oracle falls, NLL_test rises, with no
training at all. So a number for NLL_oracle means nothing without the NLL_test that was paid for it. `_price_at_X` is
the NLL_test, seed by seed, where the curve of α first comes down to the target X of NLL_oracle (between two α, by a
straight line): what maximum likelihood has at α = 1, 4-grams, and the oracle's floor. A seed that never comes there, or
is there at the smallest α already, does not cross it: it has no price and is counted (`_uncrossed`).

The runs are those of seqgan_oracle50; what is missing is trained.
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
import torch
from matplotlib.figure import Figure
from seqgan_oracle50 import METHODS, trained

from sparring.adversarial import oracles, sentences
from sparring.adversarial.corpus import Corpus
from sparring.adversarial.language import LanguageModel
from sparring.envs.worlds import Array
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job

SHARPNESS = (0.4, 0.55, 0.7, 0.85, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")  # Okabe & Ito 2008
LOOKS = [{"color": colour, "ls": style} for style in ("-", "--", ":") for colour in COLOURS]  # one a method
POINTS = 200  # of a curve that is drawn
BARS = (2, 3, 4)  # n-grams in the picture
Curve = dict[str, list[float]]  # by figure, one number an α
SEED = 2**30  # of the sentences that are judged: the same places for all


def of_run(folder: RunFolder) -> tuple[LanguageModel, Corpus]:
    """The generator of a run's last checkpoint, and what it learned from."""
    algorithm = Job.of(folder).build().algorithm
    folder.restore(algorithm.parts())
    return algorithm.model, algorithm.corpus


def sharpened(model: LanguageModel, corpus: Corpus, samples: int) -> Curve:
    """NLL_oracle, NLL_test and entropy of a generator at every α."""
    assert corpus.oracle is not None
    told: Curve = {"nll_oracle": [], "nll_test": [], "entropy": []}
    for α in SHARPNESS:
        own = sentences.written(model, corpus, samples, SEED, sharpness=α)
        judged = oracles.judge(corpus.oracle, model, own, corpus.test[:samples], sharpness=α)
        for name, values in told.items():
            values.append(getattr(judged, name).mean)
    return told


def price(curve: Mapping[str, Sequence[float]], target: float) -> float | None:
    """NLL_test where NLL_oracle first comes down to the target; None where it is there at first, or never."""
    paid, had = np.array(curve["nll_test"]), np.array(curve["nll_oracle"])
    [down] = np.nonzero(had <= target)
    if not len(down) or down[0] == 0:
        return None
    before, here = down[0] - 1, down[0]
    share = (had[before] - target) / (had[before] - had[here])
    return float(paid[before] + share * (paid[here] - paid[before]))


def prices(name: str, seeds: Sequence[Curve], targets: Mapping[str, float]) -> dict[str, Any]:
    """What a generator pays at each target, over the seeds that cross it, and how many do not."""
    told: dict[str, Any] = {}
    for target, value in targets.items():
        paid = [one for one in (price(curve, value) for curve in seeds) if one is not None]
        told |= {f"{name}_price_at_{target}": record.over_seeds(paid)} if paid else {}
        told[f"{name}_price_at_{target}_uncrossed"] = len(seeds) - len(paid)
    return told


def by_sharpness(name: str, seeds: Sequence[Curve]) -> dict[str, Any]:
    """The figures of a generator at every α."""
    told: dict[str, Any] = {}
    for figure in seeds[0]:
        rows = [record.over_seeds([one[figure][k] for one in seeds]) for k in range(len(SHARPNESS))]
        told[f"{name}_{figure}"] = dict(zip(map(str, SHARPNESS), rows, strict=True))
    return told


def band(seeds: Sequence[Curve]) -> tuple[Array, Array]:
    """NLL_oracle [P] wherever all seeds come by, and the NLL_test [S, P] that each of them has there."""
    had = [one["nll_oracle"] for one in seeds]
    at = np.linspace(max(map(min, had)), min(map(max, had)), POINTS)
    paid = np.array([[price(one, target) for target in at] for one in seeds], float)  # NaN where there is none
    everywhere = np.isfinite(paid).all(0)
    return at[everywhere], paid[:, everywhere]


def draw(curves: Mapping[str, Sequence[Curve]], figures: Mapping[str, Any], top: float, path: Path) -> None:
    """NLL_test, up to `top`, against NLL_oracle: the mean over seeds, in a band from the lowest seed to the highest."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = pictures.axes_of(
        figure,
        1,
        1,
        1,
        title="What NLL_oracle costs: logits times α",
        xlabel="NLL_oracle (nats a token)",
        ylabel="NLL_test (nats a token)",
    )
    plain = SHARPNESS.index(1.0)
    for (name, seeds), look in zip(curves.items(), LOOKS[: len(curves)], strict=True):
        at, paid = band(seeds)
        axes.fill_between(at, paid.min(0), paid.max(0), color=look["color"], alpha=0.15, lw=0)
        axes.plot(at, paid.mean(0), lw=1.6, label=name.replace("_", " "), **look)
        begun = [np.mean([one[figure_][plain] for one in seeds]) for figure_ in ("nll_oracle", "nll_test")]
        axes.plot(*begun, "o", ms=6, color=look["color"], mec="white")
    axes.plot(figures["floor"], figures["floor"], "*", ms=14, color="black", label="the oracle")
    for n in BARS:
        axes.plot(figures[f"ngram{n}_nll_oracle"], figures[f"ngram{n}_nll_test"], "s", ms=6, color=pictures.GREY)
        at_n = (figures[f"ngram{n}_nll_oracle"], figures[f"ngram{n}_nll_test"])
        axes.annotate(f"{n}-grams", at_n, (6, 0), **pictures.BESIDE)
    axes.set_ylim(top=top)
    axes.legend(fontsize="small", ncols=2)
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 7)))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs/seqgan_oracle50"), help="folder of all runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    curves: dict[str, list[Curve]] = {}
    figures: dict[str, Any] = {}
    for name in options.methods:
        done = trained(name, options.seeds, options.runs, options.jobs)
        if sweeps.failures(done, options.seeds):
            continue
        curves[name] = [sharpened(*of_run(done.folder(seed)), options.samples) for seed in options.seeds]
        judged = done.folder(options.seeds[0]).judgement()
        figures |= {key: judged[key] for key in judged if key == "floor" or key.startswith("ngram")}
    first = next(iter(curves.values()))
    targets = {
        "mle": float(np.mean([one["nll_oracle"][SHARPNESS.index(1.0)] for one in curves.get("mle", first)])),
        "ngram4": figures["ngram4_nll_oracle"],
        "floor": figures["floor"],
    }
    for name, seeds in curves.items():
        figures |= by_sharpness(name, seeds) | prices(name, seeds, targets)
    path = record.write(
        "seqgan_temperature",
        figures={**figures, "targets": targets},
        protocol={"sharpness": SHARPNESS, "samples": options.samples, "methods": list(curves), "threads": 1},
        seeds=options.seeds,
        notes="Figures by α are means over seeds with bootstrap intervals.",
    )
    draw(curves, figures, figures["ngram2_nll_test"] + 0.6, path)


if __name__ == "__main__":
    main()
