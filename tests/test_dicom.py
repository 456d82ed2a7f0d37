"""Fused volumes as DICOM: read back, checked by an independent validator where it is installed, traced to their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusionbench.bench.dicom import RESEARCH, Making, read_series, write_series
from fusionbench.bench.volumes import read_volume, write_volume
from fusionbench.cli import main
from fusionbench.datasets.levels import PET_TABLE, color_table
from fusionbench.errors import InputError

pydicom = pytest.importorskip("pydicom", reason="the extra fusionbench-mmif[volumes] is not installed")
pytest.importorskip("nibabel", reason="the extra fusionbench-mmif[volumes] is not installed")

AFFINE = np.array([[-0.9, 0, 0, 30], [0, -1.1, 0, 20], [0, 0, 2.5, -7], [0, 0, 0, 1]])
MAKING = Making("laplacian", ((0.0, 900.0), (0.0, 80.0)), table="PET")
VALIDATOR = os.environ.get("DCIODVFY") or shutil.which("dciodvfy")


def levels(shape: tuple[int, int, int] = (13, 10, 4)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def source_series(folder: Path, name: str = "MR_small.dcm", count: int = 4, keep: float = 1.0) -> Path:
    """A stranger's slice, from pydicom's own test data, as a series of ``count`` slices, each a little other."""
    first = pydicom.dcmread(pydicom.data.get_testdata_file(name))
    pixels = first.pixel_array
    folder.mkdir()
    for n in range(count):
        item = pydicom.dcmread(pydicom.data.get_testdata_file(name))
        item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = f"{first.SOPInstanceUID}.{n + 1}"
        item.InstanceNumber = n + 1
        x, y, z = map(float, first.ImagePositionPatient)
        item.ImagePositionPatient = [x, y, z + 5.0 * n]
        item.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        item.PixelData = (pixels * keep + n).astype(pixels.dtype).tobytes()
        item.save_as(folder / f"{n}.dcm", enforce_file_format=True)
    return folder


def test_a_series_reads_back_as_the_volume(tmp_path: Path) -> None:
    data = levels()
    files = write_series(tmp_path / "out", data, AFFINE, 2, MAKING)
    assert [path.name for path in files] == ["0001.dcm", "0002.dcm", "0003.dcm", "0004.dcm"]
    volume = read_volume(tmp_path / "out")
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)
    again = write_series(tmp_path / "again", data, AFFINE, 2, MAKING)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    item = pydicom.dcmread(files[0])
    assert item.ImageComments == RESEARCH
    assert "MRI 0 to 900; OTHER 0 to 80" in item.DerivationDescription
    with pytest.raises(InputError, match="already"):
        write_series(tmp_path / "out", data, AFFINE, 2, MAKING)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_voxel_lies_where_it_lay(tmp_path: Path, axis: int) -> None:
    """However slices are cut, a voxel's level is found at its place in the world."""
    data = levels((5, 6, 7))
    write_series(tmp_path / "out", data, AFFINE, axis, MAKING)
    volume = read_volume(tmp_path / "out")
    index = np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), -1).reshape(-1, 3)
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    back = np.linalg.inv(volume.affine)
    at = np.rint(world @ back[:3, :3].T + back[:3, 3]).astype(int)
    np.testing.assert_array_equal(volume.data[tuple(at.T)], data.ravel())


@pytest.mark.parametrize("rgb", [False, True])
def test_colours_come_back(tmp_path: Path, rgb: bool) -> None:
    data, table = levels(), color_table(PET_TABLE)
    files = write_series(tmp_path / "out", data, AFFINE, 2, MAKING, colors=table, rgb=rgb)
    item = pydicom.dcmread(files[1])
    assert item.PhotometricInterpretation == ("RGB" if rgb else "PALETTE COLOR")
    shown = item.pixel_array if rgb else pydicom.pixels.apply_color_lut(item.pixel_array, item) // 257
    np.testing.assert_array_equal(shown, table[data[:, :, 1].T])


def test_the_command_on_strangers_series(tmp_path: Path) -> None:
    """MR of pydicom's test data: patient and study are the MRI's, and the images refer to their sources."""
    mri, other = source_series(tmp_path / "mri"), source_series(tmp_path / "other", keep=0.5)
    words = ["fuse", str(mri), str(other), "-m", "average", "--device", "cpu", "-o"]
    result = CliRunner().invoke(main, [*words, str(tmp_path / "fused"), "--colors", "pet"])
    assert result.exit_code == 0, result.output
    item = pydicom.dcmread(tmp_path / "fused" / "0001.dcm")
    first = pydicom.dcmread(mri / "0.dcm")
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert getattr(item, keyword) == getattr(first, keyword)
    assert item.SeriesInstanceUID != first.SeriesInstanceUID
    uids = {one.ReferencedSOPInstanceUID for one in item.SourceImageSequence}
    base = first.SOPInstanceUID.removesuffix(".1")
    assert uids == {f"{base}.{n}" for n in (1, 2, 3, 4)}
    assert [one.SeriesInstanceUID for one in item.ReferencedSeriesSequence] == [first.SeriesInstanceUID]
    assert "colour table: PET" in item.DerivationDescription
    check(tmp_path / "fused")
    again = CliRunner().invoke(main, [*words, str(tmp_path / "fused")])
    assert (again.exit_code, len(again.output.splitlines())) == (2, 1), again.output


def test_bad_wishes_are_one_line(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii", levels((16, 16, 8)), AFFINE)
    words = ["fuse", str(tmp_path / "a.nii"), str(tmp_path / "a.nii"), "-m", "average", "-o"]
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.4
    write_volume(tmp_path / "sheared.nii", levels((16, 16, 8)), sheared)
    bent = [
        "fuse",
        str(tmp_path / "sheared.nii"),
        str(tmp_path / "a.nii"),
        "-m",
        "average",
        "-o",
        str(tmp_path / "out"),
    ]
    for wrong in (
        [*words, str(tmp_path / "out.nii"), "--colors", "pet"],
        [*words, str(tmp_path / "out"), "--rgb"],
        [*words, str(tmp_path / "out.jpg")],
        bent,
    ):
        result = CliRunner().invoke(main, wrong)
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii", "sheared.nii"]


def check(folder: Path) -> None:
    """No error of David Clunie's dciodvfy (Debian: dicom3tools) in any image."""
    if VALIDATOR is None:
        return
    for path in sorted(folder.iterdir()):
        done = subprocess.run([VALIDATOR, str(path)], capture_output=True, text=True, timeout=60, check=False)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert not errors, f"{path.name}: {errors}"


@pytest.mark.skipif(VALIDATOR is None, reason="dciodvfy is not installed (Debian: apt install dicom3tools)")
@pytest.mark.parametrize("kind", ["grey", "palette", "rgb"])
def test_a_validator_finds_no_error(tmp_path: Path, kind: str) -> None:
    table = None if kind == "grey" else color_table(PET_TABLE)
    write_series(tmp_path / "out", levels(), AFFINE, 2, MAKING, colors=table, rgb=kind == "rgb")
    check(tmp_path / "out")


def test_a_folder_without_dicom_is_no_series(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("nothing")
    assert read_series(tmp_path) is None
    assert read_series(tmp_path / "README") is None
