"""Fetch the public Harvard pairs: one archive from GitHub, every image checked against the manifest that we ship.

A cut connection costs nothing that was received: what has come stays in ``.harvard-download`` beside the target, and
the next call goes on from there. The target folder appears, or changes, only when every image of the manifest is in hand
and right.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from fusionbench.datasets._places import user_folder
from fusionbench.datasets.checks import compare_files
from fusionbench.datasets.harvard import manifest
from fusionbench.errors import InputError
from fusionbench.files import Progress, fetch, write_bytes

REPOSITORY = "xianming-gu/Havard-Medical-Image-Fusion-Datasets"
COMMIT = "984d169e8abd01baa130db3c5b9be3ba80191c1f"
URL = f"https://github.com/{REPOSITORY}/archive/{COMMIT}.zip"
INSIDE = "MyDatasets"  # the folder of the archive that holds the tasks

_LARGEST = 16 << 20  # bytes of one image; theirs have about 20 kB


def download_harvard(
    target: Path | None = None,
    *,
    url: str = URL,
    sums: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Put the Harvard pairs into ``target`` (the user data folder unless given) and return it.

    ``url``: a zip archive with ``*/MyDatasets/`` inside; ``sums``: path in that folder -> SHA-256, of every wanted
    image (the shipped manifest unless given). Images that are already there and right are kept, and nothing else in
    ``target`` is touched.
    Raises InputError when the archive cannot be fetched, would write outside its folder, or lacks or alters an image.
    """
    target = user_folder() if target is None else Path(target)
    sums = manifest() if sums is None else sums
    if target.exists() and not any(compare_files(target, sums)):
        return target
    work = target.parent / f".{target.name}-download"
    try:
        work.mkdir(parents=True, exist_ok=True)
        # It has no digest of its own, for GitHub packs it anew now and then; its images are checked one by one instead.
        archive = fetch(url, work, progress)
        staged = work / "images"
        try:
            unpack_archive(archive, staged, sums)
        except InputError:
            archive.unlink()  # a fresh copy may be right; the same one never will be
            raise
        _place(staged, target, sums)
        shutil.rmtree(work)
    except OSError as error:
        where = error.filename or target
        raise InputError(
            f"{where}: {error.strerror or error}; choose a folder with room that you may write to"
        ) from None
    return target


def unpack_archive(archive: Path, staged: Path, sums: Mapping[str, str]) -> None:
    """Write the wanted images of a zip archive below ``staged``, each checked; images staged earlier are kept.

    Raises InputError when the archive is damaged, would write outside its folder, or lacks or alters an image.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = zipped.infolist()
            for member in members:
                refuse_escape(archive, member)
            wanted = {_inside(member.filename): member for member in members if _inside(member.filename) in sums}
            absent = [path for path in sums if path not in wanted]
            if absent:
                raise InputError(
                    f"{archive.name}: lacks {len(absent)} images, first {absent[0]}; check the address and commit"
                )
            todo = [path for group in compare_files(staged, sums) for path in group]
            for path in todo:
                write_bytes(staged / path, _checked(zipped, wanted[path], sums[path]))
    except (InputError, OSError):
        raise
    except Exception as error:  # zipfile and its decompressors raise almost anything on damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{archive.name}: not a sound zip archive ({reason}); run the same command again") from None


def refuse_escape(archive: Path, member: zipfile.ZipInfo) -> None:
    """Raises InputError for a member that would be written outside the folder that is unpacked to, and for a link."""
    name = member.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    absolute = name.startswith(("/", "\\")) or ":" in name
    if absolute or ".." in parts or stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(
            f"{archive.name}: member {name!r} leads out of the folder; nothing was unpacked, do not use this archive"
        )


def _inside(name: str) -> str:
    """``"Repository-commit/MyDatasets/CT-MRI/..."`` -> ``"CT-MRI/..."``; "" for anything else."""
    parts = name.split("/")
    return "/".join(parts[2:]) if len(parts) > 2 and parts[1] == INSIDE else ""


def _checked(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, expected: str) -> bytes:
    with zipped.open(member) as file:
        data = file.read(_LARGEST + 1)  # whatever size the header claims
    if hashlib.sha256(data).hexdigest() != expected:
        raise InputError(
            f"{member.filename}: is not the published image (SHA-256 differs); check the address and commit"
        )
    return data


def _place(staged: Path, target: Path, sums: Mapping[str, str]) -> None:
    """Move the images to where they belong: in one step if the target is new, else one whole file after the other."""
    if not target.exists():
        staged.replace(target)
        return
    for path in sums:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (staged / path).replace(target / path)
