"""Threads of one call: torch's pool stays out, and families of metrics are shared between two threads of our own."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


@contextlib.contextmanager
def allowed(device: torch.device) -> Iterator[int]:
    """How many threads the caller lets torch have; inside, torch's CPU pool stays out and the rest is for :func:`share`.

    The maps are small, and on a busy machine waking the pool costs ten times the work.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def share(groups: Sequence[Mapping[str, Callable[[], T]]], threads: int) -> dict[str, T]:
    """Call every function -> name: result. Groups go, in the order given, to whichever of two threads is free.

    Kernels and torch release the interpreter lock. Functions of one group run one after the other, as they share maps; a map
    that two groups want at the same moment is computed twice, to the same value.
    """
    waiting, found = collections.deque(groups), dict[str, T]()

    def work() -> None:
        while True:
            try:
                group = waiting.popleft()
            except IndexError:  # nothing waits any more
                return
            _compute(group, found)

    if threads == 1 or len(groups) < 2:
        for group in groups:
            _compute(group, found)
        return found
    with ThreadPoolExecutor(1) as helper:
        other = helper.submit(work)
        work()
        other.result()
    return found


def _compute(group: Mapping[str, Callable[[], T]], found: dict[str, T]) -> None:
    for name, function in group.items():
        found[name] = function()
