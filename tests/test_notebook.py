"""The door for notebooks: arrays in and out, scores as one frame, a board that shows itself, plots on an axis."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from markdown_it import MarkdownIt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

import fusionbench
from fusionbench import bench, fuse, load_board, load_boards, load_scores, plots
from fusionbench.errors import InputError
from fusionbench.methods import create_method
from fusionbench.pairs import grey, read_picture, recolour, write_png
from fusionbench.report import figures, latex
from fusionbench.report.columns import COLUMNS
from fusionbench.report.figures import PAGE, WIDTHS, Paper
from fusionbench.scores import Key, read_table
from tests.conftest import Cli, make_folders, slices
from tests.test_report import METRICS, add, board, spread


def rgb(image: Any) -> Any:
    return np.stack([image, image // 2, 255 - image], axis=-1)


def test_arrays_are_fused_as_files_are(tmp_path: Path, cli: Cli) -> None:
    a, b = slices(2, seed=3)
    write_png(tmp_path / "a.png", a)
    write_png(tmp_path / "b.png", rgb(b))
    for spec in ("laplacian:levels=3", "pca"):
        assert cli("fuse", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "f.png", "-m", spec).exit_code == 0
        np.testing.assert_array_equal(fuse(spec, a, rgb(b), device="cpu"), read_picture(tmp_path / "f.png").pixels)


def test_grey_floats_and_colour() -> None:
    a, b = slices(2, seed=4)
    fused = fuse("average", a, b)
    assert (fused.dtype, fused.shape) == (np.dtype(np.uint8), a.shape)
    np.testing.assert_array_equal(fuse("average", a / 255, (b / 255).astype(np.float32)), fused)
    np.testing.assert_array_equal(fuse("average", rgb(a), b), fuse("average", grey(rgb(a)), b))
    np.testing.assert_array_equal(fuse("average", a, rgb(b)), recolour(fuse("average", a, grey(rgb(b))), rgb(b)))


def test_a_prepared_method_is_not_loaded_again() -> None:
    a, b = slices(2, seed=5)
    method = create_method("dmfnet").method
    method.prepare(torch.device("cpu"))
    np.testing.assert_array_equal(fuse(method, a, b, device="cpu"), fuse("dmfnet", a, b, device="cpu"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((64, 64), np.uint16), "a is uint16; window it to uint8"),
        (np.zeros((2, 64, 64), np.uint8), r"a has shape \(2, 64, 64\); give one slice"),
        (np.full((64, 64), 255.0), "a holds values from 255 to 255; scale it"),
        (np.full((64, 64), np.nan), "a holds NaN"),
        (np.zeros((64, 48), np.uint8), "differ in size, 48 x 64 and 64 x 64"),
        ([[0, 1], [1, 0]], "a is list; give a NumPy array"),
    ],
)
def test_what_is_no_image_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fuse("average", wrong, slices(1)[0])


def test_all_scores_as_one_frame(tmp_path: Path) -> None:
    data = list(make_folders(tmp_path / "data"))
    bench.run(["average", "pca"], ["folders/pet-mri"], tmp_path / "results", metrics=["en", "ssim"], data=data)
    bench.run(["pca"], ["folders/pet-mri"], tmp_path / "results", metrics=["en"], data=data, corrupt=["blur:sigma=1"])
    frame = load_scores(str(tmp_path / "results"))
    assert list(frame.columns) == ["task", "pair", "patient", "method", "metric", "value"]
    assert frame.dtypes["value"].name == "float64"
    assert set(frame.task) == {"folders/pet-mri", "folders+blur,sigma=1/pet-mri"}
    assert len(frame) == 3 * 2 * 2 + 3
    kept = read_table(tmp_path / "results", Key("folders", "pet-mri", "pca"))
    of_pca = frame[(frame.task == "folders/pet-mri") & (frame.method == "pca")]
    wide = of_pca.pivot_table("value", "pair", "metric")
    pd.testing.assert_frame_equal(wide, kept.frame(), check_names=False)
    with pytest.raises(InputError, match="holds no scores"):
        load_scores(tmp_path)


def test_a_failed_pair_has_no_row_and_a_person_one_name(tmp_path: Path) -> None:
    add(tmp_path, "a", {m: spread(1) for m in METRICS}, errors={"p0": "no"}, slices_of_one=2)
    frame = load_scores(tmp_path)
    assert "p0" not in set(frame.pair)
    assert frame.groupby("patient").pair.nunique().max() == 2


def test_a_board_is_found_by_its_task(tmp_path: Path) -> None:
    for dataset in ("one", "two"):
        for n, name in enumerate("ab"):
            add(tmp_path, name, {m: spread(n) for m in METRICS}, dataset=dataset)
    assert load_board(tmp_path, "one/pet-mri").dataset == "one"
    assert len(load_boards(tmp_path)) == 2
    with pytest.raises(InputError, match="'pet-mri' is that of one/pet-mri, two/pet-mri; name one"):
        load_board(tmp_path, "pet-mri")
    with pytest.raises(InputError, match="'ct-mri' is not there; there are: one/pet-mri"):
        load_board(tmp_path, "ct-mri")
    with pytest.raises(InputError, match="profile 'other'"):
        load_board(tmp_path, "one/pet-mri", "other")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Sixteen methods with long titles, one of them a control, on nine patients."""
    random = np.random.default_rng(3)
    for n in range(16):
        scores = {m: tuple(random.normal(size=9) + n * (-0.3 if m == "loss" else 0.3)) for m in METRICS}
        title = f"A method with quite a long title, number {n} (compact)"
        add(tmp_path, f"method-{n:02d}", scores, title=title, control=n == 7)
    return tmp_path


def test_a_board_shows_itself_without_markup_of_a_title(many: Path) -> None:
    add(many, "evil", {m: spread(2, 9) for m in METRICS}, title="<script>alert(1)</script>")
    found = board(many)
    html = found._repr_html_()
    assert "<script" not in html
    tags = re.findall(r"<(/?)(\w+)[^>]*>", html)
    assert all(tags.count(("", tag)) == tags.count(("/", tag)) for _, tag in tags)
    assert MarkdownIt().render(html).strip() == html  # one block, as a notebook takes it
    frame = found.frame()
    assert html.count("<tr>") == len(found.ranked) + 1
    for method, line in frame.iterrows():
        cells = f"<td>{line['mean_rank']:.2f}</td><td>(<[bu]>)?{re.escape(f'{line.gain:.4f}')}(</[bu]>)?</td>"
        assert re.search(cells, html), method
    assert math.isnan(frame.place["method-07"])
    assert frame.index[0] == found.order[0]


def all_plots(found: Any) -> dict[str, Any]:
    return {
        "boxes": lambda axis: plots.boxes(found, "gain", axis, top=5),
        "ranks": lambda axis: plots.ranks(found, axis, top=5),
        "time_rank": lambda axis: plots.time_rank(found, axis),
        "critical_difference": lambda axis: plots.critical_difference(found, axis, top=5),
        "rank_blobs": lambda axis: plots.rank_blobs(found, axis, top=5),
        "significance_map": lambda axis: plots.significance_map(found, axis, top=5),
        "win_rate": lambda axis: plots.win_rate(found, axis, top=5),
    }


def test_plots_draw_on_the_axis_given(many: Path) -> None:
    found = board(many)
    for name, draw in all_plots(found).items():
        axis: Axes = Figure().subplots()
        draw(axis)
        assert axis.has_data(), name
        assert found.dataset in axis.get_title(loc="left")
    with pytest.raises(plots.NothingToDrawError, match="no other profile ranks the task"):
        plots.bump(found, [found], Figure().subplots())
    with pytest.raises(InputError, match="has no metric 'ssim'; it has: gain"):
        plots.boxes(found, "ssim", Figure().subplots())


def texts(figure: Figure) -> list[Text]:
    """What is drawn: not the labels of ticks beyond the ends of an axis."""
    beyond = []
    for axis in (line for axes in figure.axes for line in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        beyond += [t.label1 for t in axis.get_major_ticks() if not low <= t.get_loc() <= high]
    found = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_visible() and t.get_text().strip()]
    return [t for t in found if t not in beyond]


@pytest.mark.parametrize("width", ["1col", "2col"])
def test_figures_are_as_wide_as_asked_with_text_of_eight_points_inside(many: Path, width: Any) -> None:
    found = board(many)
    paper = Paper(width, 8)
    lines = {found.name(m): {0.0: 1.0, 0.1: 2.0} for m in found.ranked}
    control = [found.name(m) for m in found.controls]
    drawn = {
        "boxes": figures.boxes(found, "gain", paper),
        "heat": figures.heat(found, paper),
        "time": figures.time_rank(found, paper),
        "cd": figures.critical_difference(found, paper),
        "blobs": figures.rank_blobs(found, paper),
        "map": figures.significance_map(found, paper),
        "wins": figures.win_rate(found, paper),
        "robustness": figures.robustness("noise", {figures.RANK_PANEL: lines, "G ↑": lines}, "sigma", control, paper),
    }
    for name, figure in drawn.items():
        assert figure is not None, name
        assert figure.get_figwidth() == pytest.approx(WIDTHS[width]), name
        assert figure.get_figheight() <= PAGE, name
        with figures.style():
            figure.draw_without_rendering()
            wide, high = figure.get_size_inches() * figure.dpi
            for text in texts(figure):
                assert float(text.get_fontsize()) >= 8, (name, text)
                box = text.get_window_extent()
                assert box.x0 > -1, (name, text)
                assert box.x1 < wide + 1, (name, text)
                assert box.y0 > -1, (name, text)
                assert box.y1 < high + 1, (name, text)


def test_a_latex_table_keeps_what_fits_in_eight_points(many: Path) -> None:
    found = board(many)
    wide, narrow = latex.table(found, COLUMNS), latex.table(found, COLUMNS, paper=Paper("1col", 3))
    assert "\\begin{table*}" in wide
    assert "\\begin{table}" in narrow
    for text, names in ((wide, 15), (narrow, 3)):
        assert "\\fontsize{8}{9.5}" in text
        assert "resizebox" not in text
        rows = [line for line in text.splitlines() if line.endswith("\\\\") and "method-" in line]
        assert len(rows) == names + 1  # and the control
        heads = next(line for line in text.splitlines() if line.startswith("Method & "))
        assert len({line.count(" & ") for line in (*rows, heads)}) == 1
        assert "{Mean rank} & {G $\\uparrow$} & {L $\\downarrow$}" in re.sub(r"(rank}) & .*?(?= & {G)", r"\1", heads)
    assert "{Peak memory}" not in narrow


def test_fonts_are_embedded_as_true_type(many: Path, tmp_path: Path) -> None:
    figure = figures.rank_blobs(board(many), Paper("1col", 5))
    assert figure is not None
    pdf, png = figures.save(figure, tmp_path / "blobs")
    fonts = set(re.findall(rb"/BaseFont /(?:[A-Z]{6}\+)?([\w-]+)", pdf.read_bytes()))
    assert fonts == {b"LiberationSans"}
    assert b"/Type3" not in pdf.read_bytes()
    assert read_picture(png).pixels.shape[1] == pytest.approx(WIDTHS["1col"] * 300, abs=1)


def test_the_public_names_are_there() -> None:
    assert all(getattr(fusionbench, name) is not None for name in fusionbench.__all__)
