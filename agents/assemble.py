"""A world, a network and a learner become an Experiment: what all actor-critics on a vector of worlds share."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from sparring.agents import networks, returns
from sparring.agents.evaluate import judge
from sparring.agents.networks import ActorCritic
from sparring.agents.policy import Remembered
from sparring.agents.protocol import Experiment
from sparring.envs import worlds as door
from sparring.envs.rollouts import Rollout, Rollouts


class MakesLearner(Protocol):
    """An algorithm's class."""

    def __call__(
        self, config: Any, network: ActorCritic, *, clip_reward: bool, updates: int, seed: int, device: str
    ) -> Any:
        """The algorithm, for a run of `updates` updates, its dice seeded with `seed`."""


def assemble(learner: MakesLearner, config: Any, *, seed: int, device: str) -> Experiment:
    """`learner` on a vector of worlds, with weights and dice that follow from `seed`.

    Raises:
        SpaceError: the network cannot handle the world's spaces.
        BadInputError: the world does not open, or the device lacks the precision.
    """
    source: Rollouts[Remembered] = Rollouts(door.build(config.world, training=True), config.horizon)
    spaces = source.worlds.single_observation_space, source.worlds.single_action_space
    weights_seed, dice_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    weights = torch.Generator().manual_seed(weights_seed)
    algorithm = learner(
        config,
        networks.build(config.network, *spaces, weights, precision=config.precision, device=device),
        clip_reward=door.protocol_of(config.world).clip_reward,
        updates=-(-config.schedule.steps // source.steps_per_draw),
        seed=dice_seed,
        device=device,
    )
    return Experiment(algorithm, source, judge(config.world, games=config.schedule.games, seed=seed))


class Seen(NamedTuple):
    """A rollout as tensors on the learner's device, with what the network makes of it; every field is [T, N]."""

    rewards: Tensor  # as the learner sees them
    ended: Tensor
    cut: Tensor
    values: Tensor  # V(s_t) as it was estimated when acting
    next_values: Tensor  # V of what truly followed


@torch.no_grad()
def seen(batch: Rollout[Remembered], network: ActorCritic, *, clip_reward: bool, device: str) -> Seen:
    """The door from arrays to tensors, once a batch."""
    rewards, ended, cut, values, last_obs, cut_obs = (
        torch.as_tensor(array, device=device)
        for array in (
            batch.rewards,
            batch.terminated,
            batch.truncated,
            batch.memory.value,
            batch.obs[-1],
            batch.cut_obs,
        )
    )
    following = returns.next_values(values, network(last_obs)[1], cut, network(cut_obs)[1])
    return Seen(rewards.sign() if clip_reward else rewards, ended, cut, values, following)
