"""Figures for papers: image grid, box plots, rank heat map, time against rank, critical-difference diagram, robustness.

Each is written as PDF and as PNG at 300 dpi, in colours that survive colour blindness and grey printing (cividis; Okabe
and Ito's palette), and holds neither time nor version: the same results give the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from fusionbench.files import write_bytes
from fusionbench.pairs import Pair
from fusionbench.report.boards import Board, acronym

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
GREY = "#6e6e6e"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.hashsalt": "fusionbench",
    "figure.dpi": 100.0,
    "savefig.dpi": 300.0,
}
RANK_PANEL = "mean rank (1 = best)"
UInt8 = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Shown:
    """A pair with the fused images at hand: ``fused`` maps a method to its (H, W) uint8 luminance."""

    pair: Pair
    fused: Mapping[str, UInt8]


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write STEM.pdf and STEM.png, without dates or versions inside."""
    FigureCanvasAgg(figure)
    paths = []
    clean: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
        "png": {"Software": None},
    }
    with matplotlib.rc_context(STYLE):
        # The layout is settled once; letting each savefig do it again takes most of the time.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        box = figure.get_tightbbox().padded(0.03)
        for suffix, metadata in clean.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, metadata=metadata, bbox_inches=box)
            path = stem.with_name(f"{stem.name}.{suffix}")
            write_bytes(path, _palette(buffer) if suffix == "png" else buffer.getvalue())
            paths.append(path)
    return paths


def _palette(png: io.BytesIO) -> bytes:
    """The picture in 256 colours of its own: a third of the bytes, and no difference that an eye finds."""
    small = io.BytesIO()
    Image.open(png).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def grid(board: Board, shown: Sequence[Shown], zoom: Box | None = None) -> Figure:
    """Sources and every method on the pairs given, each with its zoomed inset; one row a pair, wrapped at 8 tiles."""
    methods = tiles(board, shown)
    count = len(methods) + 2
    rows_each = math.ceil(count / 8)
    wide = math.ceil(count / rows_each)
    with matplotlib.rc_context(STYLE):
        first = shown[0].pair.a.shape
        figure = Figure(
            figsize=(7.16, 7.16 / wide * (first[0] / first[1] * rows_each * len(shown)) * (1.0 + 0.11 * wide / 6))
        )
        axes = figure.subplots(rows_each * len(shown), wide, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        size = max(4.0, min(7.0, 46.0 / wide))
        for row, item in enumerate(shown):
            box = zoom or interesting_box(item.pair)
            structural, other = (part.upper() for part in source_names(board))
            pictures = [
                (structural, item.pair.a),
                (other, item.pair.color if item.pair.color is not None else item.pair.b),
            ]
            for method in methods:
                image = item.fused[method]
                seen = item.pair.show(image)
                coloured = image if seen is None else seen
                pictures.append((shortened(board, method, 20), coloured))
            for n, (title, picture) in enumerate(pictures):
                axis = axes[row * rows_each + n // wide, n % wide]
                _tile(axis, picture, box)
                if row == 0 or rows_each > 1:
                    axis.set_title(title, fontsize=size, pad=2)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.03, hspace=0.11 * wide / 6)
    return figure


def tiles(board: Board, shown: Sequence[Shown]) -> list[str]:
    """The methods whose images are at hand for every pair shown."""
    return [method for method in board.ranked if all(method in item.fused for item in shown)] if shown else []


def interesting_box(pair: Pair) -> Box:
    """A quarter-size window (x, y, w, h) where both sources vary most: the default zoom."""
    height, width = pair.a.shape
    side = max(8, min(height, width) // 5)
    step = max(1, side // 4)
    best, box = -1.0, (0, 0, side, side)
    for y in range(0, height - side + 1, step):
        for x in range(0, width - side + 1, step):
            parts = [image[y : y + side, x : x + side].astype(np.float64) for image in (pair.a, pair.b)]
            value = float(np.sqrt(parts[0].std() * parts[1].std()))
            if value > best:
                best, box = value, (x, y, side, side)
    return box


def boxes(board: Board) -> Figure:
    """Scores of every pair: a panel a metric, a box a method in the board's order (quartiles, whiskers 1.5 IQR)."""
    metrics = board.metrics
    wide = min(4, len(metrics))
    rows = math.ceil(len(metrics) / wide)
    names = [board.name(m) for m in board.ranked]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.8 * wide + 0.9, rows * (0.105 * len(names) + 0.5) + 0.3), layout="constrained")
        axes = figure.subplots(rows, wide, squeeze=False, sharey=True)
        for axis in list(axes.flat)[len(metrics) :]:
            axis.axis("off")
        for axis, metric in zip(axes.flat, metrics, strict=False):
            frame = board.scores[metric][board.ranked]
            values = [column[~np.isnan(column)] for column in frame.to_numpy().T]
            drawn = axis.boxplot(
                values,
                orientation="horizontal",
                widths=0.65,
                patch_artist=True,
                flierprops={"marker": ".", "markersize": 1.5, "markeredgecolor": GREY},
                medianprops={"color": "black", "linewidth": 0.8},
                boxprops={"linewidth": 0.5},
                whiskerprops={"linewidth": 0.5},
                capprops={"linewidth": 0.5},
            )
            for method, patch in zip(board.ranked, drawn["boxes"], strict=True):
                patch.set_facecolor("#d9d9d9" if method in board.controls else "#9ecae1")
            axis.set_title(f"{board.column(metric).short} {'↑' if board.better[metric] == 'higher' else '↓'}")
            axis.set_yticks(range(1, len(names) + 1), names, fontsize=min(7, max(4, 200 / len(names))))
            axis.tick_params(width=0.4, length=2)
            axis.grid(axis="x", linewidth=0.3, color="#dddddd")
            axis.set_axisbelow(True)
        axes[0, 0].invert_yaxis()
        figure.suptitle(f"{title_of(board)}: {len(board.pairs)} pairs; controls in grey", fontsize=8)
    return figure


def heat(board: Board) -> Figure:
    """Rank of every method on every metric; core metrics first."""
    metrics = [*board.core, *(m for m in board.metrics if m not in board.core)]
    ranks = board.ranks.loc[board.ranked, metrics].to_numpy()
    names = [f"{board.name(m)}{' (control)' if m in board.controls else ''}" for m in board.ranked]
    columns = ["mean rank", *(board.column(m).short for m in metrics)]
    values = np.column_stack([board.mean_rank[board.ranked].to_numpy(dtype=float), ranks])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.36 * len(columns) + 1.9, 0.17 * len(names) + 0.9), layout="constrained")
        axis = figure.subplots()
        top = max(2.0, float(len(board.order)))
        drawn = axis.imshow(values, cmap="cividis_r", vmin=1, vmax=top, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            light = value > 1 + 0.55 * (top - 1)
            text = f"{value:.1f}" if column == 0 or value % 1 else f"{value:.0f}"
            axis.text(column, row, text, ha="center", va="center", fontsize=5.5, color="white" if light else "black")
        axis.set_xticks(range(len(columns)), columns, rotation=45, ha="left", rotation_mode="anchor")
        axis.xaxis.tick_top()
        axis.set_yticks(range(len(names)), names)
        axis.axvline(0.5, color="white", linewidth=2)
        axis.axvline(len(board.core) + 0.5, color="white", linewidth=2)
        if board.order and board.controls:
            axis.axhline(len(board.order) - 0.5, color="white", linewidth=2)
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(drawn, ax=axis, shrink=0.6, aspect=25, pad=0.02)
        bar.set_label("rank (1 = best)")
        bar.outline.set_visible(False)
    return figure


def time_rank(board: Board) -> Figure | None:
    """Seconds a pair against mean rank; None where no time is known."""
    points = [(m, board.seconds(m), float(board.mean_rank[m])) for m in board.ranked if board.seconds(m) > 0]
    if not points:
        return None
    devices = sorted({board.device(m) or "unnamed device" for m, _, _ in points})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.5, 3.0), layout="constrained")
        axis = figure.subplots()
        for n, (method, seconds, rank) in enumerate(sorted(points, key=lambda p: (p[1], p[2]))):
            control = method in board.controls
            axis.plot(seconds, rank, "s" if control else "o", color=GREY if control else OKABE_ITO[0], markersize=3.5)
            above = n % 2 == 0
            axis.annotate(
                shortened(board, method, 14 if len(points) > 12 else 24),
                (seconds, rank),
                xytext=(2, 3 if above else -3),
                textcoords="offset points",
                fontsize=5,
                va="bottom" if above else "top",
                color=GREY if control else "black",
            )
        axis.set_xscale("log")
        axis.invert_yaxis()
        axis.margins(x=0.18)
        axis.set_xlabel(f"seconds a pair, median ({'; '.join(devices)})", fontsize=6.5)
        axis.set_ylabel("mean rank (1 = best)")
        axis.set_title(f"{title_of(board)}; squares: controls")
        axis.grid(linewidth=0.3, color="#dddddd", which="major")
    return figure


def critical_difference(board: Board) -> Figure | None:
    """Nemenyi's diagram after Demsar (2006): methods not shown to differ are joined by a bar; None without a test."""
    nemenyi = board.tests.nemenyi
    if isinstance(nemenyi, str):
        return None
    names, values = list(nemenyi.ranks.index), nemenyi.ranks.to_numpy()
    count = len(names)
    half = math.ceil(count / 2)
    groups = [(values[names.index(g[0])], values[names.index(g[-1])]) for g in nemenyi.groups]
    bars = 0.22 * len(groups)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.16, 0.9 + 0.19 * half + 0.5 * bars))
        axis = figure.subplots()
        axis.axis("off")
        span = max(count - 1.0, 1.0)
        axis.set_xlim(1 - 0.42 * span, count + 0.42 * span)
        axis.set_ylim(-(0.7 + bars + 0.38 * half), 1.1)
        axis.plot([1, count], [0, 0], color="black", linewidth=0.8, solid_capstyle="butt")
        for tick in range(1, count + 1):
            if tick == 1 or tick == count or tick % max(1, round(count / 10)) == 0:
                axis.plot([tick, tick], [0, 0.09], color="black", linewidth=0.6)
                axis.text(tick, 0.13, str(tick), ha="center", va="bottom", fontsize=6.5)
        shown = min(nemenyi.difference, span)
        axis.plot([1, 1 + shown], [0.72, 0.72], color=OKABE_ITO[1], linewidth=1.5, solid_capstyle="butt")
        word = f"critical difference {nemenyi.difference:.2f} (α = {nemenyi.alpha:g}, {len(board.pairs)} pairs)"
        axis.text(1, 0.8, word, fontsize=6.5, va="bottom")
        for n, (name, value) in enumerate(zip(names, values, strict=True)):
            left = n < half
            level = -(0.45 + bars + 0.38 * (n if left else count - 1 - n))
            end = 1 - 0.03 * span if left else count + 0.03 * span
            axis.plot([value, value, end], [0, level, level], color="#555555", linewidth=0.5)
            title = shortened(board, name, 34)
            label = f"{title}  {value:.2f}" if left else f"{value:.2f}  {title}"
            axis.text(end, level, f" {label} ", ha="right" if left else "left", va="center", fontsize=6.5)
        for n, (start, end) in enumerate(groups):
            y = -0.18 - 0.22 * n
            pad = 0.006 * span
            axis.plot([start - pad, end + pad], [y, y], color=OKABE_ITO[0], linewidth=2.2, solid_capstyle="butt")
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1)
    return figure


def robustness(title: str, curves: Mapping[str, Mapping[str, Mapping[float, float]]], axis_name: str) -> Figure:
    """``curves``: panel title -> method -> strength -> value, from the undegraded input to the strongest degradation."""
    with matplotlib.rc_context(STYLE):
        wide = min(4, len(curves))
        rows = math.ceil(len(curves) / wide)
        figure = Figure(figsize=(1.8 * wide + 1.6, 1.7 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, wide, squeeze=False)
        for axis in list(axes.flat)[len(curves) :]:
            axis.axis("off")
        markers = "osv^Dpx+"
        for axis, (panel, lines) in zip(axes.flat, curves.items(), strict=False):
            for n, (method, points) in enumerate(lines.items()):
                strengths = list(points)
                style = {
                    "color": OKABE_ITO[n % 7],
                    "marker": markers[(n // 7) % 8],
                    "markersize": 2.5,
                    "linewidth": 0.9,
                }
                style["linestyle"] = ("-", "--", ":", "-.")[(n // 7) % 4]
                axis.plot(strengths, [points[s] for s in strengths], label=method, **style)
            axis.set_title(panel)
            axis.set_xlabel(axis_name)
            axis.grid(linewidth=0.3, color="#dddddd")
            steps = list(next(iter(lines.values()), {}))
            if steps and steps[0] > steps[-1]:  # JPEG's quality falls as the flaw grows
                axis.invert_xaxis()
            if panel == RANK_PANEL:
                axis.invert_yaxis()
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=5.5)
        figure.suptitle(title, fontsize=8)
    return figure


def source_names(board: Board) -> tuple[str, str]:
    """Names of the two sources, structural first, as the task's fact sheet gives them."""
    for table in board.tables.values():
        names = table.about.get("task", {}).get("modalities")
        if names:
            return str(names[0]), str(names[1])
    return "source A", "source B"


def title_of(board: Board) -> str:
    return f"{board.task_title}, {board.dataset}, profile {board.profile}"


def _tile(axis: Axes, picture: UInt8, box: Box) -> None:
    x, y, w, h = box
    height, width = picture.shape[:2]
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if picture.ndim == 2 else {}
    axis.imshow(picture, interpolation="nearest", **grey)  # type: ignore[arg-type]
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, edgecolor="#E69F00", linewidth=0.6))
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
        spine.set_color("#E69F00")
        spine.set_linewidth(0.6)


def shortened(board: Board, method: str, width: int) -> str:
    """A title too long for its place becomes its acronym, or else the name that is typed."""
    title = board.name(method)
    text = title if len(title) <= width else acronym(title) or method
    return text if len(text) <= width else text[: width - 1] + "…"
