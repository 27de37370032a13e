"""How many agent steps a second our learners learn from on Space Invaders, beside Stable-Baselines3 in the same run.

Same network (Nature-CNN) and same cores for all. PPO and A2C meet SB3's own with the same hyper-parameters (PPO: 8
worlds × 128 steps, 4 epochs, 4 mini-batches of 256, Adam; A2C: 16 worlds × 5 steps, RMSprop as TensorFlow has it);
V-trace, which SB3 does not have, plays 128 worlds × 20 steps and is set against SB3's A2C. All take turns, so that a
noisy machine is noisy for all; a ratio is the median of the turns' ratios. Memory is the peak of the largest process of
a whole `sparring train`.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import record
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
TURN = 6144  # agent steps: 6 updates of PPO


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


def contenders() -> dict[str, Ours | Theirs | Emulators]:
    """Everybody, by name."""
    mine = {"ppo": (ppo, PPO), "a2c": (a2c, A2C), "impala": (impala, IMPALA)}
    return {
        **{f"{name}_{how}": Ours(*what, how) for name, what in mine.items() for how in ("fp32", "bf16")},
        "sb3_ppo": Theirs(
            SB3PPO,
            PPO,
            batch_size=PPO.horizon * PPO.world.worlds // PPO.minibatches,
            n_epochs=PPO.epochs,
            clip_range=PPO.clip,
            vf_coef=PPO.value_weight / 2,  # SB3's value loss is twice ours
        ),
        "sb3_a2c": Theirs(
            SB3A2C,
            A2C,
            vf_coef=A2C.value_weight / 2,
            policy_kwargs={"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}},
        ),
        "emulators": Emulators(),
    }


def peak_memory() -> float:
    """Gigabytes that a training of PPO (8 worlds × 128 steps) holds at most, in a process of its own."""
    program = Path(sys.executable).with_name("sparring")
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "ppo", "--steps", "4096", "--games", "8", "--out", f"{folder}/run"]
        subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7, help="turns that each contender takes")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")
    memory = peak_memory()  # before SB3's processes are children of ours
    torch.set_num_threads(cores())
    racers = contenders()
    speeds: dict[str, list[float]] = {name: [] for name in racers}
    for racer in racers.values():
        racer.run(TURN // 3)  # first calls allocate and tune
    for turn in range(options.turns):
        for name, racer in racers.items():
            speeds[name].append(racer.run(TURN))
        print(f"turn {turn + 1}:", {name: round(values[-1]) for name, values in speeds.items()}, flush=True)

    def over(mine: str, theirs: str) -> float:
        turns = zip(speeds[mine], speeds[theirs], strict=True)
        return round(statistics.median(ours / other for ours, other in turns), 3)

    budgets = {name: racer.budget() for name, racer in racers.items() if isinstance(racer, Ours)}
    for name, budget in budgets.items():
        print(f"{name:12}", *(f"{stage} {share:.0%}" for stage, share in budget.items()), sep="  ")
    print(f"peak memory of a training of PPO: {memory:.2f} GB")
    figures = {
        **{f"{name}_steps_per_s": round(statistics.median(values), 1) for name, values in speeds.items()},
        "ppo_over_sb3": over("ppo_bf16", "sb3_ppo"),
        "ppo_fp32_over_sb3": over("ppo_fp32", "sb3_ppo"),
        "a2c_over_sb3": over("a2c_bf16", "sb3_a2c"),
        "a2c_fp32_over_sb3": over("a2c_fp32", "sb3_a2c"),
        "vtrace_over_sb3_a2c": over("impala_bf16", "sb3_a2c"),
        "vtrace_fp32_over_sb3_a2c": over("impala_fp32", "sb3_a2c"),
        "share_of_time": budgets,
        "peak_memory_gb": round(memory, 3),
    }
    record.write(
        "space_invaders_throughput",
        figures=figures,
        protocol={
            "ppo": dataclasses.asdict(PPO),
            "a2c": dataclasses.asdict(A2C),
            "impala": dataclasses.asdict(IMPALA),
            "precision": "fp32 or bf16, as the figure's name says; the plain ratios are bf16's",
            "rules": dataclasses.asdict(door.protocol_of(PPO.world)),
            "turns": options.turns,
            "steps_per_turn": TURN,
        },
        seeds=[0],
        notes="Steps a second are medians over turns taken in alternation, ratios medians of the turns' ratios. "
        "emulating is what acting does not hide; gathering is the copying between worlds and batch. SB3 computes in "
        "fp32 and runs its worlds in processes (SubprocVecEnv). All turns: "
        + "; ".join(f"{name} {[round(value) for value in values]}" for name, values in speeds.items()),
        published={
            "sb3_ppo_steps_per_s": {"value": 522, "source": "measured before on two quiet cores, same library"},
            "sb3_a2c_steps_per_s": {"value": 999, "source": "measured before on two quiet cores, same library"},
        },
    )


if __name__ == "__main__":
    main()
