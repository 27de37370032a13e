"""The command `sparring`: train, resume, evaluate, replay, list.

Options are made from each algorithm's Config. Heavy packages are imported only once there is something to do, so help
comes at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from sparring.envs.errors import BadInputError, UnknownNameError, check_ranges
from sparring.runners import catalog
from sparring.runners.tracker import Mode, Tracker

if TYPE_CHECKING:  # torch takes over a second to import
    from sparring.agents.protocol import Evaluation, Experiment
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
FAILED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
SCALES = {"k": 10**3, "M": 10**6, "G": 10**9}
numbers = tyro.constructors.ConstructorRegistry()


def count(text: str) -> int:
    """10000, 10_000, 1e6, 64k, 10M → int.

    Raises:
        ValueError: it is not a whole number.
    """
    digits, scale = (text[:-1], SCALES[text[-1]]) if text[-1:] in SCALES else (text, 1)
    try:
        value = Decimal(digits) * scale
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value != int(value):
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


@numbers.primitive_rule
def _count_rule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    if info.type is not int:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=lambda words: count(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


@dataclass(frozen=True)
class Where:
    """Options of every training that do not change what is learned."""

    track: Mode = "auto"
    """W&B: auto is online where you are logged in, else offline; off does without"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one"""


@dataclass(frozen=True)
class Train(Where):
    """Options of `sparring train` beside the algorithm's own."""

    preset: str | None = None
    """settings to start from (`sparring list presets`); other options change them; default: what fits the world"""
    minutes: float | None = None
    """measure the speed first and choose the steps that take this long"""
    out: Path | None = None
    """folder of the run; default: a new one below runs/"""
    seed: int = 0
    """everything random follows from it"""

    def __post_init__(self) -> None:
        check_ranges(self, seed=(0, inf))
        if self.minutes is not None and not 0 < self.minutes < inf:
            raise BadInputError(f"minutes is {self.minutes:g}; it must be positive")


@dataclass(frozen=True)
class Resume(Where):
    """Options of `sparring resume` beside the run's own, which must not change."""

    seed: int = 0
    """as the run has it"""


@dataclass(frozen=True)
class Evaluate:
    """Play full games with a trained policy."""

    run: Annotated[Path, tyro.conf.Positional]
    """the run's folder"""
    episodes: int = 100
    """how many games"""
    protocol: str | None = None
    """rules to play under; default: those of the training"""
    seed: int | None = None
    """of the games; default: the run's"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto computes where the run did, if that is here"""

    def __post_init__(self) -> None:
        check_ranges(self, episodes=(2, inf))
        if self.seed is not None:
            check_ranges(self, seed=(0, inf))


@dataclass(frozen=True)
class Replay:
    """Watch a saved game, or prove it."""

    source: Annotated[Path, tyro.conf.Positional]
    """an episode (.npz), or a run: then the best game of its newest evaluated update"""
    view: Literal["auto", "terminal", "mp4", "gif", "verify"] = "auto"
    """auto is terminal on a terminal, else verify"""
    out: Path | None = None
    """where an mp4 or gif goes; default: beside the episode"""
    speed: float = 1.0
    """of the terminal view; 2 is twice real time"""


@dataclass(frozen=True)
class List:
    """Show what there is."""

    what: Annotated[Literal["all", "algorithms", "worlds", "presets", "runs"], tyro.conf.Positional] = "all"
    """only these"""


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


def parse(kind: type, words: Sequence[str], prog: str, default: Any = None) -> Any:
    """A record from the words of a command line; `--help` and mistakes print and exit."""
    given = {} if default is None else {"default": default}
    return tyro.cli(kind, args=list(words), prog=prog, config=(tyro.conf.OmitArgPrefixes,), registry=numbers, **given)


def parse_with_config(kind: type, config: Any, words: Sequence[str], prog: str, **values: Any) -> Any:
    """Like `parse`, with an algorithm's options beside those of `kind`; `config` and `values` are the defaults."""
    group: Any = Annotated[type(config), tyro.conf.arg(name="")]
    both = dataclasses.make_dataclass(kind.__name__, [("config", group)], bases=(kind,), frozen=True, kw_only=True)
    return parse(both, words, prog, both(config=config, **values))


def option(words: Sequence[str], name: str) -> str | None:
    """The value of `--name` among the words, before they are parsed."""
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == f"--{name}":
            return following
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def chosen_preset(presets: dict[str, Any], words: Sequence[str]) -> str:
    """The preset that a command line starts from: the one it names, else the first whose world is of the same kind."""
    from sparring.envs.worlds import module_of

    name, env = option(words, "preset"), option(words, "env")
    if name is not None and name not in presets:
        raise UnknownNameError("preset", name, presets)
    if name is not None or env is None:
        return name or next(iter(presets))
    same = [key for key, preset in presets.items() if preset.config.world.env == env]
    kin = [key for key, preset in presets.items() if module_of(preset.config.world.env) is module_of(env)]
    return [*same, *kin, next(iter(presets))][0]


def train_command(words: list[str], console: Console) -> int:
    """sparring train ALGO …"""
    asks_help = any(word in ("-h", "--help") for word in words)
    if not words or words[0].startswith("-"):
        console.print("sparring train ALGO [options]; each algorithm has its own --help", highlight=False)
        console.print(algorithms_table())
        if asks_help:
            return 0
        raise BadInputError(f"train what? for example: sparring train {next(iter(catalog.algorithms()))}")
    name = words[0]
    catalog.find(name)
    if asks_help:
        with catalog.without_torch():
            parse_train(name, words[1:])
    from sparring.runners import job as jobs

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
    """The job with as many steps as fit into the minutes at this machine's speed, measured on a throw-away copy."""
    from sparring.runners.budget import steps_in

    with console.status(f"measuring the speed of {job.title} …"):
        steps = steps_in(minutes, job.build)
    console.print(f"{minutes:g} minutes are {steps:,} steps at this machine's speed", highlight=False)
    schedule = dataclasses.replace(job.config.schedule, steps=steps)
    return dataclasses.replace(job, config=dataclasses.replace(job.config, schedule=schedule))


def new_folder(out: Path | None, job: Job) -> RunFolder:
    """The run's folder, with its config.json."""
    from sparring.runners.folder import RunFolder

    if out is None:
        world = "-".join(part.split("/")[-1] for part in where_names(job))
        out = RUNS / f"{job.algorithm}-{world}-{datetime.datetime.now():%Y%m%d-%H%M%S}-seed{job.seed}"
    return RunFolder.create(out, job.record())


def where_names(job: Job) -> list[str]:
    """The world's id, where there is one."""
    from sparring.runners.job import where

    return where(job.config)[:1]


def resume_command(words: list[str], console: Console) -> int:
    """sparring resume RUN …"""
    if not words or words[0].startswith("-"):
        console.print("sparring resume RUN [options]: goes on where the run stopped; its own options must not change")
        if any(word in ("-h", "--help") for word in words):
            return 0
        raise BadInputError("resume which run? `sparring list runs` shows them")
    from sparring.runners import checkpoint
    from sparring.runners import job as jobs
    from sparring.runners.folder import RunFolder

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
    if folder.checkpoints:
        checkpoint.read(folder.checkpoints[-1])  # a damaged one is named before anything is written
    experiment = asked.build()
    if folder.update == asked.run(experiment.source.steps_per_draw).updates:
        console.print(
            f"{folder.path} is complete; `sparring evaluate` judges it, and a new run with more --steps learns more"
        )
        return 0
    return run_to_end(asked, experiment, folder, options.track, console)


def run_to_end(job: Job, experiment: Experiment, folder: RunFolder, track: Mode, console: Console) -> int:
    """Train until done or stopped; show, save and prove what came of it."""
    from sparring.runners import job as jobs
    from sparring.runners import report
    from sparring.runners.train import StoppedError

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
    from sparring.runners.tracker import open_wandb

    record = folder.record
    told = (row["update"] for row in folder.rows()) if (folder.path / "wandb").exists() else ()
    mirror = open_wandb(
        track,
        folder=folder.path,
        run_id=record["run_id"],
        name=folder.path.name,
        config=record,
        mirrored=max(told, default=-1),
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
    from sparring.runners.dashboard import Dashboard
    from sparring.runners.tracker import Fanout
    from sparring.runners.train import train

    run = job.run(experiment.source.steps_per_draw)
    title, steps = f"{job.title} → {folder.path}", run.updates * experiment.source.steps_per_draw
    with Dashboard(console, title, steps) as dashboard, stop_signals(dashboard.say) as stop:
        return train(experiment, run, Fanout([mirror, dashboard]), folder, stop, dashboard.watch)


def show(evaluation: Evaluation, folder: RunFolder, job: Job, mirror: Tracker, console: Console) -> None:
    """The score, the curve, and the best game: replayed, proved and filmed."""
    from sparring.envs import episodes
    from sparring.runners import replay, report

    report.scores(console, evaluation, "evaluation")
    report.curve(folder, job.title)
    for path in folder.episodes[-1:] if evaluation.episodes else []:
        episode = episodes.load(path)
        console.print(f"best game: {path} ({path.stat().st_size / 1000:.1f} kB)", highlight=False, soft_wrap=True)
        if replay.prove(episode, console).step is not None:
            raise BadInputError(f"{path} does not replay; please report this")
        film = path.with_suffix(".mp4")
        try:
            replay.film(episode, film, console=console)
            mirror.film(film, f"score {episode.score:g}")
        except (BadInputError, OSError) as error:  # no pictures, or no room: the run itself is done and saved
            console.print(f"[yellow]no film:[/] {escape(str(error))}", highlight=False)


def own_command(name: str) -> str:
    """How to call a program that was installed beside this one: by its name where the shell finds it."""
    import shutil

    program = Path(sys.executable).parent / name
    if shutil.which(name) == str(program):
        return name
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


@contextlib.contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C (or SIGTERM) ask for a stop after the update in progress, and the second stop at once."""
    asked: list[int] = []

    def hear(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        say("stopping after this update; Ctrl-C again stops at once and goes back to the last save")

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        tables = {"algorithms": algorithms_table, "worlds": worlds_table, "presets": presets_table, "runs": runs_table}
        for name, table in tables.items():
            if what in ("all", name):
                console.print(table())
    return 0


def algorithms_table() -> Table:
    """Every algorithm that the catalog finds."""
    table = Table("algorithm", "what it is", box=None, padding=(0, 2))
    for entry in catalog.algorithms().values():
        table.add_row(f"[bold]{entry.name}[/]", escape(entry.summary))
    return table


def worlds_table() -> Table:
    """Every world that a module names, and its protocols."""
    table = Table("world", "what it is", "protocols", box=None, padding=(0, 2))
    for module in catalog.worlds():
        for env, story in module.WORLDS.items():
            table.add_row(f"[bold]{env}[/]", escape(story), ", ".join(module.PROTOCOLS))
    table.add_row("[dim]any Gymnasium id[/]", "with Discrete actions; any other ALE/… game", "")
    return table


def presets_table() -> Table:
    """Every preset of every algorithm."""
    table = Table("algorithm", "preset", "world", "steps", "what to expect", box=None, padding=(0, 2))
    for name in catalog.algorithms():
        for preset, (summary, config) in catalog.load(name).PRESETS.items():
            world = config.world.env if hasattr(config, "world") else ""
            table.add_row(name, f"[bold]{preset}[/]", world, f"{config.schedule.steps:,}", escape(summary))
    return table


def runs_table() -> Table:
    """Every run below runs/, how far it is and what it last scored."""
    from sparring.runners.folder import summaries

    table = Table("run", "algorithm", "steps", "score", "updated", box=None, padding=(0, 2))
    for summary in summaries(RUNS):
        table.add_row(*map(escape, summary))
    return table


if __name__ == "__main__":
    main()
