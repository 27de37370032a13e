"""A language model that is a policy: it reads a prefix, and says the next token and how good the prefix is.

    p(y_1 … y_T) = Π_t π(y_t | y_1 … y_{t−1}),   π = softmax(W h_t + b),   h_t = LSTM(START, y_1, …, y_{t−1})

Tokens are numbers from 0 on; START is 0 as well, as in SeqGAN's code (Yu et al. 2017), and a place that is not written
yet is BLANK. To agents it is an `ActorCritic` like any other, whose observations are prefixes: whatever can learn to
act can learn to write. Three things make it fast:

    read     a prefix of another prefix is not read again: of T prefixes of a sentence only the longest is
    write    goes on from the state that the last token left
    tokens   are drawn by inverting the distribution at a uniform number, one for each place; the same numbers give the
             same sentence as long as the model stays the same, and show how it changes where it does not
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from gymnasium.spaces import Discrete
from torch import Tensor, nn
from torch.nn.functional import one_hot

from sparring.agents.networks import ActorCritic
from sparring.agents.policy import Remembered
from sparring.envs.rollouts import Acts
from sparring.envs.tokens import BLANK
from sparring.envs.worlds import Array

START = 0
AT_A_TIME = 1_000  # sentences: bounds the memory of large vocabularies

State = tuple[Tensor, Tensor]
"""(h, c), each [1, N, H]"""


class Relaxed(NamedTuple):
    """A token as numbers that a gradient passes."""

    shown: Tensor  # [N, V] what the discriminator sees
    fed: Tensor  # [N, V] what is read next


Relax = Callable[[Tensor, Tensor], Relaxed]
"""from logits [N, V] and Gumbel noise [N, V]"""


class Reader(nn.Module):
    """An LSTM over embedded tokens."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)

    def forward(self, prefixes: Tensor) -> Tensor:
        """Prefixes [B, L], blank at the end → what is known after each, [B, H]."""
        rows, of_row = torch.unique(prefixes, dim=0, return_inverse=True)  # in order: a prefix before its continuations
        begins = ((rows[:-1] == rows[1:]) | (rows[:-1] == BLANK)).all(1)
        ends = torch.cat([~begins, begins.new_ones(1)])
        longest = rows[ends]
        features, _ = self.read(started(longest[:, : int(written(longest).max())]))
        return features[(ends.cumsum(0) - ends.long())[of_row], written(prefixes)]

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Tokens [N, t], read on from a state → what is known after each, [N, t, H], and the new state."""
        return self.take(self.embedding(tokens.clamp(min=0)), state)

    def take(self, embedded: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The same of embedded tokens [N, t, E]."""
        features, (h, c) = self.lstm(embedded, state)
        return features, (h, c)


class LanguageModel(ActorCritic):
    """A policy over the next token, over one reader of the prefix."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int) -> None:
        reader = Reader(vocabulary, embedding, hidden)
        super().__init__(nn.Identity(), reader, reader, hidden, Discrete(vocabulary), "fp32")
        self.vocabulary = vocabulary

    @property
    def reader(self) -> Reader:
        """What reads prefixes."""
        assert isinstance(self.policy_body, Reader)
        return self.policy_body

    def log_probs(self, sentences: Tensor, given: int = 0, sharpness: float = 1.0) -> Tensor:
        """log π of every token after the first `given` [N, L] → [N, L − given]; `sharpness` α multiplies logits."""
        features, _ = self.reader.read(started(sentences[:, :-1]))
        logits = sharpness * self.policy_head(features[:, given:])
        return -torch.nn.functional.cross_entropy(logits.transpose(1, 2), sentences[:, given:], reduction="none")

    @torch.no_grad()
    def write(self, given: Tensor, places: Tensor, sharpness: float = 1.0) -> Tensor:
        """Go on from `given` [N, S] by tokens that uniform numbers `places` [N, T] pick: whole sentences [N, S + T]."""
        _, state = self.reader.read(started(given))
        return torch.cat([given, self.finish(state, places, sharpness)], 1)

    @torch.no_grad()
    def finish(self, state: State, places: Tensor, sharpness: float = 1.0) -> Tensor:
        """The tokens [N, T] that follow what a state has read."""
        tokens: list[Tensor] = []
        for place in places.unbind(1):
            if tokens:
                _, state = self.reader.read(tokens[-1][:, None], state)
            tokens.append(picked(sharpness * self.policy_head(state[0][0]), place))
        return torch.stack(tokens, 1)

    def dream(self, given: Tensor, noise: Tensor, relax: Relax) -> Tensor:
        """Sentences [N, S + T, V] of relaxed tokens, from Gumbel noise [N, T, V]; what is given is one-hot."""
        _, state = self.reader.read(started(given))
        shown = [one_hot(token, self.vocabulary).to(noise) for token in given.unbind(1)]
        fed: Tensor | None = None
        for one in noise.unbind(1):
            if fed is not None:
                _, state = self.reader.take((fed @ self.reader.embedding.weight)[:, None], state)
            token = relax(self.policy_head(state[0][0]), one)
            shown.append(token.shown)
            fed = token.fed
        return torch.stack(shown, 1)


class Pen:
    """The model as an Actor that writes many sentences at once and remembers where it was."""

    def __init__(self, model: LanguageModel, dice: torch.Generator) -> None:
        self.model = model
        self.dice = dice
        self.state: State | None = None
        self.known = torch.zeros(0, 0, dtype=torch.long)  # [N, t] what the state has read

    @torch.no_grad()
    def follow(self, prefixes: Tensor) -> State:
        """The state after prefixes [N, t]: one token further where they go on from the last, else read anew."""
        before = self.known.shape[1]
        if (
            self.state is not None
            and prefixes.shape == (len(self.known), before + 1)
            and torch.equal(prefixes[:, :-1], self.known)
        ):
            _, self.state = self.model.reader.read(prefixes[:, -1:], self.state)
        else:
            _, self.state = self.model.reader.read(started(prefixes))
        self.known = prefixes
        return self.state

    @torch.no_grad()
    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Remembered]:
        """The next tokens [N] of sentences [N, L] that are equally far."""
        shown = torch.as_tensor(obs, device=self.dice.device)
        features = self.follow(shown[:, : int(written(shown[:1]))])[0][0]
        logits, values = self.model.policy_head(features), self.model.value_head(features)[:, 0]
        place = torch.rand(len(shown), generator=self.dice, device=self.dice.device)
        tokens = logits.argmax(1) if greedy else picked(logits, place)
        log_probs = torch.log_softmax(logits, 1).gather(1, tokens[:, None])[:, 0]
        return Acts(tokens.cpu().numpy(), Remembered(log_probs.cpu().numpy(), values.cpu().numpy()))


def started(tokens: Tensor) -> Tensor:
    """[N, t] → [N, t + 1] with START before them."""
    return torch.nn.functional.pad(tokens, (1, 0), value=START)


def written(sentences: Tensor) -> Tensor:
    """How many places are written [N]."""
    return (sentences != BLANK).sum(1)


def picked(logits: Tensor, place: Tensor) -> Tensor:
    """The token [N] at a place in [0, 1) of the distribution [N, V]: the first whose cumulative share is above it."""
    shares = torch.softmax(logits, 1).cumsum(1)
    return torch.searchsorted(shares, (place * shares[:, -1])[:, None], right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def gumbel(noise: Tensor) -> Tensor:
    """Gumbel numbers from uniform ones in [0, 1)."""
    tiny = torch.finfo(noise.dtype).tiny
    exponential = -torch.log(noise.clamp(min=tiny))
    return -torch.log(exponential.clamp(min=tiny))


def softened(temperature: float) -> Relax:
    """Gumbel-softmax: y = softmax((logits + g) / τ)                  Jang et al. 2017; Maddison et al. 2017."""

    def relax(logits: Tensor, noise: Tensor) -> Relaxed:
        token = torch.softmax((logits + noise) / temperature, 1)
        return Relaxed(token, token)

    return relax


def straight_through(temperature: float) -> Relax:
    """The token that was drawn, with the gradient of the softened one                   Bengio et al. 2013."""

    def relax(logits: Tensor, noise: Tensor) -> Relaxed:
        token = torch.softmax((logits + noise) / temperature, 1)
        hard = one_hot(token.argmax(1), logits.shape[1]).to(token) + token - token.detach()
        return Relaxed(hard, hard)

    return relax


def probabilities(logits: Tensor, noise: Tensor) -> Relaxed:
    """All of π is shown, and a token that was drawn is read on         Gulrajani et al. 2017; Press et al. 2017."""
    drawn = one_hot((logits + noise).argmax(1), logits.shape[1]).to(logits)
    return Relaxed(torch.softmax(logits, 1), drawn)


def parts(sentences: Tensor) -> Iterator[Tensor]:
    """Some at a time."""
    return iter(torch.split(sentences, AT_A_TIME))


def in_normal(model: nn.Module, scale: float, generator: torch.Generator) -> None:
    """Draw all weights anew from N(0, scale²)."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
