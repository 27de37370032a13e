"""Advantage actor-critic: REINFORCE whose returns end in a critic after n steps (Mnih et al. 2016, synchronous).

    L(θ) = −E[log π_θ(a_t|s_t) A_t] + c_v E[(V_θ(s_t) − y_t)² / 2] − c_H E[H(π_θ(·|s_t))]

    A_t = Σ_k (γλ)^k δ_{t+k},   δ_t = r_t + γ V(s_{t+1}) − V(s_t)        Schulman et al. 2016, eq. 16

    λ = 1    A_t = the n-step return − V(s_t), n counted to the end of the rollout      Mnih et al. 2016, section 4
    λ = 0    A_t = r_t + γ V(s_{t+1}) − V(s_t)                                          the preset `td1`

The critic V learns from one of two targets (`critic`):

    mc       y_t = r_t + γ r_{t+1} + … + γ^n V(s_{t+n})    Monte Carlo, as far as the rollout goes
    td       y_t = r_t + γ V(s_{t+1})                      temporal difference: less variance, and V's own bias
    none     there is no V: A_t is the reward-to-go of the rollout, and this is REINFORCE (λ must be 1)

The optimiser is RMSprop as published, with ε inside the root (`RMSpropTF`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn

from sparring.agents import networks, returns
from sparring.agents.descent import RMSpropTF, Terms
from sparring.agents.learner import Learner, Seen, assemble, seen
from sparring.agents.networks import NetworkName
from sparring.agents.policy import Remembered
from sparring.agents.protocol import Experiment, Measured, Preset, Published, Schedule
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.rollouts import Metrics, Rollout
from sparring.envs.worlds import World


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; the defaults are those of OpenAI baselines and the SB3 zoo for Atari."""

    schedule: Schedule
    world: World
    critic: Literal["mc", "td", "none"] = "mc"
    """y_t: what V learns from; see the equations of this module"""
    horizon: int = 5
    """n: steps that every world plays between updates"""
    network: NetworkName = "auto"
    """auto takes the Nature network for images and an MLP for the rest"""
    learning_rate: float = 7e-4
    """of RMSprop"""
    anneal: bool = False
    """let the learning rate fall linearly to zero"""
    gamma: float = 0.99
    """γ: discount per step"""
    gae_lambda: float = 1.0
    """λ of the advantage estimate: 0 is one-step TD, 1 is the n-step return"""
    standardise: bool = False
    """give every batch's advantages mean 0 and standard deviation 1"""
    value_weight: float = 0.5
    """c_v: weight of the value loss (SB3's 0.25, whose loss is twice ours)"""
    entropy_weight: float = 0.01
    """c_H: weight of the entropy bonus"""
    max_gradient_norm: float = 0.5
    """global norm to which gradients are clipped"""
    normalise_observations: bool = False
    """look at numbers through their running mean and deviation; not for images"""
    normalise_rewards: bool = False
    """divide rewards by the running deviation of the return"""
    precision: networks.Precision = "auto"
    """of the network's arithmetic; auto takes bf16 for images where the hardware has it, and fp32 otherwise"""

    def __post_init__(self) -> None:
        check_ranges(self, learning_rate=(0, inf), gamma=(0, 1), gae_lambda=(0, 1), value_weight=(0, inf))
        check_ranges(self, max_gradient_norm=(0, inf))
        if self.standardise and self.horizon * self.world.worlds == 1:
            raise BadInputError("a batch of one step cannot be standardised; take more worlds or a longer horizon")
        if self.critic == "none" and self.gae_lambda != 1:
            raise BadInputError(
                f"gae_lambda is {self.gae_lambda:g}, which mixes in values V(s), and critic is none; "
                "use --gae-lambda 1, or --critic mc or td"
            )


def estimate(c: Config, s: Seen) -> tuple[Tensor, Tensor]:
    """Advantages and value targets, both [T, N]."""
    if c.critic == "none":
        nothing = torch.zeros_like(s.values)
        togo = returns.reward_to_go(s.rewards, s.ended, s.cut, nothing, c.gamma)
        return togo, togo
    advantages = returns.gae(s.rewards, s.ended, s.cut, s.values, s.next_values, c.gamma, c.gae_lambda)
    if c.critic == "td":
        return advantages, s.rewards + c.gamma * torch.where(s.ended, 0.0, s.next_values)
    return advantages, returns.reward_to_go(s.rewards, s.ended, s.cut, s.next_values, c.gamma)


def learn(learner: Learner[Config], batch: Rollout[Remembered]) -> Metrics:
    """One step down L(θ)."""
    c, s = learner.config, seen(learner, batch)
    advantages, targets = (estimated.flatten() for estimated in estimate(c, s))
    if c.standardise:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    distribution, values = learner.network(s.obs.flatten(0, 1))
    policy_loss = -(distribution.log_prob(s.actions.flatten(0, 1)) * advantages).mean()
    value_loss = (values - targets).square().mean() / 2
    entropy = distribution.entropy().mean()
    value_weight = 0.0 if c.critic == "none" else c.value_weight
    norm = learner.descent.step(policy_loss + value_weight * value_loss - c.entropy_weight * entropy)
    terms = Terms("loss/policy", "loss/value", "policy/entropy", "gradient/norm")
    terms.add(policy_loss, value_loss, entropy, norm)
    return terms.means()


SPACE_INVADERS = Config(Schedule(steps=1_000_000, save_every=1000), World("ALE/SpaceInvaders-v5", "ppo2017", 16))
PRESETS = {
    "space-invaders": Preset("baselines' settings for Atari, a tenth as long", SPACE_INVADERS, speed=1_350),
    "atari-10m": Preset(
        "the SB3 zoo's settings",
        replace(SPACE_INVADERS, schedule=Schedule(steps=10_000_000, save_every=5000, games=100)),
        speed=1_350,
        published=Published("627 ± 202", "SB3 zoo, one run, 162 games"),
    ),
    "cartpole": Preset(
        "balances the pole for 500 steps; returns scaled, or their squares would leave the policy no gradient",
        Config(
            Schedule(steps=500_000, save_every=500),
            World("CartPole-v1", "gymnasium", 8),
            horizon=16,
            learning_rate=3e-3,
            anneal=True,
            gae_lambda=0.95,
            standardise=True,
            entropy_weight=0.0,
            normalise_rewards=True,
        ),
        speed=16_000,
        own=Measured(500, 500, 500, "cartpole_seeds", "a2c_score"),
    ),
    "td1": Preset(
        "the lecture's actor-critic: A = r + γ V(s') − V(s), and V by TD",
        Config(
            Schedule(steps=500_000, save_every=500),
            World("CartPole-v1", "gymnasium", 8),
            critic="td",
            horizon=16,
            learning_rate=3e-3,
            anneal=True,
            gae_lambda=0.0,
            entropy_weight=0.0,
            normalise_rewards=True,
        ),
        speed=16_000,
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """A2C on a vector of worlds."""

    def optimiser(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return RMSpropTF(weights, lr=config.learning_rate)

    return assemble(learn, config, optimiser=optimiser, seed=seed, device=device)
