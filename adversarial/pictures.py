"""Pictures: points above the discriminator's field, images in a grid, the way through a small game.

Colours are those of Okabe & Ito, which everybody can tell apart; pixels are uint8 [H, W, 3].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sparring.adversarial.data import Data, Labelled, Mixture
from sparring.adversarial.players import asked
from sparring.adversarial.sheets import Sheet
from sparring.envs.worlds import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAKE, REAL = "#D55E00", "#000000"
SIDE = 4.0  # inches of a square picture
DPI = 100
MARGIN = 1.4  # of what is shown around the modes
FIELD = 80  # points along a side at which D is asked
TILE_PIXELS = 28  # a smaller image is enlarged to about this
SMALLEST = 1e-16  # distance on a logarithmic axis
AT_A_TIME = 100  # points that D is asked together: it may compare them
GAP = 1  # pixels between tiles, before they are enlarged


def of_sheet(sheet: Sheet, data: Data, players: nn.ModuleDict) -> Array:
    """A sheet as one picture."""
    if not isinstance(data, Mixture):
        return tiles(sheet.samples)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIDE, SIDE), layout="constrained", dpi=DPI)
    axes = figure.add_subplot(title=headline(sheet))
    plane(axes, sheet.samples, data, field(players["discriminator"], data))
    return pixels(figure)


def headline(sheet: Sheet) -> str:
    """When it was drawn, and what was found then: the modes, and the duality gap where it was measured."""
    words = [f"step {sheet.step:,}", f"modes {sheet.metrics['modes']:.0f}"]
    gap = sheet.metrics.get("gap_at_least")
    return " · ".join([*words, *([] if gap is None else [f"gap ≥ {gap:.2f}"])])


def pixels(figure: Figure) -> Array:
    """What a figure looks like."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def reach(data: Mixture) -> float:
    """Half the side of the square that is shown."""
    return float(data.modes.abs().max()) * MARGIN


@torch.no_grad()
def field(discriminator: nn.Module, data: Mixture) -> Array:
    """D's probability of being real [FIELD, FIELD] over the plane; a pack is looked at as if all of it stood there."""
    along = torch.linspace(-reach(data), reach(data), FIELD)
    points = torch.cartesian_prod(along, along)
    together = points.repeat_interleave(int(discriminator.pack), 0)  # type: ignore[arg-type]
    nobody = torch.zeros(len(together), dtype=torch.long)
    told = asked(discriminator, Labelled(together, nobody), AT_A_TIME * int(discriminator.pack))  # type: ignore[arg-type]
    return np.asarray(told.sigmoid().view(FIELD, FIELD).T.numpy())


def plane(axes: Axes, samples: Array, data: Mixture, believed: Array | None) -> None:
    """Samples [N, 2], the modes as circles of 3σ, and D's field under them."""
    edge = reach(data)
    if believed is not None:
        shown: Any = {"extent": (-edge, edge, -edge, edge), "origin": "lower", "vmin": 0, "vmax": 1}
        axes.imshow(believed, cmap="PuOr_r", alpha=0.7, interpolation="bilinear", **shown)
    axes.scatter(samples[:, 0], samples[:, 1], s=2, color=FAKE, linewidths=0, label="samples")
    x, y = data.modes.T.numpy()
    axes.scatter(x, y, s=30, facecolors="none", edgecolors=REAL, linewidths=0.7, label="modes")
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal", xticks=[], yticks=[])


def tiles(images: Array) -> Array:
    """Images [N, C, H, W] in [−1, 1] in rows, ten of them where there are a hundred; ink is white."""
    count, channels, height, width = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, channels, height + GAP, width + GAP), np.uint8)
    sheet[:count, :, GAP:, GAP:] = ((images.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    laid = sheet.reshape(rows, columns, channels, height + GAP, width + GAP).transpose(0, 3, 1, 4, 2)
    flat = laid.reshape(rows * (height + GAP), columns * (width + GAP), channels)
    times = max(1, round(TILE_PIXELS / height))
    return np.repeat(np.repeat(np.repeat(flat, 3 // channels, 2), times, 0), times, 1)


class Way(NamedTuple):
    """A way through a small game."""

    points: Array  # [T, P] weights
    rounds: Array  # [M] those that were measured
    apart: Array  # [M] how far they are from the end
    theory: float | None  # by which factor theory has that change each round


def of_way(way: Way, title: str, measured_by: str) -> Array:
    """The way of the first two weights on the left, how far it is from the end on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * SIDE, SIDE), layout="constrained", dpi=DPI)
    left, right = figure.subplots(1, 2)
    figure.suptitle(title)
    left.plot(*way.points[:, :2].T, "-", lw=0.8, color=FAKE)
    left.plot(*way.points[0, :2], "o", ms=5, color=FAKE, label="start")
    left.plot(*way.points[-1, :2], "s", ms=5, color=REAL, label="now")
    left.set(aspect="equal", xlabel="first weight", ylabel="second weight")
    left.legend(fontsize="small")
    right.semilogy(way.rounds, way.apart.clip(min=SMALLEST), color=FAKE, label="measured")
    if way.theory is not None:
        predicted = way.apart[0] * way.theory**way.rounds
        right.semilogy(way.rounds, predicted, "--", color=REAL, lw=1, label=f"theory, ρ = {way.theory:.4f}")
    right.set(xlabel="round", ylabel=measured_by)
    right.legend(fontsize="small")
    return pixels(figure)
