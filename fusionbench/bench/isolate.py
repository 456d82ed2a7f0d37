"""``--isolate``: a method works in a process of its own, with limits on time and memory.

A hang, a segmentation fault, ``os._exit`` or a memory bomb ends that process only: the pair in hand becomes a row with the
reason, and a fresh process goes on with the next pair. What the method prints, or reads from its input, touches nothing.
Rows come back as JSON lines through a pipe that only they use; nothing that a method's process says is unpickled.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import psutil

from fusionbench.bench.work import FuseUnit, Limits, Row, fuse_unit, import_plugins, prepared
from fusionbench.errors import InputError

START_SECONDS = 300.0
"""How long importing torch and loading weights may take."""

_POLL = 0.1
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class _Ended(Exception):
    """The child is gone, or had to be stopped: why."""


def parse_limits(text: str) -> Limits:
    """``"time=60,memory=4G"`` -> Limits; what is left out has its default. Raises InputError for anything else."""
    values: dict[str, float] = {}
    for item in filter(None, text.split(",")):
        key, _, value = item.partition("=")
        number, unit = (value[:-1], value[-1]) if value[-1:] in _UNITS and value[-1:] else (value, "")
        try:
            values[key] = float(number) * _UNITS[unit]
        except ValueError:
            values[key] = 0
        if key not in ("time", "memory") or not 0 < values[key] < float("inf") or (unit and key == "time"):
            raise InputError(f"--isolate {item!r}: write it as time=SECONDS,memory=4G")
    limits = Limits()
    return Limits(values.get("time", limits.seconds), int(values.get("memory", limits.memory)))


def fuse_isolated(unit: FuseUnit) -> Iterator[Row]:
    """:func:`fusionbench.bench.work.fuse_unit` in a child process, under ``unit.limits``.

    Raises InputError when the method cannot be had at all (missing weights, an unknown setting).
    """
    todo = dict(unit.todo)
    while todo:
        with _Child(replace(unit, todo=todo)) as child:
            try:
                child.wait_for("ready", START_SECONDS)
            except _Ended as reason:  # it will not be better for the next pair
                parts = replace(unit, todo=todo).split()
                yield from (part.lost(f"{reason} while it was loaded", child.said()) for part in parts)
                return
            while todo:
                try:
                    row = child.wait_for("row", unit.limits.seconds)
                except _Ended as reason:
                    pair = next(iter(todo))
                    yield replace(unit, todo={pair: todo.pop(pair)}).lost(str(reason), child.said())
                    break
                todo.pop(row["pair"])
                yield Row(unit.key, **row)


class _Child:
    """The child process of one unit, its pipe, and the file that takes what it prints."""

    def __init__(self, unit: FuseUnit) -> None:
        self._memory = unit.limits.memory
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        self._pipe, theirs = os.pipe()
        self._buffer = b""
        home = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from fusionbench.bench.isolate import child; child({theirs})"],
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=self._said,
                pass_fds=(theirs,),
                start_new_session=True,
                env={**os.environ, **one, "PYTHONPATH": path},
            )
        finally:
            os.close(theirs)
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it is gone already: the first wait tells
                stdin.write(pickle.dumps((sys.path, unit)))
                stdin.close()

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *error: object) -> None:
        self._kill()
        self._process.wait()
        os.close(self._pipe)
        self._said.close()

    def wait_for(self, kind: str, seconds: float) -> Any:
        """The next message, which must be of this kind. Raises _Ended, or InputError when the child says that it must."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if select.select([self._pipe], [], [], _POLL)[0]:
                data = os.read(self._pipe, 1 << 16)
                if not data:
                    raise _Ended(self._death())
                self._buffer += data
                continue
            if time.monotonic() > deadline:
                raise _Ended(f"ran longer than {seconds:g} s and was stopped")
            used = self._used()
            if used > self._memory:
                raise _Ended(
                    f"used {used / 1e9:.1f} GB of memory, more than {self._memory / 1e9:.1f} GB, and was stopped"
                )
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
            if "refused" in message:
                raise InputError(message["refused"])
            return message[kind]
        except (ValueError, KeyError, TypeError):
            raise _Ended("wrote into a pipe that is not its own") from None

    def _used(self) -> int:
        """Resident bytes of the child and all that it started."""
        total = 0
        with contextlib.suppress(psutil.Error):
            child = psutil.Process(self._process.pid)
            for process in (child, *child.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def _death(self) -> str:
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "closed a pipe that is not its own"
        how = f"exit code {code}"
        if code < 0:
            how = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        lines = self.said().strip().splitlines()
        last = f": {' '.join(lines[-1].split())[:200]}" if lines else ""
        return f"its process ended with {how}{last}"

    def said(self) -> str:
        """The last that it printed."""
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 4096))
        return self._said.read().decode(errors="replace")

    def _kill(self) -> None:
        """The child's whole session, and whatever it started in sessions of their own."""
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def child(pipe: int) -> None:
    """What the child process runs; the unit comes through its standard input, rows leave through ``pipe``."""
    _die_with_parent()
    path, unit = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if not unit.device.startswith("cuda"):
        _limit_memory(unit.limits.memory)
    with os.fdopen(pipe, "w", encoding="utf-8") as out:

        def say(**message: Any) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        from fusionbench.bench.pools import threads_of  # after the limits are set

        try:
            with threads_of(1):
                import_plugins(unit.plugins)
                prepared(unit.spec, unit.device, unit.run)
                say(ready=True)
                for row in fuse_unit(unit):
                    said = {
                        "record": dict(row.record),
                        "broken": row.broken,
                        "refused": row.refused,
                        "trace": row.trace,
                    }
                    say(row={"pair": row.pair, **said})
        except InputError as error:
            say(refused=str(error))


def _limit_memory(limit: int) -> None:
    """Allocations beyond the limit fail, which most methods turn into an error; the parent watches the rest."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent() -> None:
    """On Linux, be killed when the parent is, whatever this process is busy with."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
