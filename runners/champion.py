"""A champion: a network that plays Go and the board that it learned, in one small file.

A run's checkpoint holds all that learning needs; `sparring export RUN FILE` keeps of it what playing needs. One
champion each of 5×5, 7×7 and 9×9 ships with the package, so that there is somebody to play with at once: seed 1 of
those that `benchmarks/go5_vs_gnugo.py`, `benchmarks/go7_vs_gnugo.py` and `benchmarks/go9_elo_curve.py` trained, the
last of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sparring.agents.boardnet import Network
from sparring.envs.errors import BadInputError
from sparring.envs.go.rules import Rules
from sparring.runners import checkpoint
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job

LEARNED = {"alphazero": "average", "ppo-selfplay": "network"}  # what of each learner plays
KIND = "a champion of Go"
SHIPPED = {name: Path(__file__).with_name(f"{name}.pt") for name in ("go5", "go7", "go9")}


@dataclass(frozen=True)
class Champion:
    """Weights, and what they are for."""

    rules: Rules
    width: int
    blocks: int
    weights: dict[str, Tensor]
    origin: str  # the algorithm and how many updates it has learned

    def network(self) -> Network:
        """The network that plays.

        Raises:
            BadInputError: the weights are of another one.
        """
        network = Network(self.width, self.blocks)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            told = f"{self.blocks} blocks of {self.width} channels"
            raise BadInputError(f"these weights do not fit a network of {told}: {error}") from None
        return network.eval()


def of_run(path: Path) -> Champion:
    """The newest checkpoint of a run.

    Raises:
        BadInputError: it is no run that learned Go, has no checkpoint yet, or its checkpoint is damaged.
    """
    folder = RunFolder.open(path)
    job = Job.of(folder)
    if job.algorithm not in LEARNED:
        raise BadInputError(f"{path} is a run of {job.algorithm}, which plays no Go; {' and '.join(LEARNED)} do")
    if not folder.checkpoints:
        raise BadInputError(f"{path} has no checkpoint yet; train it with `sparring resume {path}`")
    state = checkpoint.read(folder.checkpoints[-1])["parts"][LEARNED[job.algorithm]]
    config = job.config
    weights = {name.removeprefix("module."): weight for name, weight in state.items() if name != "n_averaged"}
    origin = f"{job.algorithm}, {int(folder.checkpoints[-1].stem):,} updates"
    return Champion(config.played, config.width, config.blocks, weights, origin)


def save(champion: Champion, path: Path) -> None:
    """Write it, whole or not at all."""
    told = {field.name: getattr(champion, field.name) for field in dataclasses.fields(champion)}
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write(path, {"kind": KIND, **told, "rules": dataclasses.asdict(champion.rules)})


def load(path: Path) -> Champion:
    """What `save` wrote.

    Raises:
        BadInputError: it is damaged, or something else.
    """
    state: dict[str, Any] = checkpoint.read(path)
    if state.pop("kind", None) != KIND:
        raise BadInputError(f"{path} is no champion of Go; `sparring export RUN {path.name}` makes one")
    return Champion(**{**state, "rules": Rules(**state["rules"])})


def at(path: Path) -> Champion:
    """Of a run's folder, or of a file.

    Raises:
        BadInputError: see `of_run` and `load`.
    """
    return of_run(path) if path.is_dir() else load(path)
