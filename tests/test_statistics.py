"""Aggregates by hand, intervals against all resamples that there are, and both against the package rliable."""

import itertools

import numpy as np
import pytest

from sparring.agents.statistics import AGGREGATES, BOUNDS, Estimate, estimate, iqm, mean, median, rate
from sparring.envs.errors import BadInputError

MARGIN = 0.005  # three standard errors of a 2.5 % quantile of 10,000 resamples, in probability


@pytest.mark.parametrize(
    ("scores", "cut"),
    [
        ([5], [5]),
        ([1, 9], [1, 9]),
        ([1, 9, 5], [1, 9, 5]),
        ([7, 1, 9, 5], [5, 7]),
        ([100, 3, 4, 1, -90], [1, 3, 4]),
        ([1, 2, 3, 4, 5, 60, 700], [2, 3, 4, 5, 60]),
        ([8, 7, 6, 5, 4, 3, 2, 1], [3, 4, 5, 6]),
        (range(0, 130, 10), range(30, 100, 10)),  # of 13, 3 fall at either end
    ],
)
def test_the_interquartile_mean_is_that_of_what_is_left_when_a_quarter_falls_at_either_end(scores, cut):
    assert iqm(np.array(scores, float)) == pytest.approx(sum(cut) / len(cut))


def test_mean_and_median_of_a_few_scores():
    assert mean(np.array([1.0, 2.0, 6.0])) == 3
    assert median(np.array([6.0, 1.0, 2.0])) == 2
    assert median(np.array([6.0, 1.0, 2.0, 4.0])) == 3


def test_one_wild_run_moves_the_mean_and_not_the_others():
    calm, wild = [10.0, 11, 12, 13, 14], [10.0, 11, 12, 13, 1e6]
    moved = {name: estimate(wild, take).value - estimate(calm, take).value for name, take in AGGREGATES.items()}
    assert moved == {"mean": pytest.approx((1e6 - 14) / 5), "median": 0, "IQM": 0}


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize(
    "scores",
    [
        [[0.0], [1.0]],
        [[3.0], [1.0], [10.0]],
        [[4.0], [1.0], [9.0], [-2.0], [30.0]],
        [[1.0, 20.0], [2.0, 50.0], [4.0, 30.0]],
        [[0.0, 1.0, 5.0], [1.0, 0.0, 7.0]],
    ],
    ids=str,
)
def test_the_interval_is_that_of_all_resamples_that_there_are(scores, name):
    """Each task draws by itself, so [n, k] scores have n^(n·k) equally likely resamples."""
    table, take = np.array(scores), AGGREGATES[name]
    tasks = [list(itertools.product(column, repeat=len(table))) for column in table.T]
    every = np.array([take(np.concatenate(drawn)) for drawn in itertools.product(*tasks)])
    assert len(every) == len(table) ** table.size

    made = estimate(table, take)
    assert made.value == pytest.approx(take(table.ravel()))
    for bound, share in zip(made.interval, BOUNDS, strict=True):
        below, above = np.quantile(every, [share - MARGIN, share + MARGIN], method="inverted_cdf")
        assert below - 1e-12 <= bound <= above + 1e-12


def test_the_interval_of_three_scores_reaches_from_the_least_to_the_greatest():
    """All three draws are the least in 1 of 27 resamples, which is more than 2.5 %."""
    assert estimate([5.0, 1.0, 9.0]) == Estimate(5.0, 1.0, 9.0)


def test_each_task_draws_its_runs_by_itself():
    """Were whole runs drawn, every resample's mean would be ½; so all four are 0 (or 1) in 1 of 16."""
    assert estimate([[0.0, 1.0], [1.0, 0.0]]) == Estimate(0.5, 0.0, 1.0)
    assert estimate([0.5, 0.5]) == Estimate(0.5, 0.5, 0.5)


# rliable 1.2.0 (arch 7.2.0, scipy 1.17.1, numpy 2.4.6):
#   library.get_interval_estimates({"x": SCORES}, lambda x: np.array([metrics.aggregate_…(x)]), reps=50_000,
#                                  random_state=np.random.RandomState(0))
# Its median is over tasks of means over runs; with one task, of x.T it is the median over runs.
RUNS = [[12.5, 0.31], [9.0, 0.44], [30.25, 0.18], [11.75, 0.92], [14.0, 0.27], [8.5, 0.66], [55.0, 0.05]]
RLIABLE = {
    ("mean", 2): Estimate(10.273571428571428, 5.518553571428572, 16.659285714285716),
    ("IQM", 2): Estimate(5.51, 4.584937500000002, 10.37375),
    ("mean", 1): Estimate(20.142857142857142, 10.642857142857142, 32.92857142857143),
    ("IQM", 1): Estimate(15.5, 10.0, 33.2),
    ("median", 1): Estimate(12.5, 9.0, 30.25),
}


@pytest.mark.parametrize(("name", "tasks"), RLIABLE)
def test_the_numbers_are_those_of_rliable(name, tasks):
    made, theirs = estimate(np.array(RUNS)[:, :tasks], AGGREGATES[name]), RLIABLE[name, tasks]
    assert made.value == pytest.approx(theirs.value, rel=1e-12)
    # bounds of 10,000 and of 50,000 resamples with other dice: within a fiftieth of the width
    assert made.interval == pytest.approx(theirs.interval, abs=(theirs.high - theirs.low) / 50)


def test_the_same_scores_have_the_same_interval_and_a_list_of_runs_is_one_task():
    scores = np.random.default_rng(1).normal(size=30)
    assert estimate(scores) == estimate(list(scores)) == estimate(scores[:, None])


def test_about_95_of_100_intervals_of_the_interquartile_mean_cover_the_truth():
    random = np.random.default_rng(5)
    made = (estimate(random.normal(100, 20, (20, 2)), iqm) for _ in range(100))
    covered = sum(low <= 100 <= high for _, low, high in made)
    assert 86 <= covered <= 99  # binomial(100, 0.95) between 0.5 % and 99.5 %, and the bootstrap covers a little less


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([], "at least two runs; there is 0"),
        ([5.0], "at least two runs; there is 1"),
        ([[5.0, 6.0]], "at least two runs; there is 1"),
        ([1.0, np.nan, 2.0], "the score of run 1 in task 0 is nan"),
        ([[1.0, 2.0], [3.0, np.inf]], "the score of run 1 in task 1 is inf"),
        (5.0, r"scores have the shape \[\]; they must be"),
        ([[], []], r"scores have the shape \[2, 0\]"),
        ([[[1.0]], [[2.0]]], r"scores have the shape \[2, 1, 1\]"),
    ],
)
def test_what_has_no_interval_is_refused(scores, said):
    with pytest.raises(BadInputError, match=said):
        estimate(scores)


# ---------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize(("won", "games"), [(0, 1), (1, 1), (0, 100), (3, 10), (77, 200), (100, 100)])
def test_the_interval_of_a_rate_is_that_of_all_rates_that_a_score_test_would_not_reject(won, games):
    rates = np.linspace(0, 1, 200_001)[1:-1]
    kept = rates[np.abs(won / games - rates) <= 1.959964 * np.sqrt(rates * (1 - rates) / games)]
    assert rate(won, games) == (won / games, pytest.approx(kept[0], abs=1e-5), pytest.approx(kept[-1], abs=1e-5))


@pytest.mark.parametrize(
    ("right", "whole", "low", "high"),
    [(50, 100, 0.4038, 0.5962), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_is_the_published_one(right, whole, low, high):
    """The last is Newcombe's example (1998, table I, method 3)."""
    assert rate(right, whole).interval == pytest.approx((low, high), abs=1e-4)


def test_a_hundred_won_games_are_no_proof_that_all_are_won():
    assert rate(100, 100) == (1, pytest.approx(0.963, abs=5e-4), 1)


def test_draws_are_half_games_of_a_rate():
    assert rate(2.5, 5).value == 0.5


@pytest.mark.parametrize(("points", "games"), [(0, 0), (-0.5, 4), (4.5, 4), (float("nan"), 4)])
def test_a_rate_of_no_games_or_of_impossible_points_is_refused(points, games):
    with pytest.raises(BadInputError, match=rf"{points:g} points of {games} games; a rate takes at least one"):
        rate(points, games)
