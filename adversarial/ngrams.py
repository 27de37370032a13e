"""Models that are counted, not learned: the bars that a generator of sentences must be held against.

With c(hw) how often the token w follows the context h of n − 1 tokens, and N(h) how many different tokens do,

    p_n(w|h) = max(c(hw) − d, 0) / c(h)  +  d N(h) / c(h) · p_{n−1}(w|h′),   h′ = h without its first token

is absolute discounting, interpolated (Ney, Essen & Kneser 1994). p_0 is uniform; a context that never came is left to
the shorter one. With d = 0 these are the plain counts, which give probability 0 to much that happens, and yet a bigram
of plain counts pleases SeqGAN's oracle more than SeqGAN does. Before a sentence stand n − 1 tokens that are none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparring.envs.worlds import Array

Numbers = NDArray[np.float64]
NONE = -1  # the token before a sentence


class Counts(NamedTuple):
    """What follows the contexts of one length. Places are those of the training text, ordered by context."""

    contexts: Array  # [C] keys in order
    first: Array  # [C] place of the context's first occurrence
    total: Array  # [C] c(h)
    kinds: Array  # [C] N(h)
    pairs: Array  # [P] keys of hw in order
    often: Array  # [P] c(hw)
    following: Array  # [places] w, ordered by context


class NGrams:
    """Counts of all orders up to n, over sentences [N, T]."""

    def __init__(self, sentences: Array, vocabulary: int, order: int, discount: float = 0.75) -> None:
        """`discount` d in [0, 1]."""
        self.vocabulary = vocabulary
        self.discount = discount
        self.counts = [self._count(sentences, length) for length in range(order)]

    def _count(self, sentences: Array, length: int) -> Counts:
        before = self._contexts(sentences, length).ravel()
        order = np.argsort(before, kind="stable")
        following = sentences.ravel()[order]
        contexts, first, total = np.unique(before[order], return_index=True, return_counts=True)
        pairs, often = np.unique(before * self.vocabulary + sentences.ravel(), return_counts=True)
        kinds = np.bincount(np.searchsorted(contexts, pairs // self.vocabulary), minlength=len(contexts))
        return Counts(contexts, first, total, kinds, pairs, often, following)

    def _contexts(self, sentences: Array, length: int) -> Array:
        """The key of the `length` tokens before every place, [N, T]."""
        keys = np.zeros(sentences.shape, np.int64)
        for back in range(length, 0, -1):
            token = np.full(sentences.shape, NONE)
            token[:, back:] = sentences[:, :-back]
            keys = keys * (self.vocabulary + 1) + token + 1
        return keys

    def probabilities(self, sentences: Array) -> Numbers:
        """p of every token [N, T]."""
        p = np.full(sentences.shape, 1 / self.vocabulary)
        for length, counts in enumerate(self.counts):
            keys = self._contexts(sentences, length)
            at, known = found(counts.contexts, keys)
            pair, seen = found(counts.pairs, keys * self.vocabulary + sentences)
            often = np.where(seen, np.maximum(counts.often[pair] - self.discount, 0), 0)
            left = self.discount * counts.kinds[at]
            p = np.where(known, (often + left * p) / counts.total[at], p)
        return p

    def nll(self, sentences: Array) -> float:
        """−ln p a token, in nats; infinite where something has probability 0."""
        with np.errstate(divide="ignore"):
            return float(-np.log(self.probabilities(sentences)).mean())

    def write(self, count: int, length: int, random: np.random.Generator) -> Array:
        """So many sentences [N, T] of the model.

        A token that once followed the context is taken with probability (c − d) / c, or else the shorter context is
        asked: which is what the equation says, without a table of all probabilities.
        """
        sentences = np.full((count, length), NONE)
        for place in range(length):
            sentences[:, place] = self._next(sentences, place, random)
        return sentences

    def _next(self, sentences: Array, place: int, random: np.random.Generator) -> Array:
        tokens = random.integers(self.vocabulary, size=len(sentences))
        open_ = np.ones(len(sentences), bool)
        for reach in range(len(self.counts) - 1, -1, -1):
            counts = self.counts[reach]
            window = sentences[:, max(place - reach, 0) : place + 1]
            key = self._contexts(window, reach)[:, -1]
            at, known = found(counts.contexts, key)
            chosen = counts.following[counts.first[at] + (random.random(len(at)) * counts.total[at]).astype(int)]
            pair, _ = found(counts.pairs, key * self.vocabulary + chosen)
            kept = open_ & known & (random.random(len(at)) * counts.often[pair] >= self.discount)
            tokens = np.where(kept, chosen, tokens)
            open_ &= ~kept
        return tokens


def found(keys: Array, wanted: Array) -> tuple[Array, Array]:
    """Where each of `wanted` stands among ordered keys (somewhere, if it does not), and whether it does."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def by_position(sentences: Array, count: int, random: np.random.Generator) -> Array:
    """Each token [N, T] from those that stood at its place: a unigram a position."""
    rows = random.integers(len(sentences), size=(count, sentences.shape[1]))
    return np.take_along_axis(sentences, rows, 0)


def replayed(sentences: Array, count: int, random: np.random.Generator) -> Array:
    """Sentences that were learned from, again: the best NLL_oracle that copying buys."""
    return sentences[random.integers(len(sentences), size=count)]
