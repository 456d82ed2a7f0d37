"""How kernels are compiled: once, for all callers, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numpy.typing import NDArray

Array = NDArray[Any]
C = TypeVar("C", bound=Callable[..., Any])

# Sums may be reordered and multiply-adds contracted; NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


def jit(function: C) -> C:
    """numba.njit, with the cache on disk where one can be written, else compiled again in each process."""
    try:
        compiled: Any = numba.njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        compiled = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")(function)
    return cast(C, compiled)


def inlined(function: C) -> C:
    """For what kernels call. A function of its own would be one machine code when compiled and another when loaded from the
    cache, which LLVM may have summed in another order: the last digits of a score would tell the two apart."""
    return cast(C, numba.njit(inline="always", fastmath=_FAST, error_model="numpy")(function))
