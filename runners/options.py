"""What can be typed: the options of each command as records, and how words become records.

An algorithm's options are the fields of its Config, so there is no second list of them anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from sparring.agents.protocol import world_of
from sparring.envs.errors import BadInputError, UnknownNameError, check_ranges
from sparring.envs.worlds import module_of
from sparring.runners.tracker import Mode

PLACES = ("env", "data", "source", "target", "board")  # the options that say where something is learned
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


def shortest(number: int) -> str:
    """The shortest text that `count` reads as `number`: 250k, 10M."""
    letters = [letter for letter, scale in SCALES.items() if number and number % scale == 0]
    return f"{number // SCALES[letters[-1]]}{letters[-1]}" if letters else str(number)


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


MOST_SEEDS = 1_000


def seeds(text: str) -> tuple[int, ...]:
    """0..4 (both ends belong to it), 0,3,7 or 0..2,9 → the numbers in their order.

    Raises:
        ValueError: it is none of these, a range has nothing in it, a seed comes twice, or there are too many.
    """
    spans = [_span(part.strip(), text) for part in text.split(",")]
    count = sum(span.stop - span.start for span in spans)
    if count > MOST_SEEDS:
        raise ValueError(f"{text!r} are {count:,} seeds; at most {MOST_SEEDS:,} are one sweep")
    chosen = [seed for span in spans for seed in span]
    twice = sorted({seed for seed in chosen if chosen.count(seed) > 1})
    if twice:
        raise ValueError(f"{text!r} has {', '.join(map(str, twice))} twice; give every seed once")
    return tuple(chosen)


def _span(part: str, text: str) -> range:
    first, dots, last = part.partition("..")
    ends = (first, last) if dots else (first, first)
    if not all(end.isascii() and end.isdecimal() for end in ends):
        raise ValueError(f"{text!r} are no seeds; write 0..4 or 0,3,7 or 0..2,9")
    if int(ends[0]) > int(ends[1]):
        raise ValueError(f"{part} has nothing in it; write {ends[1]}..{ends[0]}")
    return range(int(ends[0]), int(ends[1]) + 1)


SEEDS = tyro.constructors.PrimitiveConstructorSpec[tuple[int, ...]](
    nargs=1,
    metavar="A..B|A,B,C",
    instance_from_str=lambda words: seeds(words[0]),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [",".join(map(str, value))],
)


@dataclass(frozen=True)
class Where:
    """Options of every training that do not change what is learned."""

    track: Mode = "auto"
    """W&B: auto is online where you are logged in, else offline; off does without"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one"""


@dataclass(frozen=True)
class Begin(Where):
    """Options of whatever begins a training, beside the algorithm's own."""

    preset: str | None = None
    """settings to start from (`sparring list presets`); other options change them; default: what fits the world"""
    minutes: float | None = None
    """measure the speed first and choose the steps that take this long"""
    out: Path | None = None
    """folder of all that comes of it; default: a new one below runs/"""

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < inf:
            raise BadInputError(f"minutes is {self.minutes:g}; it must be positive")


@dataclass(frozen=True)
class Train(Begin):
    """Options of `sparring train` beside the algorithm's own."""

    seed: int = 0
    """everything random follows from it"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, seed=(0, inf))


@dataclass(frozen=True)
class Sweep(Begin):
    """Options of `sparring sweep` beside the algorithm's own."""

    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2, 3, 4)
    """one run each: 0..4 (to 4 inclusive), 0,3,7 or 0..2,9; a later call may add more"""
    jobs: int | None = None
    """runs at a time; default: as many as the cores hold (a small network computes on one, a large one on all)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jobs is not None:
            check_ranges(self, jobs=(1, inf))


@dataclass(frozen=True)
class Resume(Where):
    """Options of `sparring resume` beside the run's own, which must not change."""

    seed: int = 0
    """as the run has it"""


@dataclass(frozen=True)
class Evaluate:
    """Play full games with a trained policy, or draw samples from a trained generator."""

    run: Annotated[Path, tyro.conf.Positional]
    """the run's folder"""
    episodes: int | None = None
    """how many games, or samples; default: as many as the run's own evaluations"""
    protocol: str | None = None
    """rules to play under; default: those of the training"""
    seed: int | None = None
    """of the games; default: the run's"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto computes where the run did, if that is here"""

    def __post_init__(self) -> None:
        if self.episodes is not None:
            check_ranges(self, episodes=(2, inf))
        if self.seed is not None:
            check_ranges(self, seed=(0, inf))


@dataclass(frozen=True)
class Attack:
    """Attack a trained classifier, beside baselines, and say whether what it stood is evidence."""

    run: Annotated[Path, tyro.conf.Positional]
    """the run's folder: one of robust, or of dann (whose target images are attacked)"""
    attack: Literal["fgsm", "fgsm-rs", "r+fgsm", "climb", "pgd", "random", "square"] = "pgd"
    """pgd is fgsm, then climb; random and square ask for no gradient"""
    steps: int | None = None
    """of climb and pgd, default: as the run's own evaluations; or tries of random and square, default: 1,000"""
    restarts: int | None = None
    """beginnings of climb and pgd, each from a random point; default: as the run's own evaluations"""
    epsilon: float | None = None
    """radius of the ball, in units of the pixels' range; default: as the run's own evaluations, 0.1 for dann"""
    norm: Literal["linf", "l2"] | None = None
    """of the ball: the largest change of a pixel, or the Euclidean length; default: as the run's own evaluations"""
    step: float = 0.0
    """length of a step of fgsm-rs, climb and pgd, in units of epsilon; 0: the usual one"""
    targeted: bool = False
    """towards the class that the model thinks least likely, not away from the right one"""
    samples: int = 1_000
    """held-out images that are attacked, the first ones"""
    seed: int = 0
    """of all that is random in it"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto computes where the run did, if that is here"""

    def __post_init__(self) -> None:
        check_ranges(self, samples=(2, inf), seed=(0, inf))


@dataclass(frozen=True)
class Replay:
    """Watch a saved game or the samples of a training, or prove them."""

    source: Annotated[Path, tyro.conf.Positional]
    """an episode (.npz), or a run: then the best game of its newest evaluated update, or all its sheets of samples"""
    view: Literal["auto", "terminal", "text", "mp4", "gif", "png", "verify"] = "auto"
    """auto is terminal (of sentences text) on a terminal, else verify; a png shows some pictures side by side"""
    out: Path | None = None
    """where an mp4, gif or png goes; default: beside the episode"""
    speed: float = 1.0
    """of the terminal view; 2 is twice real time"""


@dataclass(frozen=True)
class Arena:
    """Let players of Go meet: every pair plays, and all get Elo points.

    A player is go5, go7 or go9 (ours), a run that learned Go, mcts:N, random, gnugo:LEVEL or gtp:COMMAND.
    """

    players: Annotated[tuple[str, ...], tyro.conf.Positional]
    """two or more; Elo is told over the last one"""
    games: int = 100
    """of every pair"""
    board: int | None = None
    """lines; default: what a run was trained on, else 9"""
    komi: float | None = None
    """white's points; default: the run's, else 7"""
    sims: int = 200
    """simulations a move of players that search with a network; 1: the likeliest move without search"""
    opening: int = 2
    """random moves before a game, the same with either colour"""
    timeout: float = 60.0
    """seconds that a program has for a move; then it has lost"""
    seed: int = 0
    """of openings and players"""
    out: Path | None = None
    """folder of all games (SGF) and of arena.json; default: a new one below runs/"""

    def __post_init__(self) -> None:
        check_ranges(self, games=(2, inf), sims=(1, 2**20), opening=(0, 1000), seed=(0, inf))
        if len(self.players) < 2:
            raise BadInputError(f"an arena takes two players or more, not {len(self.players)}")


@dataclass(frozen=True)
class Gtp:
    """Speak the Go Text Protocol: for GoGui, Sabaki, CGOS and whatever else drives programs."""

    player: Annotated[str, tyro.conf.Positional]
    """go5, go7 or go9 (ours), a run that learned Go, or mcts:N"""
    sims: int | None = None
    """simulations a move, two or more, where no clock decides; default: 200, or the N of mcts"""
    seconds: float | None = None
    """seconds a move, instead"""
    board: int | None = None
    """lines; default: what the run was trained on, else 9"""
    komi: float | None = None
    """white's points until the controller says otherwise"""
    resign: float = 0.0
    """give up below this chance of winning; 0: never"""
    seed: int = 0
    """of the player's dice"""

    def __post_init__(self) -> None:
        check_ranges(self, resign=(0, 1), seed=(0, inf))
        if self.sims is not None:
            check_ranges(self, sims=(2, 2**20))
        if self.seconds is not None:
            check_ranges(self, seconds=(0.001, 1e6))


@dataclass(frozen=True)
class Play:
    """Play Go in the terminal."""

    player: Annotated[str, tyro.conf.Positional]
    """whom: go5, go7 or go9 (ours), a run that learned Go, mcts:N, random, gnugo:LEVEL or gtp:COMMAND"""
    colour: Literal["black", "white"] = "black"
    """yours"""
    sims: int = 200
    """simulations a move of a player that searches with a network; 1: the likeliest move without search"""
    board: int | None = None
    """lines; default: what the run was trained on, else 9"""
    komi: float | None = None
    """white's points; default: the run's, else 7"""
    seed: int = 0
    """of the player's dice"""
    out: Path | None = None
    """where the game goes (.sgf)"""

    def __post_init__(self) -> None:
        check_ranges(self, sims=(1, 2**20), seed=(0, inf))


@dataclass(frozen=True)
class Export:
    """Keep of a run that learned Go what playing needs: one small file, which is a player everywhere."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of a run of alphazero or ppo-selfplay"""
    file: Annotated[Path, tyro.conf.Positional]
    """where the champion goes"""


@dataclass(frozen=True)
class List:
    """Show what there is."""

    what: Annotated[Literal["all", "algorithms", "worlds", "presets", "runs"], tyro.conf.Positional] = "all"
    """only these"""


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
    for word, following in zip_longest(words, words[1:]):
        if word == f"--{name}":
            return following
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def places_of(config: Any) -> dict[str, str]:
    """Where a Config learns, by the option that says so."""
    world = world_of(config)
    return {"env": world.env} if world else {field: str(getattr(config, field, None)) for field in PLACES}


def chosen_preset(presets: dict[str, Any], words: Sequence[str]) -> str:
    """The preset that a command line starts from: the one it names, else the first for the world, or data, it names.
    (A pair of domains is named by `source` and `target`, or by one of them.) Of several for the same data, the first
    of the `method` that it names is taken.

    A world that no preset plays takes the first for one of its kind; a pair of domains that no preset has, the first
    that has one of them, in either place.

    Raises:
        BadInputError: no preset has that name, or none plays on that board and there is no komi.
    """
    name, env = option(words, "preset"), option(words, "env")
    asked = {field: place for field in PLACES if (place := option(words, field)) is not None}
    if name is not None and name not in presets:
        raise UnknownNameError("preset", name, presets)
    if name is not None or not asked:
        return name or next(iter(presets))
    same = [key for key, preset in presets.items() if asked.items() <= places_of(preset.config).items()]
    same.sort(key=lambda key: getattr(presets[key].config, "method", None) != option(words, "method"))
    if "board" in asked and not same and option(words, "komi") is None:
        raise BadInputError(
            f"no preset plays on {asked['board']} lines, so that none says what is fair: give --komi, too, or name the "
            f"--preset to start from ({', '.join(presets)})"
        )
    near = [key for key, preset in presets.items() if set(asked.values()) & set(places_of(preset.config).values())]
    worlds = {key: world.env for key, preset in presets.items() if (world := world_of(preset.config))}
    kin = [key for key, own in worlds.items() if env and module_of(own) is module_of(env)]
    return [*same, *near, *kin, next(iter(presets))][0]
