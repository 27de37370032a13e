"""Processes side by side: so many at a time, stopped gently together; whatever befalls one, the others go on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic

GRACE = 20.0  # seconds to stop in, for a process whose crew is over

Process = subprocess.Popen[bytes]


class Crew:
    """A process for each of `members`, in their order, `at_once` at a time; as a context it leaves none behind."""

    def __init__(self, members: Iterable[int], start: Callable[[int], Process], at_once: int) -> None:
        self.waiting = deque(members)
        self.start = start
        self.at_once = at_once
        self.running: dict[int, Process] = {}
        self.interrupted = False
        self.codes: dict[int, int] = {}  # how those ended that were not asked to: exit codes, −n for signal n

    def __enter__(self) -> Crew:
        """Nobody starts before the first turn."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop whoever still runs: by Ctrl-C's signal, and after a while by force."""
        self.interrupt()
        limit = monotonic() + GRACE
        try:
            for process in self.running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(limit - monotonic(), 0))
        finally:
            for process in self.running.values():
                process.kill()
                process.wait()

    def turn(self) -> bool:
        """Take note of who has ended, start whom there is room for; False when all have ended."""
        for member, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                del self.running[member]
                self.codes |= {} if self.interrupted else {member: code}
        while self.waiting and len(self.running) < self.at_once:
            self.running[self.waiting[0]] = self.start(self.waiting[0])
            self.waiting.popleft()
        return bool(self.running)

    def interrupt(self) -> None:
        """Send everybody what Ctrl-C sends, and start nobody else."""
        self.interrupted = True
        self.waiting.clear()
        for process in self.running.values():
            process.send_signal(signal.SIGINT)


def launch(command: Sequence[str], log: Path, environment: dict[str, str]) -> Process:
    """A process that writes to the end of `log`, in a session of its own: the terminal's Ctrl-C does not reach it."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
