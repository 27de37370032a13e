"""What can be seen in frozen features: probes that are trained anew, and pictures.

A probe learns to tell two domains apart on some features and is asked about others; with ε its error there, the proxy
A-distance is 2 (1 − 2 ε): 0 where it sees nothing, 2 where it sees all (Ben-David et al., 2010). What is asked about
must show nothing that was learned from, in either domain, or the probe is asked what it remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sparring.adversarial import pictures
from sparring.adversarial.sheets import Sheet
from sparring.agents.protocol import Watch, unwatched
from sparring.envs.worlds import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 4_000  # images of a domain that probes learn from or are asked about
STEPS, BATCH, RATE, WIDTH = 400, 256, 3e-3, 64
TILES = 40  # images shown
COMPONENTS = 50  # of features, that t-SNE sees


def domain_distances(
    learned: Sequence[Tensor], asked: Sequence[Tensor], *, seed: int, watch: Watch = unwatched
) -> tuple[float, float]:
    """Proxy A-distances by a linear probe and by one with a hidden layer.

    Args:
        learned: features [N, F] of either domain that probes learn from; of as many of both.
        asked: features [M, F] of either that they are asked about; likewise.
        seed: of the probes.
        watch: told how many of them are done.
    """
    dice = torch.Generator().manual_seed(seed)
    (x, from_target), (other, domain) = _balanced(learned), _balanced(asked)
    mean, scale = x.mean(0), x.std(0) + 1e-6
    distances = []
    for number, hidden in enumerate((0, WIDTH)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            probe = _probe(x.shape[1], hidden)
        _learn(probe, (x - mean) / scale, from_target.float(), dice)
        watch(number + 1, 2)
        with torch.no_grad():
            wrong = (probe((other - mean) / scale)[:, 0] > 0) != domain
        distances.append(max(0.0, 2 * (1 - 2 * float(wrong.double().mean()))))
    return distances[0], distances[1]


def _balanced(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """As many of both domains [2 N, F], the source's first, and which are the target's [2 N]."""
    count = min(map(len, features))
    return torch.cat([some[:count] for some in features]), torch.arange(2 * count) >= count


def _probe(inputs: int, hidden: int) -> nn.Module:
    if not hidden:
        return nn.Linear(inputs, 1)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def _learn(probe: nn.Module, features: Tensor, domain: Tensor, dice: torch.Generator) -> None:
    optimiser = torch.optim.Adam(probe.parameters(), lr=RATE, weight_decay=1e-3)
    for _ in range(STEPS):
        chosen = torch.randint(len(features), (BATCH,), generator=dice)
        loss = binary_cross_entropy_with_logits(probe(features[chosen])[:, 0], domain[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def picture(sheet: Sheet, images: Tensor, classes: int, title: str) -> Array:
    """Both domains' features in the plane, by principal components and by t-SNE, the target's confusions, and images.

    The sheet's samples are features and logits [N, F + K], the source's half first; images [N, 3, H, W].
    """
    from matplotlib.figure import Figure

    half = len(sheet.samples) // 2
    features, logits = sheet.samples[:, :-classes], sheet.samples[:, -classes:]
    read, labels = logits.argmax(1), sheet.labels
    figure = Figure(figsize=(4 * pictures.SIDE, pictures.SIDE), layout="constrained", dpi=pictures.DPI)
    figure.suptitle(f"{title} · step {sheet.step:,}")
    components, neighbours, table, tiles = figure.subplots(1, 4)
    flat = principal(features)
    _plane(components, flat[:, :2], labels, "features, two principal components")
    _plane(neighbours, near(flat), labels, "the same, t-SNE")
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels[half:], read[half:]), 1)
    table.imshow(counts / counts.sum(1, keepdims=True).clip(min=1), cmap="Greys", vmin=0, vmax=1)
    accuracy = float((read[half:] == labels[half:]).mean())
    table.set(
        title=f"{len(labels) - half} of the target, {accuracy:.0%} right",
        xlabel="read as",
        ylabel="is",
        xticks=range(classes),
    )
    shown = np.concatenate([images[:TILES].numpy(), images[half : half + TILES].numpy()]) * 2 - 1
    tiles.imshow(pictures.tiles(shown))
    tiles.set(title="source above, target below", xticks=[], yticks=[])
    return pictures.pixels(figure)


def principal(features: Array) -> Array:
    """Features [N, F] in the axes along which they vary most, at most `COMPONENTS` of them [N, C]; finite."""
    features = np.nan_to_num(features)
    centred = features - features.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(centred @ axes[:COMPONENTS].T)


def near(features: Array) -> Array:
    """Features [N, C] in the plane [N, 2], neighbours beside each other (van der Maaten & Hinton, 2008)."""
    from sklearn.manifold import TSNE

    if not features.any():  # what never varies has no neighbours; t-SNE would not survive it
        return np.zeros((len(features), 2), features.dtype)
    return np.asarray(TSNE(init="pca", perplexity=min(30, len(features) / 4), random_state=0).fit_transform(features))


def _plane(axes: Axes, at: Array, labels: Array, title: str) -> None:
    """Points [N, 2], coloured by class; the source's half is discs, the target's crosses."""
    half = len(at) // 2
    for part, marker, name in ((slice(half), "o", "source"), (slice(half, None), "x", "target")):
        axes.scatter(
            at[part, 0], at[part, 1], c=labels[part], cmap="tab10", marker=marker, s=12, linewidths=0.8, label=name
        )
    axes.set(title=title, xticks=[], yticks=[])
    axes.legend(fontsize="small")
