"""What every way around a token costs: bias and variance of SeqGAN's gradients, where all sentences can be enumerated.

Three tokens from a vocabulary of three are 27 sentences, so ∇E[J] is known. Each method's own step of plain gradient
descent is its estimate; `_bias` is the length of (mean estimate − exact) over that of the exact gradient, with what
chance alone would make of it beside (`_chance`), `_p` how often chance alone is as far off (a multiplier bootstrap of
the steps), `_noise` the standard deviation of one sentence's estimate over that length, and `_cosine` the direction of
the mean. A method is told to be `unbiased_as_measured` where no seed's p, times the seeds, is below LEVEL; what one
seed draws, all methods learn from, so that its chances are alike. J is σ(D) for the score function, −log(1 + e^−D) for
relaxed tokens and D for probabilities, as these methods maximise it. V of `terminal_value` is as good as its features
allow, for at random it would say nothing of baselines: its head is fitted by least squares to E[J | prefix], every
prefix weighted by its probability. Per-step credit with a D that was never told what to expect of prefixes answers
another question, and its bias says how different; `_told` is the same with the expected worth.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import pictures
import record
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import logsigmoid

from sparring.adversarial import language
from sparring.adversarial.corpus import Corpus
from sparring.adversarial.seqgan import Config, Desk, Schedule, SeqGAN
from sparring.agents.descent import Descent
from sparring.envs.tokens import BLANK

VOCABULARY, LENGTH, BATCH = 3, 3, 512
EVERY = torch.cartesian_prod(*[torch.arange(VOCABULARY)] * LENGTH)
LEVEL = 0.01
RESAMPLES = 10_000
CONFIDENCE = 20.0  # by which D's last layer is multiplied, so that it prefers some sentences clearly
METHODS: dict[str, dict[str, Any]] = {
    "terminal": {"credit": "terminal"},
    "terminal_running": {"credit": "terminal", "baseline": "running"},
    "terminal_value": {"credit": "terminal", "baseline": "value"},
    "rollouts_1": {"credit": "rollouts", "rollouts": 1},
    "rollouts_16": {"credit": "rollouts", "rollouts": 16},
    "rollouts_16_running": {"credit": "rollouts", "rollouts": 16, "baseline": "running"},
    "rollouts_16_older": {"credit": "rollouts", "rollouts": 16},
    "per_step_told": {"credit": "per-step"},
    "per_step_told_running": {"credit": "per-step", "baseline": "running"},
    "per_step": {"credit": "per-step"},
    "gumbel_1": {"signal": "gumbel", "temperature": 1.0},
    "gumbel_0.3": {"signal": "gumbel", "temperature": 0.3},
    "straight_through_1": {"signal": "straight-through", "temperature": 1.0},
    "straight_through_0.3": {"signal": "straight-through", "temperature": 0.3},
    "soft_wgan": {"signal": "soft-wgan"},
}
UNBIASED = [
    name for name in METHODS if name.startswith(("terminal", "rollouts", "per_step_told")) and "older" not in name
]


def made(options: dict[str, Any], seed: int) -> SeqGAN:
    """G and D of the enumerated world; a step of G is its gradient, and D and π′ hold still."""
    config = Config(
        Schedule(steps=1),
        "oracle",
        vocabulary=VOCABULARY,
        length=LENGTH,
        embedding=3,
        hidden=4,
        batch=BATCH,
        mle_rounds=0,
        warm_rounds=0,
        d_turns=0,
        keep=1.0,
        standardise=False,
        **{"baseline": "none", **options},
    )
    algorithm = SeqGAN(config, Corpus(EVERY, EVERY, VOCABULARY), seed=seed, device="cpu")
    language.in_normal(algorithm.model, 1.0, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        algorithm.d.head.weight.mul_(CONFIDENCE)
    algorithm.grow_older(0.0)
    plain = torch.optim.SGD(algorithm.model.parameters(), lr=1.0)
    algorithm.learner.descent = Descent(plain, max_norm=inf, updates=None)
    algorithm.learner.config = dataclasses.replace(algorithm.learner.config, value_weight=0.0)
    return algorithm


def writing_weights(algorithm: SeqGAN) -> list[Tensor]:
    """Those that decide tokens."""
    return [*algorithm.model.reader.parameters(), *algorithm.model.policy_head.parameters()]


def flat(tensors: Any) -> Tensor:
    """All numbers."""
    return torch.cat([one.detach().double().flatten() for one in tensors])


def worth(algorithm: SeqGAN) -> Tensor:
    """J of every sentence [27], as the method has it."""
    with torch.no_grad():
        logits = algorithm.d(EVERY)
    kinds: dict[str, Callable[[Tensor], Tensor]] = {"score-function": torch.sigmoid, "soft-wgan": lambda d: d}
    return kinds.get(algorithm.config.signal, logsigmoid)(logits)


def exact(algorithm: SeqGAN) -> Tensor:
    """∇E[J] by enumeration [P]."""
    share = algorithm.model.log_probs(EVERY).sum(1).exp()
    return flat(torch.autograd.grad((share * worth(algorithm)).sum(), writing_weights(algorithm)))


def expected(algorithm: SeqGAN) -> dict[tuple[int, ...], Tensor]:
    """E[J | prefix] of every prefix, the empty one too, by enumeration."""
    with torch.no_grad():
        share = algorithm.model.log_probs(EVERY).sum(1).exp()
    told = {}
    for t in range(LENGTH + 1):
        rows = torch.where(torch.arange(LENGTH) < t, EVERY, BLANK)
        for row in torch.unique(rows, dim=0):
            among = (rows == row).all(1)
            told[tuple(row.tolist())] = (share * worth(algorithm))[among].sum() / share[among].sum()
    return told


@torch.no_grad()
def fit_value(algorithm: SeqGAN) -> None:
    """Set V's head to the least squares of E[J | prefix] in its features, prefixes weighted by their probability."""
    share = algorithm.model.log_probs(EVERY).sum(1).exp().double()
    known = expected(algorithm)
    rows = torch.tensor([prefix for prefix in known if prefix[-1] == BLANK])
    begins = ((rows[:, None] == BLANK) | (rows[:, None] == EVERY)).all(2)  # [prefixes, sentences]
    weights = (begins * share).sum(1).sqrt()[:, None]
    features = algorithm.model.reader(rows).double()
    design = torch.cat([features, torch.ones(len(rows), 1, dtype=torch.float64)], 1)
    targets = torch.stack([known[tuple(row)] for row in rows.tolist()]).double()[:, None]
    fitted = torch.linalg.lstsq(weights * design, weights * targets).solution[:, 0]
    algorithm.model.value_head.weight.copy_(fitted[None, :-1])
    algorithm.model.value_head.bias.copy_(fitted[-1:])


def estimates(algorithm: SeqGAN, draws: int) -> Tensor:
    """Gradients [draws, P] that so many steps of BATCH sentences are."""
    source, found = Desk(algorithm), []
    source.reset(0)
    scale = LENGTH if algorithm.config.signal == "score-function" else 1  # agents take the mean over tokens
    start = [weight.detach().clone() for weight in algorithm.model.parameters()]
    before = flat(writing_weights(algorithm))
    for _ in range(draws):
        algorithm.update(source.draw(algorithm))
        found.append(scale * (flat(writing_weights(algorithm)) - before))
        with torch.no_grad():
            for weight, was in zip(algorithm.model.parameters(), start, strict=True):
                weight.copy_(was)
    return torch.stack(found)


def measured(name: str, draws: int, seed: int) -> dict[str, float]:
    """A method's figures on one world."""
    algorithm = made(METHODS[name], seed)
    if "told" in name:
        known = expected(algorithm)
        algorithm.believed = lambda whole: torch.stack([known[tuple(row)] for row in whole.tolist()])  # type: ignore[method-assign]
    if algorithm.config.baseline == "value":
        fit_value(algorithm)
    if "older" in name:
        language.in_normal(algorithm.older, 1.0, torch.Generator().manual_seed(seed + 1_000))
    right, found = exact(algorithm), estimates(algorithm, draws)
    spread = float(found.var(0).sum())
    mean, size = found.mean(0), float(right.norm())
    off = float((mean - right).norm())
    signs = torch.randint(2, (RESAMPLES, draws), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    by_chance = (signs @ (found - mean) / draws).norm(dim=1)
    return {
        "bias": off / size,
        "chance": (spread / draws) ** 0.5 / size,
        "p": float((by_chance >= off).double().mean()),
        "noise": (spread * BATCH) ** 0.5 / size,
        "cosine": float(torch.cosine_similarity(mean, right, dim=0)),
    }


def draw(figures: dict[str, Any], names: list[str], path: Any) -> None:
    """Bias on the left, noise on the right."""
    figure = Figure(figsize=(11, 0.36 * len(names) + 1.4), layout="constrained")
    colours = [pictures.BLUE if name in UNBIASED else pictures.VERMILLION for name in names]
    plots = {
        "bias": ("bias over the gradient's length (grey: chance)", "SeqGAN's gradients, enumerated"),
        "noise": ("noise of one sentence over the gradient's length", ""),
    }
    for number, (key, (label, title)) in enumerate(plots.items(), start=1):
        axes = pictures.axes_of(figure, 1, 2, number, title=title, xlabel=label, xscale="log")
        pictures.estimates(axes, [figures[f"{name}_{key}"] for name in names], colours)
        if key == "bias":
            chance = [figures[f"{name}_chance"]["mean"] for name in names]
            axes.plot(chance, range(len(names)), "|", ms=14, color=pictures.GREY)
        pictures.rows(axes, [name.replace("_", " ") if number == 1 else "" for name in names])
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--draws", type=int, default=200, help=f"steps of {BATCH} sentences each")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    for name in options.methods:
        found = [measured(name, options.draws, seed) for seed in options.seeds]
        figures |= {f"{name}_{key}": record.over_seeds([one[key] for one in found]) for key in found[0]}
        print(f"{name:22} {' · '.join(f'{key} {np.mean([one[key] for one in found]):.3g}' for key in found[0])}")
    least = {name: min(figures[f"{name}_p"]["per_seed"]) for name in options.methods}
    unbiased = [name for name, p in least.items() if p * len(options.seeds) >= LEVEL]
    path = record.write(
        "seqgan_gradients",
        figures={**figures, "unbiased_as_measured": unbiased},
        protocol={
            "vocabulary": VOCABULARY,
            "length": LENGTH,
            "sentences_a_step": BATCH,
            "draws": options.draws,
            "methods": {name: METHODS[name] for name in options.methods},
            "unbiased_in_theory": [name for name in UNBIASED if name in options.methods],
            "threads": 1,
        },
        seeds=options.seeds,
        notes="A seed draws generator and discriminator anew; intervals are over seeds. rollouts_16_older rolls out "
        "with a policy of other weights.",
    )
    draw(figures, options.methods, path)


if __name__ == "__main__":
    main()
