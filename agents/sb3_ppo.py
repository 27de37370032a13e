"""Stable-Baselines3's own PPO under our runner, in our worlds, judged and resumed as ours are.

The equations are those of `ppo`; the code that computes them is SB3's (stable_baselines3/ppo/ppo.py). SB3's value loss
is E[(V − G)²], not half of it, so its `value_weight` of 0.5 weighs the value as 1.0 does in `ppo`. On a CPU a resumed
run equals the uninterrupted one to the last bit. See `sb3` for how the two fit together.

[zoo] is RL Baselines3 Zoo, hyperparams/ppo.yml (Raffin 2020), entries `atari` and `CartPole-v1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from sparring.agents.protocol import Experiment, Measured, Preset, Published, Schedule
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.worlds import World


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; the defaults are [zoo]'s for Atari, and SB3's own where [zoo] names none."""

    schedule: Schedule
    world: World
    horizon: int = 128
    """T: steps that every world plays between updates (SB3: n_steps) [zoo]"""
    network: Literal["auto", "mlp", "nature"] = "auto"
    """SB3's; auto takes its CnnPolicy, the Nature network, for images and its MlpPolicy for the rest"""
    learning_rate: float = 2.5e-4
    """of Adam, with its epsilon at 1e-5 [zoo]"""
    anneal: bool = True
    """let the learning rate fall linearly to zero [zoo: lin_]"""
    gamma: float = 0.99
    """γ: discount per step (SB3's default)"""
    gae_lambda: float = 0.95
    """λ of the advantage estimate (SB3's default)"""
    epochs: int = 4
    """K: passes over each batch (SB3: n_epochs) [zoo]"""
    minibatches: int = 4
    """mini-batches per epoch (SB3: batch_size, here of 256 steps) [zoo]"""
    clip: float = 0.1
    """ε: how far the ratio may leave 1 before its gradient stops (SB3: clip_range) [zoo]"""
    anneal_clip: bool = True
    """let the clip fall linearly to zero as well [zoo: lin_]"""
    standardise: bool = True
    """give every mini-batch's advantages mean 0 and standard deviation 1 (SB3's default)"""
    value_weight: float = 0.5
    """c_v: weight of the value's mean square error (SB3: vf_coef) [zoo]"""
    entropy_weight: float = 0.01
    """c_H: weight of the entropy bonus (SB3: ent_coef) [zoo]"""
    max_gradient_norm: float = 0.5
    """global norm to which gradients are clipped (SB3's default)"""

    def __post_init__(self) -> None:
        check_ranges(self, epochs=(1, inf), minibatches=(1, inf), learning_rate=(0, inf), clip=(0, inf))
        check_ranges(self, gamma=(0, 1), gae_lambda=(0, 1), value_weight=(0, inf), max_gradient_norm=(0, inf))
        batch = self.horizon * self.world.worlds
        if batch % self.minibatches:
            raise BadInputError(
                f"a batch of {batch} steps (horizon {self.horizon} × {self.world.worlds} worlds) does not divide into "
                f"{self.minibatches} equal mini-batches"
            )
        if self.standardise and batch == self.minibatches:
            raise BadInputError(
                f"mini-batches of one step cannot be standardised; {self.minibatches} of {batch} are asked"
            )


SPACE_INVADERS = World("ALE/SpaceInvaders-v5", "ppo2017", 8)  # 8 worlds [zoo]
PRESETS = {
    "space-invaders": Preset(
        "the zoo's settings, as long as the main job of `ppo`",
        Config(Schedule(steps=250_000, games=100), SPACE_INVADERS),
        speed=340,
    ),
    "atari-10m": Preset(
        "the zoo's run",
        Config(Schedule(steps=10_000_000, save_every=250, games=100), SPACE_INVADERS),
        speed=340,
        published=Published("960 ± 425", "SB3 zoo, one run, 136 games"),
    ),
    "cartpole": Preset(
        "balances the pole for 500 steps, with the zoo's settings",
        Config(
            Schedule(steps=100_000, save_every=100),  # steps [zoo]
            World("CartPole-v1", "gymnasium", 8),  # 8 worlds [zoo]
            horizon=32,  # [zoo], and so all below
            learning_rate=1e-3,
            gamma=0.98,
            gae_lambda=0.8,
            epochs=20,
            minibatches=1,
            clip=0.2,
            entropy_weight=0.0,
        ),
        speed=4_500,
        own=Measured(500, 500, 500, "cartpole_seeds", "sb3_ppo_score"),
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """SB3's PPO on a vector of worlds."""
    from stable_baselines3 import PPO  # a second to import, which help does not need

    from sparring.agents import sb3

    def make(policy: str, worlds: sb3.Worlds) -> PPO:
        return PPO(
            policy,
            worlds,
            learning_rate=sb3.falling(config.learning_rate, anneal=config.anneal),
            n_steps=config.horizon,
            batch_size=config.horizon * config.world.worlds // config.minibatches,
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=sb3.falling(config.clip, anneal=config.anneal_clip),
            normalize_advantage=config.standardise,
            ent_coef=config.entropy_weight,
            vf_coef=config.value_weight,
            max_grad_norm=config.max_gradient_norm,
            device=device,
        )

    return sb3.on_policy(make, config, seed=seed, device=device)
