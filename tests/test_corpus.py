"""Corpora: what is read, what is held out, and texts that nobody can learn from."""

import dataclasses
from pathlib import Path

import pytest
import torch

from sparring.adversarial import corpus, seqgan, sheets
from sparring.envs.episodes import EpisodeError
from sparring.envs.errors import BadInputError

LINES = [f"the {animal} sees a {other}" for animal in ("cat", "dog", "fox", "owl") for other in ("hen", "rat", "bee")]
SHARED = Path(__file__).parents[2] / "shared" / "data" / "text"


def read(lines=LINES, level="words", length=0):
    return corpus.of_lines(lines, level, length, "x.txt")


def test_words_are_numbered_in_their_order_and_come_back():
    found = read()
    assert found.words == ("", *sorted({word for line in LINES for word in line.split()}))
    assert found.vocabulary == len(found.words)
    assert found.train.shape == (11, 5)
    assert [found.said(row) for row in found.train.tolist()] == [*LINES[:9], *LINES[10:]]
    assert [found.said(row) for row in found.test.tolist()] == [LINES[9]]


def test_characters_are_tokens_too():
    found = read([*LINES[:8], "hi", LINES[8], "ab"], level="characters")
    assert found.said(found.train.tolist()[8]) == "hi"
    assert found.train.shape[1] == max(map(len, LINES[:9]))


def test_what_counts_is_a_sentence_and_its_end():
    found = read(["a b", *LINES], length=7)
    assert found.counted(found.train)[:2].int().tolist() == [[1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]]
    oracle = corpus.of_oracle(5, 4, 20, 10, 0, None)
    assert oracle.counted(oracle.train).all()


def test_held_out_lines_stand_nowhere_else():
    found = read([*LINES[:9], LINES[0], *LINES[:9], "a new line"])
    assert [found.said(row) for row in found.test.tolist()] == ["a new line"]


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        ("", {}, "line 3 of x.txt is empty; take it out"),
        ("   ", {}, "line 3 of x.txt is empty; take it out"),
        ("alone", {}, "line 3 of x.txt has one token, 'alone'; a sentence takes two; --level characters reads it"),
        ("x", {"level": "characters"}, "line 3 of x.txt has one token, 'x'; a sentence takes two"),
        ("a b c d e f", {"length": 5}, "line 3 of x.txt has 6 tokens, and length is 5; the longest has 6: use --leng"),
        ("a b\x00", {}, "line 3 of x.txt has a character that nobody writes, U+0000; take it out, or repair"),
        ("a b�", {}, "line 3 of x.txt has a character that nobody writes, U+FFFD; take it out, or repair"),
    ],
)
def test_a_line_that_cannot_be_learned_from_is_named(line, options, message):
    with pytest.raises(BadInputError) as caught:
        read([*LINES[:2], line, *LINES[2:]], **options)
    assert str(caught.value).startswith(message)


def test_a_text_that_is_too_short_or_repeats_itself_is_refused():
    with pytest.raises(BadInputError, match=r"x.txt has 3 lines; it takes at least 10, one of them held out"):
        read(LINES[:3])
    with pytest.raises(BadInputError, match=r"all lines of x.txt that would be held out stand among the others"):
        read([LINES[0]] * 10)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"there is no text at .*x.txt \(No such file.*name a file with --text"):
        corpus.of_file(tmp_path / "x.txt", "words", 0)
    with pytest.raises(BadInputError, match=r"with --data-dir, or the one above a folder text/ with .* SPARRING_DATA"):
        corpus.of_file(tmp_path / "x.txt", "words", 0)
    (tmp_path / "y.txt").write_bytes(b"good words\nbad \xff words\n")
    with pytest.raises(BadInputError, match=r"y.txt is no UTF-8: byte 15 is 0xff; convert it first \(iconv"):
        corpus.of_file(tmp_path / "y.txt", "words", 0)


def test_a_file_is_read_with_or_without_a_mark_at_its_beginning_and_with_any_line_ends(tmp_path):
    for name, text in {
        "plain": "\n".join(LINES),
        "ended": "\n".join([*LINES, ""]),
        "marked": "\ufeff" + "\n".join(LINES),
        "windows": "\r\n".join([*LINES, ""]),
    }.items():
        (tmp_path / name).write_bytes(text.encode())
        found = corpus.of_file(tmp_path / name, "words", 0)
        assert found.words == read().words
        assert torch.equal(found.train, read().train)


def test_only_a_line_feed_ends_a_line(tmp_path):
    (tmp_path / "x").write_bytes("\n".join([*LINES, "a line\u2028of two"]).encode())
    found = corpus.of_file(tmp_path / "x", "words", 0)
    assert len(found.train) + len(found.test) == len(LINES) + 1
    for odd in ("\x0c", "\x85", "\r"):
        (tmp_path / "y").write_bytes("\n".join([*LINES, f"a{odd}b c"]).encode())
        corpus.of_file.cache_clear()
        with pytest.raises(BadInputError, match=rf"line 13 of .*y has a character that nobody .* U\+{ord(odd):04X}"):
            corpus.of_file(tmp_path / "y", "words", 0)
    (tmp_path / "z").write_bytes(b"")
    with pytest.raises(BadInputError, match="z has 0 lines"):
        corpus.of_file(tmp_path / "z", "words", 0)


def test_a_checkpoint_of_another_vocabulary_is_refused():
    one, other = read(), read([line.replace("owl", "eel") for line in LINES])
    one.load_state_dict(one.state_dict())
    with pytest.raises(BadInputError, match=rf"the checkpoint knows {one.vocabulary} tokens \(checksum .*was changed"):
        other.load_state_dict(one.state_dict())
    assert one.state_dict() == read().state_dict()


@pytest.mark.parametrize("lines", [LINES[::-1], [*LINES[:-1], LINES[0]], [*LINES, LINES[0]]])
def test_the_same_words_in_other_sentences_are_another_text(lines):
    one, other = read(), read(lines)
    assert one.words == other.words
    assert one.checksum != other.checksum


def test_sentences_that_are_drawn_may_differ_on_another_machine():
    one, other = (corpus.of_oracle(5, 4, 20, 10, seed, None) for seed in (0, 1))
    assert not torch.equal(one.train, other.train)
    one.load_state_dict(other.state_dict())
    assert one.state_dict() == other.state_dict()


def test_a_sheet_of_a_text_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("\n".join(LINES))
    schedule = seqgan.Schedule(steps=2, samples=5)
    config = seqgan.Config(schedule, "text", text=str(path), length=0, hidden=4, embedding=4)
    algorithm, _, judge = seqgan.experiment(config, seed=0, device="cpu")
    judge(algorithm).episodes[0].save(tmp_path / "x.npz")
    sheet = sheets.load(tmp_path / "x.npz")
    assert sheets.compare(sheet, seqgan.remake(config, sheet)).step is None
    corpus.of_file.cache_clear()
    path.write_text("\n".join([LINES[-1], *LINES[:-1]]))
    for again in (seqgan.remake, seqgan.words):
        with pytest.raises(EpisodeError, match=r"written when .*x.txt had the checksum .* bring the old one back"):
            again(config, sheet)


def test_a_text_that_was_changed_is_found_out_by_a_resume(tmp_path):
    """The corpus is the first part, so it is named before any weights."""
    path = tmp_path / "x.txt"
    path.write_text("\n".join(LINES))
    config = seqgan.Config(seqgan.Schedule(steps=2), "text", text=str(path), length=0, hidden=4, embedding=4)
    algorithm = seqgan.experiment(config, seed=0, device="cpu").algorithm
    assert next(iter(algorithm.parts())) == "corpus"
    corpus.of_file.cache_clear()
    path.write_text("\n".join([*LINES, "and another word"]))
    again = seqgan.experiment(config, seed=0, device="cpu").algorithm
    with pytest.raises(BadInputError, match="begin a new run"):
        again.parts()["corpus"].load_state_dict(algorithm.parts()["corpus"].state_dict())


@pytest.mark.parametrize(("task", "answer"), [("copy", [0, 1, 2]), ("reverse", [2, 1, 0])])
def test_a_task_holds_sources_and_their_answers(task, answer):
    found = corpus.of_task(task, 7, 3, 50, 10, 0)
    assert (found.given, found.length, len(found.test)) == (3, 3, 10)
    assert torch.equal(found.train[:, 3:], found.train[:, :3][:, answer])
    assert found.train.min() == 1
    assert found.train.max() == 6
    assert found.said([1, 2, 3, 3, 2, 1]) == "1 2 3 → 3 2 1"


def test_an_oracles_corpus_follows_from_its_seed():
    one, again, other = (corpus.of_oracle(5, 4, 20, 10, seed, None) for seed in (0, 0, 1))
    assert torch.equal(one.train, again.train)
    assert not torch.equal(one.train, other.train)
    assert one.said([3, 0, 2, 4]) == "3 0 2 4"
    assert dataclasses.replace(one, words=("", "a", "b")).said([2, 1, 0, 1]) == "b a"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora are not in ../shared/data")
def test_the_shared_corpora_are_as_they_are_described():
    poems = corpus.of_file(SHARED / "chinese_quatrains.txt", "words", 0)
    assert poems.vocabulary == 4_771 + 1
    assert (len(poems.train), len(poems.test), poems.length) == (16_394 - 1_639, 1_639 - 78, 24)
    captions = corpus.of_file(SHARED / "coco_train.txt", "words", 0)
    assert captions.vocabulary == 6_094 + 1
    assert captions.length == 35
