"""A player of ours as a program that speaks the Go Text Protocol, version 2: for GoGui, Sabaki, CGOS and any other.

    sparring gtp RUN --sims 200        a line of GTP in, an answer out; nothing else is ever written to stdout

Besides the protocol's own commands it knows analysis as Leela Zero and KataGo print it, cleaning up, and GoGui's. Time
settings are obeyed: where a controller sets a clock, that decides how long a move is thought about.
"""

from __future__ import annotations

import queue
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, process_time
from typing import TextIO

import numpy as np

from sparring.agents.match import Searcher
from sparring.envs.errors import BadInputError
from sparring.envs.go import sgf
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.coordinates import from_vertex, vertex
from sparring.envs.go.rules import Rules

COLOURS = {"b": BLACK, "black": BLACK, "w": WHITE, "white": WHITE}
LONGEST_GAME = 2_000  # plies: no controller's game is cut
MARGIN = 0.1  # s kept on the clock for the way there and back
MOST_SIMULATIONS = 50_000  # of a move that only a clock ends
HANDICAP = {  # in quarters of the way from the edge line to the opposite one: corners, sides, centre
    2: "14 41",
    3: "14 41 44",
    4: "11 14 41 44",
    5: "11 14 41 44 22",
    6: "11 14 41 44 21 24",
    7: "11 14 41 44 21 24 22",
    8: "11 14 41 44 21 24 12 42",
    9: "11 14 41 44 21 24 12 42 22",
}


class Refusal(Exception):
    """What a command is answered with after "?"."""


@dataclass
class ClockOfOne:
    """A player's time, in seconds."""

    main: float
    byoyomi: float
    stones: int  # to be played within byoyomi, again and again
    left: float
    stones_left: int = 0  # 0: main time runs

    def for_a_move(self, moves_to_come: float) -> float:
        """How long a move may take."""
        if self.stones_left:
            return max(self.left / self.stones_left - MARGIN, 0.01)
        extra = self.byoyomi / self.stones if self.stones else 0.0
        return max(min(self.left / moves_to_come + extra, self.left + extra) - MARGIN, 0.01)

    def spend(self, seconds: float) -> None:
        """A move took so long."""
        self.left -= seconds
        if self.stones_left:
            self.stones_left -= 1
        if self.left <= 0 or (self.byoyomi and not self.stones_left and self.left <= MARGIN):
            self.left, self.stones_left = (self.byoyomi, self.stones) if self.stones else (0.0, 0)


class Server:
    """Answers a controller, command by command."""

    def __init__(
        self,
        player: Searcher,
        rules: Rules,
        *,
        name: str,
        version: str,
        simulations: int,
        seconds: float | None = None,
        resign: float = 0.0,
        owners: Callable[[Board], np.ndarray] | None = None,
        seed: int = 0,
    ) -> None:
        """Set up.

        Args:
            player: whose moves are told.
            rules: the board that it plays on; a controller may change the komi.
            name: what the program is called.
            version: of it.
            simulations: of a move, where no clock decides.
            seconds: of a move, instead.
            resign: chance of winning below which it gives up; 0: never.
            owners: who a board's points will belong to, from black (1) to white (−1) [H, W]; decides what is dead.
            seed: of its dice.
        """
        self.player = player
        self.rules = replace(rules, cap=LONGEST_GAME)
        self.name, self.version = name, version
        self.simulations, self.seconds, self.resign = simulations, seconds, resign
        self.owners = owners
        self.dice = np.random.default_rng(seed)
        self.clocks: dict[int, ClockOfOne] = {}
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.board = Board(self.rules)
        self.going = True
        self.commands: dict[str, Callable[[list[str]], str]] = {
            "protocol_version": lambda words: "2",
            "name": lambda words: self.name,
            "version": lambda words: self.version,
            "known_command": lambda words: str(words[:1] != [] and words[0] in self.commands).lower(),
            "list_commands": lambda words: "\n".join(self.commands),
            "quit": self.quit,
            "boardsize": self.boardsize,
            "clear_board": lambda words: self.begin(),
            "komi": self.komi,
            "play": self.play,
            "genmove": self.genmove,
            "reg_genmove": lambda words: self.name_of(self.think(self.colour(words))),
            "kgs-genmove_cleanup": lambda words: self.genmove(words, cleanup=True),
            "undo": lambda words: self.undo(1),
            "gg-undo": lambda words: self.undo(self.number(words, 1)),
            "fixed_handicap": lambda words: self.handicap(self.number(words, 2)),
            "place_free_handicap": lambda words: self.handicap(self.number(words, 2)),
            "set_free_handicap": self.set_handicap,
            "time_settings": self.time_settings,
            "time_left": self.time_left,
            "final_score": lambda words: self.score(),
            "final_status_list": self.status_list,
            "showboard": lambda words: f"\n{self.board}",
            "loadsgf": self.loadsgf,
            "lz-analyze": self.analyse,
            "kata-analyze": lambda words: self.analyse(words, kata=True),
            "analyze": self.analyse,
            "lz-genmove_analyze": lambda words: self.analyse(words, move=True),
            "kata-genmove_analyze": lambda words: self.analyse(words, kata=True, move=True),
            "genmove_analyze": lambda words: self.analyse(words, move=True),
            "cputime": lambda words: f"{process_time():.3f}",
            "scoring_system": lambda words: "area",
            "gogui-analyze_commands": lambda words: "dboard/Who owns what/owners" if self.owners else "",
            "gogui-play_sequence": self.play_sequence,
            "gogui-interrupt": lambda words: "",
            "owners": self.tell_owners,
        }

    # ------------------------------------------------------------------------------------------ the conversation

    def serve(self, source: TextIO, sink: TextIO) -> None:
        """Answer line after line until `quit` or the end of the input."""
        self.sink = sink
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()
        while self.going:
            line = self.lines.get()
            if line is None:
                return
            self.answer(line)

    def _listen(self, source: TextIO) -> None:
        for line in source:
            self.lines.put(line)
        self.lines.put(None)

    def answer(self, line: str) -> None:
        """One command; a comment or an empty line says nothing, and is answered by nothing."""
        text = re.sub(r"[^\x20-\x7e\t\x80-\U0010ffff]", "", line.partition("#")[0]).replace("\t", " ").strip()
        if not text:
            return
        number, *words = text.split() if text[0].isdigit() else ["", *text.split()]
        self.number_asked = number
        try:
            if not number.isdigit() and number:
                raise Refusal("a command begins with a whole number or its name")
            if not words:
                raise Refusal("there is no command")
            if words[0] not in self.commands:
                raise Refusal("unknown command")
            told = self.commands[words[0]](words[1:])
            self.say(f"={number} {told}".rstrip(" ") + "\n\n")
        except Streamed:
            self.say("\n")
        except (Refusal, BadInputError) as refusal:
            first = str(refusal).splitlines()[0]
            self.say(f"?{number} {first}\n\n")

    def say(self, text: str) -> None:
        """Write, at once."""
        self.sink.write(text)
        self.sink.flush()

    def quit(self, words: list[str]) -> str:
        """The end."""
        self.going = False
        return ""

    # ------------------------------------------------------------------------------------------ what words mean

    def colour(self, words: list[str]) -> int:
        """The first word as a colour."""
        if not words or words[0].lower() not in COLOURS:
            raise Refusal(f"invalid color {words[0]!r}; black or white" if words else "a color is missing")
        return COLOURS[words[0].lower()]

    def number(self, words: list[str], least: int) -> int:
        """The first word as a whole number."""
        if not words or not words[0].isdigit() or int(words[0]) < least:
            raise Refusal(f"a whole number is wanted, at least {least}" + (f", not {words[0]!r}" if words else ""))
        return int(words[0])

    def seconds_of(self, word: str) -> float:
        """A time that is not negative."""
        with suppress(ValueError):
            if 0 <= float(word) < float("inf"):
                return float(word)
        raise Refusal(f"{word!r} is no number of seconds")

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rules.height, self.rules.width

    def name_of(self, move: int | None) -> str:
        """A move in words."""
        return "resign" if move is None else vertex(move, self.size)

    # ------------------------------------------------------------------------------------------ the board

    def begin(self, handicap: tuple[int, ...] = ()) -> str:
        """An empty board."""
        self.board = Board(self.rules, handicap=handicap)
        for clock in self.clocks.values():
            clock.left, clock.stones_left = clock.main, 0
        return ""

    def boardsize(self, words: list[str]) -> str:
        """The size that it plays, and no other."""
        if self.number(words, 1) != self.rules.height or self.rules.height != self.rules.width:
            raise Refusal("unacceptable size")
        return self.begin()

    def komi(self, words: list[str]) -> str:
        """White's points; the position stays."""
        try:
            komi = float(words[0])
            rules = replace(self.rules, komi=komi)
        except (ValueError, IndexError, BadInputError):
            raise Refusal(f"komi is a number of points, not {words[0]!r}" if words else "komi is missing") from None
        self.rules = rules
        self.board = self._again(self.board.moves)
        return ""

    def _again(self, moves: list[int]) -> Board:
        """The game up to some move; where passes ended it and it went on, so it does."""
        board = Board(self.rules, handicap=self.board.handicap)
        for move in moves:
            if board.over:
                board.resume()
            board.play(move)
        return board

    def put(self, colour: int, move: int) -> None:
        """A move of a colour; where it is not its turn, the other passes."""
        before = list(self.board.moves)
        try:
            if self.board.over:
                self.board.resume()
            if self.board.to_move != colour:
                self.board.play(self.rules.area)
            if self.board.over:
                self.board.resume()
            if not self.board.allows(move):
                raise Refusal("illegal move")
        except Refusal:
            self.board = self._again(before)
            raise
        self.board.play(move)

    def play(self, words: list[str]) -> str:
        """Somebody's move."""
        colour = self.colour(words)
        if len(words) < 2:
            raise Refusal("a vertex is missing")
        if words[1].lower() != "resign":
            self.put(colour, from_vertex(words[1], self.size))
        return ""

    def play_sequence(self, words: list[str]) -> str:
        """Several moves."""
        for at in range(0, len(words), 2):
            self.play(words[at : at + 2])
        return ""

    def undo(self, count: int) -> str:
        """Take moves back."""
        if len(self.board.moves) < count:
            raise Refusal("cannot undo")
        self.board = self._again(self.board.moves[:-count])
        return ""

    def loadsgf(self, words: list[str]) -> str:
        """A game from a file, up to before a move."""
        if not words:
            raise Refusal("a file is missing")
        path = Path(shlex.split(" ".join(words))[0])
        try:
            game = sgf.load(path)
        except OSError as error:
            raise Refusal(f"cannot read {path}: {error.strerror}") from None
        if game.size != self.size:
            raise Refusal("unacceptable size")
        if len(words) > 1:
            game = replace(game, plies=game.plies[: self.number(words[1:], 1) - 1])
        self.board = Board.of(game, self.rules)
        self.rules = self.board.rules
        return self.board_turn()

    def board_turn(self) -> str:
        """Who is to move, as GNU Go tells it after a file."""
        return "black" if self.board.to_move == BLACK else "white"

    def handicap(self, count: int) -> str:
        """Stones where they are wont to stand."""
        side, height, width = 3 if self.rules.height >= 13 else 2, *self.size
        most = 9 if height == width and height % 2 and height >= 9 else 4 if height == width and height >= 7 else 0
        if self.board.moves or self.board.handicap:
            raise Refusal("board not empty")
        if not 2 <= count <= most:
            raise Refusal("invalid number of stones")
        lines = {"1": side, "2": height // 2, "4": height - 1 - side}
        points = [(lines[place[0]], lines[place[1]]) for place in HANDICAP[count].split()]
        stones = tuple((height - 1 - row) * width + column for column, row in points)
        self.begin(stones)
        return " ".join(vertex(stone, self.size) for stone in stones)

    def set_handicap(self, words: list[str]) -> str:
        """Stones where a controller wants them."""
        if self.board.moves or self.board.handicap:
            raise Refusal("board not empty")
        stones = tuple(from_vertex(word, self.size) for word in words)
        if len(stones) < 2 or self.rules.area in stones:
            raise Refusal("bad vertex list")
        return self.begin(stones)

    # ------------------------------------------------------------------------------------------ thinking

    def time_settings(self, words: list[str]) -> str:
        """Main time, Canadian byo-yomi and its stones, for both; byo-yomi without stones is no limit at all."""
        if len(words) != 3:
            raise Refusal("main time, byo-yomi time and stones are wanted")
        main, byoyomi, stones = self.seconds_of(words[0]), self.seconds_of(words[1]), self.number(words[2:], 0)
        self.clocks = {}
        if not (byoyomi and not stones):
            begun = (main, 0) if main else (byoyomi, stones)
            self.clocks = {colour: ClockOfOne(main, byoyomi, stones, *begun) for colour in (BLACK, WHITE)}
        return ""

    def time_left(self, words: list[str]) -> str:
        """What a controller's clock says."""
        colour = self.colour(words)
        if len(words) != 3:
            raise Refusal("a color, a time and stones are wanted")
        left, stones = self.seconds_of(words[1]), self.number(words[2:], 0)
        clock = self.clocks.setdefault(colour, ClockOfOne(left, 0.0, 0, left))
        clock.left, clock.stones_left = left, stones
        return ""

    def turn_to(self, colour: int) -> None:
        """Let a colour be to move, if need be by a pass of the other."""
        if self.board.over:
            self.board.resume()
        if self.board.to_move != colour:
            self.board.play(self.rules.area)
        if self.board.over:
            self.board.resume()

    def think(self, colour: int, *, cleanup: bool = False) -> int | None:
        """Search for a move of a colour; None gives up."""
        self.turn_to(colour)
        clock, start = self.clocks.get(colour), monotonic()
        seconds = self.seconds
        if clock is not None:
            seconds = clock.for_a_move(max(self.rules.area * 0.7 - len(self.board.moves), 10) / 2)
        enough = self.simulations if seconds is None else MOST_SIMULATIONS
        self.player.think(self.board, self.dice, enough, lambda: seconds is not None and monotonic() - start > seconds)
        trees = self.player.trees
        ranking = trees.ranking(0) or [self.rules.area]
        if clock is not None:
            clock.spend(monotonic() - start)
        if not cleanup and (trees.value(0) + 1) / 2 < self.resign:
            return None
        if cleanup and len(ranking) > 1 and ranking[0] == self.rules.area and self.dead_stones(3 - colour):
            return ranking[1]
        return ranking[0]

    def genmove(self, words: list[str], cleanup: bool = False) -> str:
        """Its own move."""
        colour = self.colour(words)
        move = self.think(colour, cleanup=cleanup)
        if move is not None:
            self.board.play(move)
        return self.name_of(move)

    def analyse(self, words: list[str], kata: bool = False, move: bool = False) -> str:
        """Say what it thinks, again and again, until the next line comes; with `move` until it has thought enough."""
        colour, words = (self.colour(words), words[1:]) if words and not words[0].isdigit() else (0, words)
        every = self.number(words, 1) / 100 if words else 1.0
        self.turn_to(colour or self.board.to_move)
        self.say(f"={self.number_asked}\n")
        wanted = self.simulations if move else MOST_SIMULATIONS
        while True:
            until = monotonic() + every
            self.player.think(
                self.board, self.dice, wanted, lambda until=until: monotonic() > until or not self.lines.empty()
            )
            trees = self.player.trees
            self.say(f"{self.opinion(kata)}\n")
            done = bool(trees.finished[0]) or trees.slab.visits[0, 0].sum() >= wanted
            if not self.lines.empty() or done:
                break
        if move:
            best = trees.best(0)
            self.board.play(best)
            self.say(f"play {self.name_of(best)}\n")
        elif self.lines.empty():
            self.lines.put(self.lines.get())  # it has thought all it can, and waits
        raise Streamed

    def opinion(self, kata: bool) -> str:
        """The root's moves as Leela Zero (chances in ten thousandths) or KataGo (as fractions) tells them."""
        trees, told = self.player.trees, []
        prior, visits, total = (field[0, 0] for field in (trees.slab.prior, trees.slab.visits, trees.slab.total))
        for order, action in enumerate(trees.ranking(0)):
            chance = (1 + total[action] / visits[action]) / 2
            told_as = [f"{number:.4f}" if kata else f"{round(10_000 * number)}" for number in (chance, prior[action])]
            line = " ".join(self.name_of(one) for one in trees.line(0, action))
            told.append(
                f"info move {self.name_of(action)} visits {visits[action]} winrate {told_as[0]} "
                f"prior {told_as[1]} order {order} pv {line}"
            )
        return " ".join(told)

    # ------------------------------------------------------------------------------------------ the end

    def score(self) -> str:
        """By area, as the board stands: nothing is taken off as dead."""
        margin = self.board.margin()
        return f"{'B' if margin > 0 else 'W'}+{abs(margin):g}" if margin else "0"

    def tell_owners(self, words: list[str]) -> str:
        """A number for every point, from black's 1 to white's −1."""
        if self.owners is None:
            raise Refusal("this player has no opinion of owners")
        return "\n".join(" ".join(f"{value:.2f}" for value in row) for row in self.owners(self.board))

    def chains(self) -> Iterator[tuple[int, list[int]]]:
        """The colour and the stones of every chain."""
        stones, (height, width) = self.board.stones(), self.size
        left = {point for point in range(self.rules.area) if stones.flat[point]}
        while left:
            colour, chain = int(stones.flat[min(left)]), [min(left)]
            left.remove(chain[0])
            for point in chain:
                row, column = divmod(point, width)
                near = [point - width] * (row > 0) + [point + width] * (row < height - 1)
                near += [point - 1] * (column > 0) + [point + 1] * (column < width - 1)
                joined = [one for one in near if one in left and stones.flat[one] == colour]
                left.difference_update(joined)
                chain += joined
            yield colour, chain

    def dead_stones(self, colour: int) -> list[list[int]]:
        """Chains of a colour whose points the player thinks will be the other's."""
        if self.owners is None:
            return []
        owners = self.owners(self.board).ravel() * (1 if colour == BLACK else -1)
        return [chain for whose, chain in self.chains() if whose == colour and owners[chain].mean() < 0]

    def status_list(self, words: list[str]) -> str:
        """Chains that are alive or dead; no seki is told apart."""
        if words[:1] not in (["alive"], ["dead"], ["seki"]):
            raise Refusal("alive, dead or seki is wanted")
        dead = self.dead_stones(BLACK) + self.dead_stones(WHITE)
        alive = [chain for _, chain in self.chains() if sorted(chain) not in [sorted(one) for one in dead]]
        listed = {"alive": alive, "dead": dead, "seki": []}[words[0]]
        return "\n".join(" ".join(vertex(stone, self.size) for stone in sorted(chain)) for chain in listed)


class Streamed(Exception):
    """The answer was already written, but for its end."""
