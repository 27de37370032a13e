"""Stable-Baselines3's own A2C under our runner, in our worlds, judged and resumed as ours are.

One step of RMSprop down the loss of each short rollout (Mnih et al. 2016, arXiv 1602.01783):

    L(θ) = −E[A log π_θ(a|s)] + c_v E[(V_θ(s) − G)²] − c_H E[H(π_θ(·|s))]
    A = Σ_k (γλ)^k δ_{t+k},  G = A + V(s)           λ = 1: returns of up to T steps, as published

The code that computes it is SB3's (stable_baselines3/a2c/a2c.py). On a CPU a resumed run equals the uninterrupted one
to the last bit. See `sb3` for how the two fit together.

[zoo] is RL Baselines3 Zoo, hyperparams/a2c.yml (Raffin 2020), entries `atari` and `CartPole-v1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from sparring.agents.protocol import Experiment, Measured, Preset, Published, Schedule
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.worlds import World


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; the defaults are [zoo]'s for Atari, and SB3's own where [zoo] names none."""

    schedule: Schedule
    world: World
    horizon: int = 5
    """T: steps that every world plays between updates (SB3: n_steps; its default)"""
    network: Literal["auto", "mlp", "nature"] = "auto"
    """SB3's; auto takes its CnnPolicy, the Nature network, for images and its MlpPolicy for the rest"""
    learning_rate: float = 7e-4
    """of RMSprop (SB3's default)"""
    anneal: bool = False
    """let the learning rate fall linearly to zero; SB3's default is to leave it"""
    rmsprop: Literal["torch", "tensorflow"] = "tensorflow"
    """whose: TensorFlow's has the epsilon inside the root and starts at ones (SB3: RMSpropTFLike) [zoo]"""
    epsilon: float = 1e-5
    """of RMSprop [zoo]"""
    gamma: float = 0.99
    """γ: discount per step (SB3's default)"""
    gae_lambda: float = 1.0
    """λ of the advantage estimate: 0 is one-step TD, 1 is Monte Carlo (SB3's default)"""
    standardise: bool = False
    """give every batch's advantages mean 0 and standard deviation 1; SB3's default is not to"""
    value_weight: float = 0.25
    """c_v: weight of the value's mean square error (SB3: vf_coef) [zoo]"""
    entropy_weight: float = 0.01
    """c_H: weight of the entropy bonus (SB3: ent_coef) [zoo]"""
    max_gradient_norm: float = 0.5
    """global norm to which gradients are clipped (SB3's default)"""

    def __post_init__(self) -> None:
        check_ranges(self, learning_rate=(0, inf), epsilon=(0, inf), gamma=(0, 1), gae_lambda=(0, 1))
        check_ranges(self, value_weight=(0, inf), max_gradient_norm=(0, inf))
        if self.standardise and self.horizon * self.world.worlds == 1:
            raise BadInputError("a batch of one step cannot be standardised; raise --horizon or --worlds")


SPACE_INVADERS = World("ALE/SpaceInvaders-v5", "ppo2017", 16)  # 16 worlds [zoo]
PRESETS = {
    "space-invaders": Preset(
        "the zoo's settings, as long as the main job of `ppo`",
        Config(Schedule(steps=250_000, save_every=1_000, games=100), SPACE_INVADERS),
        speed=700,
    ),
    "atari-10m": Preset(
        "the zoo's run",
        Config(Schedule(steps=10_000_000, save_every=5_000, games=100), SPACE_INVADERS),
        speed=700,
        published=Published("627 ± 202", "SB3 zoo, one run, 162 games"),
    ),
    "cartpole": Preset(
        "balances the pole for 500 steps, with the zoo's settings",
        Config(
            Schedule(steps=500_000, save_every=2_500),  # steps [zoo]
            World("CartPole-v1", "gymnasium", 8),  # 8 worlds [zoo]
            rmsprop="torch",  # SB3's defaults, but the entropy [zoo]
            value_weight=0.5,
            entropy_weight=0.0,
        ),
        speed=9_000,
        own=Measured(500, 500, 500, "cartpole_seeds", "sb3_a2c_score"),
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """SB3's A2C on a vector of worlds."""
    import torch
    from stable_baselines3 import A2C  # a second to import, which help does not need
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

    from sparring.agents import sb3

    optimisers: dict[str, Any] = {"torch": torch.optim.RMSprop, "tensorflow": RMSpropTFLike}
    optimiser = {
        "optimizer_class": optimisers[config.rmsprop],
        "optimizer_kwargs": {"alpha": 0.99, "eps": config.epsilon, "weight_decay": 0},
    }

    def make(policy: str, worlds: sb3.Worlds) -> A2C:
        return A2C(
            policy,
            worlds,
            learning_rate=sb3.falling(config.learning_rate, anneal=config.anneal),
            n_steps=config.horizon,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            normalize_advantage=config.standardise,
            ent_coef=config.entropy_weight,
            vf_coef=config.value_weight,
            max_grad_norm=config.max_gradient_norm,
            policy_kwargs=optimiser,
            device=device,
        )

    return sb3.on_policy(make, config, seed=seed, device=device)
