"""Strengths from results: Bradley & Terry's model over a pool of players, in Elo points.

A player of strength r_i beats one of strength r_j with probability 1 / (1 + 10^((r_j − r_i) / 400)); a draw is half a
win of each. The likeliest strengths are found by Hunter's minorisation (Annals of Statistics 32, 2004). Everybody has
drawn one more game against an average player, so that who won everything is strong and not infinitely strong.

Intervals are of the posterior: of every pair, the shares of wins, draws and losses are drawn from the Dirichlet
distribution that the games leave of Jeffreys' prior, so that a clean sweep of ten games says less than one of a
hundred. After a clean sweep the likeliest strength is an end of its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sparring.envs.worlds import Array

DRAWS = 1_000
VALUES, JEFFREYS = (1.0, 0.5, 0.0), (0.5, 1e-6, 0.5)  # draws are rare at Go: the prior leaves them out
MOST_STEPS, ENOUGH = 5_000, 1e-6
POINTS = 400 / np.log(10)


class Result(NamedTuple):
    """A game of a pool."""

    first: int
    second: int
    points: float  # of the first: 1, ½ or 0


class Rating(NamedTuple):
    """Elo points and their 95 % interval."""

    elo: float
    low: float
    high: float


def strengths(wins: Array) -> Array:
    """Elo points [R, P] over the virtual average player, from wins [R, P, P] of row over column."""
    games = wins + wins.transpose(0, 2, 1)
    won = wins.sum(2) + 0.5
    log = np.zeros(won.shape)
    for _ in range(MOST_STEPS):
        strength = np.exp(log)
        met = games / (strength[:, :, None] + strength[:, None])
        new = np.log(won / (met.sum(2) + 1 / (strength + 1)))
        done = np.abs(new - log).max() < ENOUGH
        log = new
        if done:
            break
    return np.asarray(POINTS * log)


def wins_of(results: Sequence[Result], players: int) -> Array:
    """[P, P]: points of row against column."""
    wins = np.zeros((players, players))
    for first, second, points in results:
        wins[first, second] += points
        wins[second, first] += 1 - points
    return wins


def rate(results: Sequence[Result], players: int, anchor: int, seed: int = 0) -> list[Rating]:
    """Elo of every player over that of `anchor`, with the intervals of the module's docstring."""
    dice = np.random.default_rng(seed)
    pairs = {(result.first, result.second) for result in results}
    drawn = np.zeros((DRAWS, players, players))
    for first, second in sorted(pairs):
        points = np.array([result.points for result in results if result[:2] == (first, second)])
        counts = [np.count_nonzero(points == value) for value in VALUES]
        mine = len(points) * dice.dirichlet(np.add(counts, JEFFREYS), size=DRAWS) @ np.array(VALUES)
        drawn[:, first, second] += mine
        drawn[:, second, first] += len(points) - mine
    best = strengths(wins_of(results, players)[None])[0]
    again = strengths(drawn)
    again -= again[:, [anchor]]
    low, high = np.quantile(again, (0.025, 0.975), axis=0)
    best = best - best[anchor]
    ends = np.minimum(low, best), np.maximum(high, best)
    return [Rating(*map(float, row)) for row in zip(best, *ends, strict=True)]
