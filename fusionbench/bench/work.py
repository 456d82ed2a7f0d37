"""What a worker does: fuse some pairs with one method, or score all images of one pair. No tables, no planning.

Units are small, independent, idempotent and cheap to hand to another process. Methods and metrics never meet: between
them lie 8-bit PNG files.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.datasets import Task
from fusionbench.datasets.degraded import DegradedTask, parse_degradation
from fusionbench.datasets.levels import CHANNELS, open_task
from fusionbench.errors import InputError
from fusionbench.methods import Created, Method, create_method
from fusionbench.methods.external import FromFile, load_method
from fusionbench.methods.reconstruction import create_reconstruction, reconstruction_about
from fusionbench.metrics import prepare
from fusionbench.pairs import Pair, pixel_digest, read_picture, to_uint8, write_png
from fusionbench.registry import import_module
from fusionbench.scores import Key, Record

UInt8 = NDArray[np.uint8]


class ContractError(InputError):
    """A method that broke its contract: what it returned cannot be used."""


@dataclasses.dataclass(frozen=True)
class TaskRef:
    """A task as the user named it. ``corrupt``: how one source is degraded before fusing (see ``datasets.degraded``), "" for
    clean; ``channel``: what is fused of a coloured source, "luma" or "level" (see ``datasets.levels``)."""

    name: str
    data: tuple[Path, ...] = ()
    split: str = "test"
    corrupt: str = ""
    channel: str = "luma"

    def __post_init__(self) -> None:
        if self.channel not in CHANNELS:
            raise InputError(f"unknown channel {self.channel!r}; take one of: {', '.join(CHANNELS)}")
        if self.corrupt and self.channel != "luma":
            raise InputError("degraded pairs are fused by luminance; leave out --channel or --corrupt")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.split):  # it becomes the name of a folder
            raise InputError(f"split {self.split!r}: give a name of letters, digits and . _ -, such as test or train")

    def open(self) -> Task:
        task = open_task(self.name, self.channel, data=self.data, split=self.split)
        if not self.corrupt:
            return task
        flaw = parse_degradation(self.corrupt)
        if not flaw.reconstruct:
            return DegradedTask(task, flaw)
        restorer = create_reconstruction(flaw.reconstruct)
        restorer.prepare(torch.device("cpu"))
        return DegradedTask(task, flaw, restorer.restore, reconstruction_about(flaw.reconstruct)["made"])

    @property
    def clean(self) -> TaskRef:
        """The task that fused images are scored on."""
        return dataclasses.replace(self, corrupt="")

    def key(self, method: str) -> Key:
        """Where results are kept; a split other than "test" is a dataset of its own, and so are a degraded one, another
        channel and each of the user's: ``folders:mine`` is kept as ``folders-mine``."""
        return Key.of(self.name, split=self.split, channel=self.channel, flaw=self.corrupt, method=method)


@dataclasses.dataclass(frozen=True)
class Mask:
    """Where in an image to score. ``name``: what it is called in a column, "" for the whole image; ``file``: of "mask"."""

    name: str = ""
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Mask:
        """Of what the user says: "none", "foreground" or the path of an image, which must be one. Raises InputError."""
        if text in ("none", "foreground"):
            return cls("" if text == "none" else text)
        mask = cls("mask", Path(text).absolute())
        mask.read()
        return mask

    def read(self) -> str | UInt8:
        """What metrics take: "none", "foreground" or levels."""
        return (self.name or "none") if self.file is None else read_picture(self.file).grey

    def version(self) -> str:
        """Changes with the pixels of an image."""
        levels = self.read()
        return "" if isinstance(levels, str) else "/" + pixel_digest(levels)[:16]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an isolated method may take: seconds a pair, bytes of memory in all."""

    seconds: float = 600.0
    memory: int = 8 << 30


@dataclasses.dataclass(frozen=True)
class FuseUnit:
    """Fuse some pairs of a task with one method. ``todo``: pair -> (pair digest, fingerprint of the image to be made)."""

    task: TaskRef
    spec: str
    key: Key
    todo: Mapping[str, tuple[str, str]]
    results: Path
    device: str
    seed: int
    plugins: tuple[str, ...] = ()
    limits: Limits = Limits()  # heeded by fusionbench.bench.isolate
    run: str = ""  # names the run: a worker that outlives it keeps nothing for the next one

    def split(self) -> list[FuseUnit]:
        """The same work, a unit a pair."""
        return [dataclasses.replace(self, todo={pair: made}) for pair, made in self.todo.items()]

    def on(self, device: str) -> FuseUnit:
        return dataclasses.replace(self, device=device)

    def lost(self, reason: str, trace: str = "") -> Row:
        """The row of a unit of one pair whose process died; trace: the last that it printed."""
        ((pair, (digest, made)),) = self.todo.items()
        record: Record = {"case": self.task.open().case(pair), "pair": digest, "fused": made, "error": reason}
        return Row(self.key, pair, record, trace=trace)


@dataclasses.dataclass(frozen=True)
class ScoreJob:
    """One image of a ScoreUnit's pair: its table, the file, its coloured version if it has one, and metric ids."""

    key: Key
    image: Path
    color: Path | None
    metrics: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ScoreUnit:
    """Score, of some pairs, all images that lack a score."""

    task: TaskRef
    todo: Mapping[str, tuple[ScoreJob, ...]]
    device: str
    mask: Mask
    plugins: tuple[str, ...] = ()
    run: str = ""

    def split(self) -> list[ScoreUnit]:
        """The same work, a unit an image."""
        return [dataclasses.replace(self, todo={pair: (job,)}) for pair, jobs in self.todo.items() for job in jobs]

    def on(self, device: str) -> ScoreUnit:
        return dataclasses.replace(self, device=device)

    def lost(self, reason: str) -> Row:
        """The row of a unit of one image whose process died: it stays without a score, and is told."""
        ((pair, (job,)),) = self.todo.items()
        return Row(job.key, pair, {}, lost=reason)


@dataclasses.dataclass(frozen=True)
class Row:
    """What a worker sends back: a record for one pair, or why there is none.

    ``broken``: how the method broke its contract on this pair. ``lost``: why an image could not be scored. ``refused``: what
    the method said of its input or settings (an InputError). ``trace``: the traceback of a failure, or the last that a dead
    process printed. ``made``: program and machine, where they are not this one (see ``provenance.making``), else None.
    """

    key: Key
    pair: str
    record: Record
    broken: str = ""
    lost: str = ""
    refused: str = ""
    trace: str = ""
    made: Mapping[str, Any] | None = None


class Unit(Protocol):
    """Work that can be handed to another process."""

    @property
    def device(self) -> str: ...

    def split(self) -> list[Self]:
        """The same work in the smallest units there are; a single one of itself when it is that already."""

    def on(self, device: str) -> Self:
        """The same work on another device."""

    def lost(self, reason: str) -> Row:
        """What to write down for a smallest unit whose worker died each time."""


def fuse_unit(unit: FuseUnit) -> Iterator[Row]:
    """Fuse and write PNGs, row by row. A pair on which the method raises becomes a row with the reason."""
    import_plugins(unit.plugins)
    task = opened(unit.task, unit.run)
    method = prepared(unit.spec, unit.device, unit.run)
    for pair, result in fuse_loaded(method, map(task.load, unit.todo), unit.device, unit.seed, unit.task.name):
        yield _fused_row(unit, pair, result)


def fuse_loaded(
    method: Created, pairs: Iterable[Pair], device: str, seed: int, task: str
) -> Iterator[tuple[Pair, Result]]:
    """Each pair with its result, by a prepared method."""
    for batch in _batches(pairs, method.batch):
        yield from zip(batch, _fuse_batch(method.method, batch, device, seed, task), strict=True)


def _batches(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """Runs of pairs of the same shape, ``size`` at most."""
    batch: list[Pair] = []
    for pair in pairs:
        if batch and pair.a.shape != batch[0].a.shape:
            yield batch
            batch = []
        batch.append(pair)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


Result = tuple[UInt8, float] | Exception


def _fuse_batch(method: Method, pairs: Sequence[Pair], device: str, seed: int, task: str) -> list[Result]:
    """A result a pair: (image, seconds) or what was raised. A batch that fails is tried again pair by pair."""
    try:
        return list(fuse_pairs(method, pairs, device, seed, task))
    except Exception as error:  # any failure of a method costs that pair only, and is told with its reason
        if len(pairs) == 1:
            return [error]
    return [_fuse_batch(method, [pair], device, seed, task)[0] for pair in pairs]


def _fused_row(unit: FuseUnit, pair: Pair, result: Result) -> Row:
    if isinstance(result, Exception):
        return _failed_row(unit, pair, result)
    digest, made = unit.todo[pair.id]
    record: Record = {"case": pair.case, "pair": digest, "fused": made}
    fused, seconds = result
    path = unit.key.image(unit.results, pair.id)
    record["image"] = write_png(path, fused, durable=False)  # its digest tells when it is damaged
    shown = pair.show(fused)
    if shown is not None:
        write_png(unit.key.picture(unit.results, pair.id), shown, durable=False)
    return Row(unit.key, pair.id, record | {"seconds": round(seconds, 6)})


def _failed_row(unit: FuseUnit, pair: Pair, error: Exception) -> Row:
    """What a worker sends back for a pair on which a method raised."""
    digest, made = unit.todo[pair.id]
    if isinstance(error, ContractError):
        return Row(unit.key, pair.id, {}, broken=str(error))
    reason = failure(error)
    refused = str(error) if isinstance(error, InputError) else ""
    record: Record = {"case": pair.case, "pair": digest, "fused": made, "error": reason}
    return Row(unit.key, pair.id, record, refused=refused, trace="".join(traceback.format_exception(error)))


def failure(error: Exception) -> str:
    """What a method raised, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def score_unit(unit: ScoreUnit) -> Iterator[Row]:
    """Score row by row; what depends on a pair's sources alone is computed once for all its images."""
    import_plugins(unit.plugins)
    task = opened(unit.task, unit.run)
    mask: Any = unit.mask.read()
    for pair_id, jobs in unit.todo.items():
        pair = task.load(pair_id)
        truth = None if pair.truth is None else dict(pair.truth)
        sources = prepare(pair.a, pair.b, mask=mask, truth=truth, color=pair.color, device=unit.device)
        for job in jobs:
            fused = read_picture(job.image)
            rgb = fused.color
            if rgb is None and job.color is not None and job.color.exists():
                rgb = read_picture(job.color).color
            values = sources.score(fused.grey, job.metrics, fused_rgb=rgb)
            yield Row(job.key, pair_id, {"scores": {name: float(value[0]) for name, value in values.items()}})


def fuse_pair(method: Method, pair: Pair, device: str, seed: int, task: str = "") -> tuple[UInt8, float]:
    """:func:`fuse_pairs` of one."""
    return fuse_pairs(method, [pair], device, seed, task)[0]


def fuse_pairs(
    method: Method, pairs: Sequence[Pair], device: str, seed: int, task: str = ""
) -> list[tuple[UInt8, float]]:
    """Fuse pairs of one size at once with a prepared method: for each, ((H, W) uint8 luminance, its share of the seconds).

    The random generator of a pair lives on the CPU and is seeded from seed, task and pair id, so that noise is the same on
    every device and in every order. Raises ContractError when a result is not what the contract says.
    """
    a, b = (
        torch.from_numpy(np.stack(images)).to(device, torch.float32)[:, None] / 255.0
        for images in ([pair.a for pair in pairs], [pair.b for pair in pairs])
    )
    generators = [_generator(f"{seed}/{task}/{pair.id}") for pair in pairs]
    start = time.perf_counter()
    with torch.inference_mode():
        fused = method.fuse(a, b, generators[0] if len(pairs) == 1 else generators)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / len(pairs)
    check_fused(fused, a, pairs[0].id)
    return [(to_uint8(image[0].double().cpu().numpy()), seconds) for image in fused]


def _generator(name: str) -> torch.Generator:
    entropy = hashlib.sha256(name.encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(entropy, "big") >> 1)


def check_fused(fused: Any, a: torch.Tensor, pair: str) -> None:
    """The Method contract's promises about a result; raises ContractError naming the pair and the remedy."""
    if not isinstance(fused, torch.Tensor):
        raise ContractError(f"pair {pair}: fuse returned {type(fused).__name__}; return a torch tensor like its inputs")
    if fused.shape != a.shape or fused.dtype != a.dtype or fused.device != a.device:
        raise ContractError(
            f"pair {pair}: fuse returned {fused.dtype} {tuple(fused.shape)} on {fused.device}; "
            f"return {a.dtype} {tuple(a.shape)} on {a.device}, like its inputs"
        )
    if not bool(torch.isfinite(fused).all()):
        raise ContractError(f"pair {pair}: fuse returned NaN or infinite values; guard divisions and logarithms")
    low, high = float(fused.min()), float(fused.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise ContractError(f"pair {pair}: fuse returned values from {low:.4g} to {high:.4g}; clamp them to [0, 1]")


def plugin_source(factory: Any) -> str:
    """What another process must import to have this plugin too: "" for our own, else a module's name or a file's path."""
    if isinstance(factory, FromFile):
        return factory.source
    module = str(factory.__module__)
    if module.startswith("fusionbench.") or module == "fusionbench":
        return ""
    if module.startswith("fusionbench_plugin_"):
        return str(sys.modules[module].__file__)
    return module


def import_plugins(sources: tuple[str, ...]) -> None:
    """Import what :func:`plugin_source` told of. Raises InputError when a plugin cannot be imported here."""
    for source in sources:
        if source == "__main__":
            raise InputError(
                "a plugin defined in a notebook or script cannot reach workers; put it into a file of its own"
            )
        if source.endswith(".toml"):
            load_method(Path(source))
        else:
            import_module(source)


@functools.lru_cache(maxsize=2)
def opened(task: TaskRef, run: str) -> Task:
    """A task; kept during a run, since listing the files of many pairs for every unit would take longer than the unit."""
    return task.open()


@functools.lru_cache(maxsize=2)
def prepared(spec: str, device: str, run: str) -> Created:
    """A method with its weights on the device; kept during a run, since units of one method follow each other."""
    created = create_method(spec)
    created.method.prepare(torch.device(device))
    return created
