"""Degradations: what they do to a source, that the other one is left alone, and that scores are against the clean pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.bench import run
from fusionbench.datasets import create_task
from fusionbench.datasets.degraded import KINDS, DegradedTask, parse_degradation
from fusionbench.errors import InputError
from fusionbench.metrics import evaluate
from fusionbench.pairs import Pair, grey, read_picture
from fusionbench.scores import Key, read_table

NEUTRAL = {"jpeg": None, "undersample": 1, "noise": 0, "shift": 0, "rotate": 0, "blur": 0, "bias": 0}


@pytest.fixture(scope="module")
def pair() -> Pair:
    return create_task("phantom/pet-mri").load("test-00003")


@pytest.mark.parametrize("kind", KINDS)
def test_one_source_changes_and_twice_alike(kind: str, pair: Pair) -> None:
    flaw = parse_degradation(kind)
    bad, again = flaw.apply(pair), flaw.apply(pair)
    assert bad.color is not None
    assert again.color is not None
    assert np.array_equal(bad.a, pair.a) == (flaw.input == "b")
    assert np.array_equal(bad.b, pair.b) == (flaw.input == "a")
    assert np.array_equal(bad.b, grey(bad.color)) or flaw.input == "a"
    assert np.array_equal(bad.a, again.a)
    assert np.array_equal(bad.color, again.color)
    assert bad.a.shape == pair.a.shape


@pytest.mark.parametrize("kind", [k for k, value in NEUTRAL.items() if value is not None])
def test_neutral_strength_changes_nothing(kind: str, pair: Pair) -> None:
    bad = parse_degradation(f"{kind}:{KINDS[kind].parameter}={NEUTRAL[kind]},input=a").apply(pair)
    assert np.array_equal(bad.a, pair.a)


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_is_worse(kind: str, pair: Pair) -> None:
    steps = {"jpeg": (95, 60, 10), "undersample": (2, 4, 8), "bias": (0.1, 0.3, 0.9), "noise": (0.02, 0.05, 0.2)}
    errors = []
    for strength in steps.get(kind, (1, 2, 6)):
        bad = parse_degradation(f"{kind}:{KINDS[kind].parameter}={strength},input=a").apply(pair)
        errors.append(float(np.square(bad.a.astype(float) - pair.a).mean()))
    assert 0 < errors[0] < errors[1] < errors[2]


def test_noise_has_the_stated_deviation() -> None:
    flat = np.full((256, 256), 128, np.uint8)
    bad = parse_degradation("noise:sigma=0.05").apply(Pair(id="x", a=flat, b=flat))
    assert abs((bad.b.astype(float) / 255).std() - 0.05) < 0.001


def test_a_shift_is_as_long_as_it_says() -> None:
    dot = np.zeros((65, 65), np.uint8)
    dot[30:35, 30:35] = 255
    bad = parse_degradation("shift:px=6").apply(Pair(id="x", a=dot, b=dot)).b.astype(float)
    centre = [(bad * axis).sum() / bad.sum() for axis in np.mgrid[:65, :65]]
    assert abs(np.hypot(centre[0] - 32, centre[1] - 32) - 6) < 0.05


def test_names() -> None:
    assert parse_degradation("bias").label == "bias,strength=0.3"
    assert parse_degradation("noise:sigma=0.050").label == "noise,sigma=0.05"
    assert parse_degradation("noise:sigma=0.05,input=a").label == "noise,sigma=0.05,input=a"
    for kind in KINDS:
        flaw = parse_degradation(f"{kind},input=a")
        assert parse_degradation(flaw.label) == flaw
    for bad in ("fog", "noise:sigma=two", "noise:sigma=nan", "noise:sigma=9", "jpeg:q=0", "blur:px=1", "blur:input=c"):
        with pytest.raises(InputError):
            parse_degradation(bad)


def test_runs_are_kept_apart_and_scored_on_the_clean_pair(tmp_path: Path) -> None:
    flaw = "noise:sigma=0.1"
    outcome = run(["average"], ["phantom/ct-mri"], tmp_path, metrics=["psnr"], limit=1, corrupt=[flaw], device="cpu")
    (key,) = outcome.keys
    assert key == Key("phantom+noise,sigma=0.1", "ct-mri", "average")
    table = read_table(tmp_path, key)
    ((name, record),) = table.pairs.items()
    assert table.about["corruption"]["strength"] == 0.1
    task = create_task("phantom/ct-mri")
    clean, degraded = task.load(name), DegradedTask(task, parse_degradation(flaw)).load(name)
    fused = read_picture(key.fused(tmp_path) / f"{name}.png").grey
    expected = np.floor((degraded.a.astype(float) + degraded.b) / 2 + 0.5)
    assert np.abs(fused - expected).max() <= 1
    assert record["scores"]["psnr"] == evaluate(fused, clean.a, clean.b, "psnr")["psnr"][0]
    again = run(["average"], ["phantom/ct-mri"], tmp_path, metrics=["psnr"], limit=1, corrupt=[flaw], device="cpu")
    assert (again.fused, again.scored) == (0, 0)
