"""The discriminator of sentences: convolutions of several widths, their responses over all places, and a highway.

    x = [max over places of relu(conv_w(E y))  for every width w]                     Kim 2014
    τ = σ(W_τ x + b_τ),   x ← τ ∘ relu(W_H x + b_H) + (1 − τ) ∘ x                     Srivastava et al. 2015
    D(y) = w · dropout(x) + b                                                         a logit; SeqGAN, section 3.3

A sentence may end in BLANK, which is one more token to D: so it judges prefixes too, and sees nothing that follows. It
may also be relaxed tokens, whose embedding is the mean of embeddings. Of few tokens almost every n-gram stands in every
long sentence, and what matters is how often: so the small one takes the mean over places, where Kim takes the largest.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sparring.envs.errors import BadInputError

Size = Literal["small", "paper"]


class Filters(NamedTuple):
    """How large D is."""

    embedding: int
    counts: dict[int, int]  # by width
    largest: bool  # of all places, or their mean


SIZES: dict[Size, Filters] = {
    "small": Filters(32, {2: 64, 3: 64, 5: 64}, largest=False),
    "paper": Filters(
        64,
        {1: 100, 2: 200, 3: 200, 4: 200, 5: 200, 6: 100, 7: 100, 8: 100, 9: 100, 10: 100, 15: 160, 20: 160},
        largest=True,
    ),
}


class Discriminator(nn.Module):
    """Sentences [B, L], or relaxed ones [B, L, V] → logits [B]; filters wider than a sentence are left out.

    Raises:
        BadInputError: that leaves none.
    """

    def __init__(self, vocabulary: int, length: int, size: Size, dropout: float) -> None:
        super().__init__()
        width, counts, self.largest = SIZES[size]
        self.dropout = dropout
        self.embedding = nn.Embedding(vocabulary + 1, width)
        fitting = {wide: count for wide, count in counts.items() if wide <= length}
        if not fitting:
            raise BadInputError(
                f"sentences have {length} token, and D's narrowest filter {min(counts)}: use --length {min(counts)} or "
                "more, or --d-size paper, whose narrowest has 1"
            )
        self.convolutions = nn.ModuleList(nn.Conv1d(width, count, wide) for wide, count in fitting.items())
        features = sum(fitting.values())
        self.gate = nn.Linear(features, features)
        self.high = nn.Linear(features, features)
        self.head = nn.Linear(features, 1)

    def forward(self, sentences: Tensor, dice: torch.Generator | None = None) -> Tensor:
        """As the class says; with `dice` features are dropped, as in training."""
        relaxed = sentences.is_floating_point()
        embedded = sentences @ self.embedding.weight[1:] if relaxed else self.embedding(sentences + 1)
        places = embedded.transpose(1, 2)
        responses = [torch.relu(convolve(places)) for convolve in self.convolutions]
        x = torch.cat([one.amax(2) if self.largest else one.mean(2) for one in responses], 1)
        open_ = torch.sigmoid(self.gate(x))
        x = open_ * torch.relu(self.high(x)) + (1 - open_) * x
        if dice is not None and self.dropout:
            kept = torch.rand(x.shape, generator=dice, device=x.device) >= self.dropout
            x = x * kept / (1 - self.dropout)
        return torch.as_tensor(self.head(x)[:, 0])

    def complexity(self) -> Tensor:
        """‖w‖²/2 + ‖b‖²/2 of the last layer []: what SeqGAN's code holds small."""
        return (self.head.weight.square().sum() + self.head.bias.square().sum()) / 2
