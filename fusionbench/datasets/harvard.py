"""The public Harvard pairs: registered slices of the Whole Brain Atlas, as most fusion papers use them: ``harvard``.

On disk: ``CT-MRI``, ``PET-MRI`` and ``SPECT-MRI``, each with ``train`` and ``test`` (or without), each with ``MRI`` and the
other modality, each with ``ID.png``, 256 x 256. The last three digits of an id are the slice, those before it the case.

Splits:

* ``test`` and ``train``: as published. **Every case lies in both**, and most test slices have an immediate neighbour
  in train; scores of trained methods on it say little about new patients.
* ``by-case-test`` and ``by-case-train``: all pairs, divided by patient: cases whose number leaves remainder 2 when divided
  by 4 are for testing (22 % of CT, 30 % of PET, 25 % of SPECT pairs). The rule is the same for all tasks, so the two
  patients who were imaged for CT-MRI and SPECT-MRI stay on one side.

In a flat folder (no ``train`` and ``test`` inside) the published split is looked up in the manifest; ids that it
does not know belong to ``test``.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from collections.abc import Sequence
from pathlib import Path

from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.datasets._files import files_digest, match_stems, read_pair
from fusionbench.datasets._places import MODALITIES, VARIABLE, find_root, places
from fusionbench.errors import InputError
from fusionbench.pairs import Pair

SPLITS = ("test", "train", "by-case-test", "by-case-train")

_NAME = re.compile(r"([0-9]+)([0-9]{3})")


@functools.cache
def manifest() -> dict[str, str]:
    """Path inside ``MyDatasets`` -> SHA-256 of the file, for every image of the three tasks; treat as read-only."""
    text = importlib.resources.files("fusionbench.datasets").joinpath("data/harvard-sha256.json").read_text("ascii")
    sums: dict[str, str] = json.loads(text)
    return sums


def case_of(id: str) -> str:
    """The digits before the last three, "" where the id is not made of digits.

    >>> case_of("16009"), case_of("2004"), case_of("scan7")
    ('16', '2', '')
    """
    match = _NAME.fullmatch(id)
    return match[1] if match else ""


class HarvardTask:
    """One task's pairs; which task is told by the class attribute ``facts`` of the subclasses below."""

    facts: TaskFacts

    def __init__(self, *, data: Sequence[Path] = (), split: str = "test") -> None:
        if split not in SPLITS:
            raise InputError(f"{self.facts.name} has no split {split!r}; take one of: {', '.join(SPLITS)}")
        root = find_root(data)
        if root is None:
            looked = ", ".join(map(str, places(data)))
            raise InputError(
                f"no Harvard images (a folder with CT-MRI, PET-MRI or SPECT-MRI) in {looked}; "
                f"give the folder with --data, set {VARIABLE}, or run: fusionbench data download harvard"
            )
        self._folder = root / self.facts.task.upper()
        self._split = split
        self._files: dict[str, tuple[Path, Path]] | None = None

    def ids(self) -> list[str]:
        return list(self._pairs())

    def load(self, id: str) -> Pair:
        return read_pair(id, self._of(id), case_of(id))

    def case(self, id: str) -> str:
        self._of(id)
        return case_of(id)

    def digest(self, id: str) -> str:
        return files_digest(self._of(id))

    def _of(self, id: str) -> tuple[Path, Path]:
        try:
            return self._pairs()[id]
        except KeyError:
            raise InputError(f"{self._folder}: split {self._split!r} holds no pair {id!r}; check the name") from None

    def _pairs(self) -> dict[str, tuple[Path, Path]]:
        if self._files is None:
            published = self._published()
            if self._split in published:
                self._files = published[self._split]
            else:
                self._files = self._by_case({**published["train"], **published["test"]})
            if not self._files:
                raise InputError(
                    f"{self._folder}: no pair in split {self._split!r}; take another split or add the images"
                )
        return self._files

    def _published(self) -> dict[str, dict[str, tuple[Path, Path]]]:
        """Split -> id -> files, for "train" and "test"; of a split that is not asked for, nothing is read."""
        parts = [part for part in ("train", "test") if (self._folder / part).is_dir()]
        if not parts:
            return self._flat()
        wanted = [part for part in parts if self._split in (part, "by-case-test", "by-case-train")]
        found = {part: self._match(self._folder / part) if part in wanted else {} for part in ("train", "test")}
        twice = sorted(found["train"].keys() & found["test"].keys())
        if twice:
            raise InputError(f"{self._folder}: pair {twice[0]} is in both train and test; remove one of the two")
        return found

    def _flat(self) -> dict[str, dict[str, tuple[Path, Path]]]:
        train = {Path(name).stem for name in manifest() if name.startswith(f"{self._folder.name}/train/MRI/")}
        found: dict[str, dict[str, tuple[Path, Path]]] = {"train": {}, "test": {}}
        for id, files in self._match(self._folder).items():
            found["train" if id in train else "test"][id] = files
        return found

    def _match(self, folder: Path) -> dict[str, tuple[Path, Path]]:
        return match_stems(folder / "MRI", folder / self.facts.modalities[1])

    def _by_case(self, files: dict[str, tuple[Path, Path]]) -> dict[str, tuple[Path, Path]]:
        for id in files:
            if not case_of(id):
                raise InputError(
                    f"{files[id][0]}: the name tells no case (digits, the last three the slice); rename it"
                )
        testing = self._split == "by-case-test"
        return {id: files[id] for id in sorted(files) if (int(case_of(id)) % 4 == 2) == testing}


def _facts(task: str) -> TaskFacts:
    modality = MODALITIES[task]
    return TaskFacts(
        name=f"harvard/{task}",
        title=f"{modality} and MRI (Harvard Whole Brain Atlas)",
        modalities=("MRI", modality),
        reference="K. A. Johnson and J. A. Becker, The Whole Brain Atlas, Harvard Medical School, "
        "www.med.harvard.edu/AANLIB; pairs as collected by X. Gu, Havard-Medical-Image-Fusion-Datasets",
        year=1999,
        people="" if task != "pet-mri" else "PET",  # cases 21 and 28 of CT and SPECT are two persons; PET's are others
        licence="copyright of the atlas's authors; the images are not redistributed here",
    )


@TASKS.register(_facts("ct-mri"))
class HarvardCtMri(HarvardTask):
    facts = _facts("ct-mri")


@TASKS.register(_facts("pet-mri"))
class HarvardPetMri(HarvardTask):
    facts = _facts("pet-mri")


@TASKS.register(_facts("spect-mri"))
class HarvardSpectMri(HarvardTask):
    facts = _facts("spect-mri")
