"""The latest games of self-play, as positions to learn from.

A window holds

    n (1 + β ((N / n)^α − 1) / α)

positions after N have been played, with n the smallest one, α = 0.75 and β = 0.4 (KataGo; Wu, arXiv 1902.10565,
section 3): what is old is forgotten, more slowly the more there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparring.agents.records import Record, packed, unpacked
from sparring.envs.go import kernels
from sparring.envs.go.games import Games
from sparring.envs.go.rules import Rules
from sparring.envs.worlds import Array

ALPHA, BETA = 0.75, 0.4


class Samples(NamedTuple):
    """N positions and what became of them, in the eyes of who was to move."""

    obs: Array  # [N, 10, H · W] uint8
    legal: Array  # [N, A] bool
    policy: Array  # [N, A] float16
    searched: Array  # [N] bool: whether in full, so that the policy can be learned from
    outcome: Array  # [N] int64: 0 won, 1 drawn, 2 lost
    owner: Array  # [N, H · W] uint8: 2 mine, 1 nobody's, 0 theirs; 255 where the game was not played out
    score: Array  # [N] float32: points ahead


class Window:
    """The latest games. As its state it keeps their moves and what was advised; positions are played again."""

    def __init__(self, rules: Rules, smallest: int) -> None:
        self.rules = rules
        self.smallest = smallest
        self.records: list[Record] = []
        self.chunks: list[Samples] = []  # of each game
        self.played = 0  # positions, ever
        self.games = Games(rules, 1, rows=rules.plies)

    @property
    def size(self) -> int:
        """How many positions it should hold now."""
        grown = (max(self.played, self.smallest) / self.smallest) ** ALPHA
        return int(self.smallest * (1 + BETA * (grown - 1) / ALPHA))

    @property
    def held(self) -> int:
        """How many it holds."""
        return len(self.all.outcome)

    def add(self, records: Sequence[Record]) -> int:
        """Let games in, and the oldest out; how many positions are new."""
        new = sum(len(record.moves) for record in records)
        self.played += new
        self.records += records
        self.chunks += map(self.positions, records)
        spare, out = sum(len(record.moves) for record in self.records) - self.size, 0
        while out < len(self.records) - 1 and spare >= len(self.records[out].moves):
            spare -= len(self.records[out].moves)
            out += 1
        del self.records[:out], self.chunks[:out]
        self._join()
        return new

    def positions(self, record: Record) -> Samples:
        """Play a game again and see every position of it."""
        length = len(record.moves)
        ways = np.tile(np.array(record.moves, np.int32), (length, 1))
        seen = self.games.look(np.zeros(length, np.int32), ways, np.arange(length, dtype=np.int32))
        mover = np.where(np.arange(length) % 2 == 0, 1, -1)  # 1 is black
        owner = np.full((length, self.rules.area), 255, np.uint8)
        score = np.zeros(length, np.float32)
        if record.owners is not None:
            owner = (mover[:, None] * record.owners + 1).astype(np.uint8)
            score = (mover * (record.owners.sum(dtype=int) - self.rules.komi)).astype(np.float32)
        return Samples(
            seen.obs[:length].reshape(length, kernels.PLANES, -1).copy(),
            seen.legal[:length].astype(bool),
            np.stack(record.policies),
            np.array(record.full),
            1 - mover * record.result,
            owner,
            score,
        )

    def state_dict(self) -> dict[str, Any]:
        """The games."""
        return {"played": self.played, "records": packed(self.records, self.rules.area)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play them again."""
        self.records = unpacked(state["records"])
        self.chunks = [self.positions(record) for record in self.records]
        self.played = state["played"]
        self._join()

    def _join(self) -> None:
        if self.chunks:
            self.all = Samples(*(np.concatenate(field) for field in zip(*self.chunks, strict=True)))
