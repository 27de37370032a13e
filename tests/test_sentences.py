"""Metrics of sentences, by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from sparring.adversarial import sentences, seqgan
from sparring.adversarial.corpus import Corpus, of_lines
from sparring.adversarial.sentences import bleu, copied_runs, self_bleu

pytestmark = pytest.mark.usefixtures("one_thread")

REAL = [[1, 2, 3, 4], [5, 2, 3]]


@pytest.mark.parametrize(
    ("sentence", "order", "expected"),
    [
        ([1, 2, 3, 4], 4, 1.0),
        ([5, 2, 3], 2, 1.0),
        ([1, 2, 3, 9], 2, math.sqrt(3 / 4 * 2 / 3)),
        ([2, 2, 2, 2], 1, 1 / 4),  # 2 stands once in a real sentence, so it counts once
        ([1, 9, 9, 9], 2, math.sqrt(1 / 4 * 0.1 / 3)),  # no pair: ε in its place
        ([2, 3], 2, math.exp(1 - 3 / 2)),  # shorter than the nearest real one
        ([1], 2, math.sqrt(1 * 0.1 / 1) * math.exp(1 - 3)),
        ([], 2, 0.0),
    ],
)
def test_bleu_is_the_mean_of_clipped_precisions_times_brevity(sentence, order, expected):
    assert bleu([sentence], REAL, order) == [pytest.approx(expected)]


def test_bleu_is_what_sacrebleu_says():
    """Its 2.6.0 with `tokenize="none", smooth_method="floor", smooth_value=0.1` and all orders."""
    made = [[5, 3, 3, 1, 1], [0, 0, 0, 1, 4, 3, 5], [3, 3, 5, 4, 3, 3, 3, 5, 1], [4, 4, 0, 2, 5, 3, 0, 4]]
    real = [[4, 5, 1, 0, 5, 0], [3, 0, 1, 2, 2, 2, 0, 0], [0, 0, 4, 3, 3, 1, 3]]
    assert bleu(made, real, 2) == pytest.approx([0.517811, 0.707107, 0.540062, 0.46291], abs=1e-6)
    assert bleu(made, real, 4) == pytest.approx([0.233947, 0.125743, 0.162334, 0.091932], abs=1e-6)


TOKENS = st.lists(st.integers(0, 5), min_size=1, max_size=9)


@given(TOKENS, st.lists(TOKENS, min_size=1, max_size=4), st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_bleu_of_any_sentence_is_what_sacrebleu_says(made, real, order):
    """Its floor smoothing with 0.1, no tokenisation. An n that the sentence is too short for has ε here and is left out
    there; where nothing matches ε stands in every place, and there the score is 0.
    """
    known = BLEU(
        smooth_method="floor", smooth_value=0.1, tokenize="none", effective_order=True, max_ngram_order=order
    ).sentence_score(" ".join(map(str, made)), [" ".join(map(str, sentence)) for sentence in real])
    told = min(len(made), order)  # the orders that it has counted
    precisions = [(match or 0.1) / total for match, total in zip(known.counts[:told], known.totals, strict=False)]
    if any(known.counts):
        assert known.score / 100 == pytest.approx(known.bp * math.prod(precisions) ** (1 / told))
    by_definition = known.bp * (math.prod(precisions) * 0.1 ** (order - told)) ** (1 / order)
    assert bleu([made], real, order) == [pytest.approx(by_definition)]
    if any(known.counts) and told == order:
        assert bleu([made], real, order) == [pytest.approx(known.score / 100)]


def test_self_bleu_holds_each_against_all_others():
    random = np.random.default_rng(1)
    made = [random.integers(4, size=random.integers(3, 8)).tolist() for _ in range(12)]
    by_hand = [bleu([one], made[:k] + made[k + 1 :], 3)[0] for k, one in enumerate(made)]
    assert self_bleu(made, 3) == pytest.approx(by_hand)
    assert self_bleu([[1, 2, 3, 4]] * 3, 4) == [1.0] * 3
    assert max(self_bleu([[1, 2], [3, 4]], 1)) == pytest.approx(0.05)


def test_a_copied_run_is_the_longest_that_stands_in_what_was_learned():
    learned = np.array([[1, 2, 3, 4, 5], [9, 9, 1, 2, 9]])
    made = np.array([[0, 2, 3, 4, 0], [1, 2, 9, 0, 0], [7, 7, 7, 7, 7], [1, 2, 3, 4, 5], [5, 9, 4, 1, 3]])
    assert copied_runs(made, learned).tolist() == [3, 3, 0, 5, 1]


def test_copied_runs_of_many_are_those_of_a_slow_search():
    random = np.random.default_rng(0)
    made, learned = random.integers(4, size=(30, 9)), random.integers(4, size=(60, 9))

    def slow(row):
        known = {tuple(one[a:b]) for one in learned.tolist() for a in range(9) for b in range(a + 1, 10)}
        return max(b - a for a in range(9) for b in range(a, 10) if b == a or tuple(row[a:b]) in known)

    assert copied_runs(made, learned).tolist() == [slow(row) for row in made.tolist()]


def test_what_follows_the_end_of_a_text_is_not_copied():
    corpus = of_lines([f"a b {word}" for word in "cdefghijkl"], "words", 8, "x")
    words = {word: number for number, word in enumerate(corpus.words)}
    some = torch.tensor([[words["c"], words["b"], 0, 0, 0, 0, 0, 0]])
    assert sentences.variety(some, corpus)["copied_run"] == 1


def test_real_sentences_are_not_compared_with_themselves():
    corpus = of_lines([f"a {x} {y}" for x in "bcdefghijk" for y in "lmnopq"], "words", 0, "x")
    even, odd = (sentences.readable(corpus, corpus.test[first::2]) for first in (0, 1))
    found = sentences.bars(corpus, 10)
    assert found["bleu2_real"] == pytest.approx(np.mean(bleu(even, odd, 2)))
    assert found["bleu2_real"] < 1
    assert sentences.overlap(odd, corpus)["bleu2"] == 1


def test_duplicates_are_what_was_written_before():
    corpus = Corpus(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1, 2]]), 5)
    made = torch.tensor([[1, 1], [1, 1], [1, 1], [2, 2]])
    assert sentences.variety(made, corpus)["duplicates"] == 0.5


def test_what_follows_the_end_of_a_text_makes_no_sentence_new():
    corpus = of_lines([f"a b {word}" for word in "cdefghijkl"], "words", 5, "x")
    made = torch.tensor([[1, 2, 0, 0, 0], [1, 2, 0, 3, 4], [1, 2, 0, 0, 5], [1, 2, 3, 0, 0]])
    assert sentences.variety(made, corpus)["duplicates"] == 0.5


def test_the_same_answer_to_another_source_is_no_duplicate():
    corpus = Corpus(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1, 2]]), 5, given=1)
    assert sentences.variety(torch.tensor([[1, 1], [2, 1], [2, 1], [3, 1]]), corpus)["duplicates"] == 0.25


def test_bars_are_those_of_their_corpus_and_counted_once():
    one, other = (
        of_lines([f"a b {word}" for word in words], "words", 0, "x") for words in ("cdefghijkl", "kkkkkkkkkm")
    )
    assert sentences.bars(one, 5) is sentences.bars(one, 5)
    assert sentences.bars(one, 5) != sentences.bars(other, 5)


def test_likelihood_is_told_a_token_that_counts():
    """Uniform over 14 tokens at every place, paid up to T and counted up to the end."""
    corpus = of_lines([f"a b {word}" for word in "cdefghijkl"], "words", 5, "x")
    config = seqgan.Config(seqgan.Schedule(steps=1), "text", length=0, hidden=4, embedding=4)
    model = seqgan.model_of(config, corpus, 0)
    with torch.no_grad():
        model.policy_head.weight.zero_()
        model.policy_head.bias.zero_()
    found = sentences.likelihood(model, corpus, corpus.train, corpus.test)
    assert found["nll_test"] == pytest.approx(math.log(corpus.vocabulary) * 5 / 4, rel=1e-5)
    assert found["entropy"] == found["nll_test"]


def judged(**options):
    config = seqgan.Config(
        seqgan.Schedule(steps=1, samples=40),
        "oracle",
        vocabulary=6,
        length=5,
        sentences=200,
        held_out=60,
        hidden=8,
        **options,
    )
    algorithm, _, judge = seqgan.experiment(config, seed=0, device="cpu")
    return config, algorithm, judge


def test_all_figures_are_told_together_with_their_bars():
    _, algorithm, judge = judged()
    evaluation = judge(algorithm)
    found = evaluation.metrics
    assert next(iter(found)) == "nll_oracle"
    bars = {f"ngram{n}_nll_{of}" for n in (1, 2, 3, 4) for of in ("test", "oracle")} | {"uniform_nll_test"}
    assert bars | {"nll_test", "entropy", "kl_forward", "kl_reverse", "floor", "replay_nll_oracle"} <= set(found)
    assert found["uniform_nll_test"] == pytest.approx(math.log(6))
    assert found["nll_test_low"] < found["nll_test"] < found["nll_test_high"]
    assert found["kl_forward"] == pytest.approx(found["nll_test"] - found["floor"])
    assert {"duplicates", "copied_run", "copied_run_real"} <= set(found)
    assert judge(algorithm).metrics == found
    assert evaluation.protocol["held_out"] == 40


def test_a_sheet_is_written_again_from_its_places():
    config, algorithm, judge = judged()
    [sheet] = judge(algorithm).episodes
    assert sheet.samples.shape == (sentences.SHOWN, 5)
    assert sum(weight.size for weight in sheet.weights.values()) == sum(w.numel() for w in algorithm.model.parameters())
    assert not any("value_body" in name for name in sheet.weights)
    assert np.array_equal(seqgan.remake(config, sheet), sheet.samples)
    assert seqgan.words(config, sheet)[0] == " ".join(map(str, sheet.samples[0]))
    shown = seqgan.picture(config, sheet)
    assert shown.dtype == np.uint8
    assert shown.shape[2] == 3
    assert (shown < 100).any()


def test_the_same_places_show_what_learning_changed():
    _, algorithm, judge = judged(mle_rounds=5, mle_rate=0.02)
    source = seqgan.Desk(algorithm)
    source.reset(0)
    before = judge(algorithm).episodes[0]
    algorithm.update(source.draw(algorithm))
    after = judge(algorithm).episodes[0]
    assert np.array_equal(before.latents, after.latents)
    assert not np.array_equal(before.samples, after.samples)


def test_a_character_that_one_font_lacks_is_drawn_in_another():
    """א stands in matplotlib's DejaVu Sans, and not in its mono."""
    assert sentences.fonts(frozenset(map(ord, "ab"))) == (["DejaVu Sans Mono"], frozenset())
    families, lacking = sentences.fonts(frozenset(map(ord, "aא")))
    assert len(families) == 2
    assert not lacking
    assert not np.array_equal(sentences.picture(["a א"], "t"), sentences.picture(["a □"], "t"))


def test_a_character_that_no_font_has_is_a_box_and_the_title_says_so():
    odd = "\U000e0fff"  # not assigned to anything
    boxes = sentences.picture(["a □"], "t · □ is what no font here has")
    assert np.array_equal(sentences.picture([f"a {odd}"], "t"), boxes)
    assert not np.array_equal(sentences.picture(["a □"], "t"), boxes)
