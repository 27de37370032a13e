"""Estimators of return and advantage over T steps of N worlds, time first; every array is [T, N].

    ended  (terminated)  the return stops: what follows is worth 0
    cut    (truncated)   the game was stopped: what would have followed is worth V(last observation)

`next_values[t]` is V of the observation that truly followed step t, whatever the worlds show after their reset; the
functions below multiply it by (1 − ended) themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def reward_to_go(rewards: Tensor, ended: Tensor, cut: Tensor, next_values: Tensor, γ: float) -> Tensor:
    """G_t = r_t + γ G_{t+1}, with V in place of G where the game was cut and where the rollout stops.

    With `next_values` of zeros this is the plain discounted sum of what was seen.
    Source: Sutton & Barto 2018, eq. 3.9 and section 13.3.
    """
    following = next_values[-1]
    returns = torch.empty_like(rewards)
    for t in reversed(range(len(rewards))):
        following = torch.where(cut[t], next_values[t], following)
        following = rewards[t] + γ * torch.where(ended[t], 0.0, following)
        returns[t] = following
    return returns


def episode_return(rewards: Tensor, ended: Tensor, cut: Tensor) -> Tensor:
    """R(τ) = Σ r of the game that a step belongs to, as far as the rollout shows it: the same for all its steps."""
    nothing = torch.zeros_like(rewards)
    returns = reward_to_go(rewards, ended, cut, nothing, 1.0)
    for t in range(1, len(rewards)):
        returns[t] = torch.where(ended[t - 1] | cut[t - 1], returns[t], returns[t - 1])
    return returns


def gae(rewards: Tensor, ended: Tensor, cut: Tensor, values: Tensor, next_values: Tensor, γ: float, λ: float) -> Tensor:
    """A_t = Σ_k (γλ)^k δ_{t+k},  δ_t = r_t + γ V(s_{t+1}) (1 − ended_t) − V(s_t); the sum stops where a game stops.

    λ = 1 gives the Monte-Carlo advantage G_t − V(s_t), λ = 0 the one-step TD error.
    Source: Schulman et al. 2016 (generalised advantage estimation), eq. 16.
    """
    δ = rewards + γ * torch.where(ended, 0.0, next_values) - values
    following = torch.zeros_like(values[-1])
    advantages = torch.empty_like(values)
    for t in reversed(range(len(rewards))):
        following = δ[t] + γ * λ * torch.where(ended[t] | cut[t], 0.0, following)
        advantages[t] = following
    return advantages


class VTrace(NamedTuple):
    """What V-trace makes of a rollout."""

    targets: Tensor  # [T, N] v_t, for the value
    advantages: Tensor  # [T, N] ρ_t (r_t + γ v_{t+1} − V_t), for the policy


def vtrace(
    rewards: Tensor,
    ended: Tensor,
    cut: Tensor,
    values: Tensor,
    next_values: Tensor,
    log_ratios: Tensor,
    γ: float,
    *,
    ρ_max: float = 1.0,
    c_max: float = 1.0,
) -> VTrace:
    """Returns of a policy π from the steps of another one μ; `log_ratios` are log π(a|s) − log μ(a|s).

    ρ_t = min(ρ_max, π/μ),  c_t = min(c_max, π/μ),  δ_t = ρ_t (r_t + γ V_{t+1} − V_t)
    v_t = V_t + δ_t + γ c_t (v_{t+1} − V_{t+1})

    Where a game ends V_{t+1} is 0; where it is cut v_{t+1} = V_{t+1}. With π = μ the targets are the n-step returns.
    Source: Espeholt et al. 2018 (IMPALA), eq. 1 and section 4.2.
    """
    ratios = log_ratios.exp()
    ρ, c = ratios.clamp(max=ρ_max), ratios.clamp(max=c_max)
    following = torch.where(ended, 0.0, next_values)
    δ = ρ * (rewards + γ * following - values)
    over = ended | cut
    more = torch.zeros_like(values[-1])  # v_{t+1} − V_{t+1}
    targets, next_targets = torch.empty_like(values), torch.empty_like(values)
    for t in reversed(range(len(rewards))):
        more = torch.where(over[t], 0.0, more)
        next_targets[t] = following[t] + more
        more = δ[t] + γ * c[t] * more
        targets[t] = values[t] + more
    return VTrace(targets, ρ * (rewards + γ * next_targets - values))


def next_values(values: Tensor, last: Tensor, cut: Tensor, cut_values: Tensor) -> Tensor:
    """V of what followed each step: the next row of `values` [T, N], `last` [N] after the last, V(cut_obs) at the cuts.

    `cut_values` [K] come in the order of `torch.nonzero(cut)`.
    """
    following = torch.cat([values[1:], last[None]])
    following[cut] = cut_values
    return following
