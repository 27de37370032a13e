"""A league of one: the Source whose experience is games of a policy against itself and against its own past.

N games go on side by side, and a draw is T plies of each. A game begins with some random plies, so that the middle game
is met from the first day, and then belongs to one of two kinds: both colours are played by the policy as it is, or one
of them by an opponent from its past, the same one during a draw (Silver et al., Nature 529, 2016, methods; Bansal et
al., arXiv 1710.03748). Nobody learns from plies that were random or an opponent's; they are part of the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import numpy as np

from sparring.agents.policy import Remembered
from sparring.envs.errors import check_ranges
from sparring.envs.go.board import BLACK, WHITE
from sparring.envs.go.rules import Rules
from sparring.envs.go.vector import GoVectorEnv
from sparring.envs.rollouts import Acts, Report
from sparring.envs.worlds import Array

BOTH = 0  # in place of a colour
DICE = 3  # sets a league's dice apart from those that act


@dataclass(frozen=True)
class Meeting:
    """How a policy meets itself."""

    boards: int = 64
    """N: games side by side"""
    horizon: int = 64
    """T: plies of every game between updates"""
    opening: int = 8
    """most random plies at the beginning of a game; how many is drawn for each"""
    past: float = 0.5
    """share of games against an opponent from the past, once there is one"""

    def __post_init__(self) -> None:
        check_ranges(self, boards=(1, 2**20), horizon=(1, 2**20), opening=(0, 1000), past=(0, 1))


class Plies(NamedTuple):
    """T plies of N games, time first; rewards and values are in the eyes of who is to move."""

    obs: Array  # [T + 1, N, 10, H, W] uint8; the last row is what the boards show now
    legal: Array  # [T, N, A] bool
    black: Array  # [T + 1, N] bool: whether black is to move
    actions: Array  # [T, N]
    rewards: Array  # [T, N] float32
    over: Array  # [T, N] bool: the game ended here, and the next row is of another
    mine: Array  # [T, N] bool: whether the present policy chose
    memory: Remembered  # [T, N] each


class Side(Protocol):
    """A policy that plays on many boards."""

    def act(self, obs: Array, legal: Array) -> Acts[Remembered]:
        """Planes [n, 10, H, W] and what is legal [n, A] bool → actions [n]."""


class Contender(Side, Protocol):
    """A policy with a past."""

    def opponent(self, dice: np.random.Generator) -> Side | None:
        """Somebody from the past; None where there is nobody yet."""


class League:
    """Draws T plies of N games."""

    begins_anew = True

    def __init__(self, rules: Rules, meeting: Meeting) -> None:
        self.meeting = meeting
        self.games = GoVectorEnv(meeting.boards, rules=rules)
        self.steps_per_draw = meeting.boards * meeting.horizon

    def reset(self, seed: int) -> None:
        """Begin all games anew."""
        count = self.meeting.boards
        self.seed, self.log = seed, list[Array]()
        self.dice = np.random.default_rng([DICE, seed])
        self.obs, info = self.games.reset()
        self.to_move = info["to_move"]
        self.whose = np.full(count, BOTH, np.int8)  # the colour that the present policy plays
        self.unopened = np.zeros(count, int)  # random plies still to come
        self.plies = np.zeros(count, int)  # of the games in progress
        self._found(np.arange(count), past=False)
        self._forget()

    def draw(self, algorithm: Contender) -> Plies:
        """Play on, T plies in every game."""
        self._forget()
        opponent = algorithm.opponent(self.dice)
        rows: list[tuple[Array, ...]] = []
        for _ in range(self.meeting.horizon):
            obs, legal, black = self.obs, self.games.action_masks(), self.to_move == BLACK
            start = perf_counter()
            acts, mine = self._acts(algorithm, opponent, obs, legal)
            self.seconds["acting"] += perf_counter() - start
            rewards, over = self._step(acts.actions, past=opponent is not None)
            self.seconds["emulating"] += perf_counter() - start
            rows.append((obs, legal, black, acts.actions, rewards, over, mine, *acts.memory))
        self.seconds["emulating"] -= self.seconds["acting"]
        obs, legal, black, actions, rewards, over, mine, *memory = (
            np.stack(field) for field in zip(*rows, strict=True)
        )
        self.log += list(actions)
        return Plies(
            np.concatenate([obs, self.obs[None]]),
            legal,
            np.concatenate([black, self.to_move[None] == BLACK]),
            actions,
            rewards.astype(np.float32),
            over,
            mine,
            Remembered(*memory),
        )

    def _acts(self, algorithm: Contender, opponent: Side | None, obs: Array, legal: Array) -> tuple[Acts[Any], Array]:
        """What everybody plays, and where it was the present policy [N]."""
        acts = algorithm.act(obs, legal)
        actions = acts.actions.copy()
        opening = self.unopened > 0
        for game in np.flatnonzero(opening):
            points = np.flatnonzero(legal[game, :-1])
            actions[game] = self.dice.choice(points) if len(points) else legal.shape[1] - 1
        theirs = ~opening & (self.whose != BOTH) & (self.whose != self.to_move)
        if opponent is not None and theirs.any():
            actions[theirs] = opponent.act(obs[theirs], legal[theirs]).actions
        return Acts(actions, acts.memory), ~opening & ~theirs

    def _step(self, actions: Array, *, past: bool) -> tuple[Array, Array]:
        """Rewards [N], and where games ended [N]; others begin there."""
        moved = self.to_move
        self.obs, rewards, terminated, truncated, info = self.games.step(actions)
        self.to_move = info["to_move"]
        self.unopened = np.maximum(self.unopened - 1, 0)
        self.plies += 1
        over = terminated | truncated
        for game in np.flatnonzero(over):
            black = float(rewards[game]) * (1 if moved[game] == BLACK else -1)
            self.finished.append((int(self.plies[game]), black, int(self.whose[game])))
        self._found(np.flatnonzero(over), past=past)
        return rewards, over

    def _found(self, games: Array, *, past: bool) -> None:
        """Decide what kind of games these are."""
        count = len(games)
        against = past & (self.dice.random(count) < self.meeting.past)
        self.whose[games] = np.where(against, self.dice.choice((BLACK, WHITE), count), BOTH)
        self.unopened[games] = self.dice.integers(self.meeting.opening + 1, size=count)
        self.plies[games] = 0

    def report(self) -> Report:
        """Of the games that ended during the last draw."""
        length = [float(plies) for plies, _, _ in self.finished]
        metrics: dict[str, float | list[float]] = {
            "game/length": length,
            "game/black_wins": [(black + 1) / 2 for _, black, _ in self.finished],
            "game/wins_over_past": [
                ((black if whose == BLACK else -black) + 1) / 2 for _, black, whose in self.finished if whose != BOTH
            ],
        }
        return Report(metrics, self.seconds)

    def state_dict(self) -> dict[str, Any]:
        """The seed, what was played since, and what is decided of the games in progress."""
        log = np.stack(self.log).tolist() if self.log else []
        decided = {name: getattr(self, name).tolist() for name in ("whose", "unopened", "plies")}
        return {"seed": self.seed, "log": log, "dice": self.dice.bit_generator.state, **decided}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play it again."""
        self.reset(state["seed"])
        for actions in state["log"]:
            self.obs, *_, info = self.games.step(np.array(actions))
            self.to_move = info["to_move"]
            self.log.append(np.array(actions))
        self.dice.bit_generator.state = state["dice"]
        for name in ("whose", "unopened", "plies"):
            getattr(self, name)[:] = state[name]

    def _forget(self) -> None:
        self.finished: list[tuple[int, float, int]] = []  # (plies, black's result, the present policy's colour)
        self.seconds = {"acting": 0.0, "emulating": 0.0}
