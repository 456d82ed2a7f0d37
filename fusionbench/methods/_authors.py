"""Weights that a method's authors published: fetched from their own page, verified, imported, kept in the user's folder.

Nothing of theirs is part of this package. ``authors.json`` holds what pins each file: repository, commit, path, and the
git blob id (SHA-1 of ``"blob SIZE\\0"`` and the content), the SHA-256 or the size, as far as they are known.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fusionbench.errors import InputError
from fusionbench.files import Progress, fetch
from fusionbench.methods import METHODS
from fusionbench.methods._places import AUTHORS, weights_folder

BASE = "https://github.com"
_POINTER = b"version https://git-lfs"  # what a server sends that does not resolve files kept in Git LFS


@runtime_checkable
class TakesPublished(Protocol):
    """A class of methods whose authors' files can be imported."""

    @staticmethod
    def authors_file() -> Path:
        """Where the imported weights are kept, which ``weights=authors`` reads."""

    @classmethod
    def take_published(cls, files: Sequence[Path], card: Mapping[str, Any]) -> None:
        """Import the authors' files, in their order, into :meth:`authors_file`. Raises InputError for others."""


@dataclasses.dataclass(frozen=True)
class Pinned:
    """One file of a repository. ``blob``: git blob id; each of the last three may be unknown, not all of them."""

    path: str
    blob: str = ""
    sha256: str = ""
    size: int | None = None

    def check(self, file: Path) -> str:
        """The file's SHA-256. Raises InputError when it is not the one that was published."""
        size = file.stat().st_size
        blob, sha256 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), hashlib.sha256()
        with file.open("rb") as content:
            while part := content.read(1 << 20):
                blob.update(part)
                sha256.update(part)
        found = {"size": size, "SHA-256": sha256.hexdigest(), "git blob id": blob.hexdigest()}
        wanted = {"size": self.size, "SHA-256": self.sha256, "git blob id": self.blob}
        for what, value in wanted.items():
            if value and found[what] != value:
                with file.open("rb") as content:
                    lfs = content.read(len(_POINTER)) == _POINTER
                told = "a Git LFS pointer came in its place" if lfs else f"{what} {found[what]}, expected {value}"
                raise InputError(
                    f"{self.path}: is not the published file ({told}); nothing was imported; "
                    "try again later, or another --mirror"
                )
        return sha256.hexdigest()


@dataclasses.dataclass(frozen=True)
class Published:
    """What a method's authors published, and under which terms."""

    name: str
    method: str
    title: str
    repository: str
    commit: str
    terms: str
    trained_on: tuple[str, ...]
    files: tuple[Pinned, ...]

    @property
    def page(self) -> str:
        """Where people find it."""
        return f"{BASE}/{self.repository}/tree/{self.commit}"

    def url(self, file: Pinned, base: str = BASE) -> str:
        """Where a file is; the address also resolves files that are kept in Git LFS."""
        return f"{base.rstrip('/')}/{self.repository}/raw/{self.commit}/{file.path}"


@functools.cache
def published() -> Mapping[str, Published]:
    """All published weights that are known, by the name to fetch them by."""
    text = (resources.files("fusionbench.methods") / "authors.json").read_text("utf-8")
    table = {}
    for name, entry in json.loads(text).items():
        files = tuple(Pinned(**file) for file in entry.pop("files"))
        table[name] = Published(name=name, files=files, **{**entry, "trained_on": tuple(entry["trained_on"])})
    return table


def lookup(name: str) -> Published:
    """The entry of a name, or of a method's name. Raises InputError for an unknown one."""
    for entry in published().values():
        if name.lower() in (entry.name, entry.method):
            return entry
    raise InputError(f"no published weights of {name!r} are known; there are those of: {', '.join(published())}")


def importer(entry: Published) -> type[TakesPublished]:
    """The method that reads them. Raises InputError where this installation has none."""
    factory = METHODS[entry.method].factory if entry.method in METHODS else None
    if not (isinstance(factory, type) and issubclass(factory, TakesPublished)):
        raise InputError(f"{entry.title}: this version has no network that reads its published weights")
    return factory


def fetch_authors(
    entry: Published, *, base: str = BASE, notify: Progress = lambda stage, done, total: None, force: bool = False
) -> Path:
    """Download, verify and import; returns the weights file, which ``METHOD:weights=authors`` reads from then on.

    What is there already is kept unless ``force``. ``notify`` is called with (stage, done, total). What has come stays in
    ``.NAME-download`` of the weights folder until all is imported, so that the next call goes on from there. Raises
    InputError when a file cannot be fetched, is not the published one or not of this network, or finds no room.
    """
    factory = importer(entry)
    target = factory.authors_file()
    if target.is_file() and not force:
        return target
    work = weights_folder() / f".{entry.name}-download"
    try:
        files = [fetch(entry.url(file, base), work, _named(file, notify)) for file in entry.files]
        try:
            digests = [pinned.check(file) for pinned, file in zip(entry.files, files, strict=True)]
            factory.take_published(files, _card(entry, digests))
        except InputError:
            _remove(work)  # the same bytes will never be right
            raise
        _remove(work)
    except OSError as error:
        raise InputError(
            f"{error.filename or work}: {error.strerror or error}; make room there, or name another folder by "
            "FUSIONBENCH_WEIGHTS, and run the same command again"
        ) from None
    return target


def _named(file: Pinned, notify: Progress) -> Progress:
    return lambda stage, done, total: notify(f"{file.path}: {stage}", done, total)


def _card(entry: Published, digests: Sequence[str]) -> dict[str, Any]:
    return {
        "licence": entry.terms,
        "trained_on": list(entry.trained_on),
        "source": entry.page,
        "files": {file.path: digest for file, digest in zip(entry.files, digests, strict=True)},
    }


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def spec_of(entry: Published) -> str:
    """What to give ``-m``."""
    return f"{entry.method}:weights={AUTHORS}"
