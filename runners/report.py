"""The end of a run in a few lines and a picture: what it scored, under which protocol, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from sparring.agents.protocol import Evaluation
from sparring.agents.statistics import Scores
from sparring.runners.folder import RunFolder

SMOOTH = 100  # games in the curve's running mean


def scores(console: Console, evaluation: Evaluation, title: str) -> None:
    """Print the score with its interval beside the random policy's, and the protocol that gives them meaning."""
    m, games = evaluation.metrics, str(len(evaluation.scores))
    table = Table("", "score", "95 % interval", "games", box=None, padding=(0, 2))
    for name, *keys in (
        ("[bold]trained[/]", "score", "low", "high"),
        ("random", "random", "random_low", "random_high"),
    ):
        mean, low, high = (m[key] for key in keys)
        table.add_row(name, f"{mean:.1f}", f"{low:.1f} … {high:.1f}", games)
    console.print(Panel(table, title=title, expand=False))
    console.print(protocol_line(evaluation.protocol), highlight=False, soft_wrap=True)


def protocol_line(protocol: Mapping[str, Any]) -> str:
    """A protocol in a line."""
    words = [f"{protocol['name']}: full games"]
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
    """Draw score against steps from metrics.jsonl into curve.png; None where no game has ended."""
    rows = list(folder.rows())
    steps = np.array([row["step"] for row in rows for _ in row.get("game/score", [])])
    sample = np.array([score for row in rows for score in row.get("game/score", [])])
    if not len(sample):
        return None
    from matplotlib.figure import Figure  # takes a third of a second, and only this needs it

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(steps, sample, ".", ms=2, alpha=0.3, color="C0", label="one game")
    axes.plot(steps, running_mean(sample), color="C0", label=f"mean of {SMOOTH} games")
    judged = [row for row in rows if "evaluation/score" in row]
    if judged:
        x, y = [row["step"] for row in judged], [row["evaluation/score"] for row in judged]
        spread = [[v - row["evaluation/low"], row["evaluation/high"] - v] for v, row in zip(y, judged, strict=True)]
        axes.errorbar(x, y, np.transpose(spread), fmt="o", ms=4, capsize=3, color="C1", label="evaluation, 95 %")
        axes.axhline(judged[-1]["evaluation/random"], ls="--", lw=1, color="grey", label="random policy")
    axes.set(xlabel="agent steps", ylabel="score of full games", title=title)
    axes.legend(fontsize="small")
    path = folder.path / "curve.png"
    figure.savefig(path, dpi=120)
    return path


def running_mean(sample: Scores) -> Scores:
    """At each game, the mean of the last `SMOOTH` up to it; [G] → [G]."""
    sums = np.cumsum(np.insert(sample, 0, 0.0))
    last = np.arange(1, len(sample) + 1)
    first = np.maximum(last - SMOOTH, 0)
    return np.asarray((sums[last] - sums[first]) / (last - first))


def farewell(console: Console, folder: RunFolder, *, command: Callable[[str], str], again: str) -> None:
    """What to type next; `command` says how to call a program from here."""
    sparring = command("sparring")
    lines = {
        "watch its best game": f"{sparring} replay {folder.path}",
        "prove that game": f"{sparring} replay {folder.path} --view verify",
        "play more games": f"{sparring} evaluate {folder.path} --episodes 200",
        "train ten times longer": f"{sparring} {again}",
        "stop with Ctrl-C and go on": f"{sparring} resume RUN",
        "look at its curve and films": f"{folder.path / 'curve.png'}, {folder.path / 'episodes'}/",
    }
    if any((folder.path / "wandb").glob("offline-run-*")):
        lines["see its curves in the terminal"] = f"{command('wandb')} leet {folder.path / 'wandb'}"
        lines["send them to W&B"] = f"{command('wandb')} sync {folder.path / 'wandb'}/offline-run-*"
    for what, words in lines.items():
        console.print(f"{what:<32}[bold]{escape(words)}[/]", soft_wrap=True, highlight=False)
