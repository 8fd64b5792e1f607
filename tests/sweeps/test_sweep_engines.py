"""Sweeps on real workers: processes, Dask, MPI and loky, with workers that are killed during trials."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import sweep_runs
from sweep_runs import rows

import minidl as dl
from minidl.sweeps.workers import WorkerProcesses

TESTS = Path(__file__).parent.parent / "support"
posix = pytest.mark.skipif(os.name != "posix", reason="these signals are those of POSIX")


def start(tmp_path, program, *command):
    """Start `program` as a script that can import the tests' functions, in its own process group."""
    script = tmp_path / "script.py"
    script.write_text(program)
    return subprocess.Popen(
        [*(command or [sys.executable]), str(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TESTS), "MINIDL_VERBOSE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text() if os.path.isdir("/proc") else False


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.02)


# --- processes that the sweep starts


@posix
@pytest.mark.parametrize(
    ("run", "why"),
    [
        (sweep_runs.killed_always, "WorkerDiedError: the worker process was killed by signal 9"),
        (sweep_runs.leaves, "WorkerDiedError: the worker process ended with exit status 3"),
    ],
)
def test_a_worker_that_dies_fails_only_its_trial(sweep, run, why, tmp_path):
    result = sweep(run, {"x": range(6)}, workers=2)
    assert [(t.config["x"], t.error) for t in result.failed] == [(2, why)]
    alone = sweep(sweep_runs.noisy, {"x": range(6)}, out=tmp_path / "here")
    assert [t.metrics for t in result if t.ok] == [t.metrics for t in alone if t.config["x"] != 2]


@posix
@pytest.mark.parametrize(
    ("how", "torn", "killed"),
    [("forked", True, True), ("by_the_shell", True, True), ("forked_behind_pythons_back", False, True)],
)
def test_a_sweep_does_not_wait_for_what_its_workers_have_started(sweep, tmp_path, how, torn, killed):
    space = {"x": [0, 1, 2, 3], "folder": [str(tmp_path)], "how": [how], "torn": [torn], "killed": [killed]}
    try:
        result = sweep(sweep_runs.leaves_a_helper, space, workers=2)
    finally:
        helper = int((tmp_path / "helper").read_text())
        # It lives for five minutes.
        alive = not is_gone(helper)
        os.kill(helper, signal.SIGKILL)
    assert alive
    why = "WorkerDiedError: the worker process was killed by signal 9"
    assert [(t.config["x"], t.error) for t in result.failed] == ([(1, why)] if killed else [])


@pytest.mark.parametrize(("asked", "threads"), [({}, 1), ({"blas_threads": 2}, 2), ({"blas_threads": None}, 2)])
def test_a_worker_has_one_thread_for_linear_algebra_by_default(sweep, monkeypatch, asked, threads):
    pytest.importorskip("threadpoolctl", reason="threadpoolctl counts the threads")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("with one processor there is one thread anyway")
    for library in ("OMP", "OPENBLAS", "MKL"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "2")
    monkeypatch.delenv("VECLIB_MAXIMUM_THREADS", raising=False)
    before = dict(os.environ)
    result = sweep(sweep_runs.threads_of_blas, {"x": [1, 2]}, workers=1, **asked)
    if result["pools"] == [0, 0]:
        pytest.skip("threadpoolctl does not know this BLAS")
    assert result["threads"] == [threads] * 2
    assert result["verbose"] == [0, 0]
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "run", [lambda config, seed: {}, sweep_runs.noisy.__class__(sweep_runs.noisy.__code__, {}, "n")]
)
@pytest.mark.parametrize("own", [True, False])
def test_a_function_that_cannot_be_sent_is_refused_before_anything_starts(sweep, out, run, own):
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
        pytest.raises(dl.InputError, match=r"cannot be sent to a worker process \(.*\). Define it at the top level"),
    ):
        sweep(run, {"x": [1]}, **({"workers": 1} if own else {"executor": pool}))
    assert not out.exists()


NOTEBOOK = """
import sys, minidl as dl

def run(config, seed):
    return {"a": 1}

try:
    dl.sweep(run, {"x": [1]}, workers=1)
except dl.InputError as error:
    print(error)
print(dl.sweep(run, {"x": [1]}))
"""


def test_a_function_of_a_notebook_is_refused_by_workers_and_runs_without_them(tmp_path):
    # A program without a file, as a notebook is.
    program = start(tmp_path, "", sys.executable, "-c", NOTEBOOK)
    shown, errors = program.communicate(timeout=100)
    message, *table = shown.splitlines()
    assert message.startswith(
        "run: __main__.run cannot be sent to a worker process (RuntimeError: AttributeError: Can't get"
    )
    assert "not as a lambda, inside a function or in a notebook" in message
    assert table == ["x  a", "1  1"]
    assert errors == ""


UNGUARDED = """
import minidl as dl, sweep_runs
dl.sweep(sweep_runs.noisy, {"x": [1]}, workers=1)
"""


def test_a_script_without_a_main_guard_gets_a_hint(tmp_path):
    program = start(tmp_path, UNGUARDED)
    _, errors = program.communicate(timeout=100)
    assert program.returncode == 1
    assert errors.splitlines()[-1].endswith("put the call of sweep under: if __name__ == '__main__':")


WAITING = """
import pathlib, threading, time, minidl as dl, sweep_runs

def fork_later():
    while len(list(pathlib.Path().glob("waits *"))) < 2:
        time.sleep(0.01)
    pathlib.Path("pid").write_text(str(sweep_runs.forked()))
    pathlib.Path("pid").rename("helper")

if __name__ == "__main__":
    threading.Thread(target=fork_later, daemon=True).start()
    dl.sweep(sweep_runs.waits, {"x": [0, 1, 2, 3], "folder": ["."]}, workers=2)
"""


@posix
@pytest.mark.parametrize("whom", ["the group", "the parent"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stop_keeps_finished_trials_and_leaves_no_worker(tmp_path, out, whom, number):
    program = start(tmp_path, WAITING)
    wait_until(lambda: (tmp_path / "helper").exists() and out.exists())
    workers = [int(path.name.split()[1]) for path in tmp_path.glob("waits *")]
    (os.killpg if whom == "the group" else os.kill)(program.pid, number)
    program.wait(timeout=30)
    assert program.returncode == -number
    assert [row["config"]["x"] for row in rows(out)] == [0]
    # They are in trials that take a minute, and a process that the program forked is still alive.
    wait_until(lambda: all(map(is_gone, workers)))
    helper = int((tmp_path / "helper").read_text())
    if whom == "the parent":
        assert not is_gone(helper)
        os.kill(helper, signal.SIGKILL)
    _, errors = program.communicate()
    assert "BrokenPipeError" not in errors


def test_a_second_ctrl_c_leaves_no_worker_behind(monkeypatch):
    engine = WorkerProcesses(2, 1)
    idle = engine.submit(os.getpid).result()
    engine.submit(time.sleep, 60)
    wait_until(lambda: len(engine._workers) == 2)
    shutdown = engine._threads.shutdown

    def interrupted(wait=True, **options):
        shutdown(wait=False, **options)
        if wait:
            raise KeyboardInterrupt

    monkeypatch.setattr(engine._threads, "shutdown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.stop()
    processes = [worker.process for worker in engine._workers]
    assert idle in [process.pid for process in processes]
    wait_until(lambda: not any(process.is_alive() for process in processes))


def test_a_task_that_begins_while_the_workers_are_stopped_is_refused():
    engine = WorkerProcesses(1, 1)
    engine.submit(os.getpid).result()
    engine.stop()
    with pytest.raises(OSError, match="the workers are stopped"):
        engine._call(os.getpid, ())


# --- executors of the caller


def test_loky_runs_even_a_lambda(sweep):
    loky = pytest.importorskip("joblib.externals.loky", reason="joblib brings loky")
    with loky.ProcessPoolExecutor(1) as pool:
        assert sweep(lambda config, seed: {"a": 2 * config["x"]}, {"x": [1, 2]}, executor=pool)["a"] == [2, 4]


DASK = """
import sys, minidl as dl, sweep_runs

if __name__ == "__main__":
    from distributed import Client, LocalCluster

    local = {"host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=2, threads_per_worker=1, **local) as cluster, Client(cluster) as client:
        space = {"x": range(5), "folder": ["."]}
        result = dl.sweep(getattr(sweep_runs, sys.argv[1]), space, executor=client.get_executor(pure=False))
        print(repr(result))
        try:
            dl.sweep(sweep_runs.noisy, {"x": [1]}, executor=client, out="other.jsonl")
        except dl.InputError as error:
            print(error)
"""


def check_against_here(sweep, out, trials):
    here = sweep(sweep_runs.noisy, {"x": range(trials), "folder": ["."]}, out=out.with_name("here"))
    assert {row["key"]: row["metrics"] for row in rows(out)} == {t.key: t.metrics for t in here}


def dask(tmp_path, run):
    pytest.importorskip("distributed", reason="pip install 'minidl[dask]'")
    # As a separate program, since its background processes print many warnings when stopped.
    program = start(tmp_path, DASK.replace("sys.argv[1]", repr(run)))
    printed, errors = program.communicate(timeout=200)
    assert program.returncode == 0, errors
    return printed


@posix
def test_on_dask_a_killed_worker_costs_nothing(sweep, out, tmp_path):
    printed = dask(tmp_path, "killed_once")
    assert printed.startswith("SweepResult(5 trials: x, folder, value, draw)\n")
    assert "write client.get_executor(pure=False)" in printed
    assert (tmp_path / "was here").exists()
    check_against_here(sweep, out, 5)


@posix
@pytest.mark.nightly
def test_on_dask_a_trial_that_kills_every_worker_costs_itself(out, tmp_path):
    assert "SweepResult(5 trials, 1 failed" in dask(tmp_path, "killed_always")
    (failed,) = [row for row in rows(out) if row["status"] == "failed"]
    assert failed["config"]["x"] == 2
    assert failed["error"].startswith("KilledWorker: ")


MPI = """
import minidl as dl, sweep_runs

if __name__ == "__main__":
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as executor:
        dl.sweep(sweep_runs.killed_once, {"x": range(5), "folder": ["."]}, executor=executor)
"""


@posix
def test_on_mpi_a_killed_worker_ends_the_job_and_the_next_job_runs_missing_trials(sweep, out, tmp_path):
    pytest.importorskip("mpi4py", reason="pip install 'minidl[mpi]'")
    if shutil.which("mpirun") is None:
        pytest.skip("there is no mpirun")
    launcher = ["mpirun", "-n", "3"]
    options = ["--allow-run-as-root", "--oversubscribe"]  # of Open MPI
    version = subprocess.run(["mpirun", "--version"], capture_output=True, text=True, timeout=60).stdout
    launcher[1:1] = options if "Open MPI" in version or "OpenRTE" in version else []
    command = [*launcher, sys.executable, "-m", "mpi4py.futures"]

    killed = start(tmp_path, MPI, *command)
    killed.communicate(timeout=100)
    assert killed.returncode != 0
    done = rows(out) if out.exists() else []
    assert all(row["status"] == "ok" and row["config"]["x"] != 2 for row in done)

    program = start(tmp_path, MPI, *command)
    _, errors = program.communicate(timeout=100)
    assert program.returncode == 0, errors
    assert rows(out)[: len(done)] == done
    assert len(rows(out)) == 5
    check_against_here(sweep, out, 5)
