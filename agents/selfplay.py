"""Self-play: the Source whose experience is games that a network plays against itself, every move searched.

Games are played in slots, side by side: a round is one simulation in every slot and one batch for the network; a slot
whose search is done makes its move, and one whose game is done begins the next. A draw ends when so many games have
ended; the others wait where they stand, for if all were played to their ends first, the last rounds would be for a few
slots alone. Between two draws a game is its moves: every draw begins with the search of the next ones. Groups of slots
are played by threads of their own, since kernels and network let go of Python's lock. What a game's dice show follows
from the source's seed, the game's number and the ply alone.

Playout-cap randomisation (Wu, arXiv 1902.10565, section 3.1): a share of the moves is searched in full and trains the
policy; the others are searched briefly and without noise, so that more games are played for the value's sake.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from sparring.agents.mcts import Evaluate, Searching, Trees
from sparring.agents.records import Record, packed, unpacked
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
    slots: int = 128
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
        if self.groups > self.draw:
            raise BadInputError(f"{self.groups} groups cannot share {self.draw} games; draw more, or in fewer groups")


class Guide(Protocol):
    """An algorithm that self-play can ask."""

    def evaluate(self, seed: int, group: int) -> Evaluate:
        """What evaluates leaves for a group of slots, in a thread of its own."""


class Table:
    """A group of slots, played by one thread; of n groups number k plays the games k, k + n, …"""

    def __init__(self, rules: Rules, playing: Playing, searching: Searching, group: int) -> None:
        if playing.full < 1 and playing.fast > searching.simulations:
            raise BadInputError(
                f"fast is {playing.fast} and simulations {searching.simulations}; a brief search is the shorter one"
            )
        self.playing = playing
        self.group = group
        self.games = Games(rules, playing.slots)
        self.trees = Trees(playing.slots, self.games.actions, searching)
        self.dice = [np.random.default_rng(0)] * playing.slots
        self.full = [True] * playing.slots
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Empty boards."""
        self.seed, self.begun = seed, 0
        self.ended: list[Record] = []  # that no draw has asked for yet
        self.records = [self._next_game(slot) for slot in range(self.playing.slots)]

    def play(self, games: int, evaluate: Evaluate) -> list[Record]:
        """Go on until so many games have ended."""
        self.seconds = {"emulating": 0.0, "acting": 0.0}  # the search, and the network
        self.evaluations = 0
        for slot in range(self.playing.slots):
            self._search(slot)
        while len(self.ended) < games:
            start = perf_counter()
            self.trees.step(self.games, self._timed(evaluate))
            for slot in np.flatnonzero(self.trees.finished).tolist():
                if self._move(slot):
                    self.ended.append(self.records[slot])
                    self.records[slot] = self._next_game(slot)
                self._search(slot)
            self.seconds["emulating"] += perf_counter() - start
        self.seconds["emulating"] -= self.seconds["acting"]
        played, self.ended = self.ended[:games], self.ended[games:]
        return played

    def _timed(self, evaluate: Evaluate) -> Evaluate:
        def timed(leaves: Leaves, rows: Array) -> tuple[Array, Array]:
            start = perf_counter()
            answer = evaluate(leaves, rows)
            self.seconds["acting"] += perf_counter() - start
            self.evaluations += len(rows)
            return answer

        return timed

    def _next_game(self, slot: int) -> Record:
        number = self.group + self.playing.groups * self.begun
        self.begun += 1
        self.games.begin(slot)
        return Record(number, bool(np.random.default_rng([GAMES, self.seed, number]).random() < self.playing.stubborn))

    def _search(self, slot: int) -> None:
        record = self.records[slot]
        ply = len(record.moves) + 1  # 0 would be the dice of the game itself
        dice = self.dice[slot] = np.random.default_rng([GAMES, self.seed, record.number, ply])
        full = self.full[slot] = bool(dice.random() < self.playing.full)
        simulations = 0 if full else self.playing.fast
        self.trees.begin(slot, self.games.legal(slot), dice, simulations=simulations, noisy=full)

    def _move(self, slot: int) -> bool:
        """Make the move that a finished search advises; whether that ended the game."""
        record, trees = self.records[slot], self.trees
        policy = trees.policy(slot)
        move = trees.best(slot)
        if trees.searching.select != "gumbel" and len(record.moves) < self.playing.hot:
            move = int(self.dice[slot].choice(len(policy), p=policy.astype(float) / policy.sum(dtype=float)))
        record.values.append(trees.value(slot))
        record.policies.append(policy.astype(np.float16))
        record.full.append(self.full[slot])
        record.moves.append(move)
        if not record.doomed and record.despair(self.playing.resign):
            record.doomed = 1 if self.games.to_move(slot) == BLACK else -1
            if not record.stubborn:
                record.result = -record.doomed
                return True
        self.games.play(slot, move)
        if self.games.over(slot):
            record.owners = self.games.owners(slot)
            record.result = int(self.games.value(slot))
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        """Games under way, and those that have ended and were not asked for."""
        points = self.games.rules.area
        return {
            "begun": self.begun,
            "records": packed(self.records, points),
            "ended": packed(self.ended, points),
        }

    def load_state_dict(self, seed: int, state: dict[str, Any]) -> None:
        """Play the games under way again."""
        self.seed, self.begun = seed, state["begun"]
        self.records, self.ended = unpacked(state["records"]), unpacked(state["ended"])
        for slot, record in enumerate(self.records):
            self.games.begin(slot)
            for move in record.moves:
                self.games.play(slot, move)


class SelfPlay:
    """Draws so many games of an algorithm against itself."""

    begins_anew = False

    def __init__(self, rules: Rules, playing: Playing, searching: Searching) -> None:
        self.rules = rules
        self.playing = playing
        self.tables = [Table(rules, playing, searching, group) for group in range(playing.groups)]
        self.steps_per_draw = playing.draw
        self.last: list[Record] = []

    def reset(self, seed: int) -> None:
        """Begin anew."""
        self.seed, self.drawn = seed, 0
        for table in self.tables:
            table.reset(seed)

    def draw(self, algorithm: Guide) -> list[Record]:
        """The next games to end, shared out among the groups, in the order of their numbers."""
        count = len(self.tables)
        seed = self.seed + self.drawn
        self.drawn += self.playing.draw

        def play(group: int) -> list[Record]:
            games = len(range(group, self.playing.draw, count))
            return self.tables[group].play(games, algorithm.evaluate(seed, group))

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
        """The seed, how many games were drawn since the reset, and where all others stand."""
        return {"seed": self.seed, "drawn": self.drawn, "tables": [table.state_dict() for table in self.tables]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.seed, self.drawn = state["seed"], state["drawn"]
        for table, saved in zip(self.tables, state["tables"], strict=True):
            table.load_state_dict(self.seed, saved)
