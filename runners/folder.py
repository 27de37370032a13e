"""What a run leaves behind.

config.json      what is needed to build the experiment again: algorithm, configuration, seed, versions, protocol
metrics.jsonl    the truth: one line an update, and nothing in it depends on the clock
timing.jsonl     wall-clock seconds by stage, line for line beside it
checkpoints/     the last few, each with its digest
episodes/        games worth keeping, replayable
evaluations/     scores with their protocol
wandb/           the mirror
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparring.agents.protocol import Evaluation, Stateful
from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.runners import checkpoint
from sparring.runners.tracker import Row

FORMAT = 1
KEPT = 3  # checkpoints
SWEEP = "sweep.json"  # where it lies the folder holds runs, and is none
JOURNALS = ("metrics.jsonl", "timing.jsonl")
EVALUATION = "evaluation/"  # before a metric of an evaluation, in a row
SCORE = "-score"  # in the name of a game's file, before its score


@dataclass(frozen=True)
class RunFolder:
    """A run's folder; `create` a new one or `open` one that exists."""

    path: Path

    @classmethod
    def create(cls, path: Path, record: Mapping[str, Any]) -> RunFolder:
        """Make a new folder with its config.json.

        Raises:
            BadInputError: something is there already.
        """
        if path.exists():
            raise BadInputError(f"{path} exists; resume it with `sparring resume {path}`, or name another --out")
        try:
            for name in ("checkpoints", "episodes", "evaluations"):
                (path / name).mkdir(parents=True)
        except OSError as error:
            raise BadInputError(f"{path} cannot be made: {error.strerror}; name another --out") from None
        text = json.dumps({"format": FORMAT, **record}, indent=2)
        write_aside(path / "config.json", text.encode())
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open the folder of a run.

        Raises:
            BadInputError: it is not one, or another version wrote it.
        """
        folder = cls(path)
        if not path.is_dir():
            raise BadInputError(f"there is no run at {path}; `sparring list runs` shows those below runs/")
        if (path / SWEEP).is_file():
            raise BadInputError(f"{path} is a sweep; its runs are the folders seed-… in it, such as {path / 'seed-0'}")
        if not (path / "config.json").is_file():
            raise BadInputError(f"{path} is not a run: it has no config.json")
        if folder.record.get("format") != FORMAT:
            raise BadInputError(
                f"{path} was written in format {folder.record.get('format')}; this version reads {FORMAT}"
            )
        return folder

    @property
    def record(self) -> dict[str, Any]:
        """What config.json says."""
        try:
            record = json.loads((self.path / "config.json").read_text())
        except ValueError as error:
            raise BadInputError(f"{self.path / 'config.json'} is damaged: {error}") from None
        if not isinstance(record, dict):
            raise BadInputError(f"{self.path / 'config.json'} is not a run's record")
        return record

    @property
    def checkpoints(self) -> list[Path]:
        """Oldest first."""
        return sorted((self.path / "checkpoints").glob("*.pt"))

    @property
    def episodes(self) -> list[Path]:
        """The best of the newest evaluated update last."""

        def rank(path: Path) -> tuple[str, float]:
            name, _, score = path.stem.partition(SCORE)
            return name[:8], float(score or 0)

        return sorted((self.path / "episodes").glob("*.npz"), key=rank)

    @property
    def update(self) -> int | None:
        """The update of the newest checkpoint, as its name tells."""
        return int(self.checkpoints[-1].stem) if self.checkpoints else None

    def save(self, update: int, parts: Mapping[str, Stateful]) -> None:
        """Write a checkpoint of all parts, and let go of the oldest.

        Raises:
            DivergedError: a part is not finite any more; nothing was written.
        """
        for journal in JOURNALS:
            if (self.path / journal).exists():
                with (self.path / journal).open("rb") as file:
                    os.fsync(file.fileno())  # a checkpoint must not outlive its rows
        state = {"update": update, "parts": {name: part.state_dict() for name, part in parts.items()}}
        checkpoint.check_finite(state["parts"])
        checkpoint.write(self.path / "checkpoints" / f"{update:08d}.pt", state)
        for old in self.checkpoints[:-KEPT]:
            old.unlink()

    def restore(self, parts: Mapping[str, Stateful]) -> int | None:
        """Load the newest checkpoint into `parts`; its update, or None where the run has none yet.

        Raises:
            CheckpointError: it is damaged, or does not fit.
        """
        if not self.checkpoints:
            return None
        path = self.checkpoints[-1]
        state = checkpoint.read(path)
        try:
            for name, part in parts.items():
                part.load_state_dict(state["parts"][name])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise checkpoint.CheckpointError(f"{path} does not fit this experiment: {error}") from None
        return int(state["update"])

    def keep(self, update: int, evaluation: Evaluation) -> None:
        """Save an evaluation's numbers with their protocol, and its episodes."""
        for episode in evaluation.episodes:
            episode.save(self.path / "episodes" / f"{update:08d}-{episode.label}.npz")
        kind, seeds = evaluation.protocol.get("name", "evaluation"), evaluation.protocol.get("seeds", ["none"])
        count = len(evaluation.scores) or evaluation.protocol.get("samples", 0)
        name = f"{update:08d}-{kind}-seed{seeds[0]}-{count}.json"
        record = {"update": update, **evaluation.metrics, "scores": evaluation.scores, "protocol": evaluation.protocol}
        write_aside(self.path / "evaluations" / name, json.dumps(record, indent=2).encode())

    def judgement(self) -> dict[str, Any]:
        """The training's own last evaluation, as `keep` wrote it: metrics, scores and their protocol.

        Raises:
            BadInputError: there is none.
        """
        for row in reversed(list(self.rows())):
            told = judged_in(row)
            for path in (self.path / "evaluations").glob(f"{row['update']:08d}-*.json") if told else ():
                record = json.loads(path.read_text())
                if told.items() <= record.items():  # `sparring evaluate` may have kept others of the same update
                    return dict(record)
        raise BadInputError(f"{self.path} has no evaluation yet; go on with `sparring resume {self.path}`")

    def log(self, row: Row, seconds: Mapping[str, float]) -> None:
        """Append a line to each journal; numbers keep every bit."""
        timing = {"update": row["update"], **{stage: round(value, 6) for stage, value in seconds.items()}}
        for name, entry in zip(JOURNALS, (row, timing), strict=True):
            with (self.path / name).open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def rewind(self, update: int) -> None:
        """Forget the lines after `update`, which a crash left behind: they will be earned again."""
        for name in JOURNALS:
            kept = "".join(json.dumps(row) + "\n" for row in self.rows(name) if row["update"] <= update)
            write_aside(self.path / name, kept.encode())

    def rows(self, name: str = JOURNALS[0]) -> Iterator[dict[str, Any]]:
        """The whole lines of a journal, oldest first; a last line that a crash cut short is passed over.

        Raises:
            BadInputError: a line before the last is damaged.
        """
        path = self.path / name
        lines = path.read_text().splitlines() if path.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line)
            except ValueError:
                if number < len(lines):
                    raise BadInputError(f"{path} is damaged: line {number} is not JSON") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that two processes do not train the same run.

        Raises:
            BadInputError: another process holds it.
        """
        with (self.path / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadInputError(f"{self.path} is being trained by another process; stop that one first") from None
            yield


def judged_in(row: Row) -> dict[str, Any]:
    """What an evaluation found, of all that a row tells; empty where there was none."""
    return {name.removeprefix(EVALUATION): row[name] for name in row if name.startswith(EVALUATION)}


def known_by(row: Row) -> str:
    """The name of an evaluation's first metric in a row; empty where there was none."""
    return next((name for name in row if name.startswith(EVALUATION)), "")


def summaries(runs: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """(path, algorithm, steps, last evaluation's score, time of the last save) of each run below a folder."""
    for config in sorted([*runs.glob("*/config.json"), *runs.glob("*/seed-*/config.json")]):  # those of sweeps too
        try:
            yield _summary(RunFolder.open(config.parent))
        except (BadInputError, KeyError) as error:
            yield (str(config.parent), "damaged", str(error), "", "")


def _summary(folder: RunFolder) -> tuple[str, str, str, str, str]:
    rows, record = list(folder.rows()), folder.record
    step, wanted = rows[-1]["step"] if rows else 0, record["config"]["schedule"]["steps"]
    score = next((f"{row[name]:.4g}" for row in reversed(rows) if (name := known_by(row))), "")
    saved = max(path.stat().st_mtime for path in (folder.path / "config.json", *folder.checkpoints))
    when = f"{datetime.datetime.fromtimestamp(saved):%Y-%m-%d %H:%M}"
    return str(folder.path), str(record["algorithm"]), f"{step:,} of {wanted:,}", score, when
