"""Write the README's results from benchmarks/results/*.json, so that no number in it is typed.

python benchmarks/readme.py          rewrites the section
python benchmarks/readme.py --check  fails where it is not what the files say
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results -->", "<!-- /results -->"


def five_minutes(result: dict[str, Any]) -> list[str]:
    """The main job."""
    f = result["figures"]
    rows = [f[f"seed_{seed}"] for seed in result["seeds"]]
    games = result["protocol"]["games"]
    return [
        f"**The main job** (`{' '.join(result['protocol']['job'])}`): mean score over {games} full games under "
        f"`{result['protocol']['name']}`, last checkpoint; the interval is over games.",
        "",
        "| seed | score | 95 % interval | random policy | steps | training |",
        "|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {seed} | {r['score']:.0f} | {r['low']:.0f} – {r['high']:.0f} | {r['random']:.0f} | {r['steps']:,} "
            f"| {r['training_minutes']:.1f} min |"
            for seed, r in zip(result["seeds"], rows, strict=True)
        ),
    ]


def throughput(result: dict[str, Any]) -> list[str]:
    """Speed beside SB3."""
    f = result["figures"]
    return [
        "**Speed** on Space Invaders, 8 worlds × 128 steps, 4 epochs, Nature-CNN, in one run on the same two cores "
        "(medians over alternating turns):",
        "",
        "| | agent steps/s | over SB3 |",
        "|---|---:|---:|",
        f"| sparring PPO, fp32 | {f['ppo_steps_per_s']:,.0f} | {f['ppo_over_sb3']:.2f} |",
        f"| sparring PPO, bf16 | {f['ppo_bf16_steps_per_s']:,.0f} | {f['ppo_bf16_over_sb3']:.2f} |",
        f"| Stable-Baselines3 PPO | {f['sb3_ppo_steps_per_s']:,.0f} | 1 |",
        f"| the emulators alone | {f['emulator_steps_per_s']:,.0f} | |",
    ]


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "space_invaders_five_minutes": five_minutes,
    "space_invaders_throughput": throughput,
}


def section() -> str:
    """All results there are, in order, each with its source."""
    lines: list[str] = []
    for claim, write in SECTIONS.items():
        path = ROOT / "benchmarks" / "results" / f"{claim}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        machine = f"{result['hardware']['processor']}, {result['hardware']['cores']} cores"
        told = f"`{result['command']}` at {result['commit']}, {machine}, {result['date']}"
        source = f"From `benchmarks/results/{claim}.json`: {told}."
        lines += [*write(result), "", source, ""]
    return "\n".join(lines)


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    fresh = f"{before}{BEGIN}\n{section()}{END}{after}"
    if "--check" in sys.argv and fresh != text:
        sys.exit("README.md does not say what benchmarks/results say; run python benchmarks/readme.py")
    readme.write_text(fresh)


if __name__ == "__main__":
    main()
