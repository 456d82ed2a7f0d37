"""Training the unfolded network: DM-FNet's published fusion loss, and the sources rebuilt from their codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fusionbench.methods._learned import Terms, train_pairs
from fusionbench.methods.coupledcsc.network import Network
from fusionbench.methods.dmfnet.losses import LossWeights, fusion_loss
from fusionbench.training import Split

DEFAULTS = {"steps": 2000, "batch": 4, "crop": 64, "lr": 2e-3, "ema": 0.99, "validate_every": 200}


def loss(network: nn.Module, a: Tensor, b: Tensor) -> Terms:
    """Fusion loss plus five times the mean modulus that the codes leave unexplained."""
    inner = getattr(network, "module", network)  # what several processes wrap
    if not isinstance(inner, Network):
        raise TypeError(f"the loss needs a coupled-csc network, was given {type(inner).__name__}")
    fused, rest_a, rest_b = inner.explain(a, b)
    total, terms = fusion_loss(fused * 2 - 1, a * 2 - 1, b * 2 - 1, LossWeights(border="valid"))
    unexplained = 5 * (rest_a.abs().mean() + rest_b.abs().mean()) / 2
    return total + unexplained, {**terms, "unexplained": unexplained}


def train_stages(stage: str, split: Split, out: Path, **options: Any) -> Path:
    """See :func:`fusionbench.methods._learned.train_pairs`."""
    return train_pairs("coupledcsc", loss, stage, split, out, defaults=DEFAULTS, **options)
