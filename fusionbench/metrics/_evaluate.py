"""The public doors: :func:`evaluate`, and :func:`prepare` with :class:`Sources`. All checks of what comes in are here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.metrics._facts import METRICS, resolve
from fusionbench.metrics._triple import Image, Pairs, Triple, foreground
from fusionbench.scores import Column

Images: TypeAlias = "NDArray[np.uint8] | torch.Tensor"
Mask: TypeAlias = "Literal['none', 'foreground'] | NDArray[Any] | torch.Tensor | None"


class Sources:
    """Two sources of N pairs, checked, with what depends on them alone: computed at the first need, then kept.

    Made by :func:`prepare`. Score any number of methods on the pairs with :meth:`score`.
    """

    def __init__(self, parts: Iterable[Pairs], size: tuple[int, int, int], has: set[str], mask: str) -> None:
        self._parts = parts
        self._size = size
        self._has = has
        self._mask = mask

    def score(
        self, fused: Images, metrics: str | Iterable[str] = "dmfnet", *, fused_rgb: Images | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Score N fused images, (N, H, W) or (H, W) uint8; ``fused_rgb`` (N, H, W, 3) for the metrics of colour.

        Returns column name -> (N,) float64, in the order asked. Raises InputError for images that do not fit the sources
        and for metrics that these images cannot have.
        """
        ids = resolve(metrics)
        rgb = None if fused_rgb is None else _check(fused_rgb, "fused_rgb", color=True)
        levels = _check(fused, "fused")
        _same_size("fused", tuple(levels.shape), self._size)
        if rgb is not None:
            _same_size("fused_rgb", tuple(rgb.shape[:3]), self._size)
        _check_needs(ids, self._size, self._has if rgb is None else self._has | {"rgb"})
        found: dict[str, list[torch.Tensor]] = {i: [] for i in ids}
        start = 0
        with _without_pool():
            for part in self._parts:
                where = part.a.levels.device
                piece = slice(start, start + len(part.a.levels))
                triple = Triple(part, Image(levels[piece].to(where)), None if rgb is None else rgb[piece].to(where))
                for i, values in found.items():
                    values.append(METRICS[i].factory(triple))
                start = piece.stop
        names = {i: str(Column.parse(i).inside(self._mask)) for i in ids} if self._mask else {}
        return {names.get(i, i): torch.cat(values).cpu().numpy() for i, values in found.items()}


@contextlib.contextmanager
def _without_pool() -> Iterator[None]:
    """Torch's CPU threads stay out: the maps are small, and on a busy machine waking them costs ten times the work."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def prepare(
    a: Images,
    b: Images,
    *,
    mask: Mask = None,
    truth: dict[str, NDArray[Any]] | None = None,
    color: Images | None = None,
    device: torch.device | str | None = None,
    compiled: bool = True,
) -> Sources:
    """Check the sources of one or N pairs and hold them ready, so that many methods can be scored on them.

    ``a`` (structural), ``b``: (H, W) or (N, H, W) uint8, NumPy or torch. ``mask``: None, "foreground" (see
    :func:`foreground_mask`), or an array of that shape, nonzero inside. ``truth``: ground truth of one generated pair.
    ``color``: (H, W, 3) or (N, H, W, 3) uint8 RGB of ``b``. ``device``: default, that of ``a``. ``compiled=False`` takes the
    torch path on the CPU too. What is kept grows with N: prepare pair by pair and score all methods on it::

        sources = prepare(pair.a, pair.b)
        for method, image in fused.items():
            scores[method] = sources.score(image, "dmfnet")

    Raises InputError naming the image and what to do.
    """
    sources = _sources(a, b, mask, truth, color, device, compiled)
    return Sources(list(sources._parts), sources._size, sources._has, sources._mask)


def evaluate(
    fused: Images,
    a: Images,
    b: Images,
    metrics: str | Iterable[str] = "dmfnet",
    *,
    mask: Mask = None,
    truth: dict[str, NDArray[Any]] | None = None,
    color: Images | None = None,
    fused_rgb: Images | None = None,
    device: torch.device | str | None = None,
    compiled: bool = True,
) -> dict[str, NDArray[np.float64]]:
    """Score fused images against their two sources.

    ``fused``, ``a`` (structural, MRI), ``b``: uint8 grey levels, (H, W) or (N, H, W), NumPy or torch. The dtype carries the
    range: float images are refused, since [0, 1] and 0..255 give different numbers and neither is marked. ``metrics``: a
    profile, a metric id, or a list of either. The rest as in :func:`prepare` and :meth:`Sources.score`. Returns column name
    -> (N,) float64. An image's scores depend on that image alone; NaN appears only where ``reason(id)`` says.

    To score several methods on the same pairs, :func:`prepare` the sources once instead. Raises InputError naming the image
    and what to do.

    >>> import numpy as np
    >>> x = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    >>> evaluate(x, x, x, "en")
    {'en': array([8.])}
    """
    ids = resolve(metrics)
    return _sources(a, b, mask, truth, color, device, compiled).score(fused, ids, fused_rgb=fused_rgb)


def _sources(
    a: Images,
    b: Images,
    mask: Mask,
    truth: dict[str, NDArray[Any]] | None,
    color: Images | None,
    device: torch.device | str | None,
    compiled: bool,
) -> Sources:
    """Sources to be scored once: parts are made when they are reached and kept by nobody, so memory stays flat in N."""
    first, second = _check(a, "a"), _check(b, "b")
    size = (int(first.shape[0]), int(first.shape[1]), int(first.shape[2]))
    _same_size("b", tuple(second.shape), size)
    rgb = None if color is None else _check(color, "color", color=True)
    if rgb is not None:
        _same_size("color", tuple(rgb.shape[:3]), size)
    if truth is not None and size[0] != 1:
        raise InputError(f"truth belongs to one pair, there are {size[0]}; prepare the pairs one by one")
    _check_truth(truth, size)
    where = _check_device(device) if device is not None else first.device
    inside, kind = _mask(mask, first, second)
    has = {name for name, there in (("truth", truth), ("color", rgb)) if there is not None}

    def parts() -> Iterator[Pairs]:
        step = max(1, (1 << (16 if where.type == "cpu" else 23)) // (size[1] * size[2]))
        for start in range(0, size[0], step):
            piece = slice(start, start + step)
            yield Pairs(
                a=Image(first[piece].to(where)),
                b=Image(second[piece].to(where)),
                mask=None if inside is None else inside[piece].to(where),
                color=None if rgb is None else rgb[piece].to(where),
                truth=truth,
                compiled=compiled and where.type == "cpu",
            )

    return Sources(parts(), size, has, kind)


def _check_device(device: torch.device | str) -> torch.device:
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:  # torch has no exception for this
        why = str(error).strip().split("\n")[0].rstrip(".")
        why = f" ({why})" if 0 < len(why) < 80 else ""
        raise InputError(
            f"device {device!r} cannot be used here{why}; use cpu, or cuda where there is a card"
        ) from None
    if where.type == "meta":
        raise InputError("device 'meta' holds no numbers; use cpu or cuda")
    return where


def _check_truth(truth: Mapping[str, NDArray[Any]] | None, size: tuple[int, int, int]) -> None:
    if truth is None:
        return
    if not isinstance(truth, Mapping):
        raise InputError(
            f"truth is a {type(truth).__name__}; give a dict of (H, W) arrays, as Pair.truth of phantom pairs"
        )
    for name, values in truth.items():
        if np.shape(values) != size[1:]:
            raise InputError(f"truth {name!r} has shape {np.shape(values)}; give the images' {size[1:]}")


def _check(images: Images, name: str, *, color: bool = False) -> torch.Tensor:
    """-> (N, H, W) or (N, H, W, 3) uint8 tensor."""
    shape = "(H, W, 3) or (N, H, W, 3)" if color else "(H, W) or (N, H, W)"
    if not isinstance(images, (np.ndarray, torch.Tensor)):
        raise InputError(
            f"{name} is a {type(images).__name__}; give a NumPy array or torch tensor, uint8 of shape {shape}"
        )
    if images.dtype not in (np.uint8, torch.uint8):
        raise InputError(
            f"{name} is {images.dtype} of shape {tuple(images.shape)}; give uint8 grey levels 0..255 "
            "(fusionbench.pairs.to_uint8 rounds an image in [0, 1])"
        )
    tensor = torch.from_numpy(np.array(images)) if isinstance(images, np.ndarray) else images
    if tensor.layout != torch.strided or tensor.is_meta:
        raise InputError(
            f"{name} is a {tensor.layout} tensor on {tensor.device}; give a dense one that holds its numbers"
        )
    dims = 3 if color else 2
    if tensor.ndim not in (dims, dims + 1) or (color and tensor.shape[-1] != 3):
        raise InputError(f"{name} has shape {tuple(tensor.shape)}; give {shape}")
    if not color and tensor.ndim == 3 and tensor.shape[2] in (3, 4) and tensor.shape[1] > 8:
        # (H, W, 3) is an RGB image, though it could be H images that are 3 pixels wide.
        raise InputError(
            f"{name} has shape {tuple(tensor.shape)}, which is that of a coloured image; give its grey levels, (H, W) uint8 "
            "(fusionbench.pairs.grey makes them), and the colours as color= (of b) and fused_rgb="
        )
    if 0 in tensor.shape:
        raise InputError(f"{name} has shape {tuple(tensor.shape)}: no pixels; leave empty images out")
    return (tensor[None] if tensor.ndim == dims else tensor).contiguous()


def _same_size(name: str, shape: tuple[int, ...], size: tuple[int, int, int]) -> None:
    if shape[0] != size[0]:
        raise InputError(f"{name} holds {shape[0]} images and a holds {size[0]}; give one a pair")
    if shape != size:
        raise InputError(
            f"{name} is {shape[2]} x {shape[1]} pixels and a is {size[2]} x {size[1]}; resample both to one grid first"
        )


def _check_needs(ids: list[str], size: tuple[int, int, int], has: set[str]) -> None:
    names = {
        "truth": "ground truth (phantom pairs have it)",
        "color": "a coloured second source",
        "rgb": "the coloured fused image",
    }
    for i in ids:
        facts = METRICS[i].facts
        if min(size[1:]) < facts.min_size:
            raise InputError(
                f"metric {i!r} needs images of at least {facts.min_size} x {facts.min_size} pixels, these are "
                f"{size[2]} x {size[1]}; leave it out"
            )
        for need in sorted(facts.needs - has - {"weights"}):  # the metric itself says which file is missing
            raise InputError(f"metric {i!r} needs {names[need]}, which is not there; leave it out")


def _mask(mask: Mask, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor | None, str]:
    if mask is None or (isinstance(mask, str) and mask == "none"):
        return None, ""
    if isinstance(mask, str):
        if mask != "foreground":
            raise InputError(f"unknown mask {mask!r}; known: none, foreground, or an array")
        return foreground(a, b), "foreground"
    return _check_mask(mask, (int(a.shape[0]), int(a.shape[1]), int(a.shape[2]))), "mask"


def _check_mask(mask: object, size: tuple[int, int, int]) -> torch.Tensor:
    give = f"give an array of booleans or numbers, nonzero inside, of shape {size[1:]}" + f" or {size}" * (size[0] > 1)
    if not isinstance(mask, torch.Tensor):
        array = np.asarray(mask)
        if array.dtype.kind not in "buif":
            raise InputError(f"mask is a {type(mask).__name__} of {array.dtype}; {give}")
        mask = torch.from_numpy(np.array(array if array.dtype.kind == "b" else array.astype(np.float64)))
    if tuple(mask.shape) not in (size, size[1:]):
        raise InputError(f"mask has shape {tuple(mask.shape)}; {give}")
    if mask.is_floating_point() and not bool(torch.isfinite(mask).all()):
        where = torch.nonzero(~torch.isfinite(mask))[0].tolist()
        raise InputError(
            f"mask holds {float(mask[tuple(where)])} at {tuple(where)}, neither inside nor outside; {give}"
        )
    inside = (mask != 0).expand(size)
    empty = torch.nonzero(~inside.flatten(1).any(1)).flatten().tolist()
    if empty:
        raise InputError(f"the mask of image {empty[0]} selects no pixel; mark at least one")
    return inside
