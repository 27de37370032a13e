"""How fast sentences are written and rolled out, beside the straightforward way that reads the whole prefix each time.

`written` are tokens a second of new sentences; `rolled_out` of `SeqGAN.rolled_out`, which ends every prefix of a batch
in K ways, with a D that costs nothing, and `rolled_out_and_judged` with D. The straightforward way reads a prefix once
more for every token and takes the last of the model's distributions (`again`); with one thought more, it asks for the
distribution after the last place alone (`again_head_once`). All compute the same distributions, from the same uniform
numbers: that they write the same sentences, up to where a place lies on the edge of two tokens, is checked. Medians
over alternating turns on one thread.
`round_s` is a whole round of `--credit rollouts` as K and T grow: writing and judging sentences (`drawing_s`), G's step
and D's turn.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import record
import torch
from torch import Tensor

from sparring.adversarial import seqgan
from sparring.adversarial.corpus import Corpus
from sparring.adversarial.language import LanguageModel, picked, started
from sparring.adversarial.seqgan import Config, SeqGAN

VOCABULARIES = {"oracle50": (50, 32, 64), "paper": (5_000, 32, 32)}  # V, embedding, hidden
WAYS, LENGTHS = (1, 4, 16), (10, 20, 40)


Last = Callable[[LanguageModel, Tensor], Tensor]
"""of features [N, t, H]: logits [N, V] after the last place"""
AGAIN: dict[str, Last] = {
    "again": lambda model, features: model.policy_head(features)[:, -1],
    "again_head_once": lambda model, features: model.policy_head(features[:, -1]),
}


@torch.no_grad()
def read_again(model: LanguageModel, given: Tensor, places: Tensor, last: Last) -> Tensor:
    """Write without any memory: before every token all that stands there is read, and continued."""
    whole = given
    for place in places.unbind(1):
        features, _ = model.reader.read(started(whole))
        whole = torch.cat([whole, picked(last(model, features), place)[:, None]], 1)
    return whole


@torch.no_grad()
def roll_out_again(algorithm: SeqGAN, prefixes: Tensor, last: Last) -> Tensor:
    """`SeqGAN.rolled_out` without any memory."""
    ways, left = algorithm.config.rollouts, algorithm.corpus.length - prefixes.shape[1]
    places = algorithm.uniform(len(prefixes) * ways, left)
    whole = read_again(algorithm.older, prefixes.repeat_interleave(ways, 0), places, last)
    return algorithm.believed(whole).view(-1, ways).mean(1)


@torch.no_grad()
def of_every_prefix(algorithm: SeqGAN, whole: Tensor, roll_out: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """What roll-outs of all prefixes of sentences [N, T] are worth, from the same dice each time."""
    algorithm.dice.generator.manual_seed(1)
    return [roll_out(whole[:, :t]) for t in range(1, whole.shape[1])]


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    start = perf_counter()
    result = what()
    return perf_counter() - start, result


def beside(
    ours: Callable[[], Any], theirs: Mapping[str, Callable[[], Any]], tokens: int, turns: int
) -> dict[str, float]:
    """Tokens a second of all, in turns, and how much slower than ours the others are."""
    ways = [ours, *theirs.values()]
    seconds = np.array([[timed(way)[0] for way in ways] for _ in range(turns + 1)])
    mine, *others = np.median(seconds[1:], axis=0)  # the first warms up
    told = {"tokens_per_s": tokens / mine}
    for name, other in zip(theirs, others, strict=True):
        told |= {f"{name}_tokens_per_s": tokens / other, f"{name.replace('again', 'speedup')}": other / mine}
    return told


def check_alike(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Both ways write the same up to where a place lies on the edge of two tokens, behind which all may differ."""
    same = [(one == other).cumprod(-1) for one, other in zip(ours, theirs, strict=True)]
    alike, parted = sum(int(one.sum()) for one in same), sum(int((one[..., -1] == 0).sum()) for one in same)
    share = alike / (alike + parted)
    assert share > 0.999, f"only {share:.1%} of the tokens are alike"


def generation(name: str, batch: int, length: int, ways: int, turns: int) -> dict[str, float]:
    """Writing and rolling out, both ways."""
    vocabulary, embedding, hidden = VOCABULARIES[name]
    config = dataclasses.replace(seqgan.ORACLE, embedding=embedding, hidden=hidden, length=length, rollouts=ways)
    nothing = torch.zeros(1, length, dtype=torch.long)
    algorithm = SeqGAN(config, Corpus(nothing, nothing, vocabulary), seed=0, device="cpu")
    nobody, places = torch.zeros(batch, 0, dtype=torch.long), algorithm.uniform(batch, length)

    def ours() -> Tensor:
        return algorithm.model.write(nobody, places)

    theirs = {way: functools.partial(read_again, algorithm.model, nobody, places, last) for way, last in AGAIN.items()}
    for their in theirs.values():
        check_alike([ours()], [their()])
    figures = {f"{name}_written_{key}": value for key, value in beside(ours, theirs, batch * length, turns).items()}
    whole, judged, seen = ours(), algorithm.believed, []

    def rolled() -> list[Tensor]:
        return of_every_prefix(algorithm, whole, algorithm.rolled_out)

    def rolled_again(last: Last) -> list[Tensor]:
        return of_every_prefix(algorithm, whole, lambda prefixes: roll_out_again(algorithm, prefixes, last))

    again = {way: functools.partial(rolled_again, last) for way, last in AGAIN.items()}

    def free(ends: Tensor) -> Tensor:
        return ends[:, 0].float()

    def noting(ends: Tensor) -> Tensor:
        seen.append(ends)
        return free(ends)

    algorithm.believed = noting  # type: ignore[method-assign]
    for way in (rolled, *again.values()):
        way()
    for number in range(1, len(AGAIN) + 1):
        check_alike(seen[: length - 1], seen[number * (length - 1) : (number + 1) * (length - 1)])
    for kind, believed in (("rolled_out", free), ("rolled_out_and_judged", judged)):
        algorithm.believed = believed  # type: ignore[method-assign]
        told = beside(rolled, again, batch * ways * length * (length - 1) // 2, turns)
        figures |= {f"{name}_{kind}_{key}": value for key, value in told.items()}
    return figures


def rounds(config: Config, turns: int) -> dict[str, float]:
    """Median seconds of a whole round of play, and of what is drawn for it: written and judged."""
    algorithm, desk, _ = seqgan.experiment(config, seed=0, device="cpu")
    desk.reset(0)
    seconds = []
    for _ in range(turns + 1):
        drawing, lesson = timed(lambda: desk.draw(algorithm))
        seconds.append((drawing, drawing + timed(functools.partial(algorithm.update, lesson))[0]))
    drawing, whole = np.median(np.array(seconds[1:]), axis=0)
    return {"round_s": float(whole), "drawing_s": float(drawing)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--ways", type=int, default=16, help="K of the roll-outs that are compared")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    figures: dict[str, Any] = {}
    for name in VOCABULARIES:
        figures |= generation(name, options.batch, options.length, options.ways, options.turns)
    begun = dataclasses.replace(
        seqgan.ORACLE, batch=options.batch, mle_rounds=0, warm_rounds=0, sentences=1_000, held_out=100
    )
    for length in LENGTHS:
        for ways in WAYS:
            config = dataclasses.replace(begun, length=length, rollouts=ways)
            told = rounds(config, options.turns)
            figures |= {f"{key}_k{ways}_t{length}": value for key, value in told.items()}
    for name, value in figures.items():
        print(f"{name:40} {value:,.4g}")
    record.write(
        "seqgan_speed",
        figures=figures,
        protocol={
            "batch": options.batch,
            "length": options.length,
            "ways": options.ways,
            "turns": options.turns,
            "sizes": VOCABULARIES,
            "rounds": {"k": WAYS, "t": LENGTHS},
            "threads": 1,
        },
        seeds=[0],
        notes="Medians over alternating turns. Weights are as torch begins; speed does not depend on them.",
    )


if __name__ == "__main__":
    main()
