"""A board to look at: as text in a terminal, as SVG, as pixels.

Text is `str(board)`. Both pictures show the grid, the star points, the stones, coordinates around them and a mark on
the last move.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from sparring.envs.go.board import Board
from sparring.envs.go.coordinates import COLUMNS
from sparring.envs.worlds import Array

WOOD, INK, MARK = "#E3B76C", "#1F1A14", "#D55E00"
STONES = {1: "#14110F", 2: "#F7F5F0"}
MARGIN = 1.4  # in units of a square, around the grid, for the coordinates
RADIUS = 0.47
STAR = 0.1
DPI = 100
SQUARE_INCHES = 0.36


@lru_cache(maxsize=64)
def stars(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """The points (row, column) that are marked on a board of that size."""

    def lines(side: int) -> list[int]:
        if side < 5:
            return []
        edge = 2 if side < 12 else 3
        ends = [edge, side - 1 - edge]
        return sorted({*ends, side // 2} if side % 2 and side != 7 else {*ends})

    return tuple((row, column) for row in lines(height) for column in lines(width))


def svg(board: Board, square: float = 32.0) -> str:
    """The board as an SVG document, with squares of so many pixels."""
    height, width = board.rules.height, board.rules.width
    wide, high = (square * (side - 1 + 2 * MARGIN) for side in (width, height))

    def x(column: float) -> float:
        return square * (MARGIN + column)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:g}" height="{high:g}" viewBox="0 0 {wide:g} {high:g}">',
        f'<rect width="100%" height="100%" fill="{WOOD}"/>',
        f'<g stroke="{INK}" stroke-width="1">',
        *(f'<path d="M{x(0):g} {x(row):g}H{x(width - 1):g}"/>' for row in range(height)),
        *(f'<path d="M{x(column):g} {x(0):g}V{x(height - 1):g}"/>' for column in range(width)),
        "</g>",
        *(_circle(x(column), x(row), square * STAR, INK) for row, column in stars(height, width)),
    ]
    for (row, column), stone in np.ndenumerate(board.stones()):
        if stone:
            lines.append(_circle(x(column), x(row), square * RADIUS, STONES[int(stone)], INK))
    if board.moves and board.moves[-1] < board.rules.area:
        row, column = divmod(board.moves[-1], width)
        lines.append(_circle(x(column), x(row), square * RADIUS / 2, "none", MARK, square / 12))
    style = f'font-family="sans-serif" font-size="{square * 0.4:g}" fill="{INK}" text-anchor="middle"'
    lines.append(f"<g {style}>")
    for column in range(width):
        for row in (-0.85, height - 0.15 + 0.25):
            lines.append(f'<text x="{x(column):g}" y="{x(row):g}">{COLUMNS[column]}</text>')
    for row in range(height):
        for column_ in (-0.95, width - 0.05):
            lines.append(f'<text x="{x(column_):g}" y="{x(row + 0.14):g}">{height - row}</text>')
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _circle(x: float, y: float, radius: float, fill: str, stroke: str = "none", width: float = 1.0) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"/>'


def pixels(board: Board) -> Array:
    """The board as a picture [H, W, 3] uint8, about 36 pixels a square."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes a third of a second, and only this needs it
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    height, width = board.rules.height, board.rules.width
    size = [SQUARE_INCHES * (side - 1 + 2 * MARGIN) for side in (width, height)]
    figure = Figure(figsize=(size[0], size[1]), dpi=DPI, facecolor=WOOD)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(-MARGIN, width - 1 + MARGIN), ylim=(height - 1 + MARGIN, -MARGIN))
    axes.axis("off")
    axes.hlines(range(height), 0, width - 1, color=INK, lw=0.7)
    axes.vlines(range(width), 0, height - 1, color=INK, lw=0.7)
    for row, column in stars(height, width):
        axes.add_patch(Circle((column, row), STAR, color=INK))
    for (row, column), stone in np.ndenumerate(board.stones()):
        if stone:
            axes.add_patch(Circle((column, row), RADIUS, facecolor=STONES[int(stone)], edgecolor=INK, lw=0.6, zorder=3))
    if board.moves and board.moves[-1] < board.rules.area:
        row, column = divmod(board.moves[-1], width)
        axes.add_patch(Circle((column, row), RADIUS / 2, fill=False, edgecolor=MARK, lw=2, zorder=4))
    _label(axes, [(column, COLUMNS[column]) for column in range(width)], (-0.95, height - 0.05), across=True)
    _label(axes, [(row, str(height - row)) for row in range(height)], (-0.95, width - 0.05), across=False)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _label(axes: object, names: Sequence[tuple[int, str]], sides: tuple[float, float], *, across: bool) -> None:
    for place, name in names:
        for side in sides:
            where = (place, side) if across else (side, place)
            axes.text(*where, name, ha="center", va="center", color=INK, fontsize=8)  # type: ignore[attr-defined]


def png(board: Board) -> bytes:
    """The board as a PNG file."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, pixels(board), format="png")
    return content.getvalue()
