"""Any Gymnasium id: CartPole and friends, our probes, whatever was registered before.

Observations that are not one box of numbers (Discrete, Tuple, Dict, …) are flattened to a vector. Continuous actions
are scaled to [−1, 1] where their bounds are finite, and clipped there. Games follow the
rules registered with the id; their time limit truncates, it does not terminate. Where none is registered, a game is
cut after `LONGEST` steps, for a policy that walks in circles would never finish an evaluation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FlattenObservation, RescaleAction, TimeLimit, TransformAction

from sparring.envs import go, tokens
from sparring.envs.errors import BadInputError
from sparring.envs.probes import PROBES
from sparring.envs.worlds import Array, Protocol, Worlds

WORLDS = {
    "CartPole-v1": "balance a pole on a cart for 500 steps",
    "Acrobot-v1": "swing a two-link arm over a line",
    "Pendulum-v1": "swing a pendulum up and hold it there: continuous actions",
    **go.WORLDS,
    **tokens.WORLDS,
    **{probe.id: probe.story for probe in PROBES},
}
GROUPS = 1  # they move when they are told to, in the caller's thread
LONGEST = 27_000  # steps: as long as an Atari game of half an hour
PROTOCOLS = {
    "gymnasium": Protocol("gymnasium", f"the rules and the time limit registered with the id, or {LONGEST:,} steps")
}


def prepare(world: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Give a world a time limit, where it has none, actions of one scale, and an observation that is one array."""
    if world.spec is not None and world.spec.max_episode_steps is None:
        world = TimeLimit(world, LONGEST)
    if isinstance(world.action_space, Box):
        world = clipped(world)
    return world if isinstance(world.observation_space, Box) else FlattenObservation(world)


def clipped(world: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Continuous actions in [−1, 1] where the world's own bounds are finite; what lies outside is clipped."""
    if world.action_space.is_bounded():  # type: ignore[attr-defined]
        world = RescaleAction(world, np.float32(-1), np.float32(1))
    space = world.action_space
    assert isinstance(space, Box)
    return TransformAction(world, lambda action: np.clip(action, space.low, space.high), space)


def make(env: str, protocol: Protocol, count: int, *, training: bool) -> Worlds:
    """`count` worlds stepped one after the other; see `sparring.envs.worlds` for what they promise."""
    same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return Worlds(
        gymnasium.make_vec(env, count, vectorization_mode="sync", vector_kwargs=same_step, wrappers=[prepare])  # type: ignore[list-item]
    )


def pictures(env: str, protocol: Protocol, seed: int, actions: Array) -> Iterator[Array]:
    """The pictures [H, W, 3] of a game.

    Raises:
        BadInputError: the world draws no pictures (`rgb_array`).
    """
    modes = gymnasium.make(env).metadata.get("render_modes", [])
    if "rgb_array" not in modes:
        raise BadInputError(f"{env} draws no pictures (it renders {', '.join(modes) or 'nothing'}); use --view verify")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures need no screen; SDL complains where there is none
    world = prepare(gymnasium.make(env, render_mode="rgb_array"))
    world.reset(seed=seed)
    yield np.asarray(world.render())
    for action in actions:
        world.step(action)
        yield np.asarray(world.render())
    world.close()
