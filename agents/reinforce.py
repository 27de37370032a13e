"""REINFORCE, every rung: make each action as likely as what came of it deserves (Williams 1992).

    ∇J(θ) ≈ mean over steps of ∇ log π_θ(a_t|s_t) A_t          Sutton & Barto 2018, eq. 13.6 and 13.11

The ladder is in A_t (`advantage`); each rung repairs what is wrong with the one before:

    immediate    A_t = r_t                      credits an action with nothing that happens later: biased
    episode      A_t = Σ_k r_k                  the whole game's return: unbiased, and all noise
    to-go        A_t = Σ_{k≥t} r_k              an action does not change the past
    discounted   A_t = G_t = Σ_{k≥t} γ^{k−t} r_k    what is far away has other causes
    constant     A_t = G_t − b                  b = the mean G of the first batch; "better than nothing" is no praise
    running      A_t = G_t − b                  b = the running mean of G over the batches before
    value        A_t = G_t − V_θ(s_t)           better than expected *here*; V learned by min (V_θ(s_t) − G_t)² / 2

A baseline that does not depend on the action leaves the expectation as it is and takes variance away (eq. 13.11).

A rollout stops after T steps, in the middle of some games. With a value V stands for the return that was not seen;
without one the return is what was seen, which makes the last steps of a rollout look worse than they were, and
`episode` credits only the part of a game that lies in the rollout: choose T many games long, or know what you do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn

from sparring.agents import networks, returns
from sparring.agents.descent import Terms
from sparring.agents.learner import Learner, Seen, assemble, seen
from sparring.agents.networks import NetworkName
from sparring.agents.policy import Remembered
from sparring.agents.protocol import Experiment, Preset, Schedule
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.rollouts import Metrics, Rollout
from sparring.envs.worlds import World

Advantage = Literal["immediate", "episode", "to-go", "discounted", "constant", "running", "value"]
MEMORY = 0.9  # share of the old in the running baseline


@dataclass(frozen=True)
class Config:
    """Hyper-parameters."""

    schedule: Schedule
    world: World
    advantage: Advantage = "value"
    """A_t: the rung of the ladder; see the equations of this module"""
    horizon: int = 512
    """T: steps that every world plays between updates"""
    network: NetworkName = "auto"
    """auto takes the Nature network for images and an MLP for the rest"""
    learning_rate: float = 1e-3
    """of Adam"""
    anneal: bool = True
    """let the learning rate fall linearly to zero"""
    gamma: float = 0.99
    """γ: discount per step, from the rung `discounted` on"""
    standardise: bool = True
    """divide each batch's advantages by their standard deviation, after taking away their mean"""
    value_weight: float = 0.5
    """weight of the value loss, on the rung `value`"""
    entropy_weight: float = 0.01
    """weight of the entropy bonus"""
    max_gradient_norm: float = 0.5
    """global norm to which gradients are clipped"""
    normalise_observations: bool = False
    """look at numbers through their running mean and deviation; not for images"""
    normalise_rewards: bool = False
    """divide rewards by the running deviation of the return"""
    precision: networks.Precision = "auto"
    """of the network's arithmetic; auto takes bf16 for images where the hardware has it, and fp32 otherwise"""

    def __post_init__(self) -> None:
        check_ranges(self, learning_rate=(0, inf), gamma=(0, 1), value_weight=(0, inf), max_gradient_norm=(0, inf))
        if self.standardise and self.horizon * self.world.worlds == 1:
            raise BadInputError("a batch of one step cannot be standardised; take more worlds or a longer horizon")


class Baseline(nn.Module):
    """b of the rungs `constant` and `running`: it knows the batches before, never the present one."""

    value: Tensor  # []
    batches: Tensor  # [] seen so far

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def observe(self, mean: Tensor, *, constant: bool) -> None:
        """Count a batch's mean return []."""
        keep = 0.0 if self.batches == 0 else 1.0 if constant else MEMORY
        self.value.mul_(keep).add_(mean, alpha=1 - keep)
        self.batches += 1


def returns_of(c: Config, s: Seen) -> Tensor:
    """G_t [T, N] as the rung has it, before any baseline."""
    unseen = s.next_values if c.advantage == "value" else torch.zeros_like(s.rewards)
    if c.advantage == "immediate":
        return s.rewards
    if c.advantage == "episode":
        return returns.episode_return(s.rewards, s.ended, s.cut)
    return returns.reward_to_go(s.rewards, s.ended, s.cut, unseen, 1.0 if c.advantage == "to-go" else c.gamma)


def baseline(c: Config, values: Tensor, b: Tensor) -> Tensor:
    """What is taken from the return: V(s_t) [T, N], b [], or nothing."""
    if c.advantage == "value":
        return values
    return b if c.advantage in ("constant", "running") else torch.zeros_like(b)


def learn(learner: Learner[Config], batch: Rollout[Remembered]) -> Metrics:
    """One step up the estimated gradient."""
    c, s = learner.config, seen(learner, batch)
    kept = learner.kept["baseline"]
    assert isinstance(kept, Baseline)
    targets = returns_of(c, s)
    distribution, values = learner.network(s.obs.flatten(0, 1))
    advantages = (targets - baseline(c, values.detach().view_as(targets), kept.value)).flatten()
    kept.observe(targets.mean(), constant=c.advantage == "constant")
    if c.standardise:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy_loss = -(distribution.log_prob(s.actions.flatten(0, 1)) * advantages).mean()
    value_loss = (values - targets.flatten()).square().mean() / 2
    entropy = distribution.entropy().mean()
    value_weight = c.value_weight if c.advantage == "value" else 0.0
    norm = learner.descent.step(policy_loss + value_weight * value_loss - c.entropy_weight * entropy)
    terms = Terms("return/mean", "loss/policy", "loss/value", "policy/entropy", "gradient/norm")
    terms.add(targets.mean(), policy_loss, value_loss, entropy, norm)
    return terms.means()


PRESETS = {
    "space-invaders": Preset(
        "the oldest policy gradient on a real Atari game, in large batches",
        Config(
            Schedule(steps=600_000, save_every=20),
            World("ALE/SpaceInvaders-v5", "ppo2017", 32),
            horizon=128,
        ),
    ),
    "cartpole": Preset(
        "balances the pole for 500 steps",
        Config(
            Schedule(steps=600_000, save_every=20),
            World("CartPole-v1", "gymnasium", 8),
            learning_rate=5e-3,
            entropy_weight=0.0,
        ),
        speed=20_000,
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """REINFORCE on a vector of worlds."""

    def optimiser(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=config.learning_rate, fused=True)

    return assemble(learn, config, optimiser=optimiser, seed=seed, device=device, kept={"baseline": Baseline()})
