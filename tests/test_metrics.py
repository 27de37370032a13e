"""Metrics of samples, each held to an answer known beforehand."""

import math

import numpy as np
import pytest
import torch

from sparring.adversarial import data, metrics


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_real_samples_cover_a_mixture():
    x, _ = data.ring().sample(torch.Generator().manual_seed(0), 2_500)
    found = metrics.coverage(x, data.ring())
    assert (found.modes, found.modes_1pct) == (8, 8)
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.006)  # of a Gaussian in the plane, within 3σ
    assert found.reverse_kl < 0.01


def test_coverage_counts_what_lies_near():
    """On a ring with σ = 0.01: 60 of 100 near mode 0, 39 near mode 3, the last just too far from mode 5."""
    ring = data.ring()
    where = [0] * 60 + [3] * 39
    samples = torch.cat(
        [ring.modes[where] + torch.tensor([0.0299, 0.0]), ring.modes[[5]] + torch.tensor([0.0301, 0.0])]
    )
    found = metrics.coverage(samples, ring)
    assert (found.modes, found.modes_1pct, found.high_quality) == (2, 2, 0.99)
    p = 60 / 99
    expected = p * math.log(8 * p) + (1 - p) * math.log(8 * (1 - p))
    assert found.reverse_kl == pytest.approx(expected, rel=1e-12)


def test_one_sample_touches_a_mode_and_does_not_make_it_one_percent():
    ring = data.ring()
    found = metrics.coverage(ring.modes[[0] * 499 + [1]], ring)
    assert (found.modes, found.modes_1pct) == (2, 1)


def test_no_sample_near_any_mode_is_as_far_as_one_can_be():
    found = metrics.coverage(torch.zeros(100, 2), data.ring())
    assert found == (0, 0, 0.0, math.log(8))


def test_the_reverse_divergence_has_its_known_values():
    assert metrics.reverse_kl(np.array([5.0, 5.0, 5.0])) == pytest.approx(0, abs=1e-15)
    assert metrics.reverse_kl(np.array([7.0, 0.0])) == pytest.approx(math.log(2))


def test_fid_of_gaussians_has_a_closed_form():
    """For diagonal covariances: Σ (μ − μ')² + (σ − σ')². The samples are whitened, so their moments are exact."""

    def exactly(mean, deviations, seed):
        x = normal(400, 3, seed=seed)
        x = x - x.mean(0)
        whitener = torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)))
        return x @ whitener.T * torch.tensor(deviations) + torch.tensor(mean)

    one = exactly([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], seed=0)
    other = exactly([1.0, 1.0, 0.0], [1.5, 2.0, 1.0], seed=1)
    assert metrics.frechet_distance(one, other) == pytest.approx(1 + 4 + 0.25 + 4, rel=1e-9)
    assert metrics.frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_fid_agrees_with_the_matrix_square_root_of_scipy():
    from scipy.linalg import sqrtm

    one, other = normal(300, 5), normal(200, 5, seed=1) @ normal(5, 5, seed=2) + 1
    c, c_ = torch.cov(one.T).numpy(), torch.cov(other.T).numpy()
    apart = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected = float(apart) + np.trace(c + c_ - 2 * sqrtm(c @ c_).real)
    assert metrics.frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


def test_the_inception_score_lies_between_one_and_the_number_of_classes():
    assert metrics.inception_score(torch.eye(10).repeat(3, 1)) == pytest.approx(10)
    assert metrics.inception_score(torch.full((30, 10), 0.1)) == pytest.approx(1)
    assert metrics.inception_score(torch.eye(10)[[0] * 30]) == pytest.approx(1)  # sure, and always of the same
    half = torch.eye(10)[[0] * 15 + [1] * 15]
    assert metrics.inception_score(half) == pytest.approx(2)


def test_copies_are_remembered_and_new_images_are_not():
    learned, held_out = normal(500, 4, 2), normal(200, 4, 2, seed=1)
    assert metrics.memorisation(learned[:100], learned, held_out) < 1e-6
    assert metrics.memorisation(held_out, learned, held_out) == 1
    fresh = metrics.memorisation(normal(200, 4, 2, seed=2), learned, held_out)
    low, high = metrics.memorisation_band(learned, held_out, 200)
    assert 0.9 < low < 1 < high < 1.1
    assert low < fresh < high
    half_copied = torch.cat([learned[:100], held_out[:100]])
    assert metrics.memorisation(half_copied, learned, held_out) < low


def test_nearest_neighbours_tell_what_differs_and_cannot_tell_what_does_not():
    assert metrics.nearest_neighbour_accuracy(normal(200, 3), normal(200, 3, seed=1) + 100) == 1
    assert metrics.nearest_neighbour_accuracy(normal(500, 3), normal(500, 3, seed=1)) == pytest.approx(0.5, abs=0.05)
    same = normal(50, 3)
    assert metrics.nearest_neighbour_accuracy(same, same) == 0  # everybody's nearest neighbour is its own copy


def test_a_kernel_density_is_the_mean_of_its_kernels():
    """One centre at 0 and images at 0 in one dimension: the narrowest kernel is the likeliest."""
    narrow = metrics.BANDWIDTHS[0]
    found = metrics.parzen(torch.zeros(3, 1), torch.zeros(4, 1))
    assert found == pytest.approx(-math.log(narrow * math.sqrt(2 * math.pi)), rel=1e-9)
    assert metrics.parzen(normal(500, 1), normal(400, 1, seed=1)) == pytest.approx(
        -0.5 * math.log(2 * math.pi * math.e), abs=0.1
    )
