"""What data is where, and whether it is sound: pairing, sizes, duplicates, and leakage between train and test.

The functions return plain records for the command line to print; nothing is changed on disk.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fusionbench.datasets import TASKS, Task, create_task, task_plugin
from fusionbench.datasets._places import find_root
from fusionbench.datasets.harvard import manifest
from fusionbench.errors import InputError
from fusionbench.pairs import UInt8, pixel_digest, size_text

NEAR = 0.6
"""Two pairs are near-identical when both images correlate at least this much in their fine structure.

That is: averaged to 64 x 64, less their own Gaussian blur (sigma 4 of those pixels). The head's outline, which all
brains share, drops out. Different patients reach 0.51 at most, among the Harvard pairs as among the generated ones;
the nearest slices of one patient 0.77 to 0.95 for PET-MRI, where they are 1 mm apart, and 0.3 to 0.87 elsewhere.
"""
_SIDE = 64
_BLUR = 4.0

Progress = Callable[[str, int, int], None]  # what is being read, how many done, of how many


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holding:
    """One task and what there is of it. ``pairs``: split -> count. ``missing``: why it cannot be used, or ""."""

    task: str
    where: str
    pairs: dict[str, int]
    missing: str = ""

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def list_data(data: Sequence[Path] = ()) -> list[Holding]:
    """Every task of the data sets that need no further folder, with its place and the size of its published splits."""
    holdings = []
    for name in TASKS.names():
        dataset = name.partition("/")[0].partition(":")[0]
        if dataset == "folders":
            continue  # takes its folders from each command
        root = find_root(data) if dataset == "harvard" else None
        where = str(root) if root else "generated, needs no files" if dataset == "phantom" else ""
        try:
            pairs = {split: len(create_task(name, data=data, split=split).ids()) for split in ("train", "test")}
            holdings.append(Holding(task=name, where=where, pairs=pairs))
        except InputError as error:
            holdings.append(Holding(task=name, where=where, pairs={}, missing=str(error)))
    return holdings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Near:
    """A test pair and a train pair that look alike: correlation of their first and of their second images."""

    test: str
    train: str
    first: float
    second: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verification:
    """What :func:`verify` found in one task.

    ``pairs``: split -> count. ``sizes``: "256 x 256" -> count. ``problems``: one line each, naming the file; such
    data cannot be used. ``duplicates``: groups of pixel-identical images, ``"split/id modality"``. ``shared_cases``:
    case -> {split: count} where a case is in several splits. ``near``: near-identical pairs across the splits.
    ``altered``, ``absent``: files that differ from, or are missing of, the published Harvard pairs (relative paths).
    """

    task: str
    pairs: dict[str, int]
    sizes: dict[str, int]
    problems: list[str]
    duplicates: list[list[str]]
    shared_cases: dict[str, dict[str, int]]
    near: list[Near]
    altered: list[str]
    absent: list[str]

    @property
    def sound(self) -> bool:
        """Every pair can be read and has a partner of the same size, and no file differs from its published bytes."""
        return not self.problems and not self.altered

    @property
    def leaks(self) -> bool:
        """A case, an image or nearly an image of the test split is in the other split."""
        across = any(len({name.partition("/")[0] for name in group}) > 1 for group in self.duplicates)
        return across or bool(self.shared_cases) or bool(self.near)

    @property
    def leaked_pairs(self) -> int:
        """How many test pairs have a near-identical train pair."""
        return len({near.test for near in self.near})

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"sound": self.sound, "leaks": self.leaks, "leaked_pairs": self.leaked_pairs}


@dataclasses.dataclass(eq=False)
class _Seen:
    """What is kept of a split after reading it: no pixels, only digests and small descriptors."""

    names: list[str] = dataclasses.field(default_factory=list)
    cases: list[str] = dataclasses.field(default_factory=list)
    sizes: list[str] = dataclasses.field(default_factory=list)
    digests: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    descriptors: list[NDArray[np.float64]] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def verify(
    name: str,
    data: Sequence[Path] = (),
    splits: tuple[str, ...] = ("train", "test"),
    progress: Progress | None = None,
) -> Verification:
    """Read every pair of task ``name`` (``harvard/pet-mri``) and report. The last split is the one to be tested on.

    Two folders of one's own have a single split, whatever it is called: there the last name alone counts.
    Bad data is reported, not raised; InputError is raised only for an unknown task or split, or where there is no data.
    """
    if name.startswith("folders/"):
        splits = splits[-1:]
    tasks = {split: create_task(name, data=data, split=split) for split in splits}
    seen = {split: _read(task, f"{name} {split}", progress) for split, task in tasks.items()}
    modalities = task_plugin(name).facts.modalities
    altered, absent = _against_manifest(name, data)
    return Verification(
        task=name,
        pairs={split: len(found.names) for split, found in seen.items()},
        sizes=dict(collections.Counter(size for found in seen.values() for size in found.sizes)),
        problems=list(dict.fromkeys(problem for found in seen.values() for problem in found.problems)),
        duplicates=_duplicates(seen, modalities),
        shared_cases=_shared_cases(seen),
        near=_near(seen[splits[0]], seen[splits[-1]]) if len(splits) > 1 else [],
        altered=altered,
        absent=absent,
    )


def _read(task: Task, what: str, progress: Progress | None) -> _Seen:
    seen = _Seen()
    try:
        ids = task.ids()
    except InputError as error:
        seen.problems.append(str(error))
        return seen
    for done, id in enumerate(ids, 1):
        try:
            pair = task.load(id)
        except InputError as error:
            seen.problems.append(str(error))
            continue
        seen.names.append(id)
        seen.cases.append(pair.case)
        seen.sizes.append(size_text(pair.a))
        seen.digests.append((pixel_digest(pair.a), pixel_digest(pair.b, pair.color)))
        seen.descriptors.append(np.stack([_descriptor(pair.a), _descriptor(pair.b)]))
        if progress is not None:
            progress(what, done, len(ids))
    return seen


def _descriptor(image: UInt8) -> NDArray[np.float64]:
    """(4096,) with zero mean and unit norm: the fine structure that NEAR speaks of; zeros for a constant image."""
    small = np.asarray(
        Image.fromarray(image.astype(np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64
    )
    fine = (small - ndimage.gaussian_filter(small, _BLUR)).ravel()
    centred = fine - fine.mean()
    norm = float(np.linalg.norm(centred))
    return centred / norm if norm > 1e-6 else np.zeros_like(centred)


def _near(train: _Seen, test: _Seen) -> list[Near]:
    if not train.names or not test.names:
        return []
    likeness = np.stack(
        [np.stack([d[k] for d in test.descriptors]) @ np.stack([d[k] for d in train.descriptors]).T for k in range(2)]
    )
    hits = np.argwhere(likeness.min(axis=0) >= NEAR)
    return [
        Near(test=test.names[i], train=train.names[j], first=float(likeness[0, i, j]), second=float(likeness[1, i, j]))
        for i, j in hits
    ]


def _duplicates(seen: Mapping[str, _Seen], modalities: tuple[str, str]) -> list[list[str]]:
    groups: dict[tuple[int, str], list[str]] = collections.defaultdict(list)
    for split, found in seen.items():
        for id, pair in zip(found.names, found.digests, strict=True):
            for which, digest in enumerate(pair):
                groups[which, digest].append(f"{split}/{id} {modalities[which]}")
    return [group for group in groups.values() if len(group) > 1]


def _shared_cases(seen: Mapping[str, _Seen]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for split, found in seen.items():
        for case, count in collections.Counter(found.cases).items():
            if case:
                counts[case][split] = count
    return {case: splits for case, splits in sorted(counts.items()) if len(splits) > 1}


def _against_manifest(name: str, data: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Files of a Harvard task that differ from the published bytes, and those missing; ([], []) for other data sets."""
    dataset, _, task = name.partition("/")
    root = find_root(data) if dataset == "harvard" else None
    if root is None:
        return [], []
    sums = {path: digest for path, digest in manifest().items() if path.startswith(f"{task.upper()}/")}
    if not any((root / task.upper() / part).is_dir() for part in ("train", "test")):  # the flat layout
        sums = {path.replace("/train/", "/").replace("/test/", "/"): digest for path, digest in sums.items()}
    return compare_files(root, sums)


def compare_files(root: Path, sums: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Relative paths of ``sums`` (path -> SHA-256) whose file under ``root`` differs, and those that are absent."""
    altered, absent = [], []
    for path, expected in sums.items():
        try:
            if hashlib.sha256((root / path).read_bytes()).hexdigest() != expected:
                altered.append(path)
        except FileNotFoundError:
            absent.append(path)
        except OSError:
            altered.append(path)
    return altered, absent
