"""The end of a sweep in a table and a picture: each seed's score, what all seeds say together, and their curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from sparring.agents import statistics
from sparring.agents.statistics import Estimate, Scores
from sparring.runners.report import SMOOTH, protocol_line, running_mean

POINTS = 200  # of a curve
INTERVALS = "95 %: a seed's over its games, those below over seeds (stratified percentile bootstrap)"


def results(judgements: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What sweep.json holds of the seeds' evaluations: each seed's numbers, the aggregates over seeds, the protocol.

    Of fewer than two seeds there are no aggregates.
    """
    numbers = {
        str(seed): {name: value for name, value in judgement.items() if isinstance(value, int | float)}
        for seed, judgement in judgements.items()
    }
    scores = [judgement["score"] for judgement in judgements.values()]
    aggregates = statistics.AGGREGATES if len(scores) > 1 else {}
    protocols = [judgement["protocol"] for judgement in judgements.values()]
    return {
        "n": len(scores),
        "aggregates": {name: statistics.estimate(scores, take)._asdict() for name, take in aggregates.items()},
        "seeds": numbers,
        "protocol": {name: value for rules in protocols[:1] for name, value in rules.items() if name != "seeds"},
        "intervals": INTERVALS,
    }


def table(console: Console, told: Mapping[str, Any], title: str) -> None:
    """Print `results`."""
    shown = Table("seed", "score", "95 % interval", "random", box=None, padding=(0, 2))
    for seed, numbers in told["seeds"].items():
        estimate = Estimate(numbers["score"], numbers["low"], numbers["high"])
        shown.add_row(seed, *_cells(estimate), f"{numbers['random']:.1f}")
    shown.add_row()
    for name, numbers in told["aggregates"].items():
        shown.add_row(f"[bold]{name}[/]", *_cells(Estimate(**numbers)))
    console.print(Panel(shown, title=title, expand=False))
    console.print(told["intervals"], highlight=False, soft_wrap=True)
    if told["protocol"]:
        rules = f"{protocol_line(told['protocol'])}, {told['protocol']['games']} games a seed"
        console.print(rules, highlight=False, soft_wrap=True)


def _cells(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:.1f}", f"{estimate.low:.1f} … {estimate.high:.1f}"


def curve(rows: Iterable[Mapping[str, Any]]) -> tuple[Scores, Scores]:
    """Steps [U] and, after each update, the mean of the last `SMOOTH` games [U]; NaN before the first has ended."""
    rows = list(rows)
    sample = np.array([score for row in rows for score in row.get("game/score", [])])
    ended = np.cumsum([len(row.get("game/score", [])) for row in rows])
    means = np.append(running_mean(sample), np.nan)  # the last one is what index −1 finds: nothing has ended
    return np.array([row["step"] for row in rows], float), means[ended - 1]


def curves(runs: Mapping[str, Iterable[Mapping[str, Any]]], path: Path, title: str) -> None:
    """Draw the journals of runs that made the same steps: every seed thin, their mean with its 95 % band."""
    from matplotlib.figure import Figure  # takes a third of a second, and only this needs it

    drawn = [curve(rows) for rows in runs.values()]
    steps, scores = drawn[0][0], np.array([means for _, means in drawn])  # [U], [S, U]
    chosen = np.unique(np.linspace(0, len(steps) - 1, POINTS).astype(int))
    chosen = chosen[np.isfinite(scores[:, chosen]).all(0)]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, means in zip(runs, scores, strict=True):
        axes.plot(steps, means, lw=0.8, alpha=0.6, label=name)
    if len(scores) > 1:
        mean, low, high = np.array([statistics.estimate(scores[:, point]) for point in chosen]).reshape(-1, 3).T
        axes.plot(steps[chosen], mean, color="black", label="mean over seeds")
        axes.fill_between(steps[chosen], low, high, color="black", alpha=0.15, lw=0, label="95 % over seeds")
    axes.set(xlabel="agent steps", ylabel=f"score, mean of the last {SMOOTH} games", title=title)
    axes.legend(fontsize="small", ncols=1 + len(runs) // 10)
    figure.savefig(path, dpi=120)
