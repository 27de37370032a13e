"""Running moments: observations and rewards of worlds whose units nobody chose for a network.

    observations   (x − mean) / √(var + ε), clipped at ±10
    rewards        r / √(var G + ε), clipped at ±10, where G_t = r_t + γ G_{t−1} is the running discounted return

What was seen before counts as much as what is seen now. A batch is counted after it was learned from, so that whoever
acts and whoever learns look through the same glasses. All of it lies in the checkpoint.
Source: Huang et al. 2022, details for continuous actions, 5–8; `VecNormalize` of OpenAI baselines.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-8
FARTHEST = 10.0


class Moments(nn.Module):
    """Mean and variance of all rows seen so far."""

    mean: Tensor  # [inputs]
    var: Tensor  # [inputs]
    count: Tensor  # []

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs, dtype=torch.float64))
        self.register_buffer("var", torch.ones(inputs, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def observe(self, rows: Tensor) -> None:
        """Count rows [B, inputs] (Chan, Golub & LeVeque 1979, eq. 2.1)."""
        rows = rows.double()
        mean, var, count = rows.mean(0), rows.var(0, correction=0), len(rows)
        total = self.count + count
        apart = mean - self.mean
        squares = self.var * self.count + var * count + apart.square() * self.count * count / total
        self.mean += apart * count / total
        self.var.copy_(squares / total)
        self.count.copy_(total)


class Normalise(nn.Module):
    """Numbers of any type and shape [B, …] → [B, inputs], each in units of its standard deviation from its mean."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.moments = Moments(inputs)

    def forward(self, numbers: Tensor) -> Tensor:
        """Flatten, convert and normalise."""
        m = self.moments
        return ((numbers.flatten(1) - m.mean) * (m.var + EPSILON).rsqrt()).clamp(-FARTHEST, FARTHEST).float()


class RewardScale(nn.Module):
    """Divides rewards by the standard deviation of the discounted return."""

    returns: Tensor  # [N] G of the games in progress

    def __init__(self, worlds: int, γ: float) -> None:
        super().__init__()
        self.γ = γ
        self.moments = Moments(1)
        self.register_buffer("returns", torch.zeros(worlds, dtype=torch.float64))

    def forward(self, rewards: Tensor) -> Tensor:
        """[T, N] → the same shape."""
        return (rewards * (self.moments.var + EPSILON).rsqrt()).clamp(-FARTHEST, FARTHEST).float()

    def observe(self, rewards: Tensor, over: Tensor) -> None:
        """Count the returns of raw rewards [T, N]; `over` [T, N] is where a game ended or was cut."""
        rows = []
        for row, ends in zip(rewards.double(), over, strict=True):
            self.returns = row + self.γ * self.returns
            rows.append(self.returns)
            self.returns = torch.where(ends, 0.0, self.returns)
        self.moments.observe(torch.cat(rows)[:, None])
