"""Generated brain pairs with known ground truth: the embedded data set ``phantom``.

Every pair is a new subject: a slice of the ICBM 152 atlas, deformed, given a skull, a scalp and focal lesions (see
``_anatomy``), then imaged twice.

* MRI: signal of each tissue for a T1- or T2-weighted sequence, smooth coil bias, Rician noise.
* CT: Hounsfield units, the scanner's blur and noise, a brain window; in some pairs the head rest below.
* PET: uptake grey : white : fluid = 4 : 1 : 0, a smooth variation between regions, lesions; resolution 6 mm (FWHM) and
  Poisson counts. SPECT: the same with 11 mm and fewer counts. A part of the blur lies before the counting (the detector)
  and a part after it (the reconstruction filter), which gives the noise its grain. Shown through the colour
  tables of ``levels``.

A pair's name is its split and a number of five digits (``test-00017``), and fixes every pixel: the generator is seeded by a
hash of task and name. Any number works, so that a run may be of any size; pairs of train and test share no atlas slice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.datasets._anatomy import SIZE, Array, Head, make_head, smooth_field, smoothstep
from fusionbench.datasets.levels import PET_TABLE, SPECT_TABLE, Anchors, color_table
from fusionbench.errors import InputError
from fusionbench.pairs import Pair, UInt8, grey, to_uint8

VERSION = 1  # bumped whenever a pixel of any pair changes

COUNTS = {"test": 24, "train": 60}
# Slices 0..29 of the atlas lie 3 mm apart; every third is for testing.
SLICES = {"test": tuple(range(1, 30, 3)), "train": tuple(i for i in range(30) if i % 3 != 1)}

_ID = re.compile(r"(test|train)-([0-9]{5,9})")
_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in standard deviations


@dataclasses.dataclass(frozen=True)
class Tracer:
    """How an emission tomograph sees.

    ``fwhm``: resolution in mm. ``counts``: a pixel at grey-matter uptake. ``level``: where grey matter comes on the
    colour ``table``, 0..1. ``scalp``: uptake relative to white matter.
    """

    fwhm: float
    counts: float
    level: float
    scalp: float
    table: Anchors


PET = Tracer(fwhm=6.0, counts=40.0, level=0.62, scalp=0.35, table=PET_TABLE)
SPECT = Tracer(fwhm=11.0, counts=8.0, level=0.90, scalp=0.8, table=SPECT_TABLE)


def checked_count(task: str, split: str, count: int | None, known: Mapping[str, int]) -> int:
    """How many pairs or subjects a generated task has; ``known``: of each split unless told. Raises InputError."""
    if split not in known:
        raise InputError(f"{task} has no split {split!r}; take one of: {', '.join(known)}")
    if count is not None and not 1 <= count <= 99_999:
        raise InputError(f"{task}: count={count} must be between 1 and 99999")
    return known[split] if count is None else count


class _Phantom:
    """The task; ``count``: how many pairs the split has (24 for testing and 60 for training unless given)."""

    facts: TaskFacts
    t2_share: float

    def __init__(self, *, data: Sequence[Path] = (), split: str = "test", count: int | None = None) -> None:
        self._split = split
        self._count = checked_count(self.facts.name, split, count, COUNTS)

    def ids(self) -> list[str]:
        return [f"{self._split}-{number:05d}" for number in range(self._count)]

    def load(self, id: str) -> Pair:
        split, number = _parse(self.facts.name, id)
        rng = np.random.Generator(np.random.PCG64(_seed(self.facts.task, id)))
        slices = SLICES[split]
        head = make_head(rng, slices[number % len(slices)])
        a = mri(rng, head, t2=bool(rng.random() < self.t2_share))
        b, color, uptake = self._other(rng, head)
        truth = tissue_maps(head, uptake)
        truth["lesion"] = head.lesion
        return Pair(id=id, a=a, b=b, color=color, case=self.case(id), spacing=head.mm, truth=truth)

    def _other(self, rng: np.random.Generator, head: Head) -> tuple[UInt8, UInt8 | None, Array | None]:
        raise NotImplementedError

    def check(self, id: str) -> None:
        _parse(self.facts.name, id)

    def case(self, id: str) -> str:
        _parse(self.facts.name, id)
        return id  # every pair is a subject of its own

    def digest(self, id: str) -> str:
        _parse(self.facts.name, id)
        return hashlib.sha256(f"{self.facts.name} {VERSION} {id}".encode()).hexdigest()


def tissue_maps(head: Head, uptake: Array | None) -> dict[str, NDArray[Any]]:
    """Ground truth of a pair but for its lesions, float32: fractions of tissue, and the noise-free uptake as ``tracer``."""
    maps = {"gm": head.gm, "wm": head.wm, "csf": head.csf, "bone": head.bone + head.marrow}
    if uptake is not None:
        maps["tracer"] = uptake
    return {name: values.astype(np.float32) for name, values in maps.items()}


def _parse(task: str, id: str) -> tuple[str, int]:
    match = _ID.fullmatch(id)
    if match is None:
        raise InputError(f"{task} has no pair {id!r}; names look like test-00017 or train-00003")
    return match[1], int(match[2])


def _seed(task: str, id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"phantom {task} {id}".encode()).digest()[:16], "big")


def blur(image: Array, fwhm: float, mm: float) -> Array:
    """Gaussian point spread of ``fwhm`` millimetres."""
    return np.asarray(ndimage.gaussian_filter(image, fwhm / _FWHM / mm, mode="nearest", truncate=3.5))


def mri(rng: np.random.Generator, head: Head, t2: bool) -> UInt8:
    """(SIZE, SIZE) uint8 MRI: T2- or T1-weighted contrast, bias field, Rician noise, display window."""
    lesion = head.hot + head.cold
    tissue = head.gm + head.wm
    fat = smoothstep((head.skin - 1.2) / 1.0)  # skin outside, fat below
    grain = 1.0 + 0.16 * smooth_field(rng, 9.0) + 0.10 * smooth_field(rng, 4.0)
    if t2:
        signal = 0.96 * head.csf + 0.56 * head.gm + 0.36 * head.wm - 0.05 * head.detail * tissue
        signal += lesion * rng.uniform(0.25, 0.5)
        signal += grain * (head.scalp * (0.20 + 0.26 * fat) + 0.30 * head.marrow + 0.03 * head.bone)
    else:
        signal = 0.13 * head.csf + 0.52 * head.gm + 0.78 * head.wm + 0.07 * head.detail * tissue
        signal -= lesion * rng.uniform(0.12, 0.3)
        signal += grain * (head.scalp * (0.45 + 0.50 * fat) + 0.40 * head.marrow + 0.04 * head.bone)
    signal *= 1.0 + 0.03 * smooth_field(rng, 6.0)  # tissue is not perfectly even
    bias = smooth_field(rng, 120.0)
    signal = blur(np.clip(signal, 0.0, None), 0.9, head.mm) * np.exp(0.10 * (bias - bias.mean()))
    sigma = rng.uniform(0.012, 0.03)
    noise = sigma * rng.standard_normal((2, SIZE, SIZE))
    magnitude = np.hypot(signal + noise[0], noise[1])
    low, high = 2.2 * sigma, rng.uniform(0.86, 1.02)
    return to_uint8(np.clip((magnitude - low) / (high - low), 0.0, 1.0))


def ct(rng: np.random.Generator, head: Head, *, bled: bool | None = None) -> UInt8:
    """(SIZE, SIZE) uint8 CT: Hounsfield units, blur, noise, brain window. ``bled``: hot lesions are dense; None: drawn."""
    matter = head.gm + head.wm
    air = 1.0 - head.gm - head.wm - head.csf - head.bone - head.marrow - head.scalp
    fat = smoothstep((head.skin - 1.5) / 1.0)
    hounsfield = 7.0 * head.csf + 39.0 * head.gm + 29.0 * head.wm + 1100.0 * head.bone + 650.0 * head.marrow
    hounsfield += head.scalp * (30.0 - 110.0 * fat) - 1000.0 * np.clip(air, 0.0, None)
    drawn = rng.random() < 0.3  # hot lesions are dense when they have bled, otherwise swollen and dark
    bleeding = drawn if bled is None else bled
    hounsfield += head.hot * (30.0 if bleeding else -8.0) - head.cold * rng.uniform(8.0, 16.0)
    hounsfield += _calcifications(rng, head, matter)
    if rng.random() < 0.6:
        hounsfield = np.maximum(hounsfield, _head_rest(rng, head.mm))
    hounsfield = blur(hounsfield, 1.3, head.mm)
    hounsfield += 10.0 * np.exp(-np.clip(head.depth, 0.0, None) / 5.0) * (head.depth > 0)  # cupping below the skull
    noise = blur(rng.standard_normal((SIZE, SIZE)), 1.6, head.mm)
    hounsfield += noise * (rng.uniform(1.3, 2.8) / noise.std())
    centre, width = rng.uniform(34.0, 42.0), rng.uniform(80.0, 120.0)
    return to_uint8(np.clip((hounsfield - centre) / width + 0.5, 0.0, 1.0))


def _calcifications(rng: np.random.Generator, head: Head, matter: Array) -> Array:
    """Bright specks on the ventricles' walls and the midline, in about half of the slices: (SIZE, SIZE) HU."""
    out = np.zeros((SIZE, SIZE))
    if rng.random() < 0.5:
        return out
    deep = np.flatnonzero((head.csf > 0.8) & (head.depth > 42.0))
    for _ in range(int(rng.integers(1, 4))):
        radius = rng.uniform(1.0, 2.4)
        if deep.size == 0:
            break
        row, column = divmod(int(deep[int(rng.integers(deep.size))]), SIZE)
        distance = np.hypot(head.x - head.x[row, column], head.y - head.y[row, column])
        out = np.maximum(out, rng.uniform(120.0, 400.0) * smoothstep((radius + 0.6 - distance) / 1.2))
    return out


def _head_rest(rng: np.random.Generator, mm: float) -> Array:
    """The carbon cradle under the head: two ends of a thin arc, (SIZE, SIZE) HU, -1000 elsewhere."""
    v, u = np.meshgrid(*[(np.arange(SIZE) - (SIZE - 1) / 2.0) * mm] * 2, indexing="ij")
    radius = rng.uniform(125.0, 145.0)
    ring = np.abs(np.hypot(u - rng.normal(0.0, 4.0), v - rng.uniform(-8.0, 8.0)) - radius)
    return np.asarray(-1000.0 + 1150.0 * smoothstep((2.0 - ring) / 1.0) * (v > 20.0))


def emission(rng: np.random.Generator, head: Head, tracer: Tracer) -> tuple[UInt8, Array]:
    """PET or SPECT: (SIZE, SIZE, 3) uint8 through the colour table, and the noise-free uptake (grey matter about 4)."""
    regional = 1.0 + 0.10 * smooth_field(rng, 60.0) + 0.07 * smooth_field(rng, 22.0)
    visual = rng.uniform(0.0, 0.35) * np.exp(-((head.x / 22.0) ** 2) - ((head.y - 72.0) / 25.0) ** 2)
    deep = 0.12 * smoothstep((head.depth - 38.0) / 10.0)  # basal ganglia and thalamus
    uptake = (4.0 * head.gm + 1.0 * head.wm) * np.clip(regional + visual + deep, 0.3, None)
    uptake *= 1.0 + head.hot * rng.uniform(0.5, 1.1) - head.cold * rng.uniform(0.5, 0.85)
    uptake += head.hot * 1.2
    scalp = tracer.scalp * head.scalp * np.clip(0.7 + 0.5 * smooth_field(rng, 16.0), 0.0, None)
    image = scan(rng, uptake + scalp, tracer, head.mm)
    level = (image - 0.02) * (tracer.level * rng.uniform(0.9, 1.1))
    return color_table(tracer.table)[to_uint8(np.clip(level, 0.0, 1.0))], uptake


def scan(rng: np.random.Generator, activity: Array, tracer: Tracer, mm: float) -> Array:
    """Detector blur, Poisson counts (with 1 % of grey matter's as background), reconstruction filter; grey matter is 1."""
    # Two Gaussians in a row are one whose width adds in squares: 0.8 and 0.6 of the stated resolution make the whole.
    expected = blur(activity, 0.8 * tracer.fwhm, mm) * (tracer.counts / 4.0)
    counts = rng.poisson(np.clip(expected, 0.0, None) + 0.01 * tracer.counts).astype(np.float64)
    return blur(counts, 0.6 * tracer.fwhm, mm) / tracer.counts


def _facts(task: str, title: str, modality: str) -> TaskFacts:
    return TaskFacts(
        name=f"phantom/{task}",
        title=f"{title} (generated)",
        modalities=("MRI", modality),
        reference="Generated from the ICBM 152 2009a atlas of Fonov et al., NeuroImage 54 (2011) 313-327",
        doi="10.1016/j.neuroimage.2010.07.033",
        year=2011,
        licence="free for any purpose with the notice in ICBM152-LICENSE.txt",
        truth=True,
        version=VERSION,
    )


CT_MRI = _facts("ct-mri", "CT and MRI", "CT")
PET_MRI = _facts("pet-mri", "PET and MRI", "PET")
SPECT_MRI = _facts("spect-mri", "SPECT and MRI", "SPECT")


@TASKS.register(CT_MRI)
class PhantomCtMri(_Phantom):
    facts = CT_MRI
    t2_share = 0.75

    def _other(self, rng: np.random.Generator, head: Head) -> tuple[UInt8, UInt8 | None, Array | None]:
        return ct(rng, head), None, None


@TASKS.register(PET_MRI)
class PhantomPetMri(_Phantom):
    facts = PET_MRI
    t2_share = 0.25

    def _other(self, rng: np.random.Generator, head: Head) -> tuple[UInt8, UInt8 | None, Array | None]:
        color, uptake = emission(rng, head, PET)
        return grey(color), color, uptake


@TASKS.register(SPECT_MRI)
class PhantomSpectMri(_Phantom):
    facts = SPECT_MRI
    t2_share = 0.8

    def _other(self, rng: np.random.Generator, head: Head) -> tuple[UInt8, UInt8 | None, Array | None]:
        color, uptake = emission(rng, head, SPECT)
        return grey(color), color, uptake
