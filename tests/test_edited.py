"""What a stranger edits is fused again: source files, what they import from beside them, weights, other programs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

from fusionbench.registry import import_module, source_files
from fusionbench.scores import Key, read_table, write_table
from tests.conftest import Cli

SOFTMAX = """
import torch
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="edited", title="Softmax weights", family="mine"))
def edited(a, b, *, sharpness: float = 8.0):
    w = torch.softmax(torch.stack([a, b]) * sharpness, 0)
    return (w[0] * a + w[1] * b).clamp(0, 1)
"""
NET = """
from pathlib import Path

import torch

from fusionbench.methods import METHODS, MethodFacts


@METHODS.register(MethodFacts(name="mynet", title="MyNet", family="CNN", year=2026, trained=True, identity=False))
class MyNet:
    def __init__(self, *, weights: Path = Path("mynet.pt"), width: int = 16) -> None:
        self.weights, self.width = weights, width

    def prepare(self, device):
        self.net = torch.nn.Conv2d(2, 1, 3, padding=1)
        self.net.load_state_dict(torch.load(self.weights, weights_only=True, map_location=device))
        self.net.to(device).eval()

    def supports(self, task):
        return None

    def fuse(self, a, b, generator):
        return self.net(torch.cat([a, b], 1)).clamp(0, 1)
"""
SCRIPT = """
import shutil
import sys
from PIL import Image
image = Image.open(sys.argv[1])
image.point(lambda level: {expression}).save(sys.argv[3])
"""
RUN = ("-t", "pet-mri", "--dataset", "phantom", "--limit", 1, "--metric", "en")


def scores(results: Path, method: str) -> str:
    return (results / f"scores/phantom/pet-mri/{method}.csv").read_text()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_edited_method(cli: Cli, home: Path) -> None:
    file = home / "softmax.py"
    file.write_text(SOFTMAX)
    assert "1 images fused, 1 scored" in cli("run", "-m", file, *RUN).stdout
    before = scores(home / "results", "edited")
    assert "0 images fused, 0 scored" in cli("run", "-m", file, *RUN).stdout
    file.write_text(SOFTMAX.replace("(w[0] * a + w[1] * b).clamp(0, 1)", "torch.maximum(a, b)"))
    again = cli("run", "-m", file, *RUN)
    assert "1 images fused, 1 scored" in again.stdout
    assert "softmax.py changed since these images were fused: fusing 1 again" in again.stderr
    assert scores(home / "results", "edited") != before
    assert "0 images fused, 0 scored" in cli("run", "-m", file, *RUN).stdout


def test_an_edited_module_beside_the_method(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(home)
    beside = home / "edited_beside.py"
    beside.write_text("def mix(a, b):\n    return a / 2 + b / 2\n")
    file = home / "imports_it.py"
    body = SOFTMAX.replace('name="edited"', 'name="imports-it"').replace(
        "import torch", "from edited_beside import mix"
    )
    file.write_text(body[: body.index("    w =")] + "    return mix(a, b)\n")
    cli("run", "-m", file, *RUN)
    beside.write_text("def mix(a, b):\n    return a * 0.25 + b * 0.75\n")
    sys.modules.pop("edited_beside")  # as in a new process
    again = cli("run", "-m", file, *RUN)
    assert "1 images fused, 1 scored" in again.stdout
    assert "edited_beside.py changed since" in again.stderr


def test_replaced_weights(cli: Cli, home: Path) -> None:
    (home / "mynet.py").write_text(NET)
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(torch.nn.Conv2d(2, 1, 3, padding=1).state_dict(), home / "mynet.pt")
        result = cli("run", "-m", "mynet.py", *RUN)
        assert "1 images fused, 1 scored" in result.stdout
        assert ("mynet.pt changed since these images were fused" in result.stderr) == bool(seed)


def test_an_edited_script_of_another_program(cli: Cli, home: Path) -> None:
    (home / "theirs").mkdir()
    (home / "theirs.toml").write_text(
        f'name = "theirs"\nfolder = "theirs"\ncommand = "{sys.executable} test.py {{a}} {{b}} {{out}}"\n'
    )
    for expression, told in (("level", False), ("255 - level", True)):
        (home / "theirs/test.py").write_text(SCRIPT.format(expression=expression))
        result = cli("run", "-m", "theirs.toml", *RUN)
        assert "1 images fused, 1 scored" in result.stdout
        assert ("test.py changed since these images were fused" in result.stderr) == told


def test_a_class_with_slots(cli: Cli, home: Path) -> None:
    text = NET.replace('"mynet"', '"slotted"').replace(
        "class MyNet:", 'class MyNet:\n    __slots__ = ("net", "weights", "width")\n'
    )
    (home / "slotted.py").write_text(text)
    torch.save(torch.nn.Conv2d(2, 1, 3, padding=1).state_dict(), home / "mynet.pt")
    assert "1 images fused, 1 scored" in cli("run", "-m", "slotted.py", *RUN).stdout


def test_results_of_a_version_without_sources(cli: Cli, home: Path) -> None:
    file = home / "older.py"
    file.write_text(SOFTMAX.replace('name="edited"', 'name="older"'))
    cli("run", "-m", file, *RUN)
    table = read_table(home / "results", Key("phantom", "pet-mri", "older"))
    del table.about["sources"]
    for record in table.pairs.values():
        record["fused"] = "of 0.1.0"  # which had no sources in it
    write_table(home / "results", table)
    result = cli("run", "-m", file, *RUN)
    assert "older: made before sources were recorded: fusing 1 again" in result.stderr


def test_the_suites_own_methods_keep_their_version(cli: Cli, home: Path) -> None:
    cli("run", "-m", "laplacian", *RUN)
    assert '"sources"' not in (home / "results/scores/phantom/pet-mri/laplacian.json").read_text()


def test_source_files_stay_within_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "site-packages/mine/__init__.py": "",
        "site-packages/mine/net.py": "import other\nfrom mine import blocks\nfrom .deep import layers\n",
        "site-packages/mine/blocks.py": "import json\n",
        "site-packages/mine/deep/__init__.py": "",
        "site-packages/mine/deep/layers.py": "from .. import blocks\nfrom ..unused import nothing\n",
        "site-packages/other.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "site-packages/mine/unused.py").write_text("nothing = 0\n")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    found = {
        path.relative_to(tmp_path / "site-packages/mine").as_posix() for path in source_files(import_module("mine.net"))
    }
    assert found == {"net.py", "__init__.py", "blocks.py", "deep/__init__.py", "deep/layers.py", "unused.py"}
    alone = tmp_path / "site-packages/alone.py"
    alone.write_text("import json, other\n")
    assert source_files(import_module(str(alone))) == [alone.resolve()]
    sys.modules.pop("mine.net")


METRIC = """
from fusionbench.metrics import METRICS, MetricFacts

@METRICS.register(
    MetricFacts(
        name="brightest", title="Brightest", short="B", family="mine", direction="describes", customary="higher",
        range="0..255", formula="{formula}", degenerate="none",
    )
)
def brightest(t):
    return t.f.levels.flatten(1).double().{formula}(1){values}
"""


def test_an_edited_metric(cli: Cli, home: Path) -> None:
    run = ("run", "-m", "average", *RUN, "--metric", "brightest", "--plugin", "metric.py")
    (home / "metric.py").write_text(METRIC.format(formula="max", values=".values"))
    assert "1 images fused, 1 scored" in cli(*run).stdout
    before = scores(home / "results", "average")
    assert "0 images fused, 0 scored" in cli(*run).stdout
    (home / "metric.py").write_text(METRIC.format(formula="mean", values=""))
    again = cli(*run)
    assert "0 images fused, 1 scored" in again.stdout
    assert "metric brightest: its source changed since these images were scored: scoring again" in again.stderr
    assert scores(home / "results", "average") != before
    table = read_table(home / "results", Key("phantom", "pet-mri", "average"))
    table.about["metric_versions"]["brightest"] = "1"  # as 0.1.0 wrote it
    write_table(home / "results", table)
    assert "metric brightest: made before sources were recorded: scoring again" in cli(*run).stderr


STRIPES = """
import numpy as np
from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.pairs import Pair

@TASKS.register(TaskFacts(name="edges/ct-mri", title="E", modalities=("MRI", "CT"), reference="none", licence="none"))
class Edges:
    def __init__(self, *, data=(), split="test"):
        pass

    def ids(self):
        return ["a"]

    def load(self, id):
        rows = np.indices((64, 64))[0]
        return Pair(id=id, a=(rows % {period} * 50).astype(np.uint8), b=(rows * 4).astype(np.uint8))

    def case(self, id):
        return ""

    def digest(self, id):
        return id
"""


def test_an_edited_task(cli: Cli, home: Path) -> None:
    run = ("run", "-m", "average", "-t", "edges/ct-mri", "--metric", "en", "--plugin", "edges.py")
    score = ("score", "theirs", "--name", "Theirs", *run[3:])
    for period, told in ((2, False), (4, True)):
        (home / "edges.py").write_text(STRIPES.format(period=period))
        result = cli(*run)
        assert "1 images fused, 1 scored" in result.stdout
        assert ("edges.py changed since these images were fused: fusing 1 again" in result.stderr) == told
        if not told:
            shutil.copytree(home / "results/fused/edges/ct-mri/average", home / "theirs")
        assert "0 images fused, 1 scored" in cli(*score).stdout
        assert "0 images fused, 0 scored" in cli(*score).stdout
