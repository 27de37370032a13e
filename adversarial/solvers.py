"""Solutions of matrix games by other means than gradients, as references: x pays y the amount xᵀAy.

regret matching    play what you regret not having played; averages converge          Hart & Mas-Colell 2000
mirror descent     multiplicative weights; averages converge                          Freund & Schapire 1999
solved             a linear programme, exact                                          von Neumann 1928
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def regret_matching(payoff: Numbers, rounds: int) -> tuple[Numbers, Numbers]:
    """Average strategies of both after playing each action in proportion to its regret (Hart & Mas-Colell 2000)."""
    regrets = [np.zeros(side) for side in payoff.shape]
    regrets[0][0] = 1e-3  # somewhere off the uniform strategy, which may be the answer
    totals = [np.zeros(side) for side in payoff.shape]
    for _ in range(rounds):
        x, y = (_proportional(regret) for regret in regrets)
        paid = x @ payoff @ y
        regrets[0] += paid - payoff @ y
        regrets[1] += x @ payoff - paid
        totals[0] += x
        totals[1] += y
    return totals[0] / rounds, totals[1] / rounds


def _proportional(regret: Numbers) -> Numbers:
    gained = regret.clip(min=0)
    whole = gained.sum()
    return gained / whole if whole > 0 else np.full(len(regret), 1 / len(regret))


def mirror_descent(payoff: Numbers, rounds: int, rate: float) -> tuple[Numbers, Numbers]:
    """Average strategies after rounds of multiplicative weights, p ← p e^{∓η gradient} / Σ (Freund & Schapire 1999)."""
    logits = [np.zeros(side) for side in payoff.shape]
    logits[0][0] = 1.0  # somewhere off the uniform strategy, which may be the answer
    totals = [np.zeros(side) for side in payoff.shape]
    for _ in range(rounds):
        x, y = (np.exp(one - one.max()) / np.exp(one - one.max()).sum() for one in logits)
        logits[0] -= rate * payoff @ y
        logits[1] += rate * x @ payoff
        totals[0] += x
        totals[1] += y
    return totals[0] / rounds, totals[1] / rounds


def solved(payoff: Numbers) -> tuple[Numbers, Numbers, float]:
    """Equilibrium strategies of both and the value that x pays, by linear programming."""
    from scipy.optimize import linprog

    def side(matrix: Numbers) -> tuple[Numbers, float]:
        """min over p of max over columns of pᵀM."""
        m, n = matrix.shape
        cost = np.append(np.zeros(m), 1.0)
        below = np.hstack([matrix.T, -np.ones((n, 1))])
        whole = np.append(np.ones(m), 0.0)[None]
        found = linprog(cost, below, np.zeros(n), whole, [1.0], [(0, None)] * m + [(None, None)])
        return found.x[:m], float(found.fun)

    x, value = side(payoff)
    y, _ = side(-payoff.T)
    return x, y, value
