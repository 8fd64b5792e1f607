"""The example that sweeps the report's four settings, run as a user runs it, on every kind of workers."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1"}
ENVIRONMENT |= {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}  # as in a container


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done


def sweep(folder, engine, *options, launcher=()):
    script = [str(EXAMPLES / "cifar_sweep.py"), "--quick", "--epochs", "2", "--out", "out", "--engine", engine]
    return run(folder, *launcher or [sys.executable], *script, *options)


@cache
def accuracies_of_the_report(folder):
    run(folder, sys.executable, str(EXAMPLES / "cifar_softmax.py"), "--quick", "--epochs", "2", "--out", "report")
    settings = json.loads((folder / "report" / "results.json").read_text())["settings"]
    return {(s["lambda"], s["eta"]): (s["val_accuracy"], s["test_accuracy"]) for s in settings}


@pytest.fixture
def expected(tmp_path_factory):
    return accuracies_of_the_report(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("engine", ["serial", "processes", "dask", "mpi"])
def test_the_four_settings_give_the_numbers_of_the_report_on_every_engine(tmp_path, expected, engine):
    launcher = []
    if engine in ("dask", "mpi"):
        package = {"dask": "distributed", "mpi": "mpi4py"}[engine]
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"pip install 'minidl[{engine}]'")
    if engine == "mpi":
        if shutil.which("mpirun") is None:
            pytest.skip("there is no mpirun")
        launcher = ["mpirun", "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    done = sweep(tmp_path, engine, launcher=launcher)
    rows = [json.loads(line) for line in (tmp_path / "out" / "sweep.jsonl").read_text().splitlines()]
    found = {
        (row["config"]["lam"], row["config"]["eta"]): (row["metrics"]["val_accuracy"], row["metrics"]["test_accuracy"])
        for row in rows
    }
    assert found == expected
    assert done.stdout.splitlines()[1].split() == ["lam", "eta", "val_accuracy", "test_accuracy"]
    assert (tmp_path / "out" / "sweep.svg").exists()
    assert "Traceback" not in done.stderr
    if engine == "serial":
        again = sweep(tmp_path, "serial")
        assert (again.stdout, again.stderr) == (done.stdout, "4 of 4 trials are known\n")


def test_without_workers_it_ends_in_a_sentence(tmp_path):
    script = [sys.executable, str(EXAMPLES / "cifar_sweep.py"), "--workers", "0", "--engine", "dask"]
    done = subprocess.run(script, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    assert done.stderr.endswith("argument --workers: expected an integer >= 1, got 0\n")
