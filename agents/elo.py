"""Strengths from results: Bradley & Terry's model over a pool of players, in Elo points.

A player of strength r_i beats one of strength r_j with probability 1 / (1 + 10^((r_j − r_i) / 400)); a draw is half a
win of each. The likeliest strengths are found by Hunter's minorisation (Annals of Statistics 32, 2004). Everybody has
drawn one more game against an average player, so that who won everything is strong and not infinitely strong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sparring.envs.worlds import Array

RESAMPLES = 1_000
STEPS = 2_000
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
    """Elo points [P], their mean 0, from wins [P, P] of row over column.

    The virtual draw of everybody against the average keeps them finite.
    """
    games = wins + wins.T
    won = wins.sum(1) + 0.5
    strength = np.ones(len(wins))
    for _ in range(STEPS):
        met = games / (strength[:, None] + strength)
        new = won / (met.sum(1) + 1 / (strength + 1))
        new /= np.exp(np.log(new).mean())
        if np.abs(np.log(new / strength)).max() < 1e-10:
            break
        strength = new
    elo = POINTS * np.log(strength)
    return elo - elo.mean()


def wins_of(results: Sequence[Result], players: int) -> Array:
    """[P, P]: points of row against column."""
    wins = np.zeros((players, players))
    for first, second, points in results:
        wins[first, second] += points
        wins[second, first] += 1 - points
    return wins


def rate(results: Sequence[Result], players: int, anchor: int, seed: int = 0) -> list[Rating]:
    """Elo of every player over that of `anchor`, with bootstrap intervals over games, drawn pair by pair."""
    dice, pairs = np.random.default_rng(seed), {}
    for result in results:
        pairs.setdefault((result.first, result.second), []).append(result)
    best = strengths(wins_of(results, players))
    drawn = np.empty((RESAMPLES, players))
    for row in drawn:
        again = [own[k] for own in pairs.values() for k in dice.integers(len(own), size=len(own))]
        row[:] = strengths(wins_of(again, players))
    drawn -= drawn[:, [anchor]]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return [Rating(*map(float, row)) for row in zip(best - best[anchor], low, high, strict=True)]
