"""Players of Go by name: trained runs, search with playouts, chance, GNU Go, any program that speaks GTP.

go5, go7, go9  the champions of 5×5, 7×7 and 9×9 that ship with the package
RUN            a run that learned Go, by alphazero or ppo-selfplay: its folder, or a file that `sparring export` wrote
mcts:N         search with N random playouts a move
random         any legal move
gnugo:LEVEL    GNU Go, 0 to 10 and more; `gnugo` is level 10. It does not resign, so that its points are counted
gtp:COMMAND    a program, by its command line
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sparring.agents.boardnet import Instinct, Mind
from sparring.agents.match import Searcher, by_playouts, plainly
from sparring.agents.mcts import Searching
from sparring.envs.errors import BadInputError
from sparring.envs.go.board import Board
from sparring.envs.go.opponents import Engine, Opponent, at_random
from sparring.envs.go.rules import Ko, Rules
from sparring.envs.worlds import Array
from sparring.runners import champion

GNU_GO = "--mode gtp --chinese-rules --positional-superko --forbid-suicide --capture-all-dead --never-resign"
KINDS = "go5, go7, go9, random, mcts:N, gnugo:LEVEL, gtp:COMMAND"
PLAYING_NODES = 100_000  # of a player's tree; they take memory only once they are used
TIMEOUT = 60.0  # s
LONGEST = 6  # plies a point: nobody's game is cut while dead stones are still being taken
ROWS = 8  # leaves that a network looks at together when it plays one game


@dataclass(frozen=True)
class Player:
    """Somebody to play against."""

    name: str
    opponent: Opponent
    rules: Rules | None = None  # what it was trained for; None: it plays on any board
    kind: tuple[Ko, bool] | None = None  # the ko rule, and whether suicide is allowed, that it insists on
    owners: Callable[[Board], Array] | None = None
    close: Callable[[], None] = lambda: None


def players(names: Sequence[str], *, simulations: int, seed: int = 0, timeout: float = TIMEOUT) -> list[Player]:
    """All of them; arguments as of `player`.

    Raises:
        BadInputError: see `player`; or one is named twice.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInputError(f"{', '.join(twice)} is named twice; a player does not meet itself")
    return [player(name, simulations=simulations, seed=seed, timeout=timeout) for name in names]


def player(name: str, *, simulations: int, seed: int = 0, timeout: float = TIMEOUT, rows: int = 1) -> Player:
    """The player of that name.

    Args:
        name: as in this module's docstring.
        simulations: a move, for those that search with a network.
        seed: of its own dice.
        timeout: seconds that a program has for an answer.
        rows: leaves that a network looks at together: with more it answers sooner, and not quite so well.

    Raises:
        BadInputError: there is none, its folder holds no AlphaZero, or a program does not start.
    """
    kind, _, rest = name.partition(":")
    if kind == "gtp" and rest:
        return of_program(name, rest, timeout)
    if kind == "gnugo":
        level = whole(rest, name) if rest else 10
        command = f"{shlex.quote(gnu_go())} {GNU_GO} --level {level} --seed {seed + 1}"  # 0 is the time
        return of_program(name, command, timeout, kind=("positional", False))
    if kind == "random" and not rest:
        return Player(name, at_random)
    if kind == "mcts" and rest:
        searching = plainly(whole(rest, name))
        return Player(name, Searcher(by_playouts, searching, nodes=room(searching.simulations, simulations), seed=seed))
    if name in champion.SHIPPED:
        return of_champion(name, champion.SHIPPED[name], simulations, seed, rows)
    if Path(name).exists():
        return of_champion(name, Path(name), simulations, seed, rows)
    raise BadInputError(f"no player is called {name!r}: it is no run or champion, and none of {KINDS}")


def room(*simulations: int) -> int:
    """Nodes of a tree that may be searched so often in a move, and is kept from move to move."""
    return max(PLAYING_NODES, 4 * max(simulations))


def whole(text: str, name: str) -> int:
    """A number that stands in a player's name."""
    if not text.isdigit():
        raise BadInputError(f"{name!r} names no player: {text!r} is not a whole number")
    return int(text)


def gnu_go() -> str:
    """Where GNU Go lies.

    Raises:
        BadInputError: nowhere.
    """
    found = shutil.which("gnugo", path=f"{os.environ.get('PATH', os.defpath)}:/usr/games")
    if found is None:
        raise BadInputError("GNU Go is not installed; on Debian and Ubuntu: apt-get install gnugo")
    return found


def of_program(name: str, command: str, timeout: float, kind: tuple[Ko, bool] | None = None) -> Player:
    """Another program."""
    engine = Engine(command, timeout=timeout)
    return Player(name, engine, kind=kind, close=engine.close)


def of_champion(name: str, path: Path, simulations: int, seed: int, rows: int) -> Player:
    """A network, which searches if it may look at more than one position; on one thread, for a game is small.

    Raises:
        BadInputError: there is none in this folder or file.
    """
    known = champion.at(path)
    torch.set_num_threads(1)
    rules, network = known.rules, known.network()
    mind = Mind(network, rules.height, rules.width, seed)
    if simulations == 1:
        return Player(name, Instinct(network, greedy=True), rules, owners=mind.owners)
    search = Searching("puct", simulations)
    searcher = Searcher(mind.guide, search, nodes=room(simulations), rows=min(rows, simulations))
    return Player(name, searcher, rules, owners=mind.owners)


def common_rules(players: list[Player], board: int | None, komi: float | None) -> Rules:
    """What players can play together: the board that some were trained on, or the one asked for.

    Raises:
        BadInputError: they were trained on different boards or for different rules, or others are asked for.
    """
    trained = {one.name: one.rules for one in players if one.rules is not None}
    sizes = {name: rules.height for name, rules in trained.items()} | ({} if board is None else {"--board": board})
    kinds = {name: (rules.ko, rules.suicide) for name, rules in trained.items()}
    kinds |= {one.name: one.kind for one in players if one.kind is not None}
    if len({*sizes.values()}) > 1 or len({*kinds.values()}) > 1:
        told = {name: f"{size}×{size}" for name, size in sizes.items()}
        for name, (ko, suicide) in kinds.items():
            rule = f"{ko} ko and {'' if suicide else 'no '}suicide"
            told[name] = f"{told[name]} with {rule}" if name in told else f"any board with {rule}"
        raise BadInputError(f"no board fits all: {', '.join(f'{name} plays {what}' for name, what in told.items())}")
    rules = next(iter(trained.values()), Rules(board or 9, board or 9, "positional", komi=7.0))
    return dataclasses.replace(rules, cap=LONGEST * rules.area, komi=rules.komi if komi is None else komi)
