"""Any Gymnasium id with a discrete action space: CartPole and friends, our probes, whatever a user registers.

Observations that are not one box of numbers (Discrete, Tuple, Dict, …) are flattened to a vector. Games follow the
rules registered with the id; their time limit truncates, it does not terminate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import FlattenObservation

from sparring.envs.errors import BadInputError
from sparring.envs.probes import PROBES
from sparring.envs.worlds import Array, Protocol

WORLDS = {
    "CartPole-v1": "balance a pole on a cart for 500 steps",
    "Acrobot-v1": "swing a two-link arm over a line",
    **{probe.id: probe.story for probe in PROBES},
}
PROTOCOLS = {"gymnasium": Protocol("gymnasium", "the rules and the time limit registered with the id")}


def make_one(env: str, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """One world whose observation is one array."""
    world = gymnasium.make(env, render_mode=render_mode)
    return world if isinstance(world.observation_space, Box) else FlattenObservation(world)


def make(env: str, protocol: Protocol, count: int, *, training: bool) -> VectorEnv[Any, Any, Any]:
    """`count` worlds stepped one after the other; see `sparring.envs.worlds` for what they promise."""
    return SyncVectorEnv([lambda: make_one(env)] * count, autoreset_mode=AutoresetMode.SAME_STEP)


def pictures(env: str, protocol: Protocol, seed: int, actions: Array) -> Iterator[Array]:
    """The pictures [H, W, 3] of a game.

    Raises:
        BadInputError: the world draws no pictures (`rgb_array`).
    """
    modes = gymnasium.make(env).metadata.get("render_modes", [])
    if "rgb_array" not in modes:
        raise BadInputError(f"{env} draws no pictures (it renders {', '.join(modes) or 'nothing'}); use --view verify")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures need no screen; SDL complains where there is none
    world = make_one(env, render_mode="rgb_array")
    world.reset(seed=seed)
    yield np.asarray(world.render())
    for action in actions:
        world.step(action)
        yield np.asarray(world.render())
    world.close()
