"""Matches at Go: players that search, games between any two players, and who won them by our own count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from sparring.agents.mcts import Evaluate, Searching, Trees
from sparring.agents.protocol import Watch, unwatched
from sparring.envs.errors import BadInputError
from sparring.envs.go.board import BLACK, COLOURS, EMPTY_BOARD, WHITE, Board, Start
from sparring.envs.go.games import Games
from sparring.envs.go.opponents import Opponent
from sparring.envs.go.rules import Rules
from sparring.envs.leaves import Leaves
from sparring.envs.worlds import Array

OPENING = 2  # random moves before players choose theirs, so that games differ


Guide = Callable[[Games], Evaluate]
"""makes what evaluates leaves of the games that are searched"""


class Searcher:
    """A player that searches; what it found in one move it keeps for the next."""

    def __init__(self, guide: Guide, searching: Searching, *, nodes: int = 0, rows: int = 1, seed: int = 0) -> None:
        """Take a seat.

        Args:
            guide: who evaluates.
            searching: how.
            nodes: that its tree has room for; 0: four searches' worth.
            rows: leaves evaluated at once.
            seed: of playouts.
        """
        self.guide = guide
        self.searching = searching
        self.nodes = nodes or 4 * searching.simulations
        self.rows = rows
        self.seed = seed
        self.rules: Rules | None = None
        self.begun: tuple[Start, int] = (EMPTY_BOARD, 0)

    def __call__(self, board: Board, dice: np.random.Generator) -> int:
        """The move that the search advises."""
        self.think(board, dice)
        return self.ranking()[0]

    def ranking(self) -> list[int]:
        """The moves that were thought about, the most advisable first; but a pass that gives away what is thought to be
        won comes last.

        That a pass loses to another is seen without search, and a network may not see it: who taught it did not let
        that happen.
        """
        moves, passing = self.trees.ranking(0), self.games.actions - 1
        if moves[0] != passing or self.trees.value(0) <= 0 or not self._loses_to_a_pass(passing):
            return moves
        return [*moves[1:], passing]

    def _loses_to_a_pass(self, passing: int) -> bool:
        """Whether the game goes on after a pass, and another one wins it for the other player."""
        game, ways = np.zeros(1, np.int32), np.full((1, 2), passing, np.int32)
        if self.games.look(game, ways, np.ones(1, np.int32)).over[0]:
            return False
        ended = self.games.look(game, ways, np.full(1, 2, np.int32))
        return bool(ended.over[0] and ended.results[0] < 0)

    def think(
        self, board: Board, dice: np.random.Generator, simulations: int = 0, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Search on from a position until the simulations are spent (0: as many as configured), or `stop` says yes."""
        self.follow(board)
        self.trees.go_on(0, board.legal(), dice, simulations=simulations)
        while not self.trees.finished[0]:
            self.trees.step(self.games, self.evaluate)
            if stop():
                return

    def follow(self, board: Board) -> None:
        """Come to where the board is, from where it was; anew, if that is no beginning of it."""
        if board.rules != self.rules:
            self.rules = board.rules
            self.games = Games(board.rules, 1, self.rows, self.seed)
            self.evaluate = self.guide(self.games)
            self.trees = Trees(1, self.games.actions, self.searching, nodes=self.nodes, rows=self.rows)
            self.moves: list[int] | None = None
        begun = (board.start, board.resumed)
        if self.moves is None or begun != self.begun or board.moves[: len(self.moves)] != self.moves:
            self.games.take(0, board)
            self.trees.leave(0)
        else:
            for move in board.moves[len(self.moves) :]:
                self.games.play(0, move)
                self.trees.follow(0, move)
        self.begun, self.moves = begun, list(board.moves)


def plainly(playouts: int) -> Searching:
    """How search without a network goes about it: UCT with so many playouts a move.

    Values are from −1 to 1; of those from 0 to 1, its exploration would be half as much. It was chosen by games against
    itself, by hand: with 2,000 playouts a move on 9×9, 0.5 won 44 of 60 against 1, and 0.3 won 40.
    """
    return Searching("uct", playouts, c_puct=0.5)


def by_playouts(games: Games) -> Evaluate:
    """No preference among moves, and the result of a random playout; nobody looks at the board."""
    games.observe = False

    def evaluate(leaves: Leaves, rows: Array) -> tuple[Array, Array]:
        return np.zeros((len(rows), games.actions), np.float32), games.play_out(rows)

    return evaluate


class Played(NamedTuple):
    """A game between two players."""

    board: Board
    first: int  # the first player's colour
    winner: int  # BLACK, WHITE, 0 for a draw
    reason: str  # how it ended: passes, cap, resigned, illegal, failed
    told: str = ""  # what a player that failed said

    @property
    def points_of_first(self) -> float:
        """1 for a win of the first player, ½ for a draw."""
        return 0.5 if self.winner == 0 else float(self.winner == self.first)


def game(players: dict[int, Opponent], board: Board, dice: np.random.Generator, first: int) -> Played:
    """Play on from a position; whoever resigns, errs or fails loses."""
    while not board.over:
        mover = board.to_move
        try:
            action = players[mover](board, dice)
        except BadInputError as error:
            return Played(board, first, 3 - mover, "failed", str(error))
        if action is None:
            return Played(board, first, 3 - mover, "resigned")
        if not board.allows(action):
            return Played(board, first, 3 - mover, "illegal", f"{COLOURS[mover]} chose {action}")
        board.play(action)
    margin = board.margin()
    return Played(board, first, 0 if margin == 0 else BLACK if margin > 0 else WHITE, board.over)


def opened(rules: Rules, moves: int, dice: np.random.Generator) -> Board:
    """A board after so many random moves, none of them a pass."""
    board = Board(rules)
    for _ in range(moves):
        choices = np.flatnonzero(board.legal()[:-1])
        if len(choices):
            board.play(int(dice.choice(choices)))
    return board


def games_of(
    first: Opponent,
    second: Opponent,
    rules: Rules,
    dice: np.random.Generator,
    openings: np.random.Generator,
    opening: int = OPENING,
) -> Iterator[Played]:
    """Games without end, from random openings: from each of them two, so that both players have both colours."""
    while True:
        start = opened(rules, opening, openings).moves
        for colour in (BLACK, WHITE):
            players = {colour: first, 3 - colour: second}
            yield game(players, Board(rules, start), dice, colour)


def series(
    first: Opponent, second: Opponent, rules: Rules, games: int, dice: np.random.Generator, watch: Watch = unwatched
) -> list[Played]:
    """So many games."""
    played: list[Played] = []
    for one in islice(games_of(first, second, rules, dice, dice), games):
        played.append(one)
        watch(len(played), games)
    return played
