"""Faults around a run, each for real: two at once, damage, times from the future, engines that must agree, clean stops."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fusionbench.bench import run
from fusionbench.bench.ledger import locked
from fusionbench.errors import InputError
from fusionbench.scores import Key, read_table

TASK = "folders/pet-mri"
METHODS = ("average", "laplacian")


def go(results: Path, folders: tuple[Path, Path], **options: object) -> tuple[int, int]:
    outcome = run(METHODS, [TASK], results, metrics=["en", "mi"], data=folders, device="cpu", **options)  # type: ignore[arg-type]
    return outcome.fused, outcome.scored


def tables(results: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(results.glob("scores/*/*/*.csv"))}


def test_one_run_a_folder(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    with locked(tmp_path / "r"), pytest.raises(InputError, match="another run"):
        go(tmp_path / "r", folders)
    assert go(tmp_path / "r", folders) == (6, 6)


@pytest.mark.parametrize("suffix", ["csv", "json"])
@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_table_is_made_again(tmp_path: Path, folders: tuple[Path, Path], suffix: str, cut: bool) -> None:
    go(tmp_path, folders)
    good = tables(tmp_path)
    path = Key("folders", "pet-mri", "average").csv(tmp_path).with_suffix(f".{suffix}")
    rng = random.Random(suffix)
    for _ in range(5):
        data = bytearray(path.read_bytes())
        at = rng.randrange(len(data))
        if cut:
            del data[at:]
        else:
            data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        outcome = run(METHODS, [TASK], tmp_path, metrics=["en", "mi"], data=folders, device="cpu")
        assert tables(tmp_path) == good
        assert [line for line in outcome.damaged if "average" in line]
    if suffix == "csv":
        assert outcome.fused == 0  # the records were sound: images are kept


def test_a_damaged_line_of_a_journal_is_left_out(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    class Stop(Exception):
        pass

    def stop(stage: str, done: int, total: int, item: str = "") -> None:
        if "scoring" in stage and done == 4:
            raise Stop

    with pytest.raises(Stop):
        go(tmp_path / "r", folders, notify=stop)
    key = Key("folders", "pet-mri", "average")
    path = key.journal(tmp_path / "r")
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace('"en": ', '"en": 1')  # still JSON
    path.write_text("\n".join(lines))
    go(tmp_path / "whole", folders)
    go(tmp_path / "r", folders)
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")


def test_times_mean_nothing(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    go(tmp_path / "r", folders)
    for path in (tmp_path / "r").rglob("*"):
        os.utime(path, (4e9, 4e9))
    assert go(tmp_path / "r", folders) == (0, 0)
    image = Key("folders", "pet-mri", "average").fused(tmp_path / "r") / "p1.png"
    image.write_bytes(image.read_bytes()[:99])
    os.utime(image, (4e9, 4e9))
    assert go(tmp_path / "r", folders) == (1, 0)  # the same image comes out: its scores still hold


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local:2", "dask:2"])
def test_engines_give_the_same_bytes(tmp_path: Path, folders: tuple[Path, Path], engine: str) -> None:
    if engine.startswith("dask"):
        pytest.importorskip("distributed", reason="the extra fusionbench-mmif[dask] is not installed")
    assert go(tmp_path / "one", folders) == go(tmp_path / "many", folders, engine=engine) == (6, 6)
    assert tables(tmp_path / "one") == tables(tmp_path / "many")
    one, many = (read_table(tmp_path / name, Key("folders", "pet-mri", "average")).pairs for name in ("one", "many"))
    assert [r["image"] for r in one.values()] == [r["image"] for r in many.values()]


@pytest.mark.promise
@pytest.mark.slow
def test_a_worker_that_outlives_a_run_keeps_nothing_of_it(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """A plugin file that changed between two runs is read anew by workers of a running cluster."""
    distributed = pytest.importorskip("distributed", reason="the extra fusionbench-mmif[dask] is not installed")
    plugin = tmp_path / "mine.py"
    text = """
import torch
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="mine", title="Mine", family="pixel"))
def mine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return SHARE * a + (1 - SHARE) * b
"""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        for share in ("0.25", "0.75"):
            plugin.write_text(text.replace("SHARE", share), encoding="utf-8")
            for engine, name in (("serial", "here"), (f"dask:{cluster.scheduler_address}", "there")):
                words = ["run", "-m", str(plugin), "-t", "pet-mri", "--dataset", "folders:data", "--metric", "en"]
                words += ["--data", str(folders[0]), "--data", str(folders[1]), "--engine", engine, "--device", "cpu"]
                program = [sys.executable, "-c", "from fusionbench.cli import main; main()", *words]
                subprocess.run([*program, "--results", str(tmp_path / name)], check=True, capture_output=True)
    key = Key("folders-data", "pet-mri", "mine")
    here, there = (read_table(tmp_path / name, key).pairs for name in ("here", "there"))
    assert len(here) == 3
    assert [record["image"] for record in here.values()] == [record["image"] for record in there.values()]
    assert {record["made_by"] for record in here.values()} == {record["made_by"] for record in there.values()}


@pytest.mark.promise
@pytest.mark.slow
def test_compiled_now_or_loaded_from_the_cache_gives_the_same_bytes(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    """A worker that compiles a kernel and one that loads it must agree to the last digit."""
    words = ["run", "-m", "laplacian", "-t", "pet-mri", "--dataset", "folders:data", "--device", "cpu"]
    words += [word for metric in ("ssim", "vif", "qabf", "fmi@pixel", "mi", "ag") for word in ("--metric", metric)]
    words += ["--data", str(folders[0]), "--data", str(folders[1])]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    for name in ("compiled", "loaded"):
        program = [sys.executable, "-c", "from fusionbench.cli import main; main()", *words]
        subprocess.run([*program, "--results", str(tmp_path / name)], check=True, env=environment, capture_output=True)
    assert list((tmp_path / "numba").rglob("*.nbi"))
    assert tables(tmp_path / "compiled") == tables(tmp_path / "loaded")


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("engine", ["serial", "local:2"])
def test_a_clean_stop(tmp_path: Path, number: signal.Signals, code: int, engine: str) -> None:
    words = ["run", "-m", "laplacian", "-t", "pet-mri", "--dataset", "phantom", "--results", str(tmp_path / "r")]
    program = [sys.executable, "-c", "from fusionbench.cli import main; main()", *words, "--engine", engine]
    running = subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    journal = Key("phantom", "pet-mri", "laplacian").journal(tmp_path / "r")
    deadline = time.monotonic() + 300
    while not journal.exists() and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    guard = threading.Timer(120, running.kill)
    guard.start()
    running.send_signal(number)
    _, told = running.communicate()
    guard.cancel()
    assert running.returncode == code
    assert told.strip().splitlines()[-1].startswith("stopped; what is done is kept"), told
    assert "Traceback" not in told
    assert journal.exists()
    assert not list((tmp_path / "r").rglob("*.csv"))
