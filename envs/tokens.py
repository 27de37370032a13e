"""Writing as a world: the state is a prefix, an action is the next token, and the reward is whatever judges.

    s_0 = (x_1 … x_S)     what is given: a source to answer to, or nothing
    s_t = s_{t−1} y_t     y_t ∈ {0, …, V − 1}; after T tokens the sentence ends
    r_t = judge(s_t)      a discriminator, a roll-out of the rest, a teacher who knows the answer

Tokens stand in the world's observation one after the other, BLANK where nothing is written yet. `Writing` holds many
sentences that are equally far, as a vector of Gymnasium's. Two tasks are registered as ids, for any agent:

    sparring/Copy-v0      write what is given                1 / T for each token that is right
    sparring/Reverse-v0   write it from the end
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from sparring.envs.errors import BadInputError
from sparring.envs.worlds import Array

BLANK = -1
SYMBOLS, LENGTH = 8, 4  # of the tasks that are registered

Judge = Callable[[Array, int], Array]
"""sentences [N, S + T], t tokens of them written → what the last one earns, [N]"""
Give = Callable[[np.random.Generator, int], Array]
"""what N sentences are to answer to, [N, S]"""


def nothing(random: np.random.Generator, count: int) -> Array:
    """[N, 0]."""
    return np.zeros((count, 0), np.int64)


class Writing(VectorEnv[Array, Array, Array]):
    """N sentences of `length` tokens, written side by side, one token of each at a time."""

    def __init__(self, count: int, vocabulary: int, length: int, judge: Judge, give: Give = nothing) -> None:
        if vocabulary < 2 or length < 1:
            raise BadInputError(
                f"a sentence of {length} tokens from a vocabulary of {vocabulary}: it takes at least 1, and at least 2"
            )
        self.num_envs = count
        self.length = length
        self.judge = judge
        self.give = give
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.given = give(np.random.default_rng(0), 1).shape[1]
        self.single_observation_space = prefixes(vocabulary, self.given + length)
        self.single_action_space = Discrete(vocabulary)
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Take fresh sheets; what is given follows from the seed."""
        if seed is not None or not hasattr(self, "random"):
            self.random = np.random.default_rng(seed)  # type: ignore[arg-type]
        self.begin()
        return self.sentences.copy(), {}

    def begin(self) -> None:
        """Sentences with nothing but what is given."""
        given = self.give(self.random, self.num_envs)
        self.sentences = np.full((self.num_envs, self.given + self.length), BLANK)
        self.sentences[:, : self.given] = given
        self.written = 0

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Write a token of each sentence; all of them end together."""
        self.sentences[:, self.given + self.written] = actions
        self.written += 1
        rewards = np.asarray(self.judge(self.sentences, self.written), np.float32)
        over = np.full(self.num_envs, self.written == self.length)
        info: dict[str, Any] = {}
        if over.all():
            info["final_obs"] = self.sentences
            self.begin()
        return self.sentences.copy(), rewards, over, np.zeros(self.num_envs, bool), info


def prefixes(vocabulary: int, length: int) -> MultiDiscrete:
    """All sentences of at most `length` tokens."""
    return MultiDiscrete(np.full(length, vocabulary + 1), start=np.full(length, BLANK))


def copied(given: Array) -> Array:
    """The answer [N, T] to copy."""
    return given


def reversed_order(given: Array) -> Array:
    """The answer [N, T] to reverse."""
    return given[:, ::-1]


ANSWERS: dict[str, Callable[[Array], Array]] = {"copy": copied, "reverse": reversed_order}


def sources(vocabulary: int, length: int) -> Give:
    """Any tokens but 0, which begins a sentence."""
    return lambda random, count: random.integers(1, vocabulary, (count, length))


def teacher(answer: Callable[[Array], Array], length: int) -> Judge:
    """1 / T for a token that is where the answer has it."""

    def judge(sentences: Array, written: int) -> Array:
        wanted = answer(sentences[:, :length])
        return np.asarray((sentences[:, length + written - 1] == wanted[:, written - 1]) / length)

    return judge


class Task(gymnasium.Env[Array, Any]):
    """One sentence alone, so that every tool for Gymnasium can write it."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(self, task: str, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        judge = teacher(ANSWERS[task], LENGTH)
        self.writing = Writing(1, SYMBOLS, LENGTH, judge, sources(SYMBOLS, LENGTH))
        self.observation_space = self.writing.single_observation_space
        self.action_space = self.writing.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """A new source."""
        super().reset(seed=seed)
        obs, info = self.writing.reset(seed=int(self.np_random.integers(2**31)))
        return obs[0], info

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Write a token."""
        obs, rewards, over, _, info = self.writing.step(np.array([action]))
        shown = info["final_obs"][0] if over[0] else obs[0]
        return shown, float(rewards[0]), bool(over[0]), False, {}


TASKS = {"copy": "sparring/Copy-v0", "reverse": "sparring/Reverse-v0"}
WORLDS = {
    TASKS["copy"]: f"write {LENGTH} symbols of {SYMBOLS} again",
    TASKS["reverse"]: f"write {LENGTH} symbols of {SYMBOLS} from the end",
}


def register_tokens() -> None:
    """Tell Gymnasium about the tasks; doing so twice changes nothing."""
    for task, name in TASKS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, "sparring.envs.tokens:Task", kwargs={"task": task}, max_episode_steps=LENGTH + 1)
