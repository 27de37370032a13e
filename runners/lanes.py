"""What people see while many runs run: a lane each, read from their journals.

On a terminal the lanes live in place; elsewhere (a log file, CI) a line tells whenever a run begins or ends, and now
and then how far those in between are.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sparring.runners.dashboard import RECENT, Pace, clock
from sparring.runners.folder import judged_in
from sparring.runners.report import LOSS, headline

LINE_EVERY = 60.0  # seconds between lines where there is no terminal
BAR = 24  # columns


class Lane:
    """How far one run is, as its journal tells from outside, and what its owner says of it (`state`)."""

    def __init__(self, name: str, journal: Path, steps: int) -> None:
        self.name = name
        self.journal = journal
        self.steps = steps  # in the whole run
        self.state = "waiting"
        self._begin(inode=0)

    def _begin(self, inode: int) -> None:
        self.inode, self.offset = inode, 0
        self.step = 0
        self.scores: deque[float] = deque(maxlen=RECENT)
        self.judged = ""  # what the last evaluation found
        self.losses = ""
        self.pace = Pace()

    def look(self) -> None:
        """Read what has been written since the last look; a resumed run rewinds its journal into a new file."""
        if not self.journal.exists():
            return
        with self.journal.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self.inode or status.st_size < self.offset:
                self._begin(status.st_ino)
            self._read(file)

    def _read(self, file: BinaryIO) -> None:
        file.seek(self.offset)
        before = self.step
        for line in file:
            if not line.endswith(b"\n"):  # it is being written
                break
            self.offset += len(line)
            with contextlib.suppress(ValueError):  # a damaged line: whoever resumes the run says so
                self._take(json.loads(line))
        if self.step > before:
            self.pace.mark(self.step)

    def _take(self, row: Mapping[str, Any]) -> None:
        self.step = row["step"]
        self.scores.extend(row.get("game/score", []))
        self.judged = headline(judged_in(row)) or self.judged
        self.losses = " · ".join(f"{name} {value:.3g}" for name, value in row.items() if name.startswith(LOSS))

    @property
    def share(self) -> float:
        """Of the whole run, between 0 and 1."""
        return min(self.step / self.steps, 1.0)

    def standing(self) -> str:
        """The recent games' mean in words; where none has ended, what was found last, or else the losses."""
        if self.scores:
            return f"score {np.mean(self.scores):,.1f} (last {len(self.scores)})"
        return self.judged or self.losses

    def speed(self) -> float:
        """Agent steps a second; 0 where it does not run or nobody knows yet."""
        return self.pace.speed() if self.state == "running" else 0.0

    def prospect(self) -> str:
        """What is left to do."""
        if self.state != "running" or not self.speed():
            return self.state
        return f"{clock((self.steps - self.step) / self.speed())} left" if self.share < 1 else "finishing"


class Lanes:
    """Shows the lanes, under a title."""

    def __init__(self, console: Console, title: str, lanes: Sequence[Lane]) -> None:
        self.console = console
        self.title = title
        self.lanes = lanes
        self.notice = ""
        self.told = {lane.name: lane.state for lane in lanes}
        self.spoken = perf_counter()
        self.live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Lanes:
        """Take the terminal."""
        if self.console.is_terminal:
            self.live.start()
        else:
            self.console.print(self.title, highlight=False, soft_wrap=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back, the last picture standing."""
        if self.live.is_started:
            self.live.stop()

    def say(self, notice: str) -> None:
        """Show one line until the end."""
        self.notice = notice
        if not self.console.is_terminal:
            self.console.print(notice)

    def show(self) -> None:
        """Look at all journals, and show what they tell."""
        for lane in self.lanes:
            lane.look()
        if self.live.is_started:
            self.live.update(self.picture(), refresh=True)
        else:
            self.tell()

    def picture(self) -> Group:
        """All lanes, and what is left of the whole."""
        grid = Table.grid(padding=(0, 2))
        for lane in self.lanes:
            bar = ProgressBar(total=1.0, completed=lane.share, width=BAR)
            grid.add_row(lane.name, bar, f"{lane.share:4.0%}", lane.standing(), lane.prospect())
        lines: list[RenderableType] = [Text(self.title, style="bold"), grid, Text(self.whole())]
        return Group(*lines, *([Text(self.notice, style="yellow")] if self.notice else []))

    def whole(self) -> str:
        """All lanes together, in words."""
        done, steps = sum(lane.share for lane in self.lanes), sum(lane.steps for lane in self.lanes)
        words = f"{done / len(self.lanes):4.0%} · {steps:,} steps in all"
        speed = sum(lane.speed() for lane in self.lanes)
        left = sum(lane.steps - lane.step for lane in self.lanes if lane.state in ("waiting", "running"))
        return f"{words} · {speed:,.0f} steps/s · {clock(max(left, 0) / speed)} left" if speed else words

    def tell(self) -> None:
        """A line for each run whose state has changed, and now and then for each that runs."""
        due = perf_counter() - self.spoken > LINE_EVERY
        for lane in self.lanes:
            if self.told[lane.name] != lane.state or (due and lane.state == "running"):
                self.told[lane.name] = lane.state
                parts = [f"{lane.name}: {lane.share:.0%}", lane.standing(), lane.prospect()]
                self.console.print(" · ".join(filter(None, parts)), highlight=False, soft_wrap=True)
        if due:
            self.spoken = perf_counter()
