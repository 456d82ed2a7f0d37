"""SIGINT and SIGTERM while a network is trained: the step at hand is finished and saved, then the process is stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

Found = TypeVar("Found")
_NOTE = b"\nstopping: the step at hand is finished and saved first\n"


class Stopped(BaseException):
    """A stop was asked for inside :meth:`Stops.interruptible`."""


class Stops:
    """While it is entered, Ctrl-C and SIGTERM are remembered in ``asked`` in place of what they did before.

    All of them are held back, not the first alone: a launcher of several processes passes on the Ctrl-C that the terminal
    has sent already. A signal that was ignored (``nohup``) stays so. Off the main thread nothing is changed.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stops:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None:
            self.asked = number
            os.write(2, _NOTE)  # print is not safe in a signal handler
        if self._at_once:
            self._at_once = False
            raise Stopped

    def interruptible(self, work: Callable[[], Found]) -> Found | None:
        """What ``work`` finds, None where a stop broke it off: for what is done again after a resume. Whatever leaves a
        trace (files, records) comes after it, not inside."""
        try:
            self._at_once = True
            found = None if self.asked is not None else work()
            self._at_once = False
        except Stopped:
            return None
        return found

    def pass_on(self) -> None:
        """After leaving: do what the signal did before. Raises KeyboardInterrupt if that was to go on as if nothing were."""
        signal.raise_signal(signal.SIGTERM if self.asked is None else self.asked)
        raise KeyboardInterrupt
