"""The two families of policies: what a network's last layer says becomes a distribution over actions.

    Categorical   π(a) = softmax(logits)_a                          worlds with Discrete(n) actions
    Gaussian      π(a) = Π_i N(a_i; mean_i, exp(log_std_i)²)        worlds with Box actions

The Gaussian is not squashed: the world clips what lies outside of [−1, 1], and the probability is that of the action
before it was clipped (Schulman et al. 2017; Huang et al. 2022, details for continuous actions, 4).
"""

from __future__ import annotations

from math import log, pi
from typing import NamedTuple

import torch
from torch import Tensor

HALF_LOG_TAU = log(2 * pi) / 2


class Categorical(NamedTuple):
    """One of n actions."""

    logits: Tensor  # [B, n]

    def sample(self, generator: torch.Generator) -> Tensor:
        """Actions [B]."""
        return torch.multinomial(torch.softmax(self.logits, 1), 1, generator=generator)[:, 0]

    def mode(self) -> Tensor:
        """The likeliest actions [B]."""
        return self.logits.argmax(1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """log π(a) [B]."""
        return torch.log_softmax(self.logits, 1).gather(1, actions[:, None])[:, 0]

    def entropy(self) -> Tensor:
        """H(π) [B], in nats."""
        log_probs = torch.log_softmax(self.logits, 1)
        return -(log_probs.exp() * log_probs).sum(1)


class Gaussian(NamedTuple):
    """Independent normal numbers."""

    mean: Tensor  # [B, A]
    log_std: Tensor  # [B, A]

    def sample(self, generator: torch.Generator) -> Tensor:
        """Actions [B, A]."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        """The likeliest actions [B, A]."""
        return self.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log density [B]."""
        z = (actions - self.mean) * (-self.log_std).exp()
        return -(z.square() / 2 + self.log_std + HALF_LOG_TAU).sum(1)

    def entropy(self) -> Tensor:
        """Differential entropy [B], in nats."""
        return (self.log_std + 0.5 + HALF_LOG_TAU).sum(1)


Distribution = Categorical | Gaussian
