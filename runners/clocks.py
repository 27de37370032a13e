"""A player's clock at Go: main time, then periods in which so many stones are to be played (Canadian byo-yomi)."""

from __future__ import annotations

from dataclasses import dataclass

MARGIN = 0.1  # s kept for the way there and back
LEAST = 0.01  # s: some move must be made


@dataclass
class Clock:
    """Seconds."""

    main: float
    byoyomi: float = 0.0
    stones: int = 0  # to be played in byoyomi, again and again; 0: there is none
    left: float = 0.0
    stones_left: int = 0  # 0: main time runs

    def start(self) -> None:
        """Begin a game."""
        self.left, self.stones_left = (self.main, 0) if self.main or not self.stones else (self.byoyomi, self.stones)

    def for_a_move(self, moves_to_come: float) -> float:
        """How long a move may take, of so many that are still to come."""
        if self.stones_left:
            return max(self.left / self.stones_left - MARGIN, LEAST)
        extra = self.byoyomi / self.stones if self.stones else 0.0
        return max(min(self.left / moves_to_come + extra, self.left + extra) - MARGIN, LEAST)

    def spend(self, seconds: float) -> None:
        """A move took so long."""
        self.left -= seconds
        if self.stones_left:
            self.stones_left -= 1
            if self.stones_left == 0:  # the period's stones are played: the next one begins
                self.left, self.stones_left = self.byoyomi, self.stones
        elif self.left <= 0 and self.stones:
            self.left, self.stones_left = self.byoyomi, self.stones
