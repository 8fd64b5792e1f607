"""Workers: trials run in this process, in worker processes, or on an executor of the caller."""

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

# Linear algebra libraries read these variables when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# Seconds between checks whether a process is alive, where nothing else reports its death.
_POLL_SECONDS = 0.2
# One process is started at a time, since starting changes this process's environment.
_START_LOCK = threading.Lock()


class Submits(Protocol):
    """The part of `concurrent.futures.Executor` that a sweep needs."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Schedule the call ``function(*arguments)``."""


class WorkerDiedError(Exception):
    """The process that ran a task died."""


class ThisProcess:
    """Runs each task immediately, in this process."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Call the function, and return a finished future."""
        from concurrent.futures import Future

        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


class WorkerProcesses:
    """Runs tasks in processes that it starts, one task at a time in each.

    Unlike in a `ProcessPoolExecutor`, if a process dies, only its task fails, and a new process replaces it.

    Parameters
    ----------
    count : int
        Number of processes; each is started when there is a task for it.
    blas_threads : int or None
        Number of threads that each may use for linear algebra; None does not limit it.
    """

    def __init__(self, count: int, blas_threads: int | None) -> None:
        # Imported here, as below, to keep `import minidl` fast.
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
        """Schedule the call in the first free process."""
        return self._threads.submit(self._call, function, arguments)

    def stop(self) -> None:
        """Stop all processes, even those in the middle of a task."""
        # All are stopped before waiting for any: a second Ctrl-C, which ends the waiting, must leave none running.
        with Interrupts() as interrupts:
            with _START_LOCK:
                self._stopped = True
            self._threads.shutdown(wait=False, cancel_futures=True)
            idle = {self._idle.get() for _ in range(self._idle.qsize())}
            for worker in self._workers.copy():
                if worker in idle:
                    # A closed connection ends the worker.
                    worker.connection.close()
                else:
                    worker.process.kill()
            for _ in idle:
                # A thread may have a task already and still wait for a worker.
                self._idle.put(None)
        interrupts.deliver()
        self._threads.shutdown()
        deadline = monotonic() + 5.0
        for worker in self._workers:
            # Not with join: with a timeout it also waits for processes that the worker has started.
            while worker.process.is_alive() and monotonic() < deadline:
                sleep(0.01)
            worker.process.kill()
            worker.process.join()

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        worker = self._idle.get()
        try:
            # An idle worker may have been killed.
            if worker is None or not worker.process.is_alive():
                worker = self._started()
            worker.connection.send((function, arguments))
            # A process that the worker forked outside Python's control keeps the pipe open after the worker's death.
            while not worker.connection.poll(_POLL_SECONDS):
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

        # A forked child would inherit locks that threads of this process hold.
        context = get_context("spawn")
        with _START_LOCK:
            if self._stopped:
                raise OSError("the workers are stopped")
            here, there = context.Pipe()
            worker = _Worker(context.Process(target=_serve, args=(there,)), here)
            # Set before the start, because NumPy reads the environment when it is imported.
            with _environment(self._variables):
                worker.process.start()
            self._workers.add(worker)
        # Close this end, so that the child's death closes the pipe.
        there.close()
        return worker


class _Worker(NamedTuple):
    process: "SpawnProcess"
    connection: "Connection"


def _serve(connection: "Connection") -> None:
    """Run the tasks received through `connection` until it is closed: the main loop of a worker process."""
    # Ctrl-C reaches all processes of a terminal; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A process that a trial starts must not inherit the connection, or the parent would wait for a message forever.
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
            # The function cannot be imported in this process.
            connection.send((False, f"{type(error).__name__}: {error}"))
        else:
            connection.send((True, function(*arguments)))


def _end_with_the_parent() -> None:
    """Exit, even in the middle of a task, when the parent is killed; a restarted sweep runs that task again."""
    from multiprocessing import parent_process

    if (parent := parent_process()) is not None:
        # `join` alone is not enough: processes that the parent forked keep its handle open. On Windows, which has no
        # fork, getppid does not change.
        while parent.is_alive() and os.getppid() == parent.pid:
            parent.join(_POLL_SECONDS)
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
