"""What there is, as tables: algorithms, worlds, presets, runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sparring.agents.protocol import Preset, place_of, world_of
from sparring.runners import catalog
from sparring.runners.folder import summaries
from sparring.runners.options import shortest


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
    table.add_row("[dim]any Gymnasium id[/]", "with Discrete or Box actions; any other ALE/… game", "")
    return table


UNKNOWN = "—"
LEGEND = """time: training in bf16 on two quiet cores, of adversarial games on one
own score: mean (95 % interval over seeds, over games where seeds are few) · published: mean ± deviation"""


def presets_table() -> Group:
    """Every preset of every algorithm: a row of what to expect, and below it what it is."""
    presets = {name: catalog.load(name).PRESETS for name in catalog.algorithms()}
    head = ("preset", "world or data", "steps", "time", "own score")
    rows = {name: [expected(key, preset) for key, preset in own.items()] for name, own in presets.items()}
    widths = [max(map(len, column)) for column in zip(head, *chain(*rows.values()), strict=True)]
    lines: list[RenderableType] = [aligned(head, widths, "bold")]
    for name, own in presets.items():
        lines.append(Text(f"\n{name}", "bold"))
        for row, preset in zip(rows[name], own.values(), strict=True):
            lines += [aligned(row, widths), Padding(Text(story(preset), "dim"), (0, 0, 0, 4))]
    return Group(*lines, Text(f"\n{LEGEND}", "dim"))


def expected(name: str, preset: Preset) -> tuple[str, ...]:
    """A preset's row."""
    own = preset.own
    return (
        name,
        place_of(preset.config),
        shortest(preset.config.schedule.steps),
        UNKNOWN if preset.minutes is None else duration(preset.minutes),
        f"{own.score} ({own.low}–{own.high})" if own else UNKNOWN,
    )


def story(preset: Preset) -> str:
    """What a preset is: its protocol, its summary, and the published score with its source."""
    world = world_of(preset.config)
    rules = [world.protocol] if world else []
    known = [f"published: {preset.published.score} ({preset.published.source})"] if preset.published else []
    return " · ".join([*rules, preset.summary, *known])


def aligned(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    """A line of cells, the first two to the left and numbers to the right."""
    sides = "<<" + ">" * len(cells)
    words = [f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=False)]
    return Text("  ".join(["", *words]), style, no_wrap=True, overflow="ellipsis")


def duration(minutes: float) -> str:
    """As people say it."""
    if minutes < 1:
        return "< 1 min"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def runs_table(runs: Path) -> Table:
    """Every run below a folder, how far it is and what it last scored."""
    table = Table("run", "algorithm", "steps", "score", "updated", box=None, padding=(0, 2))
    for summary in summaries(runs):
        table.add_row(*map(escape, summary))
    return table


TABLES: dict[str, Callable[[Path], RenderableType]] = {
    "algorithms": lambda runs: algorithms_table(),
    "worlds": lambda runs: worlds_table(),
    "presets": lambda runs: presets_table(),
    "runs": runs_table,
}
"""each takes the folder of all runs"""
