"""What every policy gradient on a vector of worlds is made of, once: a Learner, its batch as tensors, its assembly.

An algorithm's own file holds its equations, its Config and `learn(learner, batch)`, which is all that tells it from
the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from sparring.agents import networks, returns
from sparring.agents.descent import Descent, check_finite
from sparring.agents.evaluate import judge
from sparring.agents.networks import ActorCritic
from sparring.agents.normalise import Normalise, RewardScale
from sparring.agents.policy import Dice, Policy, Remembered
from sparring.agents.protocol import Experiment, Stateful
from sparring.envs import worlds as door
from sparring.envs.rollouts import Acts, Metrics, Rollout, Rollouts
from sparring.envs.worlds import Array

Config = TypeVar("Config")


class Learner(Generic[Config]):
    """An Algorithm: a policy and value network, its descent, and the dice that act and shuffle."""

    def __init__(
        self,
        learn: Callable[[Learner[Config], Rollout[Remembered]], Metrics],
        config: Config,
        network: ActorCritic,
        descent: Descent,
        *,
        clip_reward: bool,
        seed: int,
        device: str,
        reward_scale: RewardScale | None = None,
        kept: Mapping[str, nn.Module] | None = None,
    ) -> None:
        """`kept`: what else the algorithm keeps from one update to the next, by name."""
        self.learn = learn
        self.config = config
        self.network = network
        self.descent = descent
        self.clip_reward = clip_reward
        self.device = device
        self.reward_scale = reward_scale
        self.kept = kept or {}
        self.dice = Dice(seed, device)
        self.policy = Policy(network, self.dice, device)

    @property
    def precision(self) -> networks.Precision:
        """What `auto` came to."""
        return self.network.precision

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Remembered]:
        """Observations [N, *obs] → actions [N, *action], with log μ(a|s) and V(s) as they are now."""
        return self.policy.act(obs, greedy=greedy)

    def player(self, seed: int) -> Policy:
        """The present policy with dice of its own."""
        return Policy(self.network, Dice(seed, self.device), self.device)

    def parts(self) -> Mapping[str, Stateful]:
        """What must survive a crash."""
        scale = {} if self.reward_scale is None else {"reward_scale": self.reward_scale}
        return {"network": self.network, "descent": self.descent, "dice": self.dice, **scale, **self.kept}

    def update(self, batch: Rollout[Remembered]) -> Metrics:
        """Learn from one rollout; then count it into the running moments, if there are any."""
        self.descent.begin_update()
        metrics = self.learn(self, batch)
        if isinstance(self.network.entrance, Normalise):
            rows = torch.as_tensor(batch.obs[:-1], device=self.device)
            self.network.entrance.moments.observe(rows.flatten(0, 1).flatten(1))
        if self.reward_scale is not None:
            self.reward_scale.observe(self.rewards(batch), self.tensor(batch.terminated | batch.truncated))
        return metrics

    def rewards(self, batch: Rollout[Remembered]) -> Tensor:
        """[T, N] as the protocol lets the learner see them."""
        rewards = self.tensor(batch.rewards)
        return rewards.sign() if self.clip_reward else rewards

    def tensor(self, array: Array) -> Tensor:
        """An array on the learner's device."""
        return torch.as_tensor(array, device=self.device)


class Seen(NamedTuple):
    """A rollout as tensors on the learner's device, with what the network made of it when acting; time first."""

    obs: Tensor  # [T, N, *obs]
    actions: Tensor  # [T, N, *action]
    log_probs: Tensor  # [T, N] log μ(a|s) of the policy that acted
    rewards: Tensor  # [T, N] as the learner sees them
    ended: Tensor  # [T, N]
    cut: Tensor  # [T, N]
    values: Tensor  # [T, N] V(s_t)
    next_values: Tensor  # [T, N] V of what truly followed


@torch.no_grad()
def seen(learner: Learner[Any], batch: Rollout[Remembered]) -> Seen:
    """The door from arrays to tensors, once a batch.

    Raises:
        DivergedError: observations, rewards or values are not finite.
    """
    obs, cut, values = learner.tensor(batch.obs), learner.tensor(batch.truncated), learner.tensor(batch.memory.value)
    rewards = learner.rewards(batch)
    if learner.reward_scale is not None:
        rewards = learner.reward_scale(rewards)
    shown = {"observations": obs} if obs.is_floating_point() else {}
    check_finite({**shown, "rewards": rewards, "values": values})
    cut_values = learner.network(learner.tensor(batch.cut_obs))[1] if len(batch.cut_obs) else values[0, :0]
    return Seen(
        obs[:-1],
        learner.tensor(batch.actions),
        learner.tensor(batch.memory.log_prob),
        rewards,
        learner.tensor(batch.terminated),
        cut,
        values,
        returns.next_values(values, learner.network(obs[-1])[1], cut, cut_values),
    )


def assemble(
    learn: Callable[[Learner[Any], Rollout[Remembered]], Metrics],
    config: Any,
    *,
    optimiser: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    seed: int,
    device: str,
    kept: Mapping[str, nn.Module] | None = None,
    level: float = 0.0,
) -> Experiment:
    """An algorithm on a vector of worlds, with weights and dice that follow from `seed`; `level` is `Descent`'s.

    Raises:
        SpaceError: the network cannot handle the world's spaces.
        BadInputError: the world does not open, or the device lacks the precision.
    """
    source: Rollouts[Remembered] = Rollouts(door.build_groups(config.world), config.horizon)
    weights_seed, dice_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    network = networks.build(
        config.network,
        source.observation_space,
        source.action_space,
        torch.Generator().manual_seed(weights_seed),
        precision=config.precision,
        device=device,
        normalise=config.normalise_observations,
    ).to(device)
    updates = -(-config.schedule.steps // source.steps_per_draw)
    learner = Learner(
        learn,
        config,
        network,
        Descent(
            optimiser(list(network.parameters())),
            max_norm=config.max_gradient_norm,
            updates=updates if config.anneal else None,
            level=level,
        ),
        clip_reward=door.protocol_of(config.world).clip_reward,
        seed=dice_seed,
        device=device,
        reward_scale=RewardScale(source.worlds, config.gamma).to(device) if config.normalise_rewards else None,
        kept={name: module.to(device) for name, module in (kept or {}).items()},
    )
    return Experiment(learner, source, judge(config.world, games=config.schedule.games, seed=seed))
