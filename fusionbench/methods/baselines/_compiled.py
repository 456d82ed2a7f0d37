"""Compiled loops: Numba, with its cache where one can be written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

C = TypeVar("C", bound=Callable[..., Any])


def jit(function: C) -> C:
    """Compile on first call, strictly in IEEE order; the interpreter's lock is let go. For functions that call no other of
    them: Numba is asked for at the first call, not when a method is only listed."""
    compiled = functools.cache(lambda: _compile(function))
    return cast(C, functools.wraps(function)(lambda *arguments: compiled()(*arguments)))


def _compile(function: Callable[..., Any]) -> Any:
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return numba.njit(nogil=True)(function)
