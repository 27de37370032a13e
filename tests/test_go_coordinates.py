"""The names of moves, against names written by hand and against sgfmill's."""

import itertools

import numpy as np
import pytest
from sgfmill import common, sgf_properties

from sparring.envs.errors import BadInputError
from sparring.envs.go.coordinates import check_move, check_size, from_point, from_vertex, pass_move, point, vertex

SIDES = range(1, 20)

NAMED = [  # (height, width), move, GTP, SGF
    ((9, 9), 0, "A9", "aa"),
    ((9, 9), 8, "J9", "ia"),
    ((9, 9), 20, "C7", "cc"),
    ((9, 9), 40, "E5", "ee"),
    ((9, 9), 72, "A1", "ai"),
    ((9, 9), 80, "J1", "ii"),
    ((9, 9), 81, "pass", ""),
    ((19, 19), 288, "D4", "dp"),
    ((19, 19), 72, "Q16", "pd"),
    ((19, 19), 0, "A19", "aa"),
    ((19, 19), 360, "T1", "ss"),
    ((19, 19), 361, "pass", ""),
    ((7, 5), 0, "A7", "aa"),
    ((7, 5), 4, "E7", "ea"),
    ((7, 5), 5, "A6", "ab"),
    ((7, 5), 34, "E1", "eg"),
    ((7, 5), 35, "pass", ""),
    ((1, 19), 7, "H1", "ha"),
    ((1, 19), 8, "J1", "ia"),
    ((19, 1), 1, "A18", "ab"),
    ((1, 1), 0, "A1", "aa"),
    ((1, 1), 1, "pass", ""),
]


@pytest.mark.parametrize(("size", "move", "gtp", "sgf"), NAMED)
def test_a_move_has_its_two_names(size, move, gtp, sgf):
    assert (vertex(move, size), point(move, size)) == (gtp, sgf)
    assert (from_vertex(gtp, size), from_point(sgf, size)) == (move, move)


@pytest.mark.parametrize("name", ["D4", "d4"])
def test_a_vertex_is_read_in_either_case(name):
    assert from_vertex(name, (9, 9)) == 5 * 9 + 3


@pytest.mark.parametrize("name", ["pass", "PASS", "Pass"])
def test_a_pass_is_read_in_either_case(name):
    assert from_vertex(name, (7, 9)) == 63


@pytest.mark.parametrize("size", [(1, 1), (9, 9), (7, 5), (19, 19)])
def test_tt_is_a_pass_on_every_board_that_has_no_twentieth_line(size):
    assert from_point("tt", size) == pass_move(size) == size[0] * size[1]


def test_every_move_of_every_board_comes_back_from_either_name():
    for size in itertools.product(SIDES, SIDES):
        moves = range(pass_move(size) + 1)
        assert [from_vertex(vertex(move, size), size) for move in moves] == list(moves)
        assert [from_point(point(move, size), size) for move in moves] == list(moves)


@pytest.mark.parametrize("side", SIDES)
def test_sgfmill_gives_the_same_names(side):
    for move in range(side * side):
        row, column = divmod(move, side)
        from_below = (side - 1 - row, column)
        assert vertex(move, (side, side)) == common.format_vertex(from_below)
        assert point(move, (side, side)).encode() == sgf_properties.serialise_go_point(from_below, side)


def test_moves_of_numpy_are_moves():
    assert (vertex(np.int64(40), (9, 9)), point(np.int32(40), (9, 9))) == ("E5", "ee")


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("I5", (9, 9), "'I5' is not on the board of 9 rows and 9 columns: a vertex is a column from A to J "),
        ("i5", (9, 9), r"\(there is no I\)"),
        ("K5", (9, 9), "a column from A to J"),
        ("A10", (9, 9), "a row from 1 to 9"),
        ("F1", (7, 5), "'F1' is not on the board of 7 rows and 5 columns: a vertex is a column from A to E"),
        ("A8", (7, 5), "a row from 1 to 7"),
        ("B1", (1, 1), "the board of 1 row and 1 column:"),
        ("A0", (9, 9), "'A0' is no vertex"),
        ("A05", (9, 9), "'A05' is no vertex"),
        ("resign", (9, 9), "'resign' is no vertex: a vertex is a column from A to J .* from 1 to 9, or is 'pass'"),
        ("", (9, 9), "'' is no vertex"),
        ("D4 ", (9, 9), "'D4 ' is no vertex"),
        ("D4\n", (9, 9), "is no vertex"),
        ("ſ5", (19, 19), "is no vertex"),  # its capital is S
        ("A\u0661", (9, 9), "is no vertex"),  # a digit, in Arabic
    ],
)
def test_what_is_no_vertex_is_refused(name, size, why):
    with pytest.raises(BadInputError, match=why):
        from_vertex(name, size)


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("ja", (9, 9), "'ja' is not on the board of 9 rows and 9 columns: a point is a column from a to i and a row"),
        ("aj", (9, 9), "a row from a to i, counted from the top left"),
        ("fa", (7, 5), "a column from a to e and a row from a to g"),
        ("ah", (7, 5), "'ah' is not on the board of 7 rows and 5 columns"),
        ("tt", (20, 20), "there is no board of 20 rows and 20 columns"),
        ("AA", (9, 9), "'AA' is no point"),
        ("a", (9, 9), "'a' is no point: .*; a pass is empty"),
        ("aaa", (9, 9), "'aaa' is no point"),
        ("D4", (9, 9), "'D4' is no point"),
        ("a" * 10**6, (9, 9), "'aaaaaaaaaaaa...aaaaaaaaaaaaa' is no point"),
    ],
)
def test_what_is_no_point_is_refused(name, size, why):
    with pytest.raises(BadInputError, match=why):
        from_point(name, size)


@pytest.mark.parametrize("names", [vertex, point])
@pytest.mark.parametrize(("move", "size"), [(-1, (9, 9)), (82, (9, 9)), (36, (7, 5))])
def test_a_move_that_the_board_does_not_have_has_no_name(names, move, size):
    points = size[0] * size[1]
    what = f"{move} is no move on the board of .*: points are 0 to {points - 1}, a pass is {points}"
    with pytest.raises(BadInputError, match=what):
        names(move, size)


@pytest.mark.parametrize("size", [(0, 0), (0, 9), (9, 0), (-9, -9), (20, 19), (19, 20), (52, 52)])
def test_boards_that_do_not_exist_are_refused(size):
    height, width = size
    what = f"there is no board of {height} rows and {width} columns; both run from 1 to 19"
    for ask in (
        lambda: check_size(size),
        lambda: check_move(0, size),
        lambda: from_vertex("A1", size),
        lambda: from_point("aa", size),
    ):
        with pytest.raises(BadInputError, match=what):
            ask()
