"""The commands of docs/registration.md and docs/collections.md, on files of the kinds that they name."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from fusionbench.bench.volumes import Volume, read_volume, write_volume
from tests.conftest import Cli, doc_commands
from tests.test_layouts import bids
from tests.test_registration import KNOWN, heads, rire_folder

pytest.importorskip("SimpleITK", reason="the extra fusionbench-mmif[register] is not installed")
pytest.importorskip("pydicom", reason="the extra fusionbench-mmif[volumes] is not installed")

__all__ = ["heads"]  # a fixture


@pytest.mark.slow
def test_the_commands_of_the_registration_page(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: tuple[Volume, Volume]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, volume in zip(("mri", "ct"), heads, strict=True):
        write_volume(tmp_path / f"{name}.nii.gz", volume.data, volume.affine)
    rire_folder(tmp_path / "training_001", heads)
    commands = doc_commands("registration.md")
    assert [arguments[0] for arguments in commands[:4]] == ["register", "register", "fuse", "register"]
    assert len(commands) == 9
    for arguments in commands:
        cli(*arguments, *(["--images", "none"] if arguments[0] == "report" else []))
    assert json.loads((tmp_path / "ct-affine.registration.json").read_text())["kind"] == "affine"
    board = tmp_path / "results/leaderboard/phantom/pet-mri"
    with (board / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["degradation"] for row in rows} == {"rigid-b", "elastic-b"}
    assert {row["parameter"] for row in rows} == {"mm"}
    with (tmp_path / "results/leaderboard/lesion/pet-mri/truth-robustness.csv").open() as file:
        truth = list(csv.DictReader(file))
    found = {(row["degradation"], row["method"]) for row in truth if row["observer"] == "cho"}
    assert {("none", "average"), ("rigid", "average"), ("rigid", "(both sources)")} <= found


@pytest.mark.slow
def test_the_commands_of_the_collections_page(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    bids(tmp_path / "my-bids")
    for path in (tmp_path / "my-bids").rglob("*.nii.gz"):  # metrics want slices of some size
        write_volume(path, rng.random((64, 64, 4), dtype=np.float32), np.diag([-2.0, -2.0, 3.0, 1.0]))
    commands = doc_commands("collections.md")
    assert len(commands) == 6
    for arguments in commands:
        cli(*arguments)
    np.testing.assert_array_equal(
        read_volume(tmp_path / "fused-dicom").data, read_volume(tmp_path / "fused.nii.gz").data
    )
    assert len((tmp_path / "slices.csv").read_text().splitlines()) == 5


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("nilearn") is None, reason="nilearn, whose files these are, is not installed"
)
def test_strangers_volumes(cli: Cli, tmp_path: Path) -> None:
    """nilearn's ICBM 152 T1 and its grey matter map, which is told to lie elsewhere."""
    spec = importlib.util.find_spec("nilearn")
    assert spec is not None
    assert spec.origin is not None
    name = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
    mri, grey = (Path(spec.origin).parent / name.format(kind) for kind in ("t1", "gm"))
    volume = read_volume(grey)
    write_volume(tmp_path / "grey.nii.gz", volume.data, KNOWN @ volume.affine)
    cli("register", str(mri), str(tmp_path / "grey.nii.gz"), "-o", str(tmp_path / "out.nii.gz"))
    found = np.array(json.loads((tmp_path / "out.registration.json").read_text())["matrix"])
    assert np.abs(found[:3, :3] - KNOWN[:3, :3]).max() < 0.01
    assert np.abs(found[:3, 3] - KNOWN[:3, 3]).max() < 1.0
