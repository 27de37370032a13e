"""A player of ours as a program that speaks the Go Text Protocol, version 2: for GoGui, Sabaki, CGOS and any other.

    sparring gtp RUN --sims 200        a line of GTP in, an answer out; nothing else is ever written to stdout

Besides the protocol's own commands it knows analysis as Leela Zero and KataGo print it, cleaning up, and GoGui's. Time
settings are obeyed: where a controller sets a clock, that decides how long a move is thought about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic, process_time, sleep
from typing import TextIO

import numpy as np

from sparring.agents.match import Searcher
from sparring.envs.errors import BadInputError
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.board import COLOURS as NAMES
from sparring.envs.go.coordinates import from_vertex
from sparring.envs.go.rules import Rules
from sparring.envs.worlds import Array
from sparring.runners.clocks import Clock
from sparring.runners.gtp_game import Told
from sparring.runners.gtp_talk import COLOURS, WHOLE, Refusal, Streamed, Talk, colour_of, number_of, seconds_of

IDLE = 0.02  # s between two looks whether somebody has said something
MOST_SIMULATIONS = 50_000  # of a move that only a clock ends


class Server(Talk):
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
        self.game = Told(rules)
        self.simulations, self.seconds, self.resign = simulations, seconds, resign
        self.owners = owners
        self.dice = np.random.default_rng(seed)
        self.clocks: dict[int, Clock] = {}
        commands: dict[str, Callable[[list[str]], str]] = {
            "name": lambda words: name,
            "version": lambda words: version,
            "boardsize": self.boardsize,
            "clear_board": lambda words: self.begin(),
            "komi": self.komi,
            "play": self.play,
            "genmove": self.genmove,
            "reg_genmove": self.regression,
            "kgs-genmove_cleanup": lambda words: self.genmove(words, cleanup=True),
            "undo": lambda words: self.undo(1),
            "gg-undo": lambda words: self.undo(number_of(words, 1)),
            "fixed_handicap": self.handicap,
            "place_free_handicap": self.handicap,
            "set_free_handicap": self.set_handicap,
            "time_settings": self.time_settings,
            "time_left": self.time_left,
            "final_score": lambda words: self.game.score,
            "final_status_list": self.status_list,
            "showboard": lambda words: f"\n{self.game.board}",
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
        super().__init__(commands)

    def serve(self, source: Iterable[bytes], sink: TextIO) -> None:
        """Answer line after line until `quit` or the end of the input."""
        self.player.think(Board(self.game.rules), self.dice, 1)  # what loads and compiles does so off the clock
        super().serve(source, sink)

    # ------------------------------------------------------------------------------------------ the game

    def begin(self) -> str:
        """A new game."""
        self.game.begin()
        self.begin_clocks()
        return ""

    def begin_clocks(self) -> None:
        """Both have all their time again."""
        for clock in self.clocks.values():
            clock.start()

    def boardsize(self, words: list[str]) -> str:
        """The size that it plays, and no other."""
        height, width = self.game.size
        if number_of(words, 1) != height or height != width:
            raise Refusal("unacceptable size")
        return self.begin()

    def komi(self, words: list[str]) -> str:
        """White's points; the position stays."""
        try:
            self.game.change_komi(float(words[0]))
        except (ValueError, IndexError, BadInputError):
            raise Refusal(f"komi is a number of points, not {words[0]!r}" if words else "komi is missing") from None
        return ""

    def play(self, words: list[str]) -> str:
        """Somebody's move."""
        colour = colour_of(words)
        if len(words) < 2:
            raise Refusal("a vertex is missing")
        if words[1].lower() != "resign":
            self.game.put(colour, from_vertex(words[1], self.game.size))
        return ""

    def play_sequence(self, words: list[str]) -> str:
        """Several moves."""
        for at in range(0, len(words), 2):
            self.play(words[at : at + 2])
        return ""

    def undo(self, count: int) -> str:
        """Take moves back."""
        self.game.undo(count)
        return ""

    def loadsgf(self, words: list[str]) -> str:
        """A game from a file; who is to move then, as GNU Go tells it."""
        self.game.load(words)
        return NAMES[self.game.board.to_move]

    def handicap(self, words: list[str]) -> str:
        """So many stones where they are wont to stand; where that is."""
        stones = self.game.handicap(number_of(words, 2))
        self.begin_clocks()
        return " ".join(map(self.game.name_of, stones))

    def set_handicap(self, words: list[str]) -> str:
        """Stones where a controller wants them."""
        self.game.set_handicap(words)
        self.begin_clocks()
        return ""

    # ------------------------------------------------------------------------------------------ thinking

    def time_settings(self, words: list[str]) -> str:
        """Main time, Canadian byo-yomi and its stones, for both; byo-yomi without stones is no limit at all."""
        if len(words) != 3:
            raise Refusal("main time, byo-yomi time and stones are wanted")
        main, byoyomi, stones = seconds_of(words[0]), seconds_of(words[1]), number_of(words[2:], 0)
        self.clocks = {}
        if not (byoyomi and not stones):
            self.clocks = {colour: Clock(main, byoyomi, stones) for colour in (BLACK, WHITE)}
            for clock in self.clocks.values():
                clock.start()
        return ""

    def time_left(self, words: list[str]) -> str:
        """What a controller's clock says."""
        colour = colour_of(words)
        if len(words) != 3:
            raise Refusal("a color, a time and stones are wanted")
        left, stones = seconds_of(words[1]), number_of(words[2:], 0)
        clock = self.clocks.setdefault(colour, Clock(left))
        clock.left, clock.stones_left = left, stones
        return ""

    def think(self, colour: int, report: Callable[[], None] | None = None, every: float = 0.0) -> Board:
        """Search for a move of a colour, for as long as its clock, the seconds or the simulations say; where from.

        With `report`, that is called now and then.
        """
        board = self.game.built(self.game.given, colour)
        clock, start = self.clocks.get(colour), monotonic()
        seconds = self.seconds
        if clock is not None:
            seconds = clock.for_a_move(max(self.game.rules.area * 0.7 - len(board.moves), 10) / 2)
        enough = self.simulations if seconds is None else MOST_SIMULATIONS
        due = start + every

        def stop() -> bool:
            nonlocal due
            now = monotonic()
            if report is not None and now > due:
                report()
                due = now + every
            return self.cut_short.is_set() or (seconds is not None and now - start > seconds)

        self.player.think(board, self.dice, enough, stop)
        if clock is not None:
            clock.spend(monotonic() - start)
        return board

    def chosen(self, colour: int, *, cleanup: bool = False) -> int | None:
        """What to play after having thought; None gives up. Who cleans up takes dead stones before he passes."""
        if not cleanup and (self.player.trees.value(0) + 1) / 2 < self.resign:
            return None
        ranking = self.player.ranking()
        if cleanup and ranking[0] == self.game.rules.area:
            beside = {point for chain in self.dead_stones(3 - colour) for point in self.game.beside(chain)}
            return next((move for move in ranking if move in beside), ranking[0])
        return ranking[0]

    def genmove(self, words: list[str], cleanup: bool = False) -> str:
        """Its own move."""
        colour = colour_of(words)
        self.think(colour)
        move = self.chosen(colour, cleanup=cleanup)
        if move is not None:
            self.game.put(colour, move)
        return self.game.name_of(move)

    def regression(self, words: list[str]) -> str:
        """The move that it would make."""
        colour = colour_of(words)
        self.think(colour)
        return self.game.name_of(self.chosen(colour))

    def genmove_analyze(self, words: list[str], kata: bool = False) -> str:
        """Its own move, and what it thinks meanwhile."""
        colour, every = self.asked(words)
        self.say(f"={self.number_asked}\n")
        self.think(colour, lambda: self.tell(kata), every)
        self.tell(kata)
        move = self.chosen(colour)
        if move is not None:
            self.game.put(colour, move)
        self.say(f"play {self.game.name_of(move)}\n")
        raise Streamed

    def analyse(self, words: list[str], kata: bool = False) -> str:
        """Say what it thinks, again and again, until the next line comes."""
        colour, every = self.asked(words)
        board = self.game.built(self.game.given, colour)
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
        colour, every, rest = self.game.board.to_move, 1.0, list(words)
        if rest and rest[0].lower() in COLOURS:
            colour = COLOURS[rest.pop(0).lower()]
        if rest and WHOLE.fullmatch(rest[0]):
            every = max(int(rest.pop(0)), 1) / 100
        for key, value in zip(rest[::2], rest[1::2], strict=False):
            if key == "interval":
                every = number_of([value], 1) / 100
        return colour, every

    def tell(self, kata: bool) -> None:
        """Say what it thinks, once it does."""
        opinion = self.opinion(kata)
        if opinion:
            self.say(f"{opinion}\n")

    def opinion(self, kata: bool) -> str:
        """The root's moves as Leela Zero (chances in ten thousandths) or KataGo (as fractions) tells them."""
        trees, told = self.player.trees, []
        prior, visits, total = trees.prior(0), trees.visits(0), trees.total(0)
        for order, action in enumerate(action for action in self.player.ranking() if visits[action]):
            chance = (1 + total[action] / visits[action]) / 2
            told_as = [f"{number:.4f}" if kata else f"{round(10_000 * number)}" for number in (chance, prior[action])]
            line = " ".join(self.game.name_of(one) for one in trees.line(0, action))
            told.append(
                f"info move {self.game.name_of(action)} visits {visits[action]} winrate {told_as[0]} "
                f"prior {told_as[1]} order {order} pv {line}"
            )
        return " ".join(told)

    # ------------------------------------------------------------------------------------------ the end

    def tell_owners(self, words: list[str]) -> str:
        """A number for every point, from black's 1 to white's −1."""
        if self.owners is None:
            raise Refusal("this player has no opinion of owners")
        return "\n".join(" ".join(f"{value:.2f}" for value in row) for row in self.owners(self.game.board))

    def dead_stones(self, colour: int) -> list[list[int]]:
        """Chains of a colour whose points the player thinks will be the other's."""
        if self.owners is None:
            return []
        owners = self.owners(self.game.board).ravel() * (1 if colour == BLACK else -1)
        return [chain for whose, chain in self.game.chains() if whose == colour and owners[chain].mean() < 0]

    def status_list(self, words: list[str]) -> str:
        """Chains that are alive or dead; no seki is told apart."""
        if words[:1] not in (["alive"], ["dead"], ["seki"]):
            raise Refusal("alive, dead or seki is wanted")
        dead = self.dead_stones(BLACK) + self.dead_stones(WHITE)
        alive = [chain for _, chain in self.game.chains() if sorted(chain) not in [sorted(one) for one in dead]]
        listed = {"alive": alive, "dead": dead, "seki": []}[words[0]]
        return "\n".join(" ".join(self.game.name_of(stone) for stone in sorted(chain)) for chain in listed)
