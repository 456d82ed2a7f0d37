"""Every reader of files that a stranger may have made, with sound files to start from: for test_fuzz.py and tools/fuzz.py.

A reader takes the bytes of one file and an empty folder to work in. It must give a result or raise InputError of one line,
quickly, in little memory, and write nothing outside the folder.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import safetensors.torch
import torch
from PIL import Image

from fusionbench.cli.common import config_option, metric_options, work_options
from fusionbench.datasets import create_task
from fusionbench.datasets.checks import verify
from fusionbench.datasets.download import unpack_archive
from fusionbench.errors import InputError
from fusionbench.methods import create_method
from fusionbench.methods.external import read_method
from fusionbench.pairs import read_picture
from fusionbench.scores import Key, Table, find_tables, read_metric_facts, read_table, write_table
from fusionbench.training.weights import load_pickle

TOML = b"""name = "x"
command = "cp {b} {out}"
folder = "."
mode = "batch"
batch = 3
timeout = 2.5
tasks = ["pet-mri"]
files = ["w"]
year = 2024

[environment]
A = "1"
"""
CONFIG = b"""profile = "dmfnet"
metric = ["en", "sd"]
mask = "none"
device = "cpu"
limit = 3
force = false
"""


@dataclass(frozen=True)
class Reader:
    """``sound()``: bytes of files that it reads; ``read(data, folder)``: read such bytes."""

    sound: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], object]


def survives(reader: Reader, data: bytes, folder: Path) -> None:
    """A result, or InputError of one line; nothing else."""
    told = ""
    try:
        reader.read(data, folder)
    except InputError as error:
        told = " ".join(str(error).split())  # as the command line prints it
        assert told
    assert len(told) < 20_000


def _image(kind: str, image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


@functools.cache
def pictures() -> dict[str, bytes]:
    """Sound files of every format and mode that the reader knows, and some that it refuses."""
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (9, 13), dtype=np.uint8))
    colour = Image.fromarray(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return {
        "png": _image("PNG", grey),
        "rgb.png": _image("PNG", colour),
        "palette.png": _image("PNG", colour.quantize(16)),
        "rgba.png": _image("PNG", colour.convert("RGBA")),
        "one.png": _image("PNG", grey.convert("1")),
        "deep.png": _image("PNG", deep),
        "tif": _image("TIFF", grey),
        "rgb.tiff": _image("TIFF", colour),
        "bmp": _image("BMP", colour),
        "jpg": _image("JPEG", colour),
        "cmyk.jpg": _image("JPEG", colour.convert("CMYK")),
        "gif": _image("GIF", grey),
        "webp": _image("WEBP", colour),
    }


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def write_and_read(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return write_and_read


def _whole_task(name: str, data: tuple[Path, ...]) -> None:
    verify(name, data, progress=None)
    for split in ("test", "train"):
        task = create_task(name, data=data, split=split)
        for pair in task.ids():
            task.case(pair)
            task.digest(pair)
            task.load(pair)


def _two_folders(data: bytes, folder: Path) -> None:
    for name, content in (("a/p1.png", pictures()["png"]), ("b/p1.png", data)):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(content)
    _whole_task("folders/pet-mri", (folder / "a", folder / "b"))


def _harvard(data: bytes, folder: Path) -> None:
    for split in ("train", "test"):
        for modality, content in (
            ("MRI", data if split == "test" else pictures()["png"]),
            ("PET", pictures()["rgb.png"]),
        ):
            place = folder / "PET-MRI" / split / modality
            place.mkdir(parents=True)
            (place / f"{len(split)}001.png").write_bytes(content)
    _whole_task("harvard/pet-mri", (folder,))


TOP = "Havard-Medical-Image-Fusion-Datasets-1"
INSIDE = "CT-MRI/test/MRI/1001.png"


def _archives() -> list[bytes]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr(f"{TOP}/MyDatasets/{INSIDE}", pictures()["png"])
            archive.writestr(f"{TOP}/README.md", b"hello")
        made.append(buffer.getvalue())
    return made


def _archive(data: bytes, folder: Path) -> None:
    (folder / "x.zip").write_bytes(data)
    unpack_archive(folder / "x.zip", folder / "out", {INSIDE: hashlib.sha256(pictures()["png"]).hexdigest()})


def _table() -> Table:
    table = Table(Key("d", "t", "m"))
    table.about = {"method": {"title": "M"}, "metric_versions": {"en": "1"}}
    table.pairs = {p: {"case": "1", "image": "0", "fused": "f", "scores": {"en": 1.5, "mi": 2.25}} for p in "abc"}
    return table


def _results(suffix: str) -> Callable[[bytes, Path], object]:
    def read(data: bytes, folder: Path) -> None:
        table = _table()
        write_table(folder, table)
        table.key.csv(folder).with_suffix(suffix).write_bytes(data)
        find_tables(folder)
        read_table(folder, table.key)

    return read


def _results_files(suffix: str) -> list[bytes]:
    import tempfile

    lines = [
        {"about": {"x": 1}, "forget": {"pairs": ["a"], "metrics": ["en"]}},
        {"pair": "b", "record": {"scores": {}}},
    ]
    if suffix == ".journal":
        return ["\n".join(map(json.dumps, lines)).encode()]
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder), _table())
        return [_table().key.csv(Path(folder)).with_suffix(suffix).read_bytes()]


def _metric_facts(data: bytes, folder: Path) -> object:
    (folder / "scores").mkdir()
    (folder / "scores" / "metrics.json").write_bytes(data)
    return read_metric_facts(folder)


@click.command()
@metric_options
@work_options
@config_option
def _command(**values: object) -> dict[str, object]:
    return values


def _config(path: Path) -> object:
    try:
        return _command.main(["--config", str(path)], standalone_mode=False)
    except click.ClickException as error:  # click's own one line, such as a number out of its range
        raise InputError(error.format_message()) from None


CARDS = (
    {"kind": "dmfnet", "preset": {"inner": 8, "groups": 2, "dropout": 0.0}},
    {"kind": "dmfnet", "preset": {"inner": 1 << 20, "groups": 8, "dropout": 0.0}},
    {"kind": "dmfnet", "preset": {"inner": -8, "groups": 0, "dropout": "x"}},
    {"kind": "dmfnet", "preset": [1]},
    ["kind"],
)


def _weights_files() -> list[bytes]:
    tensors = {"unet.x": torch.zeros(3), "y": torch.ones(2, 2)}
    return [safetensors.torch.save(tensors, {"card": json.dumps(card)}) for card in CARDS]


def _weights(path: Path) -> None:
    for name in ("dmfnet", "densefuse"):
        create_method(f"{name}:weights={path}").method.prepare(torch.device("cpu"))


def _checkpoints() -> list[bytes]:
    made = []
    for old in (False, True):
        for content in ({"x": torch.zeros(3), "y": [1, "a"]}, [torch.zeros(2)], {1: torch.zeros(1)}):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=not old)
            made.append(buffer.getvalue())
    return made


def _volume() -> bytes:
    import nibabel

    content: bytes = nibabel.Nifti1Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.eye(4)).to_bytes()
    return content


def _read_volume(path: Path) -> object:
    from fusionbench.bench.volumes import read_volume

    return read_volume(path)


def dicom_slice(pixels: np.ndarray, place: list[float], number: int, compressed: bool = False) -> bytes:
    """One CT slice of series 1.2.3; ``pixels``: (rows, columns) uint16; ``place``: its position, mm."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(f"1.2.3.{number + 1}")
    item = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    item.SOPClassUID, item.SOPInstanceUID = pydicom.uid.CTImageStorage, f"1.2.3.{number + 1}"
    item.SeriesInstanceUID, item.Modality = "1.2.3", "CT"
    item.Rows, item.Columns = pixels.shape
    item.ImageOrientationPatient, item.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.5, 0.75]
    item.ImagePositionPatient = place
    item.RescaleSlope, item.RescaleIntercept = 1, -1024
    item.BitsAllocated = item.BitsStored = 16
    item.HighBit, item.PixelRepresentation, item.SamplesPerPixel = 15, 0, 1
    item.PhotometricInterpretation = "MONOCHROME2"
    item.PixelData = pixels.tobytes()
    if compressed:
        item.compress(pydicom.uid.RLELossless)
    buffer = io.BytesIO()
    item.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _slices(compressed: bool = False) -> list[bytes]:
    pixels = np.arange(24, dtype=np.uint16).reshape(4, 6)
    return [dicom_slice(pixels, [-1, -2, 2.5 * n], n, compressed) for n in range(3)]


def _dicom(data: bytes, folder: Path) -> object:
    for name, content in zip("abc", [*_cached_slices(), data], strict=True):
        (folder / name).write_bytes(content)
    return _read_volume(folder)


@functools.cache
def _cached_slices() -> tuple[bytes, ...]:
    return tuple(_slices()[:2])


def readers() -> dict[str, Reader]:
    """All of them, by name."""
    made = {
        f"picture.{name}": Reader(functools.partial(list, [content]), _file(f"x.{name}", read_picture))
        for name, content in pictures().items()
    }
    made |= {
        f"results{suffix}": Reader(functools.partial(_results_files, suffix), _results(suffix))
        for suffix in (".csv", ".json", ".journal")
    }
    facts = json.dumps({"metrics": {"en": {"name": "en"}}, "profiles": {"p": {"metrics": ["en"]}}}).encode()
    return made | {
        "metrics.json": Reader(lambda: [facts], _metric_facts),
        "method.toml": Reader(lambda: [TOML], _file("m.toml", read_method)),
        "config.toml": Reader(lambda: [CONFIG], _file("c.toml", _config)),
        "folders": Reader(lambda: [pictures()["png"], pictures()["rgb.png"], pictures()["jpg"]], _two_folders),
        "harvard": Reader(lambda: [pictures()["png"], pictures()["rgb.png"]], _harvard),
        "archive.zip": Reader(_archives, _archive),
        "weights.safetensors": Reader(_weights_files, _file("w.safetensors", _weights)),
        "checkpoint.pth": Reader(_checkpoints, _file("c.pth", load_pickle)),
        "volume.nii": Reader(lambda: [_volume(), _volume()[:352]], _file("v.nii", _read_volume)),
        "volume.nii.gz": Reader(lambda: [gzip.compress(_volume(), mtime=0)], _file("v.nii.gz", _read_volume)),
        "dicom": Reader(lambda: [_slices()[2], _slices(compressed=True)[2]], _dicom),
    }
