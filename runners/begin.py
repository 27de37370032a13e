"""How a training begins at the command line: from words to options, from options to a job that fits this machine."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sparring.envs.errors import BadInputError
from sparring.runners import catalog
from sparring.runners.options import Begin, chosen_preset, option, parse_with_config

if TYPE_CHECKING:  # torch takes over a second to import
    from sparring.agents.protocol import Experiment
    from sparring.runners.job import Job

RUNS = Path("runs")


def algorithm_of(verb: str, kind: type[Begin], words: Sequence[str], console: Console) -> str | None:
    """The algorithm that `sparring train` or `sweep` is told; None where help was asked for, and shown.

    Raises:
        BadInputError: it is told none, or one that is not there.
    """
    asks_help = any(word in ("-h", "--help") for word in words)
    if not words or words[0].startswith("-"):
        console.print(
            f"sparring {verb} ALGO [options]; each algorithm has its own --help", markup=False, highlight=False
        )
        with catalog.without_torch():
            from sparring.runners import listing

            console.print(listing.algorithms_table())
        if asks_help:
            return None
        raise BadInputError(f"{verb} what? for example: sparring {verb} {next(iter(catalog.algorithms()))}")
    catalog.find(words[0])
    if asks_help:
        with catalog.without_torch():
            parse_training(verb, kind, words[0], words[1:])
    return words[0]


def parse_training(verb: str, kind: type[Begin], name: str, words: Sequence[str]) -> Any:
    """The options of `sparring train NAME` or `sparring sweep NAME`.

    Raises:
        BadInputError: two of them contradict each other, one has no effect, or nothing tells how many steps fit.
    """
    module = catalog.load(name)
    preset = chosen_preset(module.PRESETS, words)
    options = parse_with_config(kind, module.PRESETS[preset].config, words, f"sparring {verb} {name}")
    if options.minutes is not None and option(words, "steps") is not None:
        raise BadInputError(
            f"--steps {option(words, 'steps')} and --minutes {options.minutes:g} both set the length; give one"
        )
    if options.minutes is not None and getattr(options.config, "phased", False):
        raise BadInputError(
            f"--minutes {options.minutes:g}: {name} learns in phases whose updates cost differently, so the first ones "
            f"do not tell how many fit; use --steps, which is {options.config.schedule.steps:,} here"
        )
    typed = {word.partition("=")[0].replace("_", "-") for word in words}
    for field, why in getattr(options.config, "unused", {}).items():
        dashed = field.replace("_", "-")
        if typed & {f"--{dashed}", f"--no-{dashed}"}:
            raise BadInputError(f"--{dashed} changes nothing here, for {why}; leave it out")
    return options


def planned(name: str, options: Any, console: Console, *, seed: int, at_once: int = 1) -> tuple[Job, Experiment]:
    """The job that the options describe, settled for its networks and `at_once` like it, and its experiment."""
    from sparring.runners import job as jobs

    job = jobs.Job.plan(name, options.config, seed=seed, device=jobs.device_of(options.device))
    job = dataclasses.replace(job, threads=max(job.threads // at_once, 1))
    experiment = job.build()
    settled = jobs.settled(job, experiment)
    if settled.threads != job.threads:
        experiment = settled.build()
    job = settled
    if options.minutes is not None:
        job = within(options.minutes, job, console)
        experiment = job.build()
    return job, experiment


def within(minutes: float, job: Job, console: Console) -> Job:
    """The job with as many steps as fit into the minutes at this machine's speed, measured on a throw-away copy.

    The copy of a learner that first fills a replay buffer learns at once, or the speed would be that of the worlds.
    """
    from sparring.runners.budget import steps_in

    at_once = {"learning_starts": 0} if hasattr(job.config, "learning_starts") else {}
    copy = dataclasses.replace(job, config=dataclasses.replace(job.config, **at_once))
    with console.status(f"measuring the speed of {job.title} …"):
        steps = steps_in(minutes, copy.build)
    console.print(f"{minutes:g} minutes are {steps:,} steps at this machine's speed", highlight=False)
    schedule = dataclasses.replace(job.config.schedule, steps=steps)
    return dataclasses.replace(job, config=dataclasses.replace(job.config, schedule=schedule))


def new_path(algorithm: str, config: Any, ending: str) -> Path:
    """Below runs/, named after what is learned and the time."""
    from sparring.runners.job import where

    name = "-".join([algorithm, *(env.split("/")[-1] for env in where(config)[:1])])
    return RUNS / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}-{ending}"
