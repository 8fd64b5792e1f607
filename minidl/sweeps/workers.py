"""What runs trials: this process, processes of its own, or an executor that the caller has."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from minidl._core.bars import VARIABLE
from minidl.training.signals import Interrupts

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

# What the libraries read when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# Seconds from one look at a process to the next, while its death would be told by nothing else.
_OFTEN = 0.2
# One process is started at a time, since all have this one's environment.
_STARTING = threading.Lock()


class Submits(Protocol):
    """As much of a `concurrent.futures.Executor` as a sweep needs."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Have ``function(*arguments)`` called, now or later."""


class WorkerDiedError(Exception):
    """The process that ran a task is gone."""


class ThisProcess:
    """Runs each task at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Call it, and return a future that is done."""
        from concurrent.futures import Future

        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


class WorkerProcesses:
    """Runs tasks in processes that it starts, one task at a time in each.

    Unlike in a `ProcessPoolExecutor`, a process that dies costs its own task alone: a new one takes its place.

    Parameters
    ----------
    count : int
        How many; each is started when there is a task for it.
    blas_threads : int or None
        How many threads each may use for linear algebra; None leaves that to the environment.
    """

    def __init__(self, count: int, blas_threads: int | None) -> None:
        # Here, as below, because importing minidl must stay quick.
        from concurrent.futures import ThreadPoolExecutor
        from queue import SimpleQueue

        self._variables = {VARIABLE: "0"}
        if blas_threads is not None:
            self._variables |= dict.fromkeys(_THREADS, str(blas_threads))
        self._threads = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[_Worker | None] = SimpleQueue()
        for _ in range(count):
            self._idle.put(None)
        self._workers: set[_Worker] = set()
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Have it called in the first process that is free."""
        return self._threads.submit(self._call, function, arguments)

    def stop(self) -> None:
        """End all processes, also those in the middle of a task."""
        # All are told before any is waited for: a second Ctrl-C, which ends the waiting, must leave none behind.
        with Interrupts() as interrupts:
            with _STARTING:
                self._stopped = True
            self._threads.shutdown(wait=False, cancel_futures=True)
            idle = {self._idle.get() for _ in range(self._idle.qsize())}
            for worker in self._workers.copy():
                if worker in idle:
                    # The worker takes this as the end.
                    worker.connection.close()
                else:
                    worker.process.kill()
            for _ in idle:
                # A thread may have a task already and ask only now.
                self._idle.put(None)
        interrupts.deliver()
        self._threads.shutdown()
        deadline = monotonic() + 5.0
        for worker in self._workers:
            # Not by join, which with a timeout also waits for the processes that it has started.
            while worker.process.is_alive() and monotonic() < deadline:
                sleep(0.01)
            worker.process.kill()
            worker.process.join()

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        worker = self._idle.get()
        try:
            # A worker may have been killed while it had nothing to do.
            if worker is None or not worker.process.is_alive():
                worker = self._started()
            worker.connection.send((function, arguments))
            # The pipe does not tell that a worker is dead if a process that was forked behind Python's back has it too.
            while not worker.connection.poll(_OFTEN):
                if not worker.process.is_alive() and not worker.connection.poll():
                    raise EOFError
            done, value = worker.connection.recv()
        except (EOFError, OSError):
            if worker is None:
                raise
            worker.process.join()
            code = worker.process.exitcode or 0
            self._workers.discard(worker)
            worker = None
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"
            raise WorkerDiedError(f"the worker process {how}") from None
        finally:
            self._idle.put(worker)
        if not done:
            raise RuntimeError(value)
        return value

    def _started(self) -> "_Worker":
        from multiprocessing import get_context

        # A forked child would have locks that threads of this process hold.
        context = get_context("spawn")
        with _STARTING:
            if self._stopped:
                raise OSError("the workers are stopped")
            here, there = context.Pipe()
            worker = _Worker(context.Process(target=_serve, args=(there,)), here)
            # The environment is the child's from its first moment: NumPy reads it when imported.
            with _environment(self._variables):
                worker.process.start()
            self._workers.add(worker)
        # Now the child alone has it, so that its end is noticed here.
        there.close()
        return worker


class _Worker(NamedTuple):
    process: "SpawnProcess"
    connection: "Connection"


def _serve(connection: "Connection") -> None:
    """Do the tasks that come through `connection` until it is closed: what a worker process does."""
    # Ctrl-C reaches all processes of a terminal, and the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A process that a trial starts must not have it, or it keeps a message open whose rest never comes.
    if os.name == "posix":
        os.set_inheritable(connection.fileno(), False)
        os.register_at_fork(after_in_child=connection.close)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        except Exception as error:
            # The function cannot be imported here.
            connection.send((False, f"{type(error).__name__}: {error}"))
        else:
            connection.send((True, function(*arguments)))


def _end_with_the_parent() -> None:
    """Leave, in the middle of a task too, when the parent was killed: a restarted sweep does that task again."""
    from multiprocessing import parent_process

    if (parent := parent_process()) is not None:
        # What `join` waits for is also held by processes that the parent has forked; Windows has no such ones, and
        # there getppid stays what it was.
        while parent.is_alive() and os.getppid() == parent.pid:
            parent.join(_OFTEN)
        os._exit(1)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)
