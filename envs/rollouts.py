"""From worlds to batches: a Source that asks an actor for actions and keeps what a learner must remember.

Two facts are kept apart all the way: a game that *ended* (`terminated`: the value of what follows is 0) and one that
was *cut* (`truncated`: play stopped, the value of what would have followed is not 0). Where a game was cut, the batch
holds the true last observation; no learner needs to know how worlds reset themselves.

A vector of worlds is a pure function of its seed and of the actions played since, so that is its whole state: the
source's `state_dict` is the seed and the action log, and loading it plays the log again without asking anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from sparring.envs.episodes import checksum
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import Array, Worlds, life_lost

Memory = TypeVar("Memory", bound=tuple[Any, ...])
Result = TypeVar("Result")
Metrics = Mapping[str, float | list[float]]
"""name → a number, or a sample of numbers (the scores of the games that ended), which readers may pool"""


class Acts(NamedTuple, Generic[Memory]):
    """Actions, and what must be remembered with them (behaviour log-prob, value, search policy, …)."""

    actions: Array  # [N, *action]
    memory: Memory  # a NamedTuple of arrays [N, …], or ()


class Actor(Protocol[Memory]):
    """Acts in N worlds at once."""

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Memory]:
        """Observations [N, *obs] → actions [N, *action]; `greedy` takes the likeliest instead of drawing."""


class Rollout(NamedTuple, Generic[Memory]):
    """T steps of N worlds, time first."""

    obs: Array  # [T + 1, N, *obs]; the last row is what the worlds show now
    actions: Array  # [T, N, *action]
    rewards: Array  # [T, N] float32, raw
    terminated: Array  # [T, N] bool: the return ends here
    truncated: Array  # [T, N] bool: the game was cut here, its return goes on unseen
    memory: Memory  # the actor's memories, each [T, N, …]
    cut_obs: Array  # [K, *obs]: the last observation of each truncated game, in the order of np.nonzero(truncated)


class Report(NamedTuple):
    """What happened during the last draw: facts of the learning, and wall-clock seconds by stage."""

    metrics: Metrics
    seconds: Mapping[str, float]


class Group:
    """Worlds that move together, while an actor thinks about those of another group."""

    def __init__(self, worlds: Worlds, first: int) -> None:
        self.worlds = worlds
        self.columns = slice(first, first + worlds.num_envs)  # of the batch

    def reset(self, seed: int) -> None:
        """Start all games anew."""
        self.obs, _ = self.worlds.reset(seed=seed + self.columns.start)
        self.scores = np.zeros(self.worlds.num_envs)  # [n] of the games in progress
        self.lengths = np.zeros(self.worlds.num_envs, int)
        self.finished: list[tuple[float, int]] = []  # (score, steps) of the games that ended since it was last emptied

    def send(self, actions: Array) -> None:
        """Begin a step; actions [n]."""
        self.worlds.send(actions)

    def recv(self) -> Step:
        """End the step that was begun."""
        self.obs, rewards, terminated, truncated, info = self.worlds.recv()
        truncated = truncated & ~terminated
        lost = life_lost(info, len(rewards))
        over = np.flatnonzero((terminated | truncated) & ~lost)
        self.scores += rewards
        self.lengths += 1
        for k in over:
            self.finished.append((float(self.scores[k]), int(self.lengths[k])))
            self.scores[k] = self.lengths[k] = 0
        return Step(rewards, terminated, truncated, lost, {int(k): info["final_obs"][k] for k in over})


class Step(NamedTuple):
    """What one step of n worlds brought."""

    rewards: Array  # [n] raw
    terminated: Array  # [n] bool: the return ends here
    truncated: Array  # [n] bool: the game was cut here, and did not end
    life_lost: Array  # [n] bool: terminated for the learner only, the game goes on
    final_obs: Mapping[int, Array]  # the last observation of each game that is over, by world


class Rollouts(Generic[Memory]):
    """Draws `horizon` steps at a time from vectors of worlds that reset in the same step.

    Several vectors take turns: while one moves, the actor thinks about the next. What is drawn depends on nothing but
    the seed and the actor, however long either of them takes.
    """

    begins_anew = True

    def __init__(self, vectors: Sequence[Worlds], horizon: int) -> None:
        if horizon < 1:
            raise BadInputError(f"horizon is {horizon}; a rollout has at least 1 step")
        first = np.cumsum([0, *(vector.num_envs for vector in vectors)]).tolist()
        self.groups = [Group(vector, start) for vector, start in zip(vectors, first[:-1], strict=True)]
        self.observation_space = vectors[0].single_observation_space
        self.action_space = vectors[0].single_action_space
        self.worlds = first[-1]
        self.horizon = horizon
        self.steps_per_draw = horizon * self.worlds
        self.seed: int | None = None

    @property
    def obs(self) -> Array:
        """What the worlds show now, [N, *obs]."""
        return np.concatenate([group.obs for group in self.groups])

    @property
    def finished(self) -> list[tuple[float, int]]:
        """(score, steps) of the games that ended since the report began."""
        return [game for group in self.groups for game in group.finished]

    def reset(self, seed: int) -> None:
        """Start all games anew; world k is seeded with seed + k."""
        self.seed = seed
        self.log: list[Array] = []  # the actions [N, *action] played since
        for group in self.groups:
            group.reset(seed)
        self.forget()

    def draw(self, actor: Actor[Memory]) -> Rollout[Memory]:
        """Play `horizon` steps in every world.

        Raises:
            RuntimeError: the source was never reset.
        """
        if self.seed is None:
            raise RuntimeError("reset(seed) the source before drawing from it")
        self.forget()
        T, N = self.horizon, self.worlds
        obs = np.empty((T + 1, N, *self.groups[0].obs.shape[1:]), self.groups[0].obs.dtype)
        rewards = np.empty((T, N), np.float32)
        terminated = np.empty((T, N), bool)
        truncated = np.empty((T, N), bool)
        acts: list[list[Acts[Memory]]] = []  # by step and group
        cut_obs: list[Array] = []
        for t in range(T + 1):
            acts.append([])
            for group in self.groups:
                now = group.columns
                if t > 0:
                    step = self._timed("emulating", group.recv)
                    rewards[t - 1, now], terminated[t - 1, now], truncated[t - 1, now] = step[:3]
                    cut_obs += [step.final_obs[k] for k in np.flatnonzero(step.truncated).tolist()]
                obs[t, now] = group.obs
                if t < T:
                    acts[t].append(self._timed("acting", partial(actor.act, group.obs)))
                    group.send(acts[t][-1].actions)
        actions = [np.concatenate([act.actions for act in row]) for row in acts[:T]]
        self.log += actions
        memories = [joined([act.memory for act in row]) for row in acts[:T]]
        memory = type(memories[0])(*(np.stack(field) for field in zip(*memories, strict=True)))
        cut = np.stack(cut_obs) if cut_obs else obs[:0, 0]
        return Rollout(obs, np.stack(actions), rewards, terminated, truncated, memory, cut)

    def step(self, actions: Array) -> Step:
        """Play one step in every world at once; actions [N, *action]."""
        for group in self.groups:
            group.send(actions[group.columns])
        steps = [self._timed("emulating", group.recv) for group in self.groups]
        self.log.append(actions)
        rewards, terminated, truncated, lost = (np.concatenate([step[field] for step in steps]) for field in range(4))
        first = [group.columns.start for group in self.groups]
        final = {
            start + k: last for start, step in zip(first, steps, strict=True) for k, last in step.final_obs.items()
        }
        return Step(rewards, terminated, truncated, lost, final)

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
        log = np.stack(self.log).tolist() if self.log else []
        return {"seed": self.seed, "log": log, "shown": checksum(self.obs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play the log again, so that the worlds stand where they stood.

        Raises:
            BadInputError: they do not (`prove`).
        """
        self.reset(state["seed"])
        for actions in state["log"]:
            self.step(np.array(actions, self.action_space.dtype))
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
        for group in self.groups:
            group.finished.clear()
        self.seconds = {"acting": 0.0, "emulating": 0.0}  # emulating: the time that acting does not hide

    def _timed(self, stage: str, work: Callable[[], Result]) -> Result:
        """Do `work`, and count its seconds."""
        start = perf_counter()
        result = work()
        self.seconds[stage] += perf_counter() - start
        return result


def joined(memories: Sequence[Memory]) -> Memory:
    """The memories of all groups as one, along N."""
    return type(memories[0])(*(np.concatenate(field) for field in zip(*memories, strict=True)))
