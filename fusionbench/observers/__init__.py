"""Model observers: can a finding be made in an image? Pure functions on arrays; no torch, no files, no methods.

A reader is replaced by a linear (or non-linear) rule on a few channels, trained on some subjects and judged on others
(Barrett, Myers, Foundations of Image Science, 2004). What it can tell of a finding is what the image shows of it.
"""

from fusionbench.observers.channels import difference_of_gaussians, laguerre_gauss, read, region, ring_means, rings
from fusionbench.observers.judge import (
    Auc,
    area,
    boosted_responses,
    detectability,
    efficiency,
    fold_of,
    linear_responses,
    search,
    state_accuracy,
)

__all__ = [
    "Auc",
    "area",
    "boosted_responses",
    "detectability",
    "difference_of_gaussians",
    "efficiency",
    "fold_of",
    "laguerre_gauss",
    "linear_responses",
    "read",
    "region",
    "ring_means",
    "rings",
    "search",
    "state_accuracy",
]
