"""The Metric contract, METRICS, the registry of metrics, and the public door :func:`evaluate`.

The same metric name stands for many numbers in image fusion, so each number here has a named convention. A metric id is
``name`` (the convention of profile ``dmfnet``, or the only one there is) or ``name@convention``; a metric restricted to a
mask has the column name ``id+foreground`` or ``id+mask``.

A metric is one pure function of a :class:`Triple`, entered with ``@METRICS.register(MetricFacts(...))``::

    @METRICS.register(MetricFacts(name="contrast", title="Contrast", short="C", family="statistics", ...))
    def contrast(t: Triple) -> torch.Tensor:  # (N,) float64, one value an image, NaN where facts.degenerate says so
        return (t.f.x.amax((1, 2)) - t.f.x.amin((1, 2))) / 255

It checks nothing (:func:`evaluate` has), reduces nothing over the batch, and works in float64 on the levels 0..255.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.metrics import _threads
from fusionbench.metrics._triple import Image, Pairs, Triple
from fusionbench.metrics._triple import foreground as foreground_mask
from fusionbench.registry import Registry
from fusionbench.scores import Column

__all__ = [
    "METRICS",
    "PROFILES",
    "Image",
    "MetricFacts",
    "Profile",
    "Sources",
    "Triple",
    "evaluate",
    "explain",
    "foreground_mask",
    "groups",
    "prepare",
    "reason",
    "select",
    "variant",
]

Images: TypeAlias = "NDArray[np.uint8] | torch.Tensor"
Mask: TypeAlias = "Literal['none', 'foreground'] | NDArray[Any] | torch.Tensor | None"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """A metric's fact sheet; it travels in the score files, so reports never import metrics.

    ``name``: the id. ``short``: column header. ``direction``: "higher" or "lower" is better, or "describes" where neither
    is so in itself; ``customary``: the direction that papers rank by all the same. ``range``, ``unit``: in words.
    ``origin``: who computes it this way. ``formula``, ``convention``: in words. ``traps``: what goes wrong in other codes,
    or with the number itself. ``degenerate``: the written rule for flat and equal images, the only source of NaN.
    ``symmetric``: exchanging the sources changes nothing. ``min_size``: the smallest image side. ``needs``: any of "truth"
    (ground truth of generated pairs), "color" (coloured source), "rgb" (coloured fused image). ``version`` is raised when
    values change, which makes stored scores stale.
    """

    name: str
    title: str
    short: str
    family: str
    direction: Literal["higher", "lower", "describes"]
    customary: Literal["higher", "lower"]
    range: str
    formula: str
    degenerate: str
    unit: str = ""
    reference: str = ""
    doi: str = ""
    origin: str = ""
    convention: str = ""
    traps: tuple[str, ...] = ()
    symmetric: bool = True
    min_size: int = 1
    needs: frozenset[str] = frozenset()
    version: int = 1

    def __post_init__(self) -> None:
        if str(Column.parse(self.name)) != self.name or Column.parse(self.name).mask:
            raise ValueError(f"metric name {self.name!r}: give name or name@convention; + is for masks")


def variant(base: MetricFacts, *, name: str, **differs: Any) -> MetricFacts:
    """The fact sheet of another convention of ``base``: what ``differs``, field by field; it inherits all else.

    Raises ValueError for a field that says what ``base`` says already, TypeError for one that there is not.
    """
    repeated = [field for field, value in differs.items() if getattr(base, field, None) == value]
    if repeated:
        raise ValueError(
            f"metric {name!r} inherits {', '.join(repeated)} from {base.name!r}; leave out what is the same"
        )
    return dataclasses.replace(base, name=name, **differs)


METRICS: Registry[MetricFacts] = Registry("metric", ("fusionbench.metrics",), "fusionbench.metrics")


@dataclasses.dataclass(frozen=True)
class Profile:
    """A named set of conventions: metric ids in the order of its paper or toolbox; ``core`` enter the mean rank."""

    name: str
    title: str
    metrics: tuple[str, ...]
    core: tuple[str, ...]


def _profile(name: str, title: str, metrics: str, core: str = "") -> Profile:
    return Profile(name, title, tuple(metrics.split()), tuple((core or metrics).split()))


PROFILES: dict[str, Profile] = {
    p.name: p
    for p in (
        _profile(
            "dmfnet",
            "The evaluator of DM-FNet and LKC-FUNet",
            "en sd sf ag mi scd cc psnr mse vif qabf ssim",
            "en sd sf mi qabf vif ssim",
        ),
        _profile(
            "cddfuse",
            "CDDFuse with its pinned scikit-image 0.19.2: SSIM with data range 2 on 0..255",
            "en sd sf ag mi scd cc psnr mse vif qabf ssim@l2",
            "en sd sf mi qabf vif ssim@l2",
        ),
        _profile(
            "tang2023",
            "Linfeng Tang's Evaluation-for-Image-Fusion since March 2023",
            "en sf sd psnr@tang mse@unit mi@tang vif ag@inner cc scd qabf nabf@tang ssim@tang mef-ms-ssim fmi@edge "
            "fmi@dct fmi@wavelet",
            "en sd sf mi@tang qabf vif ssim@tang",
        ),
        _profile(
            "vifb",
            "VIFB, the visible and infrared image fusion benchmark",
            "ce en mi@vifb psnr@vifb ag@inner ei qabf sd sf@mn rmse@vifb ssim@vifb qcb qcv",
        ),
        _profile(
            "mefb",
            "MEFB, the multi-exposure image fusion benchmark",
            "ce en fmi@edge nmi psnr@vifb qncie qte@1.85 ag@inner ei qabf qp sd sf@mn qc qe@mefb qy mef-ms-ssim qcb "
            "qcv viff",
        ),
        _profile(
            "liu2012",
            "Liu et al., Objective assessment of multiresolution image fusion algorithms, TPAMI 2012 "
            "(imageFusionMetrics)",
            "nmi qte qncie qg qm qsf qp qs qw qc qy qcv qcb",
            "nmi qte qncie qg qm qsf qp qs qc qy qcv qcb",
        ),
        _profile(
            "strict",
            "One defensible definition each: right marginals, wrapped angles, means over sources, defined for flat "
            "windows",
            "en sd sf ag mi@strict nmi@strict qte@strict qncie scd cc psnr@255 rmse vif@strict viff qabf@strict labf "
            "nabf ssim@strict ms-ssim uqi qs qw qe qc@strict qy@strict qm qsf@strict qp fsim fmi@pixel fmi@gradient "
            "qcv qcb@strict",
            "en sd sf mi@strict qabf@strict vif@strict ssim@strict",
        ),
        _profile(
            "medical",
            "Fidelity to colour and tracer of PET and SPECT; on phantom pairs, to the ground truth",
            "ciede2000 chroma-correlation tracer-correlation tracer-error lesion-recovery lesion-cnr "
            "tissue-edge-recall",
        ),
    )
}


class Sources:
    """Two sources of N pairs, checked, with what depends on them alone: computed at the first need, then kept.

    Made by :func:`prepare`. Score any number of methods on the pairs with :meth:`score`.
    """

    def __init__(self, parts: list[Pairs], size: tuple[int, int, int], single: bool, mask: str, device: torch.device):
        self._parts = parts
        self._size = size
        self._single = single
        self._mask = mask
        self._device = device

    def score(
        self, fused: Images, metrics: str | Iterable[str] = "dmfnet", *, fused_rgb: Images | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Score N fused images, (N, H, W) or (H, W) uint8; ``fused_rgb`` (N, H, W, 3) for the metrics of colour.

        Returns column name -> (N,) float64, in the order asked. Raises InputError for images that do not fit the sources
        and for metrics that these images cannot have.
        """
        ids = resolve(metrics)
        rgb = None if fused_rgb is None else _check(fused_rgb, "fused_rgb", color=True)[0]
        levels, _ = _check(fused, "fused")
        _same_size("fused", tuple(levels.shape), self._size)
        if rgb is not None:
            _same_size("fused_rgb", tuple(rgb.shape[:3]), self._size)
        has = {"rgb"} if rgb is not None else set()
        _check_needs(ids, self._size, has | self._parts[0].has)
        columns: dict[str, list[torch.Tensor]] = {str(Column.parse(i).inside(self._mask)): [] for i in ids}
        start = 0
        with _threads.allowed(self._device) as threads:
            for part in self._parts:
                stop = start + part.a.levels.shape[0]
                own = None if rgb is None else rgb[start:stop].to(self._device)
                triple = Triple(part, Image(levels[start:stop].to(self._device)), own)
                # A thread takes 0.1 ms to start; small images are done in that time.
                found = _threads.share(_in_groups(ids, triple), threads if triple.f.levels.numel() >= 1 << 14 else 1)
                for i, values in zip(ids, columns.values(), strict=True):
                    values.append(found[i])
                start = stop
        return {name: torch.cat(values).cpu().numpy() for name, values in columns.items()}


# Families that take longest come first, so that two threads end at about the same time.
_COSTLY = ("features", "perception", "fidelity", "structure")


def _in_groups(ids: list[str], triple: Triple) -> list[dict[str, Callable[[], torch.Tensor]]]:
    """Metrics that share maps, together: by family, but each feature of FMI has maps of its own."""
    groups: dict[str, dict[str, Callable[[], torch.Tensor]]] = {}
    for i in ids:
        family = METRICS[i].facts.family
        group = groups.setdefault(i if family == "features" else family, {})
        group[i] = functools.partial(METRICS[i].factory, triple)
    rank = {family: k for k, family in enumerate(_COSTLY)}
    return sorted(groups.values(), key=lambda group: rank.get(METRICS[next(iter(group))].facts.family, len(rank)))


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
    first, single = _check(a, "a")
    second, _ = _check(b, "b")
    size = (int(first.shape[0]), int(first.shape[1]), int(first.shape[2]))
    _same_size("b", tuple(second.shape), size)
    rgb = None if color is None else _check(color, "color", color=True)[0]
    if rgb is not None:
        _same_size("color", tuple(rgb.shape[:3]), size)
    if truth is not None and size[0] != 1:
        raise InputError(f"truth belongs to one pair, there are {size[0]}; prepare the pairs one by one")
    where = torch.device(device) if device is not None else first.device
    inside, kind = _mask(mask, first, second)
    step = max(1, (1 << (16 if where.type == "cpu" else 23)) // (size[1] * size[2]))
    parts = []
    for start in range(0, size[0], step):
        piece = slice(start, start + step)
        parts.append(
            Pairs(
                a=Image(first[piece].to(where)),
                b=Image(second[piece].to(where)),
                mask=None if inside is None else inside[piece].to(where),
                color=None if rgb is None else rgb[piece].to(where),
                truth=truth,
                compiled=compiled and where.type == "cpu" and inside is None and size[1] * size[2] <= 1 << 24,
            )
        )
    return Sources(parts, size, single, kind, where)


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
    first, _ = _check(a, "a")
    n = first.shape[0]
    if n == 1:
        sources = prepare(a, b, mask=mask, truth=truth, color=color, device=device, compiled=compiled)
        return sources.score(fused, ids, fused_rgb=fused_rgb)
    # Piece by piece, so that what is kept for the sources stays flat in the number of pairs.
    second, pictures = _check(b, "b")[0], _check(fused, "fused")[0]
    size = (n, int(first.shape[1]), int(first.shape[2]))
    _same_size("b", tuple(second.shape), size)
    _same_size("fused", tuple(pictures.shape), size)
    rgb = None if color is None else _check(color, "color", color=True)[0]
    own = None if fused_rgb is None else _check(fused_rgb, "fused_rgb", color=True)[0]
    inside = _check_mask(mask, size) if not isinstance(mask, str) and mask is not None else None
    step = max(1, (1 << (16 if first.device.type == "cpu" else 23)) // (size[1] * size[2]))
    results: list[dict[str, NDArray[np.float64]]] = []
    for start in range(0, n, step):
        piece = slice(start, start + step)
        sources = prepare(
            first[piece],
            second[piece],
            mask=mask if inside is None else inside[piece],
            truth=truth,
            color=None if rgb is None else rgb[piece],
            device=device,
            compiled=compiled,
        )
        results.append(sources.score(pictures[piece], ids, fused_rgb=None if own is None else own[piece]))
    return {name: np.concatenate([r[name] for r in results]) for name in results[0]}


def resolve(metrics: str | Iterable[str]) -> list[str]:
    """Profile names and metric ids, in upper or lower case -> metric ids, without repeats.

    Raises InputError with the nearest known names.
    """
    ids: list[str] = []
    for name in map(str.lower, [metrics] if isinstance(metrics, str) else metrics):
        if name in PROFILES:
            ids += PROFILES[name].metrics
        elif name in METRICS:
            ids.append(name)
        else:
            known = [*PROFILES, *METRICS.names()]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"profiles: {', '.join(PROFILES)}"
            raise InputError(f"unknown metric or profile {name!r}; {hint}")
    if not ids:
        raise InputError(f"no metric was asked for; name a profile ({', '.join(PROFILES)}) or a metric")
    return list(dict.fromkeys(ids))


def select(profiles: Sequence[str], metric_ids: Sequence[str] = ()) -> list[str]:
    """The ids of some profiles, then further ids, without repeats. Raises InputError for unknown names."""
    for name in profiles:
        if name.lower() not in PROFILES:
            raise InputError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return resolve([*profiles, *metric_ids])


def reason(metric_id: str) -> str:
    """Why a metric can be NaN, in one sentence; takes column names too."""
    return METRICS[Column.parse(metric_id).metric].facts.degenerate


def groups() -> dict[str, list[MetricFacts]]:
    """Family -> fact sheets, both sorted by name: what ``fusionbench list metrics`` prints."""
    found: dict[str, list[MetricFacts]] = {}
    for facts in sorted((METRICS[name].facts for name in METRICS), key=lambda f: (f.family, f.name)):
        found.setdefault(facts.family, []).append(facts)
    return found


def explain(metric_id: str) -> str:
    """A metric's story as Markdown text: formula in words, convention, unit, direction, reference, traps."""
    f = METRICS[Column.parse(metric_id).metric].facts
    used = [p.name for p in PROFILES.values() if f.name in p.metrics]
    others = [n for n in METRICS if Column.parse(n).name == Column.parse(f.name).name and n != f.name]
    better = {"higher": "higher is better", "lower": "lower is better"}
    direction = (
        better[f.direction]
        if f.direction != "describes"
        else f"describes the image, does not rank it (papers rank it all the same: {better[f.customary]})"
    )
    lines = [f"# {f.name}: {f.title}", "", f.formula, ""]
    rows = (
        ("Convention", f.convention),
        ("Origin", f.origin),
        ("Direction", direction),
        ("Range", f.range + (f" {f.unit}" if f.unit else "")),
        ("Sources", "interchangeable" if f.symmetric else "not interchangeable: the first is the structural image"),
        ("Degenerate images", f.degenerate),
        ("Smallest image", f"{f.min_size} x {f.min_size}" if f.min_size > 1 else ""),
        ("Needs", ", ".join(sorted(f.needs))),
        ("Profiles", ", ".join(used)),
        ("Other conventions", ", ".join(others)),
        ("Reference", f.reference + (f", https://doi.org/{f.doi}" if f.doi else "")),
    )
    lines += [f"- {name}: {value}" for name, value in rows if value]
    if f.traps:
        lines += ["", "Traps:", "", *(f"- {trap}" for trap in f.traps)]
    return "\n".join(lines) + "\n"


def _check(images: Images, name: str, *, color: bool = False) -> tuple[torch.Tensor, bool]:
    """-> ((N, H, W) or (N, H, W, 3) uint8 tensor, whether a single image was given)."""
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
    single = tensor.ndim == dims
    return (tensor[None] if single else tensor).contiguous(), single


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
        for need in sorted(facts.needs - has):
            raise InputError(f"metric {i!r} needs {names[need]}, which is not there; leave it out")


def _mask(mask: Mask, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor | None, str]:
    if mask is None or (isinstance(mask, str) and mask == "none"):
        return None, ""
    if isinstance(mask, str):
        if mask != "foreground":
            raise InputError(f"unknown mask {mask!r}; known: none, foreground, or an array")
        return foreground_mask(a, b), "foreground"
    return _check_mask(mask, (int(a.shape[0]), int(a.shape[1]), int(a.shape[2]))), "mask"


def _check_mask(mask: NDArray[Any] | torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    inside = torch.as_tensor(np.asarray(mask) if not isinstance(mask, torch.Tensor) else mask) != 0
    inside = inside.expand(size) if inside.ndim == 2 else inside
    _same_size("mask", tuple(inside.shape), size)
    empty = torch.nonzero(~inside.flatten(1).any(1)).flatten().tolist()
    if empty:
        raise InputError(f"the mask of image {empty[0]} selects no pixel; mark at least one")
    return inside
