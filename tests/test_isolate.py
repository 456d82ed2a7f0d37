"""Methods that hang, crash, exit, bomb and babble: each costs its pair, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fusionbench.bench import run
from fusionbench.bench.isolate import parse_limits
from fusionbench.bench.work import Limits
from fusionbench.errors import InputError
from fusionbench.pairs import write_png
from fusionbench.registry import import_module
from fusionbench.scores import Key, read_table
from tests.conftest import process

PLUGIN = '''
import ctypes, os, subprocess, sys, time
import torch
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="hostile", title="Hostile", family="test"))
def hostile(a, b):
    """What it does is told by the first pixel of a."""
    what = int(round(float(a[0, 0, 0, 0]) * 255))
    if what == 1:
        time.sleep(1000)
    if what == 2:
        ctypes.string_at(0)
    if what == 3:
        os._exit(7)
    if what == 4:
        held = [torch.ones(50_000_000) for _ in range(100)]
    if what == 5:
        print("garbage", flush=True); sys.stdin.read(); os.write(1, b"more"); print('{"row": 1}', file=sys.stderr)
    if what == 6:
        raise RuntimeError("as it may")
    if what == 7:
        os.kill(os.getppid(), 0); subprocess.Popen(["sleep", "77"]); time.sleep(1000)
    if what == 8:
        held = []
        while True:
            held.append(bytearray(20_000_000)) if len(held) < 1000 else time.sleep(1)
    return torch.maximum(a, b)

@METHODS.register(MethodFacts(name="unloadable", title="Unloadable", family="test"))
class Unloadable:
    def prepare(self, device):
        os._exit(9)
    def supports(self, task):
        return None
    def fuse(self, a, b, generator):
        return a
'''
REASONS = {
    "p1": "ran longer than 8 s",
    "p2": "SIGSEGV",
    "p3": "exit code 7",
    "p4": "memory",
    "p6": "RuntimeError: as it may",
    "p7": "ran longer than 8 s",
    "p8": "",
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugins") / "hostile.py"
    path.write_text(PLUGIN)
    import_module(str(path))
    return path


@pytest.fixture
def folders(tmp_path: Path, plugin: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    for n in range(9):
        for name in ("a", "b"):
            image = rng.integers(0, 256, (24, 24), dtype=np.uint8)
            image[0, 0] = n
            write_png(tmp_path / name / f"p{n}.png", image)
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.promise
@pytest.mark.slow
def test_each_costs_its_pair_only(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    outcome = run(
        ["hostile", "average"],
        ["folders/pet-mri"],
        tmp_path / "results",
        data=folders,
        metrics=["en"],
        device="cpu",
        isolate=Limits(8, 1 << 30),
    )
    table = read_table(tmp_path / "results", Key("folders", "pet-mri", "hostile"))
    assert table.errors().keys() == REASONS.keys()
    for pair, reason in REASONS.items():
        assert reason in table.errors()[pair].lower() or reason in table.errors()[pair], (pair, table.errors()[pair])
    assert {p for p, r in table.pairs.items() if r.get("scores")} == {"p0", "p5"}
    assert len(read_table(tmp_path / "results", Key("folders", "pet-mri", "average")).frame()) == 9
    assert outcome.exit_code == 1
    time.sleep(0.5)
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "77"]]


CRASHER = """
import os
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="crasher", title="Crasher", family="test"))
def crasher(a, b, *, k: int = 1):
    os._exit(7)
"""


def test_settings_are_tried_under_the_same_limits(tmp_path: Path) -> None:
    plugin = tmp_path / "crasher.py"
    plugin.write_text(CRASHER)
    arguments = ["-m", "crasher:k=2", "-t", "pet-mri", "--dataset", "phantom", "--limit", 1, "--metric", "en"]
    running = process(
        "run", "--plugin", plugin, *arguments, "--isolate", "time=60,memory=4G", "--results", tmp_path / "results"
    )
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 1, errors
    assert "failed crasher@k=2 on phantom/pet-mri test-00000: its process ended with exit code 7" in errors
    assert "0 images fused, 0 scored" in output


@pytest.mark.promise
@pytest.mark.slow
def test_a_method_that_dies_while_loading_is_told_for_every_pair(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    outcome = run(
        ["unloadable"],
        ["folders/pet-mri"],
        tmp_path / "r",
        data=folders,
        metrics=["en"],
        device="cpu",
        isolate=Limits(),
    )
    assert len(outcome.failed) == 9
    assert all("exit code 9 while it was loaded" in reason for _, _, reason in outcome.failed)


@pytest.mark.promise
@pytest.mark.slow
def test_the_same_bytes_as_without(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    for name, limits in (("in", Limits()), ("out", None)):
        run(
            ["laplacian"],
            ["folders/pet-mri"],
            tmp_path / name,
            data=folders,
            metrics=["en"],
            device="cpu",
            isolate=limits,
        )
    key = Key("folders", "pet-mri", "laplacian")
    assert key.csv(tmp_path / "in").read_bytes() == key.csv(tmp_path / "out").read_bytes()


def test_limits() -> None:
    assert parse_limits("") == Limits()
    assert parse_limits("time=60,memory=4G") == Limits(60, 4 << 30)
    assert parse_limits("memory=500M").memory == 500 << 20
    for bad in ("time", "time=0", "memory=-1", "memory=inf", "time=4G", "cpu=3", "memory=G", "time=nan"):
        with pytest.raises(InputError, match="time=SECONDS"):
            parse_limits(bad)
