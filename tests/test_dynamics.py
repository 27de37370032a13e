"""Dynamics on games whose answers are algebra: eigenvalues, contraction rates, fixed points."""

import cmath
import math

import numpy as np
import pytest
import torch

from sparring.adversarial import diagnostics, toys
from sparring.adversarial.dynamics import (
    Alternating,
    Competitive,
    Consensus,
    Extragradient,
    Lookahead,
    Optimistic,
    Simultaneous,
    SymplecticAdjustment,
)
from sparring.adversarial.game import Match


def match_of(game, rate):
    return Match(game, {name: torch.optim.SGD(player.parameters(), lr=rate) for name, player in game.players.items()})


def where(game):
    return torch.cat([weight.detach().flatten() for weight in game.parameters()]).numpy()


def map_of(make, rate, steps=1):
    """The linear map [2, 2] that `steps` of a dynamics are on the bilinear game, column by column."""
    columns = []
    for start in np.eye(2):
        game, dynamics = toys.Bilinear(*start), make()
        for _ in range(steps):
            dynamics.step(match_of(game, rate), [None] * dynamics.batches)
        columns.append(where(game))
    return np.array(columns).T


def radius(make, rate, steps=1):
    return max(abs(np.linalg.eigvals(map_of(make, rate, steps)))) ** (1 / steps)


@pytest.mark.parametrize(
    ("make", "steps", "expected", "at_half"),
    [
        (Simultaneous, 1, lambda η: math.sqrt(1 + η**2), 1.118034),
        (Alternating, 1, lambda η: 1.0, 1.0),
        (Extragradient, 1, lambda η: math.sqrt(1 - η**2 + η**4), 0.901388),
        (Competitive, 1, lambda η: 1 / math.sqrt(1 + η**2), 0.894427),
        (lambda: Consensus(1.0), 1, lambda η: math.hypot(1 - η, η), 0.707107),
        (lambda: Consensus(0.1), 1, lambda η: math.hypot(1 - 0.1 * η, η), 1.073546),
        (SymplecticAdjustment, 1, lambda η: math.hypot(1 - η, η), 0.707107),
        (lambda: Lookahead(k=5), 5, lambda η: abs(0.5 + 0.5 * (1 + 1j * η) ** 5) ** (1 / 5), 0.916729),
        (lambda: Lookahead(k=6), 6, lambda η: abs(0.5 + 0.5 * (1 + 1j * η) ** 6) ** (1 / 6), 0.901885),
    ],
)
def test_the_bilinear_game_contracts_as_theory_says(make, steps, expected, at_half):
    for η in (0.1, 0.5):
        assert radius(make, η, steps) == pytest.approx(expected(η), abs=1e-9)
    assert radius(make, 0.5, steps) == pytest.approx(at_half, abs=1e-6)  # as published


def optimistic_map(rate):
    """The linear map [4, 4] of what optimistic descent has, where it is and the field it saw last, column by column."""
    columns = []
    for *start, seen_x, seen_y in np.eye(4):
        game, dynamics = toys.Bilinear(*start), Optimistic()
        dynamics.before = {"x": [torch.tensor([seen_x])], "y": [torch.tensor([seen_y])]}
        dynamics.step(match_of(game, rate), [None])
        columns.append(np.concatenate([where(game), *(one.detach() for [one] in dynamics.before.values())]))
    return np.array(columns).T


@pytest.mark.parametrize("η", [0.1, 0.5])
def test_optimistic_descent_contracts_as_theory_says(η):
    """Its eigenvalues are the roots of λ² − (1 ± 2iη)λ ± iη; at η = ½ these are (1 ± i)/2, twice each."""
    measured = optimistic_map(η)
    whole = np.polymul([1, -(1 + 2j * η), 1j * η], [1, -(1 - 2j * η), -1j * η])
    np.testing.assert_allclose(np.poly(measured), whole, atol=1e-12)
    radius = abs(1 + 2j * η + cmath.sqrt(1 - 4 * η**2)) / 2
    if η == 0.5:  # all four have one size, and their product is the determinant; eig knows double roots to 1e-8 only
        assert np.linalg.det(measured) ** (1 / 4) == pytest.approx(radius, abs=1e-12)
        assert radius == pytest.approx(math.sqrt(0.5), abs=1e-12)
    else:
        assert max(abs(np.linalg.eigvals(measured))) == pytest.approx(radius, abs=1e-12)
        assert radius == pytest.approx(0.994936, abs=1e-6)  # as published


@pytest.mark.parametrize("η", [0.1, 0.5])
def test_optimistic_descent_obeys_its_recurrence(η):
    """w' = w − 2ηv(w) + ηv(w_before), from a first step that has no past."""
    path, dynamics, game = [np.array([1.0, 0.3])], Optimistic(), toys.Bilinear(1.0, 0.3)
    match = match_of(game, η)
    for _ in range(60):
        dynamics.step(match, [None])
        path.append(where(game))
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(path[1], path[0] - η * turn @ path[0], rtol=1e-12)
    for before, now, after in zip(path, path[1:], path[2:], strict=False):
        np.testing.assert_allclose(after, now - η * turn @ (2 * now - before), rtol=1e-9, atol=1e-15)


def test_taking_turns_keeps_a_quantity_of_the_bilinear_game():
    game = toys.Bilinear(1.0, 0.3)
    match, dynamics = match_of(game, 0.5), Alternating()

    def kept():
        x, y = where(game)
        return x**2 + y**2 - 0.5 * x * y

    before = kept()
    for _ in range(1000):
        dynamics.step(match, [None])
    assert kept() == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        (toys.DiracGAN("minimax", theta=0, psi=0), 0.5j),
        (toys.DiracGAN("non-saturating", theta=0, psi=0), 0.5j),
        (toys.DiracGAN("wasserstein", theta=0, psi=0), 1j),
        *((toys.DiracGAN(gamma=γ, theta=0, psi=0), γ / 2 + cmath.sqrt(γ**2 / 4 - 0.25)) for γ in (0.1, 0.3, 1.0, 2.0)),
    ],
)
def test_the_dirac_gan_turns_as_its_eigenvalues_say(game, expected):
    """Those of J, minus those of the published −J, along which players move: this one and γ minus it."""
    found = diagnostics.spectrum(game, None)
    γ = game.γ
    assert np.poly(diagnostics.jacobian(game, None)) == pytest.approx(
        [1, -γ, abs(expected * (γ - expected))], abs=1e-12
    )
    exactness = 1e-7 if γ == 1.0 else 1e-9  # critical damping is a double root, which eig knows to its root only
    assert min(abs(found - expected)) < exactness
    assert min(abs(found - (γ - expected))) < exactness


@pytest.mark.parametrize(
    ("kind", "gamma", "dynamics", "norm"),
    [
        ("minimax", 0.0, Alternating, 1.421),
        ("non-saturating", 0.0, Alternating, 0.2839),
        ("minimax", 0.3, Alternating, 2.3e-7),
        ("minimax", 0.0, Simultaneous, 3.0969),
        ("non-saturating", 0.0, Simultaneous, 0.6402),
    ],
)
def test_the_dirac_gan_is_where_others_measured_it_after_500_steps(kind, gamma, dynamics, norm):
    game, moves = toys.DiracGAN(kind, gamma), dynamics()
    match = match_of(game, 0.2)
    for _ in range(500):
        moves.step(match, [None] * moves.batches)
    assert np.hypot(*where(game)) == pytest.approx(norm, rel=5e-3 if norm > 1e-3 else 0.05)
