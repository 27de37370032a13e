"""How many agent steps a second PPO learns from on Space Invaders: ours beside Stable-Baselines3's, in the same run.

Same network (Nature-CNN), same hyper-parameters (8 worlds × 128 steps, 4 epochs, 4 mini-batches of 256, Adam), same
cores. The two take turns, so that a noisy machine is noisy for both; each figure is the median over its turns. One
difference remains and costs no time: our value loss is half of SB3's (MSE / 2).
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import warnings
from time import perf_counter

import numpy as np
import record
import torch
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack

from sparring.agents import ppo
from sparring.envs import worlds as door
from sparring.runners.job import cores

CONFIG = ppo.PRESETS["space-invaders"].config
BATCH = CONFIG.horizon * CONFIG.world.worlds


class Ours:
    """Our PPO, an update at a time."""

    def __init__(self, precision: ppo.networks.Precision) -> None:
        self.algorithm, self.source, _ = ppo.experiment(
            dataclasses.replace(CONFIG, precision=precision), seed=0, device="cpu"
        )
        self.source.reset(0)
        self.stages: list[dict[str, float]] = []

    def run(self, updates: int) -> float:
        """Agent steps a second over some updates."""
        start = perf_counter()
        for _ in range(updates):
            batch = self.source.draw(self.algorithm)
            drawn = perf_counter()
            self.algorithm.update(batch)
            self.stages.append({**self.source.report().seconds, "learning": perf_counter() - drawn})
        return updates * BATCH / (perf_counter() - start)

    def shares(self) -> dict[str, float]:
        """The share of time in each stage."""
        totals = {stage: sum(seconds[stage] for seconds in self.stages) for stage in self.stages[0]}
        return {stage: value / sum(totals.values()) for stage, value in totals.items()}


class Theirs:
    """Stable-Baselines3's PPO in its own way of running: worlds in processes, frames stacked by its wrapper."""

    def __init__(self) -> None:
        worlds = make_atari_env(
            "ale_py:SpaceInvadersNoFrameskip-v4", CONFIG.world.worlds, seed=0, vec_env_cls=SubprocVecEnv
        )
        self.model = SB3PPO(
            "CnnPolicy",
            VecFrameStack(worlds, 4),
            n_steps=CONFIG.horizon,
            batch_size=BATCH // CONFIG.minibatches,
            n_epochs=CONFIG.epochs,
            learning_rate=CONFIG.learning_rate,
            clip_range=CONFIG.clip,
            ent_coef=CONFIG.entropy_weight,
            vf_coef=CONFIG.value_weight,
            device="cpu",
            seed=0,
        )
        self.model._setup_learn(total_timesteps=10**9, callback=None)

    def run(self, updates: int) -> float:
        """Agent steps a second over some updates."""
        start = perf_counter()
        self.model.learn(updates * BATCH, callback=Quiet(), reset_num_timesteps=False)
        return updates * BATCH / (perf_counter() - start)


class Quiet(BaseCallback):
    """Says nothing and goes on."""

    def _on_step(self) -> bool:
        return True


def emulator(steps: int) -> float:
    """Agent steps a second of the emulators alone, under uniform actions."""
    worlds = door.build(CONFIG.world, training=True)
    worlds.reset(seed=0)
    actions = np.random.default_rng(0).integers(6, size=(steps, CONFIG.world.worlds))
    start = perf_counter()
    for row in actions:
        worlds.step(row)
    return actions.size / (perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7, help="turns that each contender takes")
    parser.add_argument("--updates", type=int, default=6, help="updates in a turn")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")
    torch.set_num_threads(cores())
    contenders = {"ppo": Ours("fp32"), "ppo_bf16": Ours("bf16"), "sb3_ppo": Theirs()}
    speeds: dict[str, list[float]] = {name: [] for name in (*contenders, "emulator")}
    for contender in contenders.values():
        contender.run(2)  # first calls allocate and tune
    for turn in range(options.turns):
        for name, contender in contenders.items():
            speeds[name].append(contender.run(options.updates))
        speeds["emulator"].append(emulator(500))
        print(f"turn {turn + 1}:", {name: round(values[-1]) for name, values in speeds.items()}, flush=True)
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    ours = contenders["ppo"]
    assert isinstance(ours, Ours)
    figures = {
        **{f"{name}_steps_per_s": round(value, 1) for name, value in middle.items()},
        "ppo_over_sb3": round(middle["ppo"] / middle["sb3_ppo"], 3),
        "ppo_bf16_over_sb3": round(middle["ppo_bf16"] / middle["sb3_ppo"], 3),
        **{f"share_{stage}": round(share, 3) for stage, share in ours.shares().items()},
    }
    record.write(
        "space_invaders_throughput",
        figures=figures,
        protocol={
            **dataclasses.asdict(CONFIG),
            "precision": "fp32, and bf16 where a figure says so",
            "rules": dataclasses.asdict(door.protocol_of(CONFIG.world)),
            "turns": options.turns,
            "updates_per_turn": options.updates,
        },
        seeds=[0],
        notes="Medians over turns taken in alternation; ppo is fp32, ppo_bf16 the same under bf16 autocast; SB3 runs "
        "its worlds in processes (SubprocVecEnv). All turns: "
        + "; ".join(f"{name} {[round(value) for value in values]}" for name, values in speeds.items()),
        published={"sb3_ppo_steps_per_s": {"value": 522, "source": "measured before on two quiet cores, same library"}},
    )


if __name__ == "__main__":
    main()
