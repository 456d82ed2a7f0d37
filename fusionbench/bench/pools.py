"""Where units of work are done: in this process, in others on this machine (loky), or on a Dask cluster.

An engine is opened from its name and turns units into rows, in any order; whoever reads the rows is the only writer of
tables. ``serial``, ``local`` (all cores), ``local:4``; with the extra ``fusionbench-mmif[dask]``: ``dask`` (all cores),
``dask:4``, ``dask:tcp://host:8786``, ``dask:scheduler.json``, ``dask:slurm:20`` (20 jobs through dask-jobqueue; also pbs,
sge, lsf, htcondor, oar). Workers of a cluster must see the results and data folders under the same paths.

Every unit is computed with one thread, whatever the engine: cores are never oversubscribed, and the order in which sums
are taken, hence every bit of the result, does not depend on engine or machine load.

A unit whose worker dies is tried again alone, so that it cannot take others down with it; if that dies too, it is divided
into its pairs; a pair whose worker dies three times while it is alone becomes a row that says so. All else is done.
"""

from __future__ import annotations

import concurrent.futures as futures
import contextlib
import dataclasses
import importlib
import os
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch
from threadpoolctl import threadpool_limits

from fusionbench.bench.provenance import making
from fusionbench.bench.work import Row, Unit
from fusionbench.errors import InputError

TRIES = 3
"""How often a pair is tried alone, after its worker died, before it is given up."""

STARTS = 20
"""How often workers are started in vain before the engine is given up."""

JOBQUEUES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
}
COUNT_SECONDS = 5.0
"""How long a count of Dask workers holds."""

U = TypeVar("U", bound=Unit)
_TURN = threading.Lock()


class EngineError(InputError):
    """The engine itself is gone or cannot be had; what is done is kept."""


class Engine(Protocol):
    """What the planner needs: how large units are to be, and rows for units."""

    def block(self, pairs: int, images_a_pair: int = 1) -> int:
        """How many of so many pairs go into a unit."""

    def rows(self, work: Callable[[U], Iterable[Row]], units: Iterable[U]) -> Generator[Row, None, None]:
        """Rows of all units, in any order. ``work`` and the units must be importable and picklable."""


class Serial:
    """Everything here, row by row."""

    def block(self, pairs: int, images_a_pair: int = 1) -> int:
        return max(1, pairs)

    def rows(self, work: Callable[[U], Iterable[Row]], units: Iterable[U]) -> Generator[Row, None, None]:
        for unit in units:
            with threads_of(1):
                yield from work(unit)


class Pool(Protocol):
    """Workers elsewhere. ``start`` gives an executor, again after deaths; ``check`` raises EngineError when all is lost."""

    @property
    def workers(self) -> int: ...

    def start(self) -> futures.Executor: ...

    def died(self, error: BaseException) -> bool:
        """Whether an error means that a worker died, rather than that the work raised it."""

    def check(self) -> None: ...

    def stop(self) -> None: ...


class Parallel:
    """Units in a pool. ``cards``: CUDA devices; a unit on CUDA holds one of them while it runs."""

    def __init__(self, pool: Pool, cards: Sequence[str] = ()) -> None:
        self._pool = pool
        self._cards = list(cards)
        self._executor: futures.Executor | None = None  # kept between stages, since starting workers takes seconds

    def block(self, pairs: int, images_a_pair: int = 1) -> int:
        """Few enough to spread over the workers and to lose little, enough to be worth sending."""
        return max(1, min(8, 64 // max(1, images_a_pair), -(-pairs // (4 * self._pool.workers))))

    def rows(self, work: Callable[[U], Iterable[Row]], units: Iterable[U]) -> Generator[Row, None, None]:
        waiting = iter(units)
        suspects: deque[tuple[U, int]] = deque()  # units that were in the air when a worker died, and deaths alone
        flying: dict[futures.Future[tuple[dict[str, Any], list[Row]]], tuple[U, int, str]] = {}
        free = list(self._cards)

        def submit(unit: U, deaths: int) -> None:
            card = free.pop() if self._cards else ""
            try:
                future = self._workers().submit(_done, work, unit.on(card) if card else unit)
            except Exception as error:
                self._pool.check()
                if not self._pool.died(error):
                    raise
                self._executor = None  # a worker was killed while it had nothing to do
                suspects.append((unit, deaths))
                free.extend(filter(None, [card]))
            else:
                flying[future] = (unit, deaths, card)

        dead = on_trial = False
        while True:
            if not flying:  # after a death those in the air die too; then new workers are started
                dead, on_trial = False, bool(suspects)
                if suspects:
                    submit(*suspects.popleft())
            while not suspects and not dead and not on_trial and len(flying) < self._room():
                unit = next(waiting, None)
                if unit is None:
                    break
                submit(unit, 0)
            if not flying:
                if suspects:
                    continue
                return
            alone = len(flying) == 1
            finished, _ = futures.wait(flying, timeout=2.0, return_when=futures.FIRST_COMPLETED)
            self._pool.check()
            for future in finished:
                unit, deaths, card = flying.pop(future)
                free.extend(filter(None, [card]))
                error = _error(future)
                if error is None:
                    made, rows = future.result()
                    yield from (dataclasses.replace(row, made=made) for row in rows)
                elif self._pool.died(error):
                    dead = True
                    self._executor = None
                    yield from self._after_death(unit, deaths + alone, error, suspects)
                else:
                    raise error

    def _workers(self) -> futures.Executor:
        """Workers that answer: one that is killed while it starts must not be held against a unit."""
        for _ in range(STARTS):
            if self._executor is not None:
                return self._executor
            executor = self._pool.start()
            error = _error(executor.submit(os.getpid))
            if error is None:
                self._executor = executor
            elif not self._pool.died(error):
                raise error
        raise EngineError(f"workers died {STARTS} times in a row while starting; what is done is kept")

    def _room(self) -> int:
        return len(self._cards) or 2 * self._pool.workers

    def _after_death(self, unit: U, deaths: int, error: BaseException, suspects: deque[tuple[U, int]]) -> Iterator[Row]:
        parts = unit.split()
        if deaths and len(parts) > 1:
            suspects.extend((part, 0) for part in parts)
        elif deaths < TRIES:
            suspects.append((unit, deaths))
        else:
            yield unit.lost(f"its worker process died {deaths} times ({_reason(error)})")


class LokyPool:
    """Processes on this machine, started afresh when one was killed."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._executor: Any = None

    @property
    def workers(self) -> int:
        return self._workers

    def start(self) -> futures.Executor:
        import loky  # takes a while, and most runs are serial

        self.stop()
        settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # loky takes 300 MB of weights and buffers for a leak, and starts the worker anew in the middle of the work.
        settings["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e18"
        self._executor = loky.ProcessPoolExecutor(self._workers, initializer=_ignore_interrupts, env=settings)
        executor: futures.Executor = self._executor
        return executor

    def died(self, error: BaseException) -> bool:
        return isinstance(error, futures.BrokenExecutor)

    def check(self) -> None:
        """Processes of this machine are there as long as we are."""

    def stop(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None


class DaskPool:
    """A Dask cluster: one of our own on this machine, one of a batch system, or one that is running somewhere."""

    def __init__(self, where: str) -> None:
        distributed = _extra("distributed", "pip install dask distributed")
        self._distributed = distributed
        self._cluster = _cluster(where)
        try:
            if self._cluster is not None:
                self._client = distributed.Client(self._cluster, set_as_default=False)
            elif where.endswith(".json"):
                self._client = distributed.Client(scheduler_file=where, timeout=20, set_as_default=False)
            else:
                self._client = distributed.Client(where, timeout=20, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise EngineError(f"Dask scheduler {where!r} cannot be reached ({error}); check the address") from None
        self._expected = int(where.rpartition(":")[2]) if where.partition(":")[0] in JOBQUEUES else 1
        self._counted = (0.0, 1)  # when, and how many

    @property
    def workers(self) -> int:
        """How many there are, or will be: jobs of a batch system start when they may, and workers come and go."""
        when, count = self._counted
        if not when or time.monotonic() - when > COUNT_SECONDS:
            with contextlib.suppress(OSError):  # `check` tells of a lost scheduler
                count = len(self._client.scheduler_info(n_workers=-1)["workers"])
            self._counted = (time.monotonic(), count)
        return max(self._expected, count)

    def start(self) -> futures.Executor:
        # Dask's own retries are for work that raises; a dead worker's unit is moved to another one by the scheduler.
        executor: futures.Executor = self._client.get_executor(pure=False)
        return executor

    def died(self, error: BaseException) -> bool:
        return isinstance(error, self._distributed.KilledWorker)

    def check(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise EngineError("the Dask scheduler is gone; what is done is kept: run the same command again to go on")

    def stop(self) -> None:
        for part in (self._client, self._cluster):
            if part is not None:
                part.close()


@contextlib.contextmanager
def open_engine(name: str, device: str = "cpu") -> Iterator[Engine]:
    """An engine by name (see the top of this module), closed on leaving, workers and all.

    ``device``: on "cuda" a pool works with one unit a card. Raises InputError for an unknown name, EngineError for a cluster
    that cannot be had.
    """
    kind, _, where = name.partition(":")
    cards = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if device == "cuda" else []
    if name == "serial":
        yield Serial()
        return
    pool: Pool
    if kind == "local":
        count = _count(name, where)
        pool = LokyPool(min(count, len(cards)) if cards else count)
    elif kind == "dask":
        pool = DaskPool(where)
    else:
        raise InputError(f"unknown engine {name!r}; take serial, local[:N] or dask[:N|:ADDRESS|:slurm:JOBS]")
    try:
        # The cards of a cluster are its own affair: its workers must each see one (CUDA_VISIBLE_DEVICES).
        yield Parallel(pool, cards if kind == "local" else ())
    finally:
        pool.stop()


@contextlib.contextmanager
def threads_of(count: int) -> Iterator[None]:
    """So many threads for torch, BLAS and OpenMP inside; what was set before, afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(threads)


def _done(work: Callable[[U], Iterable[Row]], unit: U) -> tuple[dict[str, Any], list[Row]]:
    """What a worker runs. A Dask worker may have several threads: they take turns, as methods need not be safe with them."""
    with _TURN, threads_of(1):
        return making(unit.device), list(work(unit))


def _error(future: futures.Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except futures.CancelledError:
        raise EngineError(
            "the workers are gone and the work with them; what is done is kept: run the same command again"
        ) from None


def _count(name: str, text: str) -> int:
    count = (os.cpu_count() or 1) if not text else int(text) if text.isascii() and text.isdigit() else 0
    if count < 1:
        raise InputError(f"engine {name!r}: {text!r} is not a number of workers; write it as local:4")
    return count


def _cluster(where: str) -> Any:
    """The cluster to start, or None for an address."""
    kind, _, jobs = where.partition(":")
    if kind in JOBQUEUES:
        dask_jobqueue = _extra("dask_jobqueue", "pip install dask-jobqueue")
        try:
            cluster = getattr(dask_jobqueue, JOBQUEUES[kind])()  # cores, memory, queue: ~/.config/dask/jobqueue.yaml
        except (ValueError, TypeError, RuntimeError) as error:
            raise EngineError(f"dask-jobqueue: {error}; set it in ~/.config/dask/jobqueue.yaml") from None
        cluster.scale(jobs=_count(f"dask:{where}", jobs))
        return cluster
    if where and not where.isdigit():
        return None
    # A dead worker's unit comes back to us at once: it is tried alone, not on other workers until they are dead too.
    _extra("dask.config", "pip install dask distributed").set({"distributed.scheduler.allowed-failures": 0})
    return _extra("distributed", "pip install dask distributed").LocalCluster(
        n_workers=_count(f"dask:{where}", where), threads_per_worker=1, dashboard_address=":0", silence_logs=40
    )


def _extra(module: str, remedy: str) -> Any:
    """An optional package, imported when an engine asks for it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise EngineError(f"this engine needs {module}: {remedy}") from None


def _ignore_interrupts() -> None:
    """Ctrl-C reaches a whole process group; it is for the driver to stop its workers."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _reason(error: BaseException) -> str:
    """The exit codes among what loky says at length; otherwise the first sentence."""
    codes = re.search(r"exit codes of the workers are \{(.+?)\}", str(error))
    return codes[1] if codes else str(error).strip().partition(". ")[0] or type(error).__name__
