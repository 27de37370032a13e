"""The end of a run in a few lines and a picture: what was found, under which protocol, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from sparring.agents.protocol import Evaluation
from sparring.agents.statistics import Scores
from sparring.runners.folder import EVALUATION, RunFolder, judged_in, known_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTH = 100  # games in the curve's running mean
MORE = {"games": ("play more games", 200), "samples": ("draw more samples", 10_000)}  # that a farewell proposes
PANELS = 3  # metrics of an evaluation that are drawn
HEADLINE = 3  # that are told in a line
LOSS = "loss/"  # before a loss's name
Rows = Sequence[Mapping[str, Any]]


def told(value: float) -> str:
    """A number as people read it: four digits that count, none of them after a point where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def interval(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """The 95 % interval of a metric, where it has one."""
    ends = (metrics.get(f"{name}_low"), metrics.get(f"{name}_high"))
    return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def named(metrics: Mapping[str, float]) -> list[str]:
    """The metrics that are not ends of an interval."""
    ends = {f"{name}_{end}" for name in metrics for end in ("low", "high")}
    return [name for name in metrics if name not in ends]


def headline(metrics: Mapping[str, float]) -> str:
    """The first of an evaluation's metrics in a line: "modes 8 · modes 1pct 8 · high quality 0.9808"."""
    return " · ".join(f"{name.replace('_', ' ')} {told(metrics[name])}" for name in named(metrics)[:HEADLINE])


def scores(console: Console, evaluation: Evaluation, title: str) -> None:
    """Print every metric with its interval, and the protocol that gives them meaning."""
    table = Table("", "", "95 % interval", box=None, padding=(0, 2))
    for number, name in enumerate(named(evaluation.metrics)):
        ends = interval(evaluation.metrics, name)
        shown = name.replace("_", " ")
        table.add_row(
            f"[bold]{shown}[/]" if number == 0 else shown,
            told(evaluation.metrics[name]),
            f"{told(ends[0])} … {told(ends[1])}" if ends else "",
        )
    console.print(Panel(table, title=title, expand=False))
    console.print(protocol_line(evaluation.protocol), highlight=False, soft_wrap=True)


def protocol_line(protocol: Mapping[str, Any]) -> str:
    """A protocol in a line."""
    if "full_games" not in protocol:
        told_apart = ("name", "seeds")
        rest = [f"{name} {value}" for name, value in protocol.items() if name not in told_apart]
        return ", ".join([str(protocol["name"]), *rest])
    words = [f"{protocol['name']}: {protocol['games']} full games"]
    if protocol.get("max_frames"):
        words += [
            f"sticky {protocol['sticky']:g}",
            f"cap {protocol['max_frames']:,} frames",
            f"{protocol['frame_skip']} frames a step",
            "18 actions" if protocol["full_action_space"] else "minimal actions",
        ]
    seeds = [f"seeds {protocol['seeds'][0]}–{protocol['seeds'][1]}"] if "seeds" in protocol else []
    return ", ".join([*words, f"{protocol['policy']} policy", *seeds])


def curve(folder: RunFolder, title: str) -> Path | None:
    """Draw metrics.jsonl into curve.png: the games' scores against steps, or what evaluations found and the losses.

    None where there is nothing to draw yet.
    """
    rows = list(folder.rows())
    judged = [row for row in rows if known_by(row)]
    games = any(row.get("game/score") for row in rows)
    if not games and not judged:
        return None
    from matplotlib.figure import Figure  # takes a third of a second, and only this needs it

    figure = Figure(figsize=(7, 4), layout="constrained")
    path = folder.path / "curve.png"
    if games:
        _draw_scores(figure.add_subplot(xlabel="agent steps", ylabel="score of full games", title=title), rows, judged)
    else:
        _draw_evaluations(figure, rows, judged, title)
    figure.savefig(path, dpi=120)
    return path


def _draw_scores(axes: Axes, rows: Rows, judged: Rows) -> None:
    """Every game a point, their running mean, and the evaluations."""
    steps = np.array([row["step"] for row in rows for _ in row.get("game/score", [])])
    sample = np.array([score for row in rows for score in row.get("game/score", [])])
    axes.plot(steps, sample, ".", ms=2, alpha=0.3, color="C0", label="one game")
    axes.plot(steps, running_mean(sample), color="C0", label=f"mean of {SMOOTH} games")
    if judged:
        x, y = [row["step"] for row in judged], [row["evaluation/score"] for row in judged]
        ends = [(row["evaluation/score_low"], row["evaluation/score_high"]) for row in judged]
        spread = [[value - low, high - value] for value, (low, high) in zip(y, ends, strict=True)]
        axes.errorbar(x, y, np.transpose(spread), fmt="o", ms=4, capsize=3, color="C1", label="evaluation, 95 %")
        axes.axhline(judged[-1]["evaluation/random"], ls="--", lw=1, color="grey", label="random policy")
    axes.legend(fontsize="small")


def _draw_evaluations(figure: Figure, rows: Rows, judged: Rows, title: str) -> None:
    """The first metrics a panel each, and the players' losses below them."""
    shown = named(judged_in(judged[-1]))[:PANELS]
    grid = figure.subplots(len(shown) + 1, 1, sharex=True)
    figure.set_size_inches(7, 1.6 * (len(shown) + 1))
    for axes, name in zip(grid, shown, strict=False):
        points = [(row["step"], row[EVALUATION + name]) for row in judged]
        axes.plot(*np.transpose(points), "o-", ms=3, color="C1")
        axes.set_ylabel(name.replace("_", " "))
    for name in (name for name in rows[-1] if name.startswith(LOSS)):
        points = [(row["step"], row[name]) for row in rows if name in row]
        grid[-1].plot(*np.transpose(points), lw=0.8, label=name)
    grid[-1].legend(fontsize="small")
    grid[-1].set(xlabel="steps", ylabel="loss")
    grid[0].set_title(title)


def running_mean(sample: Scores) -> Scores:
    """At each game, the mean of the last `SMOOTH` up to it; [G] → [G]."""
    sums = np.cumsum(np.insert(sample, 0, 0.0))
    last = np.arange(1, len(sample) + 1)
    first = np.maximum(last - SMOOTH, 0)
    return np.asarray((sums[last] - sums[first]) / (last - first))


def farewell(console: Console, folder: RunFolder, *, command: Callable[[str], str], again: str) -> None:
    """What to type next; `command` says how to call a program from here."""
    sparring = command("sparring")
    protocol = folder.judgement()["protocol"]
    games = "games" in protocol
    more = {
        what: f"{sparring} evaluate {folder.path} --episodes {count}"
        for judged_by, (what, count) in MORE.items()
        if judged_by in protocol
    }
    lines = {
        "watch its best game" if games else "watch its training": f"{sparring} replay {folder.path}",
        "prove that game" if games else "prove what it shows": f"{sparring} replay {folder.path} --view verify",
        **more,
        "train ten times longer": f"{sparring} {again}",
        "stop with Ctrl-C and go on": f"{sparring} resume RUN",
        "look at its curve and films": f"{folder.path / 'curve.png'}, {folder.path / 'episodes'}/",
    }
    if any((folder.path / "wandb").glob("offline-run-*")):
        lines["see its curves in the terminal"] = f"{command('wandb')} leet {folder.path / 'wandb'}"
        lines["send them to W&B"] = f"{command('wandb')} sync {folder.path / 'wandb'}/offline-run-*"
    for what, words in lines.items():
        console.print(f"{what:<32}[bold]{escape(words)}[/]", soft_wrap=True, highlight=False)
