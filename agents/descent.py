"""Gradient steps, and what every policy gradient does around them: the rate falls, the gradient is clipped."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Descent:
    """Steps of one of torch's optimisers; all of it survives a crash."""

    def __init__(self, optimiser: torch.optim.Optimizer, *, max_norm: float, updates: int | None) -> None:
        """`max_norm` bounds the gradient's global norm; over `updates` the rate falls to 0, with None it stays."""
        self.optimiser = optimiser
        self.weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        self.rates = [group["lr"] for group in optimiser.param_groups]
        self.max_norm = max_norm
        self.updates = updates
        self.begun = 0

    def begin_update(self) -> None:
        """Set the learning rate of the update that begins."""
        left = 1 - self.begun / self.updates if self.updates else 1.0
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * left
        self.begun += 1

    def step(self, loss: Tensor) -> Tensor:
        """One step down `loss` []; the gradient's norm [] before it was clipped."""
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.weights, self.max_norm)
        self.optimiser.step()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state and the updates begun."""
        return {"optimiser": self.optimiser.state_dict(), "begun": self.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.begun = state["begun"]
