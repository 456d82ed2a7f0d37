"""Generated pairs with a finding in neither, one, the other or both images: the data set ``lesion``, for model observers.

A subject is an atlas slice and a place in its brain. Each of its four images shows that slice anew: deformation, skull,
scanners, noise, bias and windows are drawn for every image, by the generator of ``phantom`` without its own lesions. States:
``none``, ``mri`` (a finding in the MRI only), ``other`` (in CT, PET or SPECT only), ``both``. The reader knows the place
and the shape; the contrast is random.

Findings, fixed by task so that their sign is known: MRI a T2-bright (CT-MRI, SPECT-MRI) or T1-dark (PET-MRI) focus; CT a
bleed; PET and SPECT a hot focus. Their contrast was set once by ``tools/calibrate_lesions.py`` on training subjects, before
any fused image was looked at, such that the image that shows the finding gives its linear observer an area under the ROC
curve of 0.90 to 0.95 (docs/observers.md).

Names are split, subject and state (``test-00017-both``) and fix every pixel; any number of subjects can be had. Subjects of
train and test share no atlas slice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from fusionbench.datasets import TASKS, TaskFacts, phantom
from fusionbench.datasets._anatomy import Array, Head, atlas, make_head, smoothstep
from fusionbench.datasets.levels import levels_of
from fusionbench.errors import InputError
from fusionbench.pairs import Pair, UInt8, grey

VERSION = 1  # bumped whenever a pixel of any pair changes

STATES = ("none", "mri", "other", "both")
COUNTS = {"test": 25, "train": 25}  # subjects, unless told otherwise
_ID = re.compile(r"((test|train)-([0-9]{5,9}))-(none|mri|other|both)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """``radius``: mm. ``contrast``: times what lesions of ``phantom`` have (there and here it is random, within a factor
    of about two). ``width``: of the Laguerre-Gauss channels that fit it, pixels."""

    radius: float
    contrast: float
    width: float = 8.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """What one task shows: the MRI's sequence, the finding in it and in the other image."""

    t2: bool
    mri: Finding
    other: Finding


STUDIES = {
    "ct-mri": Study(t2=True, mri=Finding(radius=4.0, contrast=0.22), other=Finding(radius=4.0, contrast=0.165)),
    "pet-mri": Study(t2=False, mri=Finding(radius=4.0, contrast=0.45), other=Finding(radius=6.0, contrast=0.50)),
    "spect-mri": Study(
        t2=True, mri=Finding(radius=4.0, contrast=0.21), other=Finding(radius=8.0, contrast=0.75, width=22.0)
    ),
}


_TRACERS = {"pet-mri": phantom.PET, "spect-mri": phantom.SPECT}


class _Lesion:
    """The task; ``count``: how many subjects, four pairs each."""

    facts: TaskFacts

    def __init__(
        self, *, data: Sequence[Path] = (), split: str = "test", count: int | None = None, study: Study | None = None
    ) -> None:
        self._split = split
        self._count = phantom.checked_count(self.facts.name, split, count, COUNTS)
        self._study = STUDIES[self.facts.task] if study is None else study

    def ids(self) -> list[str]:
        return sorted(self.subjects(self._count))

    @property
    def widths(self) -> tuple[float, float]:
        return self._study.mri.width, self._study.other.width

    def subjects(self, count: int) -> list[str]:
        if not 1 <= count <= 99_999:
            raise InputError(f"{self.facts.name}: {count} subjects; take between 1 and 99999")
        return [f"{self._split}-{n:05d}-{state}" for n in range(count) for state in STATES]

    def shows(self, id: str) -> tuple[bool, bool]:
        state = _parse(self.facts.name, id)[2]
        return state in ("mri", "both"), state in ("other", "both")

    def level(self, color: UInt8) -> UInt8:
        return levels_of(color, _TRACERS[self.facts.task].table)[0]

    def load(self, id: str) -> Pair:
        """Truth: as of ``phantom``, its ``lesion`` 1 in either finding; ``place``: 1 at the place's pixel; ``mri`` and
        ``other``: shapes of the findings, empty where absent."""
        split, number, _ = _parse(self.facts.name, id)
        rng = np.random.Generator(np.random.PCG64(_seed(self.facts.task, id)))
        index = phantom.SLICES[split][number % len(phantom.SLICES[split])]
        head = make_head(rng, index)
        row, column = _pixel(head, _place(index, np.random.PCG64(_seed(self.facts.task, self.case(id)))))
        shapes = [
            _shape(head, row, column, finding.radius) * shown
            for finding, shown in zip((self._study.mri, self._study.other), self.shows(id), strict=True)
        ]
        heads = [
            _with(head, shape * finding.contrast)
            for shape, finding in zip(shapes, (self._study.mri, self._study.other), strict=True)
        ]
        a = phantom.mri(rng, heads[0], self._study.t2)
        if self.facts.task == "ct-mri":
            b, color, uptake = phantom.ct(rng, heads[1], bled=True), None, None
        else:
            color, uptake = phantom.emission(rng, heads[1], _TRACERS[self.facts.task])
            b = grey(color)
        truth = phantom.tissue_maps(head, uptake)
        truth["lesion"] = (np.maximum(*shapes) > 0.5).astype(np.uint8)
        truth["place"] = np.zeros_like(head.lesion)
        truth["place"][row, column] = 1
        truth |= {name: shape.astype(np.float32) for name, shape in zip(("mri", "other"), shapes, strict=True)}
        return Pair(id=id, a=a, b=b, color=color, case=self.case(id), spacing=head.mm, truth=truth)

    def check(self, id: str) -> None:
        _parse(self.facts.name, id)

    def case(self, id: str) -> str:
        split, number, _ = _parse(self.facts.name, id)
        return f"{split}-{number:05d}"

    def digest(self, id: str) -> str:
        _parse(self.facts.name, id)
        return hashlib.sha256(f"{self.facts.name} {VERSION} {self._study} {id}".encode()).hexdigest()


def _parse(task: str, id: str) -> tuple[str, int, str]:
    match = _ID.fullmatch(id)
    if match is None:
        raise InputError(f"{task} has no pair {id!r}; names look like test-00017-both or train-00003-none")
    return match[2], int(match[3]), match[4]


def _seed(task: str, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"lesion {task} {name}".encode()).digest()[:16], "big")


def _place(index: int, source: np.random.PCG64) -> tuple[float, float]:
    """A place at least 6 mm inside the brain of an atlas slice: (y, x) in mm from the slice's middle."""
    brain = atlas()["gm"][index].astype(int) + atlas()["wm"][index] > 0.8 * 255
    deep = np.argwhere(ndimage.distance_transform_edt(ndimage.binary_closing(brain, iterations=2)) > 6.0)
    if not len(deep):
        deep = np.argwhere(brain)
    row, column = deep[int(np.random.Generator(source).integers(len(deep)))]
    height, width = brain.shape
    return float(row - (height - 1) / 2), float(column - (width - 1) / 2)


def _pixel(head: Head, place: tuple[float, float]) -> tuple[int, int]:
    """The pixel of brain tissue that lies closest to a place of the atlas."""
    distance = np.hypot(head.y - place[0], head.x - place[1])
    distance = np.where((head.gm + head.wm > 0.7) & (head.depth > 6.0), distance, np.inf)
    row, column = divmod(int(distance.argmin()), distance.shape[1])
    return row, column


def _shape(head: Head, row: int, column: int, radius: float) -> Array:
    """A disk with a soft edge around a pixel, within tissue: weights 0..1."""
    rows, columns = np.ogrid[: head.x.shape[0], : head.x.shape[1]]
    distance = np.hypot(rows - row, columns - column) * head.mm
    return smoothstep((radius + 0.6 - distance) / 1.2) * (head.gm + head.wm)


def _with(head: Head, weight: Array) -> Head:
    """The head with this finding and none of the lesions that it was made with."""
    label = (weight > 0).astype(np.uint8)
    return dataclasses.replace(head, hot=weight, cold=np.zeros_like(weight), lesion=label)


def _facts(base: TaskFacts) -> TaskFacts:
    return dataclasses.replace(
        base,
        name=f"lesion/{base.task}",
        title=f"{base.title.removesuffix(' (generated)')}, with and without a finding (generated)",
        version=VERSION,
    )


CT_MRI, PET_MRI, SPECT_MRI = (_facts(base) for base in (phantom.CT_MRI, phantom.PET_MRI, phantom.SPECT_MRI))


@TASKS.register(CT_MRI)
class LesionCtMri(_Lesion):
    facts = CT_MRI


@TASKS.register(PET_MRI)
class LesionPetMri(_Lesion):
    facts = PET_MRI


@TASKS.register(SPECT_MRI)
class LesionSpectMri(_Lesion):
    facts = SPECT_MRI
