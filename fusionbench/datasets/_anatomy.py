"""Generated heads: slices of the ICBM 152 atlas, deformed at random, with skull, scalp and focal lesions around and in them.

The atlas gives grey- and white-matter probabilities at 1 mm; everything outside the brain is built from distances to its
outline. Lengths are millimetres, arrays are (SIZE, SIZE) float64 unless said otherwise. Randomness comes from the
generator passed in and from nowhere else, drawn in a fixed order.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import io

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]

SIZE = 256
_UP = 2  # the atlas is interpolated once to half its 1 mm grid, so that linear sampling afterwards stays sharp
_PAD = 20  # mm of air around the atlas slices, wider than skull and scalp
_CHANNELS = ("gm", "wm", "csf", "inner", "outer", "t1")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Head:
    """One subject's slice.

    ``gm``, ``wm``, ``csf``, ``bone``, ``marrow``, ``scalp``: fractions of a pixel, which sum to at most 1 (the rest is air).
    ``detail``: contrast of the atlas's T1 within a tissue, -1..1. ``depth``: mm below the inner table, ``skin``: mm below
    the skin, both negative outside. ``x``, ``y``: atlas coordinates in mm from the slice's middle, x to the image's
    right, y to the back. ``mm``: size of a pixel. ``lesion``: uint8, 0 none, 1 hyper- and 2 hypometabolic. ``hot``,
    ``cold``: soft lesion weights in 0..1.
    """

    gm: Array
    wm: Array
    csf: Array
    bone: Array
    marrow: Array
    scalp: Array
    detail: Array
    depth: Array
    skin: Array
    x: Array
    y: Array
    mm: float
    lesion: NDArray[np.uint8]
    hot: Array
    cold: Array


@functools.cache
def atlas() -> dict[str, NDArray[np.uint8]]:
    """The shipped slices: ``t1``, ``gm``, ``wm`` (slices, rows, columns) uint8 and ``z_mm``; treat as read-only."""
    data = importlib.resources.files("fusionbench.datasets").joinpath("data/icbm152_slices.npz").read_bytes()
    with np.load(io.BytesIO(data)) as arrays:
        return {name: arrays[name] for name in arrays.files}


@functools.lru_cache(maxsize=32)
def _slice_maps(index: int) -> NDArray[np.float32]:
    """(rows, columns, channels) on the half-millimetre grid: tissue probabilities, signed distances to the brain, T1."""
    gm, wm, t1 = (np.pad(atlas()[name][index] / 255.0, _PAD) for name in ("gm", "wm", "t1"))
    brain = ndimage.binary_fill_holes(t1 > 0.02)
    csf = np.clip(1.0 - gm - wm, 0.0, 1.0) * brain
    # The skull follows the closed outline of the brain inside, and a much smoother one outside.
    inner = ndimage.gaussian_filter(_signed_distance(_close(brain, 12.0)), 1.5)
    outer = ndimage.gaussian_filter(_signed_distance(_close(brain, 90.0)), 4.0)
    maps = {"gm": gm, "wm": wm, "csf": csf, "inner": inner, "outer": outer, "t1": t1}
    channels = [ndimage.zoom(maps[name], _UP, order=3, mode="nearest", grid_mode=True) for name in _CHANNELS]
    return np.stack(channels, axis=-1).astype(np.float32)


def _signed_distance(mask: NDArray[np.bool_]) -> Array:
    return np.asarray(ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask), dtype=np.float64)


def _close(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Morphological closing by a disc."""
    pad = int(radius) + 2
    wide = np.pad(mask, pad)
    grown = ndimage.distance_transform_edt(~wide) <= radius
    closed = ndimage.distance_transform_edt(grown) > radius
    return np.asarray(closed[pad:-pad, pad:-pad] | mask)


@functools.cache
def _bspline(knots: int) -> tuple[NDArray[np.intp], Array]:
    """First of the four knots that reach each pixel, (SIZE,), and their cubic B-spline weights, (4, SIZE)."""
    t = np.linspace(0.0, knots - 3 - 1e-9, SIZE)
    first = t.astype(np.intp)
    f = t - first
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]) / 6.0
    return first, weights


def smooth_field(rng: np.random.Generator, wavelength: float) -> Array:
    """Random smooth field of about zero mean and unit deviation; ``wavelength``: distance of its knots in pixels."""
    knots = round(SIZE / wavelength) + 3
    first, weights = _bspline(knots)
    field = rng.standard_normal((knots, knots))
    for _ in range(2):  # along rows, then along columns: each pass takes whole rows and hands on the transpose
        field = sum((weights[k][:, None] * field[first + k] for k in range(1, 4)), weights[0][:, None] * field[first]).T
    # 0.479 is the mean sum of squared cubic B-spline weights in one dimension, hence the variance in two is its square.
    return np.ascontiguousarray(field) / 0.479


def smoothstep(x: Array) -> Array:
    """0 below 0, 1 above 1, cubic in between."""
    t = np.clip(x, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def _sample(index: int, rows: Array, columns: Array) -> dict[str, Array]:
    """The slice's maps at atlas positions (mm from its middle), linearly interpolated; beyond its edge the edge counts."""
    maps = _slice_maps(index)
    height, width, channels = maps.shape
    r = np.clip(rows * _UP + (height - 1) / 2.0, 0.0, height - 1.001)
    c = np.clip(columns * _UP + (width - 1) / 2.0, 0.0, width - 1.001)
    r0, c0 = r.astype(np.intp), c.astype(np.intp)
    fr, fc = (r - r0).astype(np.float32).ravel()[:, None], (c - c0).astype(np.float32).ravel()[:, None]
    flat = maps.reshape(-1, channels)
    corner = (r0 * width + c0).ravel()
    upper = flat[corner] * (1 - fc) + flat[corner + 1] * fc
    lower = flat[corner + width] * (1 - fc) + flat[corner + width + 1] * fc
    values = (upper * (1 - fr) + lower * fr).T.reshape(channels, SIZE, SIZE).astype(np.float64)
    return dict(zip(_CHANNELS, values, strict=True))


def make_head(rng: np.random.Generator, index: int) -> Head:
    """A random subject's slice at atlas slice ``index``."""
    mm = 1.0 / rng.uniform(1.04, 1.16)
    angle = np.deg2rad(rng.normal(0.0, 3.5))
    stretch = rng.normal(1.0, 0.03, size=2)
    shift = rng.normal(0.0, 2.5, size=2)
    v, u = np.meshgrid(*[(np.arange(SIZE) - (SIZE - 1) / 2.0) * mm] * 2, indexing="ij")
    y = (v * np.cos(angle) - u * np.sin(angle)) * stretch[0] + shift[0]
    x = (u * np.cos(angle) + v * np.sin(angle)) * stretch[1] + shift[1]
    # Whole-head shape, then lobes, then the course of single gyri; amplitudes far below the wavelength, so nothing folds.
    for wavelength, amplitude in ((80.0, 3.2), (34.0, 1.5), (15.0, 0.55)):
        y = y + amplitude * smooth_field(rng, wavelength)
        x = x + amplitude * smooth_field(rng, wavelength)
    maps = _sample(index, y, x)

    gap = rng.uniform(1.0, 2.6)
    # Towards the vertex the slice cuts skull and scalp at a slant, so both look thicker.
    slant = 1.0 + 0.55 * (max(float(atlas()["z_mm"][index]) - 30.0, 0.0) / 40.0) ** 2
    table = slant * (rng.uniform(4.5, 7.0) + 0.8 * smooth_field(rng, 60.0) + 1.2 * smoothstep(-y / 80.0))
    cover = slant * (rng.uniform(3.5, 6.0) + 0.8 * smooth_field(rng, 70.0))
    inner = maps["inner"] - gap
    outer = np.maximum(maps["outer"] - gap - np.clip(table, 3.5, None), inner - np.clip(table, 3.5, None))
    skin = outer - np.clip(cover, 2.5, None)
    within_inner, within_outer, within_skin = (smoothstep(0.5 - s / (1.6 * mm)) for s in (inner, outer, skin))

    gm, wm, csf = _tissues(maps, within_inner, atrophy=rng.uniform(0.7, 1.6))
    shell = within_outer - within_inner * within_outer
    middle = np.minimum(inner, -outer)  # distance to the nearer table
    marrow = shell * smoothstep((middle - 1.3) / 1.2)
    hot, cold, lesion = _lesions(rng, gm + wm, inner, mm)
    return Head(
        gm=gm,
        wm=wm,
        csf=csf,
        bone=shell - marrow,
        marrow=marrow,
        scalp=within_skin - within_skin * np.maximum(within_outer, within_inner),
        detail=_detail(maps),
        depth=-inner,
        skin=-skin,
        x=x,
        y=y,
        mm=mm,
        lesion=lesion,
        hot=hot,
        cold=cold,
    )


def _tissues(maps: dict[str, Array], inside: Array, atrophy: float) -> tuple[Array, Array, Array]:
    """Fractions of grey, white and fluid, from the average's blurred probabilities to one person's crisp anatomy.

    Cubing the probabilities moves each pixel towards its likeliest tissue; ``atrophy`` weighs the fluid.
    """
    gm, wm, csf = (np.clip(maps[name], 0.0, 1.0) for name in ("gm", "wm", "csf"))
    csf = csf * atrophy + 0.02
    cubes = [p * p * p for p in (gm, wm, 1.5 * csf)]
    total = cubes[0] + cubes[1] + cubes[2]
    gm, wm, csf = (inside * cube / total for cube in cubes)
    return gm, wm, csf


def _detail(maps: dict[str, Array]) -> Array:
    """What the T1 average shows beyond the tissue mix: nuclei, tracts, cerebellar folia."""
    mix = 0.64 * maps["gm"] + 0.875 * maps["wm"] + 0.31 * maps["csf"]
    return np.clip((maps["t1"] - mix) * 6.0, -1.0, 1.0)


def _lesions(
    rng: np.random.Generator, tissue: Array, inner: Array, mm: float
) -> tuple[Array, Array, NDArray[np.uint8]]:
    """Up to three focal lesions with wavy outlines, inside the brain: soft hot and cold weights, and the label map."""
    weights = np.zeros((2, SIZE, SIZE))
    count = int(rng.choice(4, p=[0.25, 0.4, 0.25, 0.1]))
    wave = 0.16 * smooth_field(rng, 14.0) + 0.10 * smooth_field(rng, 7.0)
    candidates = np.flatnonzero((tissue > 0.7) & (inner < -6.0))
    if candidates.size == 0:
        raise ValueError("the slice holds no brain deep enough for a lesion")
    grid = np.arange(SIZE)
    for _ in range(count):
        row, column = divmod(int(candidates[int(rng.integers(candidates.size))]), SIZE)
        radius = rng.uniform(3.5, 13.0) / mm
        squash, tilt = rng.uniform(0.65, 1.0), rng.uniform(0.0, np.pi)
        kind = int(rng.integers(2))
        dy, dx = grid[:, None] - row, grid[None, :] - column
        along = dx * np.cos(tilt) + dy * np.sin(tilt)
        across = (dy * np.cos(tilt) - dx * np.sin(tilt)) / squash
        reach = np.sqrt(along**2 + across**2) / radius + wave
        weights[kind] = np.maximum(weights[kind], smoothstep((1.15 - reach) / 0.3))
    weights *= tissue
    weights[1] *= 1.0 - weights[0]  # where two overlap, the hot one wins
    label = np.where(weights[0] > 0.5, 1, np.where(weights[1] > 0.5, 2, 0)).astype(np.uint8)
    return weights[0], weights[1], label
