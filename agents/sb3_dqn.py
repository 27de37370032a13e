"""Stable-Baselines3's own DQN under our runner, in our worlds, judged and resumed as ours are.

Learn the value of each action from a replay buffer of what was played (Mnih et al. 2015, Nature 518):

    y = r + γ max_a' Q_target(s', a')               y = r where the game ended
    L(θ) = E[Huber(Q_θ(s, a) − y)]

and play the best action, or with probability ε any action; ε falls linearly to `exploration_final`, and an evaluation
plays with that final ε. The code that computes it is SB3's (stable_baselines3/dqn/dqn.py). The buffer is not saved: a
resume plays its steps again from their seeds and actions, a minute for each 100,000 on Atari, and on a CPU equals the
uninterrupted run to the last bit. See `sb3` and `sb3_replay` for how it fits together.

[zoo] is RL Baselines3 Zoo, hyperparams/dqn.yml (Raffin 2020), entries `atari` and `CartPole-v1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from sparring.agents.protocol import Experiment, Preset, Schedule
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.worlds import World


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; the defaults are [zoo]'s for Atari, and SB3's own where [zoo] names none."""

    schedule: Schedule
    world: World
    horizon: int = 400
    """T: steps that every world plays in one update, the unit of reports and saves; SB3 trains several times in it"""
    network: Literal["auto", "mlp", "nature"] = "auto"
    """SB3's; auto takes its CnnPolicy, the Nature network, for images and its MlpPolicy for the rest"""
    hidden_units: int = 64
    """units in each of the MLP's two hidden layers (SB3's default)"""
    learning_rate: float = 1e-4
    """of Adam [zoo]"""
    gamma: float = 0.99
    """γ: discount per step (SB3's default)"""
    buffer_size: int = 100_000
    """steps that the replay buffer holds [zoo]; on Atari 100,000 take 2.8 GB, and a resume plays them again"""
    save_memory: bool = True
    """store each picture once, not twice (SB3: optimize_memory_usage); a game that is cut then counts as ended"""
    learning_starts: int = 100_000
    """steps of random play before the first training [zoo]"""
    train_every: int = 4
    """steps of every world between trainings (SB3: train_freq) [zoo]"""
    gradient_steps: int = 1
    """mini-batches in a training [zoo]"""
    batch_size: int = 32
    """steps in a mini-batch [zoo]"""
    target_every: int = 1_000
    """steps between copies of Q to Q_target (SB3: target_update_interval) [zoo]"""
    exploration_fraction: float = 0.1
    """share of the run in which ε falls [zoo]"""
    exploration_initial: float = 1.0
    """ε at the start (SB3's default)"""
    exploration_final: float = 0.01
    """ε from then on, and in evaluations [zoo]"""
    max_gradient_norm: float = 10.0
    """global norm to which gradients are clipped (SB3's default)"""

    def __post_init__(self) -> None:
        check_ranges(self, learning_rate=(0, inf), gamma=(0, 1), learning_starts=(0, inf), max_gradient_norm=(0, inf))
        check_ranges(self, hidden_units=(1, inf), train_every=(1, inf), gradient_steps=(1, inf), batch_size=(1, inf))
        check_ranges(self, exploration_initial=(0, 1), exploration_final=(0, 1), exploration_fraction=(0, 1))
        if self.horizon % self.train_every:
            raise BadInputError(
                f"horizon is {self.horizon}, which does not divide into turns of train_every = {self.train_every} steps"
            )
        if self.buffer_size < 2 * self.world.worlds:
            raise BadInputError(
                f"buffer_size is {self.buffer_size}; {self.world.worlds} worlds need at least 2 steps each"
            )
        if self.target_every < self.world.worlds:
            raise BadInputError(
                f"target_every is {self.target_every}, but {self.world.worlds} worlds play {self.world.worlds} steps "
                "at once; raise --target-every, or lower --worlds"
            )


SPACE_INVADERS = World("ALE/SpaceInvaders-v5", "ppo2017", 1)  # one world [zoo]
PRESETS = {
    "space-invaders": Preset(
        "as many steps as `ppo` takes in five minutes; the zoo's settings, but learning starts at 10,000; 1.4 GB",
        Config(
            Schedule(steps=250_000, save_every=125, games=100),
            SPACE_INVADERS,
            buffer_size=50_000,
            learning_starts=10_000,
        ),
    ),
    "atari-10m": Preset(
        "the zoo's run; it published 623 ± 202 over 155 games of its one run; 2.8 GB",
        Config(Schedule(steps=10_000_000, save_every=250, games=100), SPACE_INVADERS),
    ),
    "cartpole": Preset(
        "balances the pole for 450 to 500 steps, with the zoo's settings",
        Config(
            Schedule(steps=50_000),  # steps [zoo]
            World("CartPole-v1", "gymnasium", 1),  # one world [zoo]
            horizon=256,
            hidden_units=256,  # [zoo], and so all below but save_memory
            learning_rate=2.3e-3,
            save_memory=False,
            learning_starts=1_000,
            train_every=256,
            gradient_steps=128,
            batch_size=64,
            target_every=10,
            exploration_fraction=0.16,
            exploration_final=0.04,
        ),
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """SB3's DQN on a vector of worlds."""
    from stable_baselines3 import DQN  # a second to import, which help does not need

    from sparring.agents import sb3, sb3_replay

    def make(policy: str, worlds: sb3.Worlds) -> DQN:
        copies = 1 if config.save_memory else 2
        sb3_replay.check_memory(config.buffer_size, worlds.observation_space, copies=copies)
        return DQN(
            policy,
            worlds,
            learning_rate=config.learning_rate,
            buffer_size=config.buffer_size,
            learning_starts=config.learning_starts,
            batch_size=config.batch_size,
            gamma=config.gamma,
            train_freq=config.train_every,
            gradient_steps=config.gradient_steps,
            replay_buffer_kwargs={"handle_timeout_termination": not config.save_memory},
            optimize_memory_usage=config.save_memory,
            target_update_interval=config.target_every,
            exploration_fraction=config.exploration_fraction,
            exploration_initial_eps=config.exploration_initial,
            exploration_final_eps=config.exploration_final,
            max_grad_norm=config.max_gradient_norm,
            policy_kwargs={"net_arch": [config.hidden_units] * 2} if policy == "MlpPolicy" else None,
            device=device,
        )

    return sb3_replay.off_policy(make, config, seed=seed, device=device)
