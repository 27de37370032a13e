"""Five tiny worlds whose optimal values are known in closed form: what a learner gets wrong, they show in seconds.

Each probe adds one thing that must work, so the first one that fails names the fault (after A. L. Jones, *Debugging
RL, Without the Agonizing Pain*, 2021):

    ProbeConstant  one observation, reward 1                     V = 1                         value and its loss
    ProbeSignal    reward = the observation, ±1                  V(s) = s                      value sees the input
    ProbeDelay     two steps, reward 1 at the end                V(0) = γ, V(1) = 1            discounting
    ProbeChoice    reward +1 for action 1, −1 for action 0       V = 1, π(1) = 1               policy gradient
    ProbeMatch     reward +1 if the action matches the sign      V = 1, π(match) = 1           policy sees the input
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from sparring.envs.worlds import Array


@dataclass(frozen=True)
class Probe:
    """A world told by its answer: `values(γ)` are the optimal values by observation, `actions` the optimal actions."""

    id: str
    story: str
    signal: tuple[float, ...]  # what the first observation may be, drawn uniformly
    reward: Callable[[float, int], float]  # of the first observation and the last action
    values: Callable[[float], Mapping[float, float]]
    actions: Mapping[float, int]  # observations where the action matters
    steps: int = 1


PROBES = (
    Probe("sparring/ProbeConstant-v0", "probe: V = 1", (0.0,), lambda s, a: 1.0, lambda γ: {0.0: 1.0}, {}),
    Probe(
        "sparring/ProbeSignal-v0", "probe: V(s) = s", (-1.0, 1.0), lambda s, a: s, lambda γ: {-1.0: -1.0, 1.0: 1.0}, {}
    ),
    Probe(
        "sparring/ProbeDelay-v0", "probe: V(0) = γ", (0.0,), lambda s, a: 1.0, lambda γ: {0.0: γ, 1.0: 1.0}, {}, steps=2
    ),
    Probe(
        "sparring/ProbeChoice-v0",
        "probe: action 1 is right",
        (0.0,),
        lambda s, a: 2.0 * a - 1.0,
        lambda γ: {0.0: 1.0},
        {0.0: 1},
    ),
    Probe(
        "sparring/ProbeMatch-v0",
        "probe: the action that matches the sign is right",
        (-1.0, 1.0),
        lambda s, a: 1.0 if (a == 1) == (s > 0) else -1.0,
        lambda γ: {-1.0: 1.0, 1.0: 1.0},
        {-1.0: 0, 1.0: 1},
    ),
)


class ProbeWorld(gymnasium.Env[Array, Any]):
    """Plays a `Probe`: the observation [1] is the signal, and later steps count up from it; the last step pays."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(self, number: int, render_mode: str | None = None) -> None:
        self.probe = PROBES[number]
        self.render_mode = render_mode
        self.observation_space = Box(-2.0, 2.0, (1,), np.float32)
        self.action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Draw a signal."""
        super().reset(seed=seed)
        self.signal = self.probe.signal[int(self.np_random.integers(len(self.probe.signal)))]
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Count up; the last step pays and terminates."""
        self.steps += 1
        over = self.steps == self.probe.steps
        return self._observe(), self.probe.reward(self.signal, int(action)) if over else 0.0, over, False, {}

    def _observe(self) -> Array:
        return np.array([self.signal + self.steps], np.float32)


def register_probes() -> None:
    """Tell Gymnasium about the probes; doing so twice changes nothing."""
    for number, probe in enumerate(PROBES):
        if probe.id not in gymnasium.registry:
            gymnasium.register(probe.id, "sparring.envs.probes:ProbeWorld", kwargs={"number": number})
