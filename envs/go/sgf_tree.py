"""The grammar of SGF: text as a tree of nodes, nothing of which is about Go.

    Collection = GameTree { GameTree }          Property  = PropIdent PropValue { PropValue }
    GameTree   = "(" Sequence { GameTree } ")"  PropIdent = UcLetter { UcLetter }
    Sequence   = Node { Node }                  PropValue = "[" CValueType "]"
    Node       = ";" { Property }

(https://www.red-bean.com/sgf/sgf4.html, EBNF definition.) Only one path through the tree is kept, the main line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from reprlib import repr as brief
from typing import NamedTuple

from sparring.envs.errors import BadInputError

TOKEN = re.compile(  # possessive, so that no text takes more than linear time
    r"\s*+(?:(?P<name>[A-Za-z]++)|\[(?P<value>[^\\\]]*+(?:\\.[^\\\]]*+)*+)\]|(?P<mark>[;()]))", re.DOTALL
)
FOLLOWERS = {  # token → what may come after it; "" is the beginning
    "": ("(",),
    "(": (";",),
    ";": ("name", ";", "(", ")"),
    "name": ("value",),
    "value": ("value", "name", ";", "(", ")"),
    ")": ("(", ")"),
}
DEPTH = {"(": 1, ")": -1}
ESCAPE_OR_SPACE = re.compile(r"\\(\r\n|\n\r|.)|(\r\n|\n\r|[\r\t\v\f])", re.DOTALL)
BLANKS = {"\t", "\v", "\f"}  # what is a blank in text
CHARSETS = ("utf-8", "ascii", "iso8859", "cp125", "cp932", "cp949", "cp950", "gb", "big5", "shift_jis", "euc_", "koi8")

Properties = Mapping[str, Sequence[str]]  # identifier → values


class Value(NamedTuple):
    """What stands between two brackets."""

    raw: str
    """with its escapes"""
    at: int
    """offset of the opening bracket in the text"""

    @property
    def text(self) -> str:
        """Without escapes; white space is "\\n" or a blank, and an escaped line end is nothing."""
        return ESCAPE_OR_SPACE.sub(_meant, self.raw)


Node = dict[str, list[Value]]  # identifier → values


class Fault(Exception):
    """What is wrong with a text, and at which offset of it."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(what)
        self.at = at

    def placed(self, text: str) -> BadInputError:
        """The same for a reader of the text."""
        line, column = text.count("\n", 0, self.at) + 1, self.at - text.rfind("\n", 0, self.at)
        return BadInputError(f"line {line}, column {column}: {self}")


def main_line(text: str) -> list[Node]:
    """The nodes of the first game, at every fork down the first branch: all that stand before the first ")".

    Raises:
        Fault: there is no game, or it is malformed, be it in another branch.
    """
    nodes: list[Node] = []
    values: list[Value] = []  # of the property that is being read
    ended = False
    for kind, what, at in tokens(text):
        ended = ended or kind == ")"
        if ended:
            continue
        if kind == ";":
            nodes.append({})
        elif kind == "name":
            values = nodes[-1].setdefault(_identifier(what, at), [])
        elif kind == "value":
            values.append(Value(what, at))
    return nodes


def tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, what, offset) of the tokens of the first game, each a possible follower of the one before.

    Raises:
        Fault: there is no game, or a token cannot stand where it does.
    """
    start = re.search(r"\(\s*+;", text)
    if start is None:
        raise Fault(0, "there is no game here; one begins with '(;'")
    at, depth, before = start.start(), 0, ""
    while depth or not before:
        token = TOKEN.match(text, at)
        if token is None:
            raise _unreadable(text, at)
        group = str(token.lastgroup)
        kind, here = token["mark"] or group, token.start(group) - (group == "value")
        if kind not in FOLLOWERS[before]:
            expected = " or ".join(map(_said, FOLLOWERS[before]))
            raise Fault(here, f"{_said(kind)} cannot stand after {_said(before)}; there it takes {expected}")
        yield kind, token[group], here
        at, depth, before = token.end(), depth + DEPTH.get(kind, 0), kind


def join_moveless(nodes: Sequence[Node], moves: Iterable[str]) -> list[Node]:
    """A root without a move, then nodes with moves; what a node without one holds goes to the node before it."""
    root, *others = nodes
    moves = set(moves)
    first = {name: values for name, values in root.items() if name in moves}
    joined: list[Node] = [{name: values for name, values in root.items() if name not in moves}]
    for node in [first, *others]:
        if node.keys() & moves:
            joined.append(node)
        else:
            for name, values in node.items():
                joined[-1].setdefault(name, []).extend(values)
    return joined


def write(nodes: Iterable[Properties]) -> str:
    """A game of one line, each of its nodes on a line of the text; a property without values is left out."""
    return "(" + "\n".join(map(_written, nodes)) + ")\n"


def decode(content: bytes) -> str:
    """The text of a file in the charset that it names; one that names none is in UTF-8, or in Latin-1 if it cannot be.

    Raises:
        BadInputError: it is not in the charset that it names, or that is unknown.
    """
    named = re.search(rb"(?<![A-Za-z])CA\s*\[\s*([\w.:-]{1,40})\s*\]", content)
    if named is None:
        return _decode_unnamed(content)
    name = named[1].decode()
    try:
        charset = codecs.lookup(name).name
    except LookupError:
        charset = ""
    if not charset.startswith(CHARSETS):  # others are no charsets, or do not contain ASCII
        raise BadInputError(f"the charset {name!r} is unknown; save the file as UTF-8")
    try:
        return content.decode(charset)
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is not in {name}, the charset that the file names"
        raise BadInputError(f"{what}; save it as UTF-8") from None


def _decode_unnamed(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # the default of FF[4]; it decodes anything


def _unreadable(text: str, at: int) -> Fault:
    """Why there is no token."""
    here = len(text) - len(text[at:].lstrip())
    if here == len(text):
        return Fault(here, "the text ends within a game; it was cut off, or a ')' is missing")
    if text[here] == "[":
        return Fault(here, "the value that begins here has no end; a ']' is missing")
    return Fault(here, f"{text[here]!r} cannot stand outside of brackets; a ']' within them is written '\\]'")


def _said(kind: str) -> str:
    return {"name": "a property's name", "value": "a value"}.get(kind, repr(kind))


def _identifier(name: str, at: int) -> str:
    """Without the small letters that older versions allow: AddBlack is AB."""
    capitals = "".join(letter for letter in name if letter.isupper())
    if not capitals:
        raise Fault(at, f"{brief(name)} cannot name a property; that takes capital letters")
    return capitals


def _meant(found: re.Match[str]) -> str:
    """What an escape or white space stands for."""
    escaped, space = found.groups()
    if escaped is None:
        return " " if space in BLANKS else "\n"
    if escaped[0] in "\r\n":
        return ""
    return " " if escaped in BLANKS else str(escaped)


def _written(properties: Properties) -> str:
    return ";" + "".join(name + "".join(map(_bracketed, values)) for name, values in properties.items() if values)


def _bracketed(text: str) -> str:
    return "[" + text.replace("\\", "\\\\").replace("]", "\\]") + "]"
