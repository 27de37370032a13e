"""Episodes: a game in kilobytes that replays and proves itself.

A game is its world, its rules, its seed and its actions; the rest follows. An episode stores these together with the
rewards and a checksum of every observation, so a replay either re-earns the same rewards from the same pictures or
names the first step that differs. The file is a NumPy archive of plain arrays and a JSON header: nothing in it can
run code.
"""

from __future__ import annotations

import copy
import io
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from sparring.envs import worlds as door
from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.envs.worlds import Array, World

FORMAT = 1
GAME = "game"  # the kind of episode that this module reads
ARRAYS = ("actions", "rewards", "checksums")


class EpisodeError(BadInputError):
    """A file that is no episode of ours, or an episode whose world does not open here; the message says why."""


@dataclass(frozen=True)
class Episode:
    """One full game from its first reset to its end."""

    world: World
    protocol: Mapping[str, Any]  # the whole record, so that a changed preset cannot pass unseen
    spec: str  # Gymnasium's EnvSpec as JSON
    seed: int
    actions: Array  # [T, *action]
    rewards: Array  # [T] float32, raw
    checksums: Array  # [T + 1] uint32: CRC-32 of each observation; of the last one, what the game ended on

    @property
    def score(self) -> float:
        """The sum of the raw rewards."""
        return float(self.rewards.sum())

    @property
    def label(self) -> str:
        """What its file is called."""
        return f"{self.world.protocol}-seed{self.seed}-score{self.score:g}"

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        header = {
            "kind": GAME,
            "world": asdict(self.world),
            "protocol": dict(self.protocol),
            "spec": self.spec,
            "seed": self.seed,
            "score": self.score,
        }
        pack(path, header, {name: getattr(self, name) for name in ARRAYS})


class Verdict(NamedTuple):
    """What a replay found: `step` is the first step that differs, None where the game proved itself."""

    step: int | None
    what: str


def checksum(obs: Array) -> int:
    """CRC-32 of an observation's bytes."""
    return zlib.crc32(np.ascontiguousarray(obs).data)


def spec_of(world: World) -> str:
    """The registered specification of a world as JSON; a class that was registered is written as module:Class."""
    spec = copy.copy(gymnasium.spec(world.env))
    entry: Any = spec.entry_point
    if callable(entry):
        spec.entry_point = f"{entry.__module__}:{entry.__qualname__}"
    return str(spec.to_json())


def pack(path: Path, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write an episode's file, whole or not at all: a header that JSON can hold, and plain arrays."""
    content = io.BytesIO()
    whole: dict[str, Any] = {"header": np.array(json.dumps({"format": FORMAT, **header})), **arrays}
    np.savez_compressed(content, **whole)
    write_aside(path, content.getvalue())


def unpack(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and the arrays of what `pack` wrote.

    Raises:
        EpisodeError: the file is missing, no episode, damaged, or of another version.
    """
    try:
        content = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise EpisodeError(f"there is no episode at {path} ({error.strerror})") from None
    try:
        with np.load(content, allow_pickle=False) as archive:
            header = json.loads(str(archive["header"]))
            if header["format"] != FORMAT:
                raise EpisodeError(f"{path} is an episode of format {header['format']}; this version reads {FORMAT}")
            return header, {name: archive[name] for name in archive.files if name != "header"}
    except EpisodeError:
        raise
    except Exception as error:  # whatever zip, NumPy and JSON make of bytes that are none of theirs
        raise EpisodeError(f"{path} is not an episode, or it is damaged: {error}") from None


def load(path: Path) -> Episode:
    """Read a game.

    Raises:
        EpisodeError: the file is missing, no game, damaged, or of another version.
    """
    header, arrays = unpack(path)
    try:
        game = Episode(
            World(**header["world"]),
            header["protocol"],
            header["spec"],
            header["seed"],
            **{name: arrays[name] for name in ARRAYS},
        )
    except (KeyError, TypeError) as error:
        raise EpisodeError(f"{path} is not an episode, or it is damaged: {error}") from None
    shapes = {name: arrays[name].shape for name in ARRAYS}
    steps = game.actions.shape[0] if game.actions.ndim else 0
    if steps < 1 or game.rewards.shape != (steps,) or game.checksums.shape != (steps + 1,):
        raise EpisodeError(f"{path} is damaged: its arrays do not fit each other ({shapes})")
    if (game.actions.dtype.kind, game.actions.ndim) not in (("i", 1), ("f", 2)):
        raise EpisodeError(f"{path} is damaged: its actions are {game.actions.dtype}{list(game.actions.shape)}")
    return game


def check_protocol(episode: Episode) -> None:
    """Make sure that the name of the protocol still means what it meant when the game was played.

    Raises:
        EpisodeError: it does not.
        UnknownNameError: the world or its protocol does not exist here.
    """
    then, now = episode.protocol, asdict(door.protocol_of(episode.world))
    changed = [f"{name} {then.get(name)!r} → {now[name]!r}" for name in now if then.get(name) != now[name]]
    if changed:
        raise EpisodeError(f"protocol {episode.world.protocol} has changed since the game: {', '.join(changed)}")
    recorded, registered = (json.loads(spec) for spec in (episode.spec, spec_of(episode.world)))
    for name in ("max_episode_steps", "kwargs"):
        if recorded.get(name) != registered.get(name):
            raise EpisodeError(
                f"{episode.world.env} has changed since the game: {name} {recorded.get(name)} → {registered.get(name)}"
            )


def verify(episode: Episode, watch: Callable[[int], None] = lambda step: None) -> Verdict:
    """Play the game again and compare every reward and every observation; `watch` hears each step's number.

    Raises:
        EpisodeError: the world's rules are not those under which the game was played.
        UnknownNameError: the world or its protocol does not exist here.
    """
    check_protocol(episode)
    worlds = door.build(episode.world, training=False, count=1)
    try:
        return _verify(episode, worlds, watch)
    finally:
        worlds.close()


def playable(action: Array, space: gymnasium.Space[Any]) -> bool:
    """Whether a world takes the action; it clips a continuous one itself, wherever it lies."""
    if isinstance(space, Box):
        return action.shape == space.shape and bool(np.isfinite(action).all())
    return space.contains(action)


def _verify(episode: Episode, worlds: Any, watch: Callable[[int], None]) -> Verdict:
    obs, _ = worlds.reset(seed=episode.seed)
    if checksum(obs[0]) != episode.checksums[0]:
        return Verdict(0, "the first observation differs")
    last = len(episode.actions) - 1
    for step, (action, reward) in enumerate(zip(episode.actions, episode.rewards, strict=True)):
        watch(step)
        if not playable(action, worlds.single_action_space):
            return Verdict(step, f"the world has no action {action}")
        obs, rewards, terminated, truncated, info = worlds.step(np.array([action]))
        over = bool(terminated[0] | truncated[0])
        shown = info["final_obs"][0] if over else obs[0]
        if np.float32(rewards[0]) != reward:
            return Verdict(step, f"reward {np.float32(rewards[0]):g} instead of {reward:g}")
        if over != (step == last):
            return Verdict(step, "the game ends here" if over else "the game goes on here")
        if checksum(shown) != episode.checksums[step + 1]:
            return Verdict(step, "the observation differs")
    return Verdict(None, f"{last + 1} steps, score {episode.score:g}: every reward and observation as recorded")
