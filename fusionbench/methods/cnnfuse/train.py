"""Training the plain fuser on the published loss of DM-FNet: no reference images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fusionbench.methods._learned import Terms, train_pairs
from fusionbench.methods.dmfnet.losses import LossWeights, fusion_loss
from fusionbench.training import Split

DEFAULTS = {"steps": 2000, "batch": 4, "crop": 64, "lr": 2e-3, "ema": 0.99, "validate_every": 200}


def loss(network: nn.Module, a: Tensor, b: Tensor) -> Terms:
    """Intensity of the brighter source, gradient of the steeper one, structure of the locally stronger one."""
    fused = network(a, b)
    return fusion_loss(fused * 2 - 1, a * 2 - 1, b * 2 - 1, LossWeights(border="valid"))


def train_stages(stage: str, split: Split, out: Path, **options: Any) -> Path:
    """See :func:`fusionbench.methods._learned.train_pairs`."""
    return train_pairs("cnnfuse", loss, stage, split, out, defaults=DEFAULTS, **options)
