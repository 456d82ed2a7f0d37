"""Registration: a known transform is found again, written down, and told; RIRE's files are read as its pages say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusionbench.bench.registration import apply, errors, grid_points, matrix_of, register
from fusionbench.bench.rire import read_any, read_truth
from fusionbench.bench.volumes import Volume, read_volume, write_volume
from fusionbench.cli import main
from fusionbench.datasets._anatomy import atlas
from fusionbench.errors import InputError

sitk = pytest.importorskip("SimpleITK", reason="the extra fusionbench-mmif[register] is not installed")
pytest.importorskip("nibabel", reason="the extra fusionbench-mmif[volumes] is not installed")

TURN = np.radians(7.0)
KNOWN = np.array([[np.cos(TURN), -np.sin(TURN), 0, 5], [np.sin(TURN), np.cos(TURN), 0, -8], [0, 0, 1, 4], [0, 0, 0, 1]])
"""Where points of the fixed volume lie in the moving one, RAS mm."""


@pytest.fixture(scope="module")
def heads() -> tuple[Volume, Volume]:
    """The atlas's T1 every 5 mm, and another contrast of the same head, moved by KNOWN."""
    maps = {name: atlas()[name].transpose(2, 1, 0)[::5, ::5].astype(np.float32) for name in ("t1", "gm", "wm")}
    shape = np.array(maps["t1"].shape)
    affine = np.diag([-5.0, -5.0, 3.0, 1.0])
    affine[:3, 3] = (shape - 1) / 2.0 * np.array([5.0, 5.0, -3.0])
    other = 0.2 * maps["wm"] + 0.9 * maps["gm"]
    return Volume(maps["t1"], affine), Volume(other.astype(np.float32), KNOWN @ affine)


def there(points: np.ndarray) -> np.ndarray:
    return np.asarray(points @ KNOWN[:3, :3].T + KNOWN[:3, 3])


def test_a_known_rigid_transform_is_found_within_a_millimetre(heads: tuple[Volume, Volume]) -> None:
    fixed, moving = heads
    found, again = register(fixed, moving), register(fixed, moving)
    points = grid_points(fixed)
    assert errors(found, points, there(points)).max() < 1.0  # a fifth of a voxel
    before = np.linalg.norm(points - there(points), axis=1).mean()
    assert before > 8
    matrix = matrix_of(found)
    assert matrix is not None
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(matrix, matrix_of(again))
    moved = apply(found, fixed, moving)
    assert moved.data.shape == fixed.data.shape
    still = Volume(moving.data, fixed.affine)  # the other contrast, where the fixed volume has it
    inside = still.data > 0
    assert np.corrcoef(moved.data[inside], still.data[inside])[0, 1] > 0.9


@pytest.mark.slow
def test_affine_and_bspline_transforms_are_no_worse(heads: tuple[Volume, Volume]) -> None:
    fixed, moving = heads
    stretched = Volume(moving.data, moving.affine @ np.diag([1.06, 0.95, 1.0, 1.0]))
    truth = stretched.affine @ np.linalg.inv(fixed.affine)
    points = grid_points(fixed)
    at = points @ truth[:3, :3].T + truth[:3, 3]
    worst = {
        kind: errors(register(fixed, stretched, kind), points, at).mean() for kind in ("rigid", "affine", "bspline")
    }
    assert worst["affine"] < 0.7 < worst["rigid"]
    assert worst["bspline"] < 2.0


def test_the_command_writes_the_transform_beside(tmp_path: Path, heads: tuple[Volume, Volume]) -> None:
    fixed, moving = heads
    write_volume(tmp_path / "mri.nii.gz", fixed.data, fixed.affine)
    write_volume(tmp_path / "pet.nii.gz", moving.data, moving.affine)
    words = ["register", str(tmp_path / "mri.nii.gz"), str(tmp_path / "pet.nii.gz"), "-o", str(tmp_path / "out.nii.gz")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "out.tfm" in result.output
    said = json.loads((tmp_path / "out.registration.json").read_text())
    assert np.abs(np.array(said["matrix"]) - KNOWN).max() < 1.0
    assert len(said["moving"]["sha256"]) == 64
    transform = sitk.ReadTransform(str(tmp_path / "out.tfm"))
    x, y, z = transform.TransformPoint((-10.0, -20.0, 30.0))  # LPS; in RAS (10, 20, 30)
    matrix = np.array(said["matrix"])
    np.testing.assert_allclose([-x, -y, z], matrix[:3, :3] @ [10, 20, 30] + matrix[:3, 3], atol=1e-4)
    np.testing.assert_allclose(read_volume(tmp_path / "out.nii.gz").affine, fixed.affine, atol=1e-5)
    words = ["fuse", str(tmp_path / "mri.nii.gz"), str(tmp_path / "pet.nii.gz"), "-o", str(tmp_path / "fused.nii.gz")]
    result = CliRunner().invoke(main, [*words, "-m", "average", "--device", "cpu", "--register", "rigid"])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "fused.registration.json").read_text())["matrix"] == said["matrix"]
    assert (tmp_path / "fused.tfm").read_text() == (tmp_path / "out.tfm").read_text()


def test_what_cannot_be_registered_is_told(tmp_path: Path, heads: tuple[Volume, Volume]) -> None:
    fixed = heads[0]
    write_volume(tmp_path / "a.nii", fixed.data, fixed.affine)
    write_volume(tmp_path / "flat.nii", np.ones((9, 9, 9), np.float32), np.eye(4))
    (tmp_path / "x.standard").write_text("no transform")
    for words in (
        ["a.nii", "flat.nii", "-o", "out.nii"],
        ["a.nii", "a.nii", "-o", "out.png"],
        ["a.nii", "absent.nii", "-o", "out.nii"],
        ["a.nii", "a.nii", "-o", "out.nii", "--truth", "x.standard"],
        ["a.nii"],
        ["--rire", "."],
        ["--rire", "absent"],
    ):
        paths = [word if word.startswith("-") else str(tmp_path / word) for word in words]
        result = CliRunner().invoke(main, ["register", *paths])
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(InputError, match="unknown kind"):
        register(fixed, fixed, "thin-plate")


def write_rire(folder: Path, volume: Volume, letters: str) -> None:
    """As https://rire.insight-journal.org/data_format.html has it: header.ascii and big-endian image.bin."""
    folder.mkdir(parents=True)
    columns, rows, slices = volume.data.shape
    size = np.linalg.norm(volume.affine[:3, :3], axis=0)
    (folder / "header.ascii").write_text(
        f"Modality := MR\n\nSlice thickness := {size[2]:.6f}\n\nPatient Orientation := {letters}\n\nImage dimensions := 3\n"
        f"Rows := {rows}\nColumns := {columns}\nSlices := {slices}\nPixel size := {size[1]:.6f} : {size[0]:.6f}\n"
        "Bits allocated := 16\n"
    )
    (folder / "image.bin").write_bytes(np.round(volume.data * 8).T.astype(">i2").tobytes())


def write_standard(path: Path, corners: np.ndarray, moved: np.ndarray) -> None:
    lines = [" ".join(f"{v:.4f}" for v in (*p, *q)) for p, q in zip(corners, moved, strict=True)]
    head = "Transformation Parameters\n\nPatient number: 001\nFrom: CT\nTo: MR-T1\n\nPoint x y z new_x new_y new_z\n\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        head + "".join(f"{n}  {line}\n" for n, line in enumerate(lines, 1)) + "\n(All distances are in mm.)\n"
    )


def rire_folder(root: Path, heads: tuple[Volume, Volume]) -> Path:
    """training_001 in RIRE's layout; the transform is counted from each volume's first voxel."""
    fixed, moving = heads
    write_rire(root / "mr_T1", Volume(fixed.data, np.diag([-5.0, -5, 3, 1])), "L:P:H")
    write_rire(root / "ct", Volume(moving.data, np.diag([-5.0, -5, 3, 1])), "L:P:H")
    extent = (np.array(moving.data.shape) - 1) * [5.0, 5.0, 3.0]
    corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]) * extent
    # From millimetres along the axes of the moving volume to those of the fixed one, by way of the world.
    unit = np.diag([1 / 5.0, 1 / 5.0, 1 / 3.0, 1.0])
    own = np.linalg.inv(fixed.affine @ unit) @ np.linalg.inv(KNOWN) @ (moving.affine @ unit)
    write_standard(root / "transformations" / "ct_T1.standard", corners, corners @ own[:3, :3].T + own[:3, 3])
    return root


def test_rire_is_checked_against_its_true_transform(tmp_path: Path, heads: tuple[Volume, Volume]) -> None:
    """Volumes without a place in the world; CT cut off, so that middles do not agree and something is to be found."""
    fixed, moving = heads
    cut = Volume(np.ascontiguousarray(moving.data[4:]), moving.affine @ shift_by(4, 0, 0))
    root = rire_folder(tmp_path / "training_001", (fixed, cut))
    truth = read_truth(root / "transformations" / "ct_T1.standard")
    np.testing.assert_allclose(truth.matrix[:3, :3] @ truth.matrix[:3, :3].T, np.eye(3), atol=1e-9)
    result = CliRunner().invoke(main, ["register", "--rire", str(root), "--json"])
    assert result.exit_code == 0, result.output
    (checked,) = json.loads(result.output)
    assert (checked["source"], checked["target"]) == ("ct", "T1")
    assert checked["head_mean"] < 1.0 < 8 < checked["before"]
    assert checked["corners_mean"] < 3.0


def shift_by(*voxels: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return matrix


def test_rire_files(tmp_path: Path) -> None:
    """The example of RIRE's own pages: five columns, three rows, two slices; and its example of a transform."""
    data = (np.arange(1, 31).reshape(2, 3, 5).T / 8).astype(np.float32)
    write_rire(tmp_path / "ct", Volume(data, np.diag([-1.25, -1.5, 4.0, 1.0])), "L : P : H")
    volume = read_any(tmp_path / "ct")
    np.testing.assert_array_equal(volume.data[:, 0, 0], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(volume.data[0, :, 1], [16, 21, 26])
    np.testing.assert_allclose(volume.affine, np.diag([-1.25, -1.5, 4.0, 1.0]))
    image = sitk.GetImageFromArray(np.round(data * 8).T.astype(np.int16))
    image.SetSpacing((1.25, 1.5, 4.0))
    sitk.WriteImage(image, str(tmp_path / "training_001_ct.mhd"))
    again = read_any(tmp_path / "training_001_ct.mhd")
    np.testing.assert_array_equal(again.data, volume.data)
    np.testing.assert_allclose(again.affine, volume.affine)
    (tmp_path / "ct" / "image.bin").write_bytes(b"\0" * 30)
    with pytest.raises(InputError, match="30 bytes"):
        read_any(tmp_path / "ct")
    bent = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]) * 100.0
    write_standard(tmp_path / "ct_T1.standard", bent, bent * 1.1)
    with pytest.raises(InputError, match="no rigid motion"):
        read_truth(tmp_path / "ct_T1.standard")
