"""The trivial fusers every real method must beat: the mean, the maximum, and each source by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts

if TYPE_CHECKING:
    import torch


@METHODS.register(
    MethodFacts(
        name="average",
        title="Average",
        family="control",
        origin="definition",
        control=True,
        symmetric=True,
        identity=True,
    )
)
def average(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The mean of both sources, pixel by pixel."""
    return (a + b) / 2


@METHODS.register(
    MethodFacts(
        name="maximum",
        title="Maximum",
        family="control",
        origin="definition",
        control=True,
        symmetric=True,
        identity=True,
    )
)
def maximum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The larger of both sources, pixel by pixel."""
    return a.maximum(b)


@METHODS.register(
    MethodFacts(
        name="source-a", title="Source A alone", family="control", origin="definition", control=True, identity=True
    )
)
def source_a(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The structural image, unchanged."""
    return a.clone()


@METHODS.register(
    MethodFacts(
        name="source-b", title="Source B alone", family="control", origin="definition", control=True, identity=True
    )
)
def source_b(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The other modality's grey levels, unchanged."""
    return b.clone()


@METHODS.register(
    MethodFacts(name="weighted", title="Weighted average", family="pixel", origin="definition", identity=True)
)
def weighted(a: torch.Tensor, b: torch.Tensor, *, weight: float = 0.6) -> torch.Tensor:
    """``weight`` times the structural image plus the rest of the other; ``weight`` in [0, 1].

    Raises InputError for a weight outside that range.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"weight={weight}: give a weight from 0 to 1")
    return b + weight * (a - b)
