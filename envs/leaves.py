"""What a search sees at the ends of the ways that it looks along."""

from __future__ import annotations

from typing import NamedTuple

from sparring.envs.worlds import Array


class Leaves(NamedTuple):
    """R positions of a game of two players by turns."""

    obs: Array  # [R, *obs]: what the player to move sees
    legal: Array  # [R, A] uint8
    over: Array  # [R] uint8
    results: Array  # [R] float32: where the game is over, 1 if the player to move has won, −1 if lost, 0 if drawn
