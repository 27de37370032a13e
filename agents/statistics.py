"""What a few runs tell: mean, median and interquartile mean, each with its bootstrap interval.

Of n scores in ascending order x_1 ≤ … ≤ x_n

    mean = (x_1 + … + x_n) / n        median = the middle one, or halfway between the middle two
    IQM  = the mean of x_{k+1} … x_{n−k}, k = ⌊n / 4⌋       interquartile mean: a quarter is cut off at either end

Scores are [runs, tasks]; an aggregate takes all of them alike. (Its IQM is that of Agarwal et al. 2021, *Deep
Reinforcement Learning at the Edge of the Statistical Precipice*, arXiv 2108.13264, section 4.3, and of its package
rliable, whose `aggregate_median` however is the median over tasks of each task's mean over runs.)

The interval is that of the stratified percentile bootstrap (ibid., section 4.1; Efron & Tibshirani 1993, chapter 13):
in each resample every task draws as many runs as it has, with replacement and independently of the other tasks; the
bounds are the 2.5 % and 97.5 % quantiles of the aggregate over all resamples. With one task it is the plain bootstrap.

All resamples of a hundred won games are a hundred won games, so a share p of n games, or images, has Wilson's interval,
the shares that a score test would not reject (Wilson 1927, JASA 22), with z the normal's 97.5 % quantile:

    (p + z² / 2n ± z √(p (1 − p) / n + z² / 4n²)) / (1 + z² / n)

A draw counts a half; then p (1 − p) is more than the variance of a game, and the interval wider than it had to be.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparring.envs.errors import BadInputError

Scores = NDArray[np.float64]
Aggregate = Callable[[Scores], Scores]
"""[..., n] → [...]"""

RESAMPLES = 10_000
AT_A_TIME = 1_000  # resamples: bounds the memory; the draws are the same
BOUNDS = (0.025, 0.975)
QUANTILE = NormalDist().inv_cdf(BOUNDS[1])


class Estimate(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high


def mean(scores: Scores) -> Scores:
    """Arithmetic mean over the last axis."""
    return np.asarray(np.mean(scores, axis=-1))


def median(scores: Scores) -> Scores:
    """Median over the last axis."""
    return np.asarray(np.median(scores, axis=-1))


def iqm(scores: Scores) -> Scores:
    """Interquartile mean over the last axis; of fewer than four scores it is the mean."""
    cut = scores.shape[-1] // 4
    return mean(np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut])


AGGREGATES: dict[str, Aggregate] = {"mean": mean, "median": median, "IQM": iqm}


def estimate(scores: ArrayLike, aggregate: Aggregate = mean) -> Estimate:
    """An aggregate of scores [runs, tasks], or [runs] of one task; it depends on nothing but the scores.

    Raises:
        BadInputError: there are fewer than two runs, which no interval can be made of, or a score is not finite.
    """
    table = checked(scores)
    resampled = bootstrap(table, aggregate)
    low, high = np.quantile(resampled, BOUNDS)
    return Estimate(float(aggregate(table.ravel())), float(low), float(high))


def rate(points: float, games: int) -> Estimate:
    """The share of games that were won, a draw as a half, or of images that were read right, with Wilson's interval.

    Raises:
        BadInputError: there are no games, or not from 0 to as many points.
    """
    if games < 1 or not 0 <= points <= games:
        raise BadInputError(f"{points:g} points of {games} games; a rate takes at least one game, of 0 to 1 point each")
    p, z = points / games, QUANTILE
    middle, half = p + z * z / (2 * games), z * sqrt(p * (1 - p) / games + z * z / (4 * games * games))
    low, high = (max(0.0, middle - half) / (1 + z * z / games), (middle + half) / (1 + z * z / games))
    return Estimate(p, low, min(1.0, high))


def checked(scores: ArrayLike) -> Scores:
    """Scores as an array [runs, tasks]."""
    table = np.asarray(scores, np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or table.shape[1] == 0:
        raise BadInputError(f"scores have the shape {list(np.shape(scores))}; they must be [runs] or [runs, tasks]")
    if len(table) < 2:
        raise BadInputError(f"an interval takes at least two runs; there is {len(table)}")
    for run, task in np.argwhere(~np.isfinite(table)):
        raise BadInputError(f"the score of run {run} in task {task} is {table[run, task]}; leave out what has no score")
    return table


def bootstrap(table: Scores, aggregate: Aggregate) -> Scores:
    """The aggregate of each of `RESAMPLES` resamples of [runs, tasks]."""
    random, tasks = np.random.default_rng(0), np.arange(table.shape[1])
    draws = (random.integers(len(table), size=(AT_A_TIME, *table.shape)) for _ in range(RESAMPLES // AT_A_TIME))
    return np.concatenate([aggregate(table[drawn, tasks].reshape(AT_A_TIME, -1)) for drawn in draws])
