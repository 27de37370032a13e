"""Atari worlds on `ale_py.vector_env.AtariVectorEnv`: the emulators run in C++ threads, uint8 [N, 4, 84, 84] comes out.

The vector class has sharp edges; this module keeps them in one place:

* `episodic_life=True` restarts the whole game at every lost life, so it is never used. `life_loss_info=True`
  reports the loss as `terminated` and plays on; whether the *game* ended shows only in `episode_frame_number`,
  which falls back at a reset.
* After a lost life `final_obs` is memory that nobody wrote, different in every run: `info["life_lost"]` tells those
  rows, and nobody bootstraps from them.
* The picture of the step that ends or cuts a game lacks its last frame, as `AtariPreprocessing`'s does: it is the
  picture before it, pooled with the step's third frame if the fourth was the last.
* Reward clipping would lose the score for good, so rewards come out raw and the learner clips them.
* Sticky actions default to 0 in the class and to 0.25 under the registered id, so they are always passed.
* There is no way to save an emulator's state: games are identified by seed and actions instead (`episodes`).

Known differences from Gymnasium's `AtariPreprocessing` and `FrameStackObservation`, each with a test in
tests/test_atari.py: FIRE comes before the idle frames, and counts as one of them; there are 0 to noop_max − 1, not 1
to noop_max; the frame stack starts with zeros; the frame cap leaves the opening out. All else is equal to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import ale_py
import gymnasium
import numpy as np
from ale_py.roms import get_rom_path
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode

from sparring.envs.worlds import Array, Protocol, Worlds

Started = TypeVar("Started")

gymnasium.register_envs(ale_py)
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)

WORLDS = {"ALE/SpaceInvaders-v5": "Atari 2600 Space Invaders: the real ROM, 84×84 grey frames, four stacked"}

GROUPS = 2  # the emulators run in threads of their own
HALF_HOUR = 108_000  # frames at 60 Hz: the cap of the registered id
FIVE_MINUTES = 18_000

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "ppo2017",
            "Schulman et al. 2017 on NoFrameskip-v4; its random policy scores 148",
            frame_skip=4,
            max_frames=HALF_HOUR,
            noop_max=30,
            fire_reset=True,
            life_loss=True,
            clip_reward=True,
        ),
        Protocol(
            "mnih2015",
            "Mnih et al. 2015 (Nature): games of at most five minutes",
            frame_skip=4,
            max_frames=FIVE_MINUTES,
            noop_max=30,
            life_loss=True,
            clip_reward=True,
        ),
        Protocol(
            "dopamine2018",
            "Castro et al. 2018: sticky actions, with the buttons that the game uses",
            frame_skip=4,
            sticky=0.25,
            max_frames=HALF_HOUR,
            clip_reward=True,
        ),
        Protocol(
            "machado2018",
            "Machado et al. 2018 with the half-hour cap of Dopamine and Cleanba",
            frame_skip=4,
            sticky=0.25,
            max_frames=HALF_HOUR,
            full_action_space=True,
            clip_reward=True,
        ),
    )
}


def rom_of(env: str) -> str:
    """The ROM's name (`space_invaders`) that a registered id plays."""
    return str(gymnasium.spec(env).kwargs["game"])


def make(env: str, protocol: Protocol, count: int, *, training: bool) -> Worlds:
    """`count` emulators of one game; see `sparring.envs.worlds` for what they promise."""
    assert protocol.max_frames is not None
    emulators = in_batch_class(
        AtariVectorEnv,
        rom_of(env),
        count,
        max_num_frames_per_episode=protocol.max_frames,
        repeat_action_probability=protocol.sticky,
        full_action_space=protocol.full_action_space,
        frameskip=protocol.frame_skip,
        noop_max=protocol.noop_max,
        use_fire_reset=protocol.fire_reset,
        life_loss_info=training and protocol.life_loss,
        reward_clipping=False,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    return AtariWorlds(emulators)


def in_batch_class(start: Callable[..., Started], *args: Any, **options: Any) -> Started:
    """Call `start` so that its threads belong to the scheduler's batch class, where the system has one.

    Woken up, such a thread takes an idle core or waits its turn. An ordinary one pushes the one that woke it from its
    core, and that one has the next worlds to think about: two cores then stand idle for a quarter of the time.
    """

    def begin() -> Started:
        if hasattr(os, "SCHED_BATCH"):
            with suppress(OSError):  # forbidden here: it costs time and nothing else
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return start(*args, **options)

    with ThreadPoolExecutor(1) as thread:  # threads inherit their class from the one that starts them
        return thread.submit(begin).result()


class AtariWorlds(Worlds):
    """Tells a lost life from a lost game and leaves the rewards raw."""

    def __init__(self, emulators: AtariVectorEnv) -> None:
        super().__init__(emulators)
        self.emulators = emulators
        self.frames = np.zeros(emulators.num_envs, np.int32)  # [N] of the game in progress, at the last step

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start all games anew: an int seed s gives world k the seed s + k."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.frames = info["episode_frame_number"].copy()
        return obs, info

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Play one step (`frame_skip` frames) in every world; actions [N]."""
        self.send(actions)
        return self.recv()

    def send(self, actions: Array) -> None:
        """Let the emulators begin a step; their threads play it."""
        self.emulators.send(actions)

    def recv(self) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Wait until all of them have played it."""
        obs, rewards, terminated, truncated, info = self.emulators.recv()
        frames = info["episode_frame_number"]
        info["life_lost"] = terminated & (frames > self.frames)
        self.frames = frames.copy()
        return obs, rewards, terminated, truncated, info


def pictures(env: str, protocol: Protocol, seed: int, actions: Array) -> Iterator[Array]:
    """The colour screens [210, 160, 3] of a game: the same emulation as the vector world's, in one plain emulator.

    Like what the agent sees, each is the brighter of a step's last two frames, because lasers blink on the console. The
    number of idle frames is drawn inside the vector class; its frame count after the reset tells it.
    """
    worlds = make(env, protocol, 1, training=False)
    _, info = worlds.reset(seed=seed)
    worlds.close()
    emulator = ale_py.ALEInterface()
    emulator.setInt("random_seed", seed)
    emulator.setFloat("repeat_action_probability", protocol.sticky)
    rom = get_rom_path(rom_of(env))
    assert rom is not None  # the id is registered, so its ROM is in ale-py's wheel
    emulator.loadROM(rom)
    emulator.reset_game()
    buttons = emulator.getLegalActionSet() if protocol.full_action_space else emulator.getMinimalActionSet()
    if protocol.fire_reset and ale_py.Action.FIRE in emulator.getMinimalActionSet():
        emulator.act(ale_py.Action.FIRE)
    while emulator.getEpisodeFrameNumber() < info["episode_frame_number"][0]:
        emulator.act(ale_py.Action.NOOP)
    screen = emulator.getScreenRGB()
    yield screen
    for action in actions:
        for _ in range(protocol.frame_skip):
            if not emulator.game_over():
                emulator.act(buttons[action])
            before, screen = screen, emulator.getScreenRGB()
        yield np.maximum(before, screen)
