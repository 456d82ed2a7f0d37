"""EFRUFN as training and import see it: one stage without teacher or reference images, on [0, 1]; the authors' one file."""

from __future__ import annotations

from torch import Tensor, nn

from fusionbench.methods.efrufn.network import Network
from fusionbench.methods.frufn.losses import LossWeights
from fusionbench.methods.frufn.network import PRESETS, Preset, not_weights
from fusionbench.methods.frufn.spec import Objective, default_settings
from fusionbench.training import NetworkSpec, PairRecipe, PublishedFile, Stage, Terms


class EquilibriumObjective(Objective):
    """The loss of FRUFN; a validation also tells how far the solver came, which is not part of it."""

    def __call__(self, network: nn.Module, a: Tensor, b: Tensor) -> Terms:
        loss, terms = super().__call__(network, a, b)
        if isinstance(network, Network) and not network.training:
            terms = {**terms, "residual": network.residuals.mean()}
        return loss, terms


SPEC = NetworkSpec(
    name="efrufn",
    title="EFRUFN",
    size=Preset,
    presets=PRESETS,
    build=Network,
    stages=(
        Stage(
            "train",
            default_settings,
            lambda network, weights, preset, settings: PairRecipe("efrufn", network, EquilibriumObjective(weights)),
        ),
    ),
    losses={name: LossWeights() for name in PRESETS},
    half=frozenset({"compact"}),
    published=(
        PublishedFile(
            "ufnet_deq_deeper_ivf.pth",
            # Its values are those it was initialised with: it takes part in nothing.
            ignored=not_weights(["update_block"]) | {"update_block.trans.0.weight"},
        ),
    ),
)
