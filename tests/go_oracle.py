"""The rules of Go written to be read, not to be fast: what a fast board is held to.

Positions are immutable and everything is found anew by flood fill. Points count row by row from the top left corner,
`rules.pass_` (= height · width) is the pass. The rules are those of John Tromp and Bill Taylor
(tromp.github.io/go.html), with what varies between rule sets left open:

* A placement takes the opponent's chains that have no liberty left, then the mover's own (suicide, if it is allowed).
* Ko, of placements only; passing is always legal, and two passes in a row end the game:
  simple        the stone just taken by a lone stone that has one liberty may not be retaken at once;
  positional    no board may recur, whoever is to move;
  situational   no board may recur with the same player to move; a pass makes a situation too.
* Hence suicide of a single stone, which leaves the board as it was and is no pass, is never legal under positional
  superko, legal under situational superko if its situation is new, and always legal under simple ko.
* A player's area is the stones and the empty regions that touch no other colour. Nothing is removed as dead.
* With handicap stones White plays first; history begins with the stones in place.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

EMPTY, BLACK, WHITE = 0, 1, 2
SIGNS = ".XO"

Board = tuple[int, ...]  # [height · width] of EMPTY, BLACK, WHITE
Points = frozenset[int]


@dataclass(frozen=True)
class Rules:
    height: int
    width: int
    ko: Literal["simple", "positional", "situational"]
    suicide: bool
    komi: float = 0.0

    def __post_init__(self):
        if self.ko not in ("simple", "positional", "situational"):
            raise ValueError(f"{self.ko!r} is no ko rule: take simple, positional or situational")

    @property
    def pass_(self) -> int:
        return self.height * self.width


@dataclass(frozen=True)
class Position:
    rules: Rules
    board: Board
    to_move: int
    history: frozenset[tuple[Board, int]]  # every (board, to_move) that has stood, this one included
    ko: int | None = None  # where simple ko forbids to retake; found under every rule, obeyed under simple ko alone
    passes: int = 0  # in a row, just now
    moves: int = 0  # passes included


def start(rules: Rules, handicap=()) -> Position:
    board = tuple(BLACK if point in handicap else EMPTY for point in range(rules.pass_))
    return set_up(rules, board, WHITE if handicap else BLACK)


def set_up(rules: Rules, board: Board, to_move: int) -> Position:
    """A game that begins with `board`."""
    if len(board) != rules.pass_ or not stands(rules, board):
        raise ValueError(f"no board of {rules.height} × {rules.width} on which every chain has a liberty: {board}")
    return Position(rules, board, to_move, frozenset({(board, to_move)}))


# What may be played, and what comes of it.


def legal(position: Position) -> list[int]:
    """All legal actions in rising order, the pass last; none when the game is over."""
    return [action for action in range(position.rules.pass_ + 1) if why_illegal(position, action) is None]


def play(position: Position, action: int) -> Position:
    reason = why_illegal(position, action)
    if reason is not None:
        raise ValueError(f"{action} is illegal: {reason}\n{shown(position)}")
    rules, board, mover = position.rules, position.board, position.to_move
    passed = action == rules.pass_
    after = board if passed else placed(rules, board, action, mover)
    return Position(
        rules,
        after,
        opponent(mover),
        position.history | {(after, opponent(mover))},
        None if passed else ko_point(rules, board, after, action),
        position.passes + 1 if passed else 0,
        position.moves + 1,
    )


def why_illegal(position: Position, action: int) -> str | None:
    rules, board = position.rules, position.board
    if over(position):
        return "the game is over"
    if action == rules.pass_:
        return None
    if action not in range(rules.pass_):
        return "it is not on the board"
    if board[action] != EMPTY:
        return "a stone is there"
    after = placed(rules, board, action, position.to_move)
    if after[action] == EMPTY and not rules.suicide:
        return "it is suicide"
    if repeats(position, action, after):
        return f"{rules.ko} ko"
    return None


def repeats(position: Position, action: int, after: Board) -> bool:
    """Whether the ko rule forbids `action`, which would make the board `after`."""
    match position.rules.ko:
        case "simple":
            return action == position.ko
        case "positional":
            return (after, BLACK) in position.history or (after, WHITE) in position.history
        case "situational":
            return (after, opponent(position.to_move)) in position.history


def placed(rules: Rules, board: Board, point: int, colour: int) -> Board:
    """The board after a stone of `colour` at `point`, whether that is legal or not; at a suicide `point` is EMPTY."""
    board = replaced(board, {point}, colour)
    for beside in neighbours(rules, point):
        if board[beside] == opponent(colour):
            board = without_dead(rules, board, beside)
    return without_dead(rules, board, point)


def without_dead(rules: Rules, board: Board, point: int) -> Board:
    """The board without the chain at `point` if that has no liberty."""
    stones = chain(rules, board, point)
    return board if liberties(rules, board, stones) else replaced(board, stones, EMPTY)


def ko_point(rules: Rules, before: Board, after: Board, point: int) -> int | None:
    mover = after[point]
    taken = {p for p in range(rules.pass_) if before[p] == opponent(mover) and after[p] == EMPTY}
    lone = mover != EMPTY and chain(rules, after, point) == {point}
    return taken.pop() if lone and len(taken) == 1 and liberties(rules, after, {point}) == taken else None


def over(position: Position) -> bool:
    return position.passes >= 2


# What the board is worth.


def area(position: Position) -> tuple[int, int]:
    """Points of Black, points of White."""
    rules, board = position.rules, position.board
    points = {colour: board.count(colour) for colour in (BLACK, WHITE)}
    for region in chains(rules, board, {EMPTY}):
        touched = {board[point] for point in border(rules, region)}
        if len(touched) == 1:
            points[touched.pop()] += len(region)
    return points[BLACK], points[WHITE]


def score(position: Position) -> float:
    """Black's points minus White's minus komi."""
    black, white = area(position)
    return black - white - position.rules.komi


def winner(position: Position) -> int:
    """BLACK, WHITE, or EMPTY for a draw; as if the game ended here."""
    points = score(position)
    return BLACK if points > 0 else WHITE if points < 0 else EMPTY


# What can never be taken.


class PassAlive(NamedTuple):
    stones: Points
    regions: Points  # the vital ones: empty, or the opponent's stones


def benson(position: Position, colour: int) -> PassAlive:
    """Stones that stay even if their owner passes for ever: Benson, Life in the Game of Go, 1976.

    A region is a maximal connected set of points without stones of `colour`. It is vital to a chain if all its empty
    points are liberties of that chain; where suicide is allowed, which Benson's rules do not know, all its points must
    neighbour the chain. Chains with fewer than two vital regions go, then regions that touch a chain that went, until
    nothing goes.
    """
    rules, board = position.rules, position.board
    alive = chains(rules, board, {colour})
    regions = chains(rules, board, {EMPTY, opponent(colour)})
    while True:
        stay = [stones for stones in alive if sum(vital(rules, board, region, stones) for region in regions) >= 2]
        stones = frozenset().union(*stay)
        enclosed = [region for region in regions if border(rules, region) <= stones]
        if (stay, enclosed) == (alive, regions):
            eyes = [region for region in regions if any(vital(rules, board, region, stones) for stones in alive)]
            return PassAlive(stones, frozenset().union(*eyes))
        alive, regions = stay, enclosed


def vital(rules: Rules, board: Board, region: Points, stones: Points) -> bool:
    emptied = {point for point in region if board[point] == EMPTY or rules.suicide}
    return emptied <= border(rules, stones)


# Geometry.


def opponent(colour: int) -> int:
    return {BLACK: WHITE, WHITE: BLACK, EMPTY: EMPTY}[colour]


def neighbours(rules: Rules, point: int) -> list[int]:
    row, column = divmod(point, rules.width)
    beside = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return [r * rules.width + c for r, c in beside if 0 <= r < rules.height and 0 <= c < rules.width]


def connected(rules: Rules, board: Board, point: int, colours) -> Points:
    """The points that a walk from `point` over `colours` reaches."""
    reached, frontier = {point}, [point]
    while frontier:
        for beside in neighbours(rules, frontier.pop()):
            if board[beside] in colours and beside not in reached:
                reached.add(beside)
                frontier.append(beside)
    return frozenset(reached)


def chain(rules: Rules, board: Board, point: int) -> Points:
    return connected(rules, board, point, {board[point]})


def chains(rules: Rules, board: Board, colours) -> list[Points]:
    """All maximal connected sets of points of `colours`."""
    of = [connected(rules, board, point, colours) for point in range(rules.pass_) if board[point] in colours]
    return list(dict.fromkeys(of))


def border(rules: Rules, points) -> set[int]:
    return {beside for point in points for beside in neighbours(rules, point)} - set(points)


def liberties(rules: Rules, board: Board, stones) -> set[int]:
    return {point for point in border(rules, stones) if board[point] == EMPTY}


def stands(rules: Rules, board: Board) -> bool:
    """Whether every chain has a liberty."""
    return all(
        liberties(rules, board, stones) for colour in (BLACK, WHITE) for stones in chains(rules, board, {colour})
    )


def replaced(board: Board, points, colour: int) -> Board:
    return tuple(colour if point in points else stone for point, stone in enumerate(board))


# Pictures.


def drawn(text: str, to_move: int = BLACK, *, ko="positional", suicide=False, komi=0.0) -> Position:
    """A game that begins with the board in the picture: X is Black, O White, any other sign an empty point."""
    rows = [line.split() for line in text.split("\n") if line.strip()]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"the rows of this board are not equally long:\n{text}")
    board = tuple(max(SIGNS.find(sign), EMPTY) for row in rows for sign in row)
    return set_up(Rules(len(rows), len(rows[0]), ko, suicide, komi), board, to_move)


def marks(text: str) -> dict[str, int]:
    """The points that a picture names: whatever is neither stone nor dot."""
    return {sign: point for point, sign in enumerate(text.split()) if sign not in SIGNS}


def shown(position: Position) -> str:
    """The board as `drawn` reads it."""
    width = position.rules.width
    signs = [SIGNS[stone] for stone in position.board]
    return "\n".join(" ".join(signs[row : row + width]) for row in range(0, len(signs), width))


def seen_by(position: Position, colour: int) -> Position:
    """The same position with `colour` to move: what it could play if it were its turn."""
    return replace(position, to_move=colour)
