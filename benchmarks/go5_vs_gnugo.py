"""5×5 from nothing, on two cores: does the trained agent, as black, take the whole board from GNU Go?

With perfect play black owns all 25 points of 5×5 and must open in the centre (van der Werf, 2003), so with komi 24.5
black wins exactly if it takes everything. Every seed trains preset `go5-cpu`, one at a time with the machine to itself,
and its last checkpoint plays black against GNU Go from the empty board, with as many simulations a move as `--sims`.
GNU Go's own dice differ from game to game; how many of the games were different is told. A game counts only if our
referee counts 25 points: GNU Go does not resign, and plays until both have passed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import record
import sweeps

from sparring.agents import statistics
from sparring.agents.boardnet import Instinct
from sparring.agents.match import Played, game
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.runners import champion, players
from sparring.runners.folder import RunFolder
from sparring.runners.sweepfolder import Sweep

PRESET = "go5-cpu"
LEVEL = 10
CENTRE = 12
WHOLE = 0.5  # black's margin when it owns all 25 points and white gets 24.5


def minutes(run: RunFolder) -> float:
    """How long a run played and learned, in all its sittings."""
    return sum(row.get("drawing", 0.0) + row.get("learning", 0.0) for row in run.rows("timing.jsonl")) / 60


def games_against(run: Path, seed: int, games: int, sims: int) -> list[Played]:
    """The run as black; GNU Go is begun anew for each game, with a seed of its own."""
    ours = players.player(str(run), simulations=sims, seed=seed)
    rules = players.common_rules([ours], None, None)
    dice, played = np.random.default_rng(seed), []
    for number in range(games):
        command = f"{players.gnu_go()} {players.GNU_GO} --level {LEVEL} --seed {number + 1}"
        theirs = players.player(f"gtp:{command}", simulations=sims)
        try:
            played.append(game({BLACK: ours.opponent, WHITE: theirs.opponent}, Board(rules), dice, BLACK))
        finally:
            theirs.close()
    return played


def judged(run: Path, seed: int, games: int, sims: int) -> dict[str, Any]:
    """A seed's figures."""
    played = games_against(run, seed, games, sims)
    failed = [one.told for one in played if one.reason in ("failed", "illegal")]
    if failed:
        raise SystemExit(f"GNU Go failed: {failed[0]}")
    first = Instinct(champion.at(run).network()).chances(Board(played[0].board.rules))
    won = [float(one.winner == BLACK and one.board.margin() == WHOLE) for one in played]
    return {
        "win_rate": statistics.rate(sum(won), games)._asdict(),
        "centre_opening": float(np.mean([one.board.moves[0] == CENTRE for one in played])),
        "raw_policy_opens_in_the_centre": int(np.argmax(first)) == CENTRE,
        "raw_policy_of_the_centre": float(first[CENTRE]),
        "different_games": len({tuple(one.board.moves) for one in played}),
        "mean_length": float(np.mean([len(one.board.moves) for one in played])),
        "training_minutes": round(minutes(RunFolder.open(run)), 2),
    }


def figures_of(told: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """Over seeds."""
    return {
        "win_rate_black": record.over_seeds([one["win_rate"]["value"] for one in told.values()]),
        "centre_opening": record.over_seeds([one["centre_opening"] for one in told.values()]),
        "raw_policy_centre": float(np.mean([one["raw_policy_opens_in_the_centre"] for one in told.values()])),
        "minutes": record.over_seeds([one["training_minutes"] for one in told.values()]),
        **{f"seed_{seed}": one for seed, one in told.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="0 was tuned on")
    parser.add_argument("--games", type=int, default=100, help="against GNU Go, each seed")
    parser.add_argument("--sims", type=int, default=200, help="simulations a move")
    parser.add_argument("--runs", type=Path, default=Path("runs/go5_vs_gnugo"), help="folder of all runs")
    options = parser.parse_args()
    done: Sweep = sweeps.trained("alphazero", ["--preset", PRESET], options.seeds, options.runs, at_once=1)
    told = {seed: judged(done.folder(seed).path, seed, options.games, options.sims) for seed in options.seeds}
    record.write(
        "go5_vs_gnugo",
        figures=figures_of(told),
        protocol={
            "job": ["sparring", "train", "alphazero", "--preset", PRESET],
            "config": done.record["config"],
            "opponent": f"gnugo {players.GNU_GO} --level {LEVEL}",
            "games": options.games,
            "simulations": options.sims,
            "komi": 24.5,
            "win": "our referee counts all 25 points for black",
        },
        seeds=options.seeds,
        notes="win_rate_black: mean over seeds, bootstrap interval over seeds; a seed's is Wilson's, over games.",
    )


if __name__ == "__main__":
    main()
