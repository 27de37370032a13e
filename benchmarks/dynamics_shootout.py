"""Every dynamics on the same games at equal cost: so many evaluations of the field of gradients, whatever a step takes.

    bilinear, dirac-gan    plain descent with η = 0.1 from three starts: distance to rest
    ring8-minimax          the zero-sum GAN without any penalty, which all nine can move: high-quality share of samples
    ring8, digits          the presets: the same share, and FID beside that of 30 Gaussians

A dynamics that cannot move a game, as competitive descent one that is not zero-sum, has no figure there. GANs keep
their preset's Adam; annealing runs over the budget. What is complete lies in FOLDER and is left alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import record
import torch
from matplotlib.figure import Figure

from sparring.adversarial import gan, orbits
from sparring.adversarial.play import Play, Schedule
from sparring.envs.errors import BadInputError, DivergedError
from sparring.envs.files import write_aside
from sparring.runners.job import cores

DYNAMICS = {
    "simultaneous": "simultaneous",
    "alternating": "alternating",
    "extragradient": "extragradient",
    "optimistic": "optimistic",
    "consensus": "consensus:gamma=0.1",
    "sga": "sga",
    "competitive": "competitive:most=5",
    "lookahead": "lookahead:inner=alternating",
    "unrolled": "unrolled:k=5",
}
GAMES = {"bilinear": "distance", "dirac-gan": "distance", "ring8-minimax": "share", "ring8": "share", "digits": "FID"}
BUDGET = {"bilinear": 300, "dirac-gan": 300, "ring8-minimax": 10_000, "ring8": 10_000, "digits": 10_000}
NONE = "cannot move this game"


def small(game: str, moves: str, seed: int) -> dict[str, Any]:
    """A small game, until the budget is spent: how far from rest it is, and how far after each round."""
    config = orbits.Config(Schedule(steps=1), game, moves, rate=0.1)  # type: ignore[arg-type]
    play = orbits.begun(config, orbits.start_of(config, seed))
    far, spent = [], []
    while play.match.evaluations < BUDGET[game]:
        far.append(float(np.linalg.norm([float(point.detach()) for point in play.game.parameters()])))
        spent.append(play.match.evaluations)
        play.update([[None] * play.dynamics.batches])
    return {"figure": far[-1] / far[0], "curve": [spent, [one / far[0] for one in far]]}


def large(game: str, moves: str, seed: int) -> dict[str, Any]:
    """A GAN, until the budget is spent. What a round costs may change on the way, as where equations are solved until
    they hold: then all is played again, by as many rounds as the budget would have paid.
    """
    told = played(game, moves, seed, BUDGET[game])
    spent = told["curve"][0][-1]
    return told if spent <= BUDGET[game] * 1.02 else played(game, moves, seed, BUDGET[game] ** 2 / spent)


def played(game: str, moves: str, seed: int, budget: float) -> dict[str, Any]:
    """A GAN, by as many rounds as the budget pays at the cost of the first ten, judged a dozen times on the way."""
    preset = gan.PRESETS[game.split("-")[0]].config
    changes: dict[str, Any] = {"dynamics": moves}
    if game.endswith("minimax"):
        changes |= {"loss": "minimax", "r1": 0.0}
    config = dataclasses.replace(preset, **changes)
    rounds = int(budget / cost_of(config))
    config = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, steps=rounds))
    play, table, judge = gan.experiment(config, seed=seed, device="cpu")
    table.reset(seed)
    curve: list[tuple[float, float]] = []
    updates = config.schedule.updates
    for update in range(1, updates + 1):
        play.update(table.draw(play))
        if update % max(updates // 12, 1) == 0 or update == updates:
            found = judge(play).metrics
            curve.append((play.match.evaluations, found["fid"] if game == "digits" else found["high_quality"]))
    other = {} if game == "digits" else {"modes": found["modes"]}
    bar = {"bar": found["fid_mixture"]} if game == "digits" else {}
    return {"figure": curve[-1][1], "curve": list(zip(*curve, strict=True)), "rounds": rounds, **other, **bar}


def cost_of(config: gan.Config) -> float:
    """Evaluations of the field that a round takes."""
    short = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, rounds=10))
    play, table, _ = gan.experiment(short, seed=0, device="cpu")
    table.reset(0)
    begun: Play[gan.Dealt] = play
    begun.update(table.draw(begun))
    return begun.match.evaluations / 10


def one(task: tuple[str, str, int, Path]) -> tuple[str, str, int, dict[str, Any]]:
    """One dynamics on one game from one seed; read where it lies already."""
    game, name, seed, folder = task
    path = folder / f"{game}-{name}-seed{seed}.json"
    if not path.exists():
        torch.set_num_threads(1)
        run = small if GAMES[game] == "distance" else large
        try:
            told = run(game, DYNAMICS[name], seed)
        except DivergedError as error:
            told = {"figure": None, "why": str(error)}
        except BadInputError as error:
            told = {"figure": None, "why": f"{NONE}: {error}"}
        write_aside(path, json.dumps(told).encode())
    return game, name, seed, json.loads(path.read_text())


def draw(found: Mapping[tuple[str, str], list[dict[str, Any]]], path: Path) -> None:
    """A panel a game: figure against gradient evaluations, the mean over seeds."""
    figure = Figure(figsize=(15, 3.6), layout="constrained")
    colours = [f"C{number}" for number in range(len(DYNAMICS))]
    for number, (game, kind) in enumerate(GAMES.items(), start=1):
        axes = pictures.axes_of(figure, 1, len(GAMES), number, title=game, xlabel="gradient evaluations", ylabel=kind)
        for name, colour in zip(DYNAMICS, colours, strict=True):
            runs = [one["curve"] for one in found[game, name] if one["figure"] is not None]
            if runs:
                length = min(len(curve[0]) for curve in runs)
                heights = np.mean([curve[1][:length] for curve in runs], 0)
                axes.plot(runs[0][0][:length], heights, color=colour, lw=1.4, label=name)
        if kind != "share":
            axes.set_yscale("log")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--jobs", type=int, default=cores(), help="processes at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/dynamics_shootout"), help="folder of all runs")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    tasks = [(*task, options.runs) for task in itertools.product(options.games, DYNAMICS, options.seeds)]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for done, (game, name, seed, told) in enumerate(pool.map(one, tasks), start=1):
            found.setdefault((game, name), []).append(told)
            print(f"{done:3} of {len(tasks)}: {game} {name} seed {seed}: {told.get('why', told['figure'])}", flush=True)
    if set(options.games) != set(GAMES):
        sys.exit("not all games were played, so no record is written")
    figures: dict[str, Any] = {}
    for (game, name), runs in found.items():
        key = f"{game}_{name}".replace("-", "_")
        faults = [run["why"] for run in runs if "why" in run]
        figures[key] = faults[0] if faults else record.over_seeds([run["figure"] for run in runs])
        if all("modes" in run for run in runs):
            figures[f"{key}_modes"] = record.over_seeds([run["modes"] for run in runs])
        if any("bar" in run for run in runs):
            figures["digits_fid_of_30_gaussians"] = next(run["bar"] for run in runs if "bar" in run)
    path = record.write(
        "dynamics_shootout",
        figures=figures,
        protocol={"budget": BUDGET, "dynamics": DYNAMICS, "figure": GAMES, "optimiser": "SGD η = 0.1; Adam as preset"},
        seeds=options.seeds,
        notes="distance: to rest, over that at the start. share: of samples within 3σ of a mode. A text instead of a "
        "figure says why there is none.",
    )
    draw(found, path)


if __name__ == "__main__":
    main()
