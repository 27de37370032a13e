"""The command `sparring`: train, resume, evaluate, replay, list.

Options are made from each algorithm's Config. Heavy packages are imported only once there is something to do, so help
comes at once.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.runners import catalog
from sparring.runners.options import (
    Evaluate,
    List,
    Replay,
    Resume,
    Train,
    chosen_preset,
    option,
    parse,
    parse_with_config,
)

if TYPE_CHECKING:  # torch takes over a second to import
    from sparring.runners.folder import RunFolder
    from sparring.runners.job import Job

USAGE = r"""[bold]sparring[/] — somebody learning against somebody

  [bold]sparring train[/] ALGO     learn a world, then show what was learned
                    \[--preset NAME] \[--env ID] \[--steps N | --minutes M] \[--seed S] \[--out DIR] …
  [bold]sparring resume[/] RUN     go on exactly where a run stopped
  [bold]sparring evaluate[/] RUN   play full games for a score with its interval
                    \[--episodes N] \[--protocol NAME]
  [bold]sparring replay[/] RUN     watch a saved game, or prove it; takes an episode's file too
                    \[--view terminal|mp4|gif|verify]
  [bold]sparring list[/]           what there is: algorithms, worlds, presets, runs

Each has its own --help, and so has each algorithm: sparring train ppo --help."""

RUNS = Path("runs")
FAILED = 2  # exit codes
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line; bad input is explained and exits with code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    console = Console()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads: threads that spin while they wait
    # slow the emulators' threads, and on a busy machine each other tenfold
    try:
        sys.exit(dispatch(words, console))
    except BadInputError as error:
        Console(stderr=True).print(f"[red]sparring:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        Console(stderr=True).print("sparring: interrupted", highlight=False)
        sys.exit(INTERRUPTED)


def dispatch(words: list[str], console: Console) -> int:
    """The exit code of a command line."""
    if not words or words[0] in ("-h", "--help"):
        console.print(USAGE, highlight=False, soft_wrap=True)
        return 0
    verbs: dict[str, Callable[[list[str], Console], int]] = {
        "train": train_command,
        "resume": resume_command,
        "evaluate": evaluate_command,
        "replay": replay_command,
        "list": list_command,
    }
    if words[0] not in verbs:
        raise UnknownNameError("command", words[0], verbs)
    return verbs[words[0]](words[1:], console)


def train_command(words: list[str], console: Console) -> int:
    """sparring train ALGO …"""
    asks_help = any(word in ("-h", "--help") for word in words)
    if not words or words[0].startswith("-"):
        console.print("sparring train ALGO [options]; each algorithm has its own --help", markup=False, highlight=False)
        with catalog.without_torch():
            from sparring.runners import listing

            console.print(listing.algorithms_table())
        if asks_help:
            return 0
        raise BadInputError(f"train what? for example: sparring train {next(iter(catalog.algorithms()))}")
    name = words[0]
    catalog.find(name)
    if asks_help:
        with catalog.without_torch():
            parse_train(name, words[1:])
    from sparring.runners import job as jobs
    from sparring.runners.session import run_to_end

    options = parse_train(name, words[1:])
    if options.minutes is not None and option(words, "steps") is not None:
        raise BadInputError(
            f"--steps {option(words, 'steps')} and --minutes {options.minutes:g} both set the length; give one"
        )
    job = jobs.Job.plan(name, options.config, seed=options.seed, device=jobs.device_of(options.device))
    if options.out is not None and options.out.exists():
        raise BadInputError(f"{options.out} exists; go on with `sparring resume {options.out}`, or name another --out")
    experiment = job.build()
    fitting = jobs.with_fitting_threads(job, experiment)
    if fitting != job:
        job, experiment = fitting, fitting.build()
    if options.minutes is not None:
        job = within(options.minutes, job, console)
        experiment = job.build()
    folder = new_folder(options.out, job)
    return run_to_end(job, experiment, folder, options.track, console)


def parse_train(name: str, words: Sequence[str]) -> Any:
    """The options of `sparring train NAME`."""
    module = catalog.load(name)
    preset = chosen_preset(module.PRESETS, words)
    return parse_with_config(Train, module.PRESETS[preset].config, words, f"sparring train {name}")


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


def new_folder(out: Path | None, job: Job) -> RunFolder:
    """The run's folder, with its config.json."""
    from sparring.runners.folder import RunFolder
    from sparring.runners.job import where

    if out is None:
        name = "-".join([job.algorithm, *(env.split("/")[-1] for env in where(job.config)[:1])])
        out = RUNS / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}-seed{job.seed}"
    return RunFolder.create(out, job.record())


def resume_command(words: list[str], console: Console) -> int:
    """sparring resume RUN …"""
    if not words or words[0].startswith("-"):
        console.print(
            "sparring resume RUN [options]: goes on where the run stopped; its own options must not change",
            markup=False,
        )
        if any(word in ("-h", "--help") for word in words):
            return 0
        raise BadInputError("resume which run? `sparring list runs` shows them")
    from sparring.runners import checkpoint
    from sparring.runners import job as jobs
    from sparring.runners.folder import RunFolder
    from sparring.runners.session import run_to_end

    folder = RunFolder.open(Path(words[0]))
    stored = jobs.Job.of(folder)
    options = parse_with_config(Resume, stored.config, words[1:], f"sparring resume {words[0]}", seed=stored.seed)
    asked = dataclasses.replace(stored, seed=options.seed, config=options.config)
    changed = jobs.differences(stored, asked)
    if changed:
        lines = "\n  ".join(changed)
        raise BadInputError(f"{folder.path} cannot go on with other options; start a new run for these:\n  {lines}")
    asked = jobs.at_home(asked, options.device)
    for warning in jobs.inexact(stored, asked, folder.record):
        console.print(f"[yellow]note:[/] {warning}", highlight=False)
    if hasattr(asked.config, "buffer_size"):
        most = min(asked.config.buffer_size, asked.config.schedule.steps)
        console.print(f"playing up to {most:,} steps again to fill the replay buffer as it was …", highlight=False)
    if folder.checkpoints:
        checkpoint.read(folder.checkpoints[-1])  # a damaged one is named before anything is written
    experiment = asked.build()
    if folder.update == asked.run(experiment.source.steps_per_draw).updates:
        console.print(
            f"{folder.path} is complete; `sparring evaluate` judges it, and a new run with more --steps learns more"
        )
        return 0
    return run_to_end(asked, experiment, folder, options.track, console)


def evaluate_command(words: list[str], console: Console) -> int:
    """sparring evaluate RUN …"""
    options = parse(Evaluate, words, "sparring evaluate")
    from sparring.runners import job as jobs
    from sparring.runners import report
    from sparring.runners.folder import RunFolder

    folder = RunFolder.open(options.run)
    job = jobs.Job.of(folder)
    job = dataclasses.replace(
        job,
        config=jobs.judged(job.config, games=options.episodes, protocol=options.protocol),
        seed=job.seed if options.seed is None else options.seed,
    )
    experiment = jobs.at_home(job, options.device).build()
    update = folder.restore(experiment.algorithm.parts())
    if update is None:
        raise BadInputError(f"{folder.path} has no checkpoint yet; train it with `sparring resume {folder.path}`")
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("playing")
        evaluation = experiment.evaluate(
            experiment.algorithm, watch=lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    report.scores(console, evaluation, f"{folder.path.name}, update {update}")
    folder.keep(update, evaluation)
    return 0


def replay_command(words: list[str], console: Console) -> int:
    """sparring replay RUN|EPISODE …"""
    options = parse(Replay, words, "sparring replay")
    from sparring.envs import episodes
    from sparring.runners import replay
    from sparring.runners.folder import RunFolder

    path = options.source
    if path.is_dir():
        saved = RunFolder.open(path).episodes
        if not saved:
            raise BadInputError(f"{path} has no episodes yet; `sparring evaluate {path}` plays some")
        path = saved[-1]
    episode = episodes.load(path)
    view = options.view if options.view != "auto" else "terminal" if console.is_terminal else "verify"
    if view == "verify":
        return FAILED if replay.prove(episode, console).step is not None else 0
    if view == "terminal":
        replay.play(episode, console, speed=options.speed)
        return 0
    film = options.out or path.with_suffix(f".{view}")
    replay.film(episode, film, console=console)
    console.print(f"wrote {film}", highlight=False, soft_wrap=True)
    return 0


def list_command(words: list[str], console: Console) -> int:
    """sparring list …"""
    what = parse(List, words, "sparring list").what
    with catalog.without_torch():
        from sparring.runners import listing

        for name, table in listing.TABLES.items():
            if what in ("all", name):
                console.print(table(RUNS))
    return 0


if __name__ == "__main__":
    main()
