"""From worlds to batches: a Source that asks an actor for actions and keeps what a learner must remember.

Two facts are kept apart all the way: a game that *ended* (`terminated`: the value of what follows is 0) and one that
was *cut* (`truncated`: play stopped, the value of what would have followed is not 0). Where a game was cut, the batch
holds the true last observation; no learner needs to know how worlds reset themselves.

A vector of worlds is a pure function of its seed and of the actions played since, so that is its whole state: the
source's `state_dict` is the seed and the action log, and loading it plays the log again without asking anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from gymnasium.vector import VectorEnv

from sparring.envs.episodes import checksum
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import Array, life_lost

Memory = TypeVar("Memory", bound=tuple[Any, ...])
Metrics = Mapping[str, float | list[float]]
"""name → a number, or a sample of numbers (the scores of the games that ended), which readers may pool"""


class Acts(NamedTuple, Generic[Memory]):
    """Actions, and what must be remembered with them (behaviour log-prob, value, search policy, …)."""

    actions: Array  # [N]
    memory: Memory  # a NamedTuple of arrays [N, …], or ()


class Actor(Protocol[Memory]):
    """Acts in N worlds at once."""

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Memory]:
        """Observations [N, *obs] → actions [N]; `greedy` takes the likeliest instead of drawing."""


class Rollout(NamedTuple, Generic[Memory]):
    """T steps of N worlds, time first."""

    obs: Array  # [T + 1, N, *obs]; the last row is what the worlds show now
    actions: Array  # [T, N]
    rewards: Array  # [T, N] float32, raw
    terminated: Array  # [T, N] bool: the return ends here
    truncated: Array  # [T, N] bool: the game was cut here, its return goes on unseen
    memory: Memory  # the actor's memories, each [T, N, …]
    cut_obs: Array  # [K, *obs]: the last observation of each truncated game, in the order of np.nonzero(truncated)


class Step(NamedTuple):
    """One step of N worlds."""

    rewards: Array  # [N] raw
    terminated: Array  # [N] bool: the return ends here
    truncated: Array  # [N] bool: the game was cut here
    life_lost: Array  # [N] bool: terminated for the learner only, so its final_obs says nothing
    final_obs: Any  # [N, *obs], read only where a game is over; None where none is


class Report(NamedTuple):
    """What happened during the last draw: facts of the learning, and wall-clock seconds by stage."""

    metrics: Metrics
    seconds: Mapping[str, float]


class Rollouts(Generic[Memory]):
    """Draws `horizon` steps at a time from a vector of worlds that reset in the same step."""

    def __init__(self, worlds: VectorEnv[Any, Any, Any], horizon: int) -> None:
        if horizon < 1:
            raise BadInputError(f"horizon is {horizon}; a rollout has at least 1 step")
        self.worlds = worlds
        self.horizon = horizon
        self.steps_per_draw = horizon * worlds.num_envs
        self.seed: int | None = None

    def reset(self, seed: int) -> None:
        """Start all games anew; world k is seeded with seed + k."""
        self.seed = seed
        self.log: list[Array] = []  # the actions [N] played since
        self.obs, _ = self.worlds.reset(seed=seed)
        self.scores = np.zeros(self.worlds.num_envs)  # [N] of the games in progress
        self.lengths = np.zeros(self.worlds.num_envs, int)
        self.forget()

    def draw(self, actor: Actor[Memory]) -> Rollout[Memory]:
        """Play `horizon` steps in every world.

        Raises:
            RuntimeError: the source was never reset.
        """
        if self.seed is None:
            raise RuntimeError("reset(seed) the source before drawing from it")
        self.forget()
        T, N = self.horizon, self.worlds.num_envs
        obs = np.empty((T + 1, N, *self.obs.shape[1:]), self.obs.dtype)
        rewards = np.empty((T, N), np.float32)
        terminated = np.empty((T, N), bool)
        truncated = np.empty((T, N), bool)
        acts: list[Acts[Memory]] = []
        cut_obs: list[Array] = []
        for t in range(T):
            obs[t] = self.obs
            start = perf_counter()
            acts.append(actor.act(self.obs))
            self.seconds["acting"] += perf_counter() - start
            rewards[t], terminated[t], truncated[t], _, final_obs = self.step(acts[t].actions)
            cut_obs += [final_obs[n] for n in np.flatnonzero(truncated[t])]
        obs[T] = self.obs
        memories = [act.memory for act in acts]
        memory = type(memories[0])(*(np.stack(field) for field in zip(*memories, strict=True)))
        cut = np.stack(cut_obs) if cut_obs else obs[:0, 0]
        return Rollout(obs, np.stack([act.actions for act in acts]), rewards, terminated, truncated, memory, cut)

    def report(self) -> Report:
        """The games that ended during the last draw, and where its time went."""
        scores, lengths = [score for score, _ in self.finished], [float(length) for _, length in self.finished]
        return Report({"game/score": scores, "game/length": lengths}, self.seconds)

    def state_dict(self) -> dict[str, Any]:
        """The seed and the actions since.

        Raises:
            RuntimeError: the source was never reset.
        """
        if self.seed is None:
            raise RuntimeError("reset(seed) the source before saving it")
        log = np.stack(self.log) if self.log else np.zeros((0, self.worlds.num_envs), int)
        return {"seed": self.seed, "log": log.tolist(), "shown": checksum(self.obs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play the log again, so that the worlds stand where they stood.

        Raises:
            BadInputError: they do not (`prove`).
        """
        self.reset(state["seed"])
        for actions in state["log"]:
            self.step(np.array(actions))
        self.prove(state)

    def prove(self, state: Mapping[str, Any]) -> None:
        """Make sure that the worlds stand where `state` was saved, and begin a new report.

        Raises:
            BadInputError: they do not, because they draw random numbers that their seed does not decide.
        """
        self.forget()
        if checksum(self.obs) != state["shown"]:
            raise BadInputError(
                "these worlds do not repeat themselves from seed and actions, so they cannot go on exactly"
            )

    def forget(self) -> None:
        """Begin a new report."""
        self.finished: list[tuple[float, int]] = []  # (score, steps) of the games that ended since
        self.seconds = {"acting": 0.0, "emulating": 0.0}

    def step(self, actions: Array) -> Step:
        """Play one step in every world; actions [N]."""
        start = perf_counter()
        self.obs, rewards, terminated, truncated, info = self.worlds.step(actions)
        self.seconds["emulating"] += perf_counter() - start
        truncated, lost = truncated & ~terminated, life_lost(info, len(actions))
        self.log.append(actions)
        self.scores += rewards
        self.lengths += 1
        for n in np.flatnonzero((terminated | truncated) & ~lost):
            self.finished.append((float(self.scores[n]), int(self.lengths[n])))
            self.scores[n] = self.lengths[n] = 0
        return Step(rewards, terminated, truncated, lost, info.get("final_obs"))
