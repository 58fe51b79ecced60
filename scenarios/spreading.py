"""Work spread over processes or machines by joblib, whose backends differ in where it is done and in nothing else.

`function` must be a module's function, or a partial of one, and items and results plain data: they travel.
"""

import importlib
import importlib.util
import logging
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import joblib

from scenarios.errors import LabError

Item = TypeVar("Item")
Result = TypeVar("Result")
LOKY, DASK = "loky", "dask"
BACKENDS = (LOKY, DASK)
HERE = "127.0.0.1"


class NoCluster(LabError):
    """A cluster that is not there, or the library that speaks to it; the message says what to do."""


def spread(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, *, ordered: bool = False, **backend: Any
) -> Generator[Result, None, None]:
    """`function(item)` of every item, lazily, as they end or in the order of the items.

    One worker is this process. `backend` is what `cluster` yields; without it the workers are processes here. Whoever
    stops early closes the iterator, and with it the work that nobody waits for any more.
    """
    if workers == 1 and not backend:
        yield from map(function, items)
        return
    kind = "generator" if ordered else "generator_unordered"
    with joblib.parallel_config(**backend) if backend else nullcontext():
        parallel = joblib.Parallel(n_jobs=workers, batch_size=1, return_as=kind)
    results = parallel(joblib.delayed(_in_worker)(function, item) for item in items)
    try:
        yield from results
    finally:
        results.close()


@contextmanager
def cluster(backend: str, workers: int, scheduler: str | None = None) -> Iterator[dict[str, Any]]:
    """What `spread` needs to reach `backend`: nothing for loky; for dask a client of `scheduler`, or of a new cluster.

    A new one has `workers` processes, listens on loopback only, and ends with the block. Any other backend must have
    been registered with joblib before. Raises NoCluster.
    """
    if backend != DASK:
        yield {} if backend == LOKY else {"backend": backend}
        return
    if importlib.util.find_spec("distributed") is None:
        raise NoCluster("the backend dask needs dask's distributed: pip install 'paylab[cluster]'")
    dask: Any = importlib.import_module("distributed")  # late: it takes a second, and only who asks for it pays
    try:
        client = dask.Client(scheduler or _here(dask, workers), set_as_default=False)
    except OSError as error:
        raise NoCluster(f"no dask scheduler answers at {scheduler}: {error}") from error
    try:
        yield {"backend": DASK, "client": client}
    finally:
        own = client.cluster
        client.close()
        if own is not None:
            own.close()


def _here(dask: Any, workers: int) -> Any:
    # Ctrl-C reaches every process of the terminal. Processes that are started while it is ignored ignore it for good;
    # the price is that it is not heard for the second or two that this takes.
    with _ignored(signal.SIGINT):
        return dask.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=HERE,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _in_worker(function: Callable[[Item], Result], item: Item) -> Result:
    # Ctrl-C reaches every process of the terminal; only the one that has the results may obey it.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return function(item)
