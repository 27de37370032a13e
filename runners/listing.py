"""What there is, as tables: algorithms, worlds, presets, runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from sparring.runners import catalog
from sparring.runners.folder import summaries


def algorithms_table() -> Table:
    """Every algorithm that the catalog finds."""
    table = Table("algorithm", "what it is", box=None, padding=(0, 2))
    for entry in catalog.algorithms().values():
        table.add_row(f"[bold]{entry.name}[/]", escape(entry.summary))
    return table


def worlds_table() -> Table:
    """Every world that a module names, and its protocols."""
    table = Table("world", "what it is", "protocols", box=None, padding=(0, 2))
    for module in catalog.worlds():
        for env, story in module.WORLDS.items():
            table.add_row(f"[bold]{env}[/]", escape(story), ", ".join(module.PROTOCOLS))
    table.add_row("[dim]any Gymnasium id[/]", "with Discrete actions; any other ALE/… game", "")
    return table


def presets_table() -> Table:
    """Every preset of every algorithm."""
    table = Table("algorithm", "preset", "world", "steps", "what to expect", box=None, padding=(0, 2))
    for name in catalog.algorithms():
        for preset, (summary, config) in catalog.load(name).PRESETS.items():
            world = config.world.env if hasattr(config, "world") else ""
            table.add_row(name, f"[bold]{preset}[/]", world, f"{config.schedule.steps:,}", escape(summary))
    return table


def runs_table(runs: Path) -> Table:
    """Every run below a folder, how far it is and what it last scored."""

    table = Table("run", "algorithm", "steps", "score", "updated", box=None, padding=(0, 2))
    for summary in summaries(runs):
        table.add_row(*map(escape, summary))
    return table


TABLES: dict[str, Callable[[Path], Table]] = {
    "algorithms": lambda runs: algorithms_table(),
    "worlds": lambda runs: worlds_table(),
    "presets": lambda runs: presets_table(),
    "runs": runs_table,
}
"""each takes the folder of all runs"""
