"""Data set ``lesion`` and ``fusionbench observe``: pairs with known findings, judged end to end with real methods."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau

from fusionbench import stats
from fusionbench.bench import run
from fusionbench.bench.observe import observe
from fusionbench.cli import main
from fusionbench.datasets import ShowsFindings, create_task, phantom, task_plugin
from fusionbench.datasets.lesion import STUDIES
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.metrics import PROFILES
from fusionbench.observers.study import REGION, Study, judge
from fusionbench.pairs import pixel_digest, read_picture, write_png
from fusionbench.report import leaderboards, write_report
from fusionbench.report.figures import PAGE
from fusionbench.report.validation import Validated, forest, read_means, read_ratings, recommend
from fusionbench.scores import Key, read_table
from tools.validation import CHECK, DECIDE, compared

RESULTS = Path(__file__).resolve().parents[1] / "results"
TASKS = [f"lesion/{task}" for task in STUDIES]
# Of one pair a task: whoever changes a pixel of the study changes these, and bumps its VERSION.
PIXELS = {
    "lesion/ct-mri": "424ca72f51bc4c05",
    "lesion/pet-mri": "74d0acbf8106c396",
    "lesion/spect-mri": "0d778ba201d8d74a",
}


@pytest.mark.parametrize("name", TASKS)
def test_pixels_are_fixed_by_the_name(name: str) -> None:
    pair = create_task(name).load("test-00005-both")
    assert pixel_digest(pair.a, pair.b, pair.color)[:16] == PIXELS[name]


@pytest.mark.parametrize("name", TASKS)
def test_a_finding_is_where_the_state_says(name: str) -> None:
    """Averaged over subjects, images with and without the finding differ at the place, and there alone."""
    task = create_task(name)
    assert isinstance(task, ShowsFindings)
    sums = np.zeros((2, 2, 31, 31))
    for number in range(24):
        for state in ("none", "mri", "other", "both"):
            pair = task.load(f"test-{number:05d}-{state}")
            assert pair.truth is not None
            row, column = np.unravel_index(int(pair.truth["place"].argmax()), pair.a.shape)
            shows = task.shows(pair.id)
            assert [bool(pair.truth[k].any()) for k in ("mri", "other")] == list(shows)
            second = pair.b if pair.color is None else task.level(pair.color)
            for k, image in enumerate((pair.a, second)):
                box = np.pad(image, 15)[row : row + 31, column : column + 31].astype(float)
                sums[k, int(shows[k])] += box / 48
    for k in range(2):
        difference = np.abs(sums[k, 1] - sums[k, 0])
        assert difference[13:18, 13:18].mean() > 2 * difference[[0, 1, -2, -1]].mean(), (name, k)


def test_train_and_test_share_no_slice_and_four_states_are_balanced() -> None:
    assert not set(phantom.SLICES["train"]) & set(phantom.SLICES["test"])
    task = task_plugin("lesion/ct-mri").factory(count=30)
    ids = task.subjects(30)
    assert len(ids) == 120
    assert sorted(ids) == task.ids()
    assert np.array([task.shows(i) for i in ids]).mean(0).tolist() == [0.5, 0.5]
    assert len({task.case(i) for i in ids}) == 30
    assert len({task.digest(i) for i in ids}) == 120


def test_copies_show_their_own_finding_only_and_nothing_is_fused_twice(tmp_path: Path) -> None:
    """The point of it all: a copy of a source is at chance in the other's finding."""
    tasks = ["lesion/ct-mri"]
    out = observe(["source-a", "source-b", "laplacian"], tasks, tmp_path, subjects=40, engine="local:2")
    assert out.fused == 3 * 160
    assert not out.failed
    found = {key.method: of["cho"] for key, of in out.found.items()}
    for method, own, other in (("source-a", "first", "second"), ("source-b", "second", "first")):
        assert found[method][own][0] > 0.8
        assert found[method][other][1] < 0.55
        assert found[method]["joint"][0] < 0.65
    assert found["laplacian"]["joint"][0] > max(found[f"source-{x}"]["joint"][0] for x in "ab")
    bounds = out.bounds["lesion/ct-mri"]
    assert bounds["both sources, cho"]["joint"][0] > 0.8
    assert (
        bounds["first source, cho"]["first"][0] == found["source-a"]["first"][0]
    )  # a copy is the source to the last bit
    again = observe(["source-a", "laplacian"], tasks, tmp_path, subjects=40)
    assert again.fused == 0
    assert {k: v for k, v in out.found.items() if k.method != "source-b"} == again.found
    key = Key("lesion", "ct-mri", "laplacian")
    assert json.loads(key.truth(tmp_path).read_text())["about"]["subjects"] == 40
    regions = sorted(key.regions(tmp_path).glob("*/*.png"))
    assert len(regions) == 160
    assert read_picture(regions[0]).grey.shape == (REGION, REGION)
    regions[3].unlink()  # as after a kill
    assert observe(["laplacian"], tasks, tmp_path, subjects=40).fused == 1


def test_a_report_shows_the_truth(tmp_path: Path) -> None:
    methods = ["average", "source-a", "maximum"]
    shutil.copytree(RESULTS / "truth" / "lesion" / "pet-mri", tmp_path / "truth" / "lesion" / "pet-mri")
    run(methods, ["lesion/pet-mri"], tmp_path, metrics=("en", "mi"), limit=8)
    paths = write_report(tmp_path, images="none")
    written = {path.name: path for path in paths}
    assert {"truth.md", "truth.csv", "truth-cho.pdf", "truth-cho-colour.png"} <= set(written)
    rows = list(csv.DictReader(written["truth.csv"].read_text().splitlines()))
    stored = json.loads(Key("lesion", "pet-mri", "average").truth(tmp_path).read_text())["observers"]
    for row in rows:
        if row["method"] == "average" and row["joint"]:
            assert [float(row[k]) for k in ("joint", "joint_low", "joint_high")] == stored[row["observer"]]["joint"]
    assert {"(level)", "(both sources, level)"} <= {row["method"] for row in rows}
    text = (tmp_path / "leaderboard" / "README.md").read_text()
    assert "Task truth: lesion/pet-mri" in text
    # The joint area stands in the leaderboard too, there and on phantom pairs; nowhere else is there an empty column.
    joint = f"{stored['cho']['joint'][0]:.2f}"
    (row,) = re.findall(r"\| \*Average\* \(control\) \|[^\n]*", text)
    assert f"| {joint} |" in row
    run(["average"], ["phantom/pet-mri", "phantom/ct-mri"], tmp_path, metrics=("en", "mi"), limit=2)
    sheets = {sheet.title: sheet.headings for sheet in leaderboards(tmp_path)}
    assert {title.partition(" · profile")[0] for title, heads in sheets.items() if "Both findings" in heads} == {
        "PET–MRI · lesion",
        "PET–MRI · phantom",
    }
    shutil.rmtree(tmp_path / "scores" / "phantom")
    assert text.count("| MRI alone (control) |") == len(stored) == 7  # a table an observer
    before = {path: path.read_bytes() for path in paths}
    assert {path: path.read_bytes() for path in write_report(tmp_path, images="none")} == before
    Key("lesion", "pet-mri", "average").truth(tmp_path).write_text("{")
    with pytest.raises(InputError, match=r"average\.json: damaged"):
        write_report(tmp_path, images="none")


def test_validate_compares_metrics_with_the_truth(tmp_path: Path) -> None:
    methods = ["average", "source-a", "maximum", "laplacian", "dwt", "pca"]
    asked = ["validate", "--results", str(tmp_path), "--csv", str(tmp_path / "v.csv")]
    assert "judged nothing" in CliRunner().invoke(main, asked).output
    shutil.copytree(RESULTS / "truth" / "lesion" / "ct-mri", tmp_path / "truth" / "lesion" / "ct-mri")
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert "no metric was scored" in result.output
    run(methods, ["lesion/ct-mri"], tmp_path, metrics=("en", "mi", "psnr", "mse", "lesion-cnr"), limit=8)
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    rows = {row["metric"]: row for row in csv.DictReader((tmp_path / "v.csv").read_text().splitlines())}
    assert set(rows) == {"mi", "psnr", "mse"}  # entropy describes, the lesion metric needs ground truth
    frames = {m: read_table(tmp_path, Key("lesion", "ct-mri", m)).frame() for m in methods}
    truth = [
        json.loads(Key("lesion", "ct-mri", m).truth(tmp_path).read_text())["observers"]["cho"]["joint"][0]
        for m in methods
    ]
    tau = kendalltau([-frames[m]["mse"].mean() for m in methods], truth).statistic  # lower is better
    assert float(rows["mse"]["tau"]) == pytest.approx(tau, abs=1e-4)


def test_what_people_say_is_a_yardstick_too(tmp_path: Path) -> None:
    """Raters who use the scale differently but agree in order; mse orders the methods as they do, psnr likewise."""
    methods = ["average", "dwt", "source-a", "laplacian", "pca"]
    run(methods, ["phantom/ct-mri"], tmp_path, metrics=["mse", "psnr@255", "en"], limit=2)
    means = read_means(tmp_path)[Key("phantom", "ct-mri")]["mse"].sort_values()
    lines = ["image,rater,score"]
    for rater, (low, step) in {"kind": (80, 3), "strict": (5, 0.5)}.items():
        for place, method in enumerate(reversed(means.index)):
            lines += [f"fused/phantom/ct-mri/{method}/test-{n:05d}.png,{rater},{low + step * place}" for n in range(2)]
    ratings = tmp_path / "opinions.csv"
    ratings.write_text("\n".join(lines) + "\n")
    result = CliRunner().invoke(
        main, ["validate", "--results", str(tmp_path), "--ratings", str(ratings), "--csv", str(tmp_path / "v.csv")]
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "v.csv").read_text().splitlines()))
    assert {row["metric"]: float(row["tau"]) for row in rows} == {"mse": 1.0, "psnr@255": 1.0}
    assert "opinions.csv" in result.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,score\na/b/c/d,1\n", "no column rater"),
        ("image,rater,score\nc/d,x,1\n", "line 2"),
        ("image,rater,score\na/b/c/d,x,1\na/b/c/e,x,good\n", "line 3"),
        ("", "not a readable CSV"),
    ],
)
def test_bad_ratings_are_told(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read_ratings(tmp_path / "r.csv")


@pytest.mark.parametrize("number", [3, 100])
def test_every_metric_of_the_figure_can_be_read_on_a_page(number: int) -> None:
    """No text below 8 points, no higher than a page, names apart from each other, the best on top."""
    found = [
        Validated(f"lesion/{task}", f"metric-{n}", "x", stats.Agreement(n / 200, n / 300, n / 150, 0.7, 20))
        for task in ("ct-mri", "pet-mri", "spect-mri")
        for n in range(number)
    ]
    figure = forest(found)
    figure.draw_without_rendering()
    assert figure.get_figheight() <= PAGE
    labels = [label for axis in figure.axes for label in axis.get_yticklabels() if label.get_text()]
    assert [label.get_text() for label in labels] == [f"metric-{n}" for n in reversed(range(number))]
    assert min(float(label.get_fontsize()) for label in labels) >= 8
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def test_the_rule_takes_the_best_of_each_family_and_no_metric_that_knows_nothing() -> None:
    def said(task: str, metric: str, family: str, low: float) -> Validated:
        return Validated(task, metric, family, stats.Agreement(low + 0.1, low, low + 0.2, 0.7, 20))

    low = {
        "a": ("x", 0.3, 0.4), "b": ("x", 0.5, 0.2), "c": ("y", 0.1, 0.1), "dd": ("y", 0.1, 0.5), "e": ("z", 0.6, -0.1),
        "f": ("w", 0.2, 0.15),
    }  # fmt: skip
    found = [said(task, m, f, ends[n]) for m, (f, *ends) in low.items() for n, task in enumerate(("one", "two"))]
    assert recommend(found, ["one", "two"]) == [("a", 0.3), ("f", 0.15), ("c", 0.1)]
    assert recommend([item for item in found if item.metric != "f"], ["one", "two"]) == []  # two families are too few


def test_exported_pairs_fused_elsewhere_are_judged_like_our_own(tmp_path: Path) -> None:
    invoke = CliRunner().invoke
    pairs, fused = tmp_path / "pairs", tmp_path / "fused"
    result = invoke(main, ["data", "export", "lesion/pet-mri", "--subjects", "20", "--out", str(pairs)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in pairs.iterdir()) == ["MRI", "PET"]
    for path in (pairs / "MRI").iterdir():  # what another program would do
        a, b = read_picture(path).grey, read_picture(pairs / "PET" / path.name).grey
        write_png(fused / path.name, np.maximum(a, b), durable=False)
    asked = ["observe", "-t", "pet-mri", "--subjects", "20", "--results", str(tmp_path / "r"), "--json"]
    result = invoke(main, [*asked, "-m", "maximum", "--name", "theirs", "--fused", str(fused)])
    assert result.exit_code == 0, result.output
    methods = json.loads(result.stdout.splitlines()[0])["lesion/pet-mri"]["methods"]
    assert methods["theirs"] == methods["maximum"]
    assert set(methods["theirs"]) == {"cho", "cho colour", "dog", "dog colour"}


def test_regions_hold_all_that_the_observer_reads() -> None:
    """A channel is nothing beyond the region: areas from regions twice as wide are the same."""
    task = task_plugin("lesion/ct-mri").factory()
    ids = task.subjects(20)
    pairs = [task.load(i) for i in ids]
    study = Study(
        shows=np.array([task.shows(i) for i in ids]), subjects=np.array([task.case(i) for i in ids]), widths=task.widths
    )
    areas = []
    for half in (32, 64):
        stack = []
        for pair in pairs:
            row, column = np.unravel_index(int(pair.truth["place"].argmax()), pair.a.shape)
            stack.append(np.pad(pair.a, half)[row : row + 2 * half + 1, column : column + 2 * half + 1].astype(float))
        areas.append(judge([np.stack(stack)], study).first.value)
    assert areas[0] == pytest.approx(areas[1], abs=1e-3)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["-m", "average", "-t", "phantom/ct-mri"], "nobody knows what can be found"),
        (["-t", "ct-mri"], "name a method"),
        (["-m", "average", "-t", "ct-mri", "--name", "x"], "go together"),
        (["--name", "x", "--fused", ".", "-t", "all"], "one task"),
        (["--name", "../x", "--fused", ".", "-t", "ct-mri"], "cannot be a file name"),
        (["--name", "average", "--fused", ".", "-t", "ct-mri"], "is a method of the suite"),
    ],
)
def test_bad_input_is_told(asked: list[str], says: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["observe", *asked, "--results", str(tmp_path / "r")])
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert not (tmp_path / "r" / "truth").exists()


def test_a_missing_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    write_png(tmp_path / "f" / "test-00000-none.png", np.zeros((256, 256), np.uint8), durable=False)
    with pytest.raises(InputError, match="no image for 79 of 80"):
        observe([], ["lesion/ct-mri"], tmp_path / "r", subjects=20, fused={"x": tmp_path / "f"})


def test_changed_weights_are_used_at_once(tmp_path: Path) -> None:
    """Nothing of an earlier call is kept in this process: a file that a method reads was changed, so all is fused anew."""
    file, source = tmp_path / "level.txt", tmp_path / "flat.py"
    source.write_text(
        "import pathlib, torch\n"
        "from fusionbench.methods import METHODS, MethodFacts\n"
        "@METHODS.register(MethodFacts(name='flat-of-file', title='Flat', family='pixel'))\n"
        "class Flat:\n"
        "    def __init__(self, *, file: str = ''):\n"
        "        self.file, self.level = file, 0.0\n"
        "    def prepare(self, device):\n"
        "        self.level = float(pathlib.Path(self.file).read_text())\n"
        "    def supports(self, task):\n"
        "        return ''\n"
        "    def fuse(self, a, b, generator):\n"
        "        return torch.full_like(a, self.level)\n"
    )
    METHODS.load(str(source))
    levels = []
    for text in ("0.2", "0.6"):
        file.write_text(text)
        out = observe([f"flat-of-file:file={file}"], ["lesion/ct-mri"], tmp_path / "r", subjects=20)
        assert out.fused == 80
        (region,) = {read_picture(p).grey[9, 9] for p in (tmp_path / "r" / "observed").glob("*/*/flat*/*/*.png")}
        levels.append(int(region))
    assert levels == [51, 153]


def test_digest_names_version_and_study() -> None:
    task = create_task("lesion/ct-mri")
    text = f"lesion/ct-mri 1 {STUDIES['ct-mri']} test-00000-none"
    assert task.digest("test-00000-none") == hashlib.sha256(text.encode()).hexdigest()


# What docs/observers.md quotes: (task, file, observer, figure) -> value. Bounds stand in the file "sources".
QUOTED = {
    ("ct-mri", "source-a", "cho", "joint"): "0.498",
    ("pet-mri", "source-a", "cho", "joint"): "0.481",
    ("spect-mri", "source-a", "cho", "joint"): "0.519",
    ("ct-mri", "guided-filter", "cho", "joint"): "0.497",
    ("pet-mri", "guided-filter", "cho", "joint"): "0.490",
    ("spect-mri", "guided-filter", "cho", "joint"): "0.518",
    ("ct-mri", "guided-filter", "cho", "first"): "0.921",
    ("ct-mri", "source-a", "cho", "first"): "0.918",
    ("ct-mri", "dmfnet", "cho", "first"): "0.920",
    ("ct-mri", "dmfnet", "cho", "second"): "0.530",
    ("pet-mri", "dmfnet", "cho", "first"): "0.883",
    ("pet-mri", "dmfnet", "cho", "second"): "0.490",
    ("spect-mri", "dmfnet", "cho", "first"): "0.890",
    ("spect-mri", "dmfnet", "cho", "second"): "0.702",
    ("ct-mri", "sources", "both sources, cho", "joint"): "0.937",
    ("ct-mri", "pca", "cho", "joint"): "0.703",
    ("ct-mri", "densefuse", "cho", "joint"): "0.675",
    ("ct-mri", "average", "cho", "joint"): "0.674",
    ("ct-mri", "laplacian", "cho", "joint"): "0.518",
    ("ct-mri", "dwt", "cho", "joint"): "0.523",
    ("pet-mri", "sources", "both sources, cho", "joint"): "0.680",
    ("pet-mri", "swt", "cho", "joint"): "0.691",
    ("pet-mri", "gradient-pyramid", "cho", "joint"): "0.670",
    ("pet-mri", "mgff", "cho", "joint"): "0.670",
    ("spect-mri", "sources", "both sources, cho", "joint"): "0.921",
    ("spect-mri", "ratio-pyramid", "cho", "joint"): "0.891",
    ("spect-mri", "gradient-pyramid", "cho", "joint"): "0.851",
    ("spect-mri", "average", "cho", "joint"): "0.843",
    ("spect-mri", "laplacian", "cho", "joint"): "0.840",
    ("spect-mri", "swt", "cho", "joint"): "0.839",
    ("spect-mri", "maximum", "cho", "joint"): "0.797",
    ("ct-mri", "sources", "both sources, search", "joint"): "0.585",
    ("ct-mri", "average", "search", "joint"): "0.584",
    ("ct-mri", "source-a", "search", "joint"): "0.510",
    ("spect-mri", "sources", "both sources, search", "joint"): "0.579",
    ("spect-mri", "average", "search", "joint"): "0.555",
    ("pet-mri", "sources", "both sources, search", "joint"): "0.607",
    ("pet-mri", "average", "search", "joint"): "0.574",
    ("level/pet-mri", "sources", "both sources, cho", "joint"): "0.958",
    ("level/spect-mri", "sources", "both sources, cho", "joint"): "0.924",
    ("pet-mri", "average", "cho", "joint"): "0.666",
    ("level/pet-mri", "average", "cho", "joint"): "0.928",
    ("level/spect-mri", "average", "cho", "joint"): "0.831",
    ("level/pet-mri", "mgff", "cho", "joint"): "0.937",
    ("spect-mri", "mgff", "cho", "joint"): "0.835",
    ("level/spect-mri", "mgff", "cho", "joint"): "0.834",
    ("level/pet-mri", "swt", "cho", "joint"): "0.916",
    ("level/spect-mri", "swt", "cho", "joint"): "0.829",
    ("pet-mri", "laplacian", "cho", "joint"): "0.650",
    ("level/pet-mri", "laplacian", "cho", "joint"): "0.825",
    ("level/spect-mri", "laplacian", "cho", "joint"): "0.838",
    ("pet-mri", "maximum", "cho", "joint"): "0.603",
    ("level/pet-mri", "maximum", "cho", "joint"): "0.679",
    ("level/spect-mri", "maximum", "cho", "joint"): "0.701",
    ("level/pet-mri", "guided-filter", "cho", "joint"): "0.504",
    ("level/spect-mri", "guided-filter", "cho", "joint"): "0.547",
    ("level/pet-mri", "source-a", "cho", "joint"): "0.504",
    ("level/spect-mri", "source-a", "cho", "joint"): "0.547",
    ("level/spect-mri", "cnn-fuse", "cho", "joint"): "0.882",
    ("pet-mri", "source-a", "cho colour", "joint"): "0.861",
    ("spect-mri", "source-a", "cho colour", "joint"): "0.846",
    ("level/pet-mri", "source-a", "cho colour", "joint"): "0.489",
    ("level/pet-mri", "average", "cho colour", "joint"): "0.966",
    ("ct-mri", "sources", "both sources, pixels", "dice-grey"): "0.867",
    ("ct-mri", "sources", "both sources, pixels", "dice-finding"): "0.104",
    ("pet-mri", "sources", "both sources, pixels", "dice-grey"): "0.885",
    ("pet-mri", "sources", "both sources, pixels", "dice-finding"): "0.184",
    ("spect-mri", "sources", "both sources, pixels", "dice-grey"): "0.891",
    ("spect-mri", "sources", "both sources, pixels", "dice-finding"): "0.379",
    ("ct-mri", "source-a", "pixels", "dice-grey"): "0.823",
    ("ct-mri", "source-a", "pixels", "dice-finding"): "0.061",
    ("pet-mri", "source-a", "pixels", "dice-grey"): "0.811",
    ("pet-mri", "source-a", "pixels", "dice-finding"): "0.084",
    ("spect-mri", "source-a", "pixels", "dice-grey"): "0.790",
    ("spect-mri", "source-a", "pixels", "dice-finding"): "0.105",
    ("ct-mri", "average", "pixels", "dice-grey"): "0.806",
    ("ct-mri", "average", "pixels", "dice-finding"): "0.074",
    ("pet-mri", "average", "pixels", "dice-grey"): "0.639",
    ("pet-mri", "average", "pixels", "dice-finding"): "0.087",
    ("spect-mri", "average", "pixels", "dice-grey"): "0.772",
    ("spect-mri", "average", "pixels", "dice-finding"): "0.202",
    ("ct-mri", "laplacian", "pixels", "dice-grey"): "0.769",
    ("ct-mri", "laplacian", "pixels", "dice-finding"): "0.064",
    ("pet-mri", "laplacian", "pixels", "dice-grey"): "0.616",
    ("pet-mri", "laplacian", "pixels", "dice-finding"): "0.073",
    ("spect-mri", "laplacian", "pixels", "dice-grey"): "0.790",
    ("spect-mri", "laplacian", "pixels", "dice-finding"): "0.194",
}


def truth_of(task: str, name: str) -> dict[str, dict[str, list[float]]]:
    """What was found: ``pet-mri`` by luminance, ``level/pet-mri`` by level."""
    channel, _, task = task.rpartition("/")
    path = Key.of(f"lesion/{task}", channel=channel or "luma", method=name).truth(RESULTS)
    content: dict[str, dict[str, list[float]]] = json.loads(path.read_text(encoding="utf-8"))["observers"]
    return content


def test_the_docs_quote_what_is_committed() -> None:
    text = (RESULTS.parent / "docs" / "observers.md").read_text(encoding="utf-8")
    for (task, name, observer, figure), quoted in QUOTED.items():
        value = truth_of(task, name)[observer][figure][0]
        assert abs(value - float(quoted)) <= 0.00051, (task, name, observer, value)
        assert quoted in text, quoted
    for task in (*STUDIES, "level/pet-mri", "level/spect-mri"):  # and the best of each is the best
        folder = (
            Key.of(f"lesion/{task.rpartition('/')[2]}", channel=task.rpartition("/")[0] or "luma").truth(RESULTS).parent
        )
        names = [path.stem for path in folder.glob("*.json") if path.stem != "sources"]
        best = max(names, key=lambda name: truth_of(task, name)["cho"]["joint"][0])
        assert (task, best, "cho", "joint") in QUOTED, (task, best)


def test_copies_are_at_chance_in_the_finding_that_they_do_not_show() -> None:
    """The committed study, where it has 400 subjects: 0.47 to 0.53, by luminance."""
    for task in STUDIES:
        subjects = json.loads(Key("lesion", task, "sources").truth(RESULTS).read_text())["about"]["subjects"]
        slack = 0.03 if subjects >= 400 else 0.06
        for name, figure in (("source-a", "second"), ("source-b", "first")):
            assert abs(truth_of(task, name)["cho"][figure][0] - 0.5) <= slack, (task, name, subjects)


def test_the_docs_quote_the_validation_and_the_rule() -> None:
    """The table, the counts and the verdict of "What came of it", from committed scores; the profile is the rule's."""
    text = (RESULTS.parent / "docs" / "observers.md").read_text(encoding="utf-8")
    section = text.partition("### What came of it")[2].partition("\n## ")[0].replace("−", "-")
    own = {(item.task, item.metric): item.agreement for item in compared("methods")}
    tasks = (*DECIDE, CHECK)
    rows = re.findall(r"\| `([^`]+)` \|([^|]+)\|([^|]+)\|([^|]+)\|", section)
    assert len(rows) == 10
    for metric, *cells in rows:
        for task, cell in zip(tasks, cells, strict=True):
            a = own[task, metric]
            assert cell.strip() == f"{a.tau:+.2f} [{a.low:+.2f}, {a.high:+.2f}]", (task, metric)
    metrics = {metric for _, metric in own}
    agree = {m for m in metrics if all(own[task, m].low > 0 for task in DECIDE)}
    oppose = {m for m in metrics if all(own[task, m].high < 0 for task in DECIDE)}
    assert f"Of {len(metrics)} metrics {len(agree)} agree" in section
    assert f"{len(oppose)} metrics oppose" in section
    assert {"qabf", "vif"} <= oppose
    chosen = [metric for metric, _ in recommend(compared("methods"), DECIDE)]
    assert chosen == list(PROFILES["recommended"].core if "recommended" in PROFILES else [])
    assert ("no profile is recommended" in section) == (not chosen)
