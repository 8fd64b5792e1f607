"""Two quick runs of the main job, as programs, which many tests look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "cifar_softmax.py"


def start(*command, cwd, **more):
    """Start a program of minidl in an empty home."""
    kept = {name: value for name, value in os.environ.items() if name != "MINIDL_DATA_DIR"}
    return subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"HOME": str(cwd), "PYTHONUTF8": "1"} | more,
    )


def finish(process):
    """Wait for a program, and return it as `subprocess.run` does."""
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture(scope="session")
def run():
    """A function that runs a program of minidl in an empty home."""
    return lambda *command, **more: finish(start(*command, **more))


@pytest.fixture(scope="session")
def jobs(tmp_path_factory):
    """The folder in which the job ran as an example and as a command, both at once, and the two that have ended."""
    folder = tmp_path_factory.mktemp("quick")
    options = ["--quick", "--epochs", "3"]
    example = start(EXAMPLE, *options, "--seeds", "2", cwd=folder)
    report = ["-m", "minidl", "report", *options, "--out", "again", "--json"]
    command = start(*report, cwd=folder, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    return folder, finish(example), finish(command)


@pytest.fixture(scope="session")
def quick(jobs):
    """The folder that the example filled, and the program that has ended."""
    folder, finished, _ = jobs
    assert finished.returncode == 0, finished.stderr
    return folder / "runs" / "cifar_softmax_quick", finished
