"""Matches at Go between any players: every pair plays, both colours alike, from random openings; our referee counts.

A game that is the same as one before it, move by move, tells nothing new and is dropped; another opening takes its
place. Who resigns, plays what is illegal, dies, hangs or speaks no protocol has lost that game, with the reason beside
it, and the match goes on; such games are never dropped. However a match ends, what was played is on record.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from sparring.agents import elo, statistics
from sparring.agents.match import Played, games_of
from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.envs.go import sgf
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.record import Game
from sparring.envs.go.rules import Rules
from sparring.runners.players import Player

MOST_DUPLICATES = 50  # in a row, of a pair: players that know no chance, and too few openings
REASONS = {"resigned": "R", "illegal": "F", "failed": "F"}  # as SGF tells a result without points


def match(
    first: Player, second: Player, rules: Rules, games: int, dice: np.random.Generator, opening: int = 2, seed: int = 0
) -> Iterator[Played]:
    """So many different games of two players, whose colours alternate; from every opening one with either colour.

    All pairs of a `seed` begin with the same openings.

    Raises:
        BadInputError: the players repeat themselves from all openings.
    """
    known: set[tuple[int, ...]] = set()
    duplicates, openings = 0, np.random.default_rng([2, seed])
    for played in games_of(first.opponent, second.opponent, rules, dice, openings, opening):
        moves = (played.first, *played.board.moves, *((len(known),) if played.reason in REASONS else ()))
        duplicates = duplicates + 1 if moves in known else 0
        if duplicates > MOST_DUPLICATES:
            raise BadInputError(
                f"{first.name} and {second.name} have {len(known)} different games from openings of {opening} "
                "random moves; ask for fewer games, or a longer --opening"
            )
        if moves not in known:
            known.add(moves)
            yield played
            if len(known) == games:
                return


def tournament(
    players: Sequence[Player],
    rules: Rules,
    *,
    games: int,
    opening: int,
    seed: int,
    out: Path,
    console: Console,
) -> dict[str, Any]:
    """Every pair plays `games`; all of it lies in `out`: a game a file, and arena.json, even if it ends too soon.

    Raises:
        BadInputError: nothing can be written there, or two players repeat themselves.
    """
    pairs = list(itertools.combinations(range(len(players)), 2))
    results: list[elo.Result] = []
    told: list[dict[str, Any]] = []
    asked = {"rules": dataclasses.asdict(rules), "opening": opening, "seed": seed}
    try:
        (out / "games").mkdir(parents=True)
    except OSError as error:
        raise BadInputError(f"{out} cannot be made ({error.strerror}); name another --out") from None
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("playing", total=games * len(pairs))
        try:
            for number, (one, other) in enumerate(pairs):
                dice = np.random.default_rng([1, seed, number])
                for played in match(players[one], players[other], rules, games, dice, opening, seed):
                    results.append(elo.Result(one, other, played.points_of_first))
                    path = out / "games" / f"{len(results):04d}.sgf"
                    names = {played.first: players[one].name, 3 - played.first: players[other].name}
                    sgf.save(recorded(played, names), path)
                    told.append({"file": path.name, "black": names[BLACK], "white": names[WHITE], **ending(played)})
                    progress.advance(task)
        finally:
            record = asked | record_of(players, results, seed) | {"games": told}
            write_aside(out / "arena.json", (json.dumps(record, indent=2) + "\n").encode())
    return record


def record_of(players: Sequence[Player], results: Sequence[elo.Result], seed: int) -> dict[str, Any]:
    """Win rates of the pairs that have met, and everybody's strength."""
    ratings = elo.rate(results, len(players), anchor=len(players) - 1, seed=seed)
    met = dict.fromkeys((result.first, result.second) for result in results)
    return {
        "players": [player.name for player in players],
        "pairs": [summary(players, results, pair) for pair in met],
        "elo": {player.name: rating._asdict() for player, rating in zip(players, ratings, strict=True)},
    }


def ending(played: Played) -> dict[str, Any]:
    """How a game ended, for the record."""
    return {
        "winner": {BLACK: "black", WHITE: "white", 0: "nobody"}[played.winner],
        "reason": played.reason,
        "moves": len(played.board.moves),
        **({"margin": played.board.margin()} if played.board.over else {}),
        **({"told": played.told} if played.told else {}),
    }


def recorded(played: Played, names: dict[int, str]) -> Game:
    """A game for its file."""
    result = {}
    if not played.board.over:
        result = {"result": f"{'B' if played.winner == BLACK else 'W'}+{REASONS[played.reason]}"}
    return played.board.record(black=names[BLACK], white=names[WHITE], **result)


def summary(players: Sequence[Player], results: Sequence[elo.Result], pair: tuple[int, int]) -> dict[str, Any]:
    """What a pair's games came to."""
    points = [result.points for result in results if (result.first, result.second) == pair]
    estimate = statistics.rate(sum(points), len(points))
    return {
        "first": players[pair[0]].name,
        "second": players[pair[1]].name,
        "games": len(points),
        "win_rate": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
    }


def show(record: dict[str, Any], console: Console) -> None:
    """Win rates and strengths."""
    table = Table("", "against", "games", "wins", "95 % interval", box=None, padding=(0, 2))
    for pair in record["pairs"]:
        ends = f"{pair['low']:.1%} … {pair['high']:.1%}"
        table.add_row(
            escape(pair["first"]), escape(pair["second"]), str(pair["games"]), f"{pair['win_rate']:.1%}", ends
        )
    console.print(table)
    ratings = Table("player", "Elo", "95 % interval", box=None, padding=(0, 2))
    for name, rating in sorted(record["elo"].items(), key=lambda item: -item[1]["elo"]):
        ratings.add_row(escape(name), f"{rating['elo']:+.0f}", f"{rating['low']:+.0f} … {rating['high']:+.0f}")
    console.print(ratings)


Ask = Callable[[str], str]


def play(player: Player, rules: Rules, *, colour: int, seed: int, console: Console, ask: Ask) -> Played | None:
    """A game of somebody at the terminal against a player; None where they leave.

    Args:
        player: the opponent.
        rules: what is played.
        colour: of who sits at the terminal.
        seed: of the player's dice.
        console: where the board is shown.
        ask: for a line.
    """
    from sparring.envs.go.coordinates import from_vertex, vertex

    dice, board, size = np.random.default_rng(seed), Board(rules), (rules.height, rules.width)
    while not board.over:
        console.print(f"\n{board}\n", markup=False, highlight=False)
        if board.to_move != colour:
            action = player.opponent(board, dice)
            said = "resigns" if action is None else vertex(action, size)
            console.print(f"{player.name}: {said}", markup=False, highlight=False)
            if action is None:
                return Played(board, colour, colour, "resigned")
            board.play(action)
            continue
        answer = ask(f"your move ({'black X' if colour == BLACK else 'white O'}; pass, undo, resign, quit): ").strip()
        if answer in ("quit", "exit"):
            return None
        if answer == "resign":
            return Played(board, colour, 3 - colour, "resigned")
        if answer == "undo":
            board = Board(rules, board.moves[:-2])
            continue
        try:
            board.play(from_vertex(answer, size))
        except BadInputError as error:
            console.print(str(error).splitlines()[0], style="red", markup=False, highlight=False)
    margin = board.margin()
    return Played(board, colour, 0 if margin == 0 else BLACK if margin > 0 else WHITE, board.over)
