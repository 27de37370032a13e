"""The fast board against the slow one, and against tables that others published."""

import csv
import dataclasses
import random
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import go_oracle
from go_tables import PERFT, RULES
from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.envs.go import kernels, rules, sgf, table
from sparring.envs.go.board import BLACK, WHITE, Board, Start, handicap
from sparring.envs.go.gtp import Program
from sparring.envs.go.rules import Rules

KINDS = [
    ("positional", True),
    ("positional", False),
    ("situational", True),
    ("situational", False),
    ("simple", True),
    ("simple", False),
]


def slow(rules_, handicap=()):
    asked = go_oracle.Rules(rules_.height, rules_.width, rules_.ko, rules_.suicide, rules_.komi)
    return go_oracle.start(asked, handicap)


def compared(board, position):
    """Everything that both can tell."""
    assert np.flatnonzero(board.legal()).tolist() == go_oracle.legal(position), go_oracle.shown(position)
    assert tuple(board.stones().flatten().tolist()) == position.board
    assert board.to_move == position.to_move
    assert board.areas() == go_oracle.area(position)


def side_by_side(rules_, seed, plies, pass_every=12):
    """A random game on both boards, compared after every move."""
    dice = random.Random(seed)
    board, position = Board(rules_), slow(rules_)
    for _ in range(plies):
        compared(board, position)
        choices = go_oracle.legal(position)
        if not choices:
            assert board.over == "passes"
            return
        action = rules_.area if len(choices) == 1 or dice.randrange(pass_every) == 0 else dice.choice(choices[:-1])
        board.play(action)
        position = go_oracle.play(position, action)
    compared(board, position)


@pytest.mark.parametrize(("ko", "suicide"), KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (2, 3), (3, 3), (4, 4), (5, 5), (3, 7), (9, 9)])
def test_random_games_are_the_same_on_both_boards(size, ko, suicide):
    rules_ = Rules(*size, ko=ko, suicide=suicide, cap=10_000)
    for seed in range(6 if size[0] * size[1] < 20 else 2):
        side_by_side(rules_, seed, plies=200 if size[0] * size[1] < 20 else 120)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(KINDS), st.integers(0, 2**32), st.integers(3, 40))
def test_games_of_any_size_and_rules_are_the_same_on_both_boards(height, width, kind, seed, pass_every):
    ko, suicide = kind
    side_by_side(Rules(height, width, ko=ko, suicide=suicide, cap=10_000), seed, 80, pass_every)


def perft(rules_, depth):
    """Sequences of each length up to `depth`; a game that is over counts at its own length only."""
    t = table.lay(rules_, 1)
    counts = [0] * (depth + 1)

    def walk(u, i, k, ply):
        counts[ply] += 1
        if ply == depth:
            return
        legal = np.zeros(rules_.area + 1, np.uint8)
        kernels.mask(u, i, k, t.z, t.geometry, t.shape, legal)
        for action in np.flatnonzero(legal):
            rows = u.copy(), i.copy(), k.copy()
            kernels.move(*rows, t.z, t.geometry, t.shape, np.uint64(action))
            walk(*rows, ply + 1)

    walk(t.u[0], t.i[0], t.k[0], 0)
    return counts[1:]


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("size", PERFT, ids=str)
def test_perft_is_as_published(size, kind):
    """Every row to its end, or to where it would take more than a second."""
    ko, suicide = list(RULES.values())[kind]
    expected = [count for count in PERFT[size][kind] if count < 20_000]
    assert perft(Rules(*size, ko=ko, suicide=suicide, cap=1_000), len(expected)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("size", [size for size in PERFT if max(PERFT[size][0]) >= 20_000], ids=str)
def test_perft_is_as_published_to_the_end_of_the_table(size, kind):
    ko, suicide = list(RULES.values())[kind]
    assert perft(Rules(*size, ko=ko, suicide=suicide, cap=1_000), len(PERFT[size][kind])) == PERFT[size][kind]


def solve(rules_):
    """Black's score under best play by fail-hard alpha-beta that passes first, and the positions it visits."""
    nodes = 0

    def value(moves, alpha, beta):
        nonlocal nodes
        board = Board(rules_, moves)
        if board.over:
            return max(alpha, min(beta, board.margin() * (1 if board.to_move == BLACK else -1)))
        nodes += 1
        *points, pass_ = np.flatnonzero(board.legal()).tolist()
        for action in [pass_, *points]:
            alpha = max(alpha, -value([*moves, action], -beta, -alpha))
            if alpha >= beta:
                return beta
        return alpha

    return value([], -rules_.area, rules_.area), nodes


@pytest.mark.parametrize(
    ("size", "ko", "found", "nodes"),
    [
        ((1, 1), "positional", 0, 2),
        ((1, 2), "positional", 0, 18),
        ((1, 3), "positional", 3, 14),
        ((1, 4), "positional", 4, 164),
        ((1, 4), "situational", 4, 146),
        ((2, 2), "positional", 1, 1446),  # published by Tromp
        ((2, 2), "situational", 1, 1642),
    ],
)
def test_small_boards_have_their_known_values(size, ko, found, nodes):
    assert solve(Rules(*size, ko=ko, komi=0.0, cap=1_000)) == (found, nodes)


def test_there_are_907_games_on_one_by_three():
    """Either colour may play at any time, until nobody can (Tromp & Farnebäck)."""
    law, level, games = Rules(1, 3, "positional", suicide=True, komi=0.0, cap=1_000), [()], 0
    while level:
        games += len(level)
        level = [(*path, step) for path in level for step in placements(law, path)]
    assert games == 907


def placements(law, path):
    """(colour, point) that may follow: the other colour's turn is had by a pass, which positional superko ignores."""
    found = []
    for colour in (BLACK, WHITE):
        board = Board(law)
        for mover, point in (*path, (colour, None)):
            if board.to_move != mover:
                board.play(law.area)
            if point is not None:
                board.play(point)
        found += [(colour, int(point)) for point in np.flatnonzero(board.legal()[:-1])]
    return found


SHAPES = {  # a picture, and marks in the order in which they are played where they may be
    "ko": (". X O . . \n X O a O . \n . X O . . \n . b . . t", "abtba"),
    "snapback": ("X O a b X \n X O O O X \n X X X X X \n . . . . .", "aba"),
    "send two, return one": ("O a O b X . \n O O X X X . \n . . . c . t", "bactbact"),
    "three kos": ("X O a O X b X O X O c O \n . X O . . X O . . X O .", "bcabcabc"),
    "suicide of two": ("a X O . \n O O O . \n . . b .", "abab"),
    "suicide of one": ("a O . \n O O . \n . . b", "aba"),
    "seki": (". O X a O X . \n . O X b O X .", "abab"),
    "bent four": ("X X X a O X . \n b O O O O X . \n O O X X X X . \n X X X . . . .", "baba"),
    "corner capture": ("O a . \n X . b", "ab"),
    "edge capture": ("X O a \n . X b", "ab"),
    "three chains at once": ("X O a O \n . X O X \n . b X .", "ab"),
}


@pytest.mark.parametrize(("ko", "suicide"), KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("to_move", [BLACK, WHITE])
def test_drawn_positions_go_on_alike_on_both_boards(shape, ko, suicide, to_move):
    """The marks in turn, then a hundred random moves; what each may play is compared at every ply."""
    picture, order = SHAPES[shape]
    position = go_oracle.drawn(picture, to_move, ko=ko, suicide=suicide)
    law = Rules(position.rules.height, position.rules.width, ko, suicide, komi=0.0, cap=10_000)
    black, white = (
        tuple(point for point, stone in enumerate(position.board) if stone == colour) for colour in (BLACK, WHITE)
    )
    board, at, dice = Board(law, start=Start(black, white, to_move)), go_oracle.marks(picture), random.Random(shape)
    barred = 0
    for step in range(100):
        compared(board, position)
        choices = go_oracle.legal(position)
        if not choices:
            break
        action = at[order[step]] if step < len(order) else dice.choice(choices[:-1] or choices)
        if action not in choices:
            barred += 1
            action = choices[-1]
        board.play(action)
        position = go_oracle.play(position, action)
    if shape == "ko":
        assert barred > 0


@pytest.mark.slow
@pytest.mark.parametrize(("ko", "suicide"), KINDS)
def test_thousands_of_games_are_the_same_on_both_boards(ko, suicide):
    dice = random.Random(f"{ko} {suicide}")
    for seed in range(500):
        law = Rules(dice.randint(1, 9), dice.randint(1, 9), ko=ko, suicide=suicide, cap=10_000)
        side_by_side(law, seed, plies=min(4 * law.area, 160), pass_every=dice.randint(3, 60))


@numba.njit
def standing(height, width):
    """How many of all 3 ** (H · W) boards have no chain without a liberty; by flood fill, stone after stone."""
    area = height * width
    board, stack, seen = np.zeros(area, np.int64), np.zeros(area, np.int64), np.zeros(area, np.int64)
    count = 0
    for code in range(3**area):
        for point in range(area):
            board[point] = code % 3
            code //= 3
        stands = True
        seen[:] = 0
        for start in range(area):
            if board[start] == 0 or seen[start] or not stands:
                continue
            stack[0], high, free = start, 1, False
            seen[start] = 1
            while high:
                high -= 1
                row, column = divmod(stack[high], width)
                for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                    if 0 <= row + down < height and 0 <= column + right < width:
                        near = (row + down) * width + column + right
                        if board[near] == 0:
                            free = True
                        elif board[near] == board[start] and not seen[near]:
                            seen[near] = 1
                            stack[high] = near
                            high += 1
            stands = free
        count += stands
    return count


def reachable(rules_):
    """Every board that legal moves from the empty one lead to, whoever is to move; without passes."""
    found, front = {bytes(rules_.area)}, [Board(rules_)]
    while front:
        board = front.pop()
        for mover in (BLACK, WHITE):
            for action in range(rules_.area):
                after = Board(rules_)
                after.table.u[:], after.table.i[:], after.table.k[:] = board.table.u, board.table.i, board.table.k
                after.table.u[0, int(kernels.MOVER)] = mover
                if after.legal()[action]:
                    after.play(action)
                    if (seen := after.stones().tobytes()) not in found:
                        found.add(seen)
                        front.append(after)
    return len(found)


@pytest.mark.parametrize(("size", "count"), [((1, 4), 41), ((2, 2), 57), ((2, 3), 489)])
def test_moves_lead_to_every_board_that_stands(size, count):
    """Tromp's numbers of legal positions; with either player to move each is reached, captures and all."""
    assert reachable(Rules(*size, ko="simple", suicide=True, cap=10_000)) == count == standing(*size)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "count"), [((3, 3), 12_675), ((3, 4), 321_689), ((4, 4), 24_318_165)])
def test_as_many_boards_stand_as_tromp_counts(size, count):
    assert standing(*size) == count


# ---------------------------------------------------------------------------------------------- other programs


@pytest.mark.parametrize("law", [Rules(9, 9, "positional"), Rules(7, 7, "situational"), Rules(19, 19, "positional")])
def test_gnu_go_finds_the_same_moves_legal(gnu_go, law):
    """Game after game of random moves, at every ply: what may be played, and in the end the score."""
    dice, barred = np.random.default_rng(law.area), 0
    with Program(f"{gnu_go} --mode gtp --chinese-rules --forbid-suicide --{law.ko}-superko") as program:
        program.boardsize((law.height, law.width))
        for _ in range(max(3_000 // law.area, 3)):
            program.clear_board()
            board = Board(law)
            while not board.over:
                legal = np.flatnonzero(board.legal())[:-1]
                assert program.all_legal(board.turn) == set(legal.tolist()), board
                barred += int(board.planes()[4].sum())  # by repetition
                action = int(dice.choice(legal)) if len(legal) else law.area
                program.play(board.turn, action)
                board.play(action)
    assert barred > 0


def test_open_spiel_finds_the_same_moves_legal():
    """Simple ko without suicide, on nine lines, until a board recurs, which ends OpenSpiel's games and not ours."""
    pyspiel = pytest.importorskip("pyspiel", reason="OpenSpiel is not installed")
    game, dice, plies = pyspiel.load_game("go(board_size=9,komi=7.0)"), np.random.default_rng(0), 0
    rows = np.arange(81).reshape(9, 9)[::-1].flatten()  # its rows count from below
    scored = 0
    for number in range(60):
        board, state = Board(Rules(9, 9, "simple", komi=7.0, cap=1_000)), game.new_initial_state()
        while not board.over and not state.is_terminal():
            theirs = np.zeros(82, bool)
            theirs[[action if action == 81 else rows[action] for action in state.legal_actions()]] = True
            np.testing.assert_array_equal(board.legal(), theirs)
            action = int(dice.choice(np.flatnonzero(theirs))) if len(board.moves) < 20 + 2 * number else 81
            board.play(action)
            state.apply_action(action if action == 81 else int(rows[action]))
            plies += 1
        if board.over:
            assert state.returns()[0] == np.sign(board.margin())
            scored += 1
    assert (plies > 3_000, scored > 40) == (True, True)


RECORDS = Path(__file__).parents[2] / "shared" / "data" / "go"


def records():
    path = RECORDS / "games.csv"
    return list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.is_file() else []


@pytest.mark.skipif(not RECORDS.is_dir(), reason="the Go records are not in ../shared/data/go")
def test_games_of_servers_and_olympiads_end_as_recorded():
    """Read from their files, played on our board, counted by it."""
    for record in records():
        ko = "situational" if record["illegal_ssk"] == "0" else "positional"
        game = sgf.parse((RECORDS / record["path"]).read_text("latin-1"))
        plies = next(
            (game.plies[: end + 2] for end in range(len(game.plies) - 1) if {81} == passes(game.plies[end : end + 2])),
            game.plies,
        )  # some played on after two passes
        law = Rules(9, 9, ko, cap=1_000, komi=float(record["komi"]))
        board = Board.of(dataclasses.replace(game, plies=plies, komi=law.komi), law)
        assert board.areas()[0] - board.areas()[1] == int(record["area"]), record["path"]
        margin = board.margin()
        assert f"{'B' if margin > 0 else 'W' if margin else 'D'}+{abs(margin):g}" == record["area_result"]


def passes(plies):
    return {ply.move for ply in plies}


# ---------------------------------------------------------------------------------------------- one board


def test_a_board_is_drawn_with_its_coordinates_and_its_last_move():
    board = Board(Rules(3, 4), [1, 6, 12])
    assert str(board) == " 3  ·  X  ·  · \n 2  ·  ·  O  · \n 1  ·  ·  ·  · \n    A  B  C  D"
    board.play(0)
    assert str(board).splitlines()[0] == " 3 (O) X  ·  · "


def test_what_is_not_legal_is_refused_with_the_board():
    board = Board(Rules(2, 2, komi=0.5), [0])
    with pytest.raises(BadInputError, match=r"white may not play 0 \(A2\) as move 2 on 2 × 2 under positional ko"):
        board.play(0)
    with pytest.raises(BadInputError, match=r"white may not play 5 \(nowhere\)"):
        board.play(5)
    board.play(4)
    board.play(4)
    assert (board.over, board.margin()) == ("passes", 3.5)
    with pytest.raises(BadInputError, match=r"the game is over \(passes\) after 3 moves; there is no move 1"):
        board.play(1)


def test_a_game_that_lasts_too_long_is_cut_and_counted():
    board = Board(Rules(3, 3, cap=4), [0, 1, 2, 3])
    assert board.over == "cap"
    assert not board.legal().any()
    assert Rules(3, 3).plies == 18
    assert Rules(1, 1).plies == 16


def test_handicap_stones_stand_before_white_moves():
    rules_ = Rules(5, 5, komi=0.5)
    board, position = Board(rules_, start=handicap([6, 18])), slow(rules_, (6, 18))
    dice = random.Random(0)
    assert board.to_move == WHITE
    for _ in range(40):
        compared(board, position)
        action = dice.choice(go_oracle.legal(position)[:-1] or [25])
        board.play(action)
        position = go_oracle.play(position, action)
    with pytest.raises(BadInputError, match="not on different points"):
        Board(rules_, start=handicap([3, 3]))
    with pytest.raises(BadInputError, match="not on different points"):
        Board(rules_, start=Start((3,), (25,)))
    with pytest.raises(BadInputError, match="leave some of them no liberty"):
        Board(Rules(2, 2), start=handicap([0, 1, 2, 3]))
    with pytest.raises(BadInputError, match="leave some of them no liberty"):
        Board(Rules(1, 2), start=Start((0,), (1,)))


def test_rules_have_names():
    assert rules.chosen("chinese", (7, 9)) == Rules(7, 9, "positional", False, 7.5)
    assert rules.chosen("aga", 5, komi=0).komi == 0
    with pytest.raises(UnknownNameError, match="no rules is called 'japanese'"):
        rules.chosen("japanese")
    assert rules.chosen("cgos", np.int64(5)) == Rules(5, 5)
    with pytest.raises(UnknownNameError, match="no ko rule is called 'superko'"):
        Rules(9, 9, "superko")
    with pytest.raises(BadInputError, match=r"width is 9\.5; it must be a whole number"):
        Rules(9, 9.5)
    with pytest.raises(BadInputError, match="height is 20; it must be between 1 and 19"):
        Rules(20, 19)
    with pytest.raises(BadInputError, match="komi is nan"):
        dataclasses.replace(Rules(), komi=float("nan"))


@pytest.mark.parametrize("suicide", [True, False])
@pytest.mark.parametrize("size", [(3, 3), (4, 4), (2, 6), (5, 5)])
def test_what_is_alive_by_benson_is_so_on_both_boards(size, suicide):
    rules_ = Rules(*size, suicide=suicide, cap=10_000)
    found = 0
    for seed in range(25):
        dice = random.Random(seed)
        board, position = Board(rules_), slow(rules_)
        while not board.over and len(board.moves) < 80:
            for colour in (BLACK, WHITE):
                stones, eyes = go_oracle.benson(position, colour)
                expected = [1 if p in stones else 2 if p in eyes else 0 for p in range(rules_.area)]
                assert board.pass_alive(colour).flatten().tolist() == expected, go_oracle.shown(position)
                found += bool(stones)
            choices = go_oracle.legal(position)
            action = choices[-1] if len(choices) == 1 else dice.choice(choices[:-1])
            board.play(action)
            position = go_oracle.play(position, action)
    assert found > 10


# ---------------------------------------------------------------------------------------------- what is seen


@pytest.mark.parametrize(("ko", "suicide"), KINDS)
def test_planes_are_seen_from_the_side_to_move(ko, suicide):
    rules_ = Rules(5, 5, ko, suicide, komi=3.5)
    dice = random.Random(3)
    board, position = Board(rules_), slow(rules_)
    for _ in range(60):
        seen, asked = board.planes(), position.rules
        mine, theirs = position.to_move, go_oracle.opponent(position.to_move)
        stones = np.array(position.board).reshape(5, 5)
        np.testing.assert_array_equal(seen[0], stones == mine)
        np.testing.assert_array_equal(seen[1], stones == theirs)
        liberties = np.zeros(25, int)
        both = [go_oracle.chains(asked, position.board, {colour}) for colour in (BLACK, WHITE)]
        for chain in [*both[0], *both[1]]:
            liberties[list(chain)] = len(go_oracle.liberties(asked, position.board, chain))
        for number in (1, 2, 3):
            np.testing.assert_array_equal(seen[4 + number].flatten(), liberties == number)
        for plane, ago in ((2, 1), (3, 2)):
            expected = np.zeros(25)
            if len(board.moves) >= ago and board.moves[-ago] < 25:
                expected[board.moves[-ago]] = 1
            np.testing.assert_array_equal(seen[plane].flatten(), expected)
        barred = [p for p in range(25) if go_oracle.why_illegal(position, p) == f"{ko} ko"]
        assert np.flatnonzero(seen[4]).tolist() == barred
        assert (seen[8] == (mine == BLACK)).all()
        assert (seen[9] == 128 + 7 * (-1 if mine == BLACK else 1)).all()
        other = board.planes(mine=False)
        np.testing.assert_array_equal(other[[0, 1]], seen[[1, 0]])
        assert (other[9] == 256 - seen[9].astype(int)).all()
        choices = go_oracle.legal(position)
        action = choices[-1] if len(choices) == 1 or dice.randrange(15) == 0 else dice.choice(choices[:-1])
        board.play(action)
        position = go_oracle.play(position, action)
        if board.over:
            board, position = Board(rules_), slow(rules_)
