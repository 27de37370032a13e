"""IMPALA's learner: an actor-critic whose V-trace returns forgive a policy that has moved on (Espeholt et al. 2018).

    L(θ) = Σ −log π_θ(a_t|s_t) ρ_t (r_t + γ v_{t+1} − V_θ(s_t))  +  c_v Σ (V_θ(s_t) − v_t)² / 2  −  c_H Σ H(π_θ(·|s_t))

    ρ_t = min(ρ̄, π_θ(a_t|s_t) / μ(a_t|s_t)),  c_t = min(c̄, …)       μ is the policy that acted
    v_t = V_t + δ_t + γ c_t (v_{t+1} − V_{t+1}),  δ_t = ρ_t (r_t + γ V_{t+1} − V_t)         section 4.1, eq. 1

Many worlds play short unrolls; a batch is parted by worlds into mini-batches, each a gradient step, and what the
earlier steps changed in π is what ρ and c correct. Losses are sums over the steps of a mini-batch, as in the paper's
code: `max_gradient_norm` and the optimiser's ε are meant for sums over some 640 steps.
Settings: Cleanba (Huang et al. 2023), which reports 28,766 points after 50M steps with the network `impala`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor, nn

from sparring.agents import networks, returns
from sparring.agents.descent import Terms
from sparring.agents.learner import Learner, Seen, assemble, seen
from sparring.agents.networks import NetworkName
from sparring.agents.policy import Remembered
from sparring.agents.protocol import Experiment, Preset, Published, Schedule
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.rollouts import Metrics, Rollout
from sparring.envs.worlds import World


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; the defaults are Cleanba's for Atari."""

    schedule: Schedule
    world: World
    horizon: int = 20
    """T: steps of an unroll"""
    network: NetworkName = "auto"
    """auto takes the Nature network for images and an MLP for the rest"""
    learning_rate: float = 6e-4
    """of RMSprop, with its ε at 0.01"""
    anneal: bool = True
    """let the learning rate fall linearly to zero"""
    gamma: float = 0.99
    """γ: discount per step"""
    rho_max: float = 1.0
    """ρ̄: bound of the ratios that decide what V converges to"""
    c_max: float = 1.0
    """c̄: bound of the ratios that decide how fast"""
    minibatches: int = 4
    """parts of a batch, each a gradient step of its own"""
    value_weight: float = 0.5
    """c_v: weight of the value loss"""
    entropy_weight: float = 0.01
    """c_H: weight of the entropy bonus"""
    max_gradient_norm: float = 40.0
    """global norm to which the gradients of summed losses are clipped"""
    normalise_observations: bool = False
    """look at numbers through their running mean and deviation; not for images"""
    normalise_rewards: bool = False
    """divide rewards by the running deviation of the return"""
    precision: networks.Precision = "auto"
    """of the network's arithmetic; auto takes bf16 for images where the hardware has it, and fp32 otherwise"""

    def __post_init__(self) -> None:
        check_ranges(self, learning_rate=(0, inf), gamma=(0, 1), rho_max=(0, inf), c_max=(0, inf))
        check_ranges(self, minibatches=(1, inf), value_weight=(0, inf), max_gradient_norm=(0, inf))
        if self.world.worlds % self.minibatches:
            raise BadInputError(
                f"{self.world.worlds} worlds do not divide into {self.minibatches} equal mini-batches; "
                "whole unrolls stay together"
            )


def loss(learner: Learner[Config], s: Seen) -> tuple[Tensor, list[Tensor]]:
    """L(θ) of some worlds' unrolls, and its terms a step for the record.

    What follows the last step, or a cut, is valued as it was when the update began.
    """
    c, steps = learner.config, s.rewards.numel()
    distribution, flat_values = learner.network(s.obs.flatten(0, 1))
    log_probs, values = distribution.log_prob(s.actions.flatten(0, 1)).view_as(s.values), flat_values.view_as(s.values)
    with torch.no_grad():
        following = torch.where(s.cut, s.next_values, torch.cat([values[1:], s.next_values[-1:]]))
        log_ratios = log_probs - s.log_probs
        targets, advantages = returns.vtrace(
            s.rewards, s.ended, s.cut, values, following, log_ratios, c.gamma, ρ_max=c.rho_max, c_max=c.c_max
        )
    policy_loss = -(log_probs * advantages).sum()
    value_loss = (values - targets).square().sum() / 2
    entropy = distribution.entropy().sum()
    whole = policy_loss + c.value_weight * value_loss - c.entropy_weight * entropy
    return whole, [policy_loss / steps, value_loss / steps, entropy / steps, log_ratios.exp().mean()]


def learn(learner: Learner[Config], batch: Rollout[Remembered]) -> Metrics:
    """One gradient step on each mini-batch of worlds."""
    s = seen(learner, batch)
    terms = Terms("loss/policy", "loss/value", "policy/entropy", "policy/ratio", "gradient/norm")
    order = torch.randperm(s.rewards.shape[1], generator=learner.dice.generator, device=learner.device)
    for columns in order.chunk(learner.config.minibatches):
        whole, parts = loss(learner, Seen(*(field.index_select(1, columns) for field in s)))
        terms.add(*parts, learner.descent.step(whole))
    return terms.means()


SPACE_INVADERS = Config(Schedule(steps=1_000_000, save_every=100), World("ALE/SpaceInvaders-v5", "ppo2017", 32))
PRESETS = {
    "space-invaders": Preset("Cleanba's settings with fewer worlds, a fiftieth as long", SPACE_INVADERS, speed=1_750),
    "atari-cpu-hour": Preset(
        "an hour on two cores with the same settings",
        replace(SPACE_INVADERS, schedule=Schedule(steps=6_000_000, save_every=250, games=100)),
        speed=1_750,
    ),
    "atari-50m": Preset(
        "Cleanba's run, for a GPU: the residual network, all actions, sticky ones",
        replace(
            SPACE_INVADERS,
            schedule=Schedule(steps=50_000_000, save_every=1_000, games=100),
            world=World("ALE/SpaceInvaders-v5", "machado2018", 128),
            network="impala",
        ),
        published=Published("28,766 ± 1,052", "Cleanba's V-trace, 3 seeds"),
    ),
    "cartpole": Preset(
        "balances the pole for 500 steps",
        Config(
            Schedule(steps=500_000, save_every=100),
            World("CartPole-v1", "gymnasium", 16),
            learning_rate=2e-3,
            entropy_weight=0.0,
        ),
        speed=20_000,
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """V-trace on a vector of worlds."""

    def optimiser(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(weights, lr=config.learning_rate, eps=0.01, foreach=True)

    return assemble(learn, config, optimiser=optimiser, seed=seed, device=device)
