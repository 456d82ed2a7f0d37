"""Fuse two arrays, without files or tables: the door for notebooks and for other people's programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.bench.plan import resolve_device
from fusionbench.bench.work import fuse_pair
from fusionbench.errors import InputError
from fusionbench.methods import Method, create_method
from fusionbench.pairs import Pair, grey, to_uint8

UInt8 = NDArray[np.uint8]


def fuse(method: str | Method, a: NDArray[Any], b: NDArray[Any], *, device: str = "auto", seed: int = 0) -> UInt8:
    """Fuse two registered images of one slice: (H, W) uint8, or (H, W, 3) uint8 RGB where ``b`` is in colour.

    ``method``: what ``fusionbench run --method`` takes, such as ``"laplacian"`` or ``"laplacian:levels=5"``; or a method
    that is prepared already, which spares loading its weights for every slice::

        network = create_method("dmfnet").method
        network.prepare(torch.device("cpu"))
        fused = [fuse(network, mri, pet, device="cpu") for mri, pet in slices]

    ``a``: the structural image (MRI), ``b``: the other modality. Each is (H, W) grey levels or (H, W, 3) RGB, uint8 or
    floats in [0, 1], which are rounded to 8 bits. Colour is treated as everywhere in the suite: BT.601 luminance is fused,
    and the result gets the chroma of ``b``. ``device``: "auto", "cpu" or "cuda". ``seed``: of methods that draw noise; the
    same seed gives the same image.

    Raises InputError for an unknown method or setting, an array of another type, shape or range, images that differ in
    size, and a method that breaks its contract; whatever else a method raises comes through.
    """
    first, second = _levels("a", a), _levels("b", b)
    pair = Pair(
        id="a+b",
        a=first if first.ndim == 2 else grey(first),
        b=second if second.ndim == 2 else grey(second),
        color=second if second.ndim == 3 else None,
    )
    device = resolve_device(device)
    if isinstance(method, str):
        fuser = create_method(method).method
        fuser.prepare(torch.device(device))
    else:
        fuser = method
    fused, _ = fuse_pair(fuser, pair, device, seed)
    shown = pair.show(fused)
    return fused if shown is None else shown


def _levels(name: str, image: NDArray[Any]) -> UInt8:
    """8-bit levels of an image. Raises InputError where it is not (H, W) or (H, W, 3), uint8 or floats in [0, 1]."""
    if not isinstance(image, np.ndarray):
        raise InputError(f"{name} is {type(image).__name__}; give a NumPy array, such as numpy.asarray(image)")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise InputError(f"{name} has shape {image.shape}; give one slice, (H, W) grey levels or (H, W, 3) RGB")
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(f"{name} is {image.dtype}; window it to uint8 levels, or scale it to floats in [0, 1]")
    if not np.isfinite(image).all():
        raise InputError(f"{name} holds NaN or infinite values; replace them first")
    if image.min() < 0 or image.max() > 1:
        raise InputError(f"{name} holds values from {image.min():.4g} to {image.max():.4g}; scale it to [0, 1]")
    return to_uint8(image.astype(np.float64))
