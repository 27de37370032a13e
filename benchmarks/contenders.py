"""Who learns on Space Invaders for `space_invaders_throughput.py`, each in a process of its own, as its users run it.

`python contenders.py NAME` reads numbers of agent steps, a line each, and answers with agent steps a second; at the end
of its input it tells the share of time of each stage. Ours run as the command line runs them (`runners.process`), SB3's
as an installation of it leaves them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

from sparring.runners import process

if __name__ == "__main__" and not sys.argv[1].startswith("sb3"):
    process.prepare()  # before torch loads

import numpy as np
import torch
from stable_baselines3 import A2C as SB3A2C
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack

from sparring.agents import a2c, impala, ppo
from sparring.agents.networks import Precision
from sparring.envs import worlds as door
from sparring.runners.job import cores

PPO = ppo.PRESETS["space-invaders"].config
A2C = a2c.PRESETS["space-invaders"].config
RECIPE = impala.PRESETS["space-invaders"].config
IMPALA = dataclasses.replace(RECIPE, world=dataclasses.replace(RECIPE.world, worlds=128))  # as Cleanba has it


class Ours:
    """One of our learners, an update at a time."""

    def __init__(self, module: Any, config: Any, precision: Precision) -> None:
        made = module.experiment(dataclasses.replace(config, precision=precision), seed=0, device="cpu")
        self.algorithm, self.source = made.algorithm, made.source
        self.source.reset(0)
        self.stages: list[dict[str, float]] = []

    def run(self, steps: int) -> float:
        """Agent steps a second over at least `steps` of them."""
        updates = -(-steps // self.source.steps_per_draw)
        start = perf_counter()
        for _ in range(updates):
            begun = perf_counter()
            batch = self.source.draw(self.algorithm)
            drawn = perf_counter()
            self.algorithm.update(batch)
            seconds = dict(self.source.report().seconds)
            gathering = drawn - begun - sum(seconds.values())
            self.stages.append({**seconds, "gathering": gathering, "learning": perf_counter() - drawn})
        return updates * self.source.steps_per_draw / (perf_counter() - start)

    def budget(self) -> dict[str, float]:
        """Each stage's share of the time."""
        totals = {stage: sum(seconds[stage] for seconds in self.stages) for stage in self.stages[0]}
        return {stage: round(value / sum(totals.values()), 3) for stage, value in totals.items()}


class Theirs:
    """An algorithm of SB3 in its own way of running: worlds in processes, frames stacked by its wrapper."""

    def __init__(self, make: Callable[..., BaseAlgorithm], config: Any, **hyperparameters: Any) -> None:
        self.per_update = config.horizon * config.world.worlds
        worlds = make_atari_env(
            "ale_py:SpaceInvadersNoFrameskip-v4", config.world.worlds, seed=0, vec_env_cls=SubprocVecEnv
        )
        self.model = make(
            "CnnPolicy",
            VecFrameStack(worlds, 4),
            n_steps=config.horizon,
            learning_rate=config.learning_rate,
            ent_coef=config.entropy_weight,
            max_grad_norm=config.max_gradient_norm,
            device="cpu",
            seed=0,
            **hyperparameters,
        )
        self.model._setup_learn(total_timesteps=10**9, callback=None)

    def run(self, steps: int) -> float:
        """Agent steps a second over at least `steps` of them."""
        whole = -(-steps // self.per_update) * self.per_update
        start = perf_counter()
        self.model.learn(whole, callback=Quiet(), reset_num_timesteps=False)
        return whole / (perf_counter() - start)


class Quiet(BaseCallback):
    """Says nothing and goes on."""

    def _on_step(self) -> bool:
        return True


class Emulators:
    """The emulators alone, under uniform actions."""

    def run(self, steps: int) -> float:
        """Agent steps a second."""
        worlds = door.build(PPO.world, training=True)
        worlds.reset(seed=0)
        actions = np.random.default_rng(0).integers(6, size=(steps // PPO.world.worlds, PPO.world.worlds))
        start = perf_counter()
        for row in actions:
            worlds.step(row)
        return actions.size / (perf_counter() - start)


OURS = {"ppo": (ppo, PPO), "a2c": (a2c, A2C), "impala": (impala, IMPALA)}
CONTENDERS: dict[str, Callable[[], Ours | Theirs | Emulators]] = {
    **{
        f"{name}_{how}": lambda what=what, how=how: Ours(*what, how)
        for name, what in OURS.items()
        for how in ("fp32", "bf16")
    },
    "sb3_ppo": lambda: Theirs(
        SB3PPO,
        PPO,
        batch_size=PPO.horizon * PPO.world.worlds // PPO.minibatches,
        n_epochs=PPO.epochs,
        clip_range=PPO.clip,
        vf_coef=PPO.value_weight / 2,  # SB3's value loss is twice ours
    ),
    "sb3_a2c": lambda: Theirs(
        SB3A2C,
        A2C,
        vf_coef=A2C.value_weight / 2,
        policy_kwargs={"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}},
    ),
    "emulators": Emulators,
}


def main() -> None:
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")
    torch.set_num_threads(cores())
    racer = CONTENDERS[sys.argv[1]]()
    for line in sys.stdin:
        print(racer.run(int(line)), flush=True)
    print(json.dumps(racer.budget() if isinstance(racer, Ours) else {}), flush=True)


if __name__ == "__main__":
    main()
