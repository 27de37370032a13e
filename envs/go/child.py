"""A process that is asked by a line and answers, as GTP has it; whatever it does, nobody waits forever.

Nothing of it outlives `end`: it is killed where it does not end by itself, with all that it started, and collected.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import time
import weakref
from contextlib import suppress
from reprlib import repr as brief
from typing import IO, cast

from sparring.envs.errors import BadInputError

SIGNS = (b"=", b"?")  # that an answer begins with
LONGEST_ANSWER = 1_000_000  # bytes
LAST_WORDS = 1000  # bytes
GRACE = 1.0  # seconds in which a process may end by itself


class Lost(Exception):
    """What a process did instead of answering."""


class Child:
    """A process behind pipes, in a session of its own, so that the whole of it can be killed.

    Args:
        command: its command line, with a shell's quotes but without a shell.

    Raises:
        BadInputError: it cannot be started.
    """

    def __init__(self, command: str) -> None:
        self._process = _started(command)
        self._orphaned = weakref.finalize(self, _kill, self._process.pid)  # should nobody call `end`
        self._input = cast(IO[bytes], self._process.stdin)
        self._output = cast(IO[bytes], self._process.stdout)
        self._errors = cast(IO[bytes], self._process.stderr)
        self._said, self._words = bytearray(), bytearray()  # read from both, and not used yet
        os.set_blocking(self._input.fileno(), False)
        self._open = selectors.DefaultSelector()
        self._open.register(self._output, selectors.EVENT_READ, self._said)
        self._open.register(self._errors, selectors.EVENT_READ, self._words)
        self._fate = ""  # how it ended

    @property
    def ended(self) -> bool:
        """Whether nothing is left of it."""
        return bool(self._fate)

    @property
    def last_words(self) -> str:
        """What it wrote last to its standard error, to be put behind a message."""
        words = self._words.decode(errors="replace").strip()
        return f"; its last words on stderr were:\n{words}" if words else ""

    def write(self, line: str) -> None:
        """Write a line of at most 4096 bytes, whole and without waiting.

        Raises:
            Lost: it does not read, or it has ended.
        """
        try:
            os.write(self._input.fileno(), line.encode())
        except BlockingIOError:
            raise Lost("reads nothing") from None
        except BrokenPipeError:
            raise Lost(self.end()) from None

    def exchange(self, line: str, seconds: float) -> str:
        """Write a line and read an answer: "=" or "?" and all before the next empty line.

        Raises:
            Lost: none came in time, something else came, or the process has ended.
        """
        self._read(until=time.monotonic())
        if self._said:
            raise Lost(f"had said {self._first_line()} without being asked")
        self.write(line)
        deadline, searched = time.monotonic() + seconds, 0
        while (end := self._said.find(b"\n\n", searched)) < 0:
            if time.monotonic() >= deadline:
                raise Lost(f"did not answer within {seconds:g} seconds")
            searched = max(len(self._said) - 1, 0)
            self._read(until=deadline)
            self._check()
        answer = self._said[:end].decode(errors="replace")
        del self._said[: end + 2]
        return answer

    def end(self) -> str:
        """Close its input, give it time to end, kill what is left, and say how it ended."""
        if not self._fate:
            self._input.close()
            try:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(GRACE)
            finally:
                self._fate = _fate(self._process.returncode)
                self._collect()
        return self._fate

    def _collect(self) -> None:
        self._orphaned.detach()
        _kill(self._process.pid)
        self._process.wait()
        deadline = time.monotonic() + GRACE  # for pipes that somebody took into another session
        while self._open.get_map() and time.monotonic() < deadline:
            self._read(until=deadline)
        for resource in (self._open, self._output, self._errors):
            resource.close()

    def _read(self, until: float) -> None:
        """Take in what was written; where there is nothing, wait for it."""
        for key, _ in self._open.select(max(until - time.monotonic(), 0)):
            chunk = os.read(key.fd, 65536)
            key.data.extend(chunk.replace(b"\r", b""))
            if not chunk:
                self._open.unregister(key.fileobj)
        del self._words[:-LAST_WORDS]
        if self._said.startswith(b"\n"):  # an answer does not begin with an empty line
            self._said[:] = self._said.lstrip(b"\n")

    def _check(self) -> None:
        """Make sure that what is read can be the beginning of an answer, and that there can be more."""
        if self._said and self._said[:1] not in SIGNS:
            rule = "an answer begins with = or ?, and stdout is for answers only"
            raise Lost(f"answered {self._first_line()}; {rule}")
        if len(self._said) > LONGEST_ANSWER:
            raise Lost(f"answered more than {LONGEST_ANSWER:,} bytes")
        if b"\n\n" not in self._said and self._output not in self._open.get_map():
            raise Lost(self.end())

    def _first_line(self) -> str:
        return brief(self._said.partition(b"\n")[0].decode(errors="replace"))


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left, or nobody but zombies
        os.killpg(group, signal.SIGKILL)


def _started(command: str) -> subprocess.Popen[bytes]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInputError(f"{command!r} is no command line: {error}") from None
    if not words:
        raise BadInputError("the command line is empty; an example is 'gnugo --mode gtp'")
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(words, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{words[0]!r} cannot be started ({error}); install it, or give its whole path") from None


def _fate(code: int | None) -> str:
    """What an exit code says; None is that of a process that goes on."""
    if code is None:
        return "closed a pipe and went on"
    if code < 0:
        return f"was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"
