"""One quick run of the main job, as a program, which many tests look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
            env=kept | {"HOME": str(cwd), "PYTHONUTF8": "1"} | more,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def quick(run, tmp_path_factory):
    """The folder that the job filled, and the program that has ended."""
    folder = tmp_path_factory.mktemp("quick")
    finished = run(EXAMPLE, "--quick", "--epochs", "3", "--seeds", "2", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder / "runs" / "cifar_softmax_quick", finished
