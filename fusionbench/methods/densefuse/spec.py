"""Training DenseFuse: reconstruct single slices; no fusion is seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.methods._losses import similarity
from fusionbench.methods.densefuse.network import Network
from fusionbench.training import Terms, one_size


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


SPEC = one_size("densefuse", "DenseFuse", Network, loss)
