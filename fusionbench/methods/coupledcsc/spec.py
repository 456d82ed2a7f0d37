"""Training the unfolded network: DM-FNet's published fusion loss, and the sources rebuilt from their codes."""

from __future__ import annotations

from torch import Tensor, nn

from fusionbench.methods.coupledcsc.network import Network
from fusionbench.methods.dmfnet.losses import LossWeights, fusion_loss
from fusionbench.training import Terms, one_size


def loss(network: nn.Module, a: Tensor, b: Tensor) -> Terms:
    """Fusion loss plus five times the mean modulus that the codes leave unexplained."""
    inner = getattr(network, "module", network)  # what several processes wrap
    if not isinstance(inner, Network):
        raise TypeError(f"the loss needs a coupled-csc network, was given {type(inner).__name__}")
    fused, rest_a, rest_b = inner.explain(a, b)
    total, terms = fusion_loss(fused * 2 - 1, a * 2 - 1, b * 2 - 1, LossWeights(border="valid"))
    unexplained = 5 * (rest_a.abs().mean() + rest_b.abs().mean()) / 2
    return total + unexplained, {**terms, "unexplained": unexplained}


SPEC = one_size("coupledcsc", "coupled-csc", Network, loss)
