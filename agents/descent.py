"""Gradient steps, and what goes with them everywhere: rates fall, gradients are clipped, faults are named."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from sparring.envs.errors import DivergedError


class Descent:
    """Steps of one of torch's optimisers; all of it survives a crash."""

    def __init__(
        self, optimiser: torch.optim.Optimizer, *, max_norm: float, updates: int | None, level: float = 0.0
    ) -> None:
        """`max_norm` bounds the gradient's global norm; over `updates` the rate falls to 0, with None it stays.

        It stays for the share `level` of them, too, before it begins to fall.
        """
        self.optimiser = optimiser
        self.weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        self.rates = [group["lr"] for group in optimiser.param_groups]
        self.max_norm = max_norm
        self.updates = updates
        self.level = level
        self.begun = 0

    @property
    def left(self) -> float:
        """The share of the fall that lay ahead when the present update began: 1 at first; 1 always where rates stay."""
        if self.updates is None:
            return 1.0
        return min(1.0, (1 - (self.begun - 1) / self.updates) / (1 - self.level))

    def begin_update(self) -> None:
        """Set the learning rate of the update that begins."""
        self.begun += 1
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.left

    def step(self, loss: Tensor) -> Tensor:
        """One step down `loss` []; the gradient's norm [] before it was clipped."""
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.weights, self.max_norm)
        self.optimiser.step()
        # Fused optimisers forget to, and what was cast from the old weights would be taken for the new.
        torch.autograd.graph.increment_version(self.weights)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state and the updates begun."""
        return {"optimiser": self.optimiser.state_dict(), "begun": self.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.begun = state["begun"]


class Terms:
    """The terms of every gradient step of an update, kept on their device until it is over."""

    def __init__(self, *names: str) -> None:
        """`names` in the order in which the terms are computed, so that the first fault is the cause."""
        self.names = names
        self.rows: list[Tensor] = []

    def add(self, *terms: Tensor) -> None:
        """The terms [] of one step."""
        self.rows.append(torch.stack(terms).detach())

    def means(self) -> dict[str, float]:
        """Each term's mean over the steps.

        Raises:
            DivergedError: one of them is not finite; the first is named.
        """
        rows = torch.stack(self.rows)
        for number, row in enumerate(rows.tolist()):
            for name, term in zip(self.names, row, strict=True):
                if not isfinite(term):
                    raise DivergedError(f"{name} became {term} in gradient step {number + 1} of {len(rows)}")
        return dict(zip(self.names, rows.mean(0).tolist(), strict=True))


def check_finite(quantities: Mapping[str, Tensor]) -> None:
    """Refuse to learn from what is not finite.

    Raises:
        DivergedError: names the first of the quantities that is not, and how much of it.
    """
    for name, quantity in quantities.items():
        if not isfinite(quantity.sum().item()):
            faults = int((~torch.isfinite(quantity)).sum())
            if faults:
                raise DivergedError(f"{name} are not finite in {faults} of {quantity.numel()} places")


class RMSpropTF(torch.optim.Optimizer):
    """RMSprop as TensorFlow 1 has it, which A2C was published with: ε inside the root, and v starts at 1.

    v ← α v + (1 − α) g²,  θ ← θ − η g / √(v + ε)

    torch.optim.RMSprop divides by √v + ε instead and starts at 0, which makes the first steps many times larger.
    Source: `tf.train.RMSPropOptimizer`; the difference costs A2C its score (SB3's `RMSpropTFLike`).
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, alpha: float = 0.99, eps: float = 1e-5) -> None:
        super().__init__(weights, {"lr": lr, "alpha": alpha, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step for every weight that has a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["square"] = torch.ones_like(weight)
            squares = [self.state[weight]["square"] for weight in weights]
            torch._foreach_mul_(squares, group["alpha"])
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["alpha"])
            roots = torch._foreach_add(squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_addcdiv_(weights, gradients, roots, -group["lr"])
