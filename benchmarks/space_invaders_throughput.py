"""How many agent steps a second our learners learn from on Space Invaders, beside Stable-Baselines3 in the same run.

Same network (Nature-CNN) and same cores for all. PPO and A2C meet SB3's own with the same hyper-parameters (PPO: 8
worlds × 128 steps, 4 epochs, 4 mini-batches of 256, Adam; A2C: 16 worlds × 5 steps, RMSprop as TensorFlow has it);
V-trace, which SB3 does not have, plays 128 worlds × 20 steps and is set against SB3's A2C. All take turns, so that a
noisy machine is noisy for all; a ratio is the median of the turns' ratios. Each is a process of its own, as its users
run it (contenders.py). Memory is the peak of the largest process of a whole `sparring train`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import record
from contenders import A2C, CONTENDERS, IMPALA, PPO

from sparring.envs import worlds as door

TURN = 6144  # agent steps: 6 updates of PPO


class Racer:
    """A contender's process."""

    def __init__(self, name: str) -> None:
        program = [sys.executable, str(Path(__file__).with_name("contenders.py")), name]
        own = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}  # which is ours, not theirs
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(program, **pipes, text=True, env=own)

    def run(self, steps: int) -> float:
        """Agent steps a second over at least `steps` of them."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> dict[str, float]:
        """Each stage's share of the time, where the contender tells."""
        told, _ = self.process.communicate()
        return dict(json.loads(told))


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
    memory = peak_memory()  # before the racers are children of ours
    racers = {name: Racer(name) for name in CONTENDERS}
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

    budgets = {name: budget for name, racer in racers.items() if (budget := racer.end())}
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
