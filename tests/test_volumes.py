"""Volumes: read back as written, put on one grid, fused slice by slice, and refused when they cannot be."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusionbench.bench.volumes import (
    Volume,
    apply_window,
    fuse_volumes,
    parse_window,
    read_volume,
    resample,
    write_volume,
)
from fusionbench.cli import main
from fusionbench.errors import InputError
from fusionbench.methods import create_method
from fusionbench.metrics import evaluate

nibabel = pytest.importorskip("nibabel", reason="the extra fusionbench-mmif[volumes] is not installed")

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 1.5, 0.1, -20], [0, -0.2, 3, -7], [0, 0, 0, 1]])


def blobs(shape: tuple[int, int, int], affine: np.ndarray, seed: int = 0) -> np.ndarray:
    """A smooth function of world coordinates, sampled on a grid."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    centre = np.array([(n - 1) / 2 for n in shape]) @ affine[:3, :3].T + affine[:3, 3]
    offsets = rng.uniform(-8, 8, (3, 3))
    bumps = np.stack([100 * np.exp(-((world - centre - o) ** 2).sum(-1) / 400) for o in offsets])
    return np.asarray(bumps.sum(axis=0), dtype=np.float32)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


def test_fused_slices_are_those_of_the_method(tmp_path: Path) -> None:
    a, b = blobs((20, 24, 6), AFFINE), blobs((20, 24, 6), AFFINE, 1)
    first, second = (read_volume(save(tmp_path / f"{n}.nii.gz", data)) for n, data in (("a", a), ("b", b)))
    np.testing.assert_array_equal(first.data, a)
    method = create_method("maximum").method
    fused = fuse_volumes(first, second, method, windows=((0, 200), (0, 200)), metrics=["en"])
    levels = [np.floor(np.clip(x.astype(float) / 200, 0, 1) * 255 + 0.5).astype(np.uint8) for x in (a, b)]
    np.testing.assert_array_equal(fused.levels, np.maximum(*levels))
    assert not fused.resampled
    assert [row["slice"] for row in fused.scores] == list(range(6))
    expected = evaluate(fused.levels[:, :, 3].copy(), levels[0][:, :, 3].copy(), levels[1][:, :, 3].copy(), "en")["en"][
        0
    ]
    assert fused.scores[3]["en"] == expected
    write_volume(tmp_path / "out.nii.gz", fused.levels, fused.affine)
    again = nibabel.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(again.dataobj), fused.levels)
    np.testing.assert_allclose(again.affine, AFFINE, atol=1e-6)
    before = (tmp_path / "out.nii.gz").read_bytes()
    write_volume(tmp_path / "out.nii.gz", fused.levels, fused.affine)
    assert (tmp_path / "out.nii.gz").read_bytes() == before


def test_another_grid_is_resampled_to_the_mri() -> None:
    """A function of world coordinates, sampled on two grids, agrees where both have it."""
    other = np.array([[0, 0, 2.0, -14], [1.7, 0, 0, -19], [0, 2.2, 0, -8], [0, 0, 0, 1]])
    fixed = Volume(blobs((24, 24, 8), AFFINE), AFFINE)
    index = np.stack(np.meshgrid(*map(np.arange, (26, 14, 30)), indexing="ij"), -1)
    world = index @ other[:3, :3].T + other[:3, 3]
    moving = Volume((world @ np.array([1.0, -2.0, 0.5])).astype(np.float32), other)
    moved, done = resample(moving, fixed)
    index = np.stack(np.meshgrid(*map(np.arange, fixed.data.shape), indexing="ij"), -1)
    truth = (index @ AFFINE[:3, :3].T + AFFINE[:3, 3]) @ np.array([1.0, -2.0, 0.5])
    inside = moved > moving.data.min() + 1e-3
    assert done
    assert inside.mean() > 0.2
    core = moved[6:18, 6:18, 2:6], truth[6:18, 6:18, 2:6]
    agree = np.abs(core[0] - core[1]) < 1e-3
    assert agree.mean() > 0.95


def test_slices_run_head_to_feet() -> None:
    sagittal = np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    assert Volume(np.zeros((2, 3, 4), np.float32), sagittal).slice_axis == 1
    assert Volume(np.zeros((2, 3, 4), np.float32), AFFINE).slice_axis == 2


def test_windows() -> None:
    data = np.linspace(-50, 150, 201, dtype=np.float32)
    levels, _ = apply_window(data, (0, 80))
    assert (levels[50], levels[130], levels[90]) == (0, 255, 128)
    assert apply_window(data, None)[1] == pytest.approx((-49, 149))
    assert parse_window("-5,80.5") == (-5, 80.5)
    for bad in ("80", "80,0", "a,b", "0,inf", "nan,1"):
        with pytest.raises(InputError, match="LOW,HIGH"):
            parse_window(bad)
    with pytest.raises(InputError, match="empty"):
        apply_window(np.zeros(5, np.float32), None)


def test_the_command(tmp_path: Path) -> None:
    mri = save(tmp_path / "mri.nii.gz", blobs((64, 72, 4), AFFINE))
    pet = save(
        tmp_path / "pet.nii", blobs((30, 30, 8), AFFINE * 0.9 + 0.1 * np.eye(4), 1), AFFINE * 0.9 + 0.1 * np.eye(4)
    )
    before = mri.read_bytes()
    out, scores = tmp_path / "fused.nii.gz", tmp_path / "scores.csv"
    words = ["fuse", str(mri), str(pet), "-o", str(out), "--scores", str(scores), "-m", "average", "--device", "cpu"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "resampled" in result.output
    assert nibabel.load(out).shape == (64, 72, 4)
    np.testing.assert_allclose(nibabel.load(out).affine, AFFINE, atol=1e-6)
    assert scores.read_text().startswith("slice,en,")
    assert len(scores.read_text().splitlines()) == 5
    assert mri.read_bytes() == before
    for words in (
        ["fuse", str(mri), str(pet), "-o", str(tmp_path / "x.png")],
        ["fuse", str(mri), str(pet), "-o", str(out), "--window-other", "80"],
    ):
        result = CliRunner().invoke(main, words)
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output


def test_volumes_that_are_refused(tmp_path: Path) -> None:
    good = blobs((8, 8, 4), AFFINE)
    with_nan = good.copy()
    with_nan[0, 0, 0] = np.nan
    whole = save(tmp_path / "whole.nii.gz", good).read_bytes()
    (tmp_path / "torn.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii").write_text("no volume")
    header = bytearray(gzip.decompress(whole)[:352])
    header[40:56] = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], "<i2").tobytes()
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(bytes(header) + b"\0" * 1000))
    (tmp_path / "empty").mkdir()
    save(tmp_path / "nan.nii", with_nan)
    save(tmp_path / "four.nii", np.zeros((4, 4, 4, 3), np.float32))
    save(tmp_path / "flat.nii", good, np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    for name, reason in (
        ("torn.nii.gz", "cannot|not a NIfTI"),
        ("text.nii", "not a NIfTI"),
        ("bomb.nii.gz", "voxels"),
        ("empty", "0 DICOM series"),
        ("nan.nii", "NaN"),
        ("four.nii", "4-D"),
        ("flat.nii", "affine"),
        ("absent.nii", "no such file"),
    ):
        with pytest.raises(InputError, match=reason):
            read_volume(tmp_path / name)


def test_a_dicom_series(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="the extra fusionbench-mmif[volumes] is not installed")
    from pydicom.dataset import FileDataset, FileMetaDataset

    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 4000, (5, 10, 12), dtype=np.uint16)  # slice, row, column
    for n in (3, 0, 4, 1, 2):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(f"1.2.3.{n + 1}")
        item = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
        item.SOPClassUID, item.SOPInstanceUID = pydicom.uid.CTImageStorage, f"1.2.3.{n + 1}"
        item.SeriesInstanceUID, item.Modality = "1.2.3", "CT"
        item.Rows, item.Columns = 10, 12
        item.ImageOrientationPatient, item.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.5, 0.75]
        item.ImagePositionPatient = [-10, -20, 30 + 2.5 * n]
        item.RescaleSlope, item.RescaleIntercept = 1, -1024
        item.BitsAllocated = item.BitsStored = 16
        item.HighBit, item.PixelRepresentation, item.SamplesPerPixel = 15, 0, 1
        item.PhotometricInterpretation = "MONOCHROME2"
        item.PixelData = voxels[n].tobytes()
        item.save_as(tmp_path / f"z{9 - n}.dcm", enforce_file_format=True)
    (tmp_path / "README").write_text("not DICOM")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, voxels.transpose(2, 1, 0).astype(np.float32) - 1024)
    affine = np.array([[-0.75, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.affine, affine)
    (tmp_path / "z7.dcm").unlink()
    with pytest.raises(InputError, match="evenly spaced"):
        read_volume(tmp_path)


def test_volumes_that_do_not_overlap_are_told() -> None:
    data = np.arange(512, dtype=np.float32).reshape(8, 8, 8)
    far = np.eye(4)
    far[:3, 3] = 500.0
    with pytest.raises(InputError, match="do not overlap in space; register them"):
        fuse_volumes(Volume(data, np.eye(4)), Volume(data, far), create_method("average").method)
