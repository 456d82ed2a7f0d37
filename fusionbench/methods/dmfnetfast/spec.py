"""How the student learns from the teacher's images, which are the targets of its training pairs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.errors import InputError
from fusionbench.methods.dmfnetfast.network import Network
from fusionbench.training import (
    NetworkSpec,
    NoChoice,
    Settings,
    Stage,
    Terms,
    TrainingPair,
    mean_terms,
    spread,
    to_signed,
)

VALIDATION_PAIRS = 12


def loss(fused: Tensor, teacher: Tensor) -> Terms:
    """Mean squared difference, and that of the differences between neighbours; images (N,1,H,W) in [0, 1].

    All of it is quadratic in linear functions of the image, so where the teacher's images scatter, as its noise makes them,
    the best student gives their mean.
    """
    off = fused - teacher
    terms = {"image": off.square().mean(), "slope": off.diff(dim=-1).square().mean() + off.diff(dim=-2).square().mean()}
    return terms["image"] + terms["slope"], terms


class StudentRecipe:
    """Learning the targets by :func:`loss`."""

    name = "dmfnetfast"

    def __init__(self, network: Network) -> None:
        self.network: nn.Module = network

    def loss(
        self, network: nn.Module, a: Tensor, b: Tensor, target: Tensor | None = None, *, seeds: list[int]
    ) -> Terms:
        """Images in [-1, 1]; target: the teacher's."""
        if target is None:
            raise InputError(
                "the student learns from its teacher's images; make them with fusionbench prior, give --prior"
            )
        a, b, teacher = (image / 2 + 0.5 for image in (a, b, target))
        fused = network(a, b)
        with torch.autocast(a.device.type, enabled=False):
            return loss(fused.float(), teacher)

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """The loss and its terms on whole pairs; root mean squared distance in grey levels of the student's and of the
        pixel maximum's image to the teacher's."""
        device = next(network.parameters()).device
        rows = []
        for pair in spread([pair for pair in pairs if pair.target is not None], VALIDATION_PAIRS):
            images = [image for image in (pair.a, pair.b, pair.target) if image is not None]
            a, b, teacher = (to_signed([image]).to(device) / 2 + 0.5 for image in images)
            fused = network(a, b).clamp(0, 1)
            total, terms = loss(fused, teacher)
            rows.append({"loss": total, **terms, "levels": _levels(fused, teacher),
                         "levels_of_maximum": _levels(torch.maximum(a, b), teacher)})  # fmt: skip
        return mean_terms(rows)

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        return None


def _levels(x: Tensor, y: Tensor) -> Tensor:
    return 255 * F.mse_loss(x, y).sqrt()


SETTINGS = Settings(steps=3000, batch=8, crop=96, lr=2e-3, ema=0.99, validate_every=250)
SPEC = NetworkSpec(
    name="dmfnetfast",
    title="the one-pass student of DM-FNet",
    size=NoChoice,
    presets={"compact": NoChoice()},
    build=lambda preset: Network(),
    stages=(
        Stage("train", lambda preset: SETTINGS, lambda network, weights, preset, settings: StudentRecipe(network)),
    ),
    half=frozenset({"compact"}),
    needs_target=True,
)
