"""A job is a run on paper: algorithm, seed, configuration. From it, or from config.json, the experiment is built."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
import typing
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from sparring.agents import networks
from sparring.agents.protocol import Experiment, place_of, world_of
from sparring.envs import worlds as door
from sparring.envs.errors import BadInputError
from sparring.runners import catalog
from sparring.runners.folder import RunFolder
from sparring.runners.train import Run

DeviceName = Literal["auto", "cpu", "cuda"]
SMALL = 1_000_000  # weights: MLPs of 300,000 learn faster on one thread, the Nature network of 1.7 million on two
PACKAGES = ("sparring", "torch", "numpy", "gymnasium", "ale-py", "stable-baselines3")


@dataclass(frozen=True)
class Job:
    """All that decides what a run learns (`config`, `seed`), and on what it was computed (`device`, `threads`)."""

    algorithm: str
    seed: int
    config: Any  # the algorithm's own Config
    device: str
    threads: int

    @property
    def title(self) -> str:
        """One line for people."""
        return " · ".join([self.algorithm, *where(self.config), f"seed {self.seed}"])

    def build(self) -> Experiment:
        """The experiment, ready to be trained or restored."""
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32: what was computed here is proved elsewhere
        try:
            return catalog.load(self.algorithm).experiment(self.config, seed=self.seed, device=self.device)  # type: ignore[no-any-return]
        except networks.SpaceError as error:
            raise BadInputError(
                f"{self.algorithm} cannot learn {' under '.join(where(self.config))}: {error}"
            ) from None

    @classmethod
    def plan(cls, algorithm: str, config: Any, *, seed: int, device: str) -> Job:
        """A new job on all cores; `settled` for its network, once that is built."""
        return cls(algorithm, seed, config, device, cores())

    def run(self, steps_per_draw: int) -> Run:
        """The schedule in updates."""
        schedule = self.config.schedule
        return Run(self.seed, -(-schedule.steps // steps_per_draw), schedule.save_every, schedule.evaluate_every)

    def record(self) -> dict[str, Any]:
        """What config.json holds."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "config": dataclasses.asdict(self.config),
            "protocol": protocol(self.config),
            "run_id": uuid.uuid4().hex[:8],
            "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": shlex.join(["sparring", *sys.argv[1:]]),
            "versions": versions(),
        }

    @classmethod
    def of(cls, folder: RunFolder) -> Job:
        """The job that a folder was made for.

        Raises:
            BadInputError: its config.json does not fit this version.
        """
        return cls.read(folder.record, folder.path / "config.json")

    @classmethod
    def read(cls, record: Mapping[str, Any], path: Path) -> Job:
        """The job that `record` told of; `path` is where that was read, for people.

        Raises:
            BadInputError: it does not fit this version.
        """
        try:
            config = rebuild(catalog.load(record["algorithm"]).Config, record["config"])
            return cls(record["algorithm"], record["seed"], config, record["device"], record["threads"])
        except (KeyError, TypeError) as error:
            raise BadInputError(f"{path} does not fit this version: {error}") from None


def protocol(config: Any) -> dict[str, Any]:
    """The whole record of the rules behind the protocol's name, for an algorithm that plays under one."""
    world = world_of(config)
    return dataclasses.asdict(door.protocol_of(world)) if world else {}


def where(config: Any) -> list[str]:
    """The world and its protocol, or the data, for an algorithm that has them."""
    world = world_of(config)
    return [world.env, world.protocol] if world else [place_of(config)] if place_of(config) else []


def rebuild(kind: type, values: Mapping[str, Any]) -> Any:
    """A (nested) frozen dataclass from its `dataclasses.asdict`.

    What tells no precision is older than that option, and learned in fp32.

    Raises:
        TypeError: a field is missing or unknown.
    """
    kinds = typing.get_type_hints(kind)
    nested = {name for name in values if dataclasses.is_dataclass(kinds.get(name))}
    if "precision" in kinds:
        values = {"precision": "fp32", **values}
    return kind(**{name: rebuild(kinds[name], value) if name in nested else value for name, value in values.items()})


def flatten(config: Any) -> Iterator[tuple[str, Any]]:
    """(option, value) of a nested dataclass, as the command line names them."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from flatten(value)
        else:
            yield f"--{field.name.replace('_', '-')}", value


def differences(stored: Job, asked: Job) -> list[str]:
    """What would learn differently, one line an option."""
    if stored.algorithm != asked.algorithm:
        return [f"algorithm: the run has {stored.algorithm}, you ask for {asked.algorithm}"]
    changed = list(_changed(stored.config, asked.config))
    if stored.seed != asked.seed:
        changed.append(("--seed", stored.seed, asked.seed))
    return [f"{option}: the run has {old}, you ask for {new}" for option, old, new in changed]


def _changed(before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """(option, before, after) wherever two configurations differ."""
    for (option, old), (_, new) in zip(flatten(before), flatten(after), strict=True):
        if old != new:
            yield option, old, new


def inexact(stored: Job, asked: Job, record: Mapping[str, Any]) -> list[str]:
    """Why a resumed run may not equal the uninterrupted one to the last bit."""
    reasons = []
    if stored.device != asked.device:
        reasons.append(f"the run was on {stored.device} and goes on on {asked.device}")
    changed = [f"{option} {old} → {new}" for option, old, new in _changed(stored.config, asked.config)]
    if changed:
        reasons.append(f"this hardware computes otherwise: {', '.join(changed)}")
    if record["protocol"] != protocol(asked.config):
        reasons.append(f"the protocol {asked.config.world.protocol} is no longer what it was")
    now = versions()
    changed = [f"{name} {old} → {now.get(name)}" for name, old in record["versions"].items() if old != now.get(name)]
    if changed:
        reasons.append(f"other versions or hardware: {', '.join(changed)}")
    return [f"{reason}; the numbers will agree, but not to the last bit" for reason in reasons]


def judged(config: Any, *, count: int | None, protocol: str | None) -> Any:
    """A configuration whose evaluation plays `count` games, or draws so many samples, under `protocol`.

    None is what the training's own evaluations did.

    Raises:
        BadInputError: the algorithm plays no world that has protocols.
    """
    if count is not None:
        config = dataclasses.replace(config, schedule=config.schedule.judging(count))
    if protocol is None:
        return config
    world = world_of(config)
    if world is None:
        raise BadInputError(f"--protocol {protocol}: this algorithm plays no world, so it has no protocols")
    trained = door.protocol_of(world)
    asked = door.protocol_of(dataclasses.replace(world, protocol=protocol))
    if trained.full_action_space != asked.full_action_space:
        known = door.module_of(world.env).PROTOCOLS.values()
        fitting = [rules.name for rules in known if rules.full_action_space == trained.full_action_space]
        raise BadInputError(
            f"the run was trained under {trained.name} and {asked.name} has other actions; "
            f"it can be evaluated under {', '.join(fitting)}"
        )
    return dataclasses.replace(config, world=dataclasses.replace(world, protocol=protocol))


def device_of(name: DeviceName) -> str:
    """The device to compute on; `auto` takes a GPU where there is one.

    Raises:
        BadInputError: cuda was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInputError("--device cuda: PyTorch sees no GPU here; use --device cpu, or auto")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def at_home(job: Job, device: DeviceName) -> Job:
    """A stored job as this machine can compute it: on `device` (auto: where it was, if that is here), in a precision
    that the hardware has.

    Raises:
        BadInputError: cuda was asked for and there is none.
    """
    here = device_of(device)
    if device == "auto" and job.device == "cpu":
        here = "cpu"
    config = job.config
    if getattr(config, "precision", None) == "bf16" and not networks.has_bf16(here):
        config = dataclasses.replace(config, precision="fp32")
    return dataclasses.replace(job, device=here, config=config)


def settled(job: Job, experiment: Experiment) -> Job:
    """The job as its networks, once built, want it; a resume stays with it.

    On one thread where they are so small that sharing the work costs more than it saves, and in the precision that
    `auto` came to on this hardware.
    """
    modules = [part for part in experiment.algorithm.parts().values() if isinstance(part, torch.nn.Module)]
    weights = sum(weight.numel() for module in modules for weight in module.parameters())
    config, precision = job.config, getattr(experiment.algorithm, "precision", None)
    if precision is not None and hasattr(config, "precision"):
        config = dataclasses.replace(config, precision=precision)
    return dataclasses.replace(job, config=config, threads=job.threads if weights > SMALL else 1)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The CPU's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions() -> dict[str, str]:
    """Of everything that may change a result; the processor is, whose kernels add in an order of their own."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages, "processor": processor()}


def longer(job: Job) -> str:
    """The command line of a run like this one, ten times as long: the nearest preset and what differs from it."""
    presets = catalog.load(job.algorithm).PRESETS

    def changes(name: str) -> list[tuple[str, Any]]:
        changed = _changed(presets[name].config, job.config)
        return [(option, new) for option, _, new in changed if option not in ("--steps", "--precision")]

    nearest = min(presets, key=lambda name: len(changes(name)))
    words = ["train", job.algorithm, "--preset", nearest]
    for option, value in changes(nearest):
        words += [option if value else f"--no-{option[2:]}"] if isinstance(value, bool) else [option, str(value)]
    return shlex.join([*words, "--steps", str(10 * job.config.schedule.steps)])
