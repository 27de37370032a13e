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

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from sparring.agents import networks, returns
from sparring.agents.assemble import assemble, seen
from sparring.agents.descent import Descent
from sparring.agents.networks import ActorCritic, NetworkName
from sparring.agents.policy import Dice, Policy, Remembered, log_prob_and_entropy
from sparring.agents.protocol import Experiment, Preset, Schedule, Stateful
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.rollouts import Acts, Metrics, Rollout
from sparring.envs.worlds import Array, World


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
    standardise: bool = True
    """give every mini-batch's advantages mean 0 and standard deviation 1 [details, 7]"""
    value_weight: float = 0.5
    """c_v: weight of the value loss"""
    entropy_weight: float = 0.01
    """c_H: weight of the entropy bonus"""
    max_gradient_norm: float = 0.5
    """global norm to which gradients are clipped [details, 11]"""
    precision: networks.Precision = "fp32"
    """bf16 computes the network faster where the hardware has it, which is where auto takes it"""

    def __post_init__(self) -> None:
        check_ranges(self, epochs=(1, inf), minibatches=(1, inf), learning_rate=(0, inf), clip=(0, inf))
        check_ranges(self, gamma=(0, 1), gae_lambda=(0, 1), value_weight=(0, inf), max_gradient_norm=(0, inf))
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


class PPO:
    """An Algorithm: policy and value network, Adam, and the dice that act and shuffle."""

    def __init__(
        self, config: Config, network: ActorCritic, *, clip_reward: bool, updates: int, seed: int, device: str
    ) -> None:
        self.config = config
        self.network = network.to(device)
        adam = torch.optim.Adam(network.parameters(), lr=config.learning_rate, eps=1e-5, fused=True)
        anneal_over = updates if config.anneal else None
        self.descent = Descent(adam, max_norm=config.max_gradient_norm, updates=anneal_over)
        self.dice = Dice(seed, device)
        self.clip_reward = clip_reward
        self.device = device
        self.policy = Policy(network, self.dice, device)

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Remembered]:
        """Observations [N, *obs] → actions [N], with log π_old(a|s) and V_old(s)."""
        return self.policy.act(obs, greedy=greedy)

    def player(self, seed: int) -> Policy:
        """The present policy with dice of its own."""
        return Policy(self.network, Dice(seed, self.device), self.device)

    def parts(self) -> Mapping[str, Stateful]:
        """What must survive a crash."""
        return {"network": self.network, "descent": self.descent, "dice": self.dice}

    def update(self, batch: Rollout[Remembered]) -> Metrics:
        """K epochs of mini-batch steps on one rollout."""
        c = self.config
        self.descent.begin_update()
        advantages, targets = self.estimate(batch)
        obs = torch.as_tensor(batch.obs[:-1], device=self.device).flatten(0, 1)
        actions = torch.as_tensor(batch.actions, device=self.device).flatten()
        old_log_probs = torch.as_tensor(batch.memory.log_prob, device=self.device).flatten()
        sums = torch.zeros(5, device=self.device)
        for _ in range(c.epochs):
            order = torch.randperm(len(obs), generator=self.dice.generator, device=self.device)
            for rows in order.chunk(c.minibatches):
                loss, terms = self.loss(obs[rows], actions[rows], old_log_probs[rows], advantages[rows], targets[rows])
                sums += torch.stack([*terms, self.descent.step(loss)])
        means = (sums / (c.epochs * c.minibatches)).tolist()
        names = ("loss/policy", "loss/value", "policy/entropy", "policy/clipped", "gradient/norm")
        unexplained = (targets - torch.as_tensor(batch.memory.value, device=self.device).flatten()).var()
        explained = 1 - float(unexplained / targets.var().clamp(min=1e-8))
        return dict(zip(names, means, strict=True)) | {"value/explained_variance": explained}

    def loss(
        self, obs: Tensor, actions: Tensor, old_log_probs: Tensor, advantages: Tensor, targets: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """L(θ) of one mini-batch, and its terms for the record; every argument has B rows."""
        c = self.config
        if c.standardise:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        logits, values = self.network(obs)
        log_probs, entropy = log_prob_and_entropy(logits, actions)
        ratio = (log_probs - old_log_probs).exp()
        clipped = ratio.clamp(1 - c.clip, 1 + c.clip)
        policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
        value_loss = (values - targets).square().mean() / 2
        loss = policy_loss + c.value_weight * value_loss - c.entropy_weight * entropy.mean()
        share_clipped = (ratio != clipped).float().mean()
        return loss, [term.detach() for term in (policy_loss, value_loss, entropy.mean(), share_clipped)]

    def estimate(self, batch: Rollout[Remembered]) -> tuple[Tensor, Tensor]:
        """Advantages and value targets, both [T·N]."""
        c = self.config
        rewards, ended, cut, values, following = seen(
            batch, self.network, clip_reward=self.clip_reward, device=self.device
        )
        advantages = returns.gae(rewards, ended, cut, values, following, c.gamma, c.gae_lambda)
        return advantages.flatten(), (advantages + values).flatten()


PRESETS = {
    "space-invaders": Preset(
        "about five minutes on two cores with bf16; clearly above the random policy",
        Config(
            Schedule(steps=250_000, games=100),
            World("ALE/SpaceInvaders-v5", "ppo2017", 8),
            learning_rate=5e-4,  # twice the paper's for a run a fortieth as long; chosen on an unreported seed
            precision="auto",
        ),
    ),
    "cartpole": Preset(
        "balances the pole for 500 steps, with the settings of the SB3 zoo (but a constant clip)",
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
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """PPO on a vector of worlds."""
    return assemble(PPO, config, seed=seed, device=device)
