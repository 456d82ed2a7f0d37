"""Pairs that lie on disk as two folders of images: matched by stem, read with every check, hashed by their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fusionbench.errors import InputError
from fusionbench.pairs import Pair, list_pictures, read_picture

_SHOWN = 5  # names in an error message


def match_stems(a_folder: Path, b_folder: Path) -> dict[str, tuple[Path, Path]]:
    """Stem -> the two files, sorted by stem.

    Raises InputError when a folder is missing, unreadable or empty, or when an image has no partner in the other folder.
    """
    a, b = list_pictures(a_folder), list_pictures(b_folder)
    lonely = (
        [f"{b_folder}: no partner for {_some(sorted(a.keys() - b.keys()), a_folder)}"] if a.keys() - b.keys() else []
    )
    if b.keys() - a.keys():
        lonely.append(f"{a_folder}: no partner for {_some(sorted(b.keys() - a.keys()), b_folder)}")
    if lonely:
        raise InputError(
            "; ".join(lonely) + "; add the missing images or remove the extra ones (pairs match by file stem)"
        )
    return {stem: (a[stem], b[stem]) for stem in sorted(a)}


def _some(stems: list[str], folder: Path) -> str:
    more = f" and {len(stems) - _SHOWN} more" if len(stems) > _SHOWN else ""
    return f"{', '.join(stems[:_SHOWN])}{more} of {folder}"


def read_pair(id: str, files: tuple[Path, Path], case: str) -> Pair:
    """The structural image first; a coloured second image is fused by its luminance and keeps its colour."""
    a, b = read_picture(files[0]), read_picture(files[1])
    try:
        return Pair(id=id, a=a.grey, b=b.grey, color=b.color, case=case, lossy=a.lossy or b.lossy)
    except InputError as error:
        raise InputError(f"{files[0]} and {files[1]}: {error}") from None


def files_digest(files: tuple[Path, Path]) -> str:
    """SHA-256 over the bytes of both files. Raises InputError when one cannot be read."""
    digest = hashlib.sha256()
    for path in files:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the file and its mode") from None
    return digest.hexdigest()
