"""One door to every world: a Gymnasium id and a named protocol become a vector of worlds in SAME_STEP autoreset.

What `build` returns keeps four promises on top of Gymnasium's `VectorEnv`:

* `rewards` are the raw rewards of the game, so that scores can be told whatever the learner clips;
* where `terminated` or `truncated` is set, the row's `obs` is already the first of the next game, and
  `info["final_obs"][row]` is the last observation of the game that ended (an Atari game's lacks its last frame);
* continuous actions run from −1 to 1 along every axis, and what lies outside is clipped;
* `info["life_lost"]` marks the rows that are `terminated` for the learner only: the game itself goes on
  (`Protocol.life_loss`), `obs` is the true next observation and `final_obs` says nothing.
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorWrapper

from sparring.envs.errors import BadInputError, UnknownNameError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Protocol:
    """What a score means: the protocol under which games are played. Scores of different rules are never compared.

    `life_loss` and `clip_reward` bend what the learner sees while it trains; evaluation always plays full games for
    the raw score.
    """

    name: str
    source: str
    frame_skip: int = 1
    """frames per step (agent decision)"""
    sticky: float = 0.0
    """probability, per frame, that the emulator repeats the previous action instead of the chosen one"""
    max_frames: int | None = None
    """frames from the first step after which a game is truncated; None: the limit registered with the world"""
    noop_max: int = 0
    """a game starts with U{0..max(noop_max - 1, 0)} idle frames"""
    fire_reset: bool = False
    """the first of the idle frames presses FIRE, where the game has that button, even if there is to be none"""
    full_action_space: bool = False
    """all 18 actions of the console instead of those that the game uses"""
    life_loss: bool = False
    """training only: a lost life ends the return, while the game goes on"""
    clip_reward: bool = False
    """training only: the learner sees the sign of the reward"""


@dataclass(frozen=True)
class World:
    """Which world, under which protocol, and how many side by side."""

    env: str = "ALE/SpaceInvaders-v5"
    """Gymnasium id of the world"""
    protocol: str = "ppo2017"
    """name of the rules it is played under; they are stored beside every score"""
    worlds: int = 8
    """how many are played side by side"""


class Worlds(VectorWrapper):
    """A vector of worlds whose step comes in two halves, so that somebody can think while the worlds move."""

    def send(self, actions: Array) -> None:
        """Begin a step."""
        self.answer = self.env.step(actions)

    def recv(self) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """End it: what `step` returns."""
        return self.answer


class WorldModule(typing.Protocol):
    """What a module of worlds offers; `worlds` finds it by the namespace of the id."""

    WORLDS: Mapping[str, str]
    """id → one line that says what it is"""
    PROTOCOLS: Mapping[str, Protocol]
    GROUPS: int
    """into how many vectors a training parts its worlds; two where they move by themselves between send and recv"""

    def make(self, env: str, protocol: Protocol, count: int, *, training: bool) -> Worlds:
        """Open `count` worlds that keep the promises of this module's docstring."""

    def pictures(self, env: str, protocol: Protocol, seed: int, actions: Array) -> Iterator[Array]:
        """Play `actions` [T] from `seed` and yield the T + 1 pictures [H, W, 3] uint8, the first before any action."""


MODULES = {"ALE": "sparring.envs.atari"}
ANY_OTHER = "sparring.envs.control"


def module_of(env: str) -> WorldModule:
    """The module that speaks for a Gymnasium id.

    Raises:
        UnknownNameError: Gymnasium has no world of that id.
        BadInputError: it is an old name of an Atari game.
    """
    namespace = env.split("/")[0] if "/" in env else ""
    module: ModuleType = importlib.import_module(MODULES.get(namespace, ANY_OTHER))
    if env not in gymnasium.registry:
        raise UnknownNameError("world", env, gymnasium.registry)
    spec = gymnasium.registry[env]
    if str(spec.entry_point).startswith("ale_py") and namespace != "ALE":
        name = f"ALE/{spec.kwargs['game'].title().replace('_', '')}-v5"
        raise BadInputError(f"{env} shows bare screens; use {name}, whose protocol says how they are prepared")
    return module


def protocol_of(world: World) -> Protocol:
    """The rules that a world is played under, by their name.

    Raises:
        UnknownNameError: no such world, or its module has no protocol of that name.
    """
    known = module_of(world.env).PROTOCOLS
    if world.protocol not in known:
        raise UnknownNameError(f"protocol for {world.env}", world.protocol, known)
    return known[world.protocol]


def build_groups(world: World) -> list[Worlds]:
    """The worlds of a training in as many vectors as their module asks for.

    Raises:
        UnknownNameError: no such world or protocol.
        BadInputError: as `build`.
    """
    groups = max(min(module_of(world.env).GROUPS, world.worlds), 1)
    return [build(world, training=True, count=(world.worlds + k) // groups) for k in range(groups)]


def build(world: World, *, training: bool, count: int | None = None) -> Worlds:
    """Open `count` (default: `world.worlds`) copies of a world, for training or for full games.

    Raises:
        UnknownNameError: no such world or protocol.
        BadInputError: the count is not positive, a package is missing, or the worlds do not reset in the same step.
    """
    count = world.worlds if count is None else count
    if count < 1:
        raise BadInputError(f"worlds is {count}; it takes at least 1")
    protocol = protocol_of(world)
    try:
        worlds = module_of(world.env).make(world.env, protocol, count, training=training)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise BadInputError(f"{world.env} needs a package that is not installed: {error}") from None
    mode = worlds.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise BadInputError(f"{world.env} resets in mode {mode}; rollouts need {AutoresetMode.SAME_STEP}")
    return worlds


def pictures(world: World, seed: int, actions: Array) -> Iterator[Array]:
    """The T + 1 pictures [H, W, 3] uint8 of the game that `actions` [T] play from `seed`."""
    return module_of(world.env).pictures(world.env, protocol_of(world), seed, actions)


def life_lost(info: Mapping[str, Any], count: int) -> Array:
    """[N] bool: rows that ended for the learner only (see this module's docstring)."""
    return np.asarray(info.get("life_lost", np.zeros(count, bool)))
