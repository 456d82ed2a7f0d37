"""Figures of what ranks are worth: rank distributions, places over profiles, verdicts and win rates of every two methods."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from fusionbench import stats
from fusionbench.report.boards import Board
from fusionbench.report.figures import OKABE_ITO, STYLE, shortened, title_of

MOST = 30
"""So many contenders, the first ones, fit into a figure."""
NAMED = 10
"""So many lines of the bump chart have a colour and a name."""
WORDS = ("better", "worse", "equivalent", "not separable", "not decidable")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e6e6e6", "#f7f7f7")


def rank_blobs(board: Board) -> Figure | None:
    """The area of a dot is the share of resamples of patients in which a method has that place, as challengeR draws it
    (Wiesenfarth et al., Scientific Reports 2021, doi 10.1038/s41598-021-82017-6); a cross where the board has it. None where
    patients are too few to be drawn."""
    found = board.tests.bootstrap
    if isinstance(found, str) or len(board.order) < 2:
        return None
    shown = board.order[:MOST]
    shares = found.places.loc[shown].to_numpy()
    deepest = int(np.flatnonzero(shares.max(axis=0) >= 0.005).max()) + 1
    rows, columns = np.nonzero(shares >= 0.005)
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(max(3.4, 0.24 * len(shown) + 1.2), max(2.6, 0.11 * deepest + 1.6)), layout="constrained"
        )
        axis = figure.subplots()
        axis.scatter(rows, columns + 1, s=70 * shares[rows, columns], color=OKABE_ITO[0], linewidths=0)
        axis.scatter(
            range(len(shown)), [board.place_of(m) for m in shown], marker="x", s=14, color="black", linewidths=0.8
        )
        _named(axis, [shortened(board, method, 26) for method in shown])
        axis.set_ylim(deepest + 0.8, 0.2)
        axis.set_ylabel("place")
        axis.set_title(
            f"{title_of(board)}\nplaces in {stats.RESAMPLES:,} resamples of {found.patients} patients; cross: the board"
        )
        axis.grid(linewidth=0.3, color="#dddddd", axis="y")
    return figure


def bump(board: Board, siblings: Sequence[Board]) -> Figure | None:
    """Places under each profile that ranks the task; None with fewer than two."""
    boards = [board, *(other for other in siblings if other.profile != board.profile and other.order)]
    if len(boards) < 2 or not board.order:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.9 * len(boards) + 2.6, 3.8), layout="constrained")
        axis = figure.subplots()
        level = 0.0
        for n, method in reversed(list(enumerate(board.order))):
            places = [other.place_of(method) if method in other.order else np.nan for other in boards]
            colour = OKABE_ITO[n % len(OKABE_ITO)] if n < NAMED else "#d9d9d9"
            width, dot, above = (1.6, 3.5, 3) if n < NAMED else (0.6, 1.5, 1)
            axis.plot(
                range(len(boards)), places, marker="o", color=colour, linewidth=width, markersize=dot, zorder=above
            )
        for method in board.order[:NAMED]:
            level = max(level + 1.0, float(board.place_of(method)))  # those that tie stand below each other
            axis.text(-0.1, level, f"{shortened(board, method, 24)}  ", ha="right", va="center", fontsize=6.5)
        axis.set_xticks(range(len(boards)), [other.profile for other in boards])
        axis.set_xlim(-0.1, len(boards) - 0.9)
        axis.set_ylim(2 * NAMED + 0.5, 0.5)
        axis.yaxis.tick_right()
        axis.set_yticks([1, 5, 10, 15, 20])
        axis.spines[["left", "top"]].set_visible(False)
        axis.set_title(f"{board.task_title}, {board.dataset}: places by profile, the first {2 * NAMED}")
    return figure


def significance_map(board: Board) -> Figure | None:
    """The verdict by patient on every two methods: what the row is beside the column."""
    shown = board.order[:MOST]
    if len(shown) < 2:
        return None
    codes = np.full((len(shown), len(shown)), np.nan)
    position = {method: n for n, method in enumerate(shown)}
    turned = {"better": "worse", "worse": "better"}
    for line in board.tests.pairwise.to_dict("records"):
        if line["first"] in position and line["second"] in position:
            i, j = position[line["first"]], position[line["second"]]
            codes[i, j] = WORDS.index(line["verdict"])
            codes[j, i] = WORDS.index(turned.get(line["verdict"], line["verdict"]))
    note = board.tests.undecidable or f"{board.tests.number} patients, sign flips, step-down max-T"
    with matplotlib.rc_context(STYLE):
        figure, axis = _matrix(len(shown))
        axis.imshow(codes, cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=len(WORDS) - 0.5, aspect="equal")
        names = [shortened(board, method, 26) for method in shown]
        _named(axis, names)
        axis.set_yticks(range(len(names)), names)
        used = [n for n in range(len(WORDS)) if (codes == n).any()]
        for n in used:
            axis.scatter(
                [], [], marker="s", s=30, color=COLOURS[n], edgecolors="#999999", linewidths=0.4, label=WORDS[n]
            )
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="row is ... to column", frameon=False)
        axis.set_title(f"{title_of(board)}\n{note}")
    return figure


def win_rate(board: Board) -> Figure | None:
    """The share of patients on whom the row has the better mean rank than the column; ties count half."""
    shown = board.order[:MOST]
    if len(shown) < 2 or not board.pairs:
        return None
    rates = stats.win_rates(stats.by_patient(board.tests.blocks[shown], board.patients)).to_numpy()
    with matplotlib.rc_context(STYLE):
        figure, axis = _matrix(len(shown))
        image = axis.imshow(rates, cmap="PuOr_r", vmin=0, vmax=1, aspect="equal")
        names = [shortened(board, method, 26) for method in shown]
        _named(axis, names)
        axis.set_yticks(range(len(names)), names)
        figure.colorbar(
            image, ax=axis, shrink=0.6, label=f"share of {board.tests.number} patients on whom the row is ahead"
        )
        axis.set_title(title_of(board))
    return figure


def _matrix(number: int) -> tuple[Figure, Axes]:
    side = max(2.4, 0.16 * number + 1.6)
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    return figure, figure.subplots()


def _named(axis: Axes, names: Sequence[str]) -> None:
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
