"""One sitting of a run at the command line: train it, show it, and say how to go on."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from sparring.agents.protocol import Evaluation, Experiment
from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.runners import job as jobs
from sparring.runners import keepsakes, replay, report
from sparring.runners.dashboard import Dashboard
from sparring.runners.exits import INTERRUPTED
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job
from sparring.runners.tracker import Fanout, Mode, Tracker, open_wandb
from sparring.runners.train import StoppedError, train


def run_to_end(job: Job, experiment: Experiment, folder: RunFolder, track: Mode, console: Console) -> int:
    """Train until done or stopped; show, save and prove what came of it."""
    how = "the run stopped; all of it is saved"
    try:
        with folder.locked(), contextlib.closing(open_mirror(folder, track, console)) as mirror:
            evaluation = watch_training(job, experiment, folder, mirror, console)
            show(evaluation, folder, job, mirror, console)
        report.farewell(console, folder, command=own_command, again=jobs.longer(job))
        return 0
    except StoppedError:
        pass
    except KeyboardInterrupt:
        how = "stopped at once; what came after the last save will be learned again"
    console.print(how)
    command = f"{own_command('sparring')} resume {folder.path}"
    console.print(f"go on with: [bold]{escape(command)}[/]", highlight=False, soft_wrap=True)
    return INTERRUPTED


def open_mirror(folder: RunFolder, track: Mode, console: Console) -> Tracker:
    """The run's tracker, told all rows up to the newest checkpoint that it may have missed."""
    record = folder.record
    mirror = open_wandb(
        track,
        folder=folder.path,
        run_id=record["run_id"],
        name=folder.path.name,
        config=record,
        warn=lambda text: console.print(f"[yellow]W&B:[/] {escape(text)}", highlight=False),
    )
    for row, timing in zip(folder.rows(), folder.rows("timing.jsonl"), strict=False):
        if row["update"] <= (folder.update or 0):  # later rows will be earned again
            mirror.log(row, {stage: seconds for stage, seconds in timing.items() if stage != "update"})
    return mirror


def watch_training(
    job: Job, experiment: Experiment, folder: RunFolder, mirror: Tracker, console: Console
) -> Evaluation:
    """Train with the dashboard on; the first Ctrl-C stops after the update in progress."""
    run = job.run(experiment.source.steps_per_draw)
    title, steps = f"{job.title} → {folder.path}", run.updates * experiment.source.steps_per_draw
    with Dashboard(console, title, steps) as dashboard, stop_signals(dashboard.say) as stop:
        return train(experiment, run, Fanout([mirror, dashboard]), folder, stop, dashboard.watch)


def show(evaluation: Evaluation, folder: RunFolder, job: Job, mirror: Tracker, console: Console) -> None:
    """What was found, the curve, and the best game or the samples: made again, proved and filmed."""
    report.scores(console, evaluation, "evaluation")
    report.curve(folder, job.title)
    if not evaluation.episodes:
        return
    kept = keepsakes.together(folder.episodes)
    path, best = folder.episodes[-1], kept[-1]
    what = f"{path} ({path.stat().st_size / 1000:.1f} kB)"
    console.print(f"{keepsakes.title(best)}: {what}", highlight=False, soft_wrap=True)
    if keepsakes.prove(best, console).step is not None:
        raise BadInputError(f"{path} does not replay; please report this")
    shown = keepsakes.show(kept)
    try:
        if keepsakes.has_words(kept):
            write_aside(path.with_suffix(".txt"), "\n".join([*keepsakes.read(kept), ""]).encode())
            mirror.text(path.with_suffix(".txt"))
        film, strip = path.with_suffix(".mp4"), path.with_suffix(".png")
        replay.film(shown, film, console=console)
        replay.strip(shown, strip)
        mirror.film(film, keepsakes.title(best))
        mirror.picture(strip, keepsakes.title(best))
    except (BadInputError, OSError) as error:  # no pictures, or no room: the run itself is done and saved
        console.print(f"[yellow]no film:[/] {escape(str(error))}", highlight=False)


def own_command(name: str) -> str:
    """How to call a program that was installed beside this one: by its name where the shell finds it."""
    program = Path(sys.executable).parent / name
    if shutil.which(name) == str(program):
        return name
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


@contextlib.contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C (or SIGTERM) ask for a stop after the update in progress, and the second stop at once.

    So does a terminal that is closed, unless `nohup` has said that it must not matter.
    """
    asked: list[int] = []

    def hear(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        say("stopping after this update; Ctrl-C again stops at once and goes back to the last save")

    closing = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM, *closing)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
