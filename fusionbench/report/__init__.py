"""Tables, figures and the page, made from what is in a results folder and nothing else: the same bytes every time.

::

    OUT/index.html                     the page: no network
    OUT/patients/DATASET/TASK.js       what the page ranks anew by
    OUT/images/DATASET/TASK/ID/*.webp  images that the page shows, where they may be shown
    OUT/README.md                      all tables, as GitHub shows them
    OUT/DATASET/TASK/PROFILE.{md,csv,tex}
    OUT/DATASET/TASK/PROFILE-{statistics,pairwise,pair-ranks}.csv
    OUT/DATASET/overall/PROFILE.{md,csv} one board over all tasks
    OUT/DATASET/TASK/truth.{md,csv}    what model observers found, where any were asked
    OUT/DATASET/TASK/conventions.csv   rankings under every two conventions of one metric
    OUT/DATASET/TASK/robustness.csv    scores and ranks against the strength of a degradation, where any were run
    OUT/tables.tex, OUT/references.bib a document of all LaTeX tables; methods, metrics and data that they cite
    OUT/figures/DATASET/TASK/*.{png,pdf}
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure

from fusionbench.errors import InputError
from fusionbench.files import write_text
from fusionbench.report import (
    conventions,
    csvs,
    figures,
    grid,
    latex,
    overall,
    page,
    plots,
    references,
    sources,
    tables,
    truth,
)
from fusionbench.report.boards import Board, metric_heading
from fusionbench.report.choice import EVERYBODY, Only, make_boards, why_none
from fusionbench.report.columns import COLUMNS, DEFAULT_COLUMNS
from fusionbench.report.curves import csv_text, curves, legend, panels
from fusionbench.report.figures import PAPER, Box, Paper, Shown
from fusionbench.report.tables import Cell, Line, Sheet
from fusionbench.scores import Key, Table, find_tables, read_metric_facts, read_results, read_table

__all__ = [
    "COLUMNS",
    "DEFAULT_COLUMNS",
    "IMAGES",
    "Board",
    "Cell",
    "Line",
    "Paper",
    "Sheet",
    "leaderboards",
    "load_board",
    "load_boards",
    "plots",
    "write_report",
]

Notify = Callable[[str, int, int], None]
T = TypeVar("T")
IMAGES = ("auto", "public", "all", "none")
"""``auto``: figures of whatever is at hand, the page only of images that may be passed on; ``public``: the figures too."""


def load_boards(
    results: Path | str,
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    profiles: Sequence[str] = (),
    only: Only = EVERYBODY,
) -> list[Board]:
    """The boards of a results folder: every task under each profile whose core metrics were scored, at least one.

    ``methods``, ``metrics``, ``profiles`` narrow what is shown, ``only`` who is ranked. A board shows itself in a notebook,
    holds its numbers as frames (``means``, ``ranks``, ``scores`` ...), and is what ``plots`` draws.
    Raises InputError when the folder holds no scores, for a name that is not in it, and when nothing is left to be shown.
    """
    return _boards(Path(results), read_results(Path(results)), methods, metrics, profiles, only)


def load_board(
    results: Path | str,
    task: str,
    profile: str = "dmfnet",
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    only: Only = EVERYBODY,
) -> Board:
    """One of :func:`load_boards`: of ``task``, such as ``pet-mri``, or ``phantom/pet-mri`` where several data sets have it.

    Raises InputError as that does, and where no board or more than one is of that name; the message says which there are.
    """
    folder = Path(results)
    held = find_tables(folder)
    keys = [key for key in held if task in (key.task, f"{key.dataset}/{key.task}")]
    names = sorted({f"{key.dataset}/{key.task}" for key in keys if "/" in task or not key.flaw})
    if len(names) != 1:
        every = sorted({f"{key.dataset}/{key.task}" for key in held})
        said = f"is that of {', '.join(names)}; name one" if names else f"is not there; there are: {', '.join(every)}"
        raise InputError(f"{folder}: task {task!r} {said}")
    found = [read_table(folder, key) for key in keys if f"{key.dataset}/{key.task}" == names[0]]
    return _boards(folder, found, methods, metrics, [profile], only)[0]


def _boards(
    results: Path,
    scored: Sequence[Table],
    methods: Sequence[str],
    metrics: Sequence[str],
    profiles: Sequence[str],
    only: Only,
) -> list[Board]:
    """The boards of some tables, at least one. Raises InputError when there is none."""
    facts = read_metric_facts(results)
    chosen: dict[str, Any] = {"methods": methods, "metrics": metrics, "profiles": profiles, "only": only}
    found = make_boards(scored, facts, **chosen, findings=truth.findings(results))
    if not found:
        raise InputError(f"{results}: {why_none(scored, facts, profiles)}")
    return found


def leaderboards(
    results: Path,
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    profiles: Sequence[str] = (),
    only: Only = EVERYBODY,
    std: bool = False,
) -> list[Sheet]:
    """The leaderboards of a results folder as plain lines, for a terminal; quick, hence without significance marks.

    Raises InputError when the folder holds no scores, for a name that is not in it, and when nothing is left to be shown.
    """
    boards = load_boards(results, methods=methods, metrics=metrics, profiles=profiles, only=only)
    return [tables.sheet(board, ("findings", "rank"), tests=False, std=std) for board in boards]


def write_report(
    results: Path,
    out: Path | None = None,
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    profiles: Sequence[str] = (),
    only: Only = EVERYBODY,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    std: bool = False,
    pairs: Sequence[str] = (),
    zoom: Box | None = None,
    data: Sequence[Path] = (),
    images: str = "auto",
    paper: Paper = PAPER,
    notify: Notify = lambda stage, done, total: None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Write everything into ``out`` (RESULTS/leaderboard when None) and return the paths written, in order.

    ``methods``, ``metrics``, ``profiles`` narrow what is shown, ``only`` who is ranked; ``columns``: see COLUMNS; ``std``:
    standard deviations beside the means in Markdown and LaTeX (CSV and page have them anyway); ``pairs``: ids for the image
    grid; ``zoom``: its inset (x, y, width, height) in pixels; ``data``: where sources may be found, as for a run;
    ``images``: see IMAGES; ``paper``: width of figures and LaTeX tables, and how many methods they show. ``notify`` is
    called with (stage, done, total), ``tell`` with what the image grid had to leave out, and why. Raises InputError where
    there are no scores or none is left, for an unknown name, or a zoom box outside.
    """
    out = results / "leaderboard" if out is None else out
    _check_names(columns, images)
    notify("report: reading scores", 0, 1)
    boards = load_boards(results, methods=methods, metrics=metrics, profiles=profiles, only=only)
    notify("report: reading scores", 1, 1)
    steps = _first_profiles(boards)
    for pair in pairs:
        if not any(pair in board.pairs for board in steps):
            raise InputError(f"pair {pair!r} is not among those compared in these results; check --pairs")
    _tell_unnamed(steps, tell)
    # Pairs and zoom are checked before the first write.
    grids = [_shown(board, results, data, pairs, images, zoom, tell) for board in steps]
    written = []
    tabled = [board for board in boards if not board.place.flaw] or boards  # degraded inputs make curves
    for board in _counted(tabled, "report: tables", notify):
        written += _write_tables(board, boards, out, columns, std, paper)
    seen, findings = truth.write(results, out)
    written += [*_write_collections(tabled, out, columns, std, findings), *seen]
    drawn: list[tuple[Path, Callable[[], Figure | None]]] = []
    for board, shown in zip(steps, grids, strict=True):
        found = curves(board, boards)
        written += _write_curves(board, found, out)
        folder = out / "figures" / board.dataset / board.task
        drawn += [
            (folder / name, draw)
            for name, draw in _figures(board, _of_task(board, boards), shown, zoom, found, paper).items()
        ]
    for stem, draw in _counted(drawn, "report: figures", notify):
        figure = draw()
        written += figures.save(figure, stem) if figure is not None else []
    told = functools.partial(notify, "report: page")
    return [*written, *page.write(boards, out, results, data, pairs, images, told)]


def _check_names(columns: Sequence[str], images: str) -> None:
    for name in columns:
        if name not in COLUMNS:
            raise InputError(f"column {name!r} is unknown; choose from: {', '.join(COLUMNS)}")
    if images not in IMAGES:
        raise InputError(f"images={images!r} is unknown; choose from: {', '.join(IMAGES)}")


def _tell_unnamed(boards: Sequence[Board], tell: Callable[[str], None]) -> None:
    for board in boards:
        if sources.unnamed(board):
            tell(
                f"{board.dataset}/{board.task}: made before sources were recorded: its pairs may be of several data sets; "
                "run again, and each is kept under a name of its own"
            )


def _write_curves(board: Board, found: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    """The robustness curves of a board, where it has any."""
    if not found:
        return []
    path = out / board.dataset / board.task / "robustness.csv"
    write_text(path, csv_text(found))
    return [path]


def _counted(items: Sequence[T], stage: str, notify: Notify) -> Iterator[T]:
    """The items one by one, each told when it is done."""
    notify(stage, 0, len(items))
    for done, item in enumerate(items, 1):
        yield item
        notify(stage, done, len(items))


def _first_profiles(boards: Sequence[Board]) -> list[Board]:
    """The first board of every task; those of degraded inputs only where there is nothing else."""
    first: dict[Key, Board] = {}
    for board in boards:
        first.setdefault(board.place, board)
    return [board for place, board in first.items() if not place.flaw] or list(first.values())


def _write_tables(
    board: Board, boards: Sequence[Board], out: Path, columns: Sequence[str], std: bool, paper: Paper
) -> list[Path]:
    folder = out / board.dataset / board.task
    texts = {
        f"{board.profile}.md": tables.markdown(board, columns, _of_task(board, boards), std=std),
        f"{board.profile}.csv": csvs.csv_text(board),
        f"{board.profile}.tex": latex.table(board, columns, std=std, paper=paper),
    }
    texts |= {f"{board.profile}-{name}.csv": text for name, text in csvs.statistics_csv(board).items()}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _of_task(board: Board, boards: Sequence[Board]) -> list[Board]:
    """All boards of a board's task, one a profile."""
    return [other for other in boards if other.place == board.place]


def _write_collections(
    boards: Sequence[Board], out: Path, columns: Sequence[str], std: bool, findings: Sequence[str]
) -> list[Path]:
    main = _first_profiles(boards)
    over_all = [found for found in overall.overall(boards) if len(found.pool) > 1]
    profiles = {board.profile for board in main}
    texts = {
        "README.md": "\n".join(
            [
                "# Leaderboard",
                "",
                *(overall.markdown(found) for found in over_all if found.profile in profiles),
                *(tables.markdown(board, columns, _of_task(board, boards), std=std) for board in main),
                *findings,
            ]
        ),
        "tables.tex": latex.document(f"{b.dataset}/{b.task}/{b.profile}.tex" for b in boards),
        "references.bib": references.bibliography(boards),
    }
    for found in over_all:
        texts[f"{found.dataset}/overall/{found.profile}.md"] = overall.markdown(found)
        texts[f"{found.dataset}/overall/{found.profile}.csv"] = overall.csv_text(found)
    for board in main:
        scored = {key: table for other in _of_task(board, boards) for key, table in other.tables.items()}
        own = conventions.compare_tables(list(scored.values()), board.facts)
        texts[f"{board.dataset}/{board.task}/conventions.csv"] = conventions.to_csv({"": own})
    for name, text in texts.items():
        write_text(out / name, text)
    return [out / name for name in texts]


def _shown(
    board: Board,
    results: Path,
    data: Sequence[Path],
    pairs: Sequence[str],
    images: str,
    zoom: Box | None,
    tell: Callable[[str], None],
) -> list[Shown]:
    """The pairs of the grid figure; none, which is told, where images are not at hand or not to be shown."""
    where = f"{board.dataset}/{board.task}"
    if images == "none":
        reason = "asked to show no images" if pairs else ""
    elif images == "public" and sources.private(board):
        reason = f"the licence of {board.dataset} does not let its images be passed on"
    else:
        task = sources.available(board, data)
        if not isinstance(task, str):
            own = [pair for pair in pairs if pair in board.pairs]
            shown = [sources.load(board, task, results, pair) for pair in sources.choose(board, own, 1)]
            for item in shown:
                _check_zoom(zoom, item)
            absent = [method for method in board.ranked if method not in grid.tiles(board, shown)]
            why = sources.why_absent(board, absent)
            if len(absent) < len(board.ranked):
                if absent:
                    tell(f"image grid of {where} without {', '.join(map(board.name, absent))}: {why}")
                return shown
        reason = task if isinstance(task, str) else why
    if reason:
        tell(f"no image grid of {where}: {reason}")
    return []


def _figures(
    board: Board,
    siblings: Sequence[Board],
    shown: Sequence[Shown],
    zoom: Box | None,
    found: Sequence[dict[str, Any]],
    paper: Paper,
) -> dict[str, Callable[[], Figure | None]]:
    """File stem -> what draws a figure of a board; ``siblings``: of its task; ``found``: its robustness curves."""
    if not board.ranked:
        return {}
    wanted = board.metrics if paper.width else ()  # for a paper, whose width is known; else they take most of the time
    draw: dict[str, Callable[[], Figure | None]] = {
        f"boxes-{metric}": functools.partial(figures.boxes, board, metric, paper) for metric in wanted
    }
    draw |= {
        "ranks": lambda: figures.heat(board, paper),
        "time-rank": lambda: figures.time_rank(board, paper),
        "critical-difference": lambda: figures.critical_difference(board, paper),
        "rank-blobs": lambda: figures.rank_blobs(board, paper),
        "bump": lambda: figures.bump(board, siblings, paper),
        "significance-map": lambda: figures.significance_map(board, paper),
        "win-rate": lambda: figures.win_rate(board, paper),
    }
    if shown:
        draw["grid"] = lambda: grid.grid(board, shown, zoom, paper)
    titles = {metric: metric_heading(board, metric) for metric in board.core}
    controls = [legend(board)[method] for method in board.controls]
    for curve in found:
        draw[f"robustness-{curve['name']}"] = functools.partial(
            figures.robustness, curve["kind"], panels(curve, board, titles), curve["parameter"], controls, paper
        )
    return draw


def _check_zoom(zoom: Box | None, shown: Shown) -> None:
    height, width = shown.pair.a.shape
    if zoom is not None:
        x, y, w, h = zoom
        if x < 0 or y < 0 or w < 2 or h < 2 or x + w > width or y + h > height:
            raise InputError(f"zoom {x},{y},{w},{h} does not lie within the {width} x {height} image; choose x,y,w,h")
