"""Degradations: what they do to a source, that the other one is left alone, and that scores are against the clean pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusionbench.bench import run
from fusionbench.cli import main
from fusionbench.datasets import create_task
from fusionbench.datasets._displaced import elastic_field, error_of, head_of, rigid_field
from fusionbench.datasets.degraded import KINDS, DegradedTask, parse_degradation
from fusionbench.errors import InputError
from fusionbench.metrics import evaluate
from fusionbench.pairs import Pair, grey, read_picture, write_png
from fusionbench.scores import Key, read_table

NEUTRAL = {
    "jpeg": None,
    "undersample": 1,
    "noise": 0,
    "shift": 0,
    "rotate": 0,
    "blur": 0,
    "bias": 0,
    "rigid": None,
    "elastic": 0,
}


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


@pytest.mark.parametrize("make", [rigid_field, elastic_field])
def test_a_misregistration_is_as_large_as_it_says(make: Callable[..., np.ndarray], pair: Pair) -> None:
    """Root mean square over the head, whatever the size; a direction of its own for each seed."""
    head = head_of(pair.a[..., None] / 255.0)
    assert 0.2 < head.mean() < 0.9
    fields = [make(head, size, np.random.default_rng(seed)) for size, seed in ((1.0, 0), (8.0, 0), (8.0, 1))]
    assert [error_of(field, head) for field in fields] == pytest.approx([1, 8, 8], rel=2e-3)
    assert not np.allclose(fields[1], fields[2])


def test_a_rigid_misregistration_keeps_distances(pair: Pair) -> None:
    field = rigid_field(head_of(pair.a[..., None] / 255.0), 6.0, np.random.default_rng(3))
    at = np.indices(pair.a.shape) + field
    assert np.hypot(*(at[:, 10, 20] - at[:, 200, 180])) == pytest.approx(np.hypot(190, 160))
    elastic = elastic_field(head_of(pair.a[..., None] / 255.0), 6.0, np.random.default_rng(3))
    steps = np.abs(np.diff(elastic, axis=1)).max()
    assert 0.01 < steps < 1.0  # smooth, and no fold


def test_millimetres_count_by_the_size_of_a_pixel() -> None:
    """A dot that is moved 6 mm by rigid misregistration lies fewer pixels away where pixels are larger."""
    disc = (np.hypot(*(np.indices((128, 128)) - 63.5)) < 40).astype(np.uint8) * 200
    shifts = []
    for spacing in (1.0, 2.0):
        bad = parse_degradation("rigid:mm=6").apply(Pair(id="x", a=disc, b=disc, spacing=spacing)).b.astype(float)
        middle = [float((at * bad).sum() / bad.sum()) for at in np.indices(bad.shape)]
        shifts.append(float(np.hypot(*(np.array(middle) - 63.5))))
    assert shifts == pytest.approx([6 / np.sqrt(2), 3 / np.sqrt(2)], rel=0.02)
    flaw = parse_degradation("rigid:mm=2")
    with pytest.raises(InputError, match="size of its pixels"):
        flaw.apply(Pair(id="x", a=disc, b=disc))


def test_pairs_of_unknown_size_are_told_before_anything_is_written(tmp_path: Path) -> None:
    for name in ("mri", "pet"):
        write_png(tmp_path / name / "1.png", np.full((32, 32), 90, np.uint8))
    words = ["run", "-m", "average", "-t", "pet-mri", "--dataset", "folders", "--data", str(tmp_path / "mri"), "--data"]
    words += [str(tmp_path / "pet"), "--corrupt", "elastic:mm=2", "--results", str(tmp_path / "out")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert "size of its pixels" in result.output
    assert not (tmp_path / "out" / "scores").exists()
