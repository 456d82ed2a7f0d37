"""Volumes: NIfTI files and DICOM series are fused slice by slice on the grid of the MRI.

What is done, in this order:

1. *Reading.* NIfTI-1 and -2 (``.nii``, ``.nii.gz``) with scale factors, in the RAS millimetres of the affine; a folder with
   one DICOM series, rescaled (Hounsfield units, Bq/ml), slices ordered by position, LPS turned into RAS. Sources are never
   written to. 4-D, colour, NaN and infinite voxels are refused.
2. *Resampling.* The other volume is put on the MRI's grid by its affine, with trilinear interpolation; what lies outside of
   it becomes its smallest value. Nothing is registered: both volumes must be in the same world space.
3. *Windowing.* Each volume has one window for all slices, from its 0.5th to its 99.5th percentile unless given, linear, to
   8 bits, rounded half up: methods and metrics then see what they see in any other pair.
4. *Fusing.* Slices are taken across the voxel axis nearest to the head-feet direction; the result has the MRI's shape and
   affine and 8-bit levels.
"""

from __future__ import annotations

import dataclasses
import gzip
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fusionbench.bench.work import fuse_pair
from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.methods import Method
from fusionbench.metrics import evaluate
from fusionbench.pairs import Pair, UInt8, to_uint8

MAX_VOXELS = 512_000_000
PERCENTILES = (0.5, 99.5)
NIFTI = (".nii", ".nii.gz")

Window = tuple[float, float]
Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """``data``: (I, J, K) float32. ``affine``: (4, 4) float64, voxel indices to RAS millimetres."""

    data: Array
    affine: NDArray[np.float64]

    @property
    def slice_axis(self) -> int:
        """The voxel axis nearest to the head-feet direction."""
        steps = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return int(np.argmax(np.abs(steps[2])))


@dataclasses.dataclass(frozen=True, eq=False)
class FusedVolume:
    """``levels``: (I, J, K) uint8 on the MRI's grid; ``scores``: a row a slice where metrics were asked for."""

    levels: UInt8
    affine: NDArray[np.float64]
    windows: tuple[Window, Window]
    resampled: bool
    scores: list[dict[str, float]]


def is_volume(path: Path) -> bool:
    """Whether a path means a volume rather than a picture: a NIfTI name, or a folder (a DICOM series)."""
    return path.name.lower().endswith(NIFTI) or path.is_dir()


def read_volume(path: Path) -> Volume:
    """Read a NIfTI file or a folder with one DICOM series. Raises InputError naming the file and the remedy."""
    volume = _read_dicom(path) if path.is_dir() else _read_nifti(path)
    if not np.isfinite(volume.data).all():
        raise InputError(f"{path}: holds NaN or infinite voxels; replace them (outside the head: by 0) first")
    if not np.isfinite(volume.affine).all() or abs(np.linalg.det(volume.affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: its affine cannot be inverted; correct the header")
    return volume


def resample(moving: Volume, fixed: Volume) -> tuple[Array, bool]:
    """``moving`` on the grid of ``fixed``, trilinear, its minimum outside; and whether anything had to be done.

    Raises InputError when no voxel of ``fixed`` lies within ``moving``.
    """
    if moving.data.shape == fixed.data.shape and np.allclose(moving.affine, fixed.affine, atol=1e-3):
        return moving.data, False
    to_moving = np.linalg.inv(moving.affine) @ fixed.affine
    low = float(moving.data.min())
    matrix, offset, shape = to_moving[:3, :3], to_moving[:3, 3], fixed.data.shape
    there = np.ones(moving.data.shape, dtype=np.uint8)
    if not ndimage.affine_transform(there, matrix, offset, shape, order=0, mode="constant", cval=0).any():
        raise InputError("the two volumes do not overlap in space; register them, or correct the affine of one")
    data = ndimage.affine_transform(moving.data, matrix, offset, shape, order=1, mode="constant", cval=low)
    return np.asarray(data, dtype=np.float32), True


def apply_window(data: Array, window: Window | None) -> tuple[UInt8, Window]:
    """Grey values to 8-bit levels; the window is that of PERCENTILES unless given. Raises InputError for an empty one."""
    low, high = window if window is not None else (float(v) for v in np.percentile(data, PERCENTILES))
    if not low < high:
        raise InputError(f"window {low:g} to {high:g} is empty; give one with LOW below HIGH, such as 0,80")
    return to_uint8(np.clip((data.astype(np.float64) - low) / (high - low), 0.0, 1.0)), (low, high)


def fuse_volumes(
    mri: Volume,
    other: Volume,
    method: Method,
    *,
    device: str = "cpu",
    seed: int = 0,
    windows: tuple[Window | None, Window | None] = (None, None),
    metrics: Sequence[str] = (),
    notify: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> FusedVolume:
    """Fuse slice by slice with a prepared method; score every slice when ``metrics`` are named.

    Raises InputError for an empty window or a slice that the method refuses.
    """
    moved, resampled = resample(other, mri)
    a, window_a = apply_window(mri.data, windows[0])
    b, window_b = apply_window(moved, windows[1])
    axis = mri.slice_axis
    slices_a, slices_b = (np.ascontiguousarray(np.moveaxis(levels, axis, 0)) for levels in (a, b))
    fused = np.empty_like(slices_a)
    scores: list[dict[str, float]] = []
    for n, (first, second) in enumerate(zip(slices_a, slices_b, strict=True)):
        try:
            fused[n] = fuse_pair(method, Pair(id=f"slice-{n:04d}", a=first, b=second), device, seed)[0]
        except InputError:
            raise
        except Exception as error:  # whatever a method raises is told with the slice
            raise InputError(f"slice {n}: {type(error).__name__}: {' '.join(str(error).split())}") from None
        if metrics:
            values = evaluate(fused[n], first, second, metrics)
            scores.append({"slice": n, **{name: float(value[0]) for name, value in values.items()}})
        notify("fusing slices", n + 1, len(fused))
    return FusedVolume(np.moveaxis(fused, 0, axis), mri.affine, (window_a, window_b), resampled, scores)


def write_volume(path: Path, levels: UInt8 | Array, affine: NDArray[np.float64]) -> None:
    """Write (I, J, K) uint8 levels, or float32 grey values, as NIfTI-1, atomically; the same bytes for the same content."""
    nibabel = _extra("nibabel")
    image = nibabel.Nifti1Image(levels, affine)
    image.header.set_xyzt_units("mm")
    if levels.dtype == np.uint8:
        image.header["cal_max"] = 255
    content = image.to_bytes()
    write_bytes(path, gzip.compress(content, 6, mtime=0) if path.name.lower().endswith(".gz") else content)


def parse_window(text: str) -> Window:
    """``"0,80"`` -> (0.0, 80.0). Raises InputError."""
    low, _, high = text.partition(",")
    try:
        window = (float(low), float(high))
    except ValueError:
        window = (1.0, 0.0)
    if not (window[0] < window[1] and np.isfinite(window).all()):
        raise InputError(f"window {text!r}: write it as LOW,HIGH, such as 0,80")
    return window


def _read_nifti(path: Path) -> Volume:
    nibabel = _extra("nibabel")
    if not path.exists():
        raise InputError(f"{path}: no such file; check the name")
    try:
        image = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) != 3 or image.get_data_dtype().names is not None or image.get_data_dtype().kind == "c":
            raise InputError(
                f"{path}: is {'x'.join(map(str, image.shape))}; give one grey volume (split 4-D files first)"
            )
        if not 0 < np.prod([float(n) for n in shape]) <= MAX_VOXELS:
            raise InputError(f"{path}: claims {'x'.join(map(str, shape))} voxels; crop or downsample it first")
        if image.affine is None:
            raise InputError(f"{path}: has no affine; its place in the world is unknown")
        return Volume(np.asarray(image.dataobj, dtype=np.float32).reshape(shape), np.array(image.affine, np.float64))
    except InputError:
        raise
    except Exception as error:  # nibabel raises almost anything on damaged data
        raise InputError(f"{path}: not a NIfTI file that can be read ({_one_line(error)}); replace it") from None


def _read_dicom(folder: Path) -> Volume:
    pydicom = _extra("pydicom")
    found: dict[str, list[Any]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        try:
            item = pydicom.dcmread(path)
            if "PixelData" in item:
                found.setdefault(str(item.get("SeriesInstanceUID", "")), []).append(item)
        except pydicom.errors.InvalidDicomError:
            continue  # README, DICOMDIR's index and the like
        except Exception as error:  # pydicom raises almost anything on damaged data
            raise InputError(f"{path}: damaged DICOM file ({_one_line(error)}); replace it") from None
    if len(found) != 1:
        raise InputError(f"{folder}: holds {len(found)} DICOM series; give a folder with exactly one")
    try:
        return _stack(folder, next(iter(found.values())))
    except InputError:
        raise
    except Exception as error:  # missing tags, compressed pixels without a decoder, damaged data
        raise InputError(f"{folder}: DICOM series cannot be read ({_one_line(error)}); convert it to NIfTI") from None


def _stack(folder: Path, items: list[Any]) -> Volume:
    first = items[0]
    rows, columns = int(first.Rows), int(first.Columns)
    if rows * columns * len(items) > MAX_VOXELS:
        raise InputError(f"{folder}: more than {MAX_VOXELS:,} voxels; crop or downsample it first")
    right, down = (np.array(first.ImageOrientationPatient[n : n + 3], np.float64) for n in (0, 3))
    normal = np.cross(right, down)
    items = sorted(items, key=lambda item: float(np.dot(normal, np.array(item.ImagePositionPatient, np.float64))))
    places = np.array([np.array(item.ImagePositionPatient, np.float64) for item in items])
    steps = np.diff(places @ normal)
    if len(items) < 2 or steps.min() < 1e-3 or steps.max() - steps.min() > 0.01 * steps.mean() + 0.01:
        raise InputError(f"{folder}: slices are not evenly spaced; a slice is missing or is there twice")
    data = np.empty((columns, rows, len(items)), np.float32)
    for n, item in enumerate(items):
        if item.pixel_array.shape != (rows, columns) or item.ImageOrientationPatient != first.ImageOrientationPatient:
            raise InputError(f"{folder}: slices differ in size or orientation; give a folder with exactly one series")
        slope, intercept = float(item.get("RescaleSlope", 1)), float(item.get("RescaleIntercept", 0))
        data[:, :, n] = item.pixel_array.T.astype(np.float32) * slope + intercept
    down_mm, right_mm = (float(v) for v in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = right * right_mm, down * down_mm
    affine[:3, 2], affine[:3, 3] = (places[-1] - places[0]) / (len(items) - 1), places[0]
    return Volume(data, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def _extra(module: str) -> Any:
    """nibabel or pydicom, imported when a volume is at hand."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"volumes need {module}: pip install nibabel pydicom") from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
