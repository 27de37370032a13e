"""How fast sentences are written and rolled out, beside the straightforward way that reads the whole prefix each time.

`written` are tokens a second of new sentences; `rolled_out` of K ways to end every prefix of a batch.
Both ways compute the same distributions, from the same uniform numbers: that they write the same sentences is checked.
Medians over alternating turns on one thread. `round_s` is what a round of `--credit rollouts` takes to write and judge,
as K and T grow.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import record
import torch
from torch import Tensor

from sparring.adversarial import seqgan
from sparring.adversarial.language import LanguageModel, picked, started
from sparring.adversarial.seqgan import Config, SeqGAN

VOCABULARIES = {"oracle50": (50, 32, 64), "paper": (5_000, 32, 32)}  # V, embedding, hidden
WAYS, LENGTHS = (1, 4, 16), (10, 20, 40)


@torch.no_grad()
def read_again(model: LanguageModel, given: Tensor, places: Tensor) -> Tensor:
    """Write as `model(prefix)[:, -1]` does: before every token all that stands there is read, and continued."""
    whole = given
    for place in places.unbind(1):
        features, _ = model.reader.read(started(whole))
        whole = torch.cat([whole, picked(model.policy_head(features)[:, -1], place)[:, None]], 1)
    return whole


@torch.no_grad()
def roll_out(model: LanguageModel, whole: Tensor, places: Tensor, ways: int, *, again: bool) -> list[Tensor]:
    """`ways` ends of every prefix of sentences [N, T], from places [N · ways, T]."""
    ends = []
    for t in range(1, whole.shape[1]):
        prefix = whole[:, :t].repeat_interleave(ways, 0)
        if again:
            ends.append(read_again(model, prefix, places[:, t:]))
        else:
            _, (h, c) = model.reader.read(started(whole[:, :t]))
            state = (h.repeat_interleave(ways, 1), c.repeat_interleave(ways, 1))
            ends.append(torch.cat([prefix, model.finish(state, places[:, t:])], 1))
    return ends


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    start = perf_counter()
    result = what()
    return perf_counter() - start, result


def beside(ours: Callable[[], Any], theirs: Callable[[], Any], tokens: int, turns: int) -> dict[str, float]:
    """Tokens a second of both, in turns."""
    seconds = []
    for _ in range(turns + 1):
        (mine, one), (other, same) = timed(ours), timed(theirs)
        pairs = zip(one, same, strict=True)
        alike = float(np.mean([float((a == b).double().mean()) for a, b in pairs]))
        assert alike > 0.999, f"only {alike:.1%} of the tokens are alike"  # places on the edge of two tokens may differ
        seconds.append((mine, other))
    mine, other = np.median(np.array(seconds[1:]), axis=0)  # the first warms up
    return {"tokens_per_s": tokens / mine, "again_tokens_per_s": tokens / other, "speedup": other / mine}


def generation(name: str, batch: int, length: int, ways: int, turns: int) -> dict[str, float]:
    """Writing and rolling out, both ways."""
    vocabulary, embedding, hidden = VOCABULARIES[name]
    model = LanguageModel(vocabulary, embedding, hidden)
    dice = torch.Generator().manual_seed(0)
    nobody = torch.zeros(batch, 0, dtype=torch.long)
    places = torch.rand(batch, length, generator=dice)
    told = beside(
        lambda: [model.write(nobody, places)], lambda: [read_again(model, nobody, places)], batch * length, turns
    )
    figures = {f"{name}_written_{key}": value for key, value in told.items()}
    whole, more = model.write(nobody, places), torch.rand(batch * ways, length, generator=dice)
    told = beside(
        lambda: roll_out(model, whole, more, ways, again=False),
        lambda: roll_out(model, whole, more, ways, again=True),
        batch * ways * length * (length - 1) // 2,
        turns,
    )
    return {**figures, **{f"{name}_rolled_out_{key}": value for key, value in told.items()}}


def rounds(config: Config, turns: int) -> float:
    """Median seconds in which a round is written and judged."""
    algorithm = SeqGAN(config, seqgan.corpus_of(config), seed=0, device="cpu")
    desk = seqgan.Desk(algorithm)
    desk.reset(0)
    return float(np.median([timed(lambda: desk.draw(algorithm))[0] for _ in range(turns + 1)][1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
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
            figures[f"round_s_k{ways}_t{length}"] = rounds(config, options.turns)
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
            "threads": 1,
        },
        seeds=[0],
        notes="Medians over alternating turns. Weights are as torch begins; speed does not depend on them.",
    )


if __name__ == "__main__":
    main()
