"""Elo: closed forms for two players, a pool whose strengths are known, intervals that cover."""

import numpy as np
import pytest

from sparring.agents.elo import POINTS, Result, rate, strengths, wins_of


def expected(elo, games):
    """The results that players of such strengths have on average: wins [P, P]."""
    chances = 1 / (1 + 10 ** ((np.array(elo)[None] - np.array(elo)[:, None]) / 400))
    return games * chances * (1 - np.eye(len(elo)))


@pytest.mark.parametrize("elo", [(0, 0), (0, 200), (-300, 0, 300), (0, 50, 120, 700)])
def test_strengths_are_found_again_from_the_results_that_they_lead_to(elo):
    found = strengths(expected(elo, 1e6)[None])[0]
    np.testing.assert_allclose(found - found[0], np.array(elo) - elo[0], atol=0.5)


def test_three_wins_to_one_are_191_points():
    """400 log₁₀ 3, where games are so many that the virtual draw does not matter."""
    results = [Result(0, 1, 1.0)] * 75_000 + [Result(0, 1, 0.0)] * 25_000
    first, second = rate(results, 2, anchor=1)
    assert first.elo == pytest.approx(400 * np.log10(3), abs=0.05)
    assert (second.elo, second.low, second.high) == (0, 0, 0)
    assert first.low < first.elo < first.high
    assert first.high - first.low == pytest.approx(2 * 1.96 * POINTS / (100_000 * 3 / 16) ** 0.5, rel=0.1)


def test_a_draw_is_half_a_win_of_each():
    assert wins_of([Result(0, 1, 0.5), Result(1, 0, 1.0)], 2).tolist() == [[0, 0.5], [1.5, 0]]


def test_who_won_everything_is_strong_and_not_infinitely_strong():
    """One player 10 wins and the virtual draw: 10½ = 10 s/(s + t) + s/(s + 1), ½ = 10 t/(s + t) + t/(t + 1)."""
    first, second = rate([Result(0, 1, 1.0)] * 10, 2, anchor=1)
    s, t = 10 ** (strengths(wins_of([Result(0, 1, 1.0)] * 10, 2)[None])[0] / 400)
    assert 10 * s / (s + t) + s / (s + 1) == pytest.approx(10.5, abs=1e-3)
    assert 10 * t / (s + t) + t / (t + 1) == pytest.approx(0.5, abs=1e-3)
    assert 200 < first.elo < 1000
    assert second.elo == 0
    often, _ = rate([Result(0, 1, 1.0)] * 100, 2, anchor=1)
    assert first.low < first.elo <= first.high
    assert often.low > first.low + 100


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    dice, covered = np.random.default_rng(0), 0
    for trial in range(25):
        wins = dice.random(100) < 1 / (1 + 10 ** (-100 / 400))
        first, _ = rate([Result(0, 1, float(win)) for win in wins], 2, anchor=1, seed=trial)
        covered += first.low <= 100 <= first.high
    assert covered >= 20
