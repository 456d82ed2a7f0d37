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
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fusionbench.methods._places import AUTHORS
from fusionbench.registry import Plugin, Registry, sources_of
from fusionbench.scores import fingerprint

if TYPE_CHECKING:
    import torch

    Generators = torch.Generator | Sequence[torch.Generator]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """A method's fact sheet. It travels in the score files, so reports never import methods.

    ``symmetric``: swapping the sources gives the same image. ``identity``: fuse(x, x) = x within rounding.
    ``control``: a trivial fuser, shown for orientation and never ranked as a winner. ``trained``: needs weights.
    ``version`` is raised whenever the output changes, which makes stored results stale. ``theirs`` and ``ours`` are
    filled for methods labelled "after ...", whose source was available in part only. ``origin``: where what runs comes
    from; ``trained_on``, ``trained_for``: what it has seen and what it was made for (see ``scores.exposure``), None where
    that is not known.
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
    origin: Literal["", "definition", "reimplemented", "authors' weights", "trained here"] = ""
    trained_on: tuple[str, ...] | None = None
    trained_for: tuple[str, ...] | None = None


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


@runtime_checkable
class TakesBatches(Protocol):
    """A method that takes several pairs of one size at once; others are given one."""

    @property
    def batch(self) -> int:
        """How many at most."""


@runtime_checkable
class HasDigest(Protocol):
    """A method that says what its output depends on besides its settings; others say nothing."""

    def digest(self) -> str:
        """Changes with the weights, which makes stored results stale."""


@runtime_checkable
class NamesFiles(Protocol):
    """A method whose output depends on files that are not among its settings, attributes and the globals of its module."""

    def files(self) -> Sequence[Path]:
        """Those files; a change of any makes stored results stale."""


@runtime_checkable
class KnowsTraining(Protocol):
    """A method whose weights the user may exchange for others; the facts of those who cannot say stand."""

    def trained_on(self) -> tuple[str, ...] | None:
        """What the weights in use have seen (see ``scores.exposure``), None where that is not known."""


@runtime_checkable
class SaysWhyUnavailable(Protocol):
    """A class of methods that may lack what it needs (weights that only the user can supply)."""

    @staticmethod
    def unavailable() -> str | None:
        """Why it cannot run as listed, or None."""


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


@dataclasses.dataclass(frozen=True)
class Created:
    """A method as the user asked for it. ``spec``: what was typed; ``settings``: all of them, defaults filled in;
    ``method``: the instance, not yet prepared."""

    spec: str
    plugin: Plugin[MethodFacts]
    settings: Mapping[str, Any]
    method: Method

    @property
    def facts(self) -> MethodFacts:
        """The plugin's, with what the weights in use were trained on and for."""
        facts = self.plugin.facts
        if not (isinstance(self.method, KnowsTraining) and self.settings.get("weights")):
            return facts
        seen = self.method.trained_on()
        if self.settings["weights"] == AUTHORS:
            title = facts.title.removesuffix(" (compact)")
            return dataclasses.replace(facts, title=title, origin="authors' weights", trained_on=seen, trained_for=None)
        return dataclasses.replace(facts, origin="", trained_on=seen, trained_for=None)

    @property
    def weights(self) -> str:
        """What the method's own ``digest`` says, "" without one."""
        return self.method.digest() if isinstance(self.method, HasDigest) else ""

    @property
    def batch(self) -> int:
        """How many pairs of one size it takes at once."""
        return self.method.batch if isinstance(self.method, TakesBatches) else 1

    @property
    def label(self) -> str:
        """Its name in file names and tables: the plugin's alone when all settings are at their defaults."""
        return label(self.plugin, self.settings)

    def sources(self) -> dict[str, str]:
        """The files that the output depends on, with their digests (see :func:`fusionbench.registry.sources_of`): those of
        its plugin, those among its settings and attributes, and what its ``files`` adds. Empty for the suite's own methods,
        whose ``version`` and ``weights`` say it.
        """
        own_state = getattr(self.method, "__dict__", {})  # a class with slots has none
        named = self.method.files() if isinstance(self.method, NamesFiles) else ()
        return sources_of(self.plugin.factory, [self.settings, own_state], named)


def label(plugin: Plugin[MethodFacts], settings: Mapping[str, Any]) -> str:
    """File-name-safe label of a method with settings: its name alone when all are at their defaults."""
    changed = {k: v for k, v in sorted(settings.items()) if v != plugin.settings[k].default}
    if not changed:
        return plugin.facts.name
    text = ",".join(f"{k}={Path(v).stem if isinstance(v, Path) else v}" for k, v in changed.items())
    safe = re.sub(r"[^A-Za-z0-9._=,+-]", "_", text)
    exact = safe == text and not any(isinstance(v, Path) for v in changed.values())
    return f"{plugin.facts.name}@{safe}{'' if exact else '~' + fingerprint(str(changed))[:6]}"


def create_method(spec: str) -> Created:
    """``"laplacian:levels=5"`` -> the method with these settings.

    Raises InputError for an unknown method or setting, a value of the wrong type or one that the method refuses.
    """
    plugin, given = METHODS.parse(spec)
    settings = {name: p.default for name, p in plugin.settings.items() if p.default is not p.empty} | given
    make = plugin.factory
    method = cast(Method, make(**settings)) if isinstance(make, type) else _FunctionMethod(make, settings)
    return Created(spec, plugin, settings, method)


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
    return plugin.factory.unavailable() if isinstance(plugin.factory, SaysWhyUnavailable) else None
