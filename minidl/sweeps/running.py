"""sweep: every config of a space tried once, wherever there is a processor for it."""

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
    """Call ``run(config, seed)`` for every config of `space`, and return what came of each.

    Each trial is a line in the file `out` from the moment it is done. Started again, after whatever ended it, a sweep
    does only what is missing. The numbers depend on neither the number of workers nor the order in which they finish
    nor on restarts, if `run` draws all its randomness from the seed that it is given: that depends on the config and
    the sweep's seed alone. (Linear algebra rounds differently on another machine and with another number of threads.)

    Parameters
    ----------
    run : callable
        Takes a config, a dict of plain values, and a seed below 2**32, and returns a dict of numbers. For other
        processes it is a function at the top level of a module. Whatever changes its numbers belongs into the config,
        since a trial is known by that; where it reads its data from may come by `functools.partial`. A trial that
        raises has failed, and costs no other.
    space : dict, iterable of dicts, RandomSearch or CoarseToFine
        A dict of sequences is a grid: all combinations, the last name changing fastest.
    workers : int, optional
        Number of processes on this machine that run the trials. If one dies, its trial fails.
    executor : concurrent.futures.Executor, optional
        Run the trials there: the pools of the standard library, ``client.get_executor(pure=False)`` of Dask, an
        ``MPIPoolExecutor`` of mpi4py, and others. It is the caller's to set up and to shut down. Without both, the
        trials run one after the other in this process.
    out : str or PathLike
        The file, JSON Lines. No two sweeps write into one at the same time, also where a link leads to it. Trials of
        other configs may be in it, and stay there; those of another function are refused.
    resume : bool
        Whether trials in the file are taken as done. If not, the file is kept under another name, ``sweep-1.jsonl``.
    retry_failed : bool
        Whether those that failed are tried again.
    seed : int
        Decides the seed of every trial, and what a search draws.
    blas_threads : int or None
        How many threads each of the `workers` may use for linear algebra; None leaves that to the environment. On an
        `executor` it is for those who start its workers to say, by such variables as OPENBLAS_NUM_THREADS.
    verbose : 0, 1 or 2, optional
        Nothing; one bar for all trials where it can be drawn, else a line each; a line each. None asks the environment
        variable MINIDL_VERBOSE, then takes 1.

    Returns
    -------
    SweepResult
        The trials, in the order of the space.

    Raises
    ------
    InputError
        If an argument is none of these, `out` is a folder or cannot be written, another process writes into it, or
        `run` cannot be sent to a worker.
    DataError
        If `out` is a file of something else than a sweep.
    SweepError
        If the executor breaks down before all trials are done. Those that are done are in the file.

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
        arrived = False

        def record(trial: Trial) -> None:
            append_trial(path, name, trial)
            known[trial.key] = trial
            progress.show(trial)

        # The same config twice is one trial.
        while plans := {p.key: p for p in (plan(config, seed) for config in search.next_round(rounds, seed))}:
            missing = [p for key, p in plans.items() if key not in known]
            progress.expect(len(plans), len(plans) - len(missing))
            if missing and not arrived:
                _check_that_it_arrives(run, name, engine)
                arrived = True
            _run_all(run, missing, engine, record)
            rounds.append([known[key] for key in plans])
    if not rounds:
        raise InputError(f"space: expected at least one config, got {space!r:.80}")
    return SweepResult({t.key: t for trials in rounds for t in trials}.values())


def _as_engine(executor: Any, workers: int | None, blas_threads: int | None) -> Submits:
    """Return what runs the trials; it has not started anything yet."""
    blas_threads = None if blas_threads is None else as_count("blas_threads", blas_threads)
    if executor is None:
        return ThisProcess() if workers is None else WorkerProcesses(as_count("workers", workers), blas_threads)
    if workers is not None:
        raise InputError("workers: an executor has its own; give one of the two")
    # The submit of Dask's Client returns futures of another kind, and that of a class wants an object first.
    if isinstance(executor, type) or hasattr(executor, "get_executor") or not hasattr(executor, "submit"):
        hint = "; write client.get_executor(pure=False)" if hasattr(executor, "get_executor") else ""
        raise InputError(f"executor: expected a concurrent.futures.Executor, got {executor!r:.80}{hint}")
    return executor  # type: ignore[no-any-return]


def _known_trials(path: Path, name: str) -> list[Trial]:
    """Return the trials in the file `path`, after its last line is made whole; refuse those of another function."""
    trials = read_trials(path, mend=True) if path.exists() else []
    if others := [other for other, _ in trials if other != name]:
        hint = "choose another file as out, or let resume=False keep this one under another name"
        raise InputError(f"{path}: expected trials of {name}, but there are some of {others[0]}; {hint}")
    # Of a key the last trial counts.
    return list({trial.key: trial for _, trial in trials}.values())


def _check_that_it_arrives(run: Run, name: str, engine: Submits) -> None:
    """Send `run` to a worker before any trial, since what cannot be sent would fail in every one of them."""
    try:
        engine.submit(callable, run).result()
    except Exception as error:
        raise InputError(
            f"run: {name} cannot be sent to a worker ({type(error).__name__}: {error}). Define it at the top level of "
            "a module that the workers can import, not as a lambda, inside of a function or in a notebook; and a "
            "script's own work belongs under: if __name__ == '__main__':"
        ) from error


def _run_all(run: Run, plans: Sequence[Plan], engine: Submits, record: Callable[[Trial], None]) -> None:
    """Have all `plans` run, and hand each trial to `record` when it is done.

    Raises
    ------
    SweepError
        If the engine broke down; what was done until then is recorded.
    """
    # Here, because importing minidl must stay quick.
    from concurrent.futures import BrokenExecutor, CancelledError, Future
    from queue import SimpleQueue

    pending: dict[Future[Trial], Plan] = {}
    done: SimpleQueue[Future[Trial]] = SimpleQueue()
    breakdown: Exception | None = None
    left = len(plans)

    def settle(future: "Future[Trial]") -> None:
        nonlocal breakdown, left
        planned = pending.pop(future)
        try:
            trial = future.result()
        except (BrokenExecutor, CancelledError) as error:
            breakdown = error
            return
        except Exception as error:
            # It is of the worker that had this trial: what `run` raises is no error here.
            trial = Trial(*planned, {}, 0.0, "", f"{type(error).__name__}: {error}")
        record(trial)
        left -= 1

    try:
        for planned in plans:
            try:
                future = engine.submit(attempt, run, *planned)
            except RuntimeError as error:
                # The engine takes no more.
                breakdown = error
                break
            pending[future] = planned
            future.add_done_callback(done.put)
            while not done.empty():
                settle(done.get())
        while pending:
            settle(done.get())
    finally:
        for future in pending:
            future.cancel()
    if breakdown is not None:
        broken = f"{type(engine).__name__} broke down ({type(breakdown).__name__}: {breakdown})"
        hint = "sweep again with a new executor, or with workers=N if a trial kills its worker"
        raise SweepError(f"{broken} with {left} of {len(plans)} trials not done, others saved; {hint}") from breakdown
