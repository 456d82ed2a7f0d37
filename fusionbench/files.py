"""Atomic writes and downloads: a file is either whole or absent, whatever kills the program or fills the disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fusionbench.errors import InputError

Progress = Callable[[str, int, int], None]  # what is being done, kilobytes received, kilobytes expected or 0

_TIMEOUT = 60.0  # seconds without a byte
_CHUNK = 1 << 16  # bytes; at most so many are lost when a connection breaks


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write to a temporary name in the same folder, flush to disk, rename; folders are made as needed.

    ``durable=False`` leaves the flush to the system, for what is checked when read and can be made again: after a power cut
    such a file may be empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private
        temporary.replace(path)
        if durable:
            _flush_folder(path.parent)  # the new name too is to outlast a power cut
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which file had no room
        raise


def _flush_folder(folder: Path) -> None:
    """Where the system can do it: Windows cannot, nor some network file systems."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` of UTF-8 text, line ends as given."""
    write_bytes(path, text.encode())


def fetch(url: str, folder: Path, progress: Progress | None = None) -> Path:
    """The file at ``url``, complete, in ``folder``: a finished one is kept, an unfinished one continued.

    Nothing is known here of what it should hold; whoever asks for it checks that. Raises InputError when it cannot be
    fetched, OSError when it cannot be written.
    """
    import requests  # start-up must not pay for it

    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    whole, part = folder / f"{name}{PurePosixPath(urlsplit(url).path).suffix}", folder / f"{name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not whole.exists():
            _receive(requests.Session(), url, part, progress)
            part.replace(whole)
        return whole
    except requests.RequestException as error:
        reason = " ".join(str(error).split())
        gone = error.response is not None and error.response.status_code in (404, 410)
        remedy = "check the address" if gone else "run the same command again, it goes on from there"
        raise InputError(f"{url}: download failed ({reason}); {remedy}") from None


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


def package_version() -> str:
    """Our own version. The package's face imports this file by way of others, hence it is not imported by name; and what
    pip calls the distribution is another name."""
    return str(sys.modules[__name__.partition(".")[0]].__version__)
