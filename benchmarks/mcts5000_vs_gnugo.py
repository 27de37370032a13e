"""Plain search against GNU Go on 9×9: 5,000 light random playouts a move, and nothing that was learned.

A sanity check of search, board and referee against a number that others published: 17 % of games won against GNU Go
3.7.10 at level 10 (Fotland, computer-go list, 2009), with light playouts. Openings of two random moves, each with
either colour; komi 7; GNU Go does not resign, and our referee counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import record
from rich.console import Console

from sparring.agents.match import plainly
from sparring.runners import arena, players


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=200)
    parser.add_argument("--playouts", type=int, default=5_000, help="a move")
    parser.add_argument("--level", type=int, default=10, help="of GNU Go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/mcts5000_vs_gnugo"), help="folder of the games")
    options = parser.parse_args()
    pair = players.players([f"mcts:{options.playouts}", f"gnugo:{options.level}"], simulations=1, seed=options.seed)
    rules = players.common_rules(pair, 9, 7.0)
    shutil.rmtree(options.runs, ignore_errors=True)
    try:
        found = arena.tournament(
            pair, rules, games=options.games, opening=2, seed=options.seed, out=options.runs, console=Console()
        )
    finally:
        for one in pair:
            one.close()
    print(json.dumps(found["pairs"], indent=2))
    told = found["pairs"][0]
    record.write(
        "mcts5000_vs_gnugo",
        figures={
            "win_rate": {"mean": told["win_rate"], "low": told["low"], "high": told["high"], "n": told["games"]},
            "reasons": {reason: sum(one["reason"] == reason for one in found["games"]) for reason in ("passes", "cap")},
            "failures": [one["told"] for one in found["games"] if "told" in one],
        },
        protocol={
            "player": f"UCT with {options.playouts} light playouts a move, one a leaf, "
            f"c = {plainly(options.playouts).c_puct:g}, tree kept between moves",
            "opponent": f"gnugo {players.GNU_GO} --level {options.level}",
            "games": options.games,
            "opening": 2,
            "rules": found["rules"],
        },
        seeds=[options.seed],
        notes="win_rate: Wilson's interval over games.",
        published={"fotland_2009": {"value": 0.17, "source": "light-playout UCT, 5,000 playouts, GNU Go 3.7.10 L10"}},
    )


if __name__ == "__main__":
    main()
