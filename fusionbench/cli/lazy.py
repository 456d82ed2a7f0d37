"""Libraries that a command imports and may never use: loaded at their first use, so that a look-up answers at once."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

HEAVY = (
    "PIL.Image",
    "numba",
    "pandas",
    "pywt",
    "rich.markdown",
    "rich.progress",
    "scipy.fft",
    "scipy.ndimage",
    "scipy.signal",
    "scipy.sparse",
    "scipy.stats",
    "torch",
)
_SET_BY_IMPORT = ("__cached__", "__file__", "__loader__", "__package__", "__path__")  # before a module is run
KERNELS = "fusionbench.metrics._kernels."


class Late(ModuleType):
    """A module that is loaded when it is asked for an attribute that it does not have yet.

    The standard library's lazy loader does not serve: its modules are loaded by the second ``import`` of their name.
    """

    def __getattr__(self, name: str) -> Any:
        late: object = self.__spec__ and self.__spec__.loader
        if not isinstance(late, _LateLoader) or name in _SET_BY_IMPORT:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]  # from here on an ordinary module
        self.__loader__ = late.real
        if self.__spec__ is not None:
            self.__spec__.loader = late.real
        late.real.exec_module(self)
        return getattr(self, name)


class _LateLoader:
    def __init__(self, real: Any) -> None:
        self.real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return Late(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing yet."""


class _Finder:
    """Finds heavy modules as Python does, to be loaded late."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in HEAVY and not name.startswith(KERNELS):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _LateLoader(spec.loader)  # type: ignore[assignment]  # a loader by its methods
        return spec


@contextmanager
def heavy_modules_late() -> Iterator[None]:
    """What is heavy and imported inside is loaded at its first use, be that inside or after."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
