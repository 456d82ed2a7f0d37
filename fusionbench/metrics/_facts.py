"""Fact sheets of metrics, their registry, and the profiles: named sets of conventions."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.resources
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from fusionbench.errors import InputError
from fusionbench.registry import Registry
from fusionbench.scores import Column


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """A metric's fact sheet; it travels in the score files, so reports never import metrics.

    ``name``: the id. ``short``: column header. ``direction``: "higher" or "lower" is better, or "describes" where neither
    is so in itself; ``customary``: the direction that papers rank by all the same. ``range``, ``unit``: in words.
    ``origin``: who computes it this way. ``formula``, ``convention``: in words. ``traps``: what goes wrong in other codes,
    or with the number itself. ``degenerate``: the written rule for flat and equal images, the only source of NaN.
    ``symmetric``: exchanging the sources changes nothing. ``min_size``: the smallest image side. ``needs``: any of "truth"
    (ground truth of generated pairs), "color" (coloured source), "rgb" (coloured fused image), "weights" (files that the
    user fetches; the metric raises InputError where they are missing). ``version`` is raised when
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
            "tang2022",
            "Linfeng Tang's toolbox up to May 2022: SD in 8-bit arithmetic, images in [0, 1], MEF-SSIM printed as SSIM",
            "en sf@unit sd@uint8 psnr@tang mse@unit mi@tang ag@inner cc scd qabf@unit nabf@unit mef-ssim mef-ms-ssim "
            "fmi@edge fmi@dct fmi@wavelet",
            "en sd@uint8 sf@unit mi@tang qabf@unit mef-ssim",
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


def resolve(metrics: str | Iterable[str]) -> list[str]:
    """Profile names and metric ids, in upper or lower case -> metric ids, without repeats.

    Raises InputError with the nearest known names.
    """
    if not isinstance(metrics, Iterable):
        raise InputError(
            f"metrics is {metrics!r}; give a profile ({', '.join(PROFILES)}), a metric id, or a list of them"
        )
    ids: list[str] = []
    for name in map(_lower, [metrics] if isinstance(metrics, str) else metrics):
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


def _lower(name: object) -> str:
    if not isinstance(name, str):
        raise InputError(f"{name!r} is no name of a metric or profile; give text such as 'ssim' or 'dmfnet'")
    return name.lower()


def select(profiles: Sequence[str], metric_ids: Sequence[str] = ()) -> list[str]:
    """The ids of some profiles, then further ids, without repeats. Raises InputError for unknown names."""
    for name in profiles:
        if _lower(name) not in PROFILES:
            raise InputError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return resolve([*profiles, *metric_ids])


def reason(metric_id: str) -> str:
    """Why a metric can be NaN, in one sentence; takes column names too."""
    return METRICS[Column.parse(_lower(metric_id)).metric].facts.degenerate


@functools.cache
def margins() -> Mapping[str, float]:
    """Metric id -> the median change when a fused image is saved as JPEG at quality 95 (``tools/margins.py``), in its unit.

    Differences no larger are of no use to a reader: the default margin of "equivalent". Some metrics have none.
    """
    text = (importlib.resources.files("fusionbench.metrics") / "margins.json").read_text("utf-8")
    return dict(json.loads(text))


def published(metric_id: str) -> dict[str, Any]:
    """A fact sheet as score files hold it, with the metric's margin where it has one."""
    margin = margins().get(metric_id)
    return dataclasses.asdict(METRICS[metric_id].facts) | ({} if margin is None else {"margin": margin})


def groups() -> dict[str, list[MetricFacts]]:
    """Family -> fact sheets, both sorted by name: what ``fusionbench list metrics`` prints."""
    found: dict[str, list[MetricFacts]] = {}
    for facts in sorted((METRICS[name].facts for name in METRICS), key=lambda f: (f.family, f.name)):
        found.setdefault(facts.family, []).append(facts)
    return found


def explain(metric_id: str) -> str:
    """A metric's story as Markdown text: formula in words, convention, unit, direction, reference, traps."""
    f = METRICS[Column.parse(_lower(metric_id)).metric].facts
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
        ("JPEG at quality 95 changes it by", f"{margins()[f.name]:g} (median)" if f.name in margins() else ""),
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
