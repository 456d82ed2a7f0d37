"""Training pairs and the crops drawn from them. Every draw is a pure function of (seed, step, sample): no state to save."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from fusionbench.errors import InputError
from fusionbench.pairs import UInt8, pixel_digest


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingPair:
    """One registered pair in memory. a: (H,W) uint8, the MRI; b: (H,W) uint8, the other modality's grey levels.

    target: (H,W) uint8, a third image that a method learns from, where it has one; cropped and flipped with the others.
    """

    task: str
    id: str
    case: str
    a: UInt8
    b: UInt8
    target: UInt8 | None = None


@dataclasses.dataclass(frozen=True)
class Split:
    """Pairs for training and for validation, with the patients that validation holds."""

    train: list[TrainingPair]
    validation: list[TrainingPair]

    def describe(self) -> dict[str, object]:
        """Counts, cases and a digest of all pixels, for a weights card."""
        tasks = sorted({pair.task for pair in self.train})
        digest = hashlib.sha256("".join(pixel_digest(p.a, p.b) for p in self.train).encode()).hexdigest()
        return {
            "train_pairs": {task: sum(p.task == task for p in self.train) for task in tasks},
            "train_cases": _cases(self.train),
            "validation_pairs": {task: sum(p.task == task for p in self.validation) for task in tasks},
            "validation_cases": _cases(self.validation),
            "train_sha256": digest,
        }


def _cases(pairs: Sequence[TrainingPair]) -> dict[str, list[str]]:
    return {task: sorted({p.case for p in pairs if p.task == task}) for task in sorted({p.task for p in pairs})}


def without_copies(pairs: Iterable[TrainingPair], held_out: Iterable[TrainingPair]) -> list[TrainingPair]:
    """The pairs of which neither image is pixel-identical to an image of `held_out`."""
    forbidden = {pixel_digest(image) for pair in held_out for image in (pair.a, pair.b)}
    return [p for p in pairs if not {pixel_digest(p.a), pixel_digest(p.b)} & forbidden]


def split_by_case(pairs: Sequence[TrainingPair], validation_cases: Sequence[str]) -> Split:
    """Hold whole cases out for validation. validation_cases: "TASK/CASE" each.

    Raises InputError for a case that no pair has, and when nothing is left to train on.
    """
    known = {f"{pair.task}/{pair.case}" for pair in pairs}
    for case in validation_cases:
        if case not in known:
            raise InputError(f"validation case {case!r} is in no pair; known: {', '.join(sorted(known))}")
    held = set(validation_cases)
    train = [p for p in pairs if f"{p.task}/{p.case}" not in held]
    if not train:
        raise InputError("every case is held out for validation; name fewer")
    return Split(train, [p for p in pairs if f"{p.task}/{p.case}" in held])


def spread(pairs: Sequence[TrainingPair], count: int) -> list[TrainingPair]:
    """At most `count` pairs, evenly over the list (which is ordered by task and case)."""
    return [pairs[i * len(pairs) // count] for i in range(count)] if len(pairs) > count else list(pairs)


def to_signed(images: Sequence[UInt8]) -> Tensor:
    """(H,W) uint8 images of one size -> (N,1,H,W) float32 in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).float()[:, None] / 127.5 - 1


def sample_seed(seed: int, *where: int) -> int:
    """A 63-bit seed from a run's seed and any position in it (step, sample, ...)."""
    digest = hashlib.blake2b(repr((seed, *where)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def sample_seeds(seed: int, step: int, samples: range, pool: int = 0) -> list[int]:
    """The seed of each sample of a step; `samples` numbers them across all processes, so that several draw what one would.

    With a pool, each position draws from that many different samples of its own, so that what is costly to compute can be
    kept by seed, by the process that will need it again.
    """
    seeds = [sample_seed(seed, step, i) for i in samples]
    return [sample_seed(seed, drawn % pool, i, -1) for drawn, i in zip(seeds, samples, strict=True)] if pool else seeds


def draw_crops(
    pairs: Sequence[TrainingPair], seeds: Sequence[int], crop: int, darkest: float = 8.0
) -> tuple[Tensor, ...]:
    """A random flipped crop from each seed, (N,1,crop,crop) float32 in [-1, 1] of a, of b, and of the target if all pairs
    have one.

    A task is drawn first, each as often as the others, then a pair of it. Crops whose mean level (of max(a, b)) is below
    `darkest` are drawn again, up to three times: mere background teaches nothing.
    """
    tasks = sorted({pair.task for pair in pairs})
    by_task = [[pair for pair in pairs if pair.task == task] for task in tasks]
    crops = [_draw_crop(by_task, np.random.default_rng(seed), crop, darkest) for seed in seeds]
    return tuple(to_signed(images) for images in zip(*crops, strict=True))


def _draw_crop(by_task: list[list[TrainingPair]], rng: np.random.Generator, crop: int, darkest: float) -> list[UInt8]:
    candidates = by_task[rng.integers(len(by_task))]
    pair = candidates[rng.integers(len(candidates))]
    height, width = pair.a.shape
    if min(height, width) < crop:
        raise InputError(
            f"pair {pair.task}/{pair.id} is {width} x {height}, smaller than the crop; use --crop {min(height, width)}"
        )
    for _ in range(4):
        y, x = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
        if np.maximum(*(image[y : y + crop, x : x + crop] for image in (pair.a, pair.b))).mean() >= darkest:
            break
    whole = [pair.a, pair.b] if pair.target is None else [pair.a, pair.b, pair.target]
    images = [image[y : y + crop, x : x + crop] for image in whole]
    for axis in (0, 1):
        if rng.random() < 0.5:
            images = [np.flip(image, axis) for image in images]
    return images
