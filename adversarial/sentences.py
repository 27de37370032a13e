"""How good sentences are, always told together: likelihood both ways, entropy, n-grams' bars, variety, copying.

    NLL_test     −ln π of held-out sentences, nats a token                 likelihood of what is real
    entropy      −ln π of π's own sentences                                 how much it has to say
    NLL_oracle, both KLs, the floor                                         where there is an oracle: see `oracles`
    BLEU-n       n-grams that real sentences have too: exp mean_k≤n ln p_k times the penalty of brevity, sentence by
                 sentence, with ε = 0.1 in place of no match                Papineni et al. 2002; Chen & Cherry 2014, 1
    self-BLEU-n  the same with all other sentences in place of real ones: high where a generator repeats itself
    duplicates   share of sentences that were written before
    copied run   the mean length of the longest run of tokens that stands in what was learned from, too

Whoever gains NLL_oracle, or BLEU, by saying less, pays with NLL_test, or self-BLEU. The bars (`ngrams`) and held-out
sentences (`real`) stand beside all of it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import exp, log
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sparring.adversarial import ngrams, oracles
from sparring.adversarial.corpus import Corpus
from sparring.adversarial.language import LanguageModel, parts
from sparring.adversarial.ngrams import NGrams
from sparring.adversarial.sheets import Sheet
from sparring.agents.evaluate import JUDGED
from sparring.agents.policy import on_threads
from sparring.agents.protocol import Evaluation, Judge, Watch, unwatched
from sparring.envs.worlds import Array

SHOWN = 20  # sentences of a sheet
ORDER = 4  # of the longest n-grams
DISCOUNT = 0.75
COMPARED = 500  # sentences whose BLEU is told
SMOOTHING = 0.1
FIRST_BITS = 22  # of a key
COLUMNS = 110  # of a picture
FONT = "DejaVu Sans Mono"
LAST_RESORT = "Last Resort"  # the font that draws a box for everything
BOX = "□"

Tokens = Sequence[int]


class Writer(Protocol):
    """What is judged."""

    @property
    def model(self) -> LanguageModel:
        """The generator."""

    @property
    def clock(self) -> Any:
        """Whose `rounds` are over."""


def judge(algorithm: str, config: Any, corpus: Corpus, *, seed: int) -> Judge:
    """What an Experiment needs: sentences from numbers that are set apart from those of the training."""
    apart = int(np.random.SeedSequence([seed, JUDGED]).generate_state(1)[0] >> 2)
    count = config.schedule.samples

    def evaluation(writer: Writer, /, *, watch: Watch = unwatched) -> Evaluation:
        own = written(writer.model, corpus, count, apart)
        found = quality(writer.model, corpus, own, watch)
        places, given = asked(corpus, SHOWN, apart)
        sheet = Sheet(
            algorithm,
            dataclasses.asdict(config),
            writer.clock.rounds,
            found,
            torch.get_num_threads(),
            places.numpy(),
            np.zeros(0, np.int64),
            at_places(writer.model, given, places).numpy(),
            {name: weight.detach().cpu().numpy().copy() for name, weight in writer.model.named_parameters()},
            corpus.checksum if corpus.words else 0,
        )
        protocol = {
            "name": config.data,
            "samples": count,
            "held_out": len(corpus.test[:count]),
            "sharpness": 1.0,
            "seeds": [apart, apart],
        }
        return Evaluation(found, protocol, [], [sheet])

    return evaluation


def asked(corpus: Corpus, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Places [N, T] that pick tokens, and what is given [N, S]: sources of held-out sentences, one after the other."""
    places = torch.rand(count, corpus.length, generator=torch.Generator().manual_seed(seed))
    return places, corpus.test[torch.arange(count) % len(corpus.test), : corpus.given]


def at_places(model: LanguageModel, given: Tensor, places: Tensor, sharpness: float = 1.0) -> Tensor:
    """The sentences [N, S + T] that places pick, on the CPU."""
    device = next(model.parameters()).device
    pairs = zip(parts(given), parts(places), strict=True)
    return torch.cat([model.write(some.to(device), place.to(device), sharpness).cpu() for some, place in pairs])


def written(model: LanguageModel, corpus: Corpus, count: int, seed: int, sharpness: float = 1.0) -> Tensor:
    """So many sentences, from a seed."""
    places, given = asked(corpus, count, seed)
    return at_places(model, given, places, sharpness)


def rewritten(model: LanguageModel, corpus: Corpus, sheet: Sheet) -> Array:
    """A sheet's sentences made again, on as many threads as made them."""
    given = torch.from_numpy(sheet.samples[:, : corpus.given])
    with on_threads(sheet.threads):
        return np.asarray(at_places(model, given, torch.from_numpy(sheet.latents)).numpy())


# ---------------------------------------------------------------------------------------------- what is measured


def quality(model: LanguageModel, corpus: Corpus, own: Tensor, watch: Watch = unwatched) -> dict[str, float]:
    """The metrics that fit the corpus; the first is what a run is known by."""
    test = corpus.test[: len(own)]
    found = likelihood(model, corpus, own, test) if corpus.oracle is None else against_oracle(model, corpus, own, test)
    watch(1, 3)
    if corpus.answer:
        found = answered(own, test, corpus.given) | found
    if corpus.words:
        found |= overlap(readable(corpus, own), corpus)
    watch(2, 3)
    found |= variety(own, corpus) | bars(corpus, len(own))
    watch(3, 3)
    return found


def against_oracle(model: LanguageModel, corpus: Corpus, own: Tensor, test: Tensor) -> dict[str, float]:
    """Everything that an oracle can say, with intervals over sentences."""
    assert corpus.oracle is not None
    found: dict[str, float] = {}
    for name, estimate in oracles.judge(corpus.oracle, model, own, test)._asdict().items():
        found |= {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return found


def likelihood(model: LanguageModel, corpus: Corpus, own: Tensor, test: Tensor) -> dict[str, float]:
    """NLL_test and entropy, nats a token that counts; what follows the end is paid for and not counted."""

    def a_token(sentences: Tensor) -> float:
        nats = oracles.nats(model, sentences, corpus.given).sum() * corpus.length
        return float(nats / corpus.counted(sentences).sum())

    return {"nll_test": a_token(test), "entropy": a_token(own)}


def answered(own: Tensor, test: Tensor, given: int) -> dict[str, float]:
    """How many answers, and tokens of them, are right: `own` are answers to the sources of `test`, in their order."""
    wanted = test[torch.arange(len(own)) % len(test), given:]
    right = own[:, given:] == wanted
    return {"answers_right": float(right.all(1).double().mean()), "tokens_right": float(right.double().mean())}


@functools.cache
def bars(corpus: Corpus, count: int) -> dict[str, float]:
    """What counted models score, and real sentences; it never changes."""
    random, train, test = np.random.default_rng(0), corpus.train.numpy(), corpus.test[:count].numpy()
    found: dict[str, float] = {"uniform_nll_test": log(corpus.vocabulary)}
    counts = corpus.counted(corpus.test[:count]).numpy()
    for order in range(1, ORDER + 1):
        model = NGrams(train, corpus.vocabulary, order, DISCOUNT)
        nats = -np.log(model.probabilities(test)[:, corpus.given :])
        found[f"ngram{order}_nll_test"] = float(nats.sum() / counts.sum())
        if corpus.oracle is not None:
            found[f"ngram{order}_nll_oracle"] = thought_of(corpus.oracle, model.write(count, corpus.length, random))
    if corpus.oracle is not None:
        found["replay_nll_oracle"] = thought_of(corpus.oracle, ngrams.replayed(train, count, random))
    real = corpus.test[:count]
    found |= {f"{name}_real": value for name, value in variety(real, corpus).items()}
    if corpus.words:
        found |= {f"{name}_real": value for name, value in overlap(readable(corpus, corpus.test[::2]), corpus).items()}
    return found


def thought_of(oracle: LanguageModel, sentences: Array) -> float:
    """NLL_oracle of sentences [N, T]."""
    return float(oracles.nats(oracle, torch.from_numpy(sentences)).mean())


# ---------------------------------------------------------------------------------------------- variety, copying


def variety(sentences: Tensor, corpus: Corpus) -> dict[str, float]:
    """Duplicates, and what was copied."""
    new = len(np.unique(np.hstack([sentences[:, : corpus.given].numpy(), closed(sentences, corpus, -2)]), axis=0))
    some = closed(sentences[:COMPARED], corpus, -2)
    runs = copied_runs(some, closed(corpus.train, corpus, -3))
    return {
        "duplicates": 1 - new / len(sentences),
        "copied_run": float(runs.mean()),
        "copied_run_most": float(runs.max()),
    }


def closed(sentences: Tensor, corpus: Corpus, mark: int) -> Array:
    """What was written [N, T], with `mark` for what does not count, so that it is like nothing else."""
    return np.where(corpus.counted(sentences).numpy(), sentences[:, corpus.given :].numpy(), mark)


def copied_runs(sentences: Array, learned: Array) -> Array:
    """The length [N] of the longest run of tokens of each sentence that stands in a learned one."""
    longest = np.zeros(len(sentences), int)
    keys, known = np.zeros(sentences.shape, np.uint64), np.zeros(learned.shape, np.uint64)
    for length in range(1, sentences.shape[1] + 1):
        keys, known = (extended(old, of, length) for old, of in ((keys, sentences), (known, learned)))
        stands = among(keys, known).any(1)
        if not stands.any():
            break
        longest[stands] = length
    return longest


def among(keys: Array, known: Array) -> Array:
    """Which of some keys are among a great many, most of which their first bits sort out."""
    few, of_key = np.unique(keys, return_inverse=True)
    bits = np.uint64(64 - FIRST_BITS)
    interesting = np.zeros(2**FIRST_BITS, bool)
    interesting[few >> bits] = True
    left = known[interesting[known >> bits]]
    at = np.minimum(np.searchsorted(few, left), len(few) - 1)
    met = np.zeros(len(few), bool)
    met[at[few[at] == left]] = True
    return met[of_key].reshape(keys.shape)


def extended(keys: Array, sentences: Array, length: int) -> Array:
    """Keys of all runs of `length` tokens [N, T − length + 1], from those of one token less (Rabin & Karp 1987)."""
    following = sentences[:, length - 1 :].astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    return keys[:, : following.shape[1]] * np.uint64(0x5851F42D4C957F2D) + following


def readable(corpus: Corpus, sentences: Tensor) -> list[list[int]]:
    """The tokens of each sentence up to its end."""
    counted = corpus.counted(sentences).sum(1).tolist()
    rows = sentences[:, corpus.given :].tolist()
    return [[token for token in row[:count] if token != 0] for row, count in zip(rows, counted, strict=True)]


def overlap(own: Sequence[Tokens], corpus: Corpus) -> dict[str, float]:
    """Self-BLEU of some sentences, and BLEU against every second one that is held out; the others are compared too."""
    real, some = readable(corpus, corpus.test[1::2]), own[:COMPARED]
    told = {f"bleu{n}": float(np.mean(bleu(some, real, n))) for n in (2, 3, 4)}
    return told | {f"self_bleu{n}": float(np.mean(self_bleu(some, n))) for n in (2, 3, 4)}


def grams(sentence: Tokens, n: int) -> Counter[tuple[int, ...]]:
    """How often each n-gram stands in a sentence."""
    return Counter(tuple(sentence[first : first + n]) for first in range(len(sentence) - n + 1))


def bleu(own: Iterable[Tokens], real: Sequence[Tokens], order: int) -> list[float]:
    """BLEU of each sentence against all real ones."""
    most: dict[tuple[int, ...], int] = {}
    for sentence in real:
        for n in range(1, order + 1):
            for gram, count in grams(sentence, n).items():
                most[gram] = max(most.get(gram, 0), count)
    lengths = Counter(map(len, real))
    return [scored(sentence, order, lambda gram: most.get(gram, 0), lengths) for sentence in own]


def self_bleu(own: Sequence[Tokens], order: int) -> list[float]:
    """BLEU of each sentence against all others: of every n-gram, the two sentences are kept that have it most often."""
    best: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for number, sentence in enumerate(own):
        for n in range(1, order + 1):
            for gram, count in grams(sentence, n).items():
                best[gram] = sorted([*best.get(gram, []), (count, number)], reverse=True)[:2]
    lengths = Counter(map(len, own))

    def elsewhere(number: int) -> Callable[[tuple[int, ...]], int]:
        return lambda gram: max((count for count, owner in best.get(gram, []) if owner != number), default=0)

    return [
        scored(sentence, order, elsewhere(number), lengths - Counter([len(sentence)]))
        for number, sentence in enumerate(own)
    ]


def scored(
    sentence: Tokens, order: int, allowed: Callable[[tuple[int, ...]], int], lengths: Mapping[int, int]
) -> float:
    """BLEU of a sentence, where each n-gram may stand so often, against sentences of these lengths.

    Where a sentence has fewer tokens than n, ε is its p_n. sacrebleu leaves such n out (`effective_order`) or gives 0,
    and 0 to whoever has not a single token right, where ε counts here as well; else the two agree.
    """
    if not sentence:
        return 0.0
    logs = []
    for n in range(1, order + 1):
        have = grams(sentence, n)
        match = sum(min(count, allowed(gram)) for gram, count in have.items())
        logs.append(log((match or SMOOTHING) / max(sum(have.values()), 1)))
    nearest = min(lengths, key=lambda length: (abs(length - len(sentence)), length), default=len(sentence))
    brevity = min(0.0, 1 - nearest / len(sentence))
    return exp(sum(logs) / order + brevity)


# ---------------------------------------------------------------------------------------------- pictures


def picture(lines: Sequence[str], title: str) -> Array:
    """Lines as a picture [H, W, 3], in whatever fonts have their characters; what none has is □, as the title says."""
    from matplotlib.figure import Figure

    from sparring.adversarial.pictures import DPI, pixels

    shown = [line[:COLUMNS] for line in lines]
    asked = {ord(c) for line in (title, *shown) for c in line}
    families, lacking = fonts(frozenset(asked))
    drawable = [line.translate(dict.fromkeys(lacking, BOX)) for line in shown]
    told = f"{title} · {BOX} is what no font here has" if lacking else title
    figure = Figure(figsize=(9, 0.2 * len(lines) + 0.5), dpi=DPI)
    text = "\n".join([told, "", *drawable])
    figure.text(0.01, 0.99, text, family=families, size=9, va="top", parse_math=False)
    return pixels(figure)


@functools.cache
def fonts(characters: frozenset[int]) -> tuple[list[str], frozenset[int]]:
    """FONT and whatever other installed fonts it takes to draw characters, and those that no font has."""
    from matplotlib.font_manager import findfont, fontManager, get_font

    families, lacking = [FONT], characters - set(get_font(findfont(FONT)).get_charmap())
    others = {one.name: one.fname for one in fontManager.ttflist if not one.name.startswith(LAST_RESORT)}
    for name in sorted(others) if lacking else ():
        had = lacking & set(get_font(others[name]).get_charmap())
        if had:
            families.append(name)
            lacking -= had
    return families, lacking
