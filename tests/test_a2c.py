"""A2C's advantages and targets by hand for each critic, its gradient, and where it is REINFORCE."""

import pytest
import torch

import bandits
from bandits import QUARTERS, bandit_batch, bandit_network, gradients, learner_on, short_rollout
from sparring.agents import a2c, reinforce
from sparring.agents.learner import seen
from sparring.agents.protocol import Schedule
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import World


def estimate(**options):
    """Advantages and targets of the short rollout; γ = 1/2, and V = 8 of every observation that is not remembered."""
    learner = learner_on(a2c, bandit_network((0.5, 0.5), value=8.0), gamma=0.5, **options)
    return [table.tolist() for table in a2c.estimate(learner.config, seen(learner, short_rollout()))]


# r_t + γ V(s_{t+1}): world 0 ends at step 0, world 1 is cut at step 1, both are bootstrapped after step 2
TD = [[5.0, -2 + 4 / 2], [5 / 2, 3 + 8 / 2], [7 + 8 / 2, 0.5 + 8 / 2]]
# and the same with the next step's return in place of V where there is a next step
MC = [[5.0, -2 + 7 / 2], [11 / 2, 3 + 8 / 2], [7 + 8 / 2, 0.5 + 8 / 2]]
SEEN = [[5.0, -2 + 3 / 2], [7 / 2, 3.0], [7.0, 0.5]]
V = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def minus_values(targets):
    return [[y - v for y, v in zip(*rows, strict=True)] for rows in zip(targets, V, strict=True)]


def test_td1_takes_a_step_and_asks_the_critic():
    assert a2c.PRESETS["td1"].config.gae_lambda == 0
    assert a2c.PRESETS["td1"].config.critic == "td"
    assert estimate(critic="td", gae_lambda=0.0) == [minus_values(TD), TD]


def test_a_monte_carlo_critic_learns_from_the_return_as_far_as_the_rollout_goes():
    assert estimate(critic="mc", gae_lambda=1.0) == [minus_values(MC), MC]


def test_the_actors_λ_and_the_critics_target_are_chosen_apart():
    assert estimate(critic="mc", gae_lambda=0.0) == [minus_values(TD), MC]
    assert estimate(critic="td", gae_lambda=1.0) == [minus_values(MC), TD]


def test_without_a_critic_the_advantage_is_the_reward_that_was_seen():
    assert estimate(critic="none") == [SEEN, SEEN]


def test_a2c_follows_the_bandits_true_gradient_and_half_the_squared_distance_of_its_value():
    network = bandit_network(QUARTERS, value=0.7)
    metrics = learner_on(a2c, network, value_weight=0.5).update(bandit_batch(network, **bandits.EXPECTED))
    assert gradients(network)["policy_head.bias"].tolist() == pytest.approx([-s for s in bandits.ASCENT], abs=1e-6)
    assert gradients(network)["value_head.bias"].tolist() == pytest.approx([0.5 * (0.7 - 2.5)])
    assert metrics["loss/value"] == pytest.approx((0.3**2 + 3 * 2.3**2) / 4 / 2)


def test_the_entropy_bonus_pulls_towards_uniform():
    network = bandit_network(QUARTERS)
    learner_on(a2c, network, entropy_weight=2.0, value_weight=0.0).update(bandit_batch(network, [0, 1], [0.0, 0.0]))
    expected = [-2 * slope for slope in bandits.entropy_ascent(QUARTERS)]
    assert network.policy_head.bias.grad.tolist() == pytest.approx(expected, abs=1e-6)


def test_standardised_advantages_have_mean_zero_and_deviation_one():
    network = bandit_network(QUARTERS)
    batch = bandit_batch(network, [0, 1, 1, 1], [100.0, 102.0, 102.0, 102.0])
    learner_on(a2c, network, standardise=True, value_weight=0.0).update(batch)
    assert network.policy_head.bias.grad.tolist() == pytest.approx([0.375, -0.375], abs=1e-5)


@pytest.mark.parametrize(("critic", "advantage"), [("none", "discounted"), ("mc", "value")])
@pytest.mark.parametrize("seed", [0, 1])
def test_a2c_has_reinforces_gradient_where_their_advantages_are_one(critic, advantage, seed):
    first, second = bandits.fresh_network(seed=seed), bandits.fresh_network(seed=seed)
    batch = bandits.played(first, seed=seed)
    same = {"gamma": 0.9, "value_weight": 0.5, "entropy_weight": 0.1}
    learner_on(a2c, first, critic=critic, **same).update(batch)
    learner_on(reinforce, second, advantage=advantage, **same).update(batch)
    expected = gradients(second)
    torch.testing.assert_close(gradients(first), expected)
    assert all(gradient.abs().max() > 1e-4 for name, gradient in expected.items() if "policy" in name)
    assert all(bool(gradient.any()) == (critic == "mc") for name, gradient in expected.items() if "value" in name)


def test_a_λ_that_mixes_in_values_is_refused_where_there_are_none():
    with pytest.raises(BadInputError) as refusal:
        a2c.Config(Schedule(100), World("CartPole-v1", "gymnasium", 4), critic="none", gae_lambda=0.95)
    assert all(words in str(refusal.value) for words in ("gae_lambda is 0.95", "critic is none", "--gae-lambda 1"))
