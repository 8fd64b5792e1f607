"""Two quick runs of the main job, as programs, which many tests look at."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# Linear algebra on several threads may sum in another order, and eta = 0.1 makes much of one bit.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "cifar_softmax.py"


@pytest.fixture(scope="session")
def run():
    """A function that runs a program of minidl in an empty home."""

    def run(*command, cwd, **more):
        kept = {name: value for name, value in os.environ.items() if name != "MINIDL_DATA_DIR"}
        return subprocess.run(
            [sys.executable, "-W", "error", *map(str, command)],
            cwd=cwd,
            capture_output=True,
            text=True,
            env=kept | {"HOME": str(cwd), "PYTHONUTF8": "1"} | ONE_THREAD | more,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def jobs(run, tmp_path_factory):
    """The folder in which the job ran as an example and as a command, both at once, and the two that have ended."""
    folder = tmp_path_factory.mktemp("quick")
    options = ["--quick", "--epochs", "3"]
    report = ["-m", "minidl", "report", *options, "--out", "again", "--json"]
    with ThreadPoolExecutor() as pool:
        example = pool.submit(run, EXAMPLE, *options, "--seeds", "2", "--author", "Ada & Co", cwd=folder)
        command = pool.submit(run, *report, cwd=folder, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    return folder, example.result(), command.result()


@pytest.fixture(scope="session")
def quick(jobs):
    """The folder that the example filled, and the program that has ended."""
    folder, finished, _ = jobs
    assert finished.returncode == 0, finished.stderr
    return folder / "runs" / "cifar_softmax_quick", finished
