"""sweep: run every config of a space once, in this process, in worker processes or on an executor."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidl._core.checks import as_count, as_path
from minidl._core.errors import InputError, SweepError
from minidl._core.types import PathLike
from minidl._storage.files import check_file, refusing, set_aside
from minidl._storage.locks import locked
from minidl.sweeps.progress import Progress
from minidl.sweeps.result import SweepResult
from minidl.sweeps.search import Search, as_search
from minidl.sweeps.trial import Plan, Run, Trial, append_trial, attempt, plan, read_trials, run_name
from minidl.sweeps.workers import Submits, ThisProcess, WorkerProcesses

if TYPE_CHECKING:
    from concurrent.futures import Executor


def sweep(
    run: Run,
    space: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]] | Search,
    *,
    workers: int | None = None,
    executor: "Executor | None" = None,
    out: PathLike = "sweep.jsonl",
    resume: bool = True,
    retry_failed: bool = False,
    seed: int = 0,
    blas_threads: int | None = 1,
    verbose: int | None = None,
) -> SweepResult:
    """Call ``run(config, seed)`` for every config of `space`, and return the results.

    Each finished trial is written to the file `out` at once. A restarted sweep runs only the missing trials, however
    it was stopped. The results depend neither on the number of workers, nor on the order in which they finish, nor on
    restarts, if `run` takes all its randomness from its seed, which depends only on the config and the sweep's seed.
    (Rounding in linear algebra differs between machines and numbers of threads.)

    Parameters
    ----------
    run : callable
        A function of a config, which is a dict of plain values, and a seed below 2**32; it returns a dict of numbers.
        Other processes need a function at the top level of a module. Put everything that changes its results into the
        config, since the config identifies a trial; bind other arguments, such as a data folder, with
        `functools.partial`. If a call raises an error, only that trial fails.
    space : dict, iterable of dicts, RandomSearch or CoarseToFine
        A dict of sequences is a grid: all combinations, the last name changing fastest.
    workers : int, optional
        Number of processes on this machine that run the trials. If a process dies, its trial fails.
    executor : concurrent.futures.Executor, optional
        Runs the trials: a pool of the standard library, ``client.get_executor(pure=False)`` of Dask, an
        ``MPIPoolExecutor`` of mpi4py, or another one. The caller starts it and shuts it down. Without `workers` and
        `executor`, the trials run one after the other in this process.
    out : str or PathLike
        The file of results, in JSON Lines. Only one sweep at a time may write to it. It may have trials of other
        configs, which are kept, but not of another function.
    resume : bool
        Whether to skip trials that are in the file. If False, the old file is renamed, to ``sweep-1.jsonl``.
    retry_failed : bool
        Whether to run failed trials again.
    seed : int
        Determines the seed of every trial, and the configs that a search draws.
    blas_threads : int or None
        Number of threads that each of the `workers` may use for linear algebra; None does not limit it. For the
        workers of an `executor`, set environment variables such as OPENBLAS_NUM_THREADS when you start them.
    verbose : 0, 1 or 2, optional
        0 prints nothing; 1 shows a bar for all trials, or a line per trial if no bar can be drawn; 2 prints a line per
        trial. None means the environment variable MINIDL_VERBOSE, or 1 if that is not set.

    Returns
    -------
    SweepResult
        The trials, in the order of the space.

    Raises
    ------
    InputError
        If an argument is invalid, `out` cannot be written, another process writes to it, or `run` cannot be sent to a
        worker process.
    DataError
        If `out` exists and is not a file of a sweep.
    SweepError
        If the executor fails before all trials are done. Finished trials are in the file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> def parabola(config, seed):
    ...     return {"value": (config["x"] - 2) ** 2}
    >>> with TemporaryDirectory() as folder:
    ...     print(sweep(parabola, {"x": [0, 1, 2, 3]}, out=f"{folder}/sweep.jsonl", verbose=0))
    x  value
    0      4
    1      1
    2      0
    3      1
    """
    if not callable(run):
        raise InputError(f"run: expected a function of a config and a seed, got {run!r:.80}")
    search, path, seed, name = as_search(space), as_path("out", out), as_count("seed", seed, 0), run_name(run)
    progress = Progress(verbose)
    engine = _as_engine(executor, workers, blas_threads)
    rounds: list[list[Trial]] = []
    with ExitStack() as stack:
        stack.enter_context(locked(path.parent, path.name))
        stack.callback(progress.close)
        if isinstance(engine, WorkerProcesses):
            stack.callback(engine.stop)
        check_file(path)
        if not resume:
            with refusing(path, "file"):
                set_aside(path)
        known = {t.key: t for t in _known_trials(path, name) if t.ok or not retry_failed}
        sendable = False

        def record(trial: Trial) -> None:
            append_trial(path, name, trial)
            known[trial.key] = trial
            progress.show(trial)

        # Equal configs are one trial.
        while plans := {p.key: p for p in (plan(config, seed) for config in search.next_round(rounds, seed))}:
            missing = [p for key, p in plans.items() if key not in known]
            progress.expect(len(plans), len(plans) - len(missing))
            if missing and not sendable:
                _check_sendable(run, name, engine)
                sendable = True
            _run_all(run, missing, engine, record)
            rounds.append([known[key] for key in plans])
    if not rounds:
        raise InputError(f"space: expected at least one config, got {space!r:.80}")
    return SweepResult({t.key: t for trials in rounds for t in trials}.values())


def _as_engine(executor: Any, workers: int | None, blas_threads: int | None) -> Submits:
    """Return the object that runs the trials; nothing is started yet."""
    blas_threads = None if blas_threads is None else as_count("blas_threads", blas_threads)
    if executor is None:
        return ThisProcess() if workers is None else WorkerProcesses(as_count("workers", workers), blas_threads)
    if workers is not None:
        raise InputError("workers: an executor has its own workers; pass either workers or executor")
    # Dask's Client has a submit too, but it returns futures of another kind; a class has one without an object.
    if isinstance(executor, type) or hasattr(executor, "get_executor") or not hasattr(executor, "submit"):
        hint = "; write client.get_executor(pure=False)" if hasattr(executor, "get_executor") else ""
        raise InputError(f"executor: expected a concurrent.futures.Executor, got {executor!r:.80}{hint}")
    return executor  # type: ignore[no-any-return]


def _known_trials(path: Path, name: str) -> list[Trial]:
    """Return the trials in the file `path`, after repairing its last line; refuse trials of another function."""
    trials = read_trials(path, mend=True) if path.exists() else []
    if others := [other for other, _ in trials if other != name]:
        hint = "choose another file as out, or pass resume=False, which renames this one"
        raise InputError(f"{path}: expected trials of {name}, got some of {others[0]}; {hint}")
    # The last trial of a key is used.
    return list({trial.key: trial for _, trial in trials}.values())


def _check_sendable(run: Run, name: str, engine: Submits) -> None:
    """Send `run` to a worker before any trial; if that failed later, every trial would fail."""
    try:
        engine.submit(callable, run).result()
    except Exception as error:
        raise InputError(
            f"run: {name} cannot be sent to a worker process ({type(error).__name__}: {error}). Define it at the top "
            "level of a module, not as a lambda, inside a function or in a notebook. In a script, put the call of "
            "sweep under: if __name__ == '__main__':"
        ) from error


def _run_all(run: Run, plans: Sequence[Plan], engine: Submits, record: Callable[[Trial], None]) -> None:
    """Run all `plans`, and pass each trial to `record` when it is done.

    Raises
    ------
    SweepError
        If the engine failed; finished trials are recorded.
    """
    # Imported here to keep `import minidl` fast.
    from concurrent.futures import BrokenExecutor, CancelledError, Future
    from queue import SimpleQueue

    pending: dict[Future[Trial], Plan] = {}
    done: SimpleQueue[Future[Trial]] = SimpleQueue()
    breakdown: Exception | None = None
    left = len(plans)

    def finish(future: "Future[Trial]") -> None:
        nonlocal breakdown, left
        planned = pending.pop(future)
        try:
            trial = future.result()
        except (BrokenExecutor, CancelledError) as error:
            breakdown = error
            return
        except Exception as error:
            # The worker failed: an error of `run` itself is part of the trial.
            trial = Trial(*planned, {}, 0.0, "", f"{type(error).__name__}: {error}")
        record(trial)
        left -= 1

    try:
        for planned in plans:
            try:
                future = engine.submit(attempt, run, *planned)
            except RuntimeError as error:
                # The engine accepts no more tasks.
                breakdown = error
                break
            pending[future] = planned
            future.add_done_callback(done.put)
            while not done.empty():
                finish(done.get())
        while pending:
            finish(done.get())
    finally:
        for future in pending:
            future.cancel()
    if breakdown is not None:
        broken = f"{type(engine).__name__} failed ({type(breakdown).__name__}: {breakdown})"
        hint = "run the sweep again with a new executor, or with workers=N if a trial kills its worker"
        raise SweepError(f"{broken} with {left} of {len(plans)} trials missing, others saved; {hint}") from breakdown
