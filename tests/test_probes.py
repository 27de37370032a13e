"""Probes and the proxy A-distance, where the right answer is known; and the picture of features."""

import numpy as np
import pytest
import torch

from sparring.adversarial import probes

pytestmark = pytest.mark.usefixtures("one_thread")


def cloud(middle, count=2_000, seed=0, sides=4):
    return torch.randn(count, sides, generator=torch.Generator().manual_seed(seed)) + torch.tensor(middle)


def distances(source, target, seed=0, **told):
    """Of features, of which every other one is asked about."""
    learned, asked = ([some[first::2] for some in (source, target)] for first in range(2))
    return probes.domain_distances(learned, asked, seed=seed, **told)


def test_what_looks_alike_is_not_told_apart():
    linear, deep = distances(cloud([0.0] * 4), cloud([0.0] * 4, seed=1))
    assert max(linear, deep) < 0.2


def test_what_lies_far_apart_is_told_apart_altogether():
    linear, deep = distances(cloud([0.0] * 4), cloud([9.0] * 4, seed=1))
    assert min(linear, deep) > 1.99


def test_two_gaussians_are_as_far_apart_as_bayes_says():
    """The best error is Φ(−d/2) at distance d, and the A-distance 2 (1 − 2 Φ(−d/2))."""
    distance = 1.5
    error = 0.5 * torch.special.erfc(torch.tensor(distance / 2 / 2**0.5)).item()
    linear, deep = distances(cloud([0.0] * 4), cloud([distance, 0, 0, 0], seed=1))
    assert linear == pytest.approx(2 * (1 - 2 * error), abs=0.1)
    assert deep == pytest.approx(2 * (1 - 2 * error), abs=0.15)


def test_a_ring_around_a_disc_is_seen_only_by_the_probe_with_a_hidden_layer():
    angles = torch.rand(2_000, generator=torch.Generator().manual_seed(2)) * 2 * torch.pi
    ring = 4 * torch.stack([angles.cos(), angles.sin()], 1)
    linear, deep = distances(cloud([0.0] * 2, sides=2), ring)
    assert linear < 0.4
    assert deep > 1.6


def test_probes_follow_from_their_seed_and_are_told_about():
    told = []
    torch.manual_seed(3)
    first = distances(cloud([0.0] * 4), cloud([1.0] * 4), seed=5, watch=lambda *at: told.append(at))
    torch.manual_seed(4)
    assert distances(cloud([0.0] * 4), cloud([1.0] * 4), seed=5) == first
    assert told == [(1, 2), (2, 2)]


def test_more_images_of_one_domain_weigh_no_more():
    """With 95 % of one kind a probe that always says so would err little."""
    linear, _ = distances(cloud([0.0] * 4, 4_000), cloud([0.0] * 4, 200, seed=1))
    assert linear < 0.5


def test_features_are_turned_to_where_they_vary_most():
    """A line through space, with a little noise: its first component is the way along it."""
    along = torch.linspace(-3, 3, 50)
    line = along[:, None] * torch.tensor([1.0, 2.0, 2.0]) / 3 + 0.001 * cloud([0.0] * 3, 50, sides=3)
    turned = probes.principal(line.numpy())
    np.testing.assert_allclose(np.abs(turned[:, 0]), along.abs(), atol=0.01)
    assert np.abs(turned[:, 1:]).max() < 0.01


def test_neighbours_stay_neighbours_in_the_plane():
    two = torch.cat([cloud([0.0] * 4, 40), cloud([20.0] * 4, 40, seed=1)]).numpy()
    flat = probes.near(two)
    assert flat.shape == (80, 2)
    apart = np.linalg.norm(flat[:, None] - flat, axis=2) + 1e9 * np.eye(80)
    assert ((apart.argmin(1) < 40) == (np.arange(80) < 40)).all()


@pytest.mark.parametrize("value", [0.0, 1.5, np.nan])
def test_features_that_died_lie_in_one_place(value):
    """All units of a layer may; a picture of it must not bring the run down."""
    flat = probes.near(probes.principal(np.full((100, 50), value, np.float32)))
    assert flat.shape == (100, 2)
    assert np.isfinite(flat).all()
