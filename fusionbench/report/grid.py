"""The image grid: both sources and what methods made of them, each with a zoomed inset, as many as a page holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fusionbench.report.boards import Board
from fusionbench.report.figures import CHARACTER, PAGE, PAPER, Box, Paper, Shown, source_names, style
from fusionbench.report.plots import GREY, shortened

UInt8 = NDArray[np.uint8]
HEAD = 0.17
"""Inches of the line above a tile."""


def grid(board: Board, shown: Sequence[Shown], zoom: Box | None = None, paper: Paper = PAPER) -> Figure:
    """Sources and methods on the pairs given, each with its zoomed inset: as many as a page has room for, the first ones.

    A control that is a copy of a source is left out: it would stand there twice.
    """
    width = paper.inches("2col")
    wide = max(2, int(width / 1.12))
    first = shown[0].pair.a.shape
    tile = width / wide * first[0] / first[1]
    rows = max(1, int(PAGE / (tile + HEAD)) // len(shown))
    methods = _tiled(board, shown, paper.most(len(board.order)), rows * wide - 2)
    rows = math.ceil((len(methods) + 2) / wide)
    wide = math.ceil((len(methods) + 2) / rows)
    tile = width / wide * first[0] / first[1]
    height = (tile + HEAD) * rows * len(shown)
    with style():
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(rows * len(shown), wide, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for row, item in enumerate(shown):
            box = zoom or interesting_box(item)
            for n, (title, picture) in enumerate(_pictures(board, item, methods, int(width / wide / CHARACTER))):
                axis = axes[row * rows + n // wide, n % wide]
                _tile(axis, picture, box)
                control = n >= 2 and methods[n - 2] in board.controls
                axis.set_title(title, pad=2, color=GREY if control else "black")
        gap = HEAD / tile
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - HEAD / height, wspace=0.03, hspace=gap)
    return figure


def _pictures(board: Board, item: Shown, methods: Sequence[str], width: int) -> Iterator[tuple[str, UInt8]]:
    """Title and picture of each tile: both sources, then the methods, in colour where a source is."""
    structural, other = (part.upper() for part in source_names(board))
    yield structural, item.pair.a
    yield other, item.pair.color if item.pair.color is not None else item.pair.b
    for method in methods:
        image = item.fused[method]
        seen = item.pair.show(image)
        yield shortened(board, method, width), image if seen is None else seen


def _tiled(board: Board, shown: Sequence[Shown], top: int, room: int) -> list[str]:
    """The methods of the grid: the first contenders and the controls that are no copy of a source."""
    found = tiles(board, shown)
    controls = [
        m
        for m in found
        if m in board.controls
        and not all(np.array_equal(item.fused[m], s) for item in shown for s in (item.pair.a,))
        and not all(np.array_equal(item.fused[m], s) for item in shown for s in (item.pair.b,))
    ]
    contenders = [m for m in found if m not in board.controls][: max(1, min(top, room - len(controls)))]
    return [*contenders, *controls]


def tiles(board: Board, shown: Sequence[Shown]) -> list[str]:
    """The methods whose images are at hand for every pair shown."""
    return [method for method in board.ranked if all(method in item.fused for item in shown)] if shown else []


def interesting_box(shown: Shown) -> Box:
    """The window (x, y, w, h), a fifth of the image, to zoom into: where a generated pair has its lesion, else where the
    fused images differ most, else where both sources vary most."""
    pair = shown.pair
    height, width = pair.a.shape
    side = max(8, min(height, width) // 5)
    lesion = np.asarray((pair.truth or {}).get("lesion", np.zeros(1))) > 0
    if lesion.any():
        # The middle of the lesion's place, not its edge.
        rows, columns = np.nonzero(lesion)
        y, x = int(np.median(rows)) - side // 2, int(np.median(columns)) - side // 2
        return min(max(x, 0), width - side), min(max(y, 0), height - side), side, side
    if len(shown.fused) > 1:
        weight = np.stack(list(shown.fused.values())).std(axis=0)
    else:
        weight = np.minimum(*(np.hypot(*np.gradient(image.astype(np.float64))) for image in (pair.a, pair.b)))
    step = max(1, side // 4)
    windows = [(y, x) for y in range(0, height - side + 1, step) for x in range(0, width - side + 1, step)]
    y, x = max(windows, key=lambda at: float(weight[at[0] : at[0] + side, at[1] : at[1] + side].sum()))
    return x, y, side, side


def _tile(axis: Axes, picture: UInt8, box: Box) -> None:
    x, y, w, h = box
    height, width = picture.shape[:2]
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if picture.ndim == 2 else {}
    axis.imshow(picture, interpolation="nearest", **grey)  # type: ignore[arg-type]
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, edgecolor="white", linewidth=0.8))
    # The inset takes the lower corner away from the box.
    side = 0.42
    left = 0.0 if x + w / 2 > width / 2 else 1 - side
    low = 0.0 if y + h / 2 < height / 2 else 1 - side
    inset = axis.inset_axes((left, low, side, side))
    inset.imshow(picture[y : y + h, x : x + w], interpolation="nearest", **grey)  # type: ignore[arg-type]
    inset.set_xticks([])
    inset.set_yticks([])
    for spine in inset.spines.values():
        spine.set_visible(True)
        spine.set_color("white")
        spine.set_linewidth(0.8)
