"""Any two folders of registered images, matched by file stem: the data set ``folders``.

``--dataset folders --data MRI_FOLDER --data OTHER_FOLDER -t pet-mri``: the first folder holds the structural images. The
task's name tells methods with weights what they are looking at, and the report what to write; ``other`` says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.datasets._files import files_digest, match_stems, read_pair
from fusionbench.errors import InputError
from fusionbench.pairs import Pair


class FolderTask:
    """The pairs of two folders. They are one split, and any name of a split means it."""

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
    )
    TASKS.register(facts)(FolderTask)


for _task, _modality in (("ct-mri", "CT"), ("pet-mri", "PET"), ("spect-mri", "SPECT"), ("other", "other")):
    _register(_task, _modality)
