"""Compiled loops: Numba, with its cache where one can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

C = TypeVar("C", bound=Callable[..., Any])


def jit(function: C) -> C:
    """Compile on first call, strictly in IEEE order; the interpreter's lock is let go."""
    try:
        return cast(C, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return cast(C, numba.njit(nogil=True)(function))
