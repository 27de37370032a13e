"""Self-play: the Source whose experience is games that a network plays against itself, every move searched.

A draw is a fixed number of games, from the empty board to the end, so that nothing is under way between two draws.
They are played in slots, side by side: a round is one simulation in every slot and one batch for the network; a slot
whose search is done makes its move, and one whose game is done begins the next. Groups of slots are played by threads
of their own, since kernels and network let go of Python's lock. What a game's dice show follows from the source's seed
and the game's number alone.

Playout-cap randomisation (Wu, arXiv 1902.10565, section 3.1): a share of the moves is searched in full and trains the
policy; the others are searched briefly and without noise, so that more games are played for the value's sake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from sparring.agents.mcts import Evaluate, Searching, Trees
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.go.board import BLACK
from sparring.envs.go.games import Games
from sparring.envs.go.rules import Rules
from sparring.envs.leaves import Leaves
from sparring.envs.rollouts import Report
from sparring.envs.worlds import Array

GAMES, SYMMETRIES = 1, 2  # set the dice of games apart from those of evaluations


@dataclass(frozen=True)
class Playing:
    """How games are played for learning."""

    draw: int = 256
    """games of an update"""
    slots: int = 64
    """games side by side in a group"""
    groups: int = 2
    """of slots, each played by a thread"""
    full: float = 1.0
    """share of moves that are searched in full and train the policy (playout-cap randomisation)"""
    fast: int = 8
    """simulations of the other moves"""
    hot: int = 0
    """puct: moves at the beginning that are drawn from the visits; later ones are the most visited"""
    resign: float = 1.0
    """who thinks its value lower than −resign on two moves running gives up; 1: nobody ever does"""
    stubborn: float = 0.1
    """share of games in which nobody gives up, to see who would have been wrong"""

    def __post_init__(self) -> None:
        check_ranges(self, draw=(1, 2**20), slots=(1, 2**16), groups=(1, 64), full=(1e-6, 1), fast=(1, 2**15))
        check_ranges(self, hot=(0, 1000), resign=(0, 1), stubborn=(0, 1))


@dataclass
class Record:
    """A game that was played against oneself."""

    number: int
    stubborn: bool = True  # nobody gives up
    moves: list[int] = field(default_factory=list)
    policies: list[Array] = field(default_factory=list)  # what the search advised [A] float16
    full: list[bool] = field(default_factory=list)  # whether it was searched in full
    values: list[float] = field(default_factory=list)  # of the roots, to who moved
    result: int = 0  # 1 black has won, −1 white has, 0 nobody
    owners: Array | None = None  # [H · W] int8: 1 black's, −1 white's, 0 nobody's; None where somebody gave up
    doomed: int = 0  # who would have given up first: 1 black, −1 white

    def despair(self, threshold: float) -> bool:
        """Whether who has just moved should have given up, for the second time running."""
        return max(self.values[-1:] + self.values[-3:-2]) < -threshold and len(self.values) > 2


class Guide(Protocol):
    """An algorithm that self-play can ask."""

    def evaluate(self, seed: int, group: int) -> Evaluate:
        """What evaluates leaves for a group of slots, in a thread of its own."""


class Table:
    """A group of slots, played by one thread."""

    def __init__(self, rules: Rules, playing: Playing, searching: Searching) -> None:
        if playing.full < 1 and playing.fast > searching.simulations:
            raise BadInputError(
                f"fast is {playing.fast} and simulations {searching.simulations}; a brief search is the shorter one"
            )
        self.playing = playing
        self.games = Games(rules, playing.slots)
        self.trees = Trees(playing.slots, self.games.actions, searching)

    def play(self, seed: int, numbers: Sequence[int], evaluate: Evaluate) -> list[Record]:
        """Play the games of those numbers, which are returned in that order."""
        waiting, records = deque(numbers), list[Record]()
        self.seconds = {"emulating": 0.0, "acting": 0.0}  # the search, and the network
        self.evaluations = 0
        self.records: list[Record | None] = [None] * self.playing.slots
        self.dice = [np.random.default_rng(0)] * self.playing.slots
        for slot in range(self.playing.slots):
            self._next_game(slot, seed, waiting)
        while any(self.records):
            start = perf_counter()
            self.trees.step(self.games, self._timed(evaluate))
            for slot in np.flatnonzero(self.trees.finished).tolist():
                finished = self._move(slot)
                if finished is not None:
                    records.append(finished)
                    self._next_game(slot, seed, waiting)
            self.seconds["emulating"] += perf_counter() - start
        self.seconds["emulating"] -= self.seconds["acting"]
        return sorted(records, key=lambda record: record.number)

    def _timed(self, evaluate: Evaluate) -> Evaluate:
        def timed(leaves: Leaves, rows: Array) -> tuple[Array, Array]:
            start = perf_counter()
            answer = evaluate(leaves, rows)
            self.seconds["acting"] += perf_counter() - start
            self.evaluations += len(rows)
            return answer

        return timed

    def _next_game(self, slot: int, seed: int, waiting: deque[int]) -> None:
        self.trees.leave(slot)
        self.records[slot] = None
        if waiting:
            number = waiting.popleft()
            self.dice[slot] = np.random.default_rng([GAMES, seed, number])
            record = self.records[slot] = Record(number, bool(self.dice[slot].random() < self.playing.stubborn))
            self.games.begin(slot)
            self._search(slot, record)

    def _search(self, slot: int, record: Record) -> None:
        dice = self.dice[slot]
        full = bool(dice.random() < self.playing.full)
        record.full.append(full)
        simulations = 0 if full else self.playing.fast
        self.trees.begin(slot, self.games.legal(slot), dice, simulations=simulations, noisy=full)

    def _move(self, slot: int) -> Record | None:
        """Make the move that a finished search advises; the game, if that ended it."""
        record, trees = self.records[slot], self.trees
        assert record is not None
        policy = trees.policy(slot)
        move = trees.best(slot)
        if trees.searching.select != "gumbel" and len(record.moves) < self.playing.hot:
            move = int(self.dice[slot].choice(len(policy), p=policy.astype(float) / policy.sum(dtype=float)))
        record.values.append(trees.value(slot))
        record.policies.append(policy.astype(np.float16))
        record.moves.append(move)
        if not record.doomed and record.despair(self.playing.resign):
            record.doomed = 1 if self.games.to_move(slot) == BLACK else -1
            if not record.stubborn:
                record.result = -record.doomed
                return record
        self.games.play(slot, move)
        if self.games.over(slot):
            record.owners = self.games.owners(slot)
            record.result = int(self.games.value(slot))
            return record
        self._search(slot, record)
        return None


class SelfPlay:
    """Draws so many games of an algorithm against itself."""

    def __init__(self, rules: Rules, playing: Playing, searching: Searching) -> None:
        self.rules = rules
        self.playing = playing
        self.tables = [Table(rules, playing, searching) for _ in range(playing.groups)]
        self.steps_per_draw = playing.draw
        self.last: list[Record] = []
        self.seconds: dict[str, float] = {}

    def reset(self, seed: int) -> None:
        """Begin anew; game k of a draw has dice of its own, from `seed` and k."""
        self.seed, self.begun = seed, 0

    def draw(self, algorithm: Guide) -> list[Record]:
        """Games from the empty board to the end, in the order of their numbers."""
        numbers = range(self.begun, self.begun + self.playing.draw)
        self.begun = numbers.stop
        count = len(self.tables)

        def play(group: int) -> list[Record]:
            return self.tables[group].play(
                self.seed, numbers[group::count], algorithm.evaluate(self.seed + numbers[0], group)
            )

        with ThreadPoolExecutor(count) as threads:
            played = list(threads.map(play, range(count)))
        self.last = sorted(chain(*played), key=lambda record: record.number)
        return self.last

    def report(self) -> Report:
        """Of the last draw: how long the games were and who won; seconds of threads, not of the clock."""
        doomed = [record for record in self.last if record.doomed and record.stubborn]
        metrics: dict[str, float | list[float]] = {
            "game/length": [float(len(record.moves)) for record in self.last],
            "game/black_wins": float(np.mean([(record.result + 1) / 2 for record in self.last])),
            "game/searched_in_full": float(np.mean([full for record in self.last for full in record.full])),
            "count/positions": float(sum(len(record.moves) for record in self.last)),
            "count/evaluations": float(sum(table.evaluations for table in self.tables)),
        }
        if doomed:
            metrics["game/wrong_to_give_up"] = float(np.mean([record.result != -record.doomed for record in doomed]))
        seconds = {
            stage: sum(table.seconds[stage] for table in self.tables) / len(self.tables)
            for stage in ("emulating", "acting")
        }
        return Report(metrics, seconds)

    def state_dict(self) -> dict[str, Any]:
        """The seed and how many games were begun since the reset."""
        return {"seed": self.seed, "begun": self.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.seed, self.begun = state["seed"], state["begun"]
