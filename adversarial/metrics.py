"""How good samples are, beside what real ones and simple models score; every figure with its known answer in the tests.

    modes           that at least one sample lies within 3σ of, and those that at least 1 % of the samples do
    high quality    the share of samples within 3σ of a mode
    reverse KL      Σ_k q_k ln(q_k K) of the histogram q of high-quality samples over K modes     Srivastava et al. 2017
    FID             ‖μ − μ'‖² + tr(C + C' − 2 (C C')^½) of two Gaussians fitted to features       Heusel et al. 2017
    score           exp E KL(p(y|x) ‖ p(y)): sure of each and different in all                    Salimans et al. 2016
    memorisation    the mean distance of samples to the nearest image that was learned from, over that of held-out
                    images, between features or pixels: 1 is as new as the real ones, 0 is copies
    1-NN            how often the nearest neighbour, leaving oneself out, is of one's own kind: ½ where samples and
                    held-out images cannot be told apart                                          Xu et al. 2018
    Parzen          mean log-likelihood, in nats, of held-out images under a Gaussian kernel density on the samples.
                    The field learned not to trust it: it ranks k-means above true models     (Theis et al. 2016)

FID and score here read a small classifier of ours, so they compare with nothing but their neighbours in the same table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparring.adversarial.data import Mixture

Numbers = NDArray[np.float64]
NEAR = 3.0  # standard deviations around a mode
SHARE = 0.01  # of all samples, for a mode that is more than touched
AT_A_TIME = 250  # samples whose distances to everything are held at once
BANDWIDTHS = np.logspace(-1, 0.3, 10)  # of the kernel density, in units of a pixel's range of [−1, 1]


class Coverage(NamedTuple):
    """How samples lie among the modes of a mixture."""

    modes: int  # touched by at least one high-quality sample
    modes_1pct: int  # that have at least 1 % of all samples within 3σ
    high_quality: float
    reverse_kl: float  # nats; ln K where there is no high-quality sample at all


def coverage(samples: Tensor, mixture: Mixture) -> Coverage:
    """Of samples [N, D]."""
    apart, nearest = torch.cdist(samples.double(), mixture.modes.double()).min(1)
    counts = torch.bincount(nearest[apart <= NEAR * mixture.sigma], minlength=len(mixture.modes)).double()
    whole = float(counts.sum())
    return Coverage(
        int((counts > 0).sum()),
        int((counts >= SHARE * len(samples)).sum()),
        whole / len(samples),
        reverse_kl(counts.numpy()),
    )


def reverse_kl(counts: Numbers) -> float:
    """KL(q ‖ uniform) in nats, q the shares of `counts` [K]; ln K where nothing was counted."""
    if not counts.sum():
        return float(np.log(len(counts)))
    q = counts[counts > 0] / counts.sum()
    return float((q * np.log(q * len(counts))).sum())


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """FID between features [N, F] and [M, F]."""
    (mean, covariance), (mean_, covariance_) = (_gaussian(features.double().numpy()) for features in (one, other))
    # tr (C C')^½ is the sum of the roots of the eigenvalues of C C', which are real and not negative
    roots = np.sqrt(np.linalg.eigvals(covariance @ covariance_).real.clip(min=0))
    return float(((mean - mean_) ** 2).sum() + np.trace(covariance) + np.trace(covariance_) - 2 * roots.sum())


def _gaussian(features: Numbers) -> tuple[Numbers, Numbers]:
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def inception_score(probabilities: Tensor) -> float:
    """Of classes' probabilities [N, K]: between 1 and K."""
    p = probabilities.double().clamp(min=1e-300)
    return float(torch.exp((p * (p.log() - p.mean(0).log())).sum(1).mean()))


def memorisation(samples: Tensor, learned: Tensor, held_out: Tensor) -> float:
    """The ratio of distances of this module's head; all [N, …] flat."""
    return float(_nearest(samples, learned).mean() / _nearest(held_out, learned).mean())


def memorisation_band(learned: Tensor, held_out: Tensor, size: int, rounds: int = 1_000) -> tuple[float, float]:
    """95 % of the ratios that `size` real images have to as many as are held out, both drawn anew (bootstrap)."""
    distances = _nearest(held_out, learned).numpy()
    random = np.random.default_rng(0)
    means = [distances[random.integers(len(distances), size=(rounds, n))].mean(1) for n in (size, len(distances))]
    low, high = np.quantile(means[0] / means[1], [0.025, 0.975])
    return float(low), float(high)


def _nearest(samples: Tensor, among: Tensor) -> Tensor:
    """The distance of each of the samples [N, …] to the nearest [N]."""
    known = among.flatten(1).double()
    parts = torch.split(samples.flatten(1).double(), AT_A_TIME)
    return torch.cat([torch.cdist(part, known).min(1).values for part in parts])


def nearest_neighbour_accuracy(one: Tensor, other: Tensor) -> float:
    """1-NN of two sets of features [N, F] of one size."""
    both = torch.cat([one, other]).double()
    kind = torch.arange(len(both)) < len(one)
    apart = torch.cdist(both, both)
    apart.fill_diagonal_(torch.inf)
    return float((kind[apart.argmin(1)] == kind).double().mean())


def parzen(samples: Tensor, held_out: Tensor) -> float:
    """Parzen's log-likelihood; the kernel's width is chosen on the first half of the held-out images for the second."""
    from sklearn.neighbors import KernelDensity

    centres, images = (some.flatten(1).double().numpy() for some in (samples, held_out))
    half = len(images) // 2

    def told(width: float, some: Numbers) -> float:
        return float(KernelDensity(bandwidth=width).fit(centres).score_samples(some).mean())

    best = max(BANDWIDTHS, key=lambda width: told(width, images[:half]))
    return told(best, images[half:])
