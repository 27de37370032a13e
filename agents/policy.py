"""The door at which observations become actions."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from sparring.agents.descent import check_finite
from sparring.agents.networks import ActorCritic
from sparring.envs.rollouts import Acts
from sparring.envs.worlds import Array


class Remembered(NamedTuple):
    """What the learner needs from the moment of acting."""

    log_prob: Array  # [N] log μ(a|s) of the behaviour policy μ
    value: Array  # [N] V(s) as it was estimated then


class Dice:
    """A random generator that survives a crash."""

    def __init__(self, seed: int, device: str) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return self.generator.device

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, and the kind of device whose generator it is."""
        return {"state": self.generator.get_state(), "device": self.generator.device.type}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; on another kind of device, from numbers of its own that follow from the state."""
        if state["device"] == self.generator.device.type:
            self.generator.set_state(state["state"])
        else:
            self.generator.manual_seed(zlib.crc32(state["state"].numpy().data))


class Policy:
    """π(a|s) with dice of its own: draws actions, or takes the likeliest."""

    def __init__(self, network: ActorCritic, dice: Dice, device: str) -> None:
        self.network = network
        self.dice = dice
        self.device = device

    @torch.inference_mode()
    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Remembered]:
        """Observations [N, *obs] → actions [N, *action] with their log-probabilities and values.

        Raises:
            DivergedError: the policy or the values are not finite.
        """
        with on_threads(max(torch.get_num_threads() // 2, 1)):  # few observations; the other cores are the worlds'
            distribution, values = self.network(torch.as_tensor(obs, device=self.device))
            check_finite({**distribution._asdict(), "values": values})
            actions = distribution.mode() if greedy else distribution.sample(self.dice.generator)
            memory = Remembered(distribution.log_prob(actions).cpu().numpy(), values.cpu().numpy())
            return Acts(actions.cpu().numpy(), memory)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch compute on so many threads for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
