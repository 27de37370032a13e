"""A replay buffer that survives a crash without being saved: what sb3_dqn adds to `sb3`.

A buffer of 100,000 Atari steps holds gigabytes, and all of it follows from the seeds and actions that filled it,
because worlds are deterministic. So a checkpoint holds those, less than a megabyte, and a resume plays them again: as
many steps as the buffer holds, at the speed of the worlds. The buffer is then the same to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Discrete
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy

from sparring.agents import sb3
from sparring.agents.evaluate import judge
from sparring.agents.protocol import Experiment
from sparring.envs.errors import BadInputError
from sparring.envs.rollouts import Acts, Report
from sparring.envs.worlds import Array


class Stretch(NamedTuple):
    """What was played between two resets."""

    seed: int
    actions: Array  # [T, N]


class Replay:
    """A Source: SB3's turns, and the replay buffer that they fill."""

    begins_anew = True

    def __init__(self, turns: sb3.Turns, model: DQN) -> None:
        assert model.replay_buffer is not None
        self.turns = turns
        self.model = model
        self.buffer = model.replay_buffer
        self.past: list[Stretch] = []  # oldest first; they cover the buffer up to the last reset
        self.steps_per_draw = turns.steps_per_draw

    def reset(self, seed: int) -> None:
        """Start all games anew; the buffer stays."""
        rollouts = self.turns.rollouts
        if rollouts.seed is not None and rollouts.log:
            self.past.append(Stretch(rollouts.seed, np.stack(rollouts.log)))
            self._forget_what_the_buffer_forgot()
            self._close()
        self.turns.reset(seed)

    def draw(self, algorithm: Any) -> sb3.Stream:
        """A stream of turns; nothing is played before it is asked for."""
        return self.turns.draw(algorithm)

    def report(self) -> Report:
        """What happened during the last draw."""
        return self.turns.report()

    def state_dict(self) -> dict[str, Any]:
        """The seeds and actions behind the buffer, and where in it the next step goes."""
        past = [{"seed": seed, "actions": torch.from_numpy(actions)} for seed, actions in self.past]
        return {**self.turns.state_dict(), "past": past, "position": self.buffer.pos, "full": self.buffer.full}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play them again.

        Raises:
            BadInputError: the worlds do not repeat themselves.
        """
        self.past = [Stretch(stretch["seed"], stretch["actions"].numpy()) for stretch in state["past"]]
        played = sum(len(actions) for _, actions in self.past) + len(state["log"])
        self.buffer.reset()
        self.buffer.pos = (state["position"] - played) % self.buffer.buffer_size
        for seed, actions in self.past:
            self._play_again(seed, actions)
            self._close()
        self._play_again(state["seed"], np.array(state["log"], int))
        self.buffer.full = state["full"]
        self.turns.rollouts.prove(state)

    def _play_again(self, seed: int, log: Array) -> None:
        self.turns.reset(seed)
        for actions in log:
            self.model._store_transition(self.buffer, actions, *self.turns.worlds.step(actions))  # type: ignore[arg-type]

    def _close(self) -> None:
        """Where pictures are stored once, the games in progress end here: the next picture is of another game.

        SB3 does the same at the start of `learn` (its issue 46).
        """
        if self.buffer.optimize_memory_usage:
            self.buffer.dones[self.buffer.pos - 1] = 1.0

    def _forget_what_the_buffer_forgot(self) -> None:
        """Drop the stretches before those that cover the buffer."""
        covered = 0
        for number, stretch in reversed(list(enumerate(self.past))):
            if covered >= self.buffer.buffer_size:
                del self.past[: number + 1]
                return
            covered += len(stretch.actions)


class EpsilonGreedy:
    """The action of the highest value, or with probability ε any action, drawn for each world apart.

    SB3's `predict` draws once for all worlds, which would tie the games of an evaluation to each other.
    """

    def __init__(self, policy: BasePolicy, epsilon: float, seed: int) -> None:
        self.policy = policy
        self.epsilon = epsilon
        self.random = np.random.default_rng(seed)

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[tuple[()]]:
        """Observations [N, *obs] → actions [N]."""
        best, _ = self.policy.predict(obs, deterministic=True)
        if greedy:
            return Acts(best, ())
        assert isinstance(self.policy.action_space, Discrete)
        any_action = self.random.integers(self.policy.action_space.n, size=len(obs))
        return Acts(np.where(self.random.random(len(obs)) < self.epsilon, any_action, best), ())


def check_memory(steps: int, observations: Any, *, copies: int) -> None:
    """Make sure that a replay buffer fits into this machine.

    Raises:
        BadInputError: it does not.
    """
    needed = steps * copies * int(np.prod(observations.shape)) * observations.dtype.itemsize
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise BadInputError(
            f"a replay buffer of {steps:,} steps takes {needed / 1e9:,.1f} GB and this machine has {there / 1e9:,.1f} "
            f"GB; lower --buffer-size{'' if copies == 1 else ', or halve it with --save-memory'}"
        )


def off_policy(make: Callable[[str, sb3.Worlds], DQN], config: Any, *, seed: int, device: str) -> Experiment:
    """SB3's DQN on a vector of worlds; `config` has `train_every` and `exploration_final`.

    Raises:
        SpaceError: it cannot handle the world's spaces.
        BadInputError: the world does not open, or its replay buffer does not fit.
    """
    model, rollouts, generators, steps = sb3.build(make, config, seed=seed, device=device, boxes=False)

    def play(callback: BaseCallback) -> None:
        model.collect_rollouts(
            model.env,
            callback,
            model.train_freq,
            model.replay_buffer,
            learning_starts=model.learning_starts,
            log_interval=None,
        )

    def train() -> None:
        if model.num_timesteps > model.learning_starts:
            model.train(gradient_steps=model.gradient_steps, batch_size=model.batch_size)

    ε = config.exploration_final
    learner = sb3.Learner(model, train, generators, lambda dice: EpsilonGreedy(model.policy, ε, dice))
    turns = sb3.Turns(model, rollouts, play, turns=config.horizon // config.train_every, steps=steps)
    evaluate = judge(config.world, games=config.schedule.games, seed=seed, policy=f"ε-greedy (ε = {ε:g})")
    return Experiment(learner, Replay(turns, model), evaluate)
