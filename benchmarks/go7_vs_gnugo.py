"""7×7 from nothing, two hours on two cores: how often does the trained agent beat GNU Go with komi 9?

With komi 9 perfect play is a draw (Li Zhe, 2015). Every seed trains preset `go7-cpu`, one at a time with the machine to
itself, and its last checkpoint meets GNU Go in the arena: colours alternate, from openings of two random moves, each of
them played with either colour, all games different. A draw is half a win. Our referee counts; GNU Go does not resign.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import record
import sweeps
from rich.console import Console

from sparring.agents import statistics
from sparring.runners import arena, players
from sparring.runners.folder import RunFolder

PRESET = "go7-cpu"
LEVEL = 10
OPENING = 2


def met(run: Path, seed: int, games: int, sims: int, out: Path) -> dict[str, Any]:
    """The arena's record of a run against GNU Go; the one that lies in `out` already, if there is any."""
    if (out / "arena.json").exists():
        return dict(json.loads((out / "arena.json").read_text()))
    shutil.rmtree(out, ignore_errors=True)
    pair = players.players([str(run), f"gnugo:{LEVEL}"], simulations=sims, seed=seed)
    try:
        rules = players.common_rules(pair, None, None)
        return arena.tournament(pair, rules, games=games, opening=OPENING, seed=seed, out=out, console=Console())
    finally:
        for one in pair:
            one.close()


def told(run: Path, found: dict[str, Any]) -> dict[str, Any]:
    """A seed's figures."""
    pair, spent = found["pairs"][0], RunFolder.open(run).rows("timing.jsonl")
    rate = statistics.rate(pair["win_rate"] * pair["games"], pair["games"])
    wins = {"black": [0, 0], "white": [0, 0]}
    for one in found["games"]:
        colour = "black" if one["black"] == pair["first"] else "white"
        wins[colour][0] += one["winner"] == colour
        wins[colour][1] += 1
    return {
        "win_rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "games": pair["games"],
        **{f"wins_as_{colour}": f"{won} of {count}" for colour, (won, count) in wins.items()},
        "draws": sum(one["winner"] == "nobody" for one in found["games"]),
        "reasons": {reason: sum(one["reason"] == reason for one in found["games"]) for reason in REASONS},
        "training_minutes": round(sum(row.get("drawing", 0.0) + row.get("learning", 0.0) for row in spent) / 60, 1),
    }


REASONS = ("passes", "cap", "resigned", "illegal", "failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--games", type=int, default=200, help="against GNU Go, each seed")
    parser.add_argument("--sims", type=int, default=400, help="simulations a move")
    parser.add_argument("--runs", type=Path, default=Path("runs/go7_vs_gnugo"), help="folder of all runs")
    options = parser.parse_args()
    done = sweeps.trained("alphazero", ["--preset", PRESET], options.seeds, options.runs / "training", at_once=1)
    figures: dict[str, Any] = {}
    for seed in options.seeds:
        run = done.folder(seed).path
        found = met(run, seed, options.games, options.sims, options.runs / f"arena-{seed}")
        figures[f"seed_{seed}"] = told(run, found)
    every = [figures[f"seed_{seed}"] for seed in options.seeds]
    [first, *others] = every
    figures["win_rate"] = {"mean": first["win_rate"], "low": first["low"], "high": first["high"], "n": 1}
    if others:
        figures["win_rate"] = record.over_seeds([one["win_rate"] for one in every])
    record.write(
        "go7_vs_gnugo",
        figures=figures,
        protocol={
            "job": ["sparring", "train", "alphazero", "--preset", PRESET],
            "config": done.record["config"],
            "opponent": f"gnugo {players.GNU_GO} --level {LEVEL}",
            "games": options.games,
            "simulations": options.sims,
            "opening": OPENING,
            "komi": done.record["config"]["komi"],
        },
        seeds=options.seeds,
        notes="win_rate: of one seed with Wilson's interval over its games; of several, over seeds.",
    )


if __name__ == "__main__":
    main()
