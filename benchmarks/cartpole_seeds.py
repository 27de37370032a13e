"""CartPole on ten seeds: do PPO and A2C balance the pole on every one, and how long do they take beside SB3?

Six contenders: our PPO and A2C and SB3's under our runner (`sb3-ppo`, `sb3-a2c`), each with its preset `cartpole`, and
SB3's two as its users run them: a DummyVecEnv of 8 worlds, RL Zoo's settings, `model.learn(total)`. Each computes on
one thread, as our runner chooses for networks this small; SB3's own loop is faster on one than on two, too. They run
one at a time and in turns, forwards and backwards, so that a noisy machine is noisy for all. The presets are not equal
in everything: our PPO follows the zoo but for a clip that stays, our A2C has settings of its own; the record holds them
all. The steps are the same.

The seconds of our runner are those of the whole loop, journals and checkpoints included, and of nothing before or after
it; those of SB3 are those of `learn`. The score of a seed is the mean of full games with the last checkpoint. A seed is
*at 500* where every single game lasts all 500 steps.

Every run is a folder FOLDER/ALGO/seed-K and is left alone once it is complete. One that was cut is begun anew, since
its seconds would be those of two sittings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pictures
import record
import torch
from matplotlib.figure import Figure
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from sparring.envs.files import write_aside
from sparring.runners import catalog
from sparring.runners import job as jobs
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job
from sparring.runners.tracker import Silent
from sparring.runners.train import train

ALGORITHMS = {"ppo": "ppo", "sb3_ppo": "sb3-ppo", "a2c": "a2c", "sb3_a2c": "sb3-a2c"}  # figure → catalog
WHOLE = 500  # steps of a game in which the pole never falls
WORLDS = 8
ZOO = "RL Baselines3 Zoo, hyperparams/ppo.yml and a2c.yml, CartPole-v1"


def planned(algorithm: str, seed: int, steps: int | None, games: int) -> Job:
    """The preset on one thread, with other `steps` if they are given."""
    config = catalog.load(algorithm).PRESETS["cartpole"].config
    schedule = dataclasses.replace(config.schedule, steps=steps or config.schedule.steps, games=games)
    config = dataclasses.replace(config, schedule=schedule)
    return dataclasses.replace(Job.plan(algorithm, config, seed=seed, device="cpu"), threads=1)


def run(job: Job, path: Path) -> float:
    """Train the job in its folder unless that is done; the seconds of its loop, without the evaluation."""
    done = path.with_name(f"{path.name}.json")
    if done.exists():
        changed = jobs.differences(Job.of(RunFolder.open(path)), job)
        if changed:
            sys.exit("\n  ".join([f"{path} has other options; name another --runs for these:", *changed]))
        return float(json.loads(done.read_text())["seconds"])
    shutil.rmtree(path, ignore_errors=True)
    experiment = job.build()
    folder = RunFolder.create(path, job.record())
    start = perf_counter()
    train(experiment, job.run(experiment.source.steps_per_draw), Silent(), folder)
    seconds = perf_counter() - start - sum(row.get("evaluating", 0.0) for row in folder.rows("timing.jsonl"))
    write_aside(done, json.dumps({"seconds": seconds}).encode())
    return seconds


def sb3_ppo(seed: int) -> PPO:
    """As RL Zoo has it."""
    worlds = make_vec_env("CartPole-v1", WORLDS, seed=seed, vec_env_cls=DummyVecEnv)
    return PPO(
        "MlpPolicy",
        worlds,
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        device="cpu",
        seed=seed,
    )


def sb3_a2c(seed: int) -> A2C:
    """As RL Zoo has it."""
    worlds = make_vec_env("CartPole-v1", WORLDS, seed=seed, vec_env_cls=DummyVecEnv)
    return A2C("MlpPolicy", worlds, ent_coef=0.0, device="cpu", seed=seed)


OWN: dict[str, Callable[[int], BaseAlgorithm]] = {"ppo": sb3_ppo, "a2c": sb3_a2c}


def learn(algorithm: str, seed: int, steps: int, done: Path) -> float:
    """The seconds of SB3's own `learn`, unless they are known."""
    if done.exists():
        told = json.loads(done.read_text())
        if told["steps"] != steps:
            sys.exit(f"{done} tells of {told['steps']:,} steps, and {steps:,} are asked; name another --runs")
        return float(told["seconds"])
    torch.set_num_threads(1)
    model = OWN[algorithm](seed)
    start = perf_counter()
    model.learn(steps)
    seconds = perf_counter() - start
    done.parent.mkdir(parents=True, exist_ok=True)
    write_aside(done, json.dumps({"seconds": seconds, "steps": steps}).encode())
    return seconds


def warm_up() -> None:
    """Let everybody allocate and tune, untimed."""
    for algorithm in ALGORITHMS.values():
        learner, source, _ = planned(algorithm, 0, None, 2).build()
        source.reset(0)
        for _ in range(3):
            learner.update(source.draw(learner))
    for make in OWN.values():
        make(0).learn(3 * 256)


def seconds_of(values: list[float]) -> dict[str, Any]:
    """The figure of a contender's wall-clock."""
    return {
        "median_seconds": round(float(np.median(values)), 3),
        "n": len(values),
        "per_seed": [round(value, 3) for value in values],
    }


def draw(figures: dict[str, Any], path: Path) -> None:
    """Scores a seed on the left, wall-clock on the right."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    labels = ["PPO, sparring", "PPO, SB3 in sparring", "A2C, sparring", "A2C, SB3 in sparring"]
    told = [figures[f"{key}_score"] for key in ALGORITHMS]
    left = pictures.axes_of(
        figure, 1, 2, 1, title="Balanced on every seed?", xlabel="mean score of full games (steps; 500 is the most)"
    )
    pictures.estimates(left, told, [pictures.BLUE, pictures.ORANGE] * 2)
    reached = [f"{figures[f'{key}_seeds_at_500']} of {figures[f'{key}_score']['n']} at 500" for key in ALGORITHMS]
    pictures.rows(left, [f"{label}\n{count}" for label, count in zip(labels, reached, strict=True)])
    left.set_xlim(0, WHOLE * 1.03)
    right = pictures.axes_of(figure, 1, 2, 2, title="How long one run trains", xlabel="wall-clock on one thread (s)")
    bars = [
        (f"{name}, {label}", figures[key], colour)
        for algorithm, name in (("ppo", "PPO"), ("a2c", "A2C"))
        for label, key, colour in (
            ("sparring", f"{algorithm}_seconds", pictures.BLUE),
            ("SB3 in sparring", f"sb3_{algorithm}_seconds", pictures.ORANGE),
            ("SB3 in its own loop", f"sb3_own_{algorithm}_seconds", pictures.VERMILLION),
        )
    ]
    for row, (_, seconds, colour) in enumerate(bars):
        right.barh(row, seconds["median_seconds"], height=0.62, color=colour, alpha=0.85)
        every = seconds["per_seed"]
        right.plot(every, row + pictures.spread(len(every)), "o", ms=3, color="black", alpha=0.5, mew=0)
    pictures.rows(right, [f"{label}\nmedian {seconds['median_seconds']:.1f} s" for label, seconds, _ in bars])
    right.set_xlim(left=0)
    pictures.save(figure, path)


def trained(seeds: Sequence[int], steps: int | None, games: int, runs: Path) -> dict[str, list[float]]:
    """The seconds of every contender on every seed; what is not there yet is trained."""
    seconds: dict[str, list[float]] = {key: [] for key in (*ALGORITHMS, *(f"own_{name}" for name in OWN))}
    for turn, seed in enumerate(seeds):
        for key in list(seconds)[:: -1 if turn % 2 else 1]:
            if key in ALGORITHMS:
                taken = run(planned(ALGORITHMS[key], seed, steps, games), runs / key / f"seed-{seed}")
            else:
                own = key.removeprefix("own_")
                whole = length(f"sb3_{own}", steps)
                taken = learn(own, seed, whole, runs / key / f"seed-{seed}.json")
            seconds[key].append(taken)
        print(f"seed {seed}:", {key: round(values[-1], 1) for key, values in seconds.items()}, flush=True)
    return seconds


def length(key: str, steps: int | None) -> int:
    """The steps of a contender's runs."""
    return int(planned(ALGORITHMS[key], 0, steps, 2).config.schedule.steps)


def scores_of(key: str, judgements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a contender's evaluations, one a seed."""
    whole = sum(min(judgement["scores"]) >= WHOLE for judgement in judgements)
    return {
        f"{key}_score": record.over_seeds([float(judgement["score"]) for judgement in judgements]),
        f"{key}_seeds_at_500": whole,
        f"{key}_share_at_500": whole / len(judgements),
    }


def speeds_of(own: str, seconds: dict[str, list[float]], steps: int | None) -> dict[str, Any]:
    """The figures of an algorithm's wall-clock, in all three implementations."""
    sb3 = f"sb3_{own}"
    medians = {key: float(np.median(seconds[key])) for key in (own, sb3, f"own_{own}")}
    alone = length(sb3, steps) / medians[f"own_{own}"]
    return {
        **{f"{key}_seconds": seconds_of(seconds[key]) for key in (own, sb3)},
        f"sb3_own_{own}_seconds": seconds_of(seconds[f"own_{own}"]),
        **{f"{key}_over_sb3": round(length(key, steps) / medians[key] / alone, 3) for key in (own, sb3)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--steps", type=int, help="of every run; default: each preset's own")
    parser.add_argument("--games", type=int, default=100, help="full games that a seed's score is the mean of")
    parser.add_argument("--runs", type=Path, default=Path("runs/cartpole_seeds"), help="folder of all runs")
    options = parser.parse_args()
    warm_up()
    seconds = trained(options.seeds, options.steps, options.games, options.runs)
    judged = {
        key: [RunFolder.open(options.runs / key / f"seed-{seed}").judgement() for seed in options.seeds]
        for key in ALGORITHMS
    }
    figures: dict[str, Any] = {}
    for key, told in judged.items():
        figures |= scores_of(key, told)
    for own in OWN:
        figures |= speeds_of(own, seconds, options.steps)
    settings = {key: planned(name, 0, options.steps, options.games).config for key, name in ALGORITHMS.items()}
    path = record.write(
        "cartpole_seeds",
        figures=figures,
        protocol={
            **{name: value for name, value in judged["ppo"][0]["protocol"].items() if name != "seeds"},
            "steps": {key: config.schedule.steps for key, config in settings.items()},
            "threads": 1,
            "settings": {key: dataclasses.asdict(config) for key, config in settings.items()},
            "sb3_own": f"DummyVecEnv of {WORLDS} worlds, {ZOO}",
        },
        seeds=options.seeds,
        notes="score: mean of a seed's full games, with a bootstrap interval over seeds; seeds_at_500 counts the seeds "
        "whose every game lasts 500 steps, share_at_500 is their share. Seconds: of the whole training loop, without "
        "start and evaluation, one run at a time, in turns. over_sb3: steps a second over those of SB3's own learn() "
        "(sb3_own), both from the medians. sb3_ppo and sb3_a2c are SB3's algorithms under our runner, in our worlds.",
    )
    draw(figures, path)


if __name__ == "__main__":
    main()
