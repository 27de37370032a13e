"""What an hour on two CPU cores buys on Space Invaders: a preset `atari-cpu-hour`, seed after seed.

The score of a seed is its run's own final evaluation: full games, last checkpoint, stochastic policy, seeds apart from
training, no sticky actions. The steps are those that take about an hour on the machine that the preset was made on;
they are fixed, and how long they really took is in the record. Every seed needs its hour, so there are few; the
interval of `score` is therefore over games, stratified by seed, and says nothing of other seeds.

How long a run took counts whatever else the machine did meanwhile. So at the end the same updates are timed with the
last seed's network, and `minutes_alone` is what all steps take at that speed: see that nothing else runs then.

Seed 0 is not among them: the preset was changed after seeing what an earlier one had scored there (616 points).

The runs are a sweep in FOLDER; what is complete is left alone, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pictures
import record
import sweeps
from matplotlib.figure import Figure

from sparring.agents import statistics
from sparring.runners import checkpoint, overview
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job

PRESET = "atari-cpu-hour"
TIMED = 60  # updates
BARS = {"SB3 zoo's A2C after 10M steps": 627, "OpenAI baselines' PPO2 after 10M steps": 1020}


def minutes(run: RunFolder) -> float:
    """How long a run drew and learned, in all its sittings."""
    return sum(row.get("drawing", 0.0) + row.get("learning", 0.0) for row in run.rows("timing.jsonl")) / 60


def speed_of(run: RunFolder) -> float:
    """Agent steps a second of the median update, with the network that a run has learned, in games begun anew."""
    made = Job.of(run).build()
    made.algorithm.network.load_state_dict(checkpoint.read(run.checkpoints[-1])["parts"]["network"])
    made.source.reset(0)
    seconds = []
    for _ in range(TIMED):
        start = perf_counter()
        made.algorithm.update(made.source.draw(made.algorithm))
        seconds.append(perf_counter() - start)
    return float(made.source.steps_per_draw / np.median(seconds))


def told(run: RunFolder) -> dict[str, Any]:
    """A seed's figures."""
    judgement, steps, spent = run.judgement(), max(row["step"] for row in run.rows()), minutes(run)
    return {
        **{name: judgement[name] for name in ("score", "random", "random_low", "random_high")},
        "low": judgement["score_low"],
        "high": judgement["score_high"],
        "iqm": float(statistics.iqm(np.array(judgement["scores"]))),
        "steps": steps,
        "training_minutes": round(spent, 2),
        "steps_per_s": round(steps / spent / 60, 1),
    }


def draw(runs: dict[int, RunFolder], figures: dict[str, Any], title: str, path: Path) -> None:
    """Learning curves on the left, the final games of every seed on the right."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left = pictures.axes_of(figure, 1, 2, 1, title=title, xlabel="agent steps", ylabel=pictures.SCORE)
    right = pictures.axes_of(figure, 1, 2, 2, title="Final evaluation", xlabel="score of full games (points)")
    colours = [pictures.BLUE, pictures.VERMILLION, pictures.ORANGE, pictures.GREY]
    for seed, run in runs.items():
        pictures.curves(left, [overview.curve(run.rows())], color=colours[seed % len(colours)], label=f"seed {seed}")
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.legend(frameon=False, loc="upper left")
    seeds = [
        {"mean": figures[f"seed_{seed}"]["score"], "per_seed": run.judgement()["scores"], **figures[f"seed_{seed}"]}
        for seed, run in runs.items()
    ]
    pictures.estimates(right, seeds, [colours[seed % len(colours)] for seed in runs])
    pictures.rows(right, [f"seed {seed}" for seed in runs])
    for name, bar in BARS.items():
        right.axvline(bar, ls="--", lw=1, color=pictures.GREY)
        right.annotate(name, (bar, -0.5), (3, 0), rotation=90, **{**pictures.BESIDE, "va": "top"})
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", default="ppo", help=f"one that has a preset {PRESET}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--runs", type=Path, default=Path("runs/space_invaders_cpu_hour"), help="folder of all runs")
    options = parser.parse_args()
    words = ["--preset", PRESET, "--games", "100"]
    done = sweeps.trained(options.algorithm, words, options.seeds, options.runs / options.algorithm, at_once=1)
    runs = {seed: done.folder(seed) for seed in options.seeds}
    judged = {seed: run.judgement() for seed, run in runs.items()}
    games = np.array([judgement["scores"] for judgement in judged.values()]).T  # [games, seeds]
    estimates = {name: statistics.estimate(games, take) for name, take in statistics.AGGREGATES.items()}
    figures = {
        "score": {"mean": estimates["mean"].value, "low": estimates["mean"].low, "high": estimates["mean"].high},
        "iqm": estimates["IQM"]._asdict(),
        "seeds_at_least_630": float(np.mean([judgement["score"] >= 630 for judgement in judged.values()])),
        **{f"seed_{seed}": told(run) for seed, run in runs.items()},
    }
    speed, steps = speed_of(runs[options.seeds[-1]]), done.job.config.schedule.steps
    figures |= {"steps_per_s_alone": round(speed, 1), "minutes_alone": round(steps / speed / 60, 1)}
    protocol = judged[options.seeds[0]]["protocol"]
    path = record.write(
        "space_invaders_cpu_hour",
        figures=figures,
        protocol={
            **{name: value for name, value in protocol.items() if name != "seeds"},
            "job": ["sparring", "train", options.algorithm, *words],
            "config": done.record["config"],
        },
        seeds=options.seeds,
        notes="score: mean over all games of all seeds; its interval is a bootstrap over games, stratified by seed. "
        "training_minutes: as it happened, whatever else ran; minutes_alone: all steps at the speed of the median of "
        f"{TIMED} updates at the end.",
        published={
            "sb3_zoo_a2c_10m": {"value": 627, "source": "SB3 RL Zoo benchmark.md: 627 ± 202, one run, 162 games"},
            "baselines_ppo2_10m": {"value": 1019.8, "source": "openai/baselines PPO2, 3 seeds, openrlbenchmark"},
        },
    )
    draw(runs, figures, f"{options.algorithm}: an hour on two CPU cores", path)


if __name__ == "__main__":
    main()
