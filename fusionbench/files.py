"""Atomic writes: a file is either whole or absent, whatever kills the program or fills the disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


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
