"""A program that plays Go, driven by the Go Text Protocol, version 2 (https://www.lysator.liu.se/~gunnar/gtp/).

    with Program("gnugo --mode gtp --level 10") as gnugo:
        gnugo.boardsize((9, 9))
        gnugo.clear_board()
        gnugo.komi(7.0)
        gnugo.play("B", 40)
        move = gnugo.genmove("W")  # None: it resigns

We write a line, "7 genmove white"; it answers "=7 D4" or "?7 why not", and then an empty line. Whatever else it does
ends it, and the error tells what that was: no answer in time, something that is no answer, or its own end.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from reprlib import repr as brief
from types import TracebackType
from typing import Self

from sparring.envs.errors import BadInputError
from sparring.envs.go.child import Child, Lost
from sparring.envs.go.coordinates import Colour, Size, check_size, describe, from_vertex, vertex

VERSION = "2"  # of the protocol
COLOURS = {"B": "black", "W": "white"}
RESIGNS = "resign"
LONGEST_COMMAND = 4000  # bytes; a pipe takes 4096 as a whole or not at all
LONGEST_TIMEOUT = 1e6  # seconds


class GtpError(BadInputError):
    """A program does not do what it should; the message says what it was asked and what it did."""


class RefusedError(GtpError):
    """A program answered "?": it understood, will not, and goes on."""


class Program:
    """A running program, for one thread at a time. `close` or the end of a `with` ends it and all that it started.

    Args:
        command: its command line, with a shell's quotes but without a shell.
        timeout: seconds that it has for an answer; the attribute can be changed between commands.
        ids: number the commands, so that no answer is taken for another's; False where a program knows no numbers.

    Raises:
        BadInputError: it cannot be started.
        GtpError: it does not speak the protocol.
    """

    def __init__(self, command: str, *, timeout: float = 60.0, ids: bool = True) -> None:
        if not 0 < timeout <= LONGEST_TIMEOUT:
            raise BadInputError(f"timeout is {timeout}; it must be above 0 and at most {LONGEST_TIMEOUT:g} seconds")
        self.command, self.timeout, self._ids = command, timeout, ids
        self._asked = 0
        self._size: Size | None = None
        self._child = Child(command)
        try:
            self.name, self.version = self.send("name"), self.send("version")
            self._check_protocol()
            self.commands = frozenset(self.send("list_commands").split())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it has ended, and can be asked no more."""
        return self._child.ended

    def close(self) -> None:
        """Ask it to quit, and see to it that it does; a second time does nothing."""
        if not self._child.ended:
            with suppress(Lost):
                self._child.write("quit\n")
            self._child.end()

    def send(self, command: str) -> str:
        """The answer to any command, without the sign, the number and the white space around it.

        Raises:
            RefusedError: it is refused.
            GtpError: there is no answer in time, or none that is one; the program is closed.
            BadInputError: the command is not one line of text, or too long.
        """
        if not re.fullmatch(r"[^\x00-\x1f\x7f#\ud800-\udfff]+", command) or len(command.encode()) > LONGEST_COMMAND:
            allowed = f"one is a line of at most {LONGEST_COMMAND} bytes without '#'"
            raise BadInputError(f"{brief(command)} is no command; {allowed}")
        sign, answer = self._ask(command)
        if sign == "?":
            raise RefusedError(self._told(command, f"refused: {answer}"))
        return answer

    def boardsize(self, size: Size) -> None:
        """Take a square board. What stands on it is open until `clear_board`.

        Raises:
            BadInputError: there is no such board, or it is not square.
            RefusedError: the program has no board of that size.
        """
        check_size(size)
        if size[0] != size[1]:
            raise BadInputError(f"GTP knows square boards only, and this one has {describe(size)}")
        self.send(f"boardsize {size[0]}")
        self._size = size

    def clear_board(self) -> None:
        """Begin a game."""
        self.send("clear_board")

    def komi(self, komi: float) -> None:
        """Give White so many points.

        Raises:
            BadInputError: it is not a finite number.
        """
        if not math.isfinite(komi):
            raise BadInputError(f"komi is {komi}; it must be a finite number")
        self.send(f"komi {komi}")

    def play(self, colour: Colour, move: int) -> None:
        """Make a move, or pass.

        Raises:
            RefusedError: the program holds it for illegal.
        """
        self.send(f"play {_name(colour)} {vertex(move, self._board())}")

    def genmove(self, colour: Colour) -> int | None:
        """The move that the program makes, which may be a pass; None where it resigns."""
        size, command = self._board(), f"genmove {_name(colour)}"
        answer = self.send(command)
        return None if answer.lower() == RESIGNS else self._move(command, answer, size)

    def all_legal(self, colour: Colour) -> frozenset[int]:
        """The points where the program would let a stone be put (a command of GNU Go)."""
        size, command = self._board(), f"all_legal {_name(colour)}"
        return frozenset(self._move(command, name, size) for name in self.send(command).split())

    def undo(self) -> None:
        """Take the last move back.

        Raises:
            RefusedError: the program cannot.
        """
        self.send("undo")

    def final_score(self) -> float:
        """Black's points less White's, komi included, as the program counts them; 0 is a draw."""
        answer = self.send("final_score")
        score = re.match(r"([BW])\+([0-9]+(?:\.[0-9]+)?)(?!\S)|0(?!\S)", answer)
        if score is None:
            raise GtpError(self._told("final_score", f"answered {brief(answer)}, which is no score such as B+3.5"))
        points = float(score[2] or 0)
        return points if score[1] == "B" else 0 - points

    def _ask(self, command: str) -> tuple[str, str]:
        """The sign and the text of the answer."""
        if self._child.ended:
            raise GtpError(self._told(command, "had been closed before"))
        self._asked += 1
        number = str(self._asked) if self._ids else ""
        try:
            said = self._child.exchange(f"{number} {command}\n".lstrip(), self.timeout)
            return _understood(said, number)
        except Lost as lost:
            self.close()
            raise GtpError(self._told(command, f"{lost}{self._child.last_words}")) from None
        except BaseException:
            self.close()  # an answer that nobody waits for would be taken for the next one
            raise

    def _check_protocol(self) -> None:
        version = self.send("protocol_version")
        if version != VERSION:
            what = f"speaks version {brief(version)} of the protocol; it must be {VERSION}"
            raise GtpError(self._told("protocol_version", what))

    def _board(self) -> Size:
        if self._size is None:
            raise BadInputError(f"{self.command} has no board yet; call boardsize first")
        return self._size

    def _move(self, command: str, name: str, size: Size) -> int:
        try:
            return from_vertex(name, size)
        except BadInputError as error:
            raise GtpError(self._told(command, f"answered what is no move: {error}")) from None

    def _told(self, command: str, what: str) -> str:
        return f"{self.command}, asked {brief(command)}, {what}"


def _name(colour: Colour) -> str:
    if colour not in COLOURS:
        raise BadInputError(f"the colour is {colour!r}; there are {' and '.join(COLOURS)}")
    return COLOURS[colour]


def _understood(said: str, number: str) -> tuple[str, str]:
    """The sign and the text of an answer to the command of that number."""
    sign, rest = said[0], said[1:]
    if not number:
        return sign, rest.strip()
    text = rest.lstrip("0123456789")
    answered = rest[: len(rest) - len(text)]
    if answered not in ("", number):
        remedy = "it answers twice, or knows no numbers and needs ids=False"
        raise Lost(f"answered command {brief(answered)} instead of {number}; {remedy}")
    return sign, text.strip()
