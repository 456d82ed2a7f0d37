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
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fusionbench.datasets._places import user_folder
from fusionbench.datasets.checks import compare_files
from fusionbench.datasets.harvard import manifest
from fusionbench.errors import InputError
from fusionbench.files import write_bytes

REPOSITORY = "xianming-gu/Havard-Medical-Image-Fusion-Datasets"
COMMIT = "984d169e8abd01baa130db3c5b9be3ba80191c1f"
URL = f"https://github.com/{REPOSITORY}/archive/{COMMIT}.zip"
INSIDE = "MyDatasets"  # the folder of the archive that holds the tasks

_TIMEOUT = 60.0  # seconds without a byte
_CHUNK = 1 << 16  # bytes; at most so many are lost when a connection breaks
_LARGEST = 16 << 20  # bytes of one image; theirs have about 20 kB

Progress = Callable[[str, int, int], None]  # what is being done, kilobytes received, kilobytes expected or 0


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
        archive = _fetch(url, work, progress)
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


def _fetch(url: str, work: Path, progress: Progress | None) -> Path:
    """The archive on disk, complete: a finished one is kept, an unfinished one continued.

    It has no digest of its own, for GitHub packs it anew now and then; its images are checked one by one instead.
    """
    import requests  # start-up must not pay for it

    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    archive, part = work / f"{name}.zip", work / f"{name}.part"
    try:
        if not archive.exists():
            _receive(requests.Session(), url, part, progress)
            part.replace(archive)
        return archive
    except requests.RequestException as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{url}: download failed ({reason}); run the same command again, it goes on from there"
        ) from None


def _receive(session: Any, url: str, part: Path, progress: Progress | None) -> None:
    """Append to ``part`` until the whole file is there, starting over where the server cannot continue it.

    The server's entity tag is kept beside ``part``, so that halves of two different files are never joined.
    """
    tag_file = part.with_suffix(".etag")
    have = part.stat().st_size if part.exists() and tag_file.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag_file.read_text("utf-8")}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416 and have:  # the part is as long as the file, or longer: nothing can be appended
            part.unlink()
            _receive(session, url, part, progress)
            return
        answer.raise_for_status()
        if answer.status_code != 206:
            have = 0
        tag_file.unlink(missing_ok=True)
        if answer.headers.get("ETag", "").startswith('"'):
            tag_file.write_text(answer.headers["ETag"], "utf-8")
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress("downloading (kB)", have // 1024, (total or 0) // 1024)
    if total is not None and have != total:
        raise _connection_error(f"connection closed after {have:,} of {total:,} bytes")
    tag_file.unlink(missing_ok=True)


def _connection_error(reason: str) -> Exception:
    import requests

    return requests.ConnectionError(reason)


def unpack_archive(archive: Path, staged: Path, sums: Mapping[str, str]) -> None:
    """Write the wanted images of a zip archive below ``staged``, each checked; images staged earlier are kept.

    Raises InputError when the archive is damaged, would write outside its folder, or lacks or alters an image.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = zipped.infolist()
            for member in members:
                _refuse_escape(archive, member)
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


def _refuse_escape(archive: Path, member: zipfile.ZipInfo) -> None:
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
