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
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import TextIO

import numpy as np

from sparring.agents.match import Searcher
from sparring.envs.errors import BadInputError
from sparring.envs.go import sgf
from sparring.envs.go.board import BLACK, EMPTY_BOARD, MOVERS, WHITE, Board, Start
from sparring.envs.go.board import COLOURS as NAMES
from sparring.envs.go.board import handicap as given
from sparring.envs.go.coordinates import from_vertex, vertex
from sparring.envs.go.rules import Rules
from sparring.envs.worlds import Array
from sparring.runners.clocks import Clock

WHOLE = re.compile("[0-9]{1,9}")
IDLE = 0.02  # s between two looks whether somebody has said something
COLOURS = {"b": BLACK, "black": BLACK, "w": WHITE, "white": WHITE}
LONGEST_GAME = 2_000  # plies: no controller's game is cut
MOST_SIMULATIONS = 50_000  # of a move that only a clock ends
HANDICAP = {  # (column, row from below) of the lines near 1 and far 3, with 2 between, in GNU Go's order
    2: "33 11",
    3: "33 11 13",
    4: "33 11 13 31",
    5: "33 11 13 31 22",
    6: "33 11 13 31 12 32",
    7: "33 11 13 31 12 32 22",
    8: "33 11 13 31 12 32 21 23",
    9: "33 11 13 31 12 32 21 23 22",
}


class Refusal(Exception):
    """What a command is answered with after "?"."""


class Streamed(Exception):
    """The answer was already written, but for its end."""


def words_of(line: str) -> tuple[str, list[str]]:
    """A line's number, if it has one, and its words: no control characters, no comment."""
    text = "".join(one for one in line.partition("#")[0].replace("\t", " ") if one.isprintable())
    first, *rest = text.split() or [""]
    return (first, rest) if WHOLE.fullmatch(first) else ("", [first, *rest] if first else [])


def turn_to(board: Board, colour: int) -> None:
    """Let a colour be to move: the other passes, and a game that passes have ended goes on.

    Raises:
        Refusal: the game is too long.
    """
    for _ in range(2):
        if board.over == "cap":
            raise Refusal("the game is too long")
        if board.over:
            board.resume()
        if board.to_move == colour:
            return
        board.play(board.rules.area)


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
        owners: Callable[[Board], Array] | None = None,
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
        self.clocks: dict[int, Clock] = {}
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.start = EMPTY_BOARD
        self.given: list[tuple[int, int]] = []  # (colour, move) as the controller and we have made them
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
            "reg_genmove": self.regression,
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
            "stop": lambda words: "",
            "lz-genmove_analyze": self.genmove_analyze,
            "kata-genmove_analyze": lambda words: self.genmove_analyze(words, kata=True),
            "genmove_analyze": self.genmove_analyze,
            "cputime": lambda words: f"{process_time():.3f}",
            "scoring_system": lambda words: "area",
            "gogui-analyze_commands": lambda words: "dboard/Who owns what/owners" if self.owners else "",
            "gogui-play_sequence": self.play_sequence,
            "gogui-interrupt": lambda words: "",
            "owners": self.tell_owners,
        }

    # ------------------------------------------------------------------------------------------ the conversation

    def serve(self, source: Iterable[bytes], sink: TextIO) -> None:
        """Answer line after line until `quit` or the end of the input."""
        self.sink = sink
        self.player.think(Board(self.rules), self.dice, 1)  # what loads and compiles does so off the clock
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()
        while self.going:
            line = self.lines.get()
            if line is None:
                return
            self.answer(line)

    def _listen(self, source: Iterable[bytes]) -> None:
        try:
            for line in source:
                text = line.decode(errors="replace")
                self.lines.put(text)
                if words_of(text)[1][:1] == ["quit"]:
                    return  # nobody waits for more, and a process must be able to end
        finally:
            self.lines.put(None)

    @property
    def interrupted(self) -> bool:
        """Whether somebody has said something in the meantime."""
        return not self.lines.empty()

    def answer(self, line: str) -> None:
        """One command; a comment or an empty line says nothing, and is answered by nothing."""
        number, words = words_of(line)
        if not number and not words:
            return
        self.number_asked = number
        try:
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
        except Exception as error:  # whatever it is, the game goes on; what it was stands on stderr
            traceback.print_exc()
            self.say(f"?{number} internal error: {type(error).__name__}\n\n")

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
        if not words or not WHOLE.fullmatch(words[0]) or int(words[0]) < least:
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

    def begin(self, start: Start = EMPTY_BOARD) -> str:
        """A new game."""
        self.start, self.given = start, []
        self.board = Board(self.rules, start=start)
        for clock in self.clocks.values():
            clock.start()
        return ""

    def built(self, given: Sequence[tuple[int, int]], to_move: int = 0) -> Board:
        """The board after moves of given colours, and with a colour to move: who is not asked passes, and a game that
        passes have ended goes on.

        Raises:
            Refusal: a move is not legal.
        """
        board = Board(self.rules, start=self.start)
        for colour, move in given:
            turn_to(board, colour)
            if not board.allows(move):
                raise Refusal("illegal move")
            board.play(move)
        if to_move:
            turn_to(board, to_move)
        return board

    def put(self, colour: int, move: int) -> None:
        """A move of a colour.

        Raises:
            Refusal: it is not legal.
        """
        board = self.built(self.given, colour)
        if not board.allows(move):
            raise Refusal("illegal move")
        board.play(move)
        self.board = board
        self.given.append((colour, move))

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
        self.board = self.built(self.given)
        return ""

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
        if len(self.given) < count:
            raise Refusal("cannot undo")
        self.given = self.given[:-count]
        self.board = self.built(self.given)
        return ""

    def loadsgf(self, words: list[str]) -> str:
        """A game from a file, up to before a move; who is to move then, as GNU Go tells it."""
        try:
            name, *rest = shlex.split(" ".join(words))
        except ValueError as error:
            raise Refusal(f"a file is wanted: {error}") from None
        game = sgf.load(Path(name))
        if game.size != self.size:
            raise Refusal("unacceptable size")
        if rest:
            game = replace(game, plies=game.plies[: self.number(rest, 1) - 1])
        board = Board.of(game, self.rules)
        self.rules, self.start, self.board = board.rules, board.start, board
        self.given = [(MOVERS[ply.colour], ply.move) for ply in game.plies]
        return NAMES[self.board.to_move]

    def handicap(self, count: int) -> str:
        """Stones where they are wont to stand."""
        height, width = self.size
        most = 9 if height == width and height % 2 and height >= 9 else 4 if height == width and height >= 7 else 0
        if self.given or self.start != EMPTY_BOARD:
            raise Refusal("board not empty")
        if not 2 <= count <= most:
            raise Refusal("invalid number of stones")
        near = 3 if height > 11 else 2
        lines = {"1": near, "2": height // 2, "3": height - 1 - near}
        points = [(lines[place[0]], lines[place[1]]) for place in HANDICAP[count].split()]
        stones = [(height - 1 - row) * width + column for column, row in points]
        self.begin(given(stones))
        return " ".join(vertex(stone, self.size) for stone in stones)

    def set_handicap(self, words: list[str]) -> str:
        """Stones where a controller wants them."""
        if self.given or self.start != EMPTY_BOARD:
            raise Refusal("board not empty")
        stones = [from_vertex(word, self.size) for word in words]
        if len(stones) < 2 or self.rules.area in stones:
            raise Refusal("bad vertex list")
        return self.begin(given(stones))

    # ------------------------------------------------------------------------------------------ thinking

    def time_settings(self, words: list[str]) -> str:
        """Main time, Canadian byo-yomi and its stones, for both; byo-yomi without stones is no limit at all."""
        if len(words) != 3:
            raise Refusal("main time, byo-yomi time and stones are wanted")
        main, byoyomi, stones = self.seconds_of(words[0]), self.seconds_of(words[1]), self.number(words[2:], 0)
        self.clocks = {}
        if not (byoyomi and not stones):
            self.clocks = {colour: Clock(main, byoyomi, stones) for colour in (BLACK, WHITE)}
            for clock in self.clocks.values():
                clock.start()
        return ""

    def time_left(self, words: list[str]) -> str:
        """What a controller's clock says."""
        colour = self.colour(words)
        if len(words) != 3:
            raise Refusal("a color, a time and stones are wanted")
        left, stones = self.seconds_of(words[1]), self.number(words[2:], 0)
        clock = self.clocks.setdefault(colour, Clock(left))
        clock.left, clock.stones_left = left, stones
        return ""

    def think(self, colour: int, report: Callable[[], None] | None = None, every: float = 0.0) -> Board:
        """Search for a move of a colour, for as long as its clock, the seconds or the simulations say; where from.

        With `report`, that is called now and then.
        """
        board = self.built(self.given, colour)
        clock, start = self.clocks.get(colour), monotonic()
        seconds = self.seconds
        if clock is not None:
            seconds = clock.for_a_move(max(self.rules.area * 0.7 - len(board.moves), 10) / 2)
        enough = self.simulations if seconds is None else MOST_SIMULATIONS
        due = start + every

        def stop() -> bool:
            nonlocal due
            now = monotonic()
            if report is not None and now > due:
                report()
                due = now + every
            return seconds is not None and now - start > seconds

        self.player.think(board, self.dice, enough, stop)
        if clock is not None:
            clock.spend(monotonic() - start)
        return board

    def chosen(self, colour: int, *, cleanup: bool = False) -> int | None:
        """What to play after having thought; None gives up."""
        trees = self.player.trees
        if not cleanup and (trees.value(0) + 1) / 2 < self.resign:
            return None
        ranking = trees.ranking(0)
        if cleanup and len(ranking) > 1 and ranking[0] == self.rules.area and self.dead_stones(3 - colour):
            return ranking[1]
        return ranking[0]

    def genmove(self, words: list[str], cleanup: bool = False) -> str:
        """Its own move."""
        colour = self.colour(words)
        self.think(colour)
        move = self.chosen(colour, cleanup=cleanup)
        if move is not None:
            self.put(colour, move)
        return self.name_of(move)

    def regression(self, words: list[str]) -> str:
        """The move that it would make."""
        colour = self.colour(words)
        self.think(colour)
        return self.name_of(self.chosen(colour))

    def genmove_analyze(self, words: list[str], kata: bool = False) -> str:
        """Its own move, and what it thinks meanwhile."""
        colour, every = self.asked(words)
        self.say(f"={self.number_asked}\n")
        self.think(colour, lambda: self.tell(kata), every)
        self.tell(kata)
        move = self.chosen(colour)
        if move is not None:
            self.put(colour, move)
        self.say(f"play {self.name_of(move)}\n")
        raise Streamed

    def analyse(self, words: list[str], kata: bool = False) -> str:
        """Say what it thinks, again and again, until the next line comes."""
        colour, every = self.asked(words)
        board = self.built(self.given, colour)
        self.say(f"={self.number_asked}\n")
        while not self.interrupted:
            self.player.think(board, self.dice, MOST_SIMULATIONS, partial(self._late, monotonic() + every))
            self.tell(kata)
            while self.player.trees.finished[0] and not self.interrupted:
                sleep(IDLE)  # it has thought all it can
        raise Streamed

    def _late(self, until: float) -> bool:
        return monotonic() > until or self.interrupted

    def asked(self, words: list[str]) -> tuple[int, float]:
        """Whom an analysis is for, and every how many seconds it tells: [colour] [centiseconds] [key value]…"""
        colour, every, rest = self.board.to_move, 1.0, list(words)
        if rest and rest[0].lower() in COLOURS:
            colour = COLOURS[rest.pop(0).lower()]
        if rest and WHOLE.fullmatch(rest[0]):
            every = max(int(rest.pop(0)), 1) / 100
        for key, value in zip(rest[::2], rest[1::2], strict=False):
            if key == "interval":
                every = self.number([value], 1) / 100
        return colour, every

    def tell(self, kata: bool) -> None:
        """Say what it thinks, once it does."""
        opinion = self.opinion(kata)
        if opinion:
            self.say(f"{opinion}\n")

    def opinion(self, kata: bool) -> str:
        """The root's moves as Leela Zero (chances in ten thousandths) or KataGo (as fractions) tells them."""
        trees, told = self.player.trees, []
        prior, visits, total = (field[0, 0] for field in (trees.slab.prior, trees.slab.visits, trees.slab.total))
        for order, action in enumerate(trees.ranking(0)):
            if not visits[action]:
                break
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
