"""What is to be written like: sentences of an oracle, lines of a file, answers to a source.

oracle           an LSTM with random weights, drawn from a seed, and some of its sentences
authors-oracle   that of Yu et al. (2017), read from a folder
text             the lines of a UTF-8 file, by words or by characters; every tenth is held out, of COCO's captions too,
                 whose own second file is not read: its words are not all among those of the first
copy, reverse    a source of random tokens, and the answer that repeats it, or turns it round

Sentences are [N, S + T]: S tokens that are given, T that are written. In a text 0 stands after the last word, up to T;
like SeqGAN's code, which begins with 0, so that a sentence begins and ends alike.
"""

from __future__ import annotations

import functools
import itertools
import os
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sparring.adversarial import oracles
from sparring.adversarial.data import FOLDER
from sparring.adversarial.language import LanguageModel
from sparring.envs.errors import BadInputError
from sparring.envs.tokens import ANSWERS, sources

Name = Literal["oracle", "authors-oracle", "text", "copy", "reverse"]
Level = Literal["words", "characters"]
END = 0
BOM = "\ufeff"  # with which some programs begin a file
HELD_OUT_LINE = 10  # every so many lines of a text
SEPARATE = {"words": " ", "characters": ""}


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sentences to learn from and others that are held out; each corpus equals itself alone."""

    train: Tensor  # [N, S + T] int64
    test: Tensor  # [M, S + T]
    vocabulary: int
    given: int = 0  # S
    oracle: LanguageModel | None = None
    answer: str = ""  # the task, where a source is given
    words: tuple[str, ...] = ()  # by token, of a text
    separator: str = " "

    @property
    def length(self) -> int:
        """T."""
        return self.train.shape[1] - self.given

    def said(self, sentence: Sequence[int]) -> str:
        """A sentence as people read it."""
        if not self.words:
            shown = [str(token) for token in sentence]
            source, answer = shown[: self.given], shown[self.given :]
            return " ".join([*source, "→", *answer] if source else answer)
        read = itertools.takewhile(lambda token: token != END, sentence)
        return self.separator.join(self.words[token] for token in read)

    def counted(self, sentences: Tensor) -> Tensor:
        """Which of the tokens that are written [N, T] count: in a text, those up to the end and the end itself."""
        written = sentences[:, self.given :]
        if not self.words:
            return torch.ones_like(written, dtype=torch.bool)
        over = (written == END).long().cumsum(1)
        return over - (written == END).long() == 0

    @functools.cached_property
    def checksum(self) -> int:
        """Of a text: its words and all its sentences. What is drawn from a seed may differ by machine."""
        crc = zlib.crc32("\n".join(self.words).encode())
        for sentences in (self.train, self.test) if self.words else ():
            crc = zlib.crc32(sentences.numpy().tobytes(), crc)
        return crc

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must find again."""
        return {"vocabulary": self.vocabulary, "crc": self.checksum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make sure that tokens mean what they meant.

        Raises:
            BadInputError: they do not.
        """
        now = self.state_dict()
        if now != state:
            raise BadInputError(
                f"the checkpoint knows {state['vocabulary']:,} tokens (checksum {state['crc']:08x}), and the text has "
                f"{now['vocabulary']:,} (checksum {now['crc']:08x}): it was changed since; bring the old one back, or "
                "begin a new run"
            )


@functools.cache
def of_oracle(vocabulary: int, length: int, train: int, test: int, seed: int, folder: Path | None) -> Corpus:
    """Sentences of a fresh oracle, or of the authors' in `folder`; they follow from the seed."""
    oracle = oracles.drawn(vocabulary, seed) if folder is None else oracles.authors(folder)
    whole = oracles.sentences(oracle, train + test, length, torch.Generator().manual_seed(seed))
    return Corpus(whole[:train], whole[train:], oracle.vocabulary, oracle=oracle)


@functools.cache
def of_task(task: Literal["copy", "reverse"], vocabulary: int, length: int, train: int, test: int, seed: int) -> Corpus:
    """Sources and the answers to them."""
    given = sources(vocabulary, length)(np.random.default_rng(seed), train + test)
    whole = torch.from_numpy(np.concatenate([given, ANSWERS[task](given)], 1))
    return Corpus(whole[:train], whole[train:], vocabulary, given=length, answer=task)


def of_lines(lines: Sequence[str], level: Level, length: int, where: str) -> Corpus:
    """A text, line by line; `length` 0 is that of the longest, `where` says whose lines these are.

    Raises:
        BadInputError: a line is empty, has one token, too many, or characters that nobody writes.
    """
    if len(lines) < HELD_OUT_LINE:
        raise BadInputError(f"{where} has {len(lines)} lines; it takes at least {HELD_OUT_LINE}, one of them held out")
    split = [parted(line, level, f"line {number} of {where}") for number, line in enumerate(lines, start=1)]
    longest = max(map(len, split))
    if length and longest > length:
        number = next(k for k, tokens in enumerate(split, start=1) if len(tokens) > length)
        raise BadInputError(
            f"line {number} of {where} has {len(split[number - 1])} tokens, and length is {length}; the longest has "
            f"{longest}: use --length {longest}, or 0, or cut the lines"
        )
    words = ("", *sorted({word for tokens in split for word in tokens}))
    number_of = {word: number for number, word in enumerate(words)}
    table = np.full((len(split), length or longest), END)
    for row, tokens in zip(table, split, strict=True):
        row[: len(tokens)] = [number_of[word] for word in tokens]
    last = np.arange(len(table)) % HELD_OUT_LINE == HELD_OUT_LINE - 1
    known = {row.tobytes() for row in table[~last]}
    test = [row for row in table[last] if row.tobytes() not in known]
    if not test:
        raise BadInputError(f"all lines of {where} that would be held out stand among the others too; give it more")
    return Corpus(
        torch.from_numpy(table[~last]),
        torch.from_numpy(np.stack(test)),
        len(words),
        words=words,
        separator=SEPARATE[level],
    )


def parted(line: str, level: Level, where: str) -> list[str]:
    """A line's tokens.

    Raises:
        BadInputError: as `of_lines`.
    """
    odd = next((c for c in line if unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c != "\t"), None)
    if odd is not None or "�" in line:
        shown = "U+FFFD" if odd is None else f"U+{ord(odd):04X}"
        raise BadInputError(f"{where} has a character that nobody writes, {shown}; take it out, or repair the encoding")
    tokens = line.split() if level == "words" else list(line.strip())
    if not tokens:
        raise BadInputError(f"{where} is empty; take it out")
    if len(tokens) == 1:
        raise BadInputError(
            f"{where} has one token, {tokens[0]!r}; a sentence takes two"
            + ("; --level characters reads it letter by letter" if level == "words" and len(tokens[0]) > 1 else "")
        )
    return tokens


def folder_of(data_dir: str, below: str) -> Path:
    """`data_dir`, or the folder `below` the one that the variable SPARRING_DATA names, or here."""
    return Path(data_dir) if data_dir else Path(os.environ[FOLDER]) / below if FOLDER in os.environ else Path(below)


@functools.cache
def of_file(path: Path, level: Level, length: int) -> Corpus:
    """The lines of a file, each ended by a line feed, with a carriage return before it or without.

    Raises:
        BadInputError: it cannot be read, or as `of_lines`.
    """
    try:
        text = path.read_bytes().decode("utf-8").removeprefix(BOM)
    except OSError as error:
        raise BadInputError(
            f"there is no text at {path} ({error.strerror}); name a file with --text, the folder it lies in with "
            f"--data-dir, or the one above a folder text/ with the variable {FOLDER}"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{path} is no UTF-8: byte {error.start:,} is {error.object[error.start]:#04x}; convert it first "
            "(iconv -t utf-8)"
        ) from None
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    return of_lines(lines, level, length, str(path))
