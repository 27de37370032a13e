"""The end of a sweep in a table and a picture: each seed's score, what all seeds say together, and their curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from sparring.agents import statistics
from sparring.agents.statistics import Scores
from sparring.runners import report
from sparring.runners.folder import EVALUATION, known_by
from sparring.runners.report import SMOOTH, interval, named, protocol_line, running_mean

POINTS = 200  # of a curve
COLUMNS = 4  # metrics of the table
OVER_SEEDS = "95 %: over seeds (stratified percentile bootstrap)"
OVER_GAMES = "95 %: a seed's over its games, those below over seeds (stratified percentile bootstrap)"


def results(judgements: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What sweep.json holds of the seeds' evaluations: each seed's numbers, the aggregates over seeds, the protocol.

    Of fewer than two seeds there are no aggregates; of the protocol, what all have in common, and see `in_common`.
    """
    numbers = {
        str(seed): {name: value for name, value in judgement.items() if isinstance(value, int | float)}
        for seed, judgement in judgements.items()
    }
    metrics = [name for name in named(next(iter(numbers.values()))) if name != "update" and len(numbers) > 1]
    return {
        "n": len(numbers),
        "aggregates": {name: aggregated([told[name] for told in numbers.values()]) for name in metrics},
        "seeds": numbers,
        "protocol": in_common([without_seeds(judgement["protocol"]) for judgement in judgements.values()]),
        "intervals": OVER_GAMES
        if any(interval(told, name) for told in numbers.values() for name in told)
        else OVER_SEEDS,
    }


def without_seeds(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """A protocol but for what every run has of its own."""
    return {name: value for name, value in protocol.items() if name != "seeds"}


def in_common(protocols: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What protocols share; where texts differ, such as verdicts, how many say which."""
    told: dict[str, Any] = {}
    for name, value in protocols[0].items():
        values = [protocol.get(name) for protocol in protocols]
        if all(other == value for other in values):
            told[name] = value
        elif all(isinstance(text, str) for text in values):
            counts = Counter(values).most_common()
            told[name] = "; ".join(f"{text} ({count} of {len(values)} seeds)" for text, count in counts)
    return told


def aggregated(values: Sequence[float]) -> dict[str, dict[str, float]]:
    """Mean, median and IQM over seeds, with their intervals."""
    return {name: statistics.estimate(values, take)._asdict() for name, take in statistics.AGGREGATES.items()}


def table(console: Console, told: Mapping[str, Any], title: str) -> None:
    """Print `results`: a row a seed and a row an aggregate, a column a metric."""
    seeds, aggregates = told["seeds"], told["aggregates"]
    metrics = [name for name in named(next(iter(seeds.values()))) if name != "update"][:COLUMNS]
    shown = Table("seed", *(name.replace("_", " ") for name in metrics), box=None, padding=(0, 2))
    for seed, numbers in seeds.items():
        shown.add_row(seed, *(_cell(numbers[name], interval(numbers, name)) for name in metrics))
    shown.add_row()
    for aggregate in statistics.AGGREGATES if aggregates else ():
        over = [aggregates[name][aggregate] for name in metrics]
        shown.add_row(f"[bold]{aggregate}[/]", *(_cell(one["value"], (one["low"], one["high"])) for one in over))
    console.print(Panel(shown, title=title, expand=False))
    console.print(told["intervals"], highlight=False, soft_wrap=True)
    if told["protocol"]:
        console.print(f"{protocol_line(told['protocol'])}, a seed", highlight=False, soft_wrap=True)


def _cell(value: float, ends: tuple[float, float] | None) -> str:
    return f"{report.told(value)} ({report.told(ends[0])} … {report.told(ends[1])})" if ends else report.told(value)


def curve(rows: Iterable[Mapping[str, Any]]) -> tuple[Scores, Scores]:
    """Steps [U] and, after each update, the mean of the last `SMOOTH` games [U]; NaN before the first has ended.

    Where no games are played: the steps of the evaluations, and the first metric that each found.
    """
    rows = list(rows)
    if not any("game/score" in row for row in rows):
        judged = [row for row in rows if known_by(row)]
        return np.array([row["step"] for row in judged], float), np.array([row[known_by(row)] for row in judged], float)
    sample = np.array([score for row in rows for score in row.get("game/score", [])])
    ended = np.cumsum([len(row.get("game/score", [])) for row in rows])
    means = np.append(running_mean(sample), np.nan)  # the last one is what index −1 finds: nothing has ended
    return np.array([row["step"] for row in rows], float), means[ended - 1]


def curves(runs: Mapping[str, Iterable[Mapping[str, Any]]], path: Path, title: str) -> None:
    """Draw the journals of runs that made the same steps: every seed thin, their mean with its 95 % band."""
    from matplotlib.figure import Figure  # takes a third of a second, and only this needs it

    journals = [list(rows) for rows in runs.values()]
    found = known_by(journals[0][-1]).removeprefix(EVALUATION)
    games = any("game/score" in row for row in journals[0])
    drawn = [curve(rows) for rows in journals]
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
    what = f"score, mean of the last {SMOOTH} games" if games else found.replace("_", " ")
    axes.set(xlabel="agent steps" if games else "steps", ylabel=what, title=title)
    axes.legend(fontsize="small", ncols=1 + len(runs) // 10)
    figure.savefig(path, dpi=120)
