"""The contract checks over everything that is registered, and proof that they find what is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from fusionbench.audit.contracts import Broken, Check, method_checks, metric_checks, task_checks
from fusionbench.datasets import TASKS, create_task
from fusionbench.methods import METHODS, unavailable
from fusionbench.metrics import METRICS
from tests.conftest import make_folders, write_plugin


def all_hold(checks: Iterable[Check]) -> None:
    broken = []
    for title, check in checks:
        try:
            check()
        except Broken as error:
            broken.append(f"{title}: {error}")
    assert not broken, "\n".join(broken)


def test_nothing_of_ours_fails_to_load() -> None:
    for registry in (METHODS, METRICS, TASKS):
        assert registry.names()
        assert registry.unavailable == {}


# They search or solve iteratively, for seconds a small pair.
SLOW = {"csmca", "csr", "cartoon-texture", "latlrr", "lp-sr", "nsst-jaya", "nsst-papcnn", "nsst-search", "nsst-wlf"}


def marked(name: str) -> Any:
    """A method's name as a parameter; networks and slow methods are checked with the slow tests."""
    return pytest.param(name, marks=pytest.mark.slow if name in SLOW or METHODS[name].facts.trained else ())


@pytest.mark.parametrize("name", [marked(name) for name in METHODS.names()])
def test_method(name: str) -> None:
    reason = unavailable(METHODS[name])
    if reason:
        pytest.skip(f"{name}: {reason}")
    all_hold(method_checks(name))


@pytest.mark.parametrize("name", METRICS.names())
def test_metric(name: str) -> None:
    all_hold(metric_checks(name))


@pytest.mark.parametrize("name", TASKS.names())
def test_task(name: str, tmp_path: Path) -> None:
    dataset, _, task = name.partition("/")
    data: tuple[Path, ...] = ()
    if dataset == "folders":
        data = make_folders(tmp_path, 2, color=task != "ct-mri")
    elif dataset == "harvard":
        mri, other = make_folders(tmp_path / "made", 2, color=task != "ct-mri")
        home = tmp_path / "harvard" / task.upper() / "test"
        home.mkdir(parents=True)
        mri.rename(home / "MRI")
        other.rename(home / task.partition("-")[0].upper())
        data = (tmp_path / "harvard",)
    all_hold(task_checks(name, lambda: create_task(name, data=data)))


METHOD = """
import torch
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="{name}", title="{name}", family="{family}"{facts}))
def fuse(a, b{settings}):
    {body}
"""


@pytest.mark.parametrize(
    ("facts", "settings", "body", "title"),
    [
        ("", "", "return a.maximum(b)", None),
        (", symmetric=True", "", "return a.maximum(b)", None),
        ("", ", *, power: int = 2", "return a.maximum(b)", None),
        ("!", "", "return a", "fact sheet"),
        ("", ", *, power=2", "return a", "settings"),
        ("", "", "return a[..., 1:]", "shape"),
        ("", "", "return a * 2", "shape"),
        ("", "", "return a.mul_(0.5)", "sources left"),
        ("", "", "return a / a.amax()", "constant and black"),
        ("", "", "return a[..., : a.shape[-1] // 16 * 16] if a.shape[-1] % 16 else a", "odd and small"),
        ("", "", "return (0.99 * a + 0.01 * torch.rand(a.shape)).clamp(0, 1)", "same image twice"),
        ("", "", "return a / a.amax().clamp_min(1e-3)", "does not depend on its batch"),
        ("", "", "return a / 2", "identity"),
        (", symmetric=True", "", "return a", "symmetry"),
    ],
)
def test_a_broken_method_is_found(tmp_path: Path, facts: str, settings: str, body: str, title: str | None) -> None:
    name = f"contract-{sum(map(ord, facts + settings + body))}"
    text = METHOD.format(
        name=name, facts=facts.strip("!"), settings=settings, body=body, family="" if facts == "!" else "test"
    )
    METHODS.load(str(write_plugin(tmp_path / f"{name.replace('-', '_')}.py", text)))
    found(method_checks(name), title)


METRIC = """
import torch
from fusionbench.metrics import METRICS, MetricFacts

@METRICS.register(MetricFacts(name="{name}", title="T", short="S", family="test", direction="{direction}",
                              customary="higher", range="[0, 1]", formula="F", degenerate="never NaN"{facts}))
def metric(t):
    {body}
"""


@pytest.mark.parametrize(
    ("direction", "facts", "body", "title"),
    [
        ("higher", "", "return t.f.x.mean((1, 2))", None),
        ("higher", ", symmetric=False", "return (t.f.x - t.a.x).abs().mean((1, 2))", None),
        ("upward", "", "return t.f.x.mean((1, 2))", "fact sheet"),
        ("higher", ", needs=frozenset({'luck'})", "return t.f.x.mean((1, 2))", "fact sheet"),
        ("higher", "", "return t.f.x.mean((1, 2)).float()", "one float64 value"),
        ("higher", "", "return t.f.x.mean()", "one float64 value"),
        ("higher", "", "return t.f.x.mean((1, 2)) - t.f.x.mean()", "does not depend on its batch"),
        ("higher", "", "return (t.f.x - t.a.x).abs().mean((1, 2))", "symmetry"),
        ("higher", "", "return 1 / t.f.x.mean((1, 2))", "flat images"),
    ],
)
def test_a_broken_metric_is_found(tmp_path: Path, direction: str, facts: str, body: str, title: str | None) -> None:
    name = f"contract-{sum(map(ord, direction + facts + body))}"
    path = tmp_path / f"{name.replace('-', '_')}.py"
    METRICS.load(str(write_plugin(path, METRIC.format(name=name, direction=direction, facts=facts, body=body))))
    found(metric_checks(name), title)


TASK = """
import numpy as np
from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.errors import InputError
from fusionbench.pairs import Pair

@TASKS.register(TaskFacts(name="{name}/pet-mri", title="T", modalities=("MRI", "PET"), reference=""))
class Task:
    calls = 0
    def __init__(self, *, data=(), split="test"):
        pass
    def ids(self):
        return {ids}
    def load(self, id):
        if id not in ("a", "b", "../a"):
            {unknown}
        Task.calls += {calls}
        image = np.full((32, 32), Task.calls, np.uint8)
        return Pair(id=id, a=image, b=image, case="case")
    def case(self, id):
        return {case}
    def digest(self, id):
        return id
"""


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, None),
        ({"ids": "['b', 'a']"}, "ids are"),
        ({"ids": "['a', 'a']"}, "ids are"),
        ({"ids": "[]"}, "ids are"),
        ({"ids": "['../a']"}, "ids are"),
        ({"calls": "1"}, "pairs load"),
        ({"case": "'other'"}, "pairs load"),
        ({"unknown": "raise KeyError(id)"}, "unknown id"),
        ({"unknown": "pass"}, "unknown id"),
    ],
)
def test_a_broken_task_is_found(tmp_path: Path, changes: dict[str, str], title: str | None) -> None:
    good = {"ids": "['a', 'b']", "unknown": "raise InputError(f'no pair {id}')", "calls": "0", "case": "'case'"}
    name = f"contract-{sum(map(ord, str(changes)))}"
    path = tmp_path / f"{name.replace('-', '_')}.py"
    TASKS.load(str(write_plugin(path, TASK.format(name=name, **{**good, **changes}))))
    found(task_checks(f"{name}/pet-mri"), title)


def found(checks: Iterable[tuple[str, Callable[[], None]]], title: str | None) -> None:
    """The first check that does not hold is the one of that title (None: all hold)."""
    result = None
    for name, check in checks:
        try:
            check()
        except Exception as error:
            result = f"{name}: {type(error).__name__}: {error}"
            break
    assert (result is None) if title is None else (result is not None and title in result.partition(": ")[0]), result
