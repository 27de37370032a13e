"""The door at which observations become actions: a categorical policy drawn from a network's logits."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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
    """π(a|s) = softmax(logits(s)): draws actions with dice of its own, or takes the likeliest."""

    def __init__(self, network: nn.Module, dice: Dice, device: str) -> None:
        self.network = network
        self.dice = dice
        self.device = device

    @torch.inference_mode()
    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Remembered]:
        """Observations [N, *obs] → actions [N] with their log-probabilities and values."""
        logits, values = self.network(torch.as_tensor(obs, device=self.device))
        log_probs = torch.log_softmax(logits, dim=1)
        if greedy:
            actions = log_probs.argmax(1)
        else:
            actions = torch.multinomial(log_probs.exp(), 1, generator=self.dice.generator)[:, 0]
        chosen = log_probs.gather(1, actions[:, None])[:, 0]
        return Acts(actions.cpu().numpy(), Remembered(chosen.cpu().numpy(), values.cpu().numpy()))


def log_prob_and_entropy(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """log π(a|s) and H[π(·|s)], both [B], from logits [B, A] and actions [B]."""
    log_probs = torch.log_softmax(logits, dim=1)
    entropy = -(log_probs.exp() * log_probs).sum(1)
    return log_probs.gather(1, actions[:, None])[:, 0], entropy
