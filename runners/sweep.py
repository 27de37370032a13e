"""One sitting of a sweep at the command line: its seeds in parallel processes, watched, stopped together, summed up.

A seed is begun by making its folder and resumed from there, so whatever stopped a sweep, going on is the same: what is
complete is left alone, the rest is resumed.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from sparring.envs.errors import BadInputError
from sparring.runners import overview
from sparring.runners.crew import Crew, Process, how_it_ended, launch
from sparring.runners.exits import FAILED, INTERRUPTED
from sparring.runners.folder import RunFolder
from sparring.runners.lanes import Lane, Lanes
from sparring.runners.session import own_command, stop_signals
from sparring.runners.sweepfolder import Sweep

PAUSE = 0.25  # seconds between looks at the runs
TAIL = 12  # lines of a failed run's log that are shown


def run_to_end(sweep: Sweep, *, at_once: int, track: str, device: str, console: Console, again: str) -> int:
    """Run what is not complete, `at_once` seeds at a time, and show what came of it; returns the exit code.

    `again` is the command that goes on after a stop.
    """
    try:
        sweep.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"{sweep.path} cannot be made: {error.strerror}; name another --out") from None
    with RunFolder(sweep.path).locked():
        sweep.check_runs()
        sweep.written()
        begin = functools.partial(start, sweep, track=track, device=device)
        left = incomplete(sweep)
        codes = run_all(sweep, Crew(left, begin, min(at_once, len(left))), console) if left else {}
        left = incomplete(sweep)
        failed = {seed: codes[seed] for seed in left if seed in codes}
        if failed.keys() == set(left):
            conclude(sweep, [seed for seed in sweep.seeds if seed not in failed], console)
    for seed, code in failed.items():
        tell_failure(sweep, seed, code, console)
    if not left:
        return 0
    command = f"{own_command('sparring')} {again}"
    console.print(f"go on with: [bold]{escape(command)}[/]", highlight=False, soft_wrap=True)
    return FAILED if failed.keys() == set(left) else INTERRUPTED


def incomplete(sweep: Sweep) -> list[int]:
    """The seeds that have something left to do."""
    return [seed for seed in sweep.seeds if not sweep.is_complete(seed)]


def start(sweep: Sweep, seed: int, *, track: str, device: str) -> Process:
    """The process that runs a seed to its end; in W&B the seeds are one group."""
    program = [sys.executable, "-P", "-m", "sparring.runners.cli"]  # -P: nothing in the folder we are in is imported
    words = ["resume", str(sweep.begin(seed).path), "--track", track, "--device", device]
    group = {"WANDB_RUN_GROUP": sweep.path.absolute().name}
    return launch([*program, *words], sweep.log(seed), {**group, **os.environ})


def run_all(sweep: Sweep, crew: Crew, console: Console) -> Mapping[int, int]:
    """Let the crew do its work, or stop it at Ctrl-C; the exit codes of those that were not asked to stop."""
    title = f"{sweep.title}, {crew.at_once} at a time → {sweep.path}"
    whole = sweep.record["steps"]
    lanes = {seed: Lane(f"seed {seed}", sweep.folder(seed).path / "metrics.jsonl", whole) for seed in sweep.seeds}
    how = ""
    try:
        with Lanes(console, title, list(lanes.values())) as shown, stop_signals(shown.say) as stop, crew:
            while crew.turn():
                if stop() and not how:
                    how = "the sweep stopped; all of it is saved"
                    crew.interrupt()
                show(sweep, crew, lanes, shown)
                time.sleep(PAUSE)
            show(sweep, crew, lanes, shown)
    except KeyboardInterrupt:
        how = "stopped at once; what came after each run's last save will be learned again"
    if how:
        console.print(how)
    return crew.codes


def show(sweep: Sweep, crew: Crew, lanes: Mapping[int, Lane], shown: Lanes) -> None:
    """Bring the picture up to date."""
    for seed, lane in lanes.items():
        lane.state = state(sweep, crew, seed)
    shown.show()


def state(sweep: Sweep, crew: Crew, seed: int) -> str:
    """What a seed is doing, in a word or two."""
    if seed in crew.running:
        return "running"
    if seed in crew.waiting:
        return "waiting"
    if sweep.is_complete(seed):
        return "complete"
    return f"failed: {how_it_ended(crew.codes[seed])}" if seed in crew.codes else "stopped"


def conclude(sweep: Sweep, complete: Sequence[int], console: Console) -> None:
    """Store and show what the complete seeds say together."""
    if not complete:
        return
    told = overview.results({seed: sweep.folder(seed).judgement() for seed in complete})
    sweep.with_record(results=told).written()
    overview.table(console, told, f"{len(complete)} of {len(sweep.seeds)} seeds")
    picture = sweep.path / "curves.png"
    overview.curves({f"seed {seed}": sweep.folder(seed).rows() for seed in complete}, picture, sweep.title)
    games = "score" in next(iter(told["seeds"].values()))
    best = max(complete, key=lambda seed: told["seeds"][str(seed)]["score"]) if games else complete[0]
    watch = "watch the best seed's best game" if games else f"watch the training of seed {best}"
    lines = {"look at the curves": str(picture), watch: f"{own_command('sparring')} replay {sweep.folder(best).path}"}
    for what, words in lines.items():
        console.print(f"{what:<33}[bold]{escape(words)}[/]", soft_wrap=True, highlight=False)


def tell_failure(sweep: Sweep, seed: int, code: int, console: Console) -> None:
    """How a run ended, the end of what it said, and where the rest lies."""
    lines = sweep.log(seed).read_text(errors="replace").splitlines()[-TAIL:]
    console.print(f"[red]seed {seed} failed[/] ({how_it_ended(code)}); its log is {sweep.log(seed)}", soft_wrap=True)
    for line in lines:
        console.print(f"  {line}", style="dim", markup=False, highlight=False, soft_wrap=True)
