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

from fusionbench.metrics._evaluate import Sources, evaluate, prepare
from fusionbench.metrics._facts import (
    METRICS,
    PROFILES,
    MetricFacts,
    Profile,
    explain,
    groups,
    margins,
    published,
    reason,
    resolve,
    select,
    variant,
)
from fusionbench.metrics._triple import Image, Triple
from fusionbench.metrics._triple import foreground as foreground_mask

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
    "margins",
    "prepare",
    "published",
    "reason",
    "resolve",
    "select",
    "variant",
]
