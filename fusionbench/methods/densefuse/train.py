"""Training DenseFuse: reconstruct single slices; no fusion is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.methods._learned import Terms, train_pairs
from fusionbench.methods._losses import similarity
from fusionbench.training import Split

DEFAULTS = {"steps": 2000, "batch": 4, "crop": 64, "lr": 2e-3, "ema": 0.99, "validate_every": 200}


def loss(network: nn.Module, a: Tensor, b: Tensor) -> Terms:
    """Mean squared error x 100 (levels are in [0, 1]) and 1 - SSIM, of both sources reconstructed."""
    images = torch.cat([a, b])
    # Fused with itself an image is blended with itself: the forward pass then is encoder and decoder.
    rebuilt = network(images, images)
    terms = {
        "squared": 100 * F.mse_loss(rebuilt, images),
        "similarity": 1 - similarity(images * 2 - 1, rebuilt * 2 - 1).mean(),
    }
    return terms["squared"] + terms["similarity"], terms


def train_stages(stage: str, split: Split, out: Path, **options: Any) -> Path:
    """See :func:`fusionbench.methods._learned.train_pairs`."""
    return train_pairs("densefuse", loss, stage, split, out, defaults=DEFAULTS, **options)
