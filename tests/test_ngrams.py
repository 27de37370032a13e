"""n-grams: their equation by hand, and sentences that follow it."""

import numpy as np
import pytest

from sparring.adversarial import ngrams
from sparring.adversarial.ngrams import NGrams

SEEN = np.array([[0, 1, 1], [0, 1, 2], [0, 0, 1]])  # of tokens 0 … 3


def test_a_unigram_is_what_was_counted_and_the_rest_is_shared():
    """0 came four times, 1 four times, 2 once, 3 never: c = 9, N = 3."""
    p = NGrams(SEEN, 4, 1, discount=0.5).probabilities(np.arange(4)[:, None])[:, 0]
    left = 0.5 * 3 / 9 / 4
    np.testing.assert_allclose(p, [3.5 / 9 + left, 3.5 / 9 + left, 0.5 / 9 + left, left])
    assert p.sum() == pytest.approx(1)


def test_a_bigram_falls_back_on_the_unigram_and_a_sentence_begins_with_nothing():
    model = NGrams(SEEN, 4, 2, discount=0.5)
    unigram = NGrams(SEEN, 4, 1, discount=0.5).probabilities(np.array([[0, 1, 2, 3]]))[0]
    [p] = model.probabilities(np.array([[0, 1, 3]]))
    assert p[0] == pytest.approx((3 - 0.5) / 3 + 0.5 * 1 / 3 * unigram[0])  # all sentences begin with 0
    assert p[1] == pytest.approx((3 - 0.5) / 4 + 0.5 * 2 / 4 * unigram[1])  # 0 is followed by 1, 1, 0, 1
    assert p[2] == pytest.approx(0.5 * 2 / 2 * unigram[3])  # 1 by 1 and 2, never by 3
    [p] = model.probabilities(np.array([[3, 2, 1]]))
    assert p[1] == pytest.approx(unigram[2])  # nothing ever followed 3


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_add_up_to_one_after_every_prefix(order):
    model = NGrams(SEEN, 4, order, discount=0.75)
    for prefix in ([], [0], [0, 1], [3, 1], [1, 1]):
        rows = np.array([[*prefix, token] for token in range(4)])
        assert model.probabilities(rows)[:, -1].sum() == pytest.approx(1)


def test_plain_counts_give_nothing_to_what_never_came():
    model = NGrams(SEEN, 4, 2, discount=0.0)
    assert model.nll(np.array([[3, 0, 0]])) == np.inf
    assert model.nll(SEEN) < np.log(2)


@pytest.mark.parametrize("discount", [0.0, 0.6])
def test_sentences_are_written_as_often_as_they_are_likely(discount):
    model = NGrams(SEEN, 4, 3, discount=discount)
    made = model.write(40_000, 3, np.random.default_rng(0))
    every = np.array(np.meshgrid(*[np.arange(4)] * 3, indexing="ij")).reshape(3, -1).T
    shares = np.bincount(made @ [16, 4, 1], minlength=64) / len(made)
    np.testing.assert_allclose(shares, model.probabilities(every).prod(1), atol=0.008)


def test_what_is_counted_by_position_or_replayed_comes_from_what_was_seen():
    random = np.random.default_rng(0)
    assert {tuple(row) for row in ngrams.replayed(SEEN, 50, random)} == {tuple(row) for row in SEEN}
    placed = ngrams.by_position(SEEN, 200, random)
    assert set(placed[:, 0]) == {0}
    assert set(placed[:, 2]) == {1, 2}
