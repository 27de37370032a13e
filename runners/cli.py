"""The command `sparring`: train, sweep, resume, evaluate, attack, replay, arena, play, gtp, export, list.

Options are made from each algorithm's Config. Heavy packages are imported only once there is something to do, so help
comes at once.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.runners import catalog, process
from sparring.runners.begin import RUNS, algorithm_of, new_path, parse_training, planned
from sparring.runners.exits import INTERRUPTED, REFUSED, UNHEARD
from sparring.runners.options import (
    Arena,
    Attack,
    Evaluate,
    Export,
    Gtp,
    List,
    Play,
    Replay,
    Resume,
    Sweep,
    Train,
    parse,
    parse_with_config,
)

if TYPE_CHECKING:  # torch takes over a second to import
    from sparring.agents.protocol import Experiment
    from sparring.runners.folder import RunFolder

READ = 5  # sentences of each sheet that are shown as text

USAGE = r"""[bold]sparring[/] — somebody learning against somebody

  [bold]sparring train[/] ALGO     learn a world or a game, then show what was learned
                    \[--preset NAME] \[--env ID | --data NAME] \[--steps N | --minutes M] \[--seed S] \[--out DIR] …
  [bold]sparring sweep[/] ALGO     the same on several seeds, in parallel; mean, median and IQM with intervals
                    \[--seeds 0..4] \[--jobs N] \[--out DIR] and the options of train; again with the same --out: go on
  [bold]sparring resume[/] RUN     go on exactly where a run stopped
  [bold]sparring evaluate[/] RUN   play full games for a score with its interval, or draw samples
                    \[--episodes N] \[--protocol NAME]
  [bold]sparring attack[/] RUN     attack a classifier, beside baselines; says whether what it stood is evidence
                    \[--attack pgd] \[--steps 40] \[--restarts 10] \[--epsilon E] \[--norm linf|l2] \[--targeted]
  [bold]sparring replay[/] RUN     watch a saved game, or a generator's training, or prove it; takes a file too
                    \[--view terminal|mp4|gif|png|verify]
  [bold]sparring arena[/] A B …    matches at Go: win rates, Elo, every game as SGF
  [bold]sparring play[/] PLAYER    play Go in the terminal
  [bold]sparring gtp[/] PLAYER     be a program for GoGui, Sabaki or CGOS
  [bold]sparring export[/] RUN F   keep a run that learned Go as one small file that plays
  [bold]sparring list[/]           what there is: algorithms, worlds, presets, runs

Each has its own --help, and so has each algorithm: sparring train ppo --help."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line; bad input is explained and exits with code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    console = Console()
    process.prepare()
    try:
        sys.exit(dispatch(words, console))
    except BadInputError as error:
        Console(stderr=True).print(f"[red]sparring:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        Console(stderr=True).print("sparring: interrupted", highlight=False)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read our output, say `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it leaves
        sys.exit(UNHEARD)
    except OSError as error:  # a full disk, a folder that nobody may write into
        if error.strerror is None:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        Console(stderr=True).print(f"[red]sparring:[/] {escape(f'{place}{error.strerror}')}", highlight=False)
        sys.exit(REFUSED)


def dispatch(words: list[str], console: Console) -> int:
    """The exit code of a command line."""
    if not words or words[0] in ("-h", "--help"):
        console.print(USAGE, highlight=False, soft_wrap=True)
        return 0
    verbs: dict[str, Callable[[list[str], Console], int]] = {
        "train": train_command,
        "sweep": sweep_command,
        "resume": resume_command,
        "evaluate": evaluate_command,
        "attack": attack_command,
        "replay": replay_command,
        "arena": arena_command,
        "play": play_command,
        "gtp": gtp_command,
        "export": export_command,
        "list": list_command,
    }
    if words[0] not in verbs:
        raise UnknownNameError("command", words[0], verbs)
    return verbs[words[0]](words[1:], console)


def train_command(words: list[str], console: Console) -> int:
    """sparring train ALGO …"""
    name = algorithm_of("train", Train, words, console)
    if name is None:
        return 0
    from sparring.runners.folder import RunFolder
    from sparring.runners.session import run_to_end

    options = parse_training("train", Train, name, words[1:])
    if options.out is not None and options.out.exists():
        raise BadInputError(f"{options.out} exists; go on with `sparring resume {options.out}`, or name another --out")
    job, experiment = planned(name, options, console, seed=options.seed)
    out = options.out or new_path(name, job.config, f"seed{job.seed}")
    return run_to_end(job, experiment, RunFolder.create(out, job.record()), options.track, console)


def sweep_command(words: list[str], console: Console) -> int:
    """sparring sweep ALGO …"""
    name = algorithm_of("sweep", Sweep, words, console)
    if name is None:
        return 0
    from sparring.runners import job as jobs
    from sparring.runners import sweep as sweeps
    from sparring.runners import sweepfolder

    options = parse_training("sweep", Sweep, name, words[1:])
    out = options.out or new_path(name, options.config, "sweep")
    stored = sweepfolder.Sweep.open(out)
    if stored is None:
        sweepfolder.check_enough(name, options.seeds)
        job, experiment = planned(name, options, console, seed=options.seeds[0], at_once=options.jobs or 1)
        sweep = sweepfolder.Sweep.plan(out, job, experiment.source.steps_per_draw, options.seeds, options.minutes)
        del experiment  # its worlds
    else:
        sweep = stored.asked_again(name, options.config, options.seeds, options.minutes)
    at_once = options.jobs or max(jobs.cores() // sweep.job.threads, 1)
    again = shlex.join(["sweep", *words, *([] if options.out else ["--out", str(out)])])
    return sweeps.run_to_end(
        sweep, at_once=at_once, track=options.track, device=options.device, console=console, again=again
    )


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
        config=jobs.judged(job.config, count=options.episodes, protocol=options.protocol),
        seed=job.seed if options.seed is None else options.seed,
    )
    experiment = jobs.at_home(job, options.device).build()
    update = restored(folder, experiment)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("evaluating")
        evaluation = experiment.evaluate(
            experiment.algorithm, watch=lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    report.scores(console, evaluation, f"{folder.path.name}, update {update}")
    folder.keep(update, evaluation)
    return 0


def attack_command(words: list[str], console: Console) -> int:
    """sparring attack RUN …"""
    options = parse(Attack, words, "sparring attack")
    from sparring.runners import job as jobs
    from sparring.runners import siege
    from sparring.runners.folder import RunFolder

    folder = RunFolder.open(options.run)
    job = jobs.at_home(jobs.Job.of(folder), options.device)
    experiment = job.build()
    subject = siege.subject_of(job.algorithm, job.config, experiment.algorithm)
    update = restored(folder, experiment)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("attacking")
        found = siege.besieged(
            subject, options, job.device, lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    siege.show(found, console)
    path = siege.keep(found, options, update, folder.path)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    return 0


def restored(folder: RunFolder, experiment: Experiment) -> int:
    """Bring an experiment to a run's newest checkpoint, whose update it is.

    Raises:
        BadInputError: there is none yet, or it is damaged.
    """
    update = folder.restore(experiment.algorithm.parts())
    if update is None:
        raise BadInputError(f"{folder.path} has no checkpoint yet; train it with `sparring resume {folder.path}`")
    return update


def replay_command(words: list[str], console: Console) -> int:
    """sparring replay RUN|EPISODE …"""
    options = parse(Replay, words, "sparring replay")
    from sparring.runners import keepsakes, replay
    from sparring.runners.folder import RunFolder

    path = options.source
    paths = [path]
    if path.is_dir():
        paths = RunFolder.open(path).episodes
        if not paths:
            raise BadInputError(f"{path} has no episodes yet; `sparring evaluate {path}` makes some")
    view = options.view if options.view != "auto" else "terminal" if console.is_terminal else "verify"
    if view == "verify":
        return REFUSED if keepsakes.prove(keepsakes.load(paths[-1]), console).step is not None else 0
    kept = keepsakes.together(paths)
    if view == "text" or (options.view == "auto" and keepsakes.has_words(kept)):
        for line in keepsakes.read(kept, READ):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        return 0
    show = keepsakes.show(kept)
    if view == "terminal":
        replay.play(show, console, speed=options.speed)
        return 0
    out = options.out or paths[-1].with_suffix(f".{view}")
    if view == "png":
        replay.strip(show, out)
    else:
        replay.film(show, out, console=console)
    console.print(f"wrote {out}", highlight=False, soft_wrap=True)
    return 0


def arena_command(words: list[str], console: Console) -> int:
    """sparring arena A B …"""
    options = parse(Arena, words, "sparring arena")
    from sparring.runners import arena, players

    met = players.players(options.players, simulations=options.sims, seed=options.seed, timeout=options.timeout)
    try:
        rules = players.common_rules(met, options.board, options.komi)
        out = options.out or RUNS / f"arena-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        if out.exists():
            raise BadInputError(f"{out} exists; name another --out")
        console.print(
            f"{' · '.join(map(escape, options.players))} on {rules.height}×{rules.width}, komi {rules.komi:g} → {out}"
        )
        record = arena.tournament(
            met, rules, games=options.games, opening=options.opening, seed=options.seed, out=out, console=console
        )
    finally:
        for one in met:
            one.close()
    arena.show(record, console)
    return 0


def play_command(words: list[str], console: Console) -> int:
    """sparring play PLAYER …"""
    options = parse(Play, words, "sparring play")
    from sparring.envs.go import sgf
    from sparring.envs.go.board import BLACK, WHITE
    from sparring.runners import arena, players

    opponent = players.player(options.player, simulations=options.sims, seed=options.seed, rows=players.ROWS)
    try:
        rules = players.common_rules([opponent], options.board, options.komi)
        colour = BLACK if options.colour == "black" else WHITE
        if options.out is not None:  # before there is a game to lose
            options.out.parent.mkdir(parents=True, exist_ok=True)
        played = arena.play(opponent, rules, colour=colour, seed=options.seed, console=console, ask=console.input)
    except EOFError:
        played = None
    finally:
        opponent.close()
    if played is None:
        return 0
    console.print(f"\n{played.board}\n", markup=False, highlight=False)
    told = {0: "a draw", colour: "you win"}.get(played.winner, f"{opponent.name} wins")
    by = f" by {abs(played.board.margin()):g}" if played.board.over and played.winner else ""
    console.print(f"{told}{by}", markup=False, highlight=False)
    if options.out is not None:
        names = {colour: "you", 3 - colour: opponent.name}
        sgf.save(arena.recorded(played, names), options.out)
        console.print(f"wrote {options.out}", highlight=False, soft_wrap=True)
    return 0


def gtp_command(words: list[str], console: Console) -> int:
    """sparring gtp PLAYER …"""
    options = parse(Gtp, words, "sparring gtp")
    from sparring.agents.match import Searcher
    from sparring.runners import players
    from sparring.runners.gtp import Server

    player = players.player(options.player, simulations=options.sims or 200, seed=options.seed, rows=players.ROWS)
    if not isinstance(player.opponent, Searcher):
        raise BadInputError(f"{options.player} is no player that searches; gtp takes go5, go7, go9, a run, or mcts:N")
    server = Server(
        player.opponent,
        players.common_rules([player], options.board, options.komi),
        name=f"sparring {player.name}",
        version=importlib.metadata.version("sparring"),
        simulations=options.sims or player.opponent.searching.simulations,
        seconds=options.seconds,
        resign=options.resign,
        owners=player.owners,
        seed=options.seed,
    )
    sink, sys.stdout = sys.stdout, sys.stderr  # nothing but protocol is ever said there
    try:
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as source:
            server.serve(source, sink)
    finally:
        sys.stdout = sink
    return 0


def export_command(words: list[str], console: Console) -> int:
    """sparring export RUN FILE"""
    options = parse(Export, words, "sparring export")
    from sparring.runners import champion

    kept = champion.of_run(options.run)
    champion.save(kept, options.file)
    size = options.file.stat().st_size
    console.print(f"wrote {options.file}: {kept.origin}, {size:,} bytes", highlight=False, soft_wrap=True)
    console.print(f"meet it: sparring play {options.file}", highlight=False, soft_wrap=True)
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
