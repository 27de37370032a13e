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
from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.envs.go import kernels, rules, sgf, table
from sparring.envs.go.board import BLACK, WHITE, Board
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
@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from(KINDS), st.integers(0, 2**32), st.integers(3, 40))
def test_games_of_any_size_and_rules_are_the_same_on_both_boards(height, width, kind, seed, pass_every):
    ko, suicide = kind
    side_by_side(Rules(height, width, ko=ko, suicide=suicide, cap=10_000), seed, 80, pass_every)


PERFT = {  # go.md's tables, depths 1, 2, …
    ((1, 2), 0): "3 7 8 6 2 0",
    ((1, 3), 0): "4 11 22 41 58 78 98 110 116",
    ((1, 3), 2): "4 13 34 73 126 220 370 638 974",
    ((1, 3), 3): "4 11 22 41 60 84 106 118 124",
    ((1, 3), 5): "4 11 22 41 66 106 176 288 460",
    ((1, 4), 0): "5 19 58 142 288 592 1086 2018",
    ((1, 4), 1): "5 19 54 120 224 418 714 1300",
    ((1, 4), 2): "5 21 72 212 562 1340 2934",
    ((1, 4), 3): "5 19 54 120 224 418 724 1342",
    ((1, 4), 5): "5 19 54 120 226 428 800 1616",
    ((2, 2), 0): "5 21 68 156 316 604 1088 2184 4184",
    ((2, 2), 2): "5 21 68 180 428 860 1704 3936",
    ((2, 2), 3): "5 21 68 156 316 604 1112 2312 4544",
    ((2, 2), 5): "5 21 68 156 316 604 1168 2592 5768",
    ((2, 3), 0): "7 43 222 942 3378 9834",
    ((2, 3), 1): "7 43 222 934 3242 8666",
    ((2, 3), 2): "7 43 222 974 3626 11782",
    ((2, 4), 1): "9 73 520 3208 17160",
    ((3, 3), 0): "10 91 738 5281",
    ((3, 3), 2): "10 91 738 5345",
    ((3, 4), 2): "13 157 1740 17708",
    ((4, 4), 2): "17 273 4112",
    ((5, 5), 0): "26 651 15650",
}


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


@pytest.mark.parametrize(("size", "kind"), PERFT, ids=str)
def test_perft_is_as_published(size, kind):
    ko, suicide = KINDS[kind]
    expected = [int(number) for number in PERFT[size, kind].split()]
    assert perft(Rules(*size, ko=ko, suicide=suicide, cap=1_000), len(expected)) == expected


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
                barred += int((board.stones().flatten()[board.legal()[:-1] == 0] == 0).sum())
                action = int(dice.choice(legal)) if len(legal) else law.area
                program.play(board.turn, action)
                board.play(action)
    assert barred > 20


def test_open_spiel_finds_the_same_moves_legal():
    """Simple ko without suicide, on nine lines, until a board recurs, which ends OpenSpiel's games and not ours."""
    pyspiel = pytest.importorskip("pyspiel", reason="OpenSpiel is not installed")
    game, dice, plies = pyspiel.load_game("go(board_size=9,komi=7.0)"), np.random.default_rng(0), 0
    rows = np.arange(81).reshape(9, 9)[::-1].flatten()  # its rows count from below
    for _ in range(60):
        board, state = Board(Rules(9, 9, "simple", komi=7.0, cap=160)), game.new_initial_state()
        while not board.over and not state.is_terminal():
            theirs = np.zeros(82, bool)
            theirs[[action if action == 81 else rows[action] for action in state.legal_actions()]] = True
            np.testing.assert_array_equal(board.legal(), theirs)
            action = int(dice.choice(np.flatnonzero(theirs)))
            board.play(action)
            state.apply_action(action if action == 81 else int(rows[action]))
            plies += 1
        if board.over == "passes":
            assert state.returns()[0] == np.sign(board.margin())
    assert plies > 5_000


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
    board, position = Board(rules_, handicap=[6, 18]), slow(rules_, (6, 18))
    dice = random.Random(0)
    assert board.to_move == WHITE
    for _ in range(40):
        compared(board, position)
        action = dice.choice(go_oracle.legal(position)[:-1] or [25])
        board.play(action)
        position = go_oracle.play(position, action)
    with pytest.raises(BadInputError, match="not different points"):
        Board(rules_, handicap=[3, 3])
    with pytest.raises(BadInputError, match="leave some of them no liberty"):
        Board(Rules(2, 2), handicap=[0, 1, 2, 3])


def test_rules_have_names():
    assert rules.chosen("chinese", (7, 9)) == Rules(7, 9, "positional", False, 7.5)
    assert rules.chosen("aga", 5, komi=0).komi == 0
    with pytest.raises(UnknownNameError, match="no rules is called 'japanese'"):
        rules.chosen("japanese")
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


def test_planes_are_seen_from_the_side_to_move():
    rules_ = Rules(5, 5, komi=3.5)
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
        barred = [p for p in range(25) if go_oracle.why_illegal(position, p) == "positional ko"]
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
