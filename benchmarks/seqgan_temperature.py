"""What does a lower NLL_oracle cost? Every generator of seqgan_oracle50, sharpened: its logits times α.

Whoever multiplies the logits by α > 1 writes fewer and likelier sentences: NLL_oracle falls, NLL_test rises, with no
training at all. So a number for NLL_oracle means nothing without the NLL_test that was paid for it. `_price_at_X` is
the NLL_test, seed by seed, where the curve of α first comes down to the target X of NLL_oracle (between two α, by a
straight line): what maximum likelihood has at α = 1, 4-grams, and the oracle's floor. A seed that never comes there
has no price and is counted (`_never`).

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
import seqgan_oracle50
import torch
from matplotlib.figure import Figure

from sparring.adversarial import oracles, sentences
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job

SHARPNESS = (0.7, 0.85, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
METHODS = ("mle", "mle_long", "terminal", "per_step", "rollouts", "rollouts_ppo", "straight_through", "soft_wgan")
COLOURS = ("#000000", "#777777", "#E69F00", "#56B4E9", "#D55E00", "#CC79A7", "#009E73", "#0072B2")
Curve = dict[str, list[float]]  # by figure, one number an α
SEED = 2**30  # of the sentences that are judged: the same places for all


def sharpened(folder: RunFolder, samples: int) -> Curve:
    """NLL_oracle, NLL_test and entropy of a run's generator at every α."""
    algorithm = Job.of(folder).build().algorithm
    folder.restore(algorithm.parts())
    corpus, model = algorithm.corpus, algorithm.model
    told: Curve = {"nll_oracle": [], "nll_test": [], "entropy": []}
    for α in SHARPNESS:
        own = sentences.written(model, corpus, samples, SEED, sharpness=α)
        judged = oracles.judge(corpus.oracle, model, own, corpus.test[:samples], sharpness=α)
        for name, values in told.items():
            values.append(getattr(judged, name).mean)
    return told


def price(curve: Mapping[str, Sequence[float]], target: float) -> float | None:
    """NLL_test where NLL_oracle first comes down to the target; None where it never does."""
    paid, had = np.array(curve["nll_test"]), np.array(curve["nll_oracle"])
    for k in range(len(had)):
        if had[k] <= target:
            before = max(k - 1, 0)
            share = 0.0 if had[before] == had[k] else (had[before] - target) / (had[before] - had[k])
            return float(paid[before] + np.clip(share, 0, 1) * (paid[k] - paid[before]))
    return None


def draw(curves: Mapping[str, Sequence[Curve]], figures: Mapping[str, Any], path: Path) -> None:
    """NLL_test against NLL_oracle: the mean over seeds, and every seed thin."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = pictures.axes_of(
        figure,
        1,
        1,
        1,
        title="What NLL_oracle costs: logits times α",
        xlabel="NLL_oracle (nats a token)",
        ylabel="NLL_test (nats a token)",
    )
    for (name, seeds), colour in zip(curves.items(), COLOURS, strict=False):
        for one in seeds:
            axes.plot(one["nll_oracle"], one["nll_test"], lw=0.6, alpha=0.4, color=colour)
        x, y = (np.mean([one[figure_] for one in seeds], axis=0) for figure_ in ("nll_oracle", "nll_test"))
        axes.plot(x, y, lw=1.8, color=colour, label=name.replace("_", " "))
        plain = SHARPNESS.index(1.0)
        axes.plot(x[plain], y[plain], "o", ms=6, color=colour, mec="white")
    axes.plot(figures["floor"], figures["floor"], "*", ms=14, color="black", label="the oracle")
    for n in (2, 3, 4):
        axes.plot(figures[f"ngram{n}_nll_oracle"], figures[f"ngram{n}_nll_test"], "s", ms=6, color=pictures.GREY)
        at = (figures[f"ngram{n}_nll_oracle"], figures[f"ngram{n}_nll_test"])
        axes.annotate(f"{n}-grams", at, (6, 0), **pictures.BESIDE)
    axes.set_ylim(top=figures["ngram2_nll_test"] + 0.6)
    axes.legend(fontsize="small")
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(seqgan_oracle50.METHODS))
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs/seqgan_oracle50"), help="folder of all runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    curves: dict[str, list[Curve]] = {}
    figures: dict[str, Any] = {}
    for name in options.methods:
        done = seqgan_oracle50.trained(name, options.seeds, options.runs, options.jobs)
        curves[name] = [sharpened(done.folder(seed), options.samples) for seed in options.seeds]
        judged = done.folder(options.seeds[0]).judgement()
        figures |= {key: judged[key] for key in judged if key == "floor" or key.startswith("ngram")}
    first = next(iter(curves.values()))
    targets = {
        "mle": float(np.mean([one["nll_oracle"][SHARPNESS.index(1.0)] for one in curves.get("mle", first)])),
        "ngram4": figures["ngram4_nll_oracle"],
        "floor": figures["floor"],
    }
    for name, seeds in curves.items():
        for figure in seeds[0]:
            rows = [record.over_seeds([one[figure][k] for one in seeds]) for k in range(len(SHARPNESS))]
            figures[f"{name}_{figure}"] = dict(zip(map(str, SHARPNESS), rows, strict=True))
        for target, value in targets.items():
            paid = [one for one in (price(curve, value) for curve in seeds) if one is not None]
            figures |= {f"{name}_price_at_{target}": record.over_seeds(paid)} if paid else {}
            figures[f"{name}_price_at_{target}_never"] = len(seeds) - len(paid)
    path = record.write(
        "seqgan_temperature",
        figures={**figures, "targets": targets},
        protocol={"sharpness": SHARPNESS, "samples": options.samples, "methods": options.methods, "threads": 1},
        seeds=options.seeds,
        notes="Figures by α are means over seeds with bootstrap intervals.",
        published={
            "mle_price_at_8.736": {
                "value": 7.78,
                "source": "authors' oracle; GansFallingShort, one run",
            },
            "seqgan_price_at_8.736": {"value": 12.10, "source": "the same"},
        },
    )
    draw(curves, figures, path)


if __name__ == "__main__":
    main()
