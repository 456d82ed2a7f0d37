"""Training the plain fuser on the published loss of DM-FNet: no reference images."""

from __future__ import annotations

from torch import Tensor, nn

from fusionbench.methods.cnnfuse.network import Network
from fusionbench.methods.dmfnet.losses import LossWeights, fusion_loss
from fusionbench.training import Terms, one_size


def loss(network: nn.Module, a: Tensor, b: Tensor) -> Terms:
    """Intensity of the brighter source, gradient of the steeper one, structure of the locally stronger one."""
    fused = network(a, b)
    return fusion_loss(fused * 2 - 1, a * 2 - 1, b * 2 - 1, LossWeights(border="valid"))


SPEC = one_size("cnnfuse", "the plain CNN fuser", Network, loss)
