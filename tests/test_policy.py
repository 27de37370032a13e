"""The policy's door and its random generators."""

import copy
import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from sparring.agents.distributions import Categorical, Gaussian
from sparring.agents.policy import Dice, Policy
from sparring.envs.errors import DivergedError


class Fixed(torch.nn.Module):
    """A policy that sees nothing: the same logits everywhere, and V = the observation's first number."""

    def __init__(self, *probabilities):
        super().__init__()
        self.logits = torch.tensor(probabilities).log()

    def forward(self, obs):
        return Categorical(self.logits.expand(len(obs), -1)), obs[:, 0]


def fixed(*probabilities, seed=0):
    return Policy(Fixed(*probabilities), Dice(seed, "cpu"), "cpu")


def blank(rows):
    return np.zeros((rows, 1), np.float32)


def test_actions_are_drawn_as_often_as_the_softmax_says():
    π = np.array([0.5, 0.3, 0.15, 0.05])
    draws = 20_000
    counts = np.bincount(fixed(*π).act(blank(draws)).actions, minlength=4)
    chi_square = ((counts - draws * π) ** 2 / (draws * π)).sum()
    assert chi_square < 16.27  # the 99.9 % quantile at three degrees of freedom


def test_worlds_draw_independently_of_each_other():
    policy = fixed(0.5, 0.5)
    pairs = np.stack([policy.act(blank(2)).actions for _ in range(1000)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / math.sqrt(1000)


def test_act_remembers_the_log_probability_of_what_it_did_and_the_value_of_what_it_saw():
    π = np.array([0.5, 0.3, 0.15, 0.05])
    obs = np.arange(200, dtype=np.float32)[:, None]
    actions, memory = fixed(*π).act(obs)
    np.testing.assert_allclose(memory.log_prob, np.log(π)[actions], rtol=1e-5)
    np.testing.assert_array_equal(memory.value, obs[:, 0])
    assert actions.shape == memory.log_prob.shape == memory.value.shape == (200,)
    assert set(actions) == {0, 1, 2, 3}


def test_greedy_takes_the_likeliest_action_of_each_row_and_rolls_no_dice():
    class Echo(torch.nn.Module):
        def forward(self, obs):
            return Categorical(obs), obs[:, 0]

    policy = Policy(Echo(), Dice(0, "cpu"), "cpu")
    before = policy.dice.state_dict()["state"].clone()
    logits = np.array([[0.1, 0.3, 0.2], [2.0, -1.0, 1.9], [-3.0, -2.0, -1.0]], np.float32)
    actions, memory = policy.act(logits, greedy=True)
    assert actions.tolist() == [1, 0, 2]
    np.testing.assert_allclose(memory.log_prob, torch.log_softmax(torch.tensor(logits), 1).max(1).values, rtol=1e-6)
    assert torch.equal(policy.dice.state_dict()["state"], before)


def test_the_same_dice_throw_the_same_actions_and_others_do_not():
    first, twin, other = (fixed(0.5, 0.5, seed=seed).act(blank(100)).actions for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, twin)
    assert (first != other).any()


def test_acting_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = fixed(0.5, 0.5).act(blank(50)).actions
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    np.testing.assert_array_equal(fixed(0.5, 0.5).act(blank(50)).actions, first)


def test_dice_go_on_from_a_saved_state():
    dice = Dice(3, "cpu")
    torch.rand(7, generator=dice.generator)
    state = copy.deepcopy(dice.state_dict())
    ahead = torch.rand(5, generator=dice.generator)
    again = Dice(99, "cpu")
    again.load_state_dict(state)
    assert torch.equal(torch.rand(5, generator=again.generator), ahead)


def test_the_state_of_dice_is_a_copy_that_later_throws_leave_alone():
    dice = Dice(3, "cpu")
    state = dice.state_dict()["state"]
    kept = state.clone()
    torch.rand(5, generator=dice.generator)
    assert torch.equal(state, kept)


def test_dice_from_another_kind_of_device_go_on_with_numbers_that_follow_from_its_state():
    def thrown(seed):
        dice = Dice(0, "cpu")
        dice.load_state_dict(Dice(seed, "cpu").state_dict() | {"device": "cuda"})
        return torch.rand(5, generator=dice.generator)

    assert torch.equal(thrown(1), thrown(1))
    assert not torch.equal(thrown(1), thrown(2))


def test_a_gaussian_policy_remembers_the_density_of_each_vector_it_drew_and_is_greedy_at_its_mean():
    class Wide(torch.nn.Module):
        def forward(self, obs):
            return Gaussian(obs.expand(-1, 2), torch.tensor([[0.0, 1.0]]).expand(len(obs), 2)), obs[:, 0]

    policy = Policy(Wide(), Dice(0, "cpu"), "cpu")
    obs = np.linspace(-3, 3, 50, dtype=np.float32)[:, None]
    actions, memory = policy.act(obs)
    assert (actions.shape, actions.dtype) == ((50, 2), np.float32)
    for row, mean, log_prob in zip(actions.tolist(), obs[:, 0].tolist(), memory.log_prob.tolist(), strict=True):
        axes = [NormalDist(mean, std).pdf(action) for action, std in zip(row, (1, math.e), strict=True)]
        assert log_prob == pytest.approx(math.log(axes[0] * axes[1]), abs=1e-4)
    np.testing.assert_array_equal(policy.act(obs, greedy=True).actions, obs.repeat(2, 1))


@pytest.mark.parametrize("fault", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("logits", lambda x: (Categorical(torch.stack([x, 0 * x], 1)), torch.zeros(3))),
        ("mean", lambda x: (Gaussian(x[:, None], torch.zeros(3, 1)), torch.zeros(3))),
        ("log_std", lambda x: (Gaussian(torch.zeros(3, 1), x[:, None]), torch.zeros(3))),
        ("values", lambda x: (Categorical(torch.zeros(3, 2)), x)),
    ],
)
def test_nobody_acts_by_numbers_that_are_not_finite(fault, said, answer):
    class Broken(torch.nn.Module):
        def forward(self, obs):
            return answer(torch.tensor([1.0, fault, 3.0]))

    policy = Policy(Broken(), Dice(0, "cpu"), "cpu")
    with pytest.raises(DivergedError, match=f"^{said} are not finite in"):
        policy.act(blank(3))
