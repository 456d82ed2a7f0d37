"""What a method brings to the training loop, and how it is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from fusionbench.errors import InputError
from fusionbench.training.data import TrainingPair, to_signed

Terms = tuple[Tensor, Mapping[str, Tensor]]
"""Mean loss over a batch, and its terms for the log."""


class Recipe(Protocol):
    """What a method brings to the loop."""

    name: str
    network: nn.Module
    """All that is trained, as one module; frozen parts stay outside."""

    @property
    def loss(self) -> Callable[..., tuple[Tensor, Mapping[str, Tensor]]]:
        """``loss(network, a, b, seeds=seeds)``, or ``loss(network, a, b, target, seeds=seeds)`` if the pairs have targets:
        mean loss over a batch, and its terms for the log. Images: (N,1,h,w) in [-1, 1]; seeds: one a sample, for whatever
        is random. Must call ``network`` (which may be wrapped for several processes), never ``self.network``."""

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """Figures over held-out pairs; the first is minimised to choose the best weights."""

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        """(N,1,H,W) pictures in [0, 1] to look at, or None."""


@runtime_checkable
class RecordableRecipe(Recipe, Protocol):
    """A recipe whose step can be recorded and replayed as a CUDA graph: what is random is drawn apart from the loss."""

    def draw(self, seeds: list[int], height: int, width: int) -> tuple[Tensor, ...]:
        """All that is random in the loss of one sample a seed, on the CPU, every shape the same in each step."""

    def loss_of(self, network: nn.Module, *images_and_draws: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The images, then what :meth:`draw` gave -> what ``loss`` returns, without waiting for the device."""


class PairRecipe:
    """A recipe for the training loop made of a network and a loss on images in [0, 1]: ``loss(network, a, b)``."""

    def __init__(self, name: str, network: nn.Module, loss: Callable[[nn.Module, Tensor, Tensor], Terms]) -> None:
        self.name = name
        self.network = network
        self._loss = loss

    def loss(self, network: nn.Module, a: Tensor, b: Tensor, seeds: list[int]) -> Terms:
        return self.loss_of(network, a, b)

    def draw(self, seeds: list[int], height: int, width: int) -> tuple[Tensor, ...]:
        return ()

    def loss_of(self, network: nn.Module, *images_and_draws: Tensor) -> Terms:
        a, b = images_and_draws
        return self._loss(network, a / 2 + 0.5, b / 2 + 0.5)

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """The loss and its terms over at most twelve whole pairs."""
        device = next(network.parameters()).device
        rows = []
        for pair in pairs[:: max(1, len(pairs) // 12)][:12]:
            a, b = (to_signed([image]).to(device) / 2 + 0.5 for image in (pair.a, pair.b))
            total, terms = self._loss(network, a, b)
            rows.append({"loss": total, **terms})
        return mean_terms(rows)

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. `batch` counts samples of one process and one accumulation step.

    schedule: "one-cycle" (up over the first tenth, cosine down to a hundredth), "cosine" (no rise), "constant".
    pool: each position of a batch draws from this many different samples only, which a recipe may cache; 0: all differ.
    precision: "no", "bf16" or "fp16". ema: decay of the averaged weights, which validation and the result use; 0 for none.
    graph: on a GPU, record the step once as a CUDA graph and replay it, for networks of many small kernels; needs a
    recipe that draws apart from its loss, one process and one batch a step, and a network without dropout.
    """

    steps: int
    batch: int = 4
    crop: int = 96
    lr: float = 1e-4
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.999
    accumulate: int = 1
    precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0
    validate_every: int = 500
    pool: int = 0
    compile: bool = False
    graph: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "crop", "accumulate", "validate_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not 0 <= self.ema < 1 or self.lr <= 0:
            raise InputError(f"ema {self.ema} must be in [0, 1) and lr {self.lr} above 0")


def learning_rate(settings: Settings, step: int) -> float:
    """The learning rate of step 0, 1, ..., steps - 1."""
    if settings.schedule == "constant":
        return settings.lr
    rise = max(1, settings.steps // 10) if settings.schedule == "one-cycle" else 0
    if step < rise:
        return settings.lr * (0.1 + 0.9 * (step + 1) / rise)
    done = (step - rise) / max(1, settings.steps - rise)
    return settings.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def mean_terms(rows: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each term over the rows, for a recipe's validation."""
    kept = [{name: value.item() for name, value in row.items()} for row in rows]
    return {name: sum(row[name] for row in kept) / len(kept) for name in kept[0]}
