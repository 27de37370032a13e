"""The tracker that people watch: a progress bar with the time left, scores with their spread, losses, where time goes.

On a terminal it lives in place; elsewhere (a log file, CI) it prints a line now and then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sparring.runners.folder import EVALUATION, judged_in
from sparring.runners.report import headline, named, told
from sparring.runners.tracker import Row

RECENT = 100  # members of a sample that its mean and spread are told over
PACE = 20  # updates over which the speed is measured
LINE_EVERY = 15.0  # seconds between lines where there is no terminal
COUNTERS = ("update", "step")
COUNTED = "count/"  # before the name of what is told by the second: positions, evaluations


class Pace:
    """How fast the steps come, over the recent updates."""

    def __init__(self) -> None:
        self.marks: deque[tuple[float, float]] = deque(maxlen=PACE)  # (seconds, step) at the end of each

    def mark(self, step: float) -> None:
        """Now it is `step`."""
        self.marks.append((perf_counter(), step))

    def speed(self) -> float:
        """Agent steps a second; 0 until there are two marks."""
        if len(self.marks) < 2:
            return 0.0
        (start, first), (end, last) = self.marks[0], self.marks[-1]
        return (last - first) / max(end - start, 1e-9)


class Dashboard:
    """Shows the rows as they come."""

    def __init__(self, console: Console, title: str, steps: int) -> None:
        self.console = console
        self.title = title
        self.steps = steps
        self.samples: dict[str, deque[float]] = {}
        self.best: dict[str, float] = {}
        self.latest: dict[str, float] = {}
        self.pace = Pace()
        self.counts: dict[str, float] = {}  # of the whole run, as far as this sitting saw it
        self.paces: dict[str, Pace] = {}
        self.stages: deque[Mapping[str, float]] = deque(maxlen=PACE)
        self.spoken = perf_counter()
        self.notice = ""
        self.watched = ""
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=4)

    def __enter__(self) -> Dashboard:
        """Take the terminal."""
        if self.console.is_terminal:
            self.live.start()
        else:
            self.console.print(self.title)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back, the last picture standing."""
        if self.live.is_started:
            self.live.stop()

    def log(self, row: Row, seconds: Mapping[str, float]) -> None:
        """Take note of an update."""
        for name, value in row.items():
            if isinstance(value, list):
                self.samples.setdefault(name, deque(maxlen=RECENT)).extend(value)
                self.best[name] = max([self.best.get(name, -np.inf), *value])
            else:
                self.latest[name] = value
        self.pace.mark(self.latest["step"])
        for name in (name for name in self.latest if name.startswith(COUNTED)):
            self.counts[name] = self.counts.get(name, 0.0) + self.latest[name]
            self.paces.setdefault(name, Pace()).mark(self.counts[name])
        self.stages.append(seconds)
        if not self.console.is_terminal and perf_counter() - self.spoken > LINE_EVERY:
            self.spoken = perf_counter()
            samples = [words for _, words in self.sample_lines()]
            parts = [self.progress(), *samples, headline(judged_in(self.latest)), *self.scalars(), self.shares()]
            self.console.print(" · ".join(filter(None, parts)), soft_wrap=True)

    def film(self, path: Path, caption: str) -> None:
        """Films are for other trackers."""

    def picture(self, path: Path, caption: str) -> None:
        """And so are pictures."""

    def text(self, path: Path) -> None:
        """And texts."""

    def close(self) -> None:
        """Nothing to close."""

    def watch(self, done: int, whole: int) -> None:
        """Show how far an evaluation is."""
        self.watched = f"evaluating: {done} of {whole}" if done < whole else ""

    def say(self, notice: str) -> None:
        """Show one line until the end."""
        self.notice = notice
        if not self.console.is_terminal:
            self.console.print(notice)

    def progress(self) -> str:
        """Where the run stands, in words."""
        step = self.latest.get("step", 0)
        words = f"{min(step / self.steps, 1):4.0%} · {step:,.0f} of {self.steps:,} steps"
        speed = self.pace.speed()
        if not speed:
            return words
        rates = [f"{pace.speed():,.0f} {name.removeprefix(COUNTED)}/s" for name, pace in self.paces.items()]
        pace = f"{speed:,.0f} steps/s" if speed >= 100 else f"{speed:.1f} steps/s"
        return " · ".join([words, pace, *rates, f"{clock((self.steps - step) / speed)} left"])

    def sample_lines(self) -> list[tuple[str, str]]:
        """(group, words) for each sample's recent mean and spread: ("game", "score 245.0 ± 110.2 …")."""
        lines = []
        for name, sample in self.samples.items():
            if sample:
                group, _, short = name.rpartition("/")
                spread = f"{np.mean(sample):,.1f} ± {np.std(sample):,.1f} (last {len(sample)})"
                lines.append((group, f"{short} {spread}, best {self.best[name]:,g}"))
        return lines

    def scalars(self) -> list[str]:
        """The latest value of everything that is a single number, but for what evaluations found."""
        names = [name for name in self.latest if name not in COUNTERS and not name.startswith((EVALUATION, COUNTED))]
        return [f"{name} {self.latest[name]:.3g}" for name in names]

    def judged(self) -> list[str]:
        """What the last evaluation found."""
        found = judged_in(self.latest)
        return [f"{name.replace('_', ' ')} {told(found[name])}" for name in named(found)]

    def shares(self) -> str:
        """Where the time goes."""
        totals: dict[str, float] = {}
        for seconds in self.stages:
            for stage, value in seconds.items():
                totals[stage] = totals.get(stage, 0.0) + value
        drawing = totals.pop("drawing", 0.0)
        totals["other"] = max(drawing - totals.get("acting", 0.0) - totals.get("emulating", 0.0), 0.0)
        whole = sum(totals.values()) or 1.0
        return " · ".join(f"{stage} {value / whole:.0%}" for stage, value in totals.items() if value / whole >= 0.005)

    def render(self) -> Group:
        """The picture."""
        facts = Table.grid(padding=(0, 2))
        for group, words in self.sample_lines():
            facts.add_row(group, words)
        for group, numbers in (("found", self.judged()), ("learning", self.scalars())):
            if numbers:
                facts.add_row(group, "  ".join(numbers))
        if self.stages:
            facts.add_row("time", self.shares())
        bar = Table.grid(expand=True)  # ProgressBar ends no line of its own
        bar.add_row(ProgressBar(total=self.steps, completed=min(self.latest.get("step", 0), self.steps), width=None))
        lines: list[RenderableType] = [Text(self.title, style="bold"), bar, Text(self.progress()), facts]
        return Group(*lines, *[Text(words, style="yellow") for words in (self.watched, self.notice) if words])


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
