"""Collections of volumes as people publish them: which file is whose, in which modality; nothing is read but names.

========== ================================================== ====================================================
layout     files                                              source
========== ================================================== ====================================================
bids       ``sub-X[/ses-Y]/{anat,pet,ct}/sub-X..._T1w.nii``   https://bids-specification.readthedocs.io (any set)
cermep     BIDS, by request                                   doi:10.1186/s13550-021-00830-6
brats      ``ID/ID_{t1,t1ce,t2,flair,seg}.nii.gz`` and newer  doi:10.1109/TMI.2014.2377694, by registration
synthrad   ``Task1/brain/1BA001/{mr,ct,mask}.nii.gz``         doi:10.1002/mp.16529, CC BY-NC 4.0
rire       ``training_001/{ct,mr_T1,pet,...}/``               https://rire.insight-journal.org, CC BY 3.0 US
brainweb   ``subject_04.bin.gz`` of the package ``brainweb``  doi:10.1109/42.712135
========== ================================================== ====================================================

A volume is a subject's: whoever scores slices counts persons, not slices. A manifest holds a digest of each volume, so that
a copy can be checked against the one that a result was made from.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fusionbench.errors import InputError
from fusionbench.files import Progress

NIFTI = r"\.nii(?:\.gz)?"
Volumes = Mapping[tuple[str, str], Mapping[str, Path]]
"""(subject, session) -> modality -> file or folder."""
_BIDS = {"T1w": "T1", "T2w": "T2", "PDw": "PD", "FLAIR": "FLAIR", "pet": "PET", "ct": "CT"}
_BRATS = {"t1": "T1", "t1n": "T1", "t1ce": "T1CE", "t1c": "T1CE", "t2": "T2", "t2w": "T2", "flair": "FLAIR", "t2f": "FLAIR",
          "seg": "seg"}  # fmt: skip
_SYNTHRAD = {"mr": "MRI", "ct": "CT", "cbct": "CBCT", "mask": "mask"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """``place``: a path with / -> (subject, session, modality), or None for what belongs to no volume. ``terms``: under
    which the collection may be had, and where."""

    name: str
    title: str
    place: Callable[[str], tuple[str, str, str] | None]
    terms: str


@dataclasses.dataclass(frozen=True, order=True)
class Row:
    """A volume. ``path``: relative, with /; a folder where the volume is one. ``sha256``: of the file, or over its files."""

    subject: str
    session: str
    modality: str
    path: str
    bytes: int
    sha256: str


def _bids(path: str) -> tuple[str, str, str] | None:
    found = re.fullmatch(
        rf"(?:.*/)?sub-([A-Za-z0-9]+)/(?:ses-([A-Za-z0-9]+)/)?(?:anat|pet|ct)/sub-\1_?((?:[A-Za-z0-9]+-[A-Za-z0-9]+_)*)"
        rf"({'|'.join(_BIDS)}){NIFTI}",
        path,
    )
    if not found:
        return None
    entities = [part for part in found[3].split("_") if part and not re.match("(ses|trc|rec|desc)-", part)]
    # Space, acquisition and run tell apart volumes that are not to be mixed: they count as sessions of their own.
    return found[1], "_".join(filter(None, [found[2], *entities])), _BIDS[found[4]]


def _brats(path: str) -> tuple[str, str, str] | None:
    found = re.fullmatch(rf"(?:.*/)?(BraTS[\w-]*?\d+)(?:-(\d{{3}}))?/\1(?:-\2)?[_-]({'|'.join(_BRATS)}){NIFTI}", path)
    return (found[1], found[2] or "", _BRATS[found[3]]) if found else None


def _synthrad(path: str) -> tuple[str, str, str] | None:
    found = re.fullmatch(rf"(?:.*/)?([12][BP][ABC]\d{{3}})/(mr|ct|cbct|mask){NIFTI}", path)
    return (found[1], "", _SYNTHRAD[found[2]]) if found else None


def _rire(path: str) -> tuple[str, str, str] | None:
    found = re.fullmatch(
        r"(?:.*/)?((?:training|patient)_\d+)/(ct|pet|mr_[A-Za-z0-9_-]+)/(?:header\.ascii|[^/]+\.mh[ad])", path
    )
    if not found:
        found = re.fullmatch(r"(?:.*/)?((?:training|patient)_\d+)_(ct|pet|mr_[A-Za-z0-9_-]+)\.mh[ad]", path)
    return (
        (found[1], "", found[2].removeprefix("mr_") if found[2].startswith("mr_") else found[2].upper())
        if found
        else None
    )


def _brainweb(path: str) -> tuple[str, str, str] | None:
    found = re.fullmatch(r"(?:.*/)?subject_(\d{2})\.bin\.gz", path)
    return (found[1], "", "classes") if found else None


LAYOUTS: Mapping[str, Layout] = {
    item.name: item
    for item in (
        Layout("synthrad", "SynthRAD2023 (radiotherapy; not the Whole Brain Atlas of Harvard)", _synthrad,
               "CC BY-NC 4.0, https://doi.org/10.5281/zenodo.7260705"),
        Layout("brats", "BraTS", _brats, "by registration, https://www.synapse.org/brats"),
        Layout("rire", "RIRE", _rire, "CC BY 3.0 US, https://rire.insight-journal.org"),
        Layout("brainweb", "BrainWeb, 20 normal models", _brainweb,
               "with pip install brainweb, get_files(); https://brainweb.bic.mni.mcgill.ca"),
        Layout("bids", "BIDS", _bids, "those of the data set"),
        Layout("cermep", "CERMEP-IDB-MRXFDG", _bids, "by a form, https://doi.org/10.1186/s13550-021-00830-6"),
    )
}  # fmt: skip


def read_layout(folder: Path, layout: str = "auto") -> tuple[Layout, Volumes]:
    """The layout, and (subject, session) -> modality -> file or folder, both sorted.

    "auto" takes the layout that most files fit. Raises InputError for a folder that fits none, or two files for one volume.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one that the collection was unpacked to")
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}; known: auto, {', '.join(LAYOUTS)}")
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    paths = [f"{folder.resolve().name}/{path}" for path in paths]  # the folder itself may be a subject's
    chosen = [LAYOUTS[layout]] if layout != "auto" else list(LAYOUTS.values())
    fits = [(sum(item.place(path) is not None for path in paths), item) for item in chosen]
    most, best = max(fits, key=lambda fit: fit[0])  # the first of equals: CERMEP's is BIDS, and cannot be told from it
    if not most:
        known = best.name if layout != "auto" else ", ".join(LAYOUTS)
        raise InputError(f"{folder}: no file is named as {known} name theirs; see docs/collections.md for the layouts")
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in paths:
        if (place := best.place(path)) is None:
            continue
        subject, session, modality = place
        file = folder / path.partition("/")[2]
        own = found.setdefault((subject, session), {})
        if modality in own:
            raise InputError(
                f"{file}: {subject} has two volumes of {modality}, {own[modality].name} too; move one away"
            )
        own[modality] = file.parent if file.name == "header.ascii" else file
    return best, {key: dict(sorted(of.items())) for key, of in sorted(found.items())}


def manifest(folder: Path, volumes: Volumes, notify: Progress | None = None) -> list[Row]:
    """Of each volume its size and digest. Raises InputError for a file that cannot be read."""
    todo = [(s, t, m, path) for (s, t), of in volumes.items() for m, path in of.items()]
    rows = []
    for done, (subject, session, modality, path) in enumerate(todo):
        if notify is not None:
            notify("hashing volumes", done, len(todo))
        size, digest = _digest(path)
        rows.append(Row(subject, session, modality, path.relative_to(folder).as_posix(), size, digest))
    return sorted(rows)


def manifest_text(rows: Sequence[Row]) -> str:
    """As CSV, a line a volume."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Row)])
    writer.writerows(dataclasses.astuple(row) for row in rows)
    return buffer.getvalue()


def read_manifest(path: Path) -> list[Row]:
    """Raises InputError for a file that :func:`manifest_text` did not write."""
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        rows = [Row(**{**line, "bytes": int(line["bytes"])}) for line in lines]  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the name") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}: not a manifest; write one with fusionbench data volumes FOLDER --manifest FILE"
        ) from None
    return rows


def differences(rows: Sequence[Row], wanted: Sequence[Row]) -> list[str]:
    """What is altered or absent against a manifest, and what it does not know, a line each; by path."""
    here, there = ({row.path: row for row in of} for of in (rows, wanted))
    lines = [f"absent: {path}" for path in sorted(there.keys() - here.keys())]
    lines += [
        f"altered: {path}" for path in sorted(here.keys() & there.keys()) if here[path].sha256 != there[path].sha256
    ]
    return lines + [f"not in the manifest: {path}" for path in sorted(here.keys() - there.keys())]


def _digest(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file and of the raw voxels that a header beside it names; of a folder over its files."""
    own = path.with_suffix(".raw")
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    files += [own] if path.suffix == ".mhd" and own.exists() else []
    total, digests = 0, []
    for file in files:
        digest = hashlib.sha256()
        try:
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    total += len(chunk)
                    digest.update(chunk)
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror}); check the file and its mode") from None
        digests.append(digest.hexdigest())
    return total, digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
