"""What methods cost: counts that can be worked out by hand, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fusionbench.audit.profiling import count_parameters, measure, profile, store
from fusionbench.bench import run
from fusionbench.cli import main
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.pairs import Pair
from fusionbench.registry import import_module
from fusionbench.report.choice import make_boards
from fusionbench.scores import Key, read_metric_facts, read_results, read_table
from tests.conftest import write_plugin

PLUGIN = '''
import torch
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="two-convs", title="Two convolutions", family="test", trained=True))
class TwoConvs:
    """Parameters 2*4*9 + 4 + 4*9 + 1 = 113, shared by two names."""

    def prepare(self, device):
        first, last = torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Conv2d(4, 1, 3, padding=1)
        self.nets = {"both": [torch.nn.Sequential(first, last)]}
        self.again = first

    def supports(self, task):
        return None

    def fuse(self, a, b, generator):
        waste = torch.ones(32_000_000)  # 128 MB
        return self.nets["both"][0](torch.cat([a, b], 1)).sigmoid() * waste[0]
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugins") / "two_convs.py"
    path.write_text(PLUGIN)
    import_module(str(path))
    return str(path)


@pytest.fixture(scope="module")
def pair() -> Pair:
    image = np.arange(40 * 48, dtype=np.uint8).reshape(40, 48)
    return Pair(id="p", a=image, b=image[::-1].copy())


def test_counts_are_those_worked_out_by_hand(plugin: str, pair: Pair) -> None:
    threads = torch.get_num_threads()
    stats = measure("two-convs", plugin, pair, "cpu", 3, 1)
    assert stats["parameters"] == 113
    assert stats["flops"] == 2 * 40 * 48 * (2 * 4 * 9 + 4 * 9)
    assert (stats["height"], stats["width"], stats["runs"], stats["threads"]) == (40, 48, 3, 1)
    assert stats["seconds"] > 0
    assert 120e6 <= stats["peak_memory"] < 400e6
    assert stats["device_name"]
    assert torch.get_num_threads() == threads


def test_a_method_without_weights_and_without_torch(pair: Pair) -> None:
    stats = measure("laplacian", "", pair, "cpu", 1, 1)
    assert (stats["parameters"], stats["flops"]) == (0, None)


def test_a_module_is_found_wherever_it_hangs() -> None:
    layer = torch.nn.Linear(3, 2)

    class Holder:
        def __init__(self) -> None:
            self.inner = {"x": (layer, [layer])}
            self.me = self

    assert count_parameters(Holder()) == 8  # type: ignore[arg-type]


def test_it_is_kept_in_the_score_files_and_shown(tmp_path: Path, pair: Pair) -> None:
    for _ in range(2):  # a later run must not lose it
        run(["average"], ["phantom/ct-mri"], tmp_path, limit=2, device="cpu", force=True)
        key = Key("phantom", "ct-mri", "average")
        assert store(tmp_path, "average", {"seconds": 1.25, "parameters": 7, "flops": None, "peak_memory": 9}) == [key]
    run(["average"], ["phantom/ct-mri"], tmp_path, limit=2, device="cpu", force=True)
    assert read_table(tmp_path, key).about["profile_stats"]["seconds"] == 1.25
    assert store(tmp_path, "maximum", {"seconds": 1}) == []
    (board, *_) = make_boards(read_results(tmp_path), read_metric_facts(tmp_path))
    assert board.seconds("average") == 1.25
    assert (board.cost("average", "parameters"), board.cost("average", "peak_memory")) == (7, 9)


WEIGHTS = """
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="profiled-weights", title="W", family="test", trained=True))
class Weighted:
    def __init__(self, *, power=1.0):
        self.power = power
    def prepare(self, device):
        pass
    def supports(self, task):
        return None
    def digest(self):
        return {digest!r}
    def fuse(self, a, b, generator):
        return a ** self.power
"""


@pytest.mark.parametrize(("digest", "kept"), [("first", True), ("second", False)])
def test_it_is_forgotten_when_the_weights_are_others(tmp_path: Path, digest: str, kept: bool) -> None:
    for made in ("first", digest):
        METHODS.load(str(write_plugin(tmp_path / "weights.py", WEIGHTS.format(digest=made))))
        (key,) = run(["profiled-weights"], ["phantom/ct-mri"], tmp_path, metrics=["en"], limit=1, device="cpu").keys
        if made == "first":
            store(tmp_path, "profiled-weights", {"seconds": 1.25})
    assert ("profile_stats" in read_table(tmp_path, key).about) is kept


@pytest.mark.slow
def test_in_a_process_of_its_own(plugin: str, pair: Pair) -> None:
    assert profile("two-convs", pair, device="cpu", runs=1)["parameters"] == 113
    with pytest.raises(InputError, match="did you mean"):
        profile("laplacain", pair)


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["profile", "-m", "average", "--runs", "1", "--results", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "average" in result.stdout
    assert "no scores" in result.stderr
