"""Registration of two volumes by mutual information, and its error against a known transform. Needs SimpleITK.

A transform maps points of the fixed volume (the MRI) to points of the moving one, in RAS millimetres, as resampling needs.

* ``rigid``: six parameters; the start is the best, by mutual information, of doing nothing, of putting the middles of the
  grids together and of putting the centres of mass together.
* ``affine``: twelve parameters, from the rigid result.
* ``bspline``: a cubic B-spline of 40 mm control spacing (Rueckert et al., doi:10.1109/42.796284) after the affine result.

Mutual information is that of Mattes et al. (doi:10.1109/TMI.2003.809072), 50 bins, over a share of voxels drawn with a seed,
on three levels of resolution, in one thread: the same volumes and seed give the same transform.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionbench.bench.volumes import Volume
from fusionbench.errors import InputError
from fusionbench.files import write_text

KINDS = ("rigid", "affine", "bspline")
SPACING = 40.0  # mm between control points
SAMPLES = 100_000  # voxels that mutual information is estimated from, on each level
_LEVELS = ((4, 4.0), (2, 2.0), (1, 0.0))  # shrink factor, smoothing in mm; a B-spline is as smooth as the first two
_FLIP = np.array([-1.0, -1.0, 1.0])  # RAS to LPS, which ITK counts in, and back

Points = NDArray[np.float64]
Told = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Registration:
    """``transform``: SimpleITK's, LPS. ``information``: mutual information at the end, nats. ``start``: where it began."""

    kind: str
    transform: Any
    information: float
    start: str
    iterations: int
    seed: int

    def points(self, points: Points) -> Points:
        """(N, 3) in the fixed volume, RAS mm -> where they lie in the moving one."""
        there = [self.transform.TransformPoint(tuple(map(float, point))) for point in np.atleast_2d(points) * _FLIP]
        return np.asarray(np.array(there, np.float64).reshape(-1, 3) * _FLIP)


def register(
    fixed: Volume, moving: Volume, kind: str = "rigid", *, seed: int = 0, notify: Told = lambda stage, done, total: None
) -> Registration:
    """Find the transform of one of KINDS from ``fixed`` to ``moving``.

    Raises InputError for an unknown kind, a volume without contrast or thinner than four voxels, or volumes that share
    too little to be compared.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of transform {kind!r}; take one of: {', '.join(KINDS)}")
    for name, volume in (("fixed", fixed), ("moving", moving)):
        if min(volume.data.shape) < 4 or not volume.data.max() > volume.data.min():
            raise InputError(
                f"the {name} volume has no contrast, or fewer than 4 slices; nothing can be registered to it"
            )
    sitk = simple_itk()
    still, other = to_image(fixed), to_image(moving)
    steps = KINDS[: KINDS.index(kind) + 1]
    try:
        with _one_thread(sitk):
            transform, start = _begin(sitk, still, other, seed)
            value, iterations = 0.0, 0
            for done, step in enumerate(steps):
                notify(f"registering, {step}", done, len(steps))
                transform, value, more = _step(sitk, still, other, step, transform, seed)
                iterations += more
    except RuntimeError as error:  # ITK's only exception: no overlap, most often
        reason = " ".join(str(error).split())[-160:]
        raise InputError(f"the volumes cannot be registered ({reason}); check that both show the same head") from None
    return Registration(kind, transform, -value, start, iterations, seed)


def apply(registration: Registration, fixed: Volume, moving: Volume) -> Volume:
    """``moving`` on the grid of ``fixed``, through the transform: trilinear, its minimum outside."""
    sitk = simple_itk()
    low = float(moving.data.min())
    image = sitk.Resample(to_image(moving), to_image(fixed), registration.transform, sitk.sitkLinear, low)
    data = np.ascontiguousarray(sitk.GetArrayFromImage(image).T, dtype=np.float32)
    if not (data > low).any():
        raise InputError("after registration the two volumes do not overlap; check that both show the same head")
    return Volume(data, fixed.affine)


def matrix_of(registration: Registration) -> NDArray[np.float64] | None:
    """(4, 4) fixed to moving, RAS mm; None where the transform is not affine."""
    if registration.kind == "bspline":
        return None
    origin, *ends = registration.points(np.vstack([np.zeros(3), 100.0 * np.eye(3)]))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.stack(ends, axis=1) / 100.0 - origin[:, None] / 100.0, origin
    return matrix


def grid_points(volume: Volume, each: int = 9) -> Points:
    """(N, 3) points in RAS mm, evenly spread over the ellipsoid that fills the middle half of the grid: about the head."""
    at = np.stack(np.meshgrid(*3 * [np.linspace(-1, 1, each)], indexing="ij"), -1).reshape(-1, 3)
    at = at[(at**2).sum(axis=1) <= 1.0]
    half = (np.array(volume.data.shape) - 1) / 2.0
    return np.asarray((half + 0.5 * at * half) @ volume.affine[:3, :3].T + volume.affine[:3, 3])


def errors(registration: Registration, points: Points, truth: Points) -> NDArray[np.float64]:
    """(N,) target registration errors in mm: from where the transform puts points of the fixed volume to where they truly
    lie in the moving one (Fitzpatrick, West and Maurer, doi:10.1109/42.736021)."""
    return np.asarray(np.linalg.norm(registration.points(points) - truth, axis=1))


def write_transform(path: Path, registration: Registration) -> None:
    """As ITK's text (``.tfm``, LPS), which 3D Slicer and SimpleITK read. Points of the fixed volume go in."""
    sitk = simple_itk()
    # ITK picks the format by the name and writes on its own: a temporary name beside, then whole at its place.
    part = path.with_name(f".{path.stem}.part.tfm")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        sitk.WriteTransform(registration.transform, str(part))
        write_text(path, part.read_text(encoding="utf-8"))
    finally:
        part.unlink(missing_ok=True)


def about(registration: Registration, fixed: Volume) -> dict[str, Any]:
    """What provenance says: kind, start, settings, versions, the matrix, and how far points of the head are moved."""
    points = grid_points(fixed)
    far = np.linalg.norm(registration.points(points) - points, axis=1)
    matrix = matrix_of(registration)
    return {
        "kind": registration.kind,
        "maps": "points of the fixed volume to the moving one, RAS mm (the .tfm file: LPS mm)",
        "matrix": None if matrix is None else [[round(float(v), 9) for v in row] for row in matrix],
        "moved_mm": {"mean": round(float(far.mean()), 4), "most": round(float(far.max()), 4)},
        "mutual_information": round(registration.information, 6),
        "start": registration.start,
        "iterations": registration.iterations,
        "seed": registration.seed,
        "bins": 50,
        "samples": SAMPLES,
        "simpleitk": str(simple_itk().Version_VersionString()),
    }


def simple_itk() -> Any:
    """SimpleITK, imported when a registration is asked for. Raises InputError where it is not installed."""
    try:
        return importlib.import_module("SimpleITK")
    except ImportError:
        raise InputError("registration needs SimpleITK: pip install 'fusionbench-mmif[register]'") from None


def to_image(volume: Volume) -> Any:
    """A SimpleITK image: the same voxels, places in LPS mm."""
    sitk = simple_itk()
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((volume.affine[:3, :3] / spacing * _FLIP[:, None]).ravel().tolist())
    image.SetOrigin((volume.affine[:3, 3] * _FLIP).tolist())
    return image


@contextlib.contextmanager
def _one_thread(sitk: Any) -> Iterator[None]:
    """Sums over several threads round differently from run to run; the metric's own setting does not reach all of them."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _begin(sitk: Any, fixed: Any, moving: Any, seed: int) -> tuple[Any, str]:
    """The best start by mutual information at a quarter of the resolution; its centre is the middle of the fixed grid."""
    centre = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2.0 for n in fixed.GetSize()])
    starts = {"as they are": sitk.Euler3DTransform(centre)}
    for name, mode in (("middles together", "GEOMETRY"), ("centres of mass together", "MOMENTS")):
        how = getattr(sitk.CenteredTransformInitializerFilter, mode)
        starts[name] = sitk.Euler3DTransform(
            sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), how)
        )
    values: dict[str, float] = {}
    for name, start in starts.items():
        method = _method(sitk, fixed, seed)
        method.SetInitialTransform(start)
        try:
            values[name] = float(method.MetricEvaluate(fixed, moving))
        except RuntimeError:  # no overlap
            continue
    if not values:
        raise InputError("the two volumes share nothing, however they are laid over each other; check the files")
    best = min(values, key=lambda name: values[name])
    return starts[best], best


def _method(sitk: Any, fixed: Any, seed: int) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=50)
    share = min(1.0, SAMPLES / float(np.prod(fixed.GetSize(), dtype=np.float64)))
    if share < 1.0:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(share, seed + 1)  # ITK takes 0 for the clock
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _step(sitk: Any, fixed: Any, moving: Any, kind: str, before: Any, seed: int) -> tuple[Any, float, int]:
    """Optimise one kind of transform from what came before it: (transform, negative mutual information, iterations)."""
    method = _method(sitk, fixed, seed)
    levels = list(_LEVELS[:2] if kind == "bspline" else _LEVELS)
    levels = [(s, mm) for s, mm in levels if min(fixed.GetSize()) // s >= 4] or [_LEVELS[2]]
    method.SetShrinkFactorsPerLevel([s for s, _ in levels])
    method.SetSmoothingSigmasPerLevel([mm for _, mm in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    if kind == "bspline":
        extent = [n * mm for n, mm in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
        mesh = [max(1, round(length / SPACING)) for length in extent]
        moved: Any = sitk.BSplineTransformInitializer(fixed, mesh)
        method.SetMovingInitialTransform(before)
        method.SetOptimizerAsLBFGSB(gradientConvergenceTolerance=1e-5, numberOfIterations=25)
    else:
        moved = before if kind == "rigid" else _as_affine(sitk, before)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=2.0, minStep=1e-3, numberOfIterations=150, gradientMagnitudeTolerance=1e-6
        )
        method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(moved, inPlace=True)
    found = method.Execute(fixed, moving)
    if kind == "bspline":
        found = sitk.CompositeTransform([before, moved])  # the last is applied first
    else:
        found = moved
    return found, float(method.GetMetricValue()), int(method.GetOptimizerIteration())


def _as_affine(sitk: Any, rigid: Any) -> Any:
    affine = sitk.AffineTransform(3)
    affine.SetCenter(rigid.GetCenter())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    return affine
