"""What the benchmarks' pictures have in common: colours for colour-blind readers too, bands, plain axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparring.agents import statistics
from sparring.agents.statistics import Scores
from sparring.runners.report import SMOOTH

BLUE, ORANGE, VERMILLION, GREY = "#0072B2", "#E69F00", "#D55E00", "#777777"  # Okabe & Ito 2008


SCORE = f"score of training games, mean of the last {SMOOTH}"
POINTS = 120  # of a curve
BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8.5}


def axes_of(figure: Figure, *place: Any, title: str, **names: Any) -> Axes:
    """A plain plot at a place of the figure's grid; `names` are what `Axes.set` takes."""
    axes = figure.add_subplot(*place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set(**names)
    return axes


def curves(axes: Axes, runs: Sequence[tuple[Scores, Scores]], **look: Any) -> None:
    """Runs of the same steps, each `overview.curve`, as their mean within its 95 % band; a run alone has no band."""
    steps, scores = runs[0][0], np.array([means for _, means in runs])  # [U], [S, U]
    chosen = np.unique(np.linspace(0, len(steps) - 1, POINTS).astype(int))
    chosen = chosen[np.isfinite(scores[:, chosen]).all(0)]
    (line,) = axes.plot(steps[chosen], scores[:, chosen].mean(0), lw=1.8, **look)
    if len(runs) > 1:
        bounds = np.array([statistics.estimate(scores[:, point]).interval for point in chosen]).reshape(-1, 2)
        axes.fill_between(steps[chosen], *bounds.T, color=line.get_color(), alpha=0.15, lw=0)


def estimates(axes: Axes, figures: Sequence[dict[str, Any]], colours: Sequence[str]) -> None:
    """A row for each figure over seeds, from the top: every seed small, the mean with its interval large."""
    for row, (figure, colour) in enumerate(zip(figures, colours, strict=True)):
        seeds = np.array(figure["per_seed"])
        if "low" in figure:
            axes.plot([figure["low"], figure["high"]], [row, row], color=colour, lw=3, solid_capstyle="round")
        axes.plot(seeds, row + spread(len(seeds)), "o", ms=4, alpha=0.55, color=colour, mec="white", mew=0.4)
        axes.plot(figure["mean"], row, "D", ms=7, color=colour, mec="white", mew=1)


def bars(axes: Axes, figures: Sequence[dict[str, Any]], colours: Sequence[str]) -> None:
    """A bar for each positive figure over seeds, from the top, on a log scale, with its interval as whiskers."""
    axes.set_xscale("log")
    for row, (figure, colour) in enumerate(zip(figures, colours, strict=True)):
        axes.barh(row, figure["mean"], height=0.62, color=colour, alpha=0.85)
        if "low" in figure:
            axes.plot([figure["low"], figure["high"]], [row, row], color="black", lw=1.5)
        axes.annotate(f"{figure['mean']:.2g}", (figure.get("high", figure["mean"]), row), (5, 0), **BESIDE)
    axes.margins(x=0.1)


def rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a plot, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def spread(count: int) -> Any:
    """Small distances from a row's middle, so that equal seeds are seen apart; [count]."""
    return np.linspace(-0.22, 0.22, count) if count > 1 else np.zeros(1)


def save(figure: Figure, record: Path) -> None:
    """Write the picture beside its record."""
    path = record.with_suffix(".png")
    figure.savefig(path, dpi=150)
    print(f"wrote {path}")
