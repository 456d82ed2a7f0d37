"""Any two folders of registered images, matched by file stem: the data set ``folders``.

``--dataset folders:NAME --data MRI_FOLDER --data OTHER_FOLDER -t pet-mri``: the first folder holds the structural images.
The task's name tells methods with weights what they are looking at, and the report what to write; ``other`` says nothing.
NAME keeps one data set of the user's apart from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.datasets._files import files_digest, match_stems, read_pair
from fusionbench.errors import InputError
from fusionbench.pairs import Pair, list_pictures, read_picture


def looks_exchanged(data: Sequence[Path]) -> str:
    """What to tell somebody who may have given the folders in the wrong order, "" where colours do not suggest it: images of
    PET and SPECT are often coloured, those of MRI never."""
    first, second = (next(iter(list_pictures(folder).values())) for folder in data)
    if read_picture(first).color is None or read_picture(second).color is not None:
        return ""
    return (
        f"{data[0]} was given first, as the structural images (MRI), and holds coloured ones, {data[1]} grey ones: "
        "exchange the two --data unless that is meant"
    )


class FolderTask:
    """The pairs of two folders. There are no splits: the images are the same whatever split is asked for."""

    def __init__(self, *, data: Sequence[Path] = (), split: str = "test") -> None:
        if len(data) != 2:
            raise InputError(
                f"folders takes two folders, structural images first, and got {len(data)}; give --data twice"
            )
        self._folders = (Path(data[0]), Path(data[1]))
        self._files: dict[str, tuple[Path, Path]] | None = None

    def ids(self) -> list[str]:
        return list(self._pairs())

    def load(self, id: str) -> Pair:
        return read_pair(id, self._of(id), case="")

    def case(self, id: str) -> str:
        self._of(id)
        return ""

    def digest(self, id: str) -> str:
        return files_digest(self._of(id))

    def _pairs(self) -> dict[str, tuple[Path, Path]]:
        if self._files is None:
            self._files = match_stems(*self._folders)
        return self._files

    def _of(self, id: str) -> tuple[Path, Path]:
        try:
            return self._pairs()[id]
        except KeyError:
            raise InputError(f"{self._folders[0]}: holds no pair {id!r}; pairs are named by file stem") from None


def _register(task: str, modality: str) -> None:
    facts = TaskFacts(
        name=f"folders/{task}",
        title=f"{modality} and MRI (your folders)" if modality != "other" else "Two folders of your own",
        modalities=("MRI", modality) if modality != "other" else ("first", "second"),
        reference="",
        licence="yours to know",
        named=True,
    )
    TASKS.register(facts)(FolderTask)


for _task, _modality in (("ct-mri", "CT"), ("pet-mri", "PET"), ("spect-mri", "SPECT"), ("other", "other")):
    _register(_task, _modality)
