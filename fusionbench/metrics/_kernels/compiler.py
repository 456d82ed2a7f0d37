"""How kernels are compiled: once, for all callers, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numpy.typing import NDArray

Array = NDArray[Any]
C = TypeVar("C", bound=Callable[..., Any])
_NJIT: Any = numba.njit  # numba's type stubs lack two of the options below

# Sums may be reordered and multiply-adds contracted; NaN and infinity keep their meaning. Nobody calls kernels from C.
_OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


def jit(function: C) -> C:
    """numba.njit, with the cache on disk where one can be written, else compiled again in each process."""
    try:
        compiled: Any = _NJIT(cache=True, nogil=True, **_OPTIONS)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        compiled = _NJIT(nogil=True, **_OPTIONS)(function)
    return cast(C, compiled)


def inlined(function: C) -> C:
    """For what kernels call: LLVM puts it into them, always.

    A function of its own would be one machine code in the process that compiles the kernel and another where the kernel is
    loaded from the cache, and the last digits of a score would tell the two apart.
    """
    return cast(C, _NJIT(forceinline=True, no_cpython_wrapper=True, **_OPTIONS)(function))
