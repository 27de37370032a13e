"""Categorical policies against the softmax written out, Gaussian ones against Python's own normal distribution."""

import math
from statistics import NormalDist

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sparring.agents.distributions import Categorical, Gaussian

fuzz = settings(deadline=None, derandomize=True)
LOGITS = st.lists(st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4), min_size=1, max_size=5)
MEANS, LOG_STDS = st.floats(-5, 5), st.floats(-3, 3)


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


# Categorical


@fuzz
@given(LOGITS, st.integers(0, 3))
def test_log_probabilities_and_entropies_are_those_of_the_softmax(logits, action):
    policy = Categorical(torch.tensor(logits))
    log_probs, entropies = policy.log_prob(torch.full((len(logits),), action)), policy.entropy()
    for row, log_prob, entropy in zip(logits, log_probs.tolist(), entropies.tolist(), strict=True):
        weights = [math.exp(z) for z in row]
        π = [weight / sum(weights) for weight in weights]
        assert log_prob == pytest.approx(math.log(π[action]), rel=1e-4, abs=1e-5)
        assert entropy == pytest.approx(-sum(p * math.log(p) for p in π), rel=1e-3, abs=1e-5)


def test_each_row_looks_up_its_own_action():
    policy = Categorical(torch.tensor([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]]).log())
    torch.testing.assert_close(policy.log_prob(torch.tensor([2, 0])).exp(), torch.tensor([0.5, 0.7]))
    torch.testing.assert_close(policy.entropy(), torch.tensor([1.029653, 0.801819]))


def test_the_entropy_of_n_equal_actions_is_log_n_and_of_a_sure_one_zero():
    entropies = Categorical(torch.tensor([[7.0] * 6, [90.0] + [0.0] * 5])).entropy()
    torch.testing.assert_close(entropies, torch.tensor([math.log(6), 0.0]))


def test_the_mode_of_logits_is_the_largest_of_each_row():
    logits = torch.tensor([[0.1, 0.3, 0.2], [2.0, -1.0, 1.9], [-3.0, -2.0, -1.0]])
    assert Categorical(logits).mode().tolist() == [1, 0, 2]


# Gaussian


def integral(function, mean, std):
    """Over all that matters: the trapezoid rule on ±12 standard deviations, exact to rounding for such a function."""
    x = np.linspace(mean - 12 * std, mean + 12 * std, 2401)
    return float(np.sum([function(point) for point in x]) * (x[1] - x[0]))


@fuzz
@given(st.lists(st.tuples(MEANS, LOG_STDS, st.floats(-3, 3)), min_size=1, max_size=3))
def test_gaussian_log_probabilities_are_sums_of_the_normal_densitys_logarithm(axes):
    means, log_stds, z = (torch.tensor([column], dtype=torch.float64) for column in zip(*axes, strict=True))
    actions = means + z * log_stds.exp()
    expected = sum(
        math.log(NormalDist(mean, math.exp(log_std)).pdf(action))
        for action, mean, log_std in zip(*(row[0].tolist() for row in (actions, means, log_stds)), strict=True)
    )
    assert Gaussian(means, log_stds).log_prob(actions).tolist() == pytest.approx([expected], abs=1e-9)


def test_gaussian_log_probabilities_by_published_numbers():
    # φ(0) = 0.3989423, φ(1) = 0.2419707, φ(2) = 0.0539910 (tables of the standard normal density)
    policy = Gaussian(torch.zeros(3, 1), torch.zeros(3, 1))
    found = policy.log_prob(torch.tensor([[0.0], [1.0], [-2.0]])).exp()
    torch.testing.assert_close(found, torch.tensor([0.3989423, 0.2419707, 0.0539910]))


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.5, -2.0), (-0.5, 1.0)])
def test_gaussian_probabilities_integrate_to_one_and_their_surprise_to_the_entropy(mean, log_std):
    policy = Gaussian(*(torch.tensor([[number]], dtype=torch.float64) for number in (mean, log_std)))

    def log_prob(x):
        return float(policy.log_prob(torch.tensor([[x]], dtype=torch.float64)))

    std = math.exp(log_std)
    assert integral(lambda x: math.exp(log_prob(x)), mean, std) == pytest.approx(1, abs=1e-9)
    surprise = integral(lambda x: -math.exp(log_prob(x)) * log_prob(x), mean, std)
    assert policy.entropy().tolist() == pytest.approx([surprise], abs=1e-9)


def test_the_entropy_of_a_gaussian_is_half_the_logarithm_of_2_π_e_variance_on_every_axis():
    entropies = Gaussian(torch.zeros(2, 3), torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 2.0]])).entropy()
    half = math.log(2 * math.pi * math.e) / 2  # 1.4189385
    torch.testing.assert_close(entropies, torch.tensor([3 * half, 3 * half + 2]))


def test_gaussian_samples_have_their_mean_and_deviation_on_each_axis_and_are_independent():
    mean, std = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    draws = 20_000
    samples = Gaussian(mean.expand(draws, 2), std.log().expand(draws, 2)).sample(dice())
    assert samples.shape == (draws, 2)
    # four standard errors: σ/√n of a mean, σ/√(2n) of a deviation, 1/√n of a correlation
    assert ((samples.mean(0) - mean).abs() < 4 * std / math.sqrt(draws)).all()
    assert ((samples.std(0) - std).abs() < 4 * std / math.sqrt(2 * draws)).all()
    assert abs(np.corrcoef(samples.T.numpy())[0, 1]) < 4 / math.sqrt(draws)


def test_gaussian_gradients_are_those_of_the_closed_form():
    # ∂ log π / ∂mean = (a − mean) / σ², ∂ log π / ∂log σ = z² − 1, ∂H / ∂log σ = 1
    mean, log_std = (torch.tensor([[number]], requires_grad=True) for number in (1.0, math.log(2.0)))
    policy = Gaussian(mean, log_std)
    policy.log_prob(torch.tensor([[4.0]])).sum().backward()
    assert (mean.grad.item(), log_std.grad.item()) == pytest.approx((3 / 4, 9 / 4 - 1))
    log_std.grad = None
    policy.entropy().sum().backward()
    assert log_std.grad.item() == 1


@pytest.mark.parametrize(
    "policy",
    [Categorical(torch.randn(50, 4, generator=dice(1))), Gaussian(torch.zeros(50, 2), torch.zeros(50, 2))],
    ids=["categorical", "gaussian"],
)
def test_the_generator_decides_a_sample_and_the_global_one_does_not(policy):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, twin, other = (policy.sample(dice(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, twin)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_gaussian_that_is_greedy_takes_its_mean():
    mean = torch.tensor([[1.0, -7.0]])
    assert Gaussian(mean, torch.zeros(1, 2)).mode().tolist() == mean.tolist()
