"""The Method contract, and METHODS, the registry of fusion methods.

A method turns two registered images into one. It knows nothing of files, ids, colour or scores. Two forms:

* a **class**, for methods with weights: keyword-only settings in the constructor, then :class:`Method`'s three calls;
* a plain **function** ``fuse(a, b, *, setting=default)``, for everything else; ``generator`` may be among its keyword
  arguments if it needs random numbers. :func:`per_image` lets it be written for one NumPy image at a time.

Both are entered with ``@METHODS.register(MethodFacts(...))``. Images are (N, 1, H, W) float32 in [0, 1]; ``a`` is the
structural image (MRI), ``b`` the other modality (CT, or the luminance of PET or SPECT).
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from fusionbench.registry import Plugin, Registry

if TYPE_CHECKING:
    import torch

    Generators = torch.Generator | Sequence[torch.Generator]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """A method's fact sheet. It travels in the score files, so reports never import methods.

    ``symmetric``: swapping the sources gives the same image. ``identity``: fuse(x, x) = x within rounding.
    ``control``: a trivial fuser, shown for orientation and never ranked as a winner. ``trained``: needs weights.
    ``version`` is raised whenever the output changes, which makes stored results stale. ``theirs`` and ``ours`` are
    filled for methods labelled "after ...", whose source was available in part only.
    """

    name: str
    title: str
    family: str
    year: int | None = None
    reference: str = ""
    doi: str = ""
    licence: str = "own implementation, Apache-2.0"
    trained: bool = False
    control: bool = False
    symmetric: bool = False
    identity: bool = True
    stochastic: bool = False
    version: int = 1
    theirs: str = ""
    ours: str = ""


class Method(Protocol):
    """What the engine calls."""

    def prepare(self, device: torch.device) -> None:
        """Load weights and move to the device; untimed. Raises InputError when weights are missing or foreign."""

    def supports(self, task: str) -> str | None:
        """None, or the reason why this method cannot run on a task (such as ``"pet-mri"``)."""

    def fuse(self, a: torch.Tensor, b: torch.Tensor, generator: Generators) -> torch.Tensor:
        """(N, 1, H, W) float32 in [0, 1] twice -> the same shape, dtype, device and range.

        ``generator`` is one generator, or N of them, one a pair: random numbers come from nowhere else.
        """


METHODS: Registry[MethodFacts] = Registry(
    "method", ("fusionbench.methods", "fusionbench.methods.baselines"), "fusionbench.methods"
)


class _FunctionMethod:
    """A registered function in the clothes of a Method."""

    def __init__(self, function: Callable[..., torch.Tensor], settings: dict[str, Any]) -> None:
        self._function = function
        self._settings = settings
        self._random = "generator" in inspect.signature(function).parameters

    def prepare(self, device: torch.device) -> None:
        """Nothing to load."""

    def supports(self, task: str) -> str | None:
        return None

    def fuse(self, a: torch.Tensor, b: torch.Tensor, generator: Generators) -> torch.Tensor:
        random = {"generator": generator} if self._random else {}
        return self._function(a, b, **self._settings, **random)


def create_method(spec: str) -> tuple[Plugin[MethodFacts], dict[str, Any], Method]:
    """``"laplacian:levels=5"`` -> (plugin, all settings with their defaults filled in, the method, not yet prepared).

    Raises InputError for an unknown method or setting, a value of the wrong type or one that the method refuses.
    """
    plugin, given = METHODS.parse(spec)
    settings = {name: p.default for name, p in plugin.settings.items() if p.default is not p.empty} | given
    make = plugin.factory
    if isinstance(make, type):
        return plugin, settings, cast(Method, make(**settings))
    return plugin, settings, _FunctionMethod(make, settings)


def per_image(function: Callable[..., NDArray[np.floating]]) -> Callable[..., torch.Tensor]:
    """Let a method be written for one pair of (H, W) float64 NumPy images in [0, 1]; returns the batched torch form.

    The result is clipped to [0, 1], which is part of such a method's definition.
    """

    @functools.wraps(function)
    def batched(a: torch.Tensor, b: torch.Tensor, **settings: Any) -> torch.Tensor:
        import torch  # heavy; loaded when the first image is fused

        pairs = zip(a[:, 0].double().cpu().numpy(), b[:, 0].double().cpu().numpy(), strict=True)
        fused = np.stack([function(x, y, **settings) for x, y in pairs])
        return torch.from_numpy(fused).clamp(0, 1).to(a)[:, None]

    return batched


def unavailable(plugin: Plugin[MethodFacts]) -> str | None:
    """Why a registered method cannot run here as it stands (weights that only the user can supply), or None."""
    hook = getattr(plugin.factory, "unavailable", None)
    return hook() if hook else None
