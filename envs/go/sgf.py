"""Go games as text: the Smart Game Format, FF[4] (https://www.red-bean.com/sgf/).

A file is a tree of nodes, and a node is a list of properties, each an identifier with values in brackets:

    (;FF[4]GM[1]SZ[9]KM[7.5];B[ee]C[the centre];W[cf](;B[fd])(;B[ef]))

`parse` makes a `Game` of it and `render` makes text of a game. What a game keeps:

* the main line: at every fork the first variation; of several games in one file the first;
* every property of the root and of the moves, those unknown to us as they stand, but for a root's AE, which empties
  what is empty. Format and charset are written anew;
* a node without a move as part of the one before it: comments follow each other, values are joined;
* text without its escapes. As the format has it, line ends come back as one kind (in one-line properties as a blank)
  and tabs as blanks; whether a colon was escaped is forgotten.

Versions 1 to 3 of the format are read too. Nothing is played here: a move may be illegal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as brief

import numpy as np

from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.envs.go import sgf_tree
from sparring.envs.go.coordinates import LARGEST, Size, check_size, from_point, pass_move, point
from sparring.envs.go.record import COLOURS, LINES, OF_A_GAME, OF_A_PLY, SETUP, Game, Ply, Properties
from sparring.envs.go.sgf_tree import Fault, Node, Value


def render(game: Game) -> str:
    """The game as text, a line for each node (and more where a comment has them)."""
    height, width = game.size
    root = {
        "FF": ("4",),
        "GM": ("1",),
        "CA": ("UTF-8",),
        "SZ": (f"{width}" if width == height else f"{width}:{height}",),
        "KM": () if game.komi is None else (np.format_float_positional(game.komi, trim="-"),),
        **{name: _if_any(getattr(game, of)) for name, of in LINES.items()},
        "HA": (str(game.handicap),) if game.handicap else (),
        "AB": tuple(point(stone, game.size) for stone in game.black_stones),
        "AW": tuple(point(stone, game.size) for stone in game.white_stones),
        "C": _if_any(game.comment),
        **game.properties,
    }
    plies = (
        {ply.colour: (point(ply.move, game.size),), "C": _if_any(ply.comment), **ply.properties} for ply in game.plies
    )
    return sgf_tree.write([root, *plies])


def save(game: Game, path: Path) -> None:
    """Write a file in UTF-8, whole or not at all.

    Raises:
        BadInputError: a text holds half a surrogate pair, which no charset can write.
        OSError: it cannot be written.
    """
    try:
        content = render(game).encode()
    except UnicodeEncodeError as error:
        raise BadInputError(f"the game holds {error.object[error.start]!r}, which is no character") from None
    write_aside(path, content)


def _if_any(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def parse(text: str) -> Game:
    """Read the main line of the first game; what stands before its "(;" or behind its end is not looked at.

    Raises:
        BadInputError: it is no game of Go that we can read; the message says where and why.
    """
    try:
        root, *nodes = sgf_tree.join_moveless(sgf_tree.main_line(text), COLOURS)
        return _game(root, nodes)
    except Fault as fault:
        raise fault.placed(text) from None


def load(path: Path) -> Game:
    """Read a file in the charset that it names; one that names none is in UTF-8, or in Latin-1 if it cannot be.

    Raises:
        BadInputError: as `parse`; or the file is missing, or not in the charset that it names.
    """
    try:
        return parse(sgf_tree.decode(path.read_bytes()))
    except OSError as error:
        raise BadInputError(f"there is no game at {path} ({error.strerror})") from None
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from None


def _game(root: Node, nodes: Iterable[Node]) -> Game:
    _integer(root, "FF", default=1, low=1, high=4, why="this reads versions 1 to 4 of the format")
    _integer(root, "GM", default=1, low=1, high=1, why="only Go, GM[1], is read")
    size = _size(root)
    black, white, _ = _setup(root, size)
    return Game(
        size=size,
        plies=tuple(_ply(node, size) for node in nodes),
        komi=_komi(root),
        handicap=_integer(root, "HA", default=0, low=0, high=pass_move(size), why="it must fit the board"),
        black_stones=black,
        white_stones=white,
        comment=_comment(root),
        properties=_others(root, OF_A_GAME),
        **{of: _line(root, name) for name, of in LINES.items()},
    )


def _ply(node: Node, size: Size) -> Ply:
    (colour, value), *more = ((colour, value) for colour in COLOURS for value in node.get(colour, ()))
    if more:
        raise Fault(more[0][1].at, "this is the node's second move; a ';' must stand before each")
    for name in SETUP:
        if name in node:
            raise Fault(node[name][0].at, f"{name} sets up points after the first move; that is read before it only")
    return Ply(colour, _point(value.raw, value.at, size), _comment(node), _others(node, OF_A_PLY))


def _size(root: Node) -> Size:
    """(height, width); "7:9" are 7 columns and 9 rows, and none is 19."""
    value = _single(root, "SZ")
    if value is None:
        return LARGEST, LARGEST
    sides = re.fullmatch("([0-9]{1,4})(?::([0-9]{1,4}))?", value.raw.strip())
    if sides is None:
        raise Fault(value.at, f"SZ is {brief(value.raw)}; a size is a number, or two for columns:rows")
    size = int(sides[2] or sides[1]), int(sides[1])
    with _at(value.at):
        check_size(size)
    return size


def _komi(root: Node) -> float | None:
    value = _single(root, "KM")
    if value is None:
        return None
    number = re.fullmatch(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)\s*", value.raw)
    if number is None or not math.isfinite(float(value.raw)):
        raise Fault(value.at, f"KM is {brief(value.raw)}; komi is a number such as 7.5")
    return float(value.raw)


def _integer(root: Node, name: str, *, default: int, low: int, high: int, why: str) -> int:
    value = _single(root, name)
    if value is None:
        return default
    if not (re.fullmatch(r"\s*[0-9]{1,9}\s*", value.raw) and low <= int(value.raw) <= high):
        raise Fault(value.at, f"{name} is {brief(value.raw)}; {why}")
    return int(value.raw)


def _setup(root: Node, size: Size) -> list[tuple[int, ...]]:
    """Black, white and empty points."""
    seen: list[tuple[int, ...]] = []
    taken: set[int] = set()
    for name in SETUP:
        points: list[int] = []
        for value in root.get(name, ()):
            area = _rectangle(value, size)
            if taken.intersection(area):
                raise Fault(value.at, f"{name} {brief(value.raw)} sets up a point that is set up already")
            taken.update(area)
            points += area
        seen.append(tuple(points))
    return seen


def _rectangle(value: Value, size: Size) -> list[int]:
    """One point "ce", or all from the top left to the bottom right: "aa:ce"."""
    corners = [_point(name, value.at, size) for name in value.raw.split(":", 1)]
    if pass_move(size) in corners:
        raise Fault(value.at, f"{brief(value.raw)} names no point; a stone must stand on one")
    (top, left), (bottom, right) = (divmod(corner, size[1]) for corner in (corners[0], corners[-1]))
    if bottom < top or right < left:
        raise Fault(value.at, f"{brief(value.raw)} is no rectangle; that goes from its top left to its bottom right")
    return [row * size[1] + column for row in range(top, bottom + 1) for column in range(left, right + 1)]


def _point(name: str, at: int, size: Size) -> int:
    with _at(at):
        return from_point(name.strip(), size)


def _single(node: Node, name: str) -> Value | None:
    values = node.get(name, [])
    if len(values) > 1:
        raise Fault(values[1].at, f"{name} has {len(values)} values; it takes one")
    return values[0] if values else None


def _line(node: Node, name: str) -> str:
    value = _single(node, name)
    return "" if value is None else value.text.replace("\n", " ")


def _comment(node: Node) -> str:
    return "\n".join(value.text for value in node.get("C", ()))


def _others(node: Node, fields: Iterable[str]) -> Properties:
    return {name: tuple(value.text for value in values) for name, values in node.items() if name not in fields}


@contextmanager
def _at(at: int) -> Iterator[None]:
    """Give a place to what is wrong."""
    try:
        yield
    except BadInputError as error:
        raise Fault(at, str(error)) from None
