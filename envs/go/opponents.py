"""Who answers the agent in a game of Go: chance, another program, or any function of the board."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.envs.go.board import Board
from sparring.envs.go.gtp import GtpError, Program, RefusedError
from sparring.envs.go.record import Ply
from sparring.envs.go.rules import Rules

Opponent = Callable[[Board, np.random.Generator], int | None]
"""chooses the mover's action; None resigns"""
GTP = "gtp:"  # before a command line: "gtp:gnugo --mode gtp --level 1"


def at_random(board: Board, dice: np.random.Generator) -> int:
    """Any legal action, passes among them."""
    return int(dice.choice(np.flatnonzero(board.legal())))


NAMED: dict[str, Opponent | None] = {"random": at_random, "none": None}


def called(name: str, rules: Rules) -> Opponent | None:
    """The opponent of that name; None where both colours are in one hand.

    Raises:
        UnknownNameError: nobody is called so.
        BadInputError: a program cannot be started or speaks no GTP, or the board is not square, as GTP's are.
    """
    if name.startswith(GTP):
        if rules.height != rules.width:
            raise BadInputError(f"GTP knows square boards only, and this one has {rules.height} × {rules.width}")
        return Engine(name.removeprefix(GTP))
    if name not in NAMED:
        raise UnknownNameError("opponent", name, [*NAMED, f"{GTP}COMMAND"])
    return NAMED[name]


class Engine:
    """A program that speaks GTP. Its board follows ours: what it has not seen it is told, from where the two parted.

    One that has died or was closed because it did not answer is started again for the next game.

    Raises:
        BadInputError: it cannot be started.
        GtpError: it does not speak the protocol.
    """

    def __init__(self, command: str, *, timeout: float = 60.0, ids: bool = True) -> None:
        """`timeout` and `ids` are those of `gtp.Program`."""
        self._start = functools.partial(Program, command, timeout=timeout, ids=ids)
        self.program = self._start()
        self.rules: Rules | None = None
        self.told: list[Ply] = []

    def __call__(self, board: Board, dice: np.random.Generator) -> int | None:
        """Its move; its dice are its own.

        Raises:
            GtpError: it refuses a move of ours, or does not answer.
        """
        self._follow(board)
        colour = board.turn
        action = self.program.genmove(colour)
        if action is not None:
            self.told.append(Ply(colour, action))
        return action

    def close(self) -> None:
        """End the program."""
        self.program.close()

    def _follow(self, board: Board) -> None:
        black, white, _ = board.start
        plies = [*(Ply("B", stone) for stone in black), *(Ply("W", stone) for stone in white), *board.plies]
        known = len(self.told)
        if self.program.closed or self.rules != board.rules or plies[:known] != self.told:
            self._begin(board.rules)
            known = 0
        for ply in plies[known:]:
            self._tell(ply, board.rules)

    def _begin(self, rules: Rules) -> None:
        self.rules, self.told = None, []  # until it has taken all of it
        if self.program.closed:
            self.program = self._start()
        self.program.boardsize((rules.height, rules.width))
        self.program.clear_board()
        self.program.komi(rules.komi)
        self.rules = rules

    def _tell(self, ply: Ply, rules: Rules) -> None:
        try:
            self.program.play(ply.colour, ply.move)
        except RefusedError as error:
            ours = f"{rules.ko} ko, suicide {'allowed' if rules.suicide else 'forbidden'}"
            raise GtpError(f"{error}; our rules ({ours}) are not its own: try rules='simple-ko'") from None
        self.told.append(ply)
