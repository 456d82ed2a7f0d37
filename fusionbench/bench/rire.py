"""RIRE (Retrospective Image Registration Evaluation): its volumes, and its true transforms as a check of registration.

Of each patient there are CT and PET, MR in several weightings, and for training_001 the transform that markers implanted
in bone gave (West et al., doi:10.1097/00004728-199707000-00007; CC BY 3.0 US). Files, as the project describes them:

* a volume is ``header.ascii`` (lines ``KEY := VALUE``) beside ``image.bin`` (big-endian int16: row, column, slice), or a
  MetaImage (``.mhd``, ``.mha``) of the same voxels;
* ``transformations/ct_T1.standard`` holds the eight corners of the CT volume and where they lie in the MR volume, in mm from
  the centre of each volume's first voxel, along rows, columns and slices.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionbench.bench.registration import Points, Registration, errors, grid_points, register, simple_itk
from fusionbench.bench.volumes import MAX_VOXELS, Volume, read_volume
from fusionbench.errors import InputError

META = (".mha", ".mhd")
_TO_RAS = {"L": (-1, 0, 0), "R": (1, 0, 0), "P": (0, -1, 0), "A": (0, 1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
_RIGID = 0.01  # mm, root mean square: RIRE's own bound for a transform that is rigid


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """A true transform. ``source``, ``target``: names as of the file, ``ct`` and ``T1``. ``corners``, ``moved``: (8, 3) mm.
    ``matrix``: (4, 4), the rigid motion between them, source to target."""

    source: str
    target: str
    corners: Points
    moved: Points
    matrix: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Checked:
    """How well a registration found a true transform: target registration errors in mm, over the head and at the corners."""

    source: str
    target: str
    kind: str
    head_mean: float
    head_most: float
    corners_mean: float
    before: float
    found: Registration


def read_any(path: Path) -> Volume:
    """A NIfTI file, a DICOM folder, a MetaImage, or a folder of RIRE. Raises InputError naming the file and the remedy."""
    if path.is_dir():
        if (path / "header.ascii").exists():
            return _read_pair(path)
        metas = sorted(p for p in path.iterdir() if p.suffix.lower() in META)
        if len(metas) == 1:
            return _read_meta(metas[0])
    elif path.suffix.lower() in META:
        return _read_meta(path)
    return read_volume(path)


def read_truth(path: Path) -> Truth:
    """A ``FROM_TO.standard`` file. Raises InputError for anything but eight corners that a rigid motion explains."""
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the name") from None
    number = r"[-+]?\d+(?:\.\d*)?"
    rows = re.findall(rf"^\s*\d+((?:\s+{number}){{6}})\s*$", text, re.MULTILINE)
    if len(rows) != 8:
        raise InputError(
            f"{path}: holds {len(rows)} points, not the eight corners of RIRE's transforms; fetch it again"
        )
    points = np.array([row.split() for row in rows], np.float64)
    corners, moved = points[:, :3], points[:, 3:]
    matrix = _rigid(corners, moved)
    left = corners @ matrix[:3, :3].T + matrix[:3, 3] - moved
    if float(np.sqrt((left**2).sum(axis=1).mean())) > _RIGID:
        raise InputError(f"{path}: its points are no rigid motion, to {_RIGID:g} mm; fetch it again")
    source, _, target = path.stem.partition("_")
    return Truth(source, target, corners, moved, matrix)


def check_registration(
    folder: Path, kind: str = "rigid", *, seed: int = 0, notify: Callable[[str, int, int], None] = lambda s, d, t: None
) -> list[Checked]:
    """Register what a patient's folder has true transforms for (CT or PET to each MR), and measure the errors.

    The MR is the fixed volume. Raises InputError for a folder without transforms, or whose volumes are not there.
    """
    files = sorted(folder.rglob("*.standard"))
    if not files:
        raise InputError(
            f"{folder}: holds no *.standard file; give the folder of RIRE's training_001 with transformations/"
        )
    pairs = [
        (truth, _volume_of(folder, truth.source), _volume_of(folder, f"mr_{truth.target}"))
        for truth in map(read_truth, files)
    ]
    out = []
    for done, (truth, source, target) in enumerate(pairs):
        notify(f"registering {source.name} to {target.name}", done, len(pairs))
        out.append(measure(truth, read_any(target), read_any(source), kind, seed))
    return out


def measure(truth: Truth, fixed: Volume, moving: Volume, kind: str, seed: int = 0) -> Checked:
    """Register and compare: ``fixed`` is the truth's target, ``moving`` its source."""
    into, back = _own(moving), np.linalg.inv(_own(fixed))

    def to_source(points: Points) -> Points:  # RAS of the fixed volume to RAS of the moving one
        own = points @ back[:3, :3].T + back[:3, 3]
        there = (own - truth.matrix[:3, 3]) @ truth.matrix[:3, :3]  # the inverse of a rotation is its transpose
        return np.asarray(there @ into[:3, :3].T + into[:3, 3])

    found = register(fixed, moving, kind, seed=seed)
    head = grid_points(fixed)
    errs = errors(found, head, to_source(head))
    frame = _own(fixed)
    at = truth.moved @ frame[:3, :3].T + frame[:3, 3]
    before = float(np.linalg.norm(head - to_source(head), axis=1).mean())
    corners = float(errors(found, at, to_source(at)).mean())
    return Checked(truth.source, truth.target, kind, float(errs.mean()), float(errs.max()), corners, before, found)


def _volume_of(folder: Path, name: str) -> Path:
    """Where a volume lies: ``NAME/`` with its files, or a MetaImage whose name ends in ``_NAME``."""
    for place in sorted(p for p in (folder, *folder.rglob("*")) if p.is_dir() and p.name == name):
        if (place / "header.ascii").exists() or any(p.suffix.lower() in META for p in place.iterdir()):
            return place
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in META):
        if path.stem == name or path.stem.endswith(f"_{name}"):
            return path
    raise InputError(f"{folder}: has a true transform of {name}, but no volume of that name; fetch {name}.tar.gz too")


def _own(volume: Volume) -> NDArray[np.float64]:
    """(4, 4) from mm along rows, columns and slices, counted from the first voxel, to RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    matrix[:3, 3] = volume.affine[:3, 3]
    return matrix


def _rigid(points: Points, moved: Points) -> NDArray[np.float64]:
    """The rigid motion that takes points to others with the least squares (Arun et al., doi:10.1109/TPAMI.1987.4767965)."""
    left, right = points.mean(axis=0), moved.mean(axis=0)
    u, _, vt = np.linalg.svd((points - left).T @ (moved - right))
    turn = vt.T @ np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, right - turn @ left
    return matrix


def _read_pair(folder: Path) -> Volume:
    header = folder / "header.ascii"
    try:
        lines = header.read_text(encoding="latin-1").splitlines()
        raw = (folder / "image.bin").read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{folder}: has no image.bin; unpack image.bin.Z beside header.ascii with uncompress"
        ) from None
    found: dict[str, str] = {}
    for line in lines:
        key, sign, value = line.partition(":=")
        if sign:
            found[key.strip().lower()] = value.partition("//")[0].strip()
    try:
        shape = tuple(int(found[name]) for name in ("columns", "rows", "slices"))
        down, right = (float(v) for v in found["pixel size"].split(":"))
        spacing = np.array([right, down, float(found["slice thickness"])])
        axes = [_TO_RAS[letter.strip().upper()] for letter in found.get("patient orientation", "L:P:H").split(":")]
    except (KeyError, ValueError) as error:
        raise InputError(f"{header}: not a header of RIRE ({error} cannot be read); fetch it again") from None
    if min(shape) < 1 or len(axes) != 3 or np.prod(shape, dtype=np.int64) > MAX_VOXELS:
        raise InputError(f"{header}: not a volume that can be read; fetch it again")
    if len(raw) != 2 * int(np.prod(shape, dtype=np.int64)):
        raise InputError(f"{folder / 'image.bin'}: has {len(raw):,} bytes, its header says otherwise; fetch it again")
    data = np.frombuffer(raw, ">i2").reshape(shape[::-1]).T.astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = np.array(axes, np.float64).T * spacing
    return Volume(data, affine)


def _read_meta(path: Path) -> Volume:
    sitk = simple_itk()
    try:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    except RuntimeError as error:
        raise InputError(f"{path}: not a MetaImage that can be read ({' '.join(str(error).split())[-120:]})") from None
    if image.GetDimension() != 3:
        raise InputError(f"{path}: is {image.GetDimension()}-D; give one volume")
    flip = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = flip @ np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = flip @ np.array(image.GetOrigin())
    data = np.ascontiguousarray(sitk.GetArrayFromImage(image).T, dtype=np.float32)
    if not np.isfinite(data).all():
        raise InputError(f"{path}: holds NaN or infinite voxels; replace them first")
    return Volume(data, affine)
