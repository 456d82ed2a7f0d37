"""The lock file of scores, and ``fusionbench check``."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fusionbench.audit.regression import Locked, compare, read_lock, recompute_locked, spec_of, write_lock
from fusionbench.bench import silent
from fusionbench.datasets.degraded import KINDS, parse_degradation
from fusionbench.errors import InputError
from fusionbench.metrics import METRICS, PROFILES
from tests.conftest import Cli, Write, tree

LOCKED = Locked("phantom", "pet-mri", "average", "test-00000", "mi", 2.5, 1e-4)


def changed(value: float) -> Locked:
    return Locked(*LOCKED.__dict__.values()) if value == 2.5 else Locked(**{**LOCKED.__dict__, "value": value})


def test_a_lock_comes_back_exactly_and_sorted(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock.csv"
    other = Locked("phantom", "ct-mri", "average", "test-00000", "mi", math.nan, 1e-6)
    write_lock(path, [LOCKED, other])
    back = read_lock(path)
    assert [item.task for item in back] == ["ct-mri", "pet-mri"]
    assert back[1].__dict__ == LOCKED.__dict__
    assert math.isnan(back[0].value)
    first = path.read_bytes()
    write_lock(path, back)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("now", "drifts"),
    [(2.5, False), (2.50024, False), (2.50026, True), (2.49976, False), (2.4, True), (math.nan, True)],
)
def test_drift_is_relative_to_the_tolerance(now: float, drifts: bool) -> None:
    found = compare([LOCKED], [changed(now)])
    assert bool(found) is drifts
    if drifts:
        assert found[0].locked == LOCKED
        assert repr(found[0].now) == repr(now)


def test_nan_agrees_with_nan_and_zero_with_next_to_nothing() -> None:
    assert not compare([changed(math.nan)], [changed(math.nan)])
    assert compare([changed(math.nan)], [changed(1.0)])
    assert not compare([changed(0.0)], [changed(1e-13)])
    assert compare([changed(0.0)], [changed(1e-9)])


def test_a_locked_number_that_does_not_come_out_is_a_drift() -> None:
    (drift,) = compare([LOCKED], [])
    assert drift.now is None


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "dataset,task,method,pair,metric,value,rtol\np,t,m,x,mi,high,1e-4\n"]
)
def test_a_damaged_lock_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"lock\.csv: damaged lock file .*--update"):
        read_lock(path)


def test_labels_become_specs() -> None:
    assert spec_of("laplacian") == "laplacian"
    assert spec_of("laplacian@levels=5") == "laplacian:levels=5"
    with pytest.raises(InputError, match="cannot be locked"):
        spec_of("net@weights=x~1a2b3c")


def test_check_by_the_command_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lock = tmp_path / "lock.csv"
    assert (
        "no such lock file; make one with `fusionbench check --update"
        in cli("check", "--baseline", lock, code=2).stderr
    )
    options = ["-m", "weighted:weight=0.7", "--limit", 1]
    result = cli("check", "--baseline", lock, "--update", *options)
    assert f"{len(read_lock(lock))} scores locked" in result.stdout
    written = lock.read_bytes()
    result = cli("check", "--baseline", lock)
    assert f"{len(read_lock(lock))} locked scores, 0 drifted" in result.stdout
    assert tree(tmp_path).keys() == {"lock.csv"}  # a check leaves nothing behind

    lines = written.decode().splitlines()
    at = next(
        i for i, line in enumerate(lines) if line.startswith("phantom,pet-mri,weighted@weight=0.7") and ",ssim," in line
    )
    fields = lines[at].split(",")
    value = float(fields[5])
    lines[at] = ",".join([*fields[:5], repr(value * 1.01), fields[6]])
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = cli("check", "--baseline", lock, code=1)
    assert "1 drifted" in result.stdout
    assert "Scores that drifted" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if "phantom/pet-mri" in line]
    assert "weighted@weight=0.7" in row
    assert "test-00000" in row
    assert f"{value:.8g}" in row
    assert "-9.90e-03" in row

    lock.write_text(written.decode().replace("phantom,ct-mri,weighted", "phantom,ct-mri,wieghted"), encoding="utf-8")
    assert "unknown method 'wieghted'; did you mean 'weighted'" in cli("check", "--baseline", lock, code=2).stderr


def test_a_method_of_ones_own_is_locked_on_images_of_ones_own(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path], method_file: Write
) -> None:
    """A stranger's repository: its method by --plugin or as a file, its pairs, and the metrics that it cares for."""
    lock, plugin = tmp_path / "lock.csv", method_file("lock-own", "return a.maximum(b)")
    data = ["--data", folders[0], "--data", folders[1]]
    made = cli(
        *("check", "--update", "--baseline", lock, "-m", plugin, "-t", "pet-mri", "--dataset", "folders", *data),
        *("--metric", "en", "--metric", "mi@bits", "--limit", 3),
    )
    assert "6 scores locked" in made.stdout
    assert {(i.dataset, i.task, i.method) for i in read_lock(lock)} == {("folders:data", "pet-mri", "lock-own")}
    assert "6 locked scores, 0 drifted" in cli("check", "--baseline", lock, "--plugin", plugin, *data).stdout
    told = " ".join(cli("check", "--baseline", lock, "--plugin", plugin, code=2).stderr.split())
    assert "lock.csv: folders takes two folders" in told
    method_file("lock-own", "return (a + b) / 2")
    assert "6 drifted" in cli("check", "--baseline", lock, "--plugin", plugin, *data, code=1).stdout


def test_a_lock_may_hold_several_data_sets(cli: Cli, tmp_path: Path) -> None:
    lock = tmp_path / "lock.csv"
    rows = []
    for split in ("train", "test"):
        wanted = ["-m", "average", "-t", "ct-mri", "--split", split, "--metric", "en", "--limit", 1]
        cli("check", "--update", "--baseline", lock, *wanted)
        rows += read_lock(lock)
    write_lock(lock, rows)
    assert {item.dataset for item in rows} == {"phantom", "phantom@train"}
    assert "2 locked scores, 0 drifted" in cli("check", "--baseline", lock).stdout


LOCK = read_lock(Path(__file__).parents[1] / "results" / "lock.csv")


def test_the_committed_lock_covers_the_controls_and_the_classics_on_every_phantom_task() -> None:
    methods = {"average", "maximum", "source-a", "source-b", "pca", "laplacian", "dwt", "guided-filter"}
    for task in ("ct-mri", "pet-mri", "spect-mri"):
        found = {(item.method, item.metric) for item in LOCK if (item.dataset, item.task) == ("phantom", task)}
        assert found >= {(method, metric) for method in methods for metric in PROFILES["dmfnet"].metrics}


def test_every_metric_and_every_degradation_is_locked() -> None:
    own = {name for name in METRICS if METRICS[name].factory.__module__.startswith("fusionbench.")}
    own -= {name for name in own if "weights" in METRICS[name].facts.needs}  # files that not everybody has
    assert {item.metric for item in LOCK if item.dataset == "phantom"} == own
    flaws = {f"phantom+{parse_degradation(kind).label}" for kind in KINDS}
    assert {item.dataset for item in LOCK} == {"phantom"} | flaws


@pytest.mark.parametrize("what", ["metrics", "degradations"])
def test_locked_scores_come_out(what: str) -> None:
    """All metrics on one pair; all degradations."""
    if what == "metrics":
        own = [item for item in LOCK if item.dataset == "phantom" and item.metric not in PROFILES["dmfnet"].metrics]
    else:
        own = [item for item in LOCK if item.dataset != "phantom" and item.metric in ("mse", "ssim")]
    assert len(own) > 13
    assert not compare(own, recompute_locked(own, silent))
