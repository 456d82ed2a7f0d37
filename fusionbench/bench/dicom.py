"""Fused volumes as a DICOM series: one Secondary Capture image a slice, for research.

Levels are written as they are (MONOCHROME2), through a colour table (PALETTE COLOR), or as RGB. Each image says where its
slice lies, so that 3D Slicer and others load the series as one volume; what method, windows and table made it, and that it
is for research; and refers to the images of the source series where those were DICOM. Patient, study and frame of
reference are then the MRI's own. Identifiers follow from the content: the same volume gives the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import io
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionbench.bench.volumes import Window
from fusionbench.errors import InputError
from fusionbench.files import package_version, write_bytes
from fusionbench.pairs import UInt8

RESEARCH = "FOR RESEARCH USE ONLY, NOT FOR DIAGNOSIS"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")
_KEPT = (*_PATIENT, *_STUDY, "FrameOfReferenceUID", "PositionReferenceIndicator")


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A source series: attributes of its first image by keyword, and (class, instance, series, study) UIDs of all images."""

    first: Any
    images: tuple[tuple[str, str, str, str], ...]


@dataclasses.dataclass(frozen=True)
class Making:
    """What made a fused volume. ``windows``: grey values of MRI and OTHER that became levels 0 and 255; ``table``: the name
    of the colours, "" for grey."""

    method: str
    windows: tuple[Window, Window]
    modalities: tuple[str, str] = ("MRI", "OTHER")
    registered: str = ""
    table: str = ""

    def told(self) -> str:
        """One line, at most 1024 characters, as Derivation Description takes it."""
        pairs = zip(self.modalities, self.windows, strict=True)
        shown = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in pairs)
        parts = [f"Fused by {self.method} (fusionbench {package_version()})", f"windows to levels 0 to 255: {shown}"]
        parts += [f"registered: {self.registered}"] if self.registered else []
        parts += [f"colour table: {self.table}"] if self.table else []
        return "; ".join([*parts, RESEARCH])[:1024]


def read_series(path: Path) -> Series | None:
    """What a DICOM folder says of its series, without pixels; None for a path that is no DICOM folder."""
    if not path.is_dir():
        return None
    reader = _pydicom("filereader")
    items = []
    for file in sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")):
        with contextlib.suppress(_pydicom("errors").InvalidDicomError):  # README, DICOMDIR's index and the like
            items.append(reader.dcmread(file, stop_before_pixels=True))
    items = [item for item in items if "Rows" in item]
    if not items:
        return None
    uids = [
        tuple(str(item.get(k, "")) for k in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"))
        for item in items
    ]
    return Series(items[0], tuple(sorted(uids)))  # type: ignore[arg-type]  # four each


def write_series(
    folder: Path,
    levels: UInt8,
    affine: NDArray[np.float64],
    axis: int,
    making: Making,
    *,
    sources: Sequence[Series] = (),
    colors: UInt8 | None = None,
    rgb: bool = False,
) -> list[Path]:
    """Write (I, J, K) uint8 levels, cut across ``axis``, as ``folder/0001.dcm`` and so on; the folder must be new or empty.

    ``colors``: (256, 3) colour of each level; ``rgb``: written as such instead of as a palette. Raises InputError for a
    folder that holds something, or a grid whose slices are no rectangles (DICOM has no shear).
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already; name a new folder for the DICOM series")
    grid = _grid(affine, axis, levels.shape)
    seed = hashlib.sha256(levels.tobytes() + affine.tobytes() + making.told().encode())
    for series in sources:
        seed.update(repr(series.images).encode())
    base = seed.hexdigest() + ("rgb" if rgb else "")
    slices = np.moveaxis(levels, axis, 2)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for number in range(slices.shape[2]):
            item = _image(grid, number, making, sources, base)
            _pixels(item, slices[:, :, number].T, colors, rgb)
            write_bytes(staged / f"{number + 1:04d}.dcm", _encoded(item), durable=False)
        if folder.exists():
            folder.rmdir()
        staged.chmod(0o755)
        staged.replace(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return sorted(folder.iterdir())


@dataclasses.dataclass(frozen=True, eq=False)
class _Grid:
    """In LPS mm: along a row, down a column, from slice to slice, and the first voxel's centre."""

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    step: NDArray[np.float64]
    origin: NDArray[np.float64]
    count: int


def _grid(affine: NDArray[np.float64], axis: int, shape: tuple[int, ...]) -> _Grid:
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    first, second = (n for n in range(3) if n != axis)
    row, column, step = lps[:, first], lps[:, second], lps[:, axis]
    cosine = abs(float(row @ column)) / float(np.linalg.norm(row) * np.linalg.norm(column))
    if cosine > 1e-3:
        raise InputError("the MRI's grid is sheared, which DICOM cannot say; write NIfTI, or resample the MRI first")
    return _Grid(row, column, step, lps[:, 3], shape[axis])


def _image(grid: _Grid, number: int, making: Making, sources: Sequence[Series], base: str) -> Any:
    dataset = _pydicom("dataset")
    item = dataset.Dataset()
    own = sources[0].first if sources else None
    for keyword in _KEPT:
        if own is not None and keyword in own:
            setattr(item, keyword, getattr(own, keyword))
    if own is None:
        item.PatientName, item.PatientID = "Research^Fusion", base[:16]
    own_uids = {"StudyInstanceUID": _uid(base, "study"), "FrameOfReferenceUID": _uid(base, "frame")}
    for keyword in _KEPT:
        if keyword not in item:
            setattr(item, keyword, own_uids.get(keyword, ""))
    item.SOPClassUID, item.SOPInstanceUID = SECONDARY_CAPTURE, _uid(base, f"image {number}")
    item.SeriesInstanceUID, item.Modality, item.ConversionType = _uid(base, "series"), "OT", "WSD"
    item.SeriesNumber, item.InstanceNumber = 9000, number + 1
    item.SeriesDescription = f"{making.method} fused, research only"[:64]
    item.ImageType = ["DERIVED", "SECONDARY"]
    item.DerivationDescription, item.ImageComments = making.told(), RESEARCH
    item.Manufacturer = item.SecondaryCaptureDeviceManufacturer = "fusionbench"
    item.SecondaryCaptureDeviceSoftwareVersions = item.SoftwareVersions = package_version()
    item.BurnedInAnnotation, item.LossyImageCompression = "NO", "00"
    item.PatientOrientation = item.Laterality = ""
    item.SpecificCharacterSet = str(own.get("SpecificCharacterSet", "ISO_IR 100")) if own is not None else "ISO_IR 100"
    size = [float(np.linalg.norm(v)) for v in (grid.row, grid.column, grid.step)]
    item.ImageOrientationPatient = [_ds(v) for v in (*grid.row / size[0], *grid.column / size[1])]
    item.ImagePositionPatient = [_ds(v) for v in grid.origin + number * grid.step]
    item.PixelSpacing, item.SliceThickness = [_ds(size[1]), _ds(size[0])], _ds(size[2])
    item.SpacingBetweenSlices = _ds(size[2])
    _refer(item, sources)
    return item


def _refer(item: Any, sources: Sequence[Series]) -> None:
    """Source images of the derivation; and, in the module for it, the series that they lie in."""
    sequence, dataset = _pydicom("sequence").Sequence, _pydicom("dataset").Dataset
    code = dataset()
    code.CodeValue, code.CodingSchemeDesignator = "121322", "DCM"
    code.CodeMeaning = "Source image for image processing operation"
    images: list[Any] = []
    by_study: dict[str, dict[str, list[Any]]] = {}
    for series in sources:
        for kind, instance, series_uid, study in series.images:
            one = dataset()
            one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = kind, instance
            by_study.setdefault(study, {}).setdefault(series_uid, []).append(one)
            source = dataset()
            source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = kind, instance
            source.PurposeOfReferenceCodeSequence = sequence([code])
            images.append(source)
    if not images:
        return
    item.SourceImageSequence = sequence(images)
    other_studies = []
    for study, of in by_study.items():
        listed = []
        for series_uid, ones in of.items():
            entry = dataset()
            entry.SeriesInstanceUID, entry.ReferencedInstanceSequence = series_uid, sequence(ones)
            listed.append(entry)
        if study == str(item.StudyInstanceUID):
            item.ReferencedSeriesSequence = sequence(listed)
        else:
            entry = dataset()
            entry.StudyInstanceUID, entry.ReferencedSeriesSequence = study, sequence(listed)
            other_studies.append(entry)
    if other_studies:
        item.StudiesContainingOtherReferencedInstancesSequence = sequence(other_studies)


def _pixels(item: Any, image: UInt8, colors: UInt8 | None, rgb: bool) -> None:
    item.Rows, item.Columns = image.shape
    item.BitsAllocated = item.BitsStored = 8
    item.HighBit, item.PixelRepresentation, item.SamplesPerPixel = 7, 0, 1
    content = np.ascontiguousarray(image)
    if colors is None:
        item.PhotometricInterpretation = "MONOCHROME2"
        item.WindowCenter, item.WindowWidth = "128", "256"
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = "1", "0", "US"
    elif rgb:
        item.PhotometricInterpretation, item.SamplesPerPixel, item.PlanarConfiguration = "RGB", 3, 0
        content = colors[content]
    else:
        item.PhotometricInterpretation = "PALETTE COLOR"
        for n, name in enumerate(("Red", "Green", "Blue")):
            setattr(item, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
            wide = colors[:, n].astype("<u2") * 257  # 8 bits to the 16 that readers expect
            setattr(item, f"{name}PaletteColorLookupTableData", wide.astype("<u2").tobytes())
    raw = content.tobytes()
    item.PixelData = raw + b"\0" * (len(raw) % 2)


def _encoded(item: Any) -> bytes:
    dataset, uid = _pydicom("dataset"), _pydicom("uid")
    meta = dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = item.SOPClassUID, item.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    buffer = io.BytesIO()
    file = dataset.FileDataset(buffer, item, file_meta=meta, preamble=b"\0" * 128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values of the source series that the standard would not have
        file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(base: str, what: str) -> str:
    """A UID of the UUID kind (2.25) that follows from the content."""
    return f"2.25.{int.from_bytes(hashlib.sha256(f'{base} {what}'.encode()).digest()[:15], 'big')}"


def _ds(value: float) -> str:
    """A decimal string: 16 characters at most."""
    return next(text for digits in range(10, 0, -1) if len(text := f"{float(value):.{digits}g}") <= 16)


def _pydicom(part: str) -> Any:
    try:
        return importlib.import_module(f"pydicom.{part}")
    except ImportError:
        raise InputError("DICOM needs pydicom: pip install 'fusionbench-mmif[volumes]'") from None
