"""The contract tests of plugins: what the suite's own tests run over all registries, and ``fusionbench verify`` on yours.

Each check is a function that raises ``Broken`` with what is wrong and what to do. They run on small generated images, on
the CPU, with no data and no network.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from fusionbench.bench.work import check_fused
from fusionbench.datasets import TASKS, Task, create_task
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, Method, create_method
from fusionbench.metrics import METRICS, evaluate, prepare
from fusionbench.pairs import Pair, is_file_name, recolour

Check = tuple[str, Callable[[], None]]


class Broken(Exception):
    """A plugin that does not keep its contract: what is wrong, and what to do."""


def method_checks(spec: str) -> Iterator[Check]:
    """(title, check) for one method, with settings if any (``"laplacian:levels=5"``)."""
    yield "fact sheet is complete", lambda: _facts(METHODS[spec.partition(":")[0]].facts, "title family")
    yield "settings are keyword-only, annotated and have defaults", lambda: _settings(spec)
    yield "shape, dtype, range on 64 x 48; sources left as they were", lambda: _fuse_checked(spec, 64, 48)
    yield "odd and small sizes: a result or a clear error", lambda: _odd_sizes(spec)
    yield "constant and black images: a result, no warning", lambda: _flat(spec)
    yield "the same image twice for the same seed", lambda: _deterministic(spec)
    yield "an image does not depend on its batch", lambda: _batch(spec)
    yield "identity and symmetry are as the fact sheet says", lambda: _laws(spec)


def metric_checks(name: str) -> Iterator[Check]:
    """(title, check) for one metric."""
    yield "fact sheet is complete", lambda: _metric_facts(name)
    yield "one float64 value an image", lambda: _metric_values(name)
    yield "an image's score does not depend on its batch", lambda: _metric_batch(name)
    yield "symmetry is as the fact sheet says", lambda: _metric_symmetry(name)
    yield "flat images: a value or NaN, no warning", lambda: _metric_flat(name)


def task_checks(name: str, open_task: Callable[[], Task] | None = None) -> Iterator[Check]:
    """(title, check) for one task; ``open_task`` where it needs data (default: as a run without ``--data`` opens it)."""
    opened = functools.cache(open_task or (lambda: create_task(name)))
    yield "fact sheet is complete", lambda: _facts(TASKS[name].facts, "title modalities")
    yield "ids are file names, unique, sorted, and stable", lambda: _ids(opened())
    yield "pairs load, and twice alike", lambda: _load(opened())
    yield "an unknown id is refused in words", lambda: _unknown_id(opened())


def plugin_checks(module: types.ModuleType, before: Mapping[str, Collection[str]]) -> Iterator[tuple[str, Check]]:
    """(plugin, check) for all that a module registers, itself or since ``before = registered()`` by what it imports."""
    for kind, registry, checks in (
        ("method", METHODS, method_checks),
        ("metric", METRICS, metric_checks),
        ("task", TASKS, task_checks),
    ):
        for name in sorted({*registry.of_module(module)} | ({*registry.names()} - {*before[kind]})):
            for check in checks(name):
                yield f"{kind} {name}", check


def registered() -> dict[str, list[str]]:
    """Kind -> names, as of now."""
    return {"method": METHODS.names(), "metric": METRICS.names(), "task": TASKS.names()}


def sample_images(n: int, height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two (n, 1, height, width) float32 batches in [0, 1] that look a little like slices: blobs on black, with texture."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    images = []
    for _ in range(2 * n):
        image = np.zeros((height, width))
        for _ in range(6):
            y, x, radius = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0.1, 0.5)
            image += rng.uniform(0.2, 1) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / radius**2)
        image = np.where(rows**2 + columns**2 < 0.9, image / image.max() + 0.05 * rng.standard_normal(image.shape), 0)
        images.append(np.round(np.clip(image, 0, 1) * 255) / 255)
    stack = torch.from_numpy(np.stack(images)).float()[:, None]
    return stack[:n], stack[n:]


def _generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(7 + i) for i in range(n)]


def _prepared(spec: str) -> Method:
    method = create_method(spec).method
    method.prepare(torch.device("cpu"))
    return method


def _fuse(method: Method, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        fused = method.fuse(a, b, _generators(len(a)))
    try:
        check_fused(fused, a, "of the check")
    except InputError as error:
        raise Broken(str(error)) from None
    return fused


def _fuse_checked(spec: str, height: int, width: int) -> None:
    a, b = sample_images(2, height, width)
    given = a.clone(), b.clone()
    _fuse(_prepared(spec), a, b)
    if not (torch.equal(a, given[0]) and torch.equal(b, given[1])):
        raise Broken("fuse changed its sources; work on copies")


def _odd_sizes(spec: str) -> None:
    method = _prepared(spec)
    for height, width in ((63, 50), (17, 17), (33, 81)):
        try:
            _fuse(method, *sample_images(1, height, width))
        except ValueError as error:
            if len(str(error)) < 15:
                raise Broken(f"{width} x {height} raises {error!r}; say what the smallest size is") from None


def _flat(spec: str) -> None:
    method = _prepared(spec)
    picture = sample_images(1, 48, 48)[0]
    for first, second in ((0.0, 0.0), (0.5, 0.5), (1.0, 0.0), (0.3, None)):
        a = torch.full((1, 1, 48, 48), first)
        _fuse(method, a, picture if second is None else torch.full_like(a, second))


def _deterministic(spec: str) -> None:
    a, b = sample_images(1, 64, 64)
    first, second = _fuse(_prepared(spec), a, b), _fuse(_prepared(spec), a, b)
    if not torch.equal(first, second):
        raise Broken("two runs with the same seed differ; draw random numbers from the generator that fuse is given")


def _batch(spec: str) -> None:
    method = _prepared(spec)
    a, b = sample_images(3, 48, 64)
    # Of unlike brightness, so that statistics taken over a batch show.
    bright = torch.tensor([1.0, 0.7, 0.4])[:, None, None, None]
    a, b = a * bright, b * bright
    batch = method.fuse(a, b, _generators(3))
    for i, generator in enumerate(_generators(3)):
        single = method.fuse(a[i : i + 1], b[i : i + 1], generator)
        worst = float((batch[i] - single[0]).abs().max())
        if worst > 1e-4:
            raise Broken(f"image {i} differs by {worst:.2g} alone and in a batch of three; treat images independently")


def _laws(spec: str) -> None:
    facts = METHODS[spec.partition(":")[0]].facts
    method = _prepared(spec)
    a, b = sample_images(1, 64, 64)
    if facts.identity:
        worst = float((_fuse(method, a, a) - a).abs().max())
        if worst > 1.5 / 255:
            raise Broken(
                f"fuse(x, x) differs from x by {worst * 255:.1f} levels; set identity=False or mend the method"
            )
    if facts.symmetric:
        worst = float((_fuse(method, a, b) - _fuse(method, b, a)).abs().max())
        if worst > 1.5 / 255:
            raise Broken(
                f"exchanged sources differ by {worst * 255:.1f} levels; set symmetric=False or mend the method"
            )


def _facts(facts: Any, fields: str) -> None:
    for field in fields.split():
        if not getattr(facts, field):
            raise Broken(f"the fact sheet has no {field}; fill it in")


def _metric_facts(name: str) -> None:
    facts = METRICS[name].facts
    _facts(facts, "title short family range formula degenerate")
    if facts.direction not in ("higher", "lower", "describes") or facts.customary not in ("higher", "lower"):
        raise Broken(
            f"direction {facts.direction!r}, customary {facts.customary!r}; give higher or lower (direction: or describes)"
        )
    unknown = set(facts.needs) - {"truth", "color", "rgb", "weights"}
    if unknown:
        raise Broken(f"needs {', '.join(sorted(unknown))}, which nothing provides; known: truth, color, rgb, weights")


def _settings(spec: str) -> None:
    plugin = create_method(spec).plugin
    for name, parameter in plugin.settings.items():
        if parameter.default is inspect.Parameter.empty or parameter.annotation is inspect.Parameter.empty:
            raise Broken(f"setting {name} needs a type annotation and a default")


def _triples(n: int, height: int = 64, width: int = 64) -> tuple[Any, Any, Any]:
    a, b = sample_images(n, height, width)
    return tuple((x[:, 0] * 255).round().to(torch.uint8).numpy() for x in (a, b, torch.maximum(a, 0.9 * b)))  # type: ignore[return-value]


def _run_metric(name: str, f: Any, a: Any, b: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return evaluate(f, a, b, name)[name]


def _metric_on_phantom(name: str) -> None:
    """For metrics that need ground truth or colour: a phantom pair with all of it, well and badly fused."""
    pair = create_task("phantom/pet-mri").load("test-00000")
    truth = None if pair.truth is None else dict(pair.truth)
    color = pair.color if pair.color is not None else np.stack([pair.b] * 3, axis=-1)
    for fused in (np.maximum(pair.a, pair.b), np.zeros_like(pair.a), np.full_like(pair.a, 128)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = evaluate(
                fused,
                pair.a,
                pair.b,
                name,
                truth=truth,
                color=color,
                fused_rgb=recolour(fused, color),
            )[name]
        if values.shape != (1,) or values.dtype != np.float64:
            raise Broken(f"returned {values.dtype} {values.shape} for one image; return (N,) float64")


def _needs(name: str) -> bool:
    """Metrics that need ground truth or colour run on a phantom pair instead of the small images."""
    return bool(METRICS[name].facts.needs)


def _metric_values(name: str) -> None:
    if "weights" in METRICS[name].facts.needs:
        with contextlib.suppress(InputError):  # the files, or what reads them, are not at hand
            _metric_on_phantom(name)
        return
    if _needs(name):
        return _metric_on_phantom(name)
    size = max(64, METRICS[name].facts.min_size)
    a, b, f = _triples(3, size, size)
    values = _run_metric(name, f, a, b)
    if values.shape != (3,) or values.dtype != np.float64:
        raise Broken(f"returned {values.dtype} {values.shape} for 3 images; return (N,) float64")


def _metric_batch(name: str) -> None:
    if _needs(name):
        return
    size = max(64, METRICS[name].facts.min_size)
    a, b, f = _triples(3, size, size)
    together = _run_metric(name, f, a, b)
    alone = np.array([_run_metric(name, f[i], a[i], b[i])[0] for i in range(3)])
    sources = prepare(a[:1], b[:1])
    kept = sources.score(f[:1], [name])[name]
    if not (
        np.allclose(together, alone, rtol=1e-12, atol=1e-13, equal_nan=True) and np.array_equal(kept, alone[:1], True)
    ):
        raise Broken(f"in a batch {together}, alone {alone}; a score may depend on its own image only")


def _metric_symmetry(name: str) -> None:
    if _needs(name) or not METRICS[name].facts.symmetric:
        return
    size = max(64, METRICS[name].facts.min_size)
    a, b, f = _triples(2, size, size)
    one, other = _run_metric(name, f, a, b), _run_metric(name, f, b, a)
    if not np.allclose(one, other, rtol=1e-9, equal_nan=True):
        raise Broken(f"exchanged sources give {other} instead of {one}; set symmetric=False or mend the metric")


def _metric_flat(name: str) -> None:
    if _needs(name):
        return
    size = max(64, METRICS[name].facts.min_size)
    picture = _triples(1, size, size)[0]
    black, grey = np.zeros_like(picture), np.full_like(picture, 128)
    for f, a, b in ((black, black, black), (grey, grey, grey), (black, picture, grey), (picture, black, black)):
        value = _run_metric(name, f, a, b)
        if np.isinf(value).any():
            raise Broken(f"{value} on flat images; return a number, or NaN by the rule in `degenerate`")


def _ids(task: Task) -> None:
    ids = task.ids()
    if not ids or ids != sorted(set(ids)) or ids != task.ids():
        raise Broken("ids() must return at least one name, unique, sorted, and the same every time")
    for name in ids:
        if not is_file_name(name):
            raise Broken(f"id {name!r} cannot be a file name; leave out / and \\ and a leading dot")


def _load(task: Task) -> None:
    for name in task.ids()[:2]:
        pair, again = task.load(name), task.load(name)
        if not isinstance(pair, Pair) or pair.id != name:
            raise Broken(f"load({name!r}) must return the Pair of that id")
        if not (np.array_equal(pair.a, again.a) and np.array_equal(pair.b, again.b)):
            raise Broken(f"load({name!r}) returned other pixels the second time")
        if task.digest(name) != task.digest(name):
            raise Broken(f"digest({name!r}) changes from call to call")
        if task.case(name) != pair.case:
            raise Broken(f"case({name!r}) is {task.case(name)!r}, the loaded pair says {pair.case!r}; let them agree")


def _unknown_id(task: Task) -> None:
    try:
        task.load("no such pair")
    except InputError:
        return
    except Exception as error:  # whatever it raises, it is not what the contract asks for
        raise Broken(f"load of an unknown id raises {type(error).__name__}; raise InputError naming it") from None
    raise Broken("load of an unknown id returns something; raise InputError naming it")
