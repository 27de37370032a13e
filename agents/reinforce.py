"""REINFORCE: make each action as likely as the return that followed it deserves (Williams 1992).

    ∇J(θ) = E[Σ_t ∇ log π_θ(a_t|s_t) (G_t − b(s_t))]        Sutton & Barto 2018, eq. 13.11
    G_t   = Σ_k γ^k r_{t+k}                                  the discounted reward-to-go, until the game ends

The baseline b leaves the expectation as it is and takes variance away:

    none     b = 0
    mean     b = the batch's mean return
    value    b = V_θ(s_t), learned by min (V_θ(s_t) − G_t)² / 2

A rollout stops after T steps, in the middle of some games. With a value baseline V stands for the return that was not
seen; without one the return is what was seen, which makes the last steps look worse than they were: choose T many
games long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from sparring.agents import networks, returns
from sparring.agents.assemble import assemble, seen
from sparring.agents.descent import Descent
from sparring.agents.networks import ActorCritic, NetworkName
from sparring.agents.policy import Dice, Policy, Remembered, log_prob_and_entropy
from sparring.agents.protocol import Experiment, Preset, Schedule, Stateful
from sparring.envs.errors import check_ranges
from sparring.envs.rollouts import Acts, Metrics, Rollout
from sparring.envs.worlds import Array, World


@dataclass(frozen=True)
class Config:
    """Hyper-parameters."""

    schedule: Schedule
    world: World
    horizon: int = 512
    """T: steps that every world plays between updates"""
    network: NetworkName = "auto"
    """auto takes the Nature network for images and an MLP for the rest"""
    learning_rate: float = 1e-3
    """of Adam"""
    anneal: bool = True
    """let the learning rate fall linearly to zero"""
    gamma: float = 0.99
    """γ: discount per step"""
    baseline: Literal["none", "mean", "value"] = "value"
    """b: what is taken from the return; see the equations of this module"""
    standardise: bool = True
    """divide each batch's advantages by their standard deviation, after taking away their mean"""
    value_weight: float = 0.5
    """weight of the value loss, with --baseline value"""
    entropy_weight: float = 0.01
    """weight of the entropy bonus"""
    max_gradient_norm: float = 0.5
    """global norm to which gradients are clipped"""
    precision: networks.Precision = "fp32"
    """bf16 computes the network faster where the hardware has it, which is where auto takes it"""

    def __post_init__(self) -> None:
        check_ranges(self, learning_rate=(0, inf), gamma=(0, 1), value_weight=(0, inf), max_gradient_norm=(0, inf))


class Reinforce:
    """An Algorithm: a policy network (with a value head), Adam, and the dice that act."""

    def __init__(
        self, config: Config, network: ActorCritic, *, clip_reward: bool, updates: int, seed: int, device: str
    ) -> None:
        self.config = config
        self.network = network.to(device)
        adam = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
        anneal_over = updates if config.anneal else None
        self.descent = Descent(adam, max_norm=config.max_gradient_norm, updates=anneal_over)
        self.dice = Dice(seed, device)
        self.clip_reward = clip_reward
        self.device = device
        self.policy = Policy(network, self.dice, device)

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Remembered]:
        """Observations [N, *obs] → actions [N]."""
        return self.policy.act(obs, greedy=greedy)

    def player(self, seed: int) -> Policy:
        """The present policy with dice of its own."""
        return Policy(self.network, Dice(seed, self.device), self.device)

    def parts(self) -> Mapping[str, Stateful]:
        """What must survive a crash."""
        return {"network": self.network, "descent": self.descent, "dice": self.dice}

    def update(self, batch: Rollout[Remembered]) -> Metrics:
        """One step up the estimated gradient."""
        c = self.config
        self.descent.begin_update()
        obs = torch.as_tensor(batch.obs[:-1], device=self.device).flatten(0, 1)
        actions = torch.as_tensor(batch.actions, device=self.device).flatten()
        targets = self.targets(batch).flatten()
        logits, values = self.network(obs)
        log_probs, entropy = log_prob_and_entropy(logits, actions)
        advantages = targets - self.baseline(targets, values.detach())
        if c.standardise:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy_loss = -(log_probs * advantages).mean()
        value_loss = (values - targets).square().mean() / 2
        value_weight = c.value_weight if c.baseline == "value" else 0.0
        loss = policy_loss + value_weight * value_loss - c.entropy_weight * entropy.mean()
        norm = self.descent.step(loss)
        terms = torch.stack([policy_loss, value_loss, entropy.mean(), norm, targets.mean()]).tolist()
        names = ("loss/policy", "loss/value", "policy/entropy", "gradient/norm", "return/mean")
        return dict(zip(names, terms, strict=True))

    def baseline(self, targets: Tensor, values: Tensor) -> Tensor:
        """b(s_t) [B]."""
        return {"none": torch.zeros_like(targets), "mean": targets.mean().expand_as(targets), "value": values}[
            self.config.baseline
        ]

    def targets(self, batch: Rollout[Remembered]) -> Tensor:
        """G_t [T, N]."""
        rewards, ended, cut, _, following = seen(batch, self.network, clip_reward=self.clip_reward, device=self.device)
        unseen = following if self.config.baseline == "value" else torch.zeros_like(following)
        return returns.reward_to_go(rewards, ended, cut, unseen, self.config.gamma)


PRESETS = {
    "space-invaders": Preset(
        "the oldest policy gradient on a real Atari game; 146 steps of a large batch",
        Config(
            Schedule(steps=600_000, save_every=20),
            World("ALE/SpaceInvaders-v5", "ppo2017", 32),
            horizon=128,
            precision="auto",
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
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """REINFORCE on a vector of worlds."""
    return assemble(Reinforce, config, seed=seed, device=device)
