"""What a sweep leaves behind: one job on several seeds, each an ordinary run, all below one folder.

sweep.json     the job, the seeds, and at the end what they say together
seed-K/        the run of seed K, which `sparring resume`, `evaluate` and `replay` understand
seed-K.log     what it said
curves.png     the scores as a picture
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.runners import job as jobs
from sparring.runners.folder import FORMAT, SWEEP, RunFolder
from sparring.runners.job import Job

NEEDED = {"updates", "steps", "minutes", "seeds"}  # in a record, beside what a job needs
LEFTOVERS = {".lock", f"{SWEEP}.part"}  # of a crash before there was a record


@dataclass(frozen=True)
class Sweep:
    """A sweep and its folder: `plan` a new one or `open` one that exists; nothing is written before `written`."""

    path: Path
    record: Mapping[str, Any]  # what sweep.json holds

    @classmethod
    def plan(cls, path: Path, job: Job, steps_per_draw: int, seeds: Sequence[int], minutes: float | None) -> Sweep:
        """A new sweep of a job that draws so many steps an update; `minutes` is what its length was chosen by."""
        record = {name: value for name, value in job.record().items() if name not in ("seed", "run_id")}
        updates = job.run(steps_per_draw).updates
        length = {"updates": updates, "steps": updates * steps_per_draw, "minutes": minutes}
        return cls(path, {"format": FORMAT, **record, **length, "seeds": list(seeds)})

    @classmethod
    def open(cls, path: Path) -> Sweep | None:
        """The sweep that lies there; None where nothing does.

        Raises:
            BadInputError: something else does, or its sweep.json is damaged or was written by another version.
        """
        if not (path / SWEEP).is_file():
            if path.exists() and not (path.is_dir() and {file.name for file in path.iterdir()} <= LEFTOVERS):
                raise BadInputError(f"{path} exists and is no sweep; name another --out")
            return None
        try:
            record = json.loads((path / SWEEP).read_text())
        except ValueError as error:
            raise BadInputError(f"{path / SWEEP} is damaged: {error}") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT or not record.keys() >= NEEDED:
            raise BadInputError(f"{path / SWEEP} is no record of a sweep in format {FORMAT}, which this version reads")
        return cls(path, record)

    @functools.cached_property
    def job(self) -> Job:
        """The job, on the first of its seeds."""
        return Job.read({**self.record, "seed": self.seeds[0]}, self.path / SWEEP)

    @property
    def seeds(self) -> list[int]:
        """In the order in which they are begun."""
        return list(self.record["seeds"])

    @property
    def title(self) -> str:
        """One line for people."""
        return " · ".join([self.job.algorithm, *jobs.where(self.job.config), f"{len(self.seeds)} seeds"])

    def with_record(self, **changes: Any) -> Sweep:
        """The sweep with a changed record."""
        return Sweep(self.path, {**self.record, **changes})

    def written(self) -> Sweep:
        """Write sweep.json."""
        write_aside(self.path / SWEEP, json.dumps(self.record, indent=2).encode())
        return self

    def of(self, seed: int) -> Job:
        """The job of one seed."""
        return dataclasses.replace(self.job, seed=seed)

    def folder(self, seed: int) -> RunFolder:
        """Where the run of a seed lies, or will."""
        return RunFolder(self.path / f"seed-{seed}")

    def log(self, seed: int) -> Path:
        """What the run of a seed says."""
        return self.path / f"seed-{seed}.log"

    def is_complete(self, seed: int) -> bool:
        """Whether the run of a seed has learned and been judged to its end."""
        return self.folder(seed).update == int(self.record["updates"])

    def asked_again(self, algorithm: str, config: Any, seeds: Sequence[int], minutes: float | None) -> Sweep:
        """The sweep, with those seeds that are new to it.

        Raises:
            BadInputError: another algorithm or other options are asked for.
        """
        asked = dataclasses.replace(self.job, algorithm=algorithm, config=self._settled(config, minutes))
        changed = jobs.differences(self.job, asked)
        if minutes not in (None, self.record["minutes"]):
            changed.append(f"--minutes: the run has {self.record['minutes']}, you ask for {minutes:g}")
        if changed:
            lines = "\n  ".join(changed)
            raise BadInputError(
                f"{self.path} cannot go on with other options; name another --out for these:\n  {lines}"
            )
        return self.with_record(seeds=[*self.seeds, *(seed for seed in seeds if seed not in self.seeds)])

    def _settled(self, config: Any, minutes: float | None) -> Any:
        """A configuration in which what was settled when the sweep began, for its hardware, is as it was settled."""
        stored = self.job.config
        if getattr(config, "precision", None) == "auto":
            config = dataclasses.replace(config, precision=stored.precision)
        if minutes is not None:
            schedule = dataclasses.replace(config.schedule, steps=stored.schedule.steps)
            config = dataclasses.replace(config, schedule=schedule)
        return config

    def check_runs(self) -> None:
        """Make sure that the seeds' folders hold the runs of this sweep.

        Raises:
            BadInputError: one holds something else.
        """
        for seed in self.seeds:
            path = self.folder(seed).path
            changed = jobs.differences(Job.of(RunFolder.open(path)), self.of(seed)) if path.exists() else []
            if changed:
                raise BadInputError("\n  ".join([f"{path} is no run of this sweep; move it away:", *changed]))

    def begin(self, seed: int) -> RunFolder:
        """The folder of a seed's run; where there is none it is made, whole or not at all."""
        folder = self.folder(seed)
        if not folder.path.exists():
            aside = self.path / f".{folder.path.name}"
            shutil.rmtree(aside, ignore_errors=True)  # a crash may have left it
            RunFolder.create(aside, self.of(seed).record())
            aside.rename(folder.path)
        return folder


def check_enough(algorithm: str, seeds: Sequence[int]) -> None:
    """Make sure that a new sweep has more than one seed.

    Raises:
        BadInputError: it has not.
    """
    if len(seeds) < 2:
        alone = f"sparring train {algorithm} --seed {seeds[0]}"
        raise BadInputError(f"a sweep takes at least two seeds; for one there is `{alone}`")
