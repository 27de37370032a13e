"""The slow Go of go_oracle.py, held to published counts, solved boards, drawn situations and three other programs.

Counts of positions, games and nodes: John Tromp, "Counting legal positions in Go", "The number of Go games" (with
M. Farnebäck) and tromp.github.io/go; what is not published there was counted twice, by independent programs.
"""

import csv
import itertools
import json
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import go_oracle as go
from go_oracle import BLACK, EMPTY, WHITE, Rules, drawn, legal, marks, play, shown
from go_tables import PERFT, RULES

SHARED = Path(__file__).parents[2] / "shared" / "data" / "go"

needs_games = pytest.mark.skipif(not SHARED.is_dir(), reason="the Go records are not in ../shared/data/go")

KO = ["simple", "positional", "situational"]


def rules(size, name, komi=0.0):
    return Rules(*size, *RULES[name], komi)


def played(position, *actions):
    for action in actions:
        position = play(position, action)
    return position


def passed(position):
    return play(position, position.rules.pass_)


def same_board(position, picture):
    return position.board == drawn(picture).board


def refusal(position, action):
    """The reason why `action` is illegal; the oracle's three ways to say so agree."""
    assert action not in legal(position)
    reason = go.why_illegal(position, action)
    with pytest.raises(ValueError, match=re.escape(f"{action} is illegal: {reason}")):
        play(position, action)
    return reason


# Counting positions.

LEGAL = {
    **{(1, n + 1): count for n, count in enumerate([1, 5, 15, 41, 113, 313, 867])},
    **{(2, n + 2): count for n, count in enumerate([57, 489, 4125])},
    (3, 2): 489,
    (3, 3): 12675,
}
MANY_LEGAL = {(2, 5): 35117, (2, 6): 299681, (3, 4): 321689}
LEGAL_5, LEGAL_9 = 414295148741, 103919148791293834318983090438798793469


@pytest.mark.parametrize(
    ("size", "count"),
    [*LEGAL.items(), *(pytest.param(*case, marks=pytest.mark.slow) for case in MANY_LEGAL.items())],
    ids=str,
)
def test_as_many_boards_stand_as_tromp_counts(size, count):
    boards = itertools.product((EMPTY, BLACK, WHITE), repeat=size[0] * size[1])
    assert sum(go.stands(rules(size, "PSK"), board) for board in boards) == count


@pytest.mark.parametrize(("size", "count"), [(5, LEGAL_5), (9, LEGAL_9)])
def test_of_random_boards_the_published_share_stands(size, count):
    dice, tries, share = random.Random(0), 1500, count / 3 ** (size * size)
    boards = (tuple(dice.choices((EMPTY, BLACK, WHITE), k=size * size)) for _ in range(tries))
    stood = sum(go.stands(rules((size, size), "PSK"), board) for board in boards)
    assert stood / tries == pytest.approx(share, abs=3 * (share * (1 - share) / tries) ** 0.5)


@pytest.mark.parametrize(
    ("size", "edges", "suicides"),
    [((1, 2), 12, 4), ((1, 3), 42, 6), ((1, 4), 144, 16), ((2, 2), 192, 8), ((2, 3), 2312, 92), ((3, 3), 86200, 2698)],
    ids=str,
)
def test_the_game_graph_has_tromps_nodes_and_edges(size, edges, suicides):
    """Nodes are boards, edges placements by either colour; suicide of a lone stone leads nowhere and is none."""
    law = rules(size, "PSK")
    seen, frontier, ends = set(), [go.start(law).board], []
    while frontier:
        board = frontier.pop()
        if board in seen:
            continue
        seen.add(board)
        empty = [point for point in range(law.pass_) if board[point] == EMPTY]
        after = [(go.placed(law, board, point, colour), point) for point in empty for colour in (BLACK, WHITE)]
        ends += [end[point] for end, point in after if end != board]
        frontier += [end for end, _ in after]
    assert (len(seen), len(ends), ends.count(EMPTY)) == (LEGAL[size], edges, suicides)


# Counting games.

FAST_PLIES = {(2, 2): 9, (2, 3): 6, (2, 4): 5, (3, 3): 4, (3, 4): 4, (4, 4): 3, (5, 5): 2}

ENDED = {  # games that two passes end at ply 2, 3, …
    ((2, 2), "PSK, suicide"): [1, 4, 16, 48, 92, 176, 336, 576, 1272, 2336],
    ((2, 2), "PSK"): [1, 4, 16, 48, 92, 176, 336, 576, 1272, 2336],
    ((2, 2), "SSK, suicide"): [1, 4, 16, 48, 116, 264, 480, 960, 2496, 6352],
    ((2, 2), "SSK"): [1, 4, 16, 48, 92, 176, 336, 600, 1376, 2568],
    ((2, 2), "simple ko"): [1, 4, 16, 48, 92, 176, 336, 656, 1600, 3512],
    ((3, 3), "PSK, suicide"): [1, 9, 81, 648, 4552],
    ((3, 3), "PSK"): [1, 9, 81, 648, 4552],
}


def plies(law):
    """All positions, with multiplicity, after 0, 1, 2, … plies."""
    level = [go.start(law)]
    while True:
        yield level
        level = [play(position, action) for position in level for action in legal(position)]


def perft(law, depth):
    return [sum(len(legal(position)) for position in level) for level in itertools.islice(plies(law), depth)]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("size", PERFT, ids=str)
def test_action_sequences_are_as_many_as_counted(size, name):
    row = PERFT[size][list(RULES).index(name)][: FAST_PLIES.get(size)]
    assert perft(rules(size, name), len(row)) == row


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("size", FAST_PLIES, ids=str)
def test_action_sequences_are_as_many_as_counted_to_the_end_of_the_table(size, name):
    row = PERFT[size][list(RULES).index(name)]
    assert perft(rules(size, name), len(row)) == row


@pytest.mark.parametrize(("size", "name"), ENDED, ids=str)
def test_two_passes_end_as_many_games_as_counted(size, name):
    counts = ENDED[size, name][: 3 if size == (3, 3) else 7]
    levels = itertools.islice(plies(rules(size, name)), 2, 2 + len(counts))
    assert [sum(go.over(position) for position in level) for level in levels] == counts


@pytest.mark.slow
@pytest.mark.parametrize(("size", "name"), ENDED, ids=str)
def test_two_passes_end_as_many_games_as_counted_to_the_end_of_the_table(size, name):
    levels = itertools.islice(plies(rules(size, name)), 2, 2 + len(ENDED[size, name]))
    assert [sum(go.over(position) for position in level) for level in levels] == ENDED[size, name]


def paths(size):
    """How many games of 0, 1, 2, … placements there are if either colour may play at any time, until there are none."""
    law = rules(size, "PSK, suicide")
    level = [go.start(law)]
    while level:
        yield len(level)
        turns = [go.seen_by(position, colour) for position in level for colour in (BLACK, WHITE)]
        level = [play(position, action) for position in turns for action in legal(position)[:-1]]


@pytest.mark.parametrize(("size", "games"), [((1, 1), 1), ((1, 2), 9), ((1, 3), 907)], ids=str)
def test_there_are_as_many_games_as_tromp_and_farnebäck_count(size, games):
    assert sum(paths(size)) == games


PATHS = {
    (1, 2): [1, 4, 4],
    (1, 3): [1, 6, 20, 28, 44, 48, 48, 64, 80, 96, 128, 148, 124, 60, 12],
    (2, 2): [1, 8, 48, 176, 304, 784, 2096, 4592],
    (2, 3): [1, 12, 120, 944, 5416],
    (3, 3): [1, 18, 288, 4016],
}
LONG_PATHS = {
    (2, 2): [1, 8, 48, 176, 304, 784, 2096, 4592, 9232, 20336, 46608, 100832],
    (2, 3): [1, 12, 120, 944, 5416, 20520],
    (3, 3): [1, 18, 288, 4016, 47600],
}


@pytest.mark.parametrize(
    ("size", "counts"),
    [*PATHS.items(), *(pytest.param(*case, marks=pytest.mark.slow) for case in LONG_PATHS.items())],
    ids=str,
)
def test_games_of_a_length_are_as_many_as_counted(size, counts):
    assert list(itertools.islice(paths(size), len(counts))) == counts


# Solving small boards.


def solve(law):
    """Black's score under best play, and the unfinished positions that fail-hard alpha-beta, passing first, visits."""
    nodes = 0

    def value(position, alpha, beta):
        nonlocal nodes
        if go.over(position):
            mine = go.score(position) * (1 if position.to_move == BLACK else -1)
            return max(alpha, min(beta, mine))
        nodes += 1
        *points, pass_ = legal(position)
        for action in [pass_, *points]:
            alpha = max(alpha, -value(play(position, action), -beta, -alpha))
            if alpha >= beta:
                return beta
        return alpha

    return value(go.start(law), -law.pass_, law.pass_), nodes


@pytest.mark.parametrize(
    ("size", "name", "value", "nodes"),
    [
        ((1, 1), "PSK", 0, 2),
        ((1, 2), "PSK", 0, 18),
        ((1, 2), "PSK, suicide", 0, 18),
        ((1, 3), "PSK", 3, 14),
        ((1, 3), "PSK, suicide", 3, 14),
        ((1, 4), "PSK, suicide", 4, 198),
        ((1, 4), "PSK", 4, 164),
        ((1, 4), "SSK", 4, 146),
        ((2, 2), "PSK", 1, 1446),  # published by Tromp; the others counted twice
        ((2, 2), "PSK, suicide", 1, 1446),
        ((2, 2), "SSK", 1, 1642),
        ((1, 5), "PSK", 0, 22614),
        pytest.param((1, 5), "SSK", 0, 57206, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_alpha_beta_finds_the_known_value_in_the_known_number_of_nodes(size, name, value, nodes):
    assert solve(rules(size, name)) == (value, nodes)


@pytest.mark.parametrize(("size", "value"), [((1, 1), 0), ((1, 2), 0), ((1, 3), 3), ((1, 4), 4)], ids=str)
def test_suicide_and_situational_superko_do_not_change_the_value_of_a_line(size, value):
    assert solve(rules(size, "SSK, suicide"))[0] == value


@pytest.mark.parametrize(("komi", "value"), [(0.5, 0.5), (1.0, 0), (1.5, -0.5)])
def test_komi_decides_two_by_two(komi, value):
    assert solve(rules((2, 2), "PSK", komi))[0] == value


# Captures, ko and suicide, drawn.


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("O a . \n X . . ", ". X . \n X . . ", id="corner"),
        pytest.param("X O a \n . X . ", "X . X \n . X . ", id="edge"),
        pytest.param(". X . \n X O a \n . X . ", ". X . \n X . X \n . X . ", id="centre"),
        pytest.param("O O a \n X X . ", ". . X \n X X . ", id="chain"),
        pytest.param("X O a O \n . X O X \n . . X . ", "X . X . \n . X . X \n . . X . ", id="three chains"),
        pytest.param("a O X \n O X . \n X . . ", "X . X \n . X . \n X . . ", id="into no liberties"),
        pytest.param("O a O O X . ", ". X . . X . ", id="both sides of a line"),
        pytest.param("X a . \n . O O ", "X X . \n . O O ", id="nothing"),
    ],
)
@pytest.mark.parametrize("ko", KO)
def test_what_has_no_liberty_is_taken(before, after, ko):
    position = play(drawn(before, ko=ko), marks(before)["a"])
    assert same_board(position, after), shown(position)
    assert (position.to_move, position.moves, position.passes) == (WHITE, 1, 0)


KO_SHAPE = """
    . X O . .
    X O a O .
    . X O . .
    . . . . t
"""


@pytest.mark.parametrize("ko", KO)
def test_a_ko_may_be_retaken_after_a_threat_and_not_before(ko):
    at = marks(KO_SHAPE)
    taken = play(drawn(KO_SHAPE, ko=ko), at["a"])
    retake = at["a"] - 1
    assert taken.ko == retake
    assert refusal(taken, retake) == f"{ko} ko"
    answered = played(taken, at["t"], at["t"] - 1)
    assert answered.ko is None
    assert retake in legal(answered)
    assert play(answered, retake).ko == at["a"]


def test_a_pass_lifts_the_ban_of_simple_ko():
    taken = play(drawn(KO_SHAPE, ko="simple"), marks(KO_SHAPE)["a"])
    assert passed(taken).ko is None
    assert taken.ko in legal(go.seen_by(passed(taken), WHITE))


@pytest.mark.parametrize("ko", KO)
def test_what_took_two_stones_or_is_no_lone_stone_makes_no_ko(ko):
    two = "X O O a O \n . X X O . \n . . . . . "
    joined = "X O a X O \n . X O O . "  # a takes one stone, and has a friend and one liberty
    roomy = "X O a . \n . X . . "  # a takes one stone, and has three liberties
    for picture in (two, joined, roomy):
        taken = play(drawn(picture, ko=ko), marks(picture)["a"])
        assert taken.board[1] == EMPTY
        assert taken.ko is None
    assert same_board(played(drawn(joined, ko=ko), 2, 1), "X O . . O \n . X O O . ")


@pytest.mark.parametrize("ko", KO)
def test_a_snapback_is_no_ko(ko):
    picture = """
        X O a b X
        X O O O X
        X X X X X
        . . . . .
    """
    at = marks(picture)
    thrown_in = play(drawn(picture, ko=ko), at["a"])
    eaten = play(thrown_in, at["b"])
    assert eaten.board[at["a"]] == EMPTY
    assert eaten.ko is None
    snapped = play(eaten, at["a"])
    assert same_board(
        snapped,
        """
        X . X . X
        X . . . X
        X X X X X
        . . . . .
        """,
    )


SEND_TWO = """
    O a O b X .
    O O X X X .
    . . . . . t
"""


def sent_two(ko):
    """White has sent two stones (b), Black has taken both (a): White may wish to return one."""
    at = marks(SEND_TWO)
    return played(drawn(SEND_TWO, WHITE, ko=ko), at["b"], at["a"]), at["a"] + 1


def test_send_two_return_one_repeats_for_ever_under_simple_ko():
    position, back = sent_two("simple")
    assert position.ko is None
    for _ in range(3):
        returned = play(position, back)
        assert returned.board == drawn(SEND_TWO).board
        assert returned.ko is None
        position = played(returned, returned.rules.pass_, *(marks(SEND_TWO)[sign] for sign in "ba"))


def test_send_two_return_one_is_refused_under_positional_superko():
    position, back = sent_two("positional")
    assert position.ko is None
    assert refusal(position, back) == "positional ko"


def test_send_two_return_one_goes_once_under_situational_superko():
    position, back = sent_two("situational")
    returned = play(position, back)
    assert returned.board == drawn(SEND_TWO).board  # but Black is to move, where White was
    assert refusal(passed(returned), marks(SEND_TWO)["b"]) == "situational ko"


@pytest.mark.parametrize("ko", KO)
def test_three_kos_go_round_under_simple_ko_only(ko):
    picture = """
        X O . O X . X O X O . O
        . X O . . X O . . X O .
    """
    at = marks("""
        . a b . . c d . . e f .
        . . . . . . . . . . . .
    """)
    first = drawn(picture, ko=ko)
    last = played(first, *(at[sign] for sign in "bcfad"))
    if ko == "simple":
        assert play(last, at["e"]).board == first.board
    else:
        assert refusal(last, at["e"]) == f"{ko} ko"


SUICIDE = """
    a X O .
    O O O .
    . . . .
"""


@pytest.mark.parametrize("ko", KO)
def test_suicide_of_two_takes_both_where_it_is_allowed(ko):
    at = marks(SUICIDE)["a"]
    assert refusal(drawn(SUICIDE, ko=ko), at) == "it is suicide"
    gone = play(drawn(SUICIDE, ko=ko, suicide=True), at)
    assert same_board(gone, ". . O . \n O O O . \n . . . . ")
    assert (gone.to_move, gone.ko) == (WHITE, None)


LONE_SUICIDE = """
    a O .
    O O .
"""


def test_suicide_of_one_repeats_the_position_under_positional_superko():
    at = marks(LONE_SUICIDE)["a"]
    assert refusal(drawn(LONE_SUICIDE, ko="positional", suicide=True), at) == "positional ko"
    assert refusal(drawn(LONE_SUICIDE, ko="positional"), at) == "it is suicide"


def test_suicide_of_one_is_a_placement_that_changes_nothing_under_situational_superko():
    at = marks(LONE_SUICIDE)["a"]
    first = drawn(LONE_SUICIDE, ko="situational", suicide=True)
    gone = play(first, at)
    assert (gone.board, gone.to_move, gone.passes) == (first.board, WHITE, 0)
    back = passed(gone)
    assert (back.board, back.to_move) == (first.board, BLACK)
    assert refusal(back, at) == "situational ko"
    assert not go.over(back)
    assert go.over(passed(back))


def test_suicide_of_one_may_go_on_for_ever_under_simple_ko():
    at = marks(LONE_SUICIDE)["a"]
    position = drawn(LONE_SUICIDE, ko="simple", suicide=True)
    for moves in (2, 4, 6):
        position = passed(play(position, at))
        assert (position.board, position.moves) == (drawn(LONE_SUICIDE).board, moves)


def test_suicide_may_not_repeat_the_empty_board():
    empty = go.start(rules((1, 2), "PSK, suicide"))
    assert refusal(passed(play(empty, 0)), 1) == "positional ko"
    assert 1 in legal(passed(play(go.start(rules((1, 2), "SSK, suicide")), 0)))  # White would be to move on it


# How a game begins and ends.


def test_black_begins_and_two_passes_end_it():
    first = go.start(rules((2, 2), "PSK"))
    assert (first.to_move, first.board, legal(first)) == (BLACK, (EMPTY,) * 4, [0, 1, 2, 3, 4])
    once = passed(first)
    assert (once.to_move, once.passes, go.over(once)) == (WHITE, 1, False)
    assert played(once, 0).passes == 0
    twice = passed(once)
    assert (go.over(twice), legal(twice), twice.moves) == (True, [], 2)
    assert refusal(twice, 0) == "the game is over"


def test_white_begins_where_black_has_a_handicap():
    first = go.start(rules((3, 3), "PSK", komi=0.5), handicap=(2, 6))
    assert shown(first) == ". . X\n. . .\nX . ."
    assert (first.to_move, first.moves, legal(first)) == (WHITE, 0, [0, 1, 3, 4, 5, 7, 8, 9])


def test_a_stone_and_what_lies_outside_bar_a_placement():
    position = play(go.start(rules((2, 2), "PSK")), 0)
    assert refusal(position, 0) == "a stone is there"
    assert refusal(position, 5) == refusal(position, -1) == "it is not on the board"


def test_an_unknown_ko_rule_is_refused():
    with pytest.raises(ValueError, match="'japanese' is no ko rule"):
        Rules(9, 9, "japanese", False)


@pytest.mark.parametrize(
    ("picture", "message"),
    [(". O X \n X X . ", None), ("O X \n X . ", "every chain has a liberty"), (". . \n . ", "not equally long")],
)
def test_a_board_is_set_up_only_if_it_stands(picture, message):
    if message is None:
        assert shown(drawn(picture)) == ". O X\nX X ."
    else:
        with pytest.raises(ValueError, match=message):
            drawn(picture)


# Scores.

SCORED = {
    "nobody owns an empty board": (". . . \n . . . ", 0, 0),
    "one stone owns everything": (". . . \n . X . ", 6, 0),
    "a wall in the middle": (". X O . . \n . X O . . ", 4, 6),
    "a point between both is nobody's": ("X . O \n X . O ", 2, 2),
    "regions of both and of nobody": (". X . O . \n X X . O O ", 4, 4),
    "seki: shared liberties are nobody's": (". . O X . O X . \n . . O X . O X . ", 6, 8),
    "seki with an eye each": (". X . O . \n X X O O O \n O O X X X \n . O O X . \n . . O X . ", 11, 13),
    "a dead stone lives until it is taken": (". . X O . \n . O X O . \n . . X O . ", 3, 7),
    "bent four in the corner left to play": (
        "X X X . O X . \n . O O O O X . \n O O X X X X . \n X X X . . . . ",
        19,
        7,
    ),
}


@pytest.mark.parametrize(("picture", "black", "white"), SCORED.values(), ids=SCORED)
@pytest.mark.parametrize("komi", [0.0, 7.0, 0.5, -2.0])
def test_an_area_is_stones_and_what_they_alone_reach(picture, black, white, komi):
    position = drawn(picture, komi=komi)
    assert go.area(position) == (black, white)
    assert go.score(position) == black - white - komi
    points = black - white - komi
    assert go.winner(position) == (BLACK if points > 0 else WHITE if points < 0 else EMPTY)


def test_whoever_starts_in_a_seki_is_taken():
    picture = """
        . O X a O X .
        . O X b O X .
    """
    at = marks(picture)
    for to_move in (BLACK, WHITE):
        position = played(drawn(picture, to_move), at["a"], at["b"])
        assert position.board.count(to_move) == 2
        assert position.board.count(go.opponent(to_move)) == 6 - 1


def test_bent_four_is_taken_when_it_is_played():
    picture = """
        X X X a O X .
        b O O O O X .
        O O X X X X .
        X X X . . . .
    """
    at = marks(picture)
    approached = play(drawn(picture, WHITE), at["b"])
    assert same_board(play(approached, at["a"]), "X X X X . X . \n . . . . . X . \n . . X X X X . \n X X X . . . . ")
    bent = play(drawn(picture), at["b"])
    assert same_board(play(bent, at["a"]), ". . . O O X . \n . O O O O X . \n O O X X X X . \n X X X . . . . ")


# Symmetry.


def turned(rows):
    return [list(row) for row in zip(*rows[::-1], strict=True)]


def images(position):
    """The eight symmetric images of a position, each with the map of its points to those of the original."""
    height, width = position.rules.height, position.rules.width
    grid = [list(range(row * width, (row + 1) * width)) for row in range(height)]
    for rows in (grid, [row[::-1] for row in grid]):
        for _ in range(4):
            source = [point for row in rows for point in row]
            law = Rules(len(rows), len(rows[0]), position.rules.ko, position.rules.suicide)
            yield go.set_up(law, tuple(position.board[point] for point in source), position.to_move), source
            rows = turned(rows)


def swapped(position):
    return go.set_up(position.rules, tuple(map(go.opponent, position.board)), go.opponent(position.to_move))


@st.composite
def positions(draw):
    """Positions of random games on small boards, their history forgotten."""
    size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    law = rules(size, draw(st.sampled_from(list(RULES))))
    position = go.start(law)
    for choice in draw(st.lists(st.integers(0, 10**6), max_size=40)):
        points = legal(position)[:-1]
        position = play(position, points[choice % len(points)]) if points else position
    return go.set_up(law, position.board, position.to_move)


@given(positions())
def test_nothing_depends_on_how_the_board_lies(position):
    for image, source in images(position):
        assert sorted(source[point] for point in legal(image)[:-1]) == legal(position)[:-1]
        assert go.area(image) == go.area(position)
        for colour in (BLACK, WHITE):
            mine, theirs = go.benson(image, colour), go.benson(position, colour)
            assert [{source[p] for p in points} for points in mine] == [set(points) for points in theirs]


@given(positions())
def test_colours_are_alike(position):
    other = swapped(position)
    assert legal(other) == legal(position)
    assert go.area(other) == go.area(position)[::-1]
    assert go.score(other) == -go.score(position)
    assert go.benson(other, WHITE) == go.benson(position, BLACK)


@given(positions())
def test_every_legal_move_leaves_a_board_that_stands(position):
    for action in legal(position):
        after = play(position, action)
        assert go.stands(position.rules, after.board)
        assert sum(go.area(after)) <= position.rules.pass_


# Benson.

PASS_ALIVE = {  # what is X's and pass-alive is drawn as x
    "two eyes": (". X . X O \n X X X X O \n O O O O . ", ". x . x O \n x x x x O \n O O O O . "),
    "one big eye is none": (". . . X O \n X X X X O \n O O O O . ", ". . . X O \n X X X X O \n O O O O . "),
    "a stone in the eye": (
        ". X O . X . \n X X X X X X \n . . . . . . ",
        ". x O . x . \n x x x x x x \n . . . . . . ",
    ),
    "an eye whose middle is out of reach is no vital region": (
        ". X . . . X \n X X . . . X \n . X . . . X \n X X X X X X \n . . . . . . ",
        ". x . . . x \n x x . . . x \n . x . . . x \n x x x x x x \n . . . . . . ",
    ),
    "four chains share four eyes": (
        ". X X . \n X . . X \n X . . X \n . X X . ",
        ". x x . \n x . . x \n x . . x \n . x x . ",
    ),
    "three chains share two eyes": (
        ". X X . \n X . . X \n X . X X \n . . . . ",
        ". X X . \n X . . X \n X . X X \n . . . . ",
    ),
    "chains that lean on each other": (
        ". X . X \n X X X . \n . . X X \n . . . . ",
        ". x . x \n x x x . \n . . x x \n . . . . ",
    ),
    "a false eye": (". X . X O \n X O X X O \n O O O O . ", ". X . X O \n X O X X O \n O O O O . "),
    "a line": (". X . X . O . ", ". X . X . O . "),
    "a line from end to end": (". X . X . ", ". x . x . "),
}


@pytest.mark.parametrize(("picture", "expected"), PASS_ALIVE.values(), ids=PASS_ALIVE)
def test_benson_finds_what_is_alive(picture, expected):
    alive = go.benson(drawn(picture), BLACK).stones
    assert alive == {point for point, sign in enumerate(expected.split()) if sign == "x"}


def test_vital_regions_are_told_with_their_stones():
    picture = "a X O b X . . . \n X X X X X . . . \n . . . . . . . . "
    alive = go.benson(drawn(picture), BLACK)
    assert alive.regions == {0, 2, 3}
    assert go.benson(drawn(picture), WHITE) == (frozenset(), frozenset())


@pytest.mark.parametrize("suicide", [False, True])
def test_a_stone_that_may_kill_itself_widens_the_eye(suicide):
    """Where White may take back its three stones, no point of the right region but one is Black's liberty."""
    alive = go.benson(drawn(". X . X . O O ", suicide=suicide), BLACK).stones
    assert alive == (set() if suicide else {1, 3})


@pytest.mark.parametrize(
    "size",
    [(1, 7), (2, 4), *(pytest.param(size, marks=pytest.mark.slow) for size in [(3, 3), (2, 5)])],
    ids=str,
)
@pytest.mark.parametrize("suicide", [False, True])
def test_benson_alive_is_what_white_can_never_take_while_black_passes(size, suicide):
    """On every board that stands, by trying all that White could do: what a board keeps, all boards after it keep."""
    law = Rules(*size, "positional", suicide)

    def after_white(board):
        for point in range(law.pass_):
            after = go.placed(law, board, point, WHITE) if board[point] == EMPTY else board
            if after != board and (suicide or after[point] == WHITE):
                yield after

    boards = [b for b in itertools.product((EMPTY, BLACK, WHITE), repeat=law.pass_) if go.stands(law, b)]
    children = {board: list(after_white(board)) for board in boards}
    kept = {board: frozenset(point for point, stone in enumerate(board) if stone == BLACK) for board in boards}
    changed = True
    while changed:
        left = {board: kept[board].intersection(*(kept[child] for child in children[board])) for board in boards}
        changed, kept = left != kept, left
    assert any(kept.values())
    for board in boards:
        assert go.benson(go.set_up(law, board, BLACK), BLACK).stones == kept[board]


# Records of others.


def point_at(law, vertex):
    """The point that GTP calls `vertex`: columns A, B, … without I, rows from below."""
    if vertex.lower() == "pass":
        return law.pass_
    column, row = "ABCDEFGHJKLMNOPQRST".index(vertex[0].upper()), law.height - int(vertex[1:])
    return row * law.width + column


def vertex_of(law, point):
    row, column = divmod(point, law.width)
    return "pass" if point == law.pass_ else f"{'ABCDEFGHJKLMNOPQRST'[column]}{law.height - row}"


def diagram(rows):
    """The board in a diagram with row numbers, # for black and o for white."""
    return drawn("\n".join(row[1:] for row in rows).replace("#", "X").replace("o", "O"))


def board_cases(kind):
    path = SHARED / "board_cases.json"
    return json.loads(path.read_text("utf-8"))[kind] if path.is_file() else []


@needs_games
@pytest.mark.parametrize("case", board_cases("play"), ids=lambda case: case["name"])
def test_sgfmill_plays_the_same(case):
    position = go.start(Rules(9, 9, "simple", True))
    for move in case["moves"]:
        colour, vertex = move.split()
        position = position if position.to_move == " BW".index(colour) else passed(position)
        position = play(position, point_at(position.rules, vertex))
    assert position.board == diagram(case["board"]).board
    assert position.ko == (None if case["ko"] is None else point_at(position.rules, case["ko"]))
    assert go.score(position) == case["score"]


@needs_games
@pytest.mark.parametrize("case", board_cases("score"), ids=lambda case: case["name"])
def test_sgfmill_scores_the_same(case):
    assert go.score(diagram(case["board"])) == case["score"]


@needs_games
@pytest.mark.parametrize("case", board_cases("setup"), ids=lambda case: case["name"])
def test_sgfmill_sets_up_the_same(case):
    law = Rules(9, 9, "simple", True)
    stones = {point_at(law, at): colour for colour, name in ((BLACK, "black"), (WHITE, "white")) for at in case[name]}
    board = tuple(stones.get(point, EMPTY) for point in range(81))
    assert go.stands(law, board) == case["legal"]
    if case["legal"]:
        assert board == diagram(case["board"]).board


def sgf_point(size, text):
    return size * size if text in ("", "tt") else (ord(text[1]) - ord("a")) * size + ord(text[0]) - ord("a")


def records():
    path = SHARED / "games.csv"
    return list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.is_file() else []


def replayed(record, ko):
    position = go.start(Rules(9, 9, ko, False, float(record["komi"])))
    sgf = (SHARED / record["path"]).read_text("latin-1")
    moves = re.findall(r";\s*([BW])\[(\w*)\]", sgf)
    assert len(moves) == int(record["moves"])
    for colour, at in moves:
        assert " BW"[position.to_move] == colour
        if go.over(position):  # some played on
            assert at == ""
            continue
        position = play(position, sgf_point(9, at))
    return position


@needs_games
@pytest.mark.parametrize("record", records(), ids=lambda record: Path(record["path"]).stem)
def test_games_of_servers_and_olympiads_end_as_recorded(record):
    position = replayed(record, "situational" if record["illegal_ssk"] == "0" else "positional")
    assert go.area(position)[0] - go.area(position)[1] == int(record["area"])
    winner, points = "DBW"[go.winner(position)], abs(go.score(position))
    assert f"{winner}+{points:g}" == record["area_result"]
    if record["agrees"] == "1":
        assert record["area_result"] == record["result"]


@needs_games
@pytest.mark.parametrize(
    "record",
    [record for record in records() if record["refused_move"]],
    ids=lambda record: Path(record["path"]).stem,
)
@pytest.mark.parametrize("ko", KO)
def test_the_moves_that_the_server_refused_are_refused(record, ko):
    position = replayed(record, ko)
    point = point_at(position.rules, record["refused_move"])
    assert position.to_move == {"black": BLACK, "white": WHITE}[record["refused_player"]]
    if record["refused_reason"] == "suicide":
        assert refusal(position, point) == "it is suicide"
    else:
        column = {"simple": "illegal_simple_ko", "positional": "illegal_psk", "situational": "illegal_ssk"}[ko]
        assert (go.why_illegal(position, point) == f"{ko} ko") == (record[column] == "1")


def unconditional():
    """File → {vertex: status} of GNU Go's suite of unconditional status."""
    suite, queries = {}, {}
    path = SHARED / "gnugo" / "unconditional.tst"
    for line in path.read_text("latin-1").splitlines() if path.is_file() else []:
        if line.startswith("loadsgf"):
            queries = suite[line.split()[1]] = {}
        elif line.startswith("boardsize"):
            queries = {}
        elif "unconditional_status" in line:
            vertex = line.split()[-1]
        elif line.startswith("#? "):
            queries[vertex] = line[3:].strip("[]*")
    return suite


def loaded(path):
    sgf = (SHARED / "gnugo" / path).read_text("latin-1")
    board = [EMPTY] * 361
    for colour, run in re.findall(r"A([BW])((?:\s*\[\w\w\])+)", sgf):
        for at in re.findall(r"\w\w", run):
            board[sgf_point(19, at)] = " BW".index(colour)
    return go.set_up(Rules(19, 19, "positional", False), tuple(board), BLACK)


@needs_games
@pytest.mark.parametrize(("path", "status"), unconditional().items(), ids=lambda value: value if "/" in value else "")
def test_benson_agrees_with_gnu_gos_suite(path, status):
    position = loaded(path)
    stones = [go.benson(position, colour).stones for colour in (BLACK, WHITE)]
    regions = [go.benson(position, colour).regions for colour in (BLACK, WHITE)]
    for vertex, said in status.items():
        point = point_at(position.rules, vertex)
        found = point in stones[0] | stones[1]
        assert found <= (said == "alive")  # GNU Go's own test is stronger than Benson's
        if "benson" in path:
            assert found == (said == "alive")
        if point in regions[0] | regions[1]:
            assert said in ("dead", "black_territory", "white_territory")


# Other programs, in random games.


def random_games(law, *, positions, longest, seed):
    """Games of random actions as lists of (position, action); together so many pairs or more.

    Few actions are passes, and half of those that could take stones do, so that kos come up often.
    """
    dice, told = random.Random(seed), 0
    while told < positions:
        game, position = [], go.start(law)
        while not go.over(position) and len(game) < longest:
            *points, pass_ = legal(position)
            taking = [point for point in points if takes(position, point)] if dice.random() < 0.5 else []
            game.append((position, dice.choice(taking or points) if points and dice.random() > 0.05 else pass_))
            position = play(*game[-1])
        told += len(game)
        yield game


def takes(position, point):
    after = go.placed(position.rules, position.board, point, position.to_move)
    return len(stones(position, go.opponent(position.to_move))) > after.count(go.opponent(position.to_move))


def test_random_games_end_or_grow_long():
    games = list(random_games(rules((3, 3), "PSK"), positions=500, longest=60, seed=0))
    assert sum(map(len, games)) >= 500
    assert all(len(game) == 60 or go.over(play(*game[-1])) for game in games)


def stones(position, colour):
    return [point for point, stone in enumerate(position.board) if stone == colour]


def barred_by_ko(position):
    points = range(position.rules.pass_)
    return [point for point in points if go.why_illegal(position, point) == f"{position.rules.ko} ko"]


def answers_of(gnu_go, commands, *options):
    """What it says to each."""
    lines = "".join(f"{command}\n" for command in [*commands, "quit"])
    done = subprocess.run(
        [gnu_go, "--mode", "gtp", *options], input=lines, capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout.split("\n\n")[: len(commands)]


@pytest.mark.parametrize("name", ["PSK", "SSK"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_gnu_go_plays_the_same(gnu_go, size, name):
    law = rules((size, size), name)
    asked = []  # (command, what GNU Go should say)
    barred = 0
    for game in random_games(law, positions=min(1500, 10000 // size**2), longest=80, seed=size):
        asked += [(f"boardsize {size}", set()), ("clear_board", set())]
        for position, action in game:
            colour = ["", "black", "white"][position.to_move]
            at = {
                f"all_legal {colour}": legal(position)[:-1],
                "list_stones black": stones(position, BLACK),
                "list_stones white": stones(position, WHITE),
            }
            asked += [(command, {vertex_of(law, point) for point in points}) for command, points in at.items()]
            asked.append((f"play {colour} {vertex_of(law, action)}", set()))
            barred += len(barred_by_ko(position))
    answers = answers_of(gnu_go, [command for command, _ in asked], f"--{law.ko}-superko", "--forbid-suicide")
    for (command, wanted), answer in zip(asked, answers, strict=True):
        assert (answer[0], set(answer[1:].split())) == ("=", wanted), command
    assert barred >= 10 or size == 1


def open_spiel_action(law, point):
    """OpenSpiel counts rows from below."""
    row, column = divmod(point, law.width)
    return law.pass_ if point == law.pass_ else (law.height - 1 - row) * law.width + column


def open_spiel_picture(state):
    rows = re.findall(r"^ *\d+ ([+XO]+)$", str(state), re.MULTILINE)
    return "\n".join(" ".join(row) for row in rows).replace("+", ".")


@pytest.mark.parametrize("size", [2, 3, 5, 7, 9])
def test_open_spiel_plays_and_scores_the_same_until_a_board_recurs(size):
    """Simple ko, no suicide; a repetition ends OpenSpiel's games, and so ours. Komi just off our score pins theirs."""
    pyspiel = pytest.importorskip("pyspiel", reason="OpenSpiel is not installed")
    law = rules((size, size), "simple ko")
    barred = scored = 0
    for game in random_games(law, positions=20000 // size**2, longest=2 * size * size - 3, seed=size):
        theirs = pyspiel.load_game(f"go(board_size={size})").new_initial_state()
        for position, action in game:
            if theirs.is_terminal():
                break
            assert open_spiel_picture(theirs) == shown(position)
            assert sorted(theirs.legal_actions()) == sorted(open_spiel_action(law, at) for at in legal(position))
            barred += len(barred_by_ko(position))
            theirs.apply_action(open_spiel_action(law, action))
        else:
            last = play(*game[-1])
            scored += 1
            for off, returns in ((-0.5, [1, -1]), (0.5, [-1, 1])):
                judge = pyspiel.load_game(f"go(board_size={size},komi={go.score(last) + off})").new_initial_state()
                for action in [*theirs.history(), law.pass_, law.pass_]:
                    if not judge.is_terminal():
                        judge.apply_action(action)
                assert judge.returns() == returns
    assert barred >= 5 or size == 2  # where no lone stone can retake
    assert scored >= 3
