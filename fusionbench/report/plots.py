"""What figures show, drawn on a matplotlib axis of the caller's: the door for notebooks, and what ``figures`` puts on paper.

Every function takes a board first and an axis last, sets labels and a title on the left, and leaves sizes and fonts to the
caller's settings. ``top``: so many contenders, the first ones; None: all. Colours survive colour blindness and grey printing
(cividis; Okabe and Ito's palette), controls are grey. Raises NothingToDrawError, with the reason, where a board has not what
a figure would show.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from fusionbench import stats
from fusionbench.errors import InputError
from fusionbench.report.boards import Board, acronym, metric_heading, title_of

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
GREY = "#6e6e6e"
PALE = "#dddddd"
WORDS = ("better", "worse", "equivalent", "not separable", "not decidable")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cfcfcf", "#ececec")


class NothingToDrawError(InputError):
    """Why a board has not what a figure would show."""


def leading(board: Board, top: int | None = None) -> list[str]:
    """The first contenders, and all controls."""
    return [*board.order[:top], *board.controls]


def shortened(board: Board, method: str, width: int) -> str:
    """A title too long for its place becomes its acronym, or else the name that is typed."""
    title = board.name(method)
    text = title if len(title) <= width else acronym(title) or method
    return text if len(text) <= width else text[: width - 1] + "…"


def boxes(board: Board, metric: str, axis: Axes, *, top: int | None = None, width: int = 26) -> None:
    """The scores of every pair on one metric: a box a method in the board's order (quartiles, whiskers 1.5 IQR).

    ``width``: of a method's name, in characters. Raises InputError for a metric that the board does not have.
    """
    if metric not in board.scores:
        raise InputError(f"{title_of(board)}: has no metric {metric!r}; it has: {', '.join(board.scores)}")
    shown = leading(board, top)
    values = [column[~np.isnan(column)] for column in board.scores[metric][shown].to_numpy().T]
    thin = {"linewidth": 0.5}
    drawn = axis.boxplot(
        values,
        orientation="horizontal",
        widths=0.65,
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 1.5, "markeredgecolor": GREY},
        medianprops={"color": "black", "linewidth": 0.8},
        boxprops=thin,
        whiskerprops=thin,
        capprops=thin,
    )
    for method, patch in zip(shown, drawn["boxes"], strict=True):
        patch.set_facecolor("#d9d9d9" if method in board.controls else "#9ecae1")
    _rows(board, shown, axis, width, first=1)
    axis.grid(axis="x", linewidth=0.3, color=PALE)
    axis.set_axisbelow(True)
    axis.set_xlabel(metric_heading(board, metric))
    axis.set_title(f"{title_of(board)}: {len(board.pairs)} pairs; grey: controls", loc="left")


def ranks(
    board: Board, axis: Axes, *, top: int | None = None, metrics: Sequence[str] | None = None, width: int = 26
) -> None:
    """The rank of every method on every metric, core metrics first, with the mean rank before them.

    ``metrics``: these alone, in this order; None: all of the board.
    """
    shown = leading(board, top)
    if metrics is None:
        metrics = [*board.core, *(m for m in board.metrics if m not in board.core)]
    values = np.column_stack(
        [board.mean_rank[shown].to_numpy(dtype=float), board.ranks.loc[shown, list(metrics)].to_numpy()]
    )
    worst = max(2.0, float(len(board.order)))
    axis.imshow(values, cmap="cividis_r", vmin=1, vmax=worst, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        light = value > 1 + 0.55 * (worst - 1)
        text = f"{value:.1f}" if column == 0 or value % 1 else f"{value:.0f}"
        cell = axis.text(column, row, text, ha="center", va="center", color="white" if light else "black")
        cell.set_in_layout(False)  # it lies inside, and measuring hundreds takes seconds
    names = ["mean rank", *(metric_heading(board, m)[:-2] for m in metrics)]
    axis.set_xticks(range(len(names)), names, rotation=45, ha="left", rotation_mode="anchor")
    axis.xaxis.tick_top()
    _rows(board, shown, axis, width)
    core = sum(metric in board.core for metric in metrics)
    for line in (0.5, core + 0.5):
        axis.axvline(line, color="white", linewidth=2)
    if board.order and board.controls:
        axis.axhline(len(shown) - len(board.controls) - 0.5, color="white", linewidth=2)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(f"{title_of(board)}: ranks, 1 = best; grey: controls", loc="left")


@dataclasses.dataclass(frozen=True)
class _Point:
    """A method in the plane of time and rank."""

    method: str
    seconds: float
    rank: float


def time_rank(board: Board, axis: Axes, *, top: int | None = None, width: int = 20) -> None:
    """Seconds a pair against mean rank, with the line of those that nobody faster outranks; names where there is room."""
    points = [_Point(m, board.seconds(m), float(board.mean_rank[m])) for m in leading(board, top)]
    points = sorted((p for p in points if p.seconds > 0), key=lambda p: (p.seconds, p.rank, p.method))
    if not points:
        raise NothingToDrawError(f"{title_of(board)}: no time is on record; fusionbench profile measures it")
    devices = sorted({board.device(p.method) or "unnamed device" for p in points})
    front: list[_Point] = []
    for point in points:
        if point.method in board.order and all(point.rank < other.rank for other in front):
            front.append(point)
    steps = [(p.seconds, p.rank) for p in front]
    axis.plot(*zip(*steps, strict=True), drawstyle="steps-post", color=OKABE_ITO[1], linewidth=0.8, zorder=1)
    for point in points:
        control = point.method in board.controls
        axis.plot(
            point.seconds, point.rank, "s" if control else "o", color=GREY if control else OKABE_ITO[0], markersize=3.5
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # a power's exponent would be smaller than the text
    axis.margins(x=0.12, y=0.08)
    axis.invert_yaxis()
    axis.set_xlabel(f"seconds a pair, median ({'; '.join(devices)})")
    axis.set_ylabel("mean rank (1 = best)")
    axis.set_title(f"{title_of(board)}\nline: none faster ranks better; grey squares: controls", loc="left")
    axis.grid(linewidth=0.3, color=PALE, which="major")
    rest = sorted((p for p in points if p not in front), key=lambda p: p.rank)
    colour = {m: GREY if m in board.controls else "black" for m in board.ranked}
    named = [(shortened(board, p.method, width), p.seconds, p.rank, colour[p.method]) for p in [*front, *rest]]
    name_points(axis, named)


def name_points(axis: Axes, points: Sequence[tuple[str, float, float, str]]) -> None:
    """Names beside points, the first ones first, each where it meets neither point nor name; left out where it would.

    ``points``: name, x, y in data and colour. The axis has its limits by then, and the figure its size.
    """
    axis.figure.canvas.figure.draw_without_rendering()  # settles the layout, which says where there is room
    font = FontProperties()
    size = font.get_size_in_points()
    scale = axis.figure.canvas.figure.dpi / 72
    at = axis.transData.transform([(x, y) for _, x, y, _ in points])
    frame = axis.get_window_extent()
    taken = [(x - 2 * scale, y - 2 * scale, x + 2 * scale, y + 2 * scale) for x, y in at]
    for (name, own_x, own_y, colour), (x, y) in zip(points, at, strict=True):
        extent = TextPath((0, 0), name, size=size, prop=font).get_extents()
        wide, high = extent.width * scale, size * scale
        for dx, dy in ((-5, 6), (-5, 0), (5, 0), (0, 6), (0, -6), (5, 6), (5, -6), (-5, -6)):
            left = x + dx * scale - (wide if dx < 0 else wide / 2 if dx == 0 else 0)
            low = y + dy * scale - (high / 2 if dy == 0 else high if dy < 0 else 0)
            box = (left, low, left + wide, low + high)
            inside = frame.x0 <= box[0] and box[2] <= frame.x1 and frame.y0 <= box[1] and box[3] <= frame.y1
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                place: dict[str, Any] = {
                    "ha": "left" if dx > 0 else "right" if dx < 0 else "center",
                    "va": "bottom" if dy > 0 else "top" if dy < 0 else "center",
                }
                axis.annotate(name, (own_x, own_y), (dx, dy), textcoords="offset points", color=colour, **place)
                break


def _meet(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def critical_difference(board: Board, axis: Axes, *, top: int | None = None, width: int = 34) -> None:
    """Nemenyi's diagram after Demsar (2006): a bar joins methods not shown to differ. A unit of y is a line of text."""
    nemenyi = board.tests.nemenyi
    if isinstance(nemenyi, str):
        raise NothingToDrawError(f"{title_of(board)}: {nemenyi}")
    names = list(nemenyi.ranks.index)[:top]
    values = nemenyi.ranks[names].to_numpy()
    spans = [[values[names.index(m)] for m in group if m in names] for group in nemenyi.groups]
    pairs = {(min(span), max(span)) for span in spans if len(span) > 1}
    # What is cut at the last method shown may lie within another.
    groups = sorted(g for g in pairs if not any(o != g and o[0] <= g[0] and g[1] <= o[1] for o in pairs))
    half, first, last = math.ceil(len(names) / 2), 1, max(2, math.ceil(values.max()))
    span, below = last - first, -0.6 - 0.45 * len(groups)
    axis.axis("off")
    axis.set_xlim(first - 0.06 * span, last + 0.06 * span)
    axis.set_ylim(below - half - 0.4, 2.6)
    axis.plot([first, last], [0, 0], color="black", linewidth=0.8, solid_capstyle="butt")
    for tick in MaxNLocator(integer=True, nbins=6).tick_values(first, last):
        if first <= tick <= last:
            axis.plot([tick, tick], [0, 0.2], color="black", linewidth=0.6)
            axis.text(tick, 0.25, f"{tick:.0f}", ha="center", va="bottom")
    shown = min(nemenyi.difference, span)
    axis.plot([first, first + shown], [1.6, 1.6], color=OKABE_ITO[1], linewidth=1.5, solid_capstyle="butt")
    axis.text(
        first, 1.75, f"critical difference {nemenyi.difference:.2f} (α = {nemenyi.alpha:g})", ha="left", va="bottom"
    )
    for n, (method, value) in enumerate(zip(names, values, strict=True)):
        left = n < half
        level = below - 0.5 - (n if left else len(names) - 1 - n)
        end = first - 0.03 * span if left else last + 0.03 * span
        axis.plot([value, value, end], [0, level, level], color="#777777", linewidth=0.5)
        title = shortened(board, method, width)
        label = f"{title}  {value:.2f} " if left else f" {value:.2f}  {title}"
        axis.text(end, level, label, ha="right" if left else "left", va="center")
    for n, (start, end) in enumerate(groups):
        pad, y = 0.006 * span, -0.45 - 0.45 * n
        axis.plot([start - pad, end + pad], [y, y], color=OKABE_ITO[0], linewidth=2.0, solid_capstyle="butt")
    axis.set_title(f"{title_of(board)}: mean ranks within {len(board.pairs)} pairs, controls left out", loc="left")


def rank_blobs(board: Board, axis: Axes, *, top: int | None = None, width: int = 26) -> None:
    """The area of a dot is the share of resamples of patients in which a method has that place, as challengeR draws it
    (Wiesenfarth et al., Scientific Reports 2021, doi 10.1038/s41598-021-82017-6); a cross where the board has it."""
    found = board.tests.bootstrap
    if isinstance(found, str) or len(board.order) < 2:
        raise NothingToDrawError(
            f"{title_of(board)}: {found if isinstance(found, str) else 'one method has no places'}"
        )
    shown = board.order[:top]
    shares = found.places.loc[shown].to_numpy()
    rows, columns = np.nonzero(shares >= 0.005)
    axis.scatter(columns + 1, rows, s=70 * shares[rows, columns], color=OKABE_ITO[0], linewidths=0)
    axis.scatter([board.place_of(m) for m in shown], range(len(shown)), marker="x", s=14, color="black", linewidths=0.8)
    _rows(board, shown, axis, width)
    axis.set_xlim(0.2, float(columns.max()) + 1.8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("place")
    axis.grid(linewidth=0.3, color=PALE, axis="y")
    axis.set_axisbelow(True)
    told = f"places in {stats.RESAMPLES:,} resamples of {found.patients} patients; cross: the board"
    axis.set_title(f"{title_of(board)}\n{told}", loc="left")


def bump(board: Board, siblings: Sequence[Board], axis: Axes, *, top: int = 10, width: int = 26) -> None:
    """Places under each profile that ranks the task. The first ``top`` have a colour and a name, others a pale line."""
    boards = [board, *(other for other in siblings if other.profile != board.profile and other.order)]
    if len(boards) < 2 or not board.order:
        raise NothingToDrawError(f"{title_of(board)}: no other profile ranks the task")
    level = 0.0
    for n, method in reversed(list(enumerate(board.order))):
        places = [other.place_of(method) if method in other.order else np.nan for other in boards]
        named = n < top
        axis.plot(
            range(len(boards)),
            places,
            marker="o",
            color=OKABE_ITO[n % len(OKABE_ITO)] if named else "#d9d9d9",
            linestyle=("-", "--", ":")[n // len(OKABE_ITO) % 3] if named else "-",
            linewidth=1.6 if named else 0.6,
            markersize=3.5 if named else 1.5,
            zorder=3 if named else 1,
        )
    labels = []
    for method in board.order[:top]:
        level = max(level + 1.0, float(board.place_of(method)))  # those that tie stand below each other
        labels.append((level, f"{board.place_of(method)}  {shortened(board, method, width)}"))
    axis.set_yticks([at for at, _ in labels], [text for _, text in labels])
    axis.set_xticks(
        range(len(boards)), [other.profile for other in boards], rotation=30, ha="right", rotation_mode="anchor"
    )
    axis.set_xlim(-0.1, len(boards) - 0.9)
    axis.set_ylim(2 * top + 0.5, 0.5)
    right = axis.secondary_yaxis("right")
    right.set_yticks([1, *range(5, 2 * top + 1, 5)])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_title(f"{board.task_title}, {board.dataset}: places by profile, the first {2 * top}", loc="left")


def significance_map(board: Board, axis: Axes, *, top: int | None = None, width: int = 26) -> None:
    """The verdict by patient on every two methods: what the row is beside the column, numbered alike."""
    shown = board.order[:top]
    if len(shown) < 2:
        raise NothingToDrawError(f"{title_of(board)}: fewer than two methods")
    codes = np.full((len(shown), len(shown)), np.nan)
    position = {method: n for n, method in enumerate(shown)}
    turned = {"better": "worse", "worse": "better"}
    for line in board.tests.pairwise.to_dict("records"):
        if line["first"] in position and line["second"] in position:
            i, j = position[line["first"]], position[line["second"]]
            codes[i, j] = WORDS.index(line["verdict"])
            codes[j, i] = WORDS.index(turned.get(line["verdict"], line["verdict"]))
    note = board.tests.undecidable or f"{board.tests.number} patients, sign flips, step-down max-T"
    axis.imshow(codes, cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=len(WORDS) - 0.5, aspect="equal")
    _square(board, shown, axis, width)
    for n in (n for n in range(len(WORDS)) if (codes == n).any()):
        axis.scatter([], [], marker="s", s=30, color=COLOURS[n], edgecolors="#999999", linewidths=0.4, label=WORDS[n])
    axis.set_title(f"{title_of(board)}\n{note}", loc="left")


def win_rate(board: Board, axis: Axes, *, top: int | None = None, width: int = 26) -> None:
    """The share of patients on whom the row has the better mean rank than the column; ties count half."""
    shown = board.order[:top]
    if len(shown) < 2 or not board.pairs:
        raise NothingToDrawError(f"{title_of(board)}: fewer than two methods")
    rates = stats.win_rates(stats.by_patient(board.tests.blocks[shown], board.patients)).to_numpy()
    axis.imshow(rates, cmap="PuOr_r", vmin=0, vmax=1, aspect="equal")
    _square(board, shown, axis, width)
    axis.set_title(f"{title_of(board)}\nshare of {board.tests.number} patients on whom the row is ahead", loc="left")


def robustness(
    lines: Mapping[str, Mapping[float, float]], axis: Axes, *, parameter: str, controls: Sequence[str] = ()
) -> None:
    """A value against the strength of a degradation, a line a method: ``lines``: name -> strength -> value.

    ``parameter``: what the strength is called; ``controls``: the names that are drawn in grey.
    """
    markers, dashes = "osv^Dpx+", ("-", "--", ":", "-.")
    number = 0
    for name, points in lines.items():
        control = name in controls
        axis.plot(
            list(points),
            list(points.values()),
            label=name,
            color=GREY if control else OKABE_ITO[number % 7],
            linestyle=dashes[list(controls).index(name) % 4] if control else dashes[number // 7 % 4],
            marker="" if control else markers[number % 8],
            markersize=2.5,
            linewidth=0.9,
        )
        number += not control
    axis.set_xlabel(parameter)
    axis.grid(linewidth=0.3, color=PALE)
    steps = list(next(iter(lines.values()), {}))
    if steps and steps[0] > steps[-1]:  # JPEG's quality falls as the flaw grows
        axis.invert_xaxis()


def _rows(board: Board, shown: Sequence[str], axis: Axes, width: int, first: int = 0) -> None:
    """A method a row, the first at the top; controls in grey."""
    axis.set_yticks(range(first, first + len(shown)), [shortened(board, m, width) for m in shown])
    axis.set_ylim(first + len(shown) - 0.5, first - 0.5)
    axis.tick_params(axis="y", length=0)
    for method, label in zip(shown, axis.get_yticklabels(), strict=True):
        label.set_color(GREY if method in board.controls else "black")


def _square(board: Board, shown: Sequence[str], axis: Axes, width: int) -> None:
    """Rows named and numbered, columns by number: names on both sides would take half of the figure."""
    names = [f"{shortened(board, method, width)}  {n}" for n, method in enumerate(shown, 1)]
    axis.set_yticks(range(len(shown)), names)
    step = 1 if len(shown) <= 12 else 5
    axis.set_xticks([n - 1 for n in range(1, len(shown) + 1) if n == 1 or n % step == 0])
    axis.set_xticklabels([str(int(n) + 1) for n in axis.get_xticks()])
    axis.tick_params(length=0)
