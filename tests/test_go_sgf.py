"""SGF: examples written by hand, real games, sgfmill as oracle, and texts that are none."""

import csv
import json
import os
import random
import re
import time
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sgfmill import sgf as sgfmill
from sgfmill.sgf_grammar import text_value

from sparring.envs.errors import BadInputError
from sparring.envs.go import sgf
from sparring.envs.go.coordinates import pass_move
from sparring.envs.go.record import OF_A_GAME, OF_A_PLY, Game, Ply

DATA = Path(__file__).parents[2] / "shared" / "data" / "go"
FILES = sorted(DATA.rglob("*.sgf"))
GAMES = list(csv.DictReader((DATA / "games.csv").read_text().splitlines())) if FILES else []
needs_data = pytest.mark.skipif(not FILES, reason="the games of ../shared/data/go are not here")

EXAMPLE = r"""(;FF[4]GM[1]CA[UTF-8]AP[GoGui:1.5]SZ[9]KM[7.5]RU[Chinese]HA[2]AB[gc][cg]AW[ee]
PB[Anna \] Blum]PW[Bo]BR[3k]WR[1d]DT[2026-11-21]RE[W+R]C[two
lines \\ one \] bracket: "[x"]
;W[cc]BL[12.5]SBKV[65.5];B[]C[{"visits": [1, 2\]}];W[tt](;B[ii]N[main])(;B[aa](;W[bb])(;W[dd])))"""
GAME = Game(
    size=(9, 9),
    plies=(
        Ply("W", 20, properties={"BL": ("12.5",), "SBKV": ("65.5",)}),
        Ply("B", 81, comment='{"visits": [1, 2]}'),
        Ply("W", 81),
        Ply("B", 80, properties={"N": ("main",)}),
    ),
    komi=7.5,
    rules="Chinese",
    black="Anna ] Blum",
    white="Bo",
    black_rank="3k",
    white_rank="1d",
    result="W+R",
    date="2026-11-21",
    handicap=2,
    black_stones=(24, 56),
    white_stones=(40,),
    comment='two\nlines \\ one ] bracket: "[x"',
    properties={"AP": ("GoGui:1.5",)},
)


def moves(text):
    return [(ply.colour, ply.move) for ply in sgf.parse(text).plies]


# What is read


def test_a_text_is_the_game_that_it_says():
    assert sgf.parse(EXAMPLE) == GAME


def test_a_game_is_written_as_this_text():
    game = Game(
        (9, 9), (Ply("B", 40, "a]b"), Ply("W", 81, properties={"SBKV": ("65.5",)})), komi=7.0, black_stones=(0,)
    )
    assert sgf.render(game) == "(;FF[4]GM[1]CA[UTF-8]SZ[9]KM[7]AB[aa]\n;B[ee]C[a\\]b]\n;W[]SBKV[65.5])\n"


def test_a_game_comes_back_from_its_text():
    assert sgf.parse(sgf.render(GAME)) == GAME


def test_a_rectangle_is_written_columns_first():
    game = sgf.parse("(;SZ[9:7];B[ia];W[ag])")
    assert game == Game((7, 9), (Ply("B", 8), Ply("W", 54)))
    assert "SZ[9:7]" in sgf.render(game)
    assert sgf.parse("(;SZ[9:9])").size == (9, 9)


def test_a_board_of_no_size_is_of_nineteen_lines_and_komi_is_unknown():
    assert sgf.parse("(;)") == Game((19, 19))


@pytest.mark.parametrize(
    ("komi", "points"),
    [("7.5", 7.5), ("-3", -3), ("+0.50", 0.5), (" 6 ", 6), (".5", 0.5), ("7.", 7), ("100000000000000000000", 1e20)],
)
def test_komi_is_any_number_and_keeps_its_value(komi, points):
    game = sgf.parse(f"(;SZ[9]KM[{komi}])")
    assert game.komi == points
    assert sgf.parse(sgf.render(game)).komi == points


def test_of_variations_the_first_is_read():
    assert moves("(;SZ[9];B[aa](;W[ba](;B[ca])(;B[da]))(;W[ea];B[fa]))") == [("B", 0), ("W", 1), ("B", 2)]


def test_of_several_games_the_first_is_read_and_what_stands_around_it_is_not():
    assert moves("Dear (all), here :-) it is\n( ;SZ[9];B[aa])(;GM[2]) ]]] bye") == [("B", 0)]


def test_both_colours_of_a_node_may_be_moves_of_any_order():
    assert moves("(;SZ[9];W[aa];W[ba];B[aa];B[tt])") == [("W", 0), ("W", 1), ("B", 0), ("B", 81)]


def test_a_move_in_the_root_is_the_first_and_its_comment_is_the_games():
    assert sgf.parse("(;SZ[9]AB[ee]B[aa]C[hello];W[ba])") == Game(
        (9, 9), (Ply("B", 0), Ply("W", 1)), black_stones=(40,), comment="hello"
    )


def test_a_node_without_a_move_belongs_to_the_one_before():
    game = sgf.parse("(;SZ[9]C[a];C[b]AB[ee];B[aa]C[c]LB[aa:1];C[d]LB[ba:2]N[x];;W[ba])")
    assert game == Game(
        (9, 9),
        (Ply("B", 0, "c\nd", {"LB": ("aa:1", "ba:2"), "N": ("x",)}), Ply("W", 1)),
        black_stones=(40,),
        comment="a\nb",
    )


def test_a_rectangle_of_stones_is_set_up_from_two_corners():
    game = sgf.parse("(;SZ[9]AB[aa:ba][ii]AW[cc:de]AE[ha:hi])")
    assert game.black_stones == (0, 1, 80)
    assert game.white_stones == (20, 21, 29, 30, 38, 39)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"a\]b", "a]b"),
        (r"a\\", "a\\"),
        (r"a\\\]b", "a\\]b"),
        (r"a\:b:c", "a:b:c"),
        (r"\n\a", "na"),
        ("soft\\\nbreak", "softbreak"),
        ("soft\\\r\nbreak", "softbreak"),
        ("a\r\nb\rc\n\rd\ne", "a\nb\nc\nd\ne"),
        ("a\tb\vc\\\td", "a b c d"),
        ("[;(B[aa", "[;(B[aa"),
        ("黒\u00a0☃", "黒\u00a0☃"),
        ("", ""),
    ],
)
def test_text_is_read_without_its_escapes(raw, text):
    assert sgf.parse(f"(;C[{raw}])").comment == text
    assert sgf.parse(f"(;SBKX[{raw}])").properties == {"SBKX": (text,)}
    assert sgf.parse(f"(;PB[{raw}])").black == text.replace("\n", " ")


def test_names_of_older_versions_lose_their_small_letters():
    game = sgf.parse("(;FileFormat[1]GaMe[1]SiZe[9]AddBlack[aa];White[ba];B\n [ca])")
    assert game == Game((9, 9), (Ply("W", 1), Ply("B", 2)), black_stones=(0,))


def test_a_private_json_of_search_data_survives_wherever_it_stands():
    data = {"visits": [1, 2, 3], "pv": ["D4", "]\\[;()"], "note": "a\nb\\n", "λ": 0.25, "nested": {"a": [[]]}}
    text = json.dumps(data)
    game = Game((9, 9), (Ply("B", 0, text, {"XS": (text, "65.5")}),), comment=text, properties={"XQ": (text,)})
    back = sgf.parse(sgf.render(game))
    assert back == game
    assert json.loads(back.plies[0].comment) == json.loads(back.plies[0].properties["XS"][0]) == data


# Files


def test_a_file_comes_back_as_it_was_saved_and_nothing_lies_beside_it(tmp_path):
    game = replace(GAME, black="黒 ☃", comment="é")
    sgf.save(GAME, tmp_path / "game.sgf")
    sgf.save(game, tmp_path / "game.sgf")
    assert sgf.load(tmp_path / "game.sgf") == game
    assert os.listdir(tmp_path) == ["game.sgf"]


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8-sig"),
        ("ISO-8859-1", "latin-1"),
        ("gb2312", "gb2312"),
        ("Big5", "big5"),
        ("Shift_JIS", "shift_jis"),
        ("EUC-KR", "euc-kr"),
    ],
)
def test_a_file_is_read_in_the_charset_that_it_names(charset, codec, tmp_path):
    name = {"gb2312": "古力", "big5": "周俊勳 功", "shift_jis": "表 ソ", "euc-kr": "이세돌"}.get(codec, "Jérôme")
    (tmp_path / "game.sgf").write_bytes(f"(;SZ[9]CA[{charset}]PB[{name}];B[aa])".encode(codec))
    if codec in ("big5", "shift_jis"):  # here a second byte is a backslash, and must not be taken for one
        assert b"\\" in (tmp_path / "game.sgf").read_bytes()
    assert sgf.load(tmp_path / "game.sgf").black == name


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_file_that_names_no_charset_is_read_as_what_it_can_be(codec, tmp_path):
    (tmp_path / "game.sgf").write_bytes("(;SZ[9]PB[Jérôme])".encode(codec))
    assert sgf.load(tmp_path / "game.sgf").black == "Jérôme"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"(;CA[UTF-8]PB[\xff])", "byte 14 is not in UTF-8, the charset that the file names; save it as UTF-8"),
        (b"(;CA[Klingon]PB[x])", "the charset 'Klingon' is unknown; save the file as UTF-8"),
        (b"(;CA[rot13]PB[x])", "the charset 'rot13' is unknown"),
        (b"(;CA[unicode_escape]PB[x])", "the charset 'unicode_escape' is unknown"),
        ("(;SZ[9])".encode("utf-16"), "there is no game here"),
        (b"\x00\x01\x02", "there is no game here"),
        (b"(;SZ[9];B[zz])", "line 1, column 10: 'zz' is not on the board"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(content, why, tmp_path):
    (tmp_path / "game.sgf").write_bytes(content)
    with pytest.raises(BadInputError, match=f"^{re.escape(str(tmp_path / 'game.sgf'))}: .*{re.escape(why)}"):
        sgf.load(tmp_path / "game.sgf")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(BadInputError, match=r"there is no game at .*missing\.sgf \(No such file or directory\)"):
        sgf.load(tmp_path / "missing.sgf")


def test_half_a_surrogate_pair_cannot_be_saved(tmp_path):
    with pytest.raises(BadInputError, match=r"the game holds '\\ud800', which is no character"):
        sgf.save(Game((9, 9), comment="\ud800"), tmp_path / "game.sgf")
    assert os.listdir(tmp_path) == []


# What is no game


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("", "line 1, column 1", "there is no game here; one begins with '(;'"),
        ("B[aa]", "line 1, column 1", "there is no game here"),
        ("(B[aa])", "line 1, column 1", "there is no game here"),
        ("(;SZ[9]", "line 1, column 8", "the text ends within a game; it was cut off, or a ')' is missing"),
        ("(;SZ[9]\n;B[aa]\n  C[abc", "line 3, column 4", "the value that begins here has no end; a ']' is missing"),
        ("(;SZ[9]\n;B[aa]C[a\\]", "line 2, column 8", "the value that begins here has no end"),
        ("(;SZ[9];B", "line 1, column 10", "the text ends within a game"),
        ("(;SZ[9];B)", "line 1, column 10", "')' cannot stand after a property's name; there it takes a value"),
        ("(;[aa])", "line 1, column 3", "a value cannot stand after ';'; there it takes a property's name or ';' or"),
        ("(;SZ[9]())", "line 1, column 9", "')' cannot stand after '('; there it takes ';'"),
        ("(;SZ[9](;B[aa]);W[bb])", "line 1, column 16", "';' cannot stand after ')'; there it takes '(' or ')'"),
        ("(;SZ[9];B[aa]])", "line 1, column 14", "']' cannot stand outside of brackets; a ']' within them is written"),
        ("(;SZ[9]\n;B[aa]5)", "line 2, column 7", "'5' cannot stand outside of brackets"),
        ("(;SZ[9];b[aa])", "line 1, column 9", "'b' cannot name a property; that takes capital letters"),
        ("(;SZ[9];B[aa](;W[bb])(;W[b", "line 1, column 25", "the value that begins here has no end"),
        ("(;GM[2]SZ[8])", "line 1, column 5", "GM is '2'; only Go, GM[1], is read"),
        ("(;GM[Go])", "line 1, column 5", "GM is 'Go'; only Go, GM[1], is read"),
        ("(;FF[5])", "line 1, column 5", "FF is '5'; this reads versions 1 to 4 of the format"),
        ("(;SZ[52])", "line 1, column 5", "there is no board of 52 rows and 52 columns; both run from 1 to 19"),
        ("(;SZ[0])", "line 1, column 5", "there is no board of 0 rows and 0 columns; both run from 1 to 19"),
        ("(;SZ[19:20])", "line 1, column 5", "there is no board of 20 rows and 19 columns"),
        ("(;SZ[-9])", "line 1, column 5", "SZ is '-9'; a size is a number, or two for columns:rows"),
        ("(;SZ[9:9:9])", "line 1, column 5", "SZ is '9:9:9'; a size is a number"),
        ("(;SZ[\u0669])", "line 1, column 5", "a size is a number"),
        (f"(;SZ[{'9' * 5000}])", "line 1, column 5", "SZ is '999999999999...9999999999999'; a size is a number"),
        ("(;SZ[9][9])", "line 1, column 8", "SZ has 2 values; it takes one"),
        ("(;PB[a]PB[b])", "line 1, column 10", "PB has 2 values; it takes one"),
        ("(;KM[6,5])", "line 1, column 5", "KM is '6,5'; komi is a number such as 7.5"),
        ("(;KM[nan])", "line 1, column 5", "KM is 'nan'; komi is a number"),
        ("(;KM[1e5])", "line 1, column 5", "KM is '1e5'; komi is a number"),
        (f"(;KM[{'9' * 5000}])", "line 1, column 5", "komi is a number"),
        ("(;KM[])", "line 1, column 5", "KM is ''; komi is a number"),
        ("(;SZ[9]HA[82])", "line 1, column 10", "HA is '82'; it must fit the board"),
        ("(;SZ[9]HA[-1])", "line 1, column 10", "HA is '-1'; it must fit the board"),
        ("(;SZ[9];B[ja])", "line 1, column 10", "'ja' is not on the board of 9 rows and 9 columns: a point is"),
        ("(;SZ[9];B[D4])", "line 1, column 10", "'D4' is no point"),
        ("(;SZ[9];B[aa]W[ba])", "line 1, column 15", "this is the node's second move; a ';' must stand before each"),
        ("(;SZ[9];B[aa][ba])", "line 1, column 14", "this is the node's second move"),
        ("(;SZ[9];B[aa]B[ba])", "line 1, column 15", "this is the node's second move"),
        ("(;SZ[9]B[aa]W[ba])", "line 1, column 14", "this is the node's second move"),
        ("(;SZ[9];B[aa]AW[ba])", "line 1, column 16", "AW sets up points after the first move; that is read before"),
        ("(;SZ[9];B[aa];AE[aa])", "line 1, column 17", "AE sets up points after the first move"),
        ("(;SZ[9]B[aa];AB[bb])", "line 1, column 16", "AB sets up points after the first move"),
        ("(;SZ[9]AB[])", "line 1, column 10", "'' names no point; a stone must stand on one"),
        ("(;SZ[9]AB[aa][tt])", "line 1, column 14", "'tt' names no point; a stone must stand on one"),
        ("(;SZ[9]AB[aa][aa])", "line 1, column 14", "AB 'aa' sets up a point that is set up already"),
        ("(;SZ[9]AB[aa:cc]AW[bb])", "line 1, column 19", "AW 'bb' sets up a point that is set up already"),
        ("(;SZ[9]AB[aa]AE[aa])", "line 1, column 16", "AE 'aa' sets up a point that is set up already"),
        ("(;SZ[9]AB[cc:aa])", "line 1, column 10", "'cc:aa' is no rectangle; that goes from its top left to its"),
        ("(;SZ[9]AB[aa:])", "line 1, column 10", "'aa:' names no point"),
        ("(;SZ[9]AB[aa:zz])", "line 1, column 10", "'zz' is not on the board"),
    ],
)
def test_what_is_wrong_is_told_and_where(text, where, why):
    with pytest.raises(BadInputError, match=f"^{where}: .*{re.escape(why)}"):
        sgf.parse(text)


@pytest.mark.parametrize("end", range(len(EXAMPLE)))
def test_a_text_that_was_cut_off_anywhere_is_no_game(end):
    with pytest.raises(BadInputError, match=r"^line \d+, column \d+: "):
        sgf.parse(EXAMPLE[:end])


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        "(;" * 300_000,
        "(;SZ[9]" + ";B[aa]" * 100_000,
        "(;C[" + "\\" * 1_000_001,
        "(;C[" + "a\\]" * 300_000,
        "(" * 1_000_000,
        "( " * 500_000 + "\n",
        "(;" + " " * 1_000_000,
        "(;" + "A" * 1_000_000,
        "(;SZ[9]" + "AB[aa:ii]" * 100_000 + ")",
        "(;KM[" + "9" * 1_000_000 + "])",
    ],
    ids=lambda text: f"{text[:6]}…",
)
def test_a_megabyte_of_nonsense_is_refused_in_seconds(text):
    before = time.perf_counter()
    with pytest.raises(BadInputError) as error:
        sgf.parse(text)
    assert time.perf_counter() - before < 10
    assert len(str(error.value)) < 300


def test_thirty_thousand_forks_in_each_other_are_no_recursion():
    assert len(sgf.parse("(;SZ[9]" + "(;B[aa]" * 30_000 + ")" * 30_001).plies) == 30_000


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Game((9, 9), (Ply("B", 82),)), "82 is no move on the board of 9 rows and 9 columns"),
        (lambda: Game((20, 9)), "there is no board of 20 rows and 9 columns"),
        (lambda: Game((9, 9), black_stones=(81,)), "a stone is set up at 81, which is a pass; it must stand on a poi"),
        (lambda: Game((9, 9), black_stones=(-1,)), "-1 is no move"),
        (lambda: Game((9, 9), black_stones=(20,), white_stones=(20,)), "the point cc is set up twice; it must be onc"),
        (lambda: Game((9, 9), komi=float("nan")), "komi is nan; it must be a finite number"),
        (lambda: Game((9, 9), handicap=-1), "handicap is -1; it must be between 0 and 81"),
        (lambda: Game((9, 9), properties={"KM": ("7",)}), "KM cannot be among the other properties; the record has"),
        (lambda: Game((9, 9), properties={"Ap": ("x",)}), "'Ap' cannot name a property; that takes capital letters"),
        (lambda: Game((9, 9), properties={"X]": ("x",)}), "'X]' cannot name a property"),
        (lambda: Game((9, 9), properties={"AP": ()}), "AP is (); the values of a property are a tuple of at least"),
        (lambda: Game((9, 9), properties={"AP": "x"}), "AP is 'x'; the values of a property are a tuple"),
        (lambda: Ply("B", 0, properties={"C": ("x",)}), "C cannot be among the other properties"),
        (lambda: Ply("B", 0, properties={"XS": (65.5,)}), "XS is (65.5,); the values of a property are a tuple"),
        (lambda: Ply("black", 0), "the colour of a ply is 'black'; there are B and W"),
    ],
)
def test_a_record_that_could_not_be_written_is_refused(make, why):
    with pytest.raises(BadInputError, match=re.escape(why)):
        make()


# Any game, any text

LETTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\r\t\v\f")
TEXT = st.one_of(st.text(LETTERS, max_size=12), st.text("\\]:[;()\nab", max_size=12))
LINE = TEXT.map(lambda text: text.replace("\n", ""))
SIDE = st.integers(1, 19)


def others(fields):
    names = st.text("ABCKSVX", min_size=1, max_size=4).filter(lambda name: name not in fields)
    return st.dictionaries(names, st.lists(TEXT, min_size=1, max_size=3).map(tuple), max_size=3)


SQUARE = SIDE.map(lambda side: (side, side))
RECTANGLE = st.tuples(SIDE, SIDE)


@st.composite
def games(draw, size):
    height, width = size = draw(size)
    points = draw(st.lists(st.integers(0, height * width - 1), unique=True, max_size=6))
    black = draw(st.integers(0, len(points)))
    ply = st.builds(Ply, st.sampled_from("BW"), st.integers(0, height * width), TEXT, others(OF_A_PLY))
    return Game(
        size,
        tuple(draw(st.lists(ply, max_size=8))),
        komi=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
        handicap=draw(st.integers(0, height * width)),
        black_stones=tuple(points[:black]),
        white_stones=tuple(points[black:]),
        comment=draw(TEXT),
        properties=draw(others(OF_A_GAME)),
        **{name: draw(LINE) for name in ("rules", "black", "white", "black_rank", "white_rank", "result", "date")},
    )


@settings(deadline=None, max_examples=100)
@given(games(RECTANGLE))
def test_any_game_comes_back_from_its_text(game):
    assert sgf.parse(sgf.render(game)) == game


def from_below(move, size):
    """As sgfmill tells a point: row from the bottom, column."""
    row, column = divmod(move, size[1])
    return None if move == pass_move(size) else (size[0] - 1 - row, column)


@settings(deadline=None, max_examples=100)
@given(games(SQUARE))
def test_sgfmill_reads_in_our_text_what_we_wrote(game):
    theirs = sgfmill.Sgf_game.from_bytes(sgf.render(game).encode())
    root, *nodes = theirs.get_main_sequence()
    assert (theirs.get_size(), theirs.get_komi()) == (game.size[0], game.komi or 0)
    assert (theirs.get_player_name("b"), theirs.get_player_name("w")) == (game.black or None, game.white or None)
    for name, text in {"RU": game.rules, "RE": game.result, "DT": game.date, "BR": game.black_rank}.items():
        assert (root.get(name) if root.has_property(name) else "") == text
    black, white, _ = root.get_setup_stones()
    assert black == {from_below(stone, game.size) for stone in game.black_stones}
    assert white == {from_below(stone, game.size) for stone in game.white_stones}
    assert [node.get_move() for node in nodes] == [
        (ply.colour.lower(), from_below(ply.move, game.size)) for ply in game.plies
    ]
    for node, ply in zip(nodes, game.plies, strict=True):
        assert (node.get("C") if node.has_property("C") else "") == ply.comment
        raw = {name: node.get_raw_list(name) for name in node.properties() if name not in ("B", "W", "C")}
        assert {name: tuple(text_value(one).decode() for one in raw[name]) for name in raw} == ply.properties


@settings(deadline=None, max_examples=60)
@given(games(SQUARE))
def test_we_read_in_sgfmills_text_what_it_wrote(game):
    theirs = sgfmill.Sgf_game(game.size[0], encoding="UTF-8")
    theirs.get_root().set("PB", game.black)
    theirs.get_root().set_setup_stones(
        [from_below(stone, game.size) for stone in game.black_stones],
        [from_below(stone, game.size) for stone in game.white_stones],
    )
    for ply in game.plies:
        node = theirs.extend_main_sequence()
        node.set_move(ply.colour.lower(), from_below(ply.move, game.size))
        node.set("C", ply.comment)
    ours = sgf.parse(theirs.serialise().decode())
    assert (ours.size, ours.black) == (game.size, game.black)
    assert [(ply.colour, ply.move, ply.comment) for ply in ours.plies] == [
        (ply.colour, ply.move, ply.comment) for ply in game.plies
    ]
    assert set(ours.black_stones) == set(game.black_stones)
    assert set(ours.white_stones) == set(game.white_stones)


def read_or_refused(content, tmp_path):
    """What is read comes back from its own text; what is not, is refused and no other error."""
    path = tmp_path / "fuzzed.sgf"
    path.write_bytes(content)
    try:
        game = sgf.load(path)
    except BadInputError:
        return
    assert sgf.parse(sgf.render(game)) == game


PIECES = (*"()[];:\\ \n", ";B[", ";W[", "SZ[", "AB[", "KM[7]", "GM[1]", "CA[", "C[", "aa", "tt", "9", "é")
WORDS = st.lists(st.sampled_from(PIECES), max_size=30)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS)
def test_any_words_are_read_or_refused(tmp_path, words):
    read_or_refused("".join(["(;SZ[9]", *words, ")"]).encode(), tmp_path)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_a_text_of_which_bytes_were_changed_is_read_or_refused(tmp_path, seed):
    dice = random.Random(seed)
    content = bytearray(EXAMPLE.encode())
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(content))
        match dice.randrange(3):
            case 0:
                content[at] = dice.randrange(256)
            case 1:
                del content[at : at + dice.randint(1, 20)]
            case 2:
                content[at:at] = dice.choice([b"(", b")", b"[", b"]", b";", b"\\", b"\x00", b"\xff", b"B[aa]"])
    read_or_refused(bytes(content), tmp_path)


# Real games


@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_real_game_comes_back_from_its_text(path, tmp_path):
    game = sgf.load(path)
    assert sgf.parse(sgf.render(game)) == game
    sgf.save(game, tmp_path / path.name)
    assert sgf.load(tmp_path / path.name) == game


@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sgfmill_reads_the_same_real_game(path):
    game, theirs = sgf.load(path), sgfmill.Sgf_game.from_bytes(path.read_bytes())
    root, *nodes = theirs.get_main_sequence()
    assert (theirs.get_size(), theirs.get_komi()) == (game.size[0], game.komi or 0)
    black, white, _ = root.get_setup_stones()
    assert black == {from_below(stone, game.size) for stone in game.black_stones}
    assert white == {from_below(stone, game.size) for stone in game.white_stones}
    assert [node.get_move() for node in nodes if node.get_move() != (None, None)] == [
        (ply.colour.lower(), from_below(ply.move, game.size)) for ply in game.plies
    ]
    assert (root.get("C") if root.has_property("C") else "") == game.comment


@needs_data
@pytest.mark.parametrize("row", GAMES, ids=lambda row: Path(row["path"]).stem)
def test_a_real_game_is_the_one_in_the_index(row):
    game = sgf.load(DATA / row["path"])
    assert game.size == (9, 9)
    assert (game.black, game.white, game.date, game.rules) == (row["black"], row["white"], row["date"], row["rules"])
    assert (game.komi, game.result, len(game.plies)) == (float(row["komi"]), row["result"], int(row["moves"]))
