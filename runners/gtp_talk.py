"""The conversation of the Go Text Protocol, version 2, whatever it is about: lines come in, answers go out.

    7 genmove white        is answered by "=7 D4" and an empty line, or by "?7 why not" and an empty line

A program never falls silent: what it does not know it refuses, and where it errs it says so and goes on.
"""

from __future__ import annotations

import queue
import re
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TextIO

from sparring.envs.errors import BadInputError
from sparring.envs.go.board import BLACK, WHITE

WHOLE = re.compile("[0-9]{1,9}")
INTERRUPT = "# interrupt"  # as GoGui says it
COLOURS = {"b": BLACK, "black": BLACK, "w": WHITE, "white": WHITE}


class Refusal(Exception):
    """What a command is answered with after "?"."""


class Streamed(Exception):
    """The answer was already written, but for its end."""


def words_of(line: str) -> tuple[str, list[str]]:
    """A line's number, if it has one, and its words: no control characters, no comment."""
    text = "".join(one for one in line.partition("#")[0].replace("\t", " ") if one.isprintable())
    first, *rest = text.split() or [""]
    return (first, rest) if WHOLE.fullmatch(first) else ("", [first, *rest] if first else [])


def colour_of(words: list[str]) -> int:
    """The first word as a colour.

    Raises:
        Refusal: it is none.
    """
    if not words or words[0].lower() not in COLOURS:
        raise Refusal(f"invalid color {words[0]!r}; black or white" if words else "a color is missing")
    return COLOURS[words[0].lower()]


def number_of(words: list[str], least: int) -> int:
    """The first word as a whole number.

    Raises:
        Refusal: it is none, or too small.
    """
    if not words or not WHOLE.fullmatch(words[0]) or int(words[0]) < least:
        raise Refusal(f"a whole number is wanted, at least {least}" + (f", not {words[0]!r}" if words else ""))
    return int(words[0])


def seconds_of(word: str) -> float:
    """A time that is not negative.

    Raises:
        Refusal: it is none.
    """
    with suppress(ValueError):
        if 0 <= float(word) < float("inf"):
            return float(word)
    raise Refusal(f"{word!r} is no number of seconds")


class Talk:
    """Answers a controller, line by line, with the commands that it is given."""

    def __init__(self, commands: dict[str, Callable[[list[str]], str]]) -> None:
        """`commands` take the words after their name and return an answer, or raise a Refusal."""
        self.commands: dict[str, Callable[[list[str]], str]] = {
            "protocol_version": lambda words: "2",
            "known_command": lambda words: str(words[:1] != [] and words[0] in self.commands).lower(),
            "list_commands": lambda words: "\n".join(self.commands),
            "quit": self.quit,
            **commands,
        }
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.going = True
        self.cut_short = threading.Event()  # what is being thought about

    def serve(self, source: Iterable[bytes], sink: TextIO) -> None:
        """Answer line after line until `quit` or the end of the input."""
        self.sink = sink
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()
        while self.going:
            line = self.lines.get()
            if line is None:
                return
            self.answer(line)

    def _listen(self, source: Iterable[bytes]) -> None:
        try:
            for line in source:
                text = line.decode(errors="replace")
                if text.strip() == INTERRUPT:
                    self.cut_short.set()
                self.lines.put(text)
                if words_of(text)[1][:1] == ["quit"]:
                    return  # nobody waits for more, and a process must be able to end
        finally:
            self.lines.put(None)

    @property
    def interrupted(self) -> bool:
        """Whether somebody has said something in the meantime."""
        return not self.lines.empty()

    def answer(self, line: str) -> None:
        """One command; a comment or an empty line says nothing, and is answered by nothing."""
        number, words = words_of(line)
        if line.strip() == INTERRUPT:
            self.cut_short.clear()  # what it was meant for is over
        if not number and not words:
            return
        self.number_asked = number
        try:
            if not words:
                raise Refusal("there is no command")
            if words[0] not in self.commands:
                raise Refusal("unknown command")
            told = self.commands[words[0]](words[1:])
            self.say(f"={number} {told}".rstrip(" ") + "\n\n")
        except Streamed:
            self.say("\n")
        except (Refusal, BadInputError) as refusal:
            first = str(refusal).splitlines()[0]
            self.say(f"?{number} {first}\n\n")
        except Exception as error:  # whatever it is, the game goes on; what it was stands on stderr
            traceback.print_exc()
            self.say(f"?{number} internal error: {type(error).__name__}\n\n")

    def say(self, text: str) -> None:
        """Write, at once."""
        self.sink.write(text)
        self.sink.flush()

    def quit(self, words: list[str]) -> str:
        """The end."""
        self.going = False
        return ""
