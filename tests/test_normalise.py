"""Running moments against NumPy over all that was seen, glasses that change only between updates, and clipped ends."""

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given, settings

from bandits import learner_on, played
from sparring.agents import a2c, impala, networks, ppo, reinforce
from sparring.agents.learner import seen
from sparring.agents.normalise import Moments, Normalise, RewardScale
from sparring.agents.protocol import Schedule
from sparring.envs.worlds import World

pytestmark = pytest.mark.usefixtures("one_thread")
fuzz = settings(deadline=None, derandomize=True)
ROWS = st.lists(st.tuples(st.floats(-100, 100), st.floats(1e5, 1e5 + 1)), min_size=1, max_size=5)


# Moments


@fuzz
@given(st.lists(ROWS, min_size=1, max_size=5))
def test_moments_are_numpys_mean_and_variance_over_everything_seen(batches):
    moments = Moments(2)
    for batch in batches:
        moments.observe(torch.tensor(batch, dtype=torch.float64))
    everything = np.concatenate(batches)
    np.testing.assert_allclose(moments.mean, everything.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.var, everything.var(0), rtol=1e-6, atol=1e-6)
    assert moments.count == len(everything)


def test_before_anything_was_seen_the_mean_is_0_and_the_variance_1():
    normalised = Normalise(2)(torch.tensor([[3.0, -0.5]]))
    torch.testing.assert_close(normalised, torch.tensor([[3.0, -0.5]]))


def test_numbers_far_from_zero_keep_their_variance():
    # around 10⁸ a naive mean of squares would lose it, even in double precision
    moments = Moments(1)
    for batch in torch.tensor([[1e8, 1e8 + 1], [1e8 + 2, 1e8 + 3]], dtype=torch.float64):
        moments.observe(batch[:, None])
    assert moments.var.item() == pytest.approx(1.25, rel=1e-6)


# Observations


def test_observations_are_told_in_deviations_from_their_mean():
    entrance = Normalise(2)
    entrance.moments.observe(torch.tensor([[1.0, 10.0], [3.0, 50.0]]))  # means 2 and 30, deviations 1 and 20
    found = entrance(torch.tensor([[2.0, 70.0], [1.5, 30.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 2.0], [-0.5, 0.0]]))
    assert found.dtype == torch.float32


def test_observations_far_out_are_clipped_at_ten_deviations():
    entrance = Normalise(1)
    entrance.moments.observe(torch.tensor([[-1.0], [1.0]]))
    assert entrance(torch.tensor([[9.5], [11.0], [-1e6]]))[:, 0].tolist() == pytest.approx([9.5, 10.0, -10.0])


@pytest.mark.parametrize("numbers", [torch.tensor([[[3], [5]]], dtype=torch.uint8), torch.tensor([[[3.0], [5.0]]])])
def test_observations_of_any_shape_and_type_become_rows(numbers):
    assert Normalise(2)(numbers).tolist() == [[3.0, 5.0]]


def test_an_observation_that_never_changes_is_zero():
    entrance = Normalise(1)
    entrance.moments.observe(torch.full((50, 1), 7.0))
    assert entrance(torch.full((1, 1), 7.0)).item() == 0


# Rewards


def test_rewards_are_divided_by_the_deviation_of_the_running_return_and_keep_their_sign():
    # γ = 1/2, one world: rewards 4, 2, −8 | 6, the game over after the third: G = 4, 4, −6 | 6, so mean 2, var 22
    scale = RewardScale(1, 0.5)
    rewards = torch.tensor([[4.0], [2.0], [-8.0], [6.0]])
    scale.observe(rewards, torch.tensor([[False], [False], [True], [False]]))
    assert scale.moments.var.item() == pytest.approx(np.var([4, 4, -6, 6]))
    torch.testing.assert_close(scale(rewards), rewards / 22**0.5)


def test_the_return_goes_on_from_one_batch_to_the_next_and_starts_anew_after_a_game():
    first, second = RewardScale(3, 0.9), RewardScale(3, 0.9)
    generator = torch.Generator().manual_seed(0)
    rewards, over = torch.randn(12, 3, generator=generator), torch.rand(12, 3, generator=generator) < 0.2
    first.observe(rewards, over)
    for part in range(0, 12, 4):
        second.observe(rewards[part : part + 4], over[part : part + 4])
    torch.testing.assert_close(second.moments.var, first.moments.var)
    torch.testing.assert_close(second.returns, first.returns)
    assert first.returns[over[-1]].eq(0).all()


def test_scaled_rewards_are_clipped_at_ten():
    scale = RewardScale(2, 0.0)
    scale.observe(torch.tensor([[-1.0, 1.0]]), torch.zeros(1, 2, dtype=torch.bool))
    assert scale(torch.tensor([[9.0, -12.0]])).tolist() == [[pytest.approx(9.0), -10.0]]


def test_learners_see_scaled_rewards_and_count_the_raw_ones_afterwards():
    network = networks.build("mlp", Box(-1, 1, (1,), np.float32), Discrete(3), torch.Generator().manual_seed(0))
    batch, scale = played(network), RewardScale(4, 0.9)
    learner = learner_on(a2c, network, reward_scale=scale)
    torch.testing.assert_close(seen(learner, batch).rewards, torch.from_numpy(batch.rewards))  # nothing counted yet
    learner.update(batch)
    twin = RewardScale(4, 0.9)
    twin.observe(torch.from_numpy(batch.rewards), torch.from_numpy(batch.terminated | batch.truncated))
    assert scale.moments.count == 24
    assert scale.moments.var == twin.moments.var
    torch.testing.assert_close(seen(learner, batch).rewards, twin(torch.from_numpy(batch.rewards)))


# In a learner


@pytest.fixture(params=[reinforce, a2c, ppo, impala], ids=lambda module: module.__name__.split(".")[-1])
def pendulum(request):
    """Learners on Pendulum with both normalisations."""
    module = request.param
    config = module.Config(Schedule(640), World("Pendulum-v1", "gymnasium", 4), horizon=16)
    return module, dataclasses.replace(config, normalise_observations=True, normalise_rewards=True)


def test_whoever_acts_and_whoever_learns_look_through_the_same_glasses(pendulum):
    module, config = pendulum
    learner, source, _ = module.experiment(config, seed=0, device="cpu")
    source.reset(0)
    for _ in range(2):
        moments = learner.network.entrance.moments
        before = {name: number.clone() for name, number in moments.state_dict().items()}
        batch = source.draw(learner)
        learner.act(batch.obs[0])
        assert all(torch.equal(number, before[name]) for name, number in moments.state_dict().items())
        s = seen(learner, batch)
        with torch.no_grad():
            distribution, values = learner.network(s.obs.flatten(0, 1))
        torch.testing.assert_close(values.view_as(s.values), s.values)
        torch.testing.assert_close(distribution.log_prob(s.actions.flatten(0, 1)).view_as(s.log_probs), s.log_probs)
        learner.update(batch)
    assert moments.count == 2 * 16 * 4


def test_what_was_seen_is_counted_once_each_and_lies_in_the_parts(pendulum):
    module, config = pendulum
    learner, source, _ = module.experiment(config, seed=0, device="cpu")
    source.reset(0)
    shown, paid = [], []
    for _ in range(3):
        batch = source.draw(learner)
        learner.update(batch)
        shown.append(batch.obs[:-1].reshape(-1, 3).astype(float))
        paid.append(batch.rewards)
    moments = learner.network.entrance.moments
    np.testing.assert_allclose(moments.mean, np.concatenate(shown).mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.var, np.concatenate(shown).var(0), rtol=1e-6)
    G = np.zeros(4)  # no game of 200 steps ends in these 48
    seen_returns = [G := row + config.gamma * G for row in np.concatenate(paid).astype(float)]
    assert learner.reward_scale.moments.var.item() == pytest.approx(np.var(seen_returns))
    state = {name: part.state_dict() for name, part in learner.parts().items()}
    assert state["network"]["entrance.moments.count"] == 192
    assert state["reward_scale"]["moments.count"] == 192
    np.testing.assert_allclose(state["reward_scale"]["returns"], G)


def test_a_player_looks_through_the_learners_glasses():
    config = ppo.Config(Schedule(640), World("Pendulum-v1", "gymnasium", 4), horizon=16, normalise_observations=True)
    learner, source, _ = ppo.experiment(config, seed=0, device="cpu")
    source.reset(0)
    learner.update(source.draw(learner))
    assert learner.player(1).network.entrance.moments.count == 64


def test_images_are_not_normalised():
    with pytest.raises(ValueError, match=r"'nature' scales images by 255 and nothing else; leave --normalise-observ"):
        networks.build("auto", Box(0, 255, (4, 84, 84), np.uint8), Discrete(2), torch.Generator(), normalise=True)
