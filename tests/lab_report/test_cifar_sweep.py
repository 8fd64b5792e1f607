"""The example that sweeps the report's four settings, run as a user runs it, on every kind of workers."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1"}
ENVIRONMENT |= {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}  # as in a container


def sweep(folder, *options, launcher=()):
    command = [*(launcher or [sys.executable]), str(EXAMPLES / "cifar_sweep.py"), *options]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize("engine", ["serial", "processes", "dask", "mpi"])
def test_the_four_settings_give_the_numbers_of_the_report_on_every_engine(tmp_path, quick, engine):
    launcher = []
    if engine in ("dask", "mpi"):
        package = {"dask": "distributed", "mpi": "mpi4py"}[engine]
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"pip install 'minidl[{engine}]'")
    if engine == "mpi":
        if shutil.which("mpirun") is None:
            pytest.skip("there is no mpirun")
        launcher = ["mpirun", "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    options = ["--quick", "--epochs", "3", "--out", "out", "--engine", engine]
    done = sweep(tmp_path, *options, launcher=launcher)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out" / "sweep.jsonl").read_text().splitlines()]
    found = {
        (row["config"]["lam"], row["config"]["eta"]): (row["metrics"]["val_accuracy"], row["metrics"]["test_accuracy"])
        for row in rows
    }
    expected = json.loads((quick[0] / "results.json").read_text())["settings"]
    assert found == {
        (s["lambda"], s["eta"]): (s["val_accuracy"], s["test_accuracy"]) for s in expected if s["seed"] == 42
    }
    assert done.stdout.splitlines()[1].split() == ["lam", "eta", "val_accuracy", "test_accuracy"]
    assert (tmp_path / "out" / "sweep.svg").exists()
    assert "Traceback" not in done.stderr
    if engine == "serial":
        again = sweep(tmp_path, *options)
        assert (again.stdout, again.stderr) == (done.stdout, "4 of 4 trials were done before\n")


def test_without_workers_it_ends_in_a_sentence(tmp_path):
    done = sweep(tmp_path, "--workers", "0", "--engine", "dask")
    assert done.returncode == 2
    assert done.stderr.endswith("argument --workers: expected an integer >= 1, got 0\n")
