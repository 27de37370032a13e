"""Batches made by hand, and learners on them: what tests of several algorithms need to know a gradient beforehand.

With the policy head's weights at zero its bias *is* the logits, so after a backward pass `policy_head.bias.grad` is
∂loss/∂logits summed over the batch, which a softmax gives in closed form: ∂ log π(a) / ∂z = e_a − π.
"""

import dataclasses
import math

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from sparring.agents import networks, reinforce
from sparring.agents.descent import Descent
from sparring.agents.learner import Learner
from sparring.agents.policy import Remembered
from sparring.agents.protocol import Schedule
from sparring.envs.rollouts import Rollout
from sparring.envs.worlds import World

QUARTERS = (0.25, 0.75)  # π of the two-armed bandit
PLAIN = {"standardise": False, "entropy_weight": 0.0, "max_gradient_norm": 1e9, "minibatches": 1}

# Every action as often as π takes it, so that the batch's mean is the exact expectation:
# J = 0.25 · 1 + 0.75 · 3 = 2.5 and ∂J/∂z_a = π_a (r_a − J) = ∓0.375.
EXPECTED = {"actions": [0, 1, 1, 1], "rewards": [1.0, 3.0, 3.0, 3.0]}
ASCENT = [-0.375, 0.375]

BANDITS = {QUARTERS: (1.0, 3.0), (0.125, 0.375, 0.5): (-1.0, 2.0, 4.0), (0.25,) * 4: (0.0, 0.0, 8.0, 1.0)}  # π: arms


def exactly(π, arms):
    """Eight steps that take every arm as often as π does, and the true ascent ∂J/∂z_a = π_a (r_a − J)."""
    actions = [a for a, share in enumerate(π) for _ in range(round(8 * share))]
    J = sum(share * r for share, r in zip(π, arms, strict=True))
    ascent = [share * (r - J) for share, r in zip(π, arms, strict=True)]
    return {"actions": actions, "rewards": [arms[a] for a in actions]}, ascent


def fresh_network(actions=3, inputs=1, seed=0):
    """An ActorCritic whose policy is far enough from uniform to tell actions apart; `actions` a number or a space."""
    space = Discrete(actions) if isinstance(actions, int) else actions
    network = networks.build("mlp", Box(-1, 1, (inputs,), np.float32), space, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        network.policy_head.weight.mul_(100)
    return network


def bandit_network(π, value=0.0):
    """An ActorCritic on observations [1] whose logits are log π and whose value is `value`, whatever it sees."""
    network = fresh_network(len(π))
    with torch.no_grad():
        for head, bias in ((network.policy_head, torch.tensor(π).log()), (network.value_head, torch.tensor([value]))):
            head.weight.zero_()
            head.bias.copy_(bias)
    return network


def learner_on(module, network, *, clip_reward=False, reward_scale=None, **options):
    """An algorithm with one plain gradient step of its whole batch, save what `options` say; 10 updates in all."""
    own = {field.name for field in dataclasses.fields(module.Config)}
    plain = {name: value for name, value in PLAIN.items() if name in own} | ({"epochs": 1} if "epochs" in own else {})
    config = module.Config(Schedule(100), World("CartPole-v1", "gymnasium", 4), **plain | options)
    descent = Descent(
        torch.optim.SGD(network.parameters(), lr=config.learning_rate),
        max_norm=config.max_gradient_norm,
        updates=10 if config.anneal else None,
    )
    return Learner(
        module.learn,
        config,
        network,
        descent,
        clip_reward=clip_reward,
        seed=0,
        device="cpu",
        reward_scale=reward_scale,
        kept={"baseline": reinforce.Baseline()} if module is reinforce else None,
    )


def gradients(network, of=""):
    """Each parameter's gradient, by name; `of` chooses by a part of the name."""
    return {
        name: parameter.grad.clone()
        for name, parameter in network.named_parameters()
        if of in name and parameter.grad is not None
    }


def bandit_batch(network, actions, rewards, *, cut=False):
    """One row of worlds that each played one step and terminated, or were cut."""
    obs = np.full((2, len(actions), 1), 0.5, np.float32)
    ended, truncated = (np.full((1, len(actions)), flag) for flag in (not cut, cut))
    rewards, cut_obs = np.array([rewards], np.float32), obs[0] if cut else obs[:0, 0]
    return remembered(network, obs, np.array([actions]), rewards, ended, truncated, cut_obs)


def remembered(network, obs, actions, rewards, ended, cut, cut_obs):
    """A rollout as `network` would have played it: its own log-probabilities and values lie in the memory."""
    with torch.no_grad():
        distribution, values = network(torch.from_numpy(obs[:-1]).flatten(0, 1))
        log_probs = distribution.log_prob(torch.from_numpy(actions).flatten(0, 1))
    memory = Remembered(*(table.view(rewards.shape).numpy() for table in (log_probs, values)))
    return Rollout(obs, actions, rewards, ended, cut, memory, cut_obs)


def played(network, *, steps=6, worlds=4, seed=0):
    """Random games of a fresh network [1 input]: some end, some are cut."""
    random = np.random.default_rng(seed)
    shape = steps, worlds
    fates = random.choice(3, shape, p=[0.6, 0.2, 0.2])
    ended, cut = fates == 1, fates == 2
    assert ended.any()
    assert cut.any()
    obs = random.uniform(-1, 1, (steps + 1, worlds, 1)).astype(np.float32)
    actions = random.integers(network.policy_head.out_features, size=shape)
    if network.log_std is not None:
        actions = random.normal(size=(*shape, network.policy_head.out_features)).astype(np.float32)
    cut_obs = random.uniform(-1, 1, (cut.sum(), 1)).astype(np.float32)
    return remembered(network, obs, actions, random.normal(size=shape).astype(np.float32), ended, cut, cut_obs)


def short_rollout():
    """Two worlds, three steps; world 0 ends at step 0, world 1 is cut at step 1; V as it was remembered is 1 … 6."""
    obs = np.full((4, 2, 1), 0.5, np.float32)
    rewards = np.array([[5.0, -2.0], [0.0, 3.0], [7.0, 0.5]], np.float32)
    ended = np.array([[True, False], [False, False], [False, False]])
    cut = np.array([[False, False], [False, True], [False, False]])
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
    memory = Remembered(np.full((3, 2), math.log(0.5), np.float32), values)
    return Rollout(obs, np.zeros((3, 2), int), rewards, ended, cut, memory, np.full((1, 1), 0.5, np.float32))


def entropy_ascent(π):
    """∂H/∂z_j = −π_j (log π_j + H)."""
    H = -sum(p * math.log(p) for p in π)
    return [-p * (math.log(p) + H) for p in π]
