"""Evaluation: full games under a stated protocol, a mean with its interval, and the best game kept as an episode.

Each game is the *first* one of a world of its own, seeded apart. Every game that is started is counted, so long games
are not under-represented, and any of them can be replayed alone from its seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Discrete, Space

from sparring.agents import statistics
from sparring.agents.protocol import Evaluation, Judge, Watch, unwatched
from sparring.envs import episodes
from sparring.envs import worlds as door
from sparring.envs.episodes import Episode
from sparring.envs.rollouts import Actor, Acts
from sparring.envs.worlds import Array, World

RANDOM_SCORES: dict[tuple[World, int, int], list[float]] = {}  # by (world, games, seed): they never change
JUDGED = 2**32 - 1  # sets evaluation seeds apart from the training seeds, which are numbered by update
AT_A_TIME = 64  # games side by side: bounds the memory of a large evaluation


class Random:
    """The uniform policy: the floor of every comparison."""

    def __init__(self, actions: Space[Any], seed: int) -> None:
        self.actions = actions
        self.random = np.random.default_rng(seed)

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[tuple[()]]:
        """Any action, whatever is seen."""
        if isinstance(self.actions, Discrete):
            return Acts(self.random.integers(self.actions.n, size=len(obs)), ())
        size = (len(obs), *(self.actions.shape or ()))
        return Acts(self.random.uniform(-1.0, 1.0, size).astype(self.actions.dtype), ())


def interval(scores: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap percentile interval of the mean."""
    return statistics.estimate(scores).interval


def play(actor: Actor[Any], world: World, games: int, seed: int, watch: Watch = unwatched) -> list[Episode]:
    """Play `games` full games, game k from seed + k, and record them all."""
    played: list[Episode] = []
    while len(played) < games:
        seeds = range(seed + len(played), seed + min(len(played) + AT_A_TIME, games))
        watch_batch = functools.partial(_watch_from, watch, len(played), games)
        played += _side_by_side(actor, world, seeds, watch_batch)
    return played


def _watch_from(watch: Watch, before: int, whole: int, done: int) -> None:
    watch(before + done, whole)


def _side_by_side(actor: Actor[Any], world: World, seeds: range, watch: Callable[[int], None]) -> list[Episode]:
    """One game from each seed, in a world of its own; worlds whose game is over idle until the last one ends."""
    protocol, spec = asdict(door.protocol_of(world)), episodes.spec_of(world)
    worlds = door.build(world, training=False, count=len(seeds))
    obs, _ = worlds.reset(seed=seeds[0])
    actions: list[list[Array]] = [[] for _ in seeds]
    rewards: list[list[float]] = [[] for _ in seeds]
    checksums = [[episodes.checksum(first)] for first in obs]
    playing = np.ones(len(seeds), bool)
    space = worlds.single_action_space
    chosen = np.zeros((len(seeds), *(space.shape or ())), space.dtype)
    while playing.any():
        chosen[playing] = actor.act(obs[playing]).actions
        obs, earned, terminated, truncated, info = worlds.step(chosen)
        over = terminated | truncated
        for k in np.flatnonzero(playing):
            actions[k].append(chosen[k].copy())
            rewards[k].append(float(earned[k]))
            checksums[k].append(episodes.checksum(info["final_obs"][k] if over[k] else obs[k]))
        playing &= ~over
        watch(int((~playing).sum()))
    worlds.close()
    return [
        Episode(
            world,
            protocol,
            spec,
            seed,
            np.array(actions[k], space.dtype),
            np.array(rewards[k], np.float32),
            np.array(checksums[k], np.uint32),
        )
        for k, seed in enumerate(seeds)
    ]


def evaluate(
    actor: Actor[Any], world: World, *, games: int, seed: int, policy: str = "stochastic", watch: Watch = unwatched
) -> Evaluation:
    """Mean score over full games with its 95 % interval, beside the uniform policy's on the same seeds.

    `policy` says, for the protocol's record, how the actor chooses.
    """
    played = play(actor, world, games, seed, lambda done, _: watch(done, 2 * games))
    scores = [episode.score for episode in played]
    low, high = interval(scores)
    random = random_scores(world, games, seed, lambda done, _: watch(games + done, 2 * games))
    random_low, random_high = interval(random)
    metrics = {
        "score": float(np.mean(scores)),
        "score_low": low,
        "score_high": high,
        "length": float(np.mean([len(episode.actions) for episode in played])),
        "random": float(np.mean(random)),
        "random_low": random_low,
        "random_high": random_high,
    }
    protocol = {
        "env": world.env,
        **asdict(door.protocol_of(world)),
        "full_games": True,
        "games": games,
        "seeds": [seed, seed + games - 1],
        "policy": policy,
        "interval": "95 % bootstrap over games",
    }
    return Evaluation(metrics, protocol, scores, sorted(played, key=lambda episode: -episode.score)[:1])


class Learner(Protocol):
    """Whoever can send a player."""

    def player(self, seed: int) -> Actor[Any]:
        """The present policy with dice of its own."""


def judge(world: World, *, games: int, seed: int, policy: str = "stochastic") -> Judge:
    """What an Experiment needs: an evaluation that rolls its own dice, on seeds set apart from those of the training.

    Without sticky actions a seed only chooses among the protocol's openings; the policy's dice tell the games apart.
    """
    apart = int(np.random.SeedSequence([seed, JUDGED]).generate_state(1)[0] >> 2)

    def evaluation(learner: Learner, /, *, watch: Watch = unwatched) -> Evaluation:
        return evaluate(learner.player(apart), world, games=games, seed=apart, policy=policy, watch=watch)

    return evaluation


def random_scores(world: World, games: int, seed: int, watch: Watch = unwatched) -> list[float]:
    """The uniform policy's scores on the same seeds; played once a process."""
    key = (world, games, seed)
    if key not in RANDOM_SCORES:
        worlds = door.build(world, training=False, count=1)
        worlds.close()
        chance = Random(worlds.single_action_space, seed)
        RANDOM_SCORES[key] = [episode.score for episode in play(chance, world, games, seed, watch)]
    return RANDOM_SCORES[key]
