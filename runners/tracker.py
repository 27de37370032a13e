"""Trackers mirror a run to where people look at it; `metrics.jsonl` in the run folder stays the truth.

A tracker may lose what it is told, but never stops a training. W&B climbs down a ladder, one warning a rung:

    online ──(no key, no server, refused)──▶ offline ──(anything else)──▶ nothing
    any rung ──(wandb cannot be imported)──▶ nothing

A run keeps its id over all resumes: online, W&B goes on where it was; offline, every start leaves a folder in `wandb/`,
and `wandb sync` stitches them together. Rows carry `global_step`, the axis of every metric. W&B's own `log(step=…)` is
not used: it holds each row back until the next one comes, and a crash takes it.
"""

import html
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, final

if TYPE_CHECKING:
    from wandb import Run

Mode = Literal["auto", "online", "offline", "off"]  # auto: as WANDB_MODE says; else online if logged in, else offline
Rung = Literal["auto", "online", "offline"]
Row = Mapping[str, float | list[float]]  # one update: "update", "step" and metrics by name; a list is a sample

AXIS = "global_step"


class Tracker(Protocol):
    """Is told what happens in a run; answers nothing, raises nothing."""

    def log(self, row: Row, seconds: Mapping[str, float]) -> None:
        """Take one update's row, and the wall-clock seconds that each of its stages took."""

    def film(self, path: Path, caption: str) -> None:
        """Take an mp4 worth seeing; it belongs to the row logged last."""

    def picture(self, path: Path, caption: str) -> None:
        """Take a png likewise."""

    def text(self, path: Path) -> None:
        """Take a text in UTF-8 likewise."""

    def close(self) -> None:
        """Hand over whatever is still held; what comes later is ignored."""


@final
class Silent:
    """The neutral tracker."""

    def log(self, row: Row, seconds: Mapping[str, float]) -> None:
        """Ignore it."""

    def film(self, path: Path, caption: str) -> None:
        """Ignore it."""

    def picture(self, path: Path, caption: str) -> None:
        """Ignore it."""

    def text(self, path: Path) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Nothing is held."""


@final
class Fanout:
    """Several trackers as one; none of them is none."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log(self, row: Row, seconds: Mapping[str, float]) -> None:
        """Tell each."""
        for tracker in self._trackers:
            tracker.log(row, seconds)

    def film(self, path: Path, caption: str) -> None:
        """Show each."""
        for tracker in self._trackers:
            tracker.film(path, caption)

    def picture(self, path: Path, caption: str) -> None:
        """Show each."""
        for tracker in self._trackers:
            tracker.picture(path, caption)

    def text(self, path: Path) -> None:
        """Show each."""
        for tracker in self._trackers:
            tracker.text(path)

    def close(self) -> None:
        """Close each."""
        for tracker in self._trackers:
            tracker.close()


@final
class WandB:
    """Mirrors to a W&B run all updates after `mirrored`, which it holds since before; the file `mark` tells how far."""

    def __init__(self, run: "Run", *, mirrored: int, warn: Callable[[str], None], mark: Path) -> None:
        self._run: Run | None = run  # None once closed or given up
        self._mirrored = mirrored
        self._warn = warn
        self._mark = mark
        self._latest: dict[str, float] = {}

    def log(self, row: Row, seconds: Mapping[str, float]) -> None:
        """Mirror the row as `flat` has it."""
        self._latest = flat(row, seconds)
        if self._is_new():
            self._send(lambda run: run.log(self._latest))
            if self._run is not None and self._mark.parent.is_dir():  # WANDB_MODE=disabled leaves nothing at all
                self._mark.write_text(f"{row['update']}")

    def film(self, path: Path, caption: str) -> None:
        """Mirror the film at the latest row's step."""
        import wandb  # as it was when the run started

        self._show("film", lambda: wandb.Video(str(path), format="mp4", caption=caption))

    def picture(self, path: Path, caption: str) -> None:
        """Mirror the picture at the latest row's step."""
        import wandb  # as it was when the run started

        self._show("picture", lambda: wandb.Image(str(path), caption=caption))

    def text(self, path: Path) -> None:
        """Mirror the text, line by line as it is, at the latest row's step."""
        import wandb  # as it was when the run started

        def page() -> object:
            return wandb.Html(f"<pre>{html.escape(path.read_text(encoding='utf-8'))}</pre>", data_is_not_path=True)

        self._show("text", page)

    def _show(self, name: str, make: "Callable[[], object]") -> None:
        at = {name: value for name, value in self._latest.items() if name == AXIS}
        if self._is_new():
            self._send(lambda run: run.log({name: make(), **at}))

    def close(self) -> None:
        """Finish the run; a server that no longer answers is waited for `patience` seconds."""
        self._send(lambda run: run.finish())
        self._run = None

    def _is_new(self) -> bool:
        return self._latest.get("update", math.inf) > self._mirrored

    def _send(self, send: "Callable[[Run], None]") -> None:
        """Send; at the first error say so, and send no more."""
        if self._run is None:
            return
        try:
            send(self._run)
        except TimeoutError:
            self._give_up(f"W&B did not take every row in time; `wandb sync {Path(self._run.dir).parent}` uploads them")
        except Exception as error:
            _hang_up()
            self._give_up(f"W&B failed ({_reason(error)}); the run goes on without it")

    def _give_up(self, message: str) -> None:
        self._run = None
        self._warn(message)


def flat(row: Row, seconds: Mapping[str, float]) -> dict[str, float]:
    """One number a name: `step` as `global_step`, a sample as its mean (an empty one is left out), `time/<stage>`."""
    numbers = {AXIS if name == "step" else name: _mean(value) for name, value in row.items() if value != []}
    return numbers | {f"time/{stage}": value for stage, value in seconds.items()}


def open_wandb(
    mode: Mode,
    *,
    folder: Path,
    run_id: str,
    name: str,
    project: str = "sparring",
    config: Mapping[str, Any],
    mirrored: int | None = None,
    warn: Callable[[str], None],
    patience: float = 30.0,
) -> Tracker:
    """The highest rung that holds, from `mode` downwards. Never prompts; needs neither account nor network.

    `mirrored` is the last update that an earlier start of this run has logged (-1: none; by default as a file in
    `folder/wandb` remembers it); a server that knows the run knows better. A silent server is waited for `patience`
    seconds when the run starts and once more when it ends, but not in between. All files go to `folder/wandb`.
    """
    if mode == "off":
        return Silent()
    start = partial(_start, folder=folder, run_id=run_id, name=name, project=project, config=config, patience=patience)
    mark = folder / "wandb" / "mirrored"
    rungs: list[Rung] = ["offline"] if mode == "offline" else [mode, "offline"]
    for rung in rungs:
        try:
            run = start(rung)
            known = _remembered(mark) if mirrored is None else mirrored
            return WandB(run, mirrored=_received(run) if run.resumed else known, warn=warn, mark=mark)
        except ImportError as error:
            warn(f"wandb cannot be imported ({error}); nothing is mirrored. Install it, or choose --track off")
            break
        except Exception as error:
            if not (rung == "auto" and _is_logged_out(error)):
                instead = "nothing is mirrored" if rung == "offline" else "the run is kept offline for `wandb sync`"
                warn(f"W&B does not start {rung} ({_reason(error)}); {instead}")
    return Silent()


def _start(
    rung: Rung,
    *,
    folder: Path,
    run_id: str,
    name: str,
    project: str,
    config: Mapping[str, Any],
    patience: float,
) -> "Run":
    """A W&B run that prints nothing, or W&B's exception."""
    import wandb  # half a second, and optional

    with _staged_in(folder.absolute() / "wandb"):
        wandb.setup(wandb.Settings(silent=True))  # what is silent does not prompt for a key either
        try:
            run = wandb.init(
                mode=None if rung == "auto" else rung,  # a mode given here overrides WANDB_MODE
                dir=folder,
                id=run_id,
                resume="allow",
                name=name,
                project=project,
                config=dict(config),
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    reinit="create_new",
                    init_timeout=patience,
                    finish_timeout=patience,
                    finish_timeout_raises=True,
                    x_transaction_log_flush_interval=0.5,  # seconds; a kill loses what is not flushed: 15 s by default
                ),
            )
            run.define_metric("*", step_metric=AXIS)
        except Exception:
            _hang_up()
            raise
    return run


def _received(run: "Run") -> int:
    """The last update that reached the server: it hears of rows every 15 s, and a kill takes those between."""
    return int(dict(run.summary).get("update", -1))


def _remembered(mark: Path) -> int:
    """The last update that an earlier start has logged; -1 where there was none."""
    try:
        return int(mark.read_text())
    except (OSError, ValueError):
        return -1


def _hang_up() -> None:
    """Stop W&B's service: it holds on to a failed run's id, and complains at exit when it was killed."""
    import wandb

    with suppress(Exception, SystemExit):  # it exits with its service's exit code
        wandb.teardown()


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """While W&B starts: what it takes from nowhere but the environment, unless the user has said otherwise there."""
    wanted = {
        "WANDB_DATA_DIR": str(folder / "data"),
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_ERROR_REPORTING": "false",  # it would look up a host name even when offline
    }
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


def _is_logged_out(error: Exception) -> bool:
    """No key, and nobody asked to be online."""
    return type(error).__name__ == "UsageError" and "WANDB_MODE" not in os.environ


def _mean(value: float | list[float]) -> float:
    return sum(value) / len(value) if isinstance(value, list) else value


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
