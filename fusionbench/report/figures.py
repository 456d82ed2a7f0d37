"""Figures for papers: what ``plots`` draws and the image grid, at the width of one column or two, never below 8 points.

Each is written as PDF and as PNG at 300 dpi, at the size at which it is printed: 88 or 181 mm wide, no higher than a page.
The font is Liberation Sans, which has Helvetica's and Arial's widths and comes with the package, embedded as TrueType;
signs that it lacks are DejaVu Sans, which comes with matplotlib. No file holds time or version: the same results give the
same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from fusionbench.files import write_bytes
from fusionbench.pairs import Pair
from fusionbench.report import plots
from fusionbench.report.boards import Board
from fusionbench.report.plots import NothingToDrawError, leading, shortened

STYLE: dict[Any, Any] = {
    "font.family": ["Liberation Sans", "DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "figure.titlesize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "fusionbench",
    "figure.dpi": 100.0,
    "savefig.dpi": 300.0,
}
RANK_PANEL = "mean rank (1 = best)"
MM = 1 / 25.4
WIDTHS = {"1col": 88 * MM, "2col": 181 * MM}
"""Inches of a column and of two, as most journals have them."""
PAGE = 235 * MM
"""Inches that a figure may be high."""
ROW = 0.135
"""Inches from one line of 8-point text to the next."""
CHARACTER = 4.2 / 72
"""Inches that a character of 8-point text is wide, on average and a little more."""
UInt8 = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Columns = Literal["1col", "2col"]


@dataclasses.dataclass(frozen=True)
class Paper:
    """``width``: "1col" or "2col"; "": what suits each figure. ``top``: so many contenders are shown, the first ones; None:
    as many as suit each figure. Controls are shown besides."""

    width: Literal["", "1col", "2col"] = ""
    top: int | None = None

    def inches(self, natural: Columns) -> float:
        return WIDTHS[self.width or natural]

    def most(self, natural: int, room: float = 1e6) -> int:
        """So many methods: as asked for, as suits, and as there is room for."""
        return max(1, min(natural if self.top is None else self.top, int(room)))


PAPER = Paper()


@dataclasses.dataclass(frozen=True)
class Shown:
    """A pair with the fused images at hand: ``fused`` maps a method to its (H, W) uint8 luminance."""

    pair: Pair
    fused: Mapping[str, UInt8]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The settings of all figures; the package's font is made known to matplotlib the first time."""
    with resources.as_file(resources.files("fusionbench.report") / "fonts" / "LiberationSans-Regular.ttf") as font:
        if not any(entry.name == "Liberation Sans" for entry in fontManager.ttflist):
            fontManager.addfont(font)
    with matplotlib.rc_context(STYLE):
        yield


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write STEM.pdf and STEM.png at the figure's own size, without dates or versions inside."""
    FigureCanvasAgg(figure)
    paths = []
    clean: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
        "png": {"Software": None},
    }
    with style():
        # The layout is settled once; letting each savefig do it again takes most of the time.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for suffix, metadata in clean.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, metadata=metadata)
            path = stem.with_name(f"{stem.name}.{suffix}")
            write_bytes(path, _palette(buffer) if suffix == "png" else buffer.getvalue())
            paths.append(path)
    return paths


def _palette(png: io.BytesIO) -> bytes:
    """The picture in 256 colours of its own: a third of the bytes, and no difference that an eye finds."""
    small = io.BytesIO()
    image = Image.open(png)
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True, dpi=image.info["dpi"]
    )
    return small.getvalue()


def _drawn(draw: Callable[[Axes], None], width: float, height: float) -> Figure | None:
    """A figure of one axis, its title over the whole width; None where there is nothing to draw."""
    with style():
        figure = Figure(figsize=(width, min(height, PAGE)), layout="constrained")
        axis = figure.subplots()
        try:
            draw(axis)
        except NothingToDrawError:
            return None
        _title(figure, axis.get_title(loc="left"))
        axis.set_title("", loc="left")
    return figure


def _title(figure: Figure, text: str) -> None:
    """Over the whole width of a figure, from the left, in as many lines as it takes."""
    room = int((figure.get_figwidth() - 0.1) / CHARACTER * 1.08)
    folded = "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, room))
    figure.suptitle(folded, x=0.01, ha="left")


def _name_width(width: float) -> int:
    """Characters that a method's name may have beside a plot."""
    return 22 if width < 5 else 34


def boxes(board: Board, metric: str, paper: Paper = PAPER) -> Figure | None:
    """Scores of every pair on one metric: a box a method in the board's order."""
    width = paper.inches("1col")
    top = paper.most(30, PAGE / ROW - 6 - len(board.controls))
    height = ROW * len(leading(board, top)) + 0.75
    return _drawn(lambda axis: plots.boxes(board, metric, axis, top=top, width=_name_width(width)), width, height)


def heat(board: Board, paper: Paper = PAPER) -> Figure | None:
    """Rank of every method on as many metrics as there is room for, core metrics first."""
    width = paper.inches("2col")
    names = _name_width(width)
    top = paper.most(30, PAGE / ROW - 9 - len(board.controls))
    longest = max(len(shortened(board, m, names)) for m in leading(board, top))
    cells = int((width - 0.25 - longest * CHARACTER) / 0.27) - 1
    ordered = [*board.core, *(m for m in board.metrics if m not in board.core)]
    metrics = ordered[: max(cells, 1)]
    return _drawn(
        lambda axis: plots.ranks(board, axis, top=top, metrics=metrics, width=names),
        min(width, longest * CHARACTER + 0.5 + 0.4 * (len(metrics) + 1)) if not paper.width else width,
        ROW * 1.1 * len(leading(board, top)) + 1.0,
    )


def time_rank(board: Board, paper: Paper = PAPER) -> Figure | None:
    """Seconds a pair against mean rank; None where no time is known."""
    width = paper.inches("1col")
    top = paper.most(len(board.order))
    names = 16 if width < 5 else 26
    return _drawn(lambda axis: plots.time_rank(board, axis, top=top, width=names), width, 3.4 if width < 5 else 4.4)


def critical_difference(board: Board, paper: Paper = PAPER) -> Figure | None:
    """Nemenyi's diagram; None without a test."""
    width = paper.inches("2col")
    top = paper.most(40)
    names = 13 if width < 5 else 26
    margin = (names + 7) * CHARACTER
    figure = _drawn(lambda axis: plots.critical_difference(board, axis, top=top, width=names), width, 3.0)
    if figure is None:
        return None
    low, high = figure.axes[0].get_ylim()
    height = min(ROW * (high - low) + 0.3, PAGE)
    figure.set_figheight(height)
    figure.set_layout_engine(None)  # names stand outside of the axis, and the layout would not see them
    figure.subplots_adjust(left=margin / width, right=1 - margin / width, bottom=0, top=1 - 0.3 / height)
    return figure


def rank_blobs(board: Board, paper: Paper = PAPER) -> Figure | None:
    """The places of methods when patients are drawn anew; None where these are too few."""
    width = paper.inches("1col")
    top = paper.most(30, PAGE / ROW - 6)
    height = ROW * len(board.order[:top]) + 0.75
    return _drawn(lambda axis: plots.rank_blobs(board, axis, top=top, width=_name_width(width)), width, height)


def bump(board: Board, siblings: Sequence[Board], paper: Paper = PAPER) -> Figure | None:
    """Places under each profile that ranks the task; None with fewer than two."""
    width = paper.inches("1col")
    top = paper.most(10, len(board.order))
    height = ROW * 2 * top + 1.0
    return _drawn(lambda axis: plots.bump(board, siblings, axis, top=top, width=_name_width(width)), width, height)


def significance_map(board: Board, paper: Paper = PAPER) -> Figure | None:
    """The verdict by patient on every two methods."""
    figure = _square(lambda axis, top, names: plots.significance_map(board, axis, top=top, width=names), board, paper)
    if figure is not None:
        with style():
            handles, labels = figure.axes[0].get_legend_handles_labels()
            columns = 2 if figure.get_figwidth() < 4 else 3
            legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
            legend.set_title("the row is ... to the column")
    return figure


def win_rate(board: Board, paper: Paper = PAPER) -> Figure | None:
    """The share of patients on whom the row is ahead of the column."""
    figure = _square(lambda axis, top, names: plots.win_rate(board, axis, top=top, width=names), board, paper)
    if figure is not None:
        with style():
            axis = figure.axes[0]
            figure.colorbar(axis.images[0], ax=axis, location="bottom", shrink=0.6, aspect=30, pad=0.02)
    return figure


def _square(draw: Callable[[Axes, int, int], None], board: Board, paper: Paper) -> Figure | None:
    """A matrix of methods against methods, with names on the left."""
    width = paper.inches("2col")
    names = _name_width(width)
    room = width - (names + 4) * CHARACTER - 0.15
    top = min(paper.most(30, room / ROW), len(board.order))
    cell = min(room / max(top, 1), 0.16)
    wide = width if paper.width else cell * top + (names + 4) * CHARACTER + 0.2
    wide = min(max(wide, WIDTHS["1col"]), width)
    return _drawn(lambda axis: draw(axis, top, names), wide, cell * top + 1.2)


def robustness(
    title: str,
    curves: Mapping[str, Mapping[str, Mapping[float, float]]],
    axis_name: str,
    controls: Sequence[str] = (),
    paper: Paper = PAPER,
) -> Figure:
    """``curves``: panel title -> method -> strength -> value, from the undegraded input to the strongest degradation.

    ``controls``: the names among the methods that are drawn in grey.
    """
    width = paper.inches("2col")
    wide = min(2 if width < 5 else 4, len(curves))
    rows = math.ceil(len(curves) / wide)
    names = list(next(iter(curves.values())))
    kept = [name for name in names if name not in controls][: paper.most(10)]
    kept += [name for name in names if name in controls]
    columns = max(1, int((width - 0.1) / (max(map(len, kept), default=1) * CHARACTER + 0.45)))
    lines = math.ceil(len(kept) / columns)
    with style():
        figure = Figure(figsize=(width, min(1.55 * rows + 0.15 * lines + 0.35, PAGE)), layout="constrained")
        axes = figure.subplots(rows, wide, squeeze=False)
        for axis in list(axes.flat)[len(curves) :]:
            axis.axis("off")
        for number, (axis, (panel, values)) in enumerate(zip(axes.flat, curves.items(), strict=False)):
            plots.robustness({n: values[n] for n in kept}, axis, parameter=axis_name, controls=controls)
            axis.set_title(panel)
            axis.yaxis.set_major_locator(MaxNLocator(4))
            if number + wide < len(curves):
                axis.set_xlabel("")
            if panel == RANK_PANEL:
                axis.invert_yaxis()
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.2)
        _title(figure, title)
    return figure


def source_names(board: Board) -> tuple[str, str]:
    """Names of the two sources, structural first, as the task's fact sheet gives them."""
    for table in board.tables.values():
        names = table.about.get("task", {}).get("modalities")
        if names:
            return str(names[0]), str(names[1])
    return "source A", "source B"
