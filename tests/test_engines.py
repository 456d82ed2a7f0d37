"""Engines: the same bytes whatever works, in any order; dead workers cost nothing; a unit that kills is told, alone."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from fusionbench.bench.pools import EngineError, open_engine
from fusionbench.bench.work import Row
from fusionbench.errors import InputError
from fusionbench.scores import Key

KEY = Key("d", "t", "m")


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A unit of work on numbers; ``deadly`` ones kill the process that works on them."""

    numbers: tuple[int, ...]
    deadly: frozenset[int] = frozenset()
    pause: float = 0.0
    device: str = "cpu"

    def split(self) -> list[Numbers]:
        return [dataclasses.replace(self, numbers=(n,)) for n in self.numbers]

    def on(self, device: str) -> Numbers:
        return self

    def lost(self, reason: str) -> Row:
        return Row(KEY, str(self.numbers[0]), {}, lost=reason)


def square(unit: Numbers) -> Iterator[Row]:
    for n in unit.numbers:
        if n in unit.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(unit.pause)
        yield Row(KEY, str(n), {"scores": {"square": n * n, "pid": os.getpid(), "threads": torch.get_num_threads()}})


def fail(unit: Numbers) -> Iterator[Row]:
    yield from ()
    raise InputError(f"cannot work on {unit.numbers}")


def units(count: int, block: int = 2, **settings: object) -> list[Numbers]:
    return [Numbers(tuple(range(n, n + block)), **settings) for n in range(0, count, block)]  # type: ignore[arg-type]


def squares(rows: list[Row]) -> dict[int, float]:
    return {int(row.pair): row.record["scores"]["square"] for row in rows if not row.lost}


@pytest.mark.parametrize("name", ["serial", pytest.param("local:2", marks=[pytest.mark.slow, pytest.mark.promise])])
def test_all_rows_arrive(name: str) -> None:
    threads = torch.get_num_threads()
    with open_engine(name) as engine:
        rows = list(engine.rows(square, units(9, 1)))
    assert squares(rows) == {n: n * n for n in range(9)}
    assert {row.record["scores"]["threads"] for row in rows} == {1}
    assert torch.get_num_threads() == threads
    assert (os.getpid() in {row.record["scores"]["pid"] for row in rows}) == (name == "serial")


@pytest.mark.slow
def test_work_that_raises_is_raised() -> None:
    with pytest.raises(InputError, match="cannot work on"), open_engine("local:2") as engine:
        list(engine.rows(fail, units(4)))


@pytest.mark.promise
@pytest.mark.slow
def test_a_deadly_pair_is_told_and_the_others_are_done() -> None:
    with open_engine("local:2") as engine:
        rows = list(engine.rows(square, units(12, 3, deadly=frozenset({4}))))
    assert squares(rows) == {n: n * n for n in range(12) if n != 4}
    (lost,) = [row for row in rows if row.lost]
    assert lost.pair == "4"
    assert "died 3 times" in lost.lost


@pytest.mark.promise
@pytest.mark.slow
def test_workers_killed_from_outside_lose_nothing() -> None:
    """Every 0.7 s one worker process is killed, while 40 units are on their way."""
    stop = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while not stop.wait(0.7):
            workers = [p for p in psutil.Process().children() if "loky" in " ".join(p.cmdline())]
            workers = [p for p in workers if "resource_tracker" not in " ".join(p.cmdline())]
            if workers and len(killed) < 4:
                killed.append(workers[0].pid)
                workers[0].kill()

    killer = threading.Thread(target=kill)
    with open_engine("local:2") as engine:
        rows = engine.rows(square, units(80, 2, pause=0.03))
        found = [next(rows)]
        killer.start()
        try:
            found += rows
        finally:
            stop.set()
            killer.join()
    assert killed
    assert squares(found) == {n: n * n for n in range(80)}
    assert len(found) == 80


def test_unknown_engines_are_refused(tmp_path: Path) -> None:
    for name in ("spark", "local:zero", "local:0", "local:-1", "dask:0"):
        with pytest.raises(InputError), open_engine(name):
            pass


@pytest.mark.promise
@pytest.mark.slow
def test_dask_does_all_of_it() -> None:
    pytest.importorskip("distributed", reason="the extra fusionbench-mmif[dask] is not installed")
    with open_engine("dask:2") as engine:
        assert squares(list(engine.rows(square, units(20)))) == {n: n * n for n in range(20)}
        rows = list(engine.rows(square, units(8, 4, deadly=frozenset({1}))))
    assert squares(rows) == {n: n * n for n in range(8) if n != 1}
    assert [row.pair for row in rows if row.lost] == ["1"]


@pytest.mark.slow
def test_a_scheduler_that_cannot_be_reached() -> None:
    pytest.importorskip("distributed", reason="the extra fusionbench-mmif[dask] is not installed")
    with pytest.raises(EngineError, match="cannot be reached"), open_engine("dask:tcp://127.0.0.1:9"):
        pass
