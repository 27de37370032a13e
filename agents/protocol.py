"""Three nouns: an Algorithm learns, a Source gives it experience, an Experiment is both and a way to judge.

The runner (`sparring.runners.train`) knows nothing else, which is why it can drive a policy gradient, a game between
two networks and a data set alike. An algorithm never sees a loop, a file or a tracker; it returns its metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from sparring.envs.errors import check_ranges
from sparring.envs.rollouts import Metrics, Report
from sparring.envs.worlds import World

Batch_co = TypeVar("Batch_co", covariant=True)
Batch_contra = TypeVar("Batch_contra", contravariant=True)


class Stateful(Protocol):
    """Torch's own convention: whatever must survive a crash. States hold tensors and plain Python values only."""

    def state_dict(self) -> dict[str, Any]:
        """All that distinguishes this object from a freshly built one."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Become the object that gave `state`."""


class Algorithm(Protocol[Batch_contra]):
    """Learns; never sees a loop, a file or a tracker."""

    def update(self, batch: Batch_contra, /) -> Metrics:
        """Learn from one batch; the returned metrics depend on nothing but the learning (no clock)."""

    def parts(self) -> Mapping[str, Stateful]:
        """All that must survive a crash, by name."""


class Source(Stateful, Protocol[Batch_co]):
    """Where experience comes from."""

    steps_per_draw: int
    begins_anew: bool
    """whether the runner resets it at every regular save, as it must where what is under way could only be kept as all
    that led there; else its state holds what is under way, cheaply, at any time
    """

    def reset(self, seed: int) -> None:
        """Begin anew: what is drawn from here on depends on `seed` and on the algorithm only."""

    def draw(self, algorithm: Any) -> Batch_co:
        """The next batch; a world asks the algorithm to act, a data set ignores it."""

    def report(self) -> Report:
        """What happened during the last draw."""


class Keepsake(Protocol):
    """Something to show for an evaluation, in a file that proves itself: a game, a sheet of samples."""

    @property
    def label(self) -> str:
        """What its file is called."""

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""


class Evaluation(NamedTuple):
    """A judgement and its protocol, which is stored beside every number.

    A metric `x` may have a 95 % interval, from `x_low` to `x_high`. The first metric is what a run is known by.
    """

    metrics: Mapping[str, float]
    protocol: Mapping[str, Any]  # everything that another must know to obtain the same number
    scores: Sequence[float]  # the sample behind the first metric's interval; empty where it is no mean
    episodes: Sequence[Keepsake]  # worth keeping, the best first


Watch = Callable[[int, int], None]
"""told (done, whole) now and then by whatever takes long"""


def unwatched(done: int, whole: int) -> None:
    """The Watch that looks away."""


def part_of(watch: Watch, before: int, parts: int) -> Watch:
    """Tells `watch` of one of so many parts that take as long as each other, so many of which came `before`."""
    return lambda done, whole: watch(before * whole + done, parts * whole)


class Judge(Protocol):
    """Judges an algorithm without changing it."""

    def __call__(self, algorithm: Any, /, *, watch: Watch = unwatched) -> Evaluation:
        """Judge it; the same algorithm gets the same judgement."""


class Experiment(NamedTuple):
    """What the runner drives."""

    algorithm: Any  # Algorithm[Batch]
    source: Any  # Source[Batch]
    evaluate: Judge


@dataclass(frozen=True)
class Schedule:
    """How long, and how often what; everything that decides the learning is counted in updates, never in seconds."""

    steps: int
    """agent steps in the whole run (one step is one decision in one world)"""
    save_every: int = 50
    """updates between checkpoints; games in worlds that cannot be saved start anew at each, so keep them many games
    apart"""
    evaluate_every: int = 0
    """updates between evaluations, the first before any learning; 0: only at the end"""
    games: int = 50
    """full games that an evaluation plays"""

    def __post_init__(self) -> None:
        check_ranges(self, steps=(1, inf), save_every=(1, inf), evaluate_every=(0, inf), games=(2, inf))

    def judging(self, games: int) -> Schedule:
        """The same with evaluations of so many games."""
        return replace(self, games=games)


def world_of(config: Any) -> World | None:
    """The world that a Config names; None for an algorithm that plays none."""
    return getattr(config, "world", None)


def place_of(config: Any) -> str:
    """Where a Config learns: the world it names, or the data; empty for an algorithm that has neither."""
    world = world_of(config)
    return world.env if world else str(getattr(config, "data", ""))


class Published(NamedTuple):
    """The score that others report for the same settings, length and protocol."""

    score: str  # as they give it: a mean ± its deviation
    source: str  # whose, and over what


class Measured(NamedTuple):
    """Our own score and its 95 % interval, in whole points, or as shares to two places; a test holds it to the
    benchmark's result, whose notes say what the interval is over.
    """

    score: float
    low: float
    high: float
    claim: str  # its file is benchmarks/results/<claim>.json
    figure: str = "score"  # what it is called there


class Preset(NamedTuple):
    """A ready-made Config and what to expect of it."""

    summary: str
    config: Any
    speed: float | None = None  # steps a second in bf16 on two quiet cores, adversarial games on one; None: unmeasured
    published: Published | None = None
    own: Measured | None = None

    @property
    def minutes(self) -> float | None:
        """How long the training takes at that speed."""
        return None if self.speed is None else self.config.schedule.steps / self.speed / 60
