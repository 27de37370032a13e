"""A game of Go in a file that proves itself: its rules, its moves, and a checksum of the board after each of them.

Beside the file stands the same game as SGF, for every other program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sparring.envs.episodes import EpisodeError, Verdict, checksum, pack, unpack
from sparring.envs.errors import BadInputError
from sparring.envs.go import picture, sgf
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.coordinates import vertex
from sparring.envs.go.rules import Rules
from sparring.envs.worlds import Array

GO = "go"  # the kind of episode that this module reads
NAMES = {BLACK: "black", WHITE: "white", 0: "nobody"}


@dataclass(frozen=True)
class SavedGame:
    """A game from an empty board."""

    rules: Rules
    black: str
    white: str
    winner: int  # BLACK, WHITE, 0 for a draw
    reason: str  # how it ended: passes, cap, resigned, illegal, failed
    moves: Array  # [T] int16
    checksums: Array  # [T + 1] uint32: CRC-32 of the planes that each position shows

    @classmethod
    def of(cls, board: Board, *, black: str, white: str, winner: int, reason: str) -> SavedGame:
        """A game that was played."""
        sums = [checksum(one.planes()) for one in positions(board.rules, board.moves)]
        return cls(
            board.rules, black, white, winner, reason, np.array(board.moves, np.int16), np.array(sums, np.uint32)
        )

    @property
    def label(self) -> str:
        """What its file is called."""
        return f"{self.rules.height}x{self.rules.width}-{NAMES[self.winner]}-wins"

    @property
    def told(self) -> str:
        """Who played and who won, in a line."""
        won = {BLACK: self.black, WHITE: self.white}.get(self.winner)
        how = "" if self.reason in ("passes", "cap") else f" ({self.reason})"
        return f"{self.black} – {self.white}: {'a draw' if won is None else f'{won} wins'}{how}"

    def save(self, path: Path) -> None:
        """Write it, whole or not at all, and its SGF beside it."""
        header = {
            "kind": GO,
            "rules": asdict(self.rules),
            "black": self.black,
            "white": self.white,
            "winner": self.winner,
            "reason": self.reason,
        }
        pack(path, header, {"moves": self.moves, "checksums": self.checksums})
        result = {} if self.reason in ("passes", "cap") else {"result": f"{'B' if self.winner == BLACK else 'W'}+R"}
        game = Board(self.rules, self.moves.tolist()).record(black=self.black, white=self.white, **result)
        sgf.save(game, path.with_suffix(".sgf"))

    def titles(self) -> list[str]:
        """What stands under each of the T + 1 pictures."""
        size, count = (self.rules.height, self.rules.width), len(self.moves)
        titles = [f"{self.told}, {count} moves"]
        for number, move in enumerate(self.moves.tolist(), 1):
            titles.append(f"move {number} of {count} · {'black' if number % 2 else 'white'} {vertex(move, size)}")
        return titles

    def pictures(self) -> Iterator[Array]:
        """The board [H, W, 3] uint8 before the first move and after every one."""
        for board in positions(self.rules, self.moves.tolist()):
            yield picture.pixels(board)


def positions(rules: Rules, moves: list[int]) -> Iterator[Board]:
    """A game's board again and again: before the first move and after every one."""
    board = Board(rules)
    yield board
    for move in moves:
        board.play(move)
        yield board


def load(path: Path) -> SavedGame:
    """Read a game.

    Raises:
        EpisodeError: the file is missing, no game of Go, damaged, or of another version.
    """
    header, arrays = unpack(path)
    try:
        game = SavedGame(
            Rules(**header["rules"]),
            header["black"],
            header["white"],
            header["winner"],
            header["reason"],
            arrays["moves"],
            arrays["checksums"],
        )
    except (KeyError, TypeError, BadInputError) as error:
        raise EpisodeError(f"{path} is no game of Go, or it is damaged: {error}") from None
    if game.moves.ndim != 1 or game.checksums.shape != (len(game.moves) + 1,):
        raise EpisodeError(f"{path} is damaged: {game.moves.shape} moves and {game.checksums.shape} checksums")
    return game


def verify(game: SavedGame) -> Verdict:
    """Play it again: every move must be legal, every board the recorded one, and the winner who the board says."""
    board = Board(game.rules)
    if checksum(board.planes()) != game.checksums[0]:
        return Verdict(0, "the first board differs")
    for step, move in enumerate(game.moves.tolist()):
        if not board.allows(move):
            return Verdict(step, f"move {step + 1} is not legal")
        board.play(move)
        if checksum(board.planes()) != game.checksums[step + 1]:
            return Verdict(step, f"the board after move {step + 1} differs")
    counted = game.reason in ("passes", "cap")
    if counted != bool(board.over):
        return Verdict(len(game.moves), f"the game is {'not over' if counted else 'over'} after its last move")
    margin = board.margin()
    if counted and game.winner != (0 if margin == 0 else BLACK if margin > 0 else WHITE):
        return Verdict(len(game.moves), f"the board says {margin:+g} for black, and {NAMES[game.winner]} has won")
    what = f"{margin:+g} for black" if counted else game.reason
    return Verdict(None, f"{len(game.moves)} moves, {what}: every board as recorded")
