"""Fetch collections of volumes whose terms allow it: RIRE's training_001 and SynthRAD2023's brains.

No digests of them ship with this package, so what came is written down: ``manifest.csv`` beside the volumes holds the
SHA-256 of each, for the next copy to be checked against. As with the Harvard pairs, a cut connection costs nothing that was
received, and the target appears when all is in hand.
"""

from __future__ import annotations

import dataclasses
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from fusionbench.datasets.download import refuse_escape
from fusionbench.datasets.layouts import LAYOUTS, manifest, manifest_text, read_layout
from fusionbench.errors import InputError
from fusionbench.files import Progress, fetch, write_text


@dataclasses.dataclass(frozen=True)
class Collection:
    """``layout``: its name in LAYOUTS; ``base``: address that ``archives`` lie below; ``inside``: folder that their members
    belong in, where they do not say so themselves."""

    layout: str
    base: str
    archives: tuple[str, ...]
    inside: str = ""


_RIRE = (
    "ct",
    "pet",
    "mr_PD",
    "mr_PD_rectified",
    "mr_T1",
    "mr_T1_rectified",
    "mr_T2",
    "mr_T2_rectified",
    "transformations",
)
COLLECTIONS: Mapping[str, Collection] = {
    "rire": Collection(
        "rire",
        "https://dweb.link/ipfs/bafybeih23xv6uamx7k27wk4uvzkxdtdryqeok22hpl3ybideggcjhipwme/rire/",
        tuple(f"{name}.tar.gz" for name in _RIRE),
        "training_001",
    ),
    "synthrad": Collection("synthrad", "https://zenodo.org/records/7260705/files/", ("Task1.zip",)),
}


def download_collection(name: str, target: Path, *, base: str = "", progress: Progress | None = None) -> Path:
    """Put a collection into ``target``, which must be new, with its manifest. ``base``: another address of the same files.

    Raises InputError for a collection that only its owners give out, an archive that cannot be fetched, is damaged or would
    write outside its folder, or one that does not hold what it should.
    """
    if name not in COLLECTIONS:
        raise InputError(
            f"{name} is had {LAYOUTS[name].terms}; unpack it and give the folder to fusionbench data volumes"
        )
    if target.exists():
        raise InputError(f"{target}: is there already; check it with fusionbench data volumes, or name a new folder")
    collection = COLLECTIONS[name]
    work = target.parent / f".{target.name}-download"
    staged = work / "volumes"
    shutil.rmtree(staged, ignore_errors=True)
    for archive in collection.archives:
        unpack(fetch((base or collection.base) + archive, work, progress), archive, staged, collection.inside)
    _, volumes = read_layout(staged, collection.layout)
    write_text(staged / "manifest.csv", manifest_text(manifest(staged, volumes, progress)))
    staged.replace(target)
    shutil.rmtree(work)
    return target


def unpack(archive: Path, name: str, staged: Path, inside: str) -> None:
    """Every file of an archive below ``staged``; a damaged archive is deleted, as the same one will never be right."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for member in zipped.infolist():
                    refuse_escape(archive, member)
                zipped.extractall(staged)
        else:
            with tarfile.open(archive, "r:*") as tar:
                for entry in tar:
                    if entry.isfile():
                        first = PurePosixPath(entry.name).parts[:1]
                        tar.extract(
                            entry, staged if not inside or first == (inside,) else staged / inside, filter="data"
                        )
    except (OSError, InputError):
        raise
    except tarfile.FilterError:
        archive.unlink()
        raise InputError(f"{name}: a member leads out of the folder; do not use this archive") from None
    except Exception as error:  # tarfile, zipfile and their decompressors raise almost anything on damaged data
        archive.unlink()
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: not a sound archive ({reason}); run the same command again") from None
