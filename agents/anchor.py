"""Who judges players of Go while they learn: games against an anchor that never does, search with random playouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparring.agents import elo, statistics
from sparring.agents.evaluate import JUDGED
from sparring.agents.match import OPENING, Played, Searcher, by_playouts, plainly, series
from sparring.agents.protocol import Evaluation, Judge, Watch, unwatched
from sparring.envs.go.board import BLACK, WHITE
from sparring.envs.go.opponents import Opponent
from sparring.envs.go.rules import Rules
from sparring.envs.go.saved import SavedGame

Seat = Callable[[Any, np.random.Generator], Opponent]
"""of an algorithm and dice: the algorithm as a player"""


def judge(rules: Rules, seat: Seat, *, policy: str, playouts: int, games: int, seed: int) -> Judge:
    """Games against search with so many random playouts a move; the win rate, and Elo points over that anchor.

    Args:
        rules: what is played.
        seat: how the algorithm plays.
        policy: what that is called in the protocol.
        playouts: of the anchor, a move.
        games: of an evaluation; colours alternate.
        seed: of openings and both players.
    """
    searching = plainly(playouts)

    def evaluation(algorithm: Any, /, *, watch: Watch = unwatched) -> Evaluation:
        dice = np.random.default_rng([seed, JUDGED])
        anchor = Searcher(by_playouts, searching)
        played = series(seat(algorithm, dice), anchor, rules, games, dice, watch)
        scores = [game.points_of_first for game in played]
        wins = statistics.rate(sum(scores), games)
        strength, _ = elo.rate([elo.Result(0, 1, points) for points in scores], 2, anchor=1)
        metrics = {
            "win_rate": wins.value,
            "win_rate_low": wins.low,
            "win_rate_high": wins.high,
            "elo": strength.elo,
            "elo_low": strength.low,
            "elo_high": strength.high,
            "length": float(np.mean([len(game.board.moves) for game in played])),
        }
        told = {
            "name": f"{rules.height}×{rules.width}, {rules.ko} ko, komi {rules.komi:g}",
            "games": games,
            "policy": policy,
            "anchor": f"uct with {playouts} random playouts, c = {searching.c_puct:g}",
            "opening": f"{OPENING} random moves, the same for both colours",
            "seeds": [seed, seed],
        }
        best = max(played, key=lambda one: (one.points_of_first, -len(one.board.moves)))
        return Evaluation(metrics, told, scores, [kept(best)])

    return evaluation


def kept(played: Played) -> SavedGame:
    """A game of ours against the anchor, to be shown."""
    names = {played.first: "ours", 3 - played.first: "anchor"}
    return SavedGame.of(
        played.board, black=names[BLACK], white=names[WHITE], winner=played.winner, reason=played.reason
    )
