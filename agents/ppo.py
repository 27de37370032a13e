"""Proximal policy optimisation with clipped ratios (Schulman et al. 2017, arXiv 1707.06347).

For K epochs over the same T·N steps, minimise on mini-batches

    L(θ) = −E[min(ρ Â, clip(ρ, 1 − ε, 1 + ε) Â)] + c_v E[(V_θ(s) − G)² / 2] − c_H E[H(π_θ(·|s))]     eq. 9

    ρ = π_θ(a|s) / π_old(a|s)                       the ratio to the policy that acted            eq. 6, 7
    A = Σ_k (γλ)^k δ_{t+k}                          generalised advantage estimation              eq. 11
    Â = (A − mean A) / (std A + 1e-8)               over the mini-batch                           [details, 7]
    G = A + V_old(s)                                the value's target

Adam's learning rate falls linearly to zero (`anneal`); gradients are clipped to a global norm. [details] is
Huang et al. 2022, *The 37 Implementation Details of Proximal Policy Optimization*, by its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparring.agents import networks, returns
from sparring.agents.descent import Terms
from sparring.agents.learner import Learner, Seen, assemble, seen
from sparring.agents.networks import NetworkName
from sparring.agents.policy import Remembered
from sparring.agents.protocol import Experiment, Measured, Preset, Published, Schedule
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.rollouts import Metrics, Rollout
from sparring.envs.worlds import World


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; the defaults are OpenAI baselines' for Atari, which [details] documents."""

    schedule: Schedule
    world: World
    horizon: int = 128
    """T: steps that every world plays between updates (paper, table 5)"""
    network: NetworkName = "auto"
    """auto takes the Nature network for images and an MLP for the rest"""
    learning_rate: float = 2.5e-4
    """of Adam, with its epsilon at 1e-5 [details, 3]"""
    anneal: bool = True
    """let the learning rate fall linearly to zero [details, 4]"""
    anneal_from: float = 0.0
    """share of the run after which it begins to fall"""
    gamma: float = 0.99
    """γ: discount per step"""
    gae_lambda: float = 0.95
    """λ of the advantage estimate: 0 is one-step TD, 1 is Monte Carlo"""
    epochs: int = 4
    """K: passes over each batch (OpenAI baselines; the paper's table 5 has 3)"""
    minibatches: int = 4
    """mini-batches per epoch"""
    clip: float = 0.1
    """ε: how far the ratio may leave 1 before its gradient stops"""
    anneal_clip: bool = False
    """let ε fall linearly to zero with the learning rate (OpenAI baselines and the SB3 zoo, for Atari)"""
    standardise: bool = True
    """give every mini-batch's advantages mean 0 and standard deviation 1 [details, 7]"""
    value_weight: float = 0.5
    """c_v: weight of the value loss"""
    entropy_weight: float = 0.01
    """c_H: weight of the entropy bonus"""
    max_gradient_norm: float = 0.5
    """global norm to which gradients are clipped [details, 11]"""
    normalise_observations: bool = False
    """look at numbers through their running mean and deviation; not for images [continuous details, 5, 6]"""
    normalise_rewards: bool = False
    """divide rewards by the running deviation of the return [continuous details, 7, 8]"""
    precision: networks.Precision = "auto"
    """of the network's arithmetic; auto takes bf16 for images where the hardware has it, and fp32 otherwise"""

    def __post_init__(self) -> None:
        check_ranges(self, epochs=(1, inf), minibatches=(1, inf), learning_rate=(0, inf), clip=(0, inf))
        check_ranges(self, gamma=(0, 1), gae_lambda=(0, 1), value_weight=(0, inf), max_gradient_norm=(0, inf))
        check_ranges(self, anneal_from=(0, 0.999))
        if self.anneal_clip and not self.anneal:
            raise BadInputError("anneal_clip lets the clip fall with the learning rate, which stays: use --anneal too")
        batch = self.horizon * self.world.worlds
        if self.standardise and batch == self.minibatches:
            raise BadInputError(
                f"mini-batches of one step cannot be standardised; {self.minibatches} of {batch} are asked"
            )
        if batch % self.minibatches:
            raise BadInputError(
                f"a batch of {batch} steps (horizon {self.horizon} × {self.world.worlds} worlds) does not divide into "
                f"{self.minibatches} equal mini-batches"
            )


def estimate(c: Config, s: Seen) -> tuple[Tensor, Tensor]:
    """Advantages and value targets, both [T, N]."""
    advantages = returns.gae(s.rewards, s.ended, s.cut, s.values, s.next_values, c.gamma, c.gae_lambda)
    return advantages, advantages + s.values


class Minibatch(NamedTuple):
    """Some of the steps, B of them."""

    seen: Tensor  # [B, …] observations as `network.look` has them
    actions: Tensor  # [B, *action]
    old_log_probs: Tensor  # [B]
    advantages: Tensor  # [B]
    targets: Tensor  # [B]


def loss(learner: Learner[Config], m: Minibatch) -> tuple[Tensor, list[Tensor]]:
    """L(θ) of one mini-batch, and its terms for the record."""
    c, advantages = learner.config, m.advantages
    clip = c.clip * learner.descent.left if c.anneal_clip else c.clip
    if c.standardise:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    distribution, values = learner.network.judge(m.seen)
    ratio = (distribution.log_prob(m.actions) - m.old_log_probs).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
    value_loss = (values - m.targets).square().mean() / 2
    entropy = distribution.entropy().mean()
    whole = policy_loss + c.value_weight * value_loss - c.entropy_weight * entropy
    return whole, [policy_loss, value_loss, entropy, (ratio != clipped).float().mean()]


def learn(learner: Learner[Config], batch: Rollout[Remembered]) -> Metrics:
    """K epochs of mini-batch steps on one rollout."""
    c, s = learner.config, seen(learner, batch)
    advantages, targets = estimate(c, s)
    looked = learner.network.look(s.obs.flatten(0, 1))
    whole = Minibatch(looked, *(field.flatten(0, 1) for field in (s.actions, s.log_probs, advantages, targets)))
    terms = Terms("loss/policy", "loss/value", "policy/entropy", "policy/clipped", "gradient/norm")
    for _ in range(c.epochs):
        order = torch.randperm(targets.numel(), generator=learner.dice.generator, device=learner.device)
        for rows in order.chunk(c.minibatches):
            down, parts = loss(learner, Minibatch(*(field.index_select(0, rows) for field in whole)))
            terms.add(*parts, learner.descent.step(down))
    unexplained = (targets - s.values).var(correction=0) / targets.var(correction=0).clamp(min=1e-8)
    return terms.means() | {"value/explained_variance": 1 - float(unexplained)}


SPACE_INVADERS = World("ALE/SpaceInvaders-v5", "ppo2017", 8)
ATARI_10M = Config(
    Schedule(steps=10_000_000, save_every=250, games=100),
    SPACE_INVADERS,
    anneal_clip=True,
    value_weight=1.0,  # the zoo's 0.5 of a loss twice ours
)
PRESETS = {
    "space-invaders": Preset(
        "the main job of `make train`: clearly above the random policy",
        Config(
            Schedule(steps=250_000, games=100),
            SPACE_INVADERS,
            learning_rate=5e-4,  # twice the paper's for a run a fortieth as long; chosen on an unreported seed
        ),
        speed=690,
        own=Measured(267, 260, 273, "space_invaders_five_minutes"),
    ),
    "atari-10m": Preset(
        "the SB3 zoo's settings",
        ATARI_10M,
        speed=690,
        published=Published("960 ± 425", "SB3 zoo, one run, 136 games"),
    ),
    "atari-10m-impala": Preset(
        "the same with IMPALA's residual network, for a GPU",
        replace(ATARI_10M, network="impala"),
        published=Published("1,709", "rl-algo-impls, 3 seeds, best checkpoint, 16 games"),
    ),
    "atari-cpu-hour": Preset(
        "an hour on two cores: the paper's three epochs, twice its worlds and rate",
        Config(
            Schedule(steps=3_500_000, save_every=100, games=100),
            replace(SPACE_INVADERS, worlds=16),
            learning_rate=5e-4,
            anneal_from=0.6,  # where rate and clip fell from the start, the last quarter taught nothing (seed 0)
            epochs=3,
            minibatches=8,
        ),
        speed=1_000,
        own=Measured(690, 660, 723, "space_invaders_cpu_hour"),
    ),
    "cartpole": Preset(
        "balances the pole for 500 steps; the zoo's settings, but a constant clip",
        Config(
            Schedule(steps=100_000, save_every=100),
            World("CartPole-v1", "gymnasium", 8),
            horizon=32,
            learning_rate=1e-3,
            gamma=0.98,
            gae_lambda=0.8,
            epochs=20,
            minibatches=1,
            clip=0.2,
            entropy_weight=0.0,
        ),
        speed=6_000,
        own=Measured(500, 500, 500, "cartpole_seeds", "ppo_score"),
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """PPO on a vector of worlds."""

    def optimiser(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=config.learning_rate, eps=1e-5, fused=True)

    return assemble(learn, config, optimiser=optimiser, seed=seed, device=device, level=config.anneal_from)
