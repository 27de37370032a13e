"""9×9: how strong does self-play become with time, beside players whose strength others know?

A run of `--preset` trains for as long as `--minutes` says, and what it is every `--every` minutes of training is
kept as a champion. Then all of these meet the anchors in one pool: chance, GNU Go at several levels, and search with
5,000 light playouts; and each meets its successor, so that the curve hangs together. Elo is Bradley and Terry's over
all games, in points over GNU Go at level 10, which others measured at about 1,950 on CGOS.

The training stops and goes on between two champions, as it would after Ctrl-C, so no moment of it is lost or repeated;
minutes are those of drawing and learning, as each champion had spent them. The games of the whole run, over which the
learning rate falls, are `--steps`, as many as fit into the minutes. All of it lies in FOLDER; called again, it goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import numpy as np
import pictures
import record
import torch
from matplotlib.figure import Figure
from rich.progress import Progress

from sparring.agents import elo
from sparring.envs.files import write_aside
from sparring.runners import arena, champion, players
from sparring.runners.exits import INTERRUPTED
from sparring.runners.folder import RunFolder
from sparring.runners.job import cores

ANCHORS = ["random", "gnugo:1", "mcts:5000", "gnugo:10"]  # Elo is told over the last
OPENING, KOMI = 2, 7.0
POLL = 5.0  # s
CROWD = 80  # points: a line so close above leaves no room for a name between
SPARRING = [sys.executable, "-m", "sparring.runners.cli"]


def spent(run: Path) -> float:
    """Minutes that a run has played and learned."""
    rows = RunFolder.open(run).rows("timing.jsonl") if (run / "timing.jsonl").exists() else []
    return sum(row.get("drawing", 0.0) + row.get("learning", 0.0) for row in rows) / 60


def train_until(run: Path, minutes: float, begin: Sequence[str]) -> bool:
    """Begin the run, or go on with it, until it has trained so long, and stops itself after an update; whether it is
    complete.
    """
    words = ["resume", str(run)] if run.exists() else ["train", "alphazero", *begin, "--out", str(run)]
    process = subprocess.Popen([*SPARRING, *words, "--track", "off"], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        sleep(POLL)
        if run.exists() and spent(run) >= minutes:
            process.send_signal(signal.SIGINT)
            process.wait()
    if process.returncode not in (0, INTERRUPTED):
        sys.exit(f"the training in {run} ended with exit code {process.returncode}")
    return process.returncode == 0


def champions(runs: Path, minutes: float, every: float, begin: Sequence[str]) -> dict[Path, float]:
    """What the run was every so many minutes, and how many it had spent; what is there already is not made again."""
    kept: dict[Path, float] = {}
    for number in range(1, int(minutes / every) + 1):
        path = runs / f"{number * every:05.0f}-minutes.pt"
        told = path.with_suffix(".json")
        if not told.exists():
            complete = train_until(runs / "training", number * every, begin)
            champion.save(champion.of_run(runs / "training"), path)
            told.write_text(json.dumps({"minutes": spent(runs / "training"), "complete": complete}))
            print(f"{path.name}: {champion.load(path).origin}", flush=True)
        kept[path] = json.loads(told.read_text())["minutes"]
        if json.loads(told.read_text())["complete"]:
            break
    return kept


def pairs_of(ours: Sequence[str]) -> list[tuple[str, str]]:
    """Who meets: every champion all anchors and its successor, and the anchors each other."""
    anchored = [(one, anchor) for one in ours for anchor in ANCHORS]
    return [*anchored, *itertools.pairwise(ours), *itertools.combinations(ANCHORS, 2)]


class Match(NamedTuple):
    """Who meets, and where the points of their games are kept."""

    first: str
    second: str
    games: int
    sims: int
    seed: int
    path: Path


def points_of(match: Match) -> list[float]:
    """The points of the first player, a game each; those that lie there already, if there are any."""
    if match.path.exists():
        return list(json.loads(match.path.read_text())["points"])
    torch.set_num_threads(1)
    pair = players.players([match.first, match.second], simulations=match.sims, seed=match.seed)
    try:
        rules = players.common_rules(pair, 9, KOMI)
        dice = np.random.default_rng([1, match.seed])
        games = arena.match(*pair, rules, match.games, dice, OPENING, match.seed)
        points = [played.points_of_first for played in games]
    finally:
        for one in pair:
            one.close()
    write_aside(match.path, json.dumps({"first": match.first, "second": match.second, "points": points}).encode())
    return points


def pool(
    ours: list[Path], games: int, sims: int, seed: int, jobs: int, runs: Path
) -> tuple[list[str], list[elo.Result]]:
    """All names and all results; as many matches at a time as there are jobs."""
    (runs / "games").mkdir(exist_ok=True)
    names = [*map(str, ours), *ANCHORS]
    matches = [
        Match(
            one, other, games, sims, seed, runs / "games" / f"{Path(one).stem}-{Path(other).stem}.json".replace(":", "")
        )
        for one, other in pairs_of(names[: len(ours)])
    ]
    results: list[elo.Result] = []
    with ProcessPoolExecutor(jobs, get_context("spawn")) as processes, Progress() as progress:
        found = progress.track(processes.map(points_of, matches), total=len(matches), description="meeting")
        for match, points in zip(matches, found, strict=True):
            at = names.index(match.first), names.index(match.second)
            results += [elo.Result(*at, each) for each in points]
    return names, results


def draw(minutes: list[float], ours: list[elo.Rating], anchors: dict[str, elo.Rating], sims: int, path: Path) -> None:
    """The curve, with the anchors as lines."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = pictures.axes_of(
        figure,
        1,
        1,
        1,
        title=f"9×9 from nothing, {sims} simulations a move",
        xlabel="minutes of training",
        ylabel="Elo",
    )
    axes.fill_between(minutes, [one.low for one in ours], [one.high for one in ours], color=pictures.BLUE, alpha=0.2)
    axes.plot(minutes, [one.elo for one in ours], "o-", color=pictures.BLUE, label="sparring")
    for name, rating in anchors.items():
        axes.axhline(rating.elo, ls="--", lw=1, color=pictures.GREY)
        crowded = any(0 < other.elo - rating.elo < CROWD for other in anchors.values())
        axes.annotate(name, (minutes[-1], rating.elo), (0, -7 if crowded else 7), ha="right", **pictures.BESIDE)
    axes.legend(frameon=False)
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120, help="of training")
    parser.add_argument("--every", type=float, default=15, help="minutes between champions")
    parser.add_argument("--games", type=int, default=20, help="of every pair")
    parser.add_argument("--sims", type=int, default=200, help="simulations a move of our champions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=cores(), help="matches at a time")
    parser.add_argument("--preset", default="go9-cpu", help="go9-gpu, where there is a GPU")
    parser.add_argument("--steps", type=int, help="games of the whole run; default: what fits, measured at its start")
    parser.add_argument("--runs", type=Path, default=Path("runs/go9_elo_curve"), help="folder of all of it")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    length = ["--steps", str(options.steps)] if options.steps else ["--minutes", str(options.minutes)]
    begin = ["--preset", options.preset, "--seed", str(options.seed), "--evaluate-every", "0", *length]
    kept = champions(options.runs, options.minutes, options.every, begin)
    ours, minutes = list(kept), [round(at, 1) for at in kept.values()]
    names, results = pool(ours, options.games, options.sims, options.seed, options.jobs, options.runs)
    ratings = dict(zip(names, elo.rate(results, len(names), anchor=len(names) - 1), strict=True))
    figures: dict[str, Any] = {
        "elo_by_minutes": {f"{at:g}": ratings[str(path)]._asdict() for at, path in zip(minutes, ours, strict=True)},
        "elo_of_anchors": {name: ratings[name]._asdict() for name in ANCHORS},
        "last_against": {
            anchor: float(np.mean([points for one, other, points in results if (one, other) == (last, at)]))
            for last in (len(ours) - 1,)
            for at, anchor in enumerate(ANCHORS, len(ours))
        },
        "training": {path.stem: champion.load(path).origin for path in ours},
    }
    path = record.write(
        "go9_elo_curve",
        figures=figures,
        protocol={
            "job": ["sparring", "train", "alphazero", *begin],
            "games": options.games,
            "simulations": options.sims,
            "opening": OPENING,
            "komi": KOMI,
            "gnugo": players.GNU_GO,
        },
        seeds=[options.seed],
        notes="Elo over gnugo:10, Bradley-Terry over the whole pool; intervals of the posterior of the games' results, "
        "which say nothing of other seeds of the training.",
    )
    draw(minutes, [ratings[str(one)] for one in ours], {name: ratings[name] for name in ANCHORS}, options.sims, path)


if __name__ == "__main__":
    main()
