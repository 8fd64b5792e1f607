"""The deeper examples, run as a user runs them, on few drawn images."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def start(name, *options, out):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=out.parent)


FILES = {
    "cifar_mlp": {"history-two.csv", "history-three.csv"},
    "cifar_convnet": {"history.csv", "weights.safetensors"},
    "cifar_softmax_bonus": {
        *(f"true-class-{loss}CrossEntropy.{kind}" for loss in ("Softmax", "Sigmoid") for kind in ("png", "svg")),
        *("report.html", "report.md"),
    },
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The folder of each example and the program, all of which run at once."""
    folders = {name: tmp_path_factory.mktemp(name) / "out" for name in FILES}
    return {name: (folder, start(name, "--quick", out=folder)) for name, folder in folders.items()}


@pytest.mark.parametrize("name", FILES)
def test_an_example_learns_something_and_writes_its_files(name, examples):
    folder, program = examples[name]
    stdout, stderr = program.communicate(timeout=300)
    assert program.returncode == 0, stderr
    assert {path.name for path in folder.iterdir()} == FILES[name]
    accuracies = [float(number) for number in re.findall(r"test (?:accuracy )?([\d.]+)%", stdout)]
    # Of ten classes.
    assert max(accuracies) > 20
    assert "Traceback" not in stderr


def test_wrong_options_end_in_a_sentence(tmp_path):
    wrong = start("cifar_mlp", "--seed", "-1", out=tmp_path / "out")
    missing = start("cifar_convnet", "--dataset", "cifar10", "--data-dir", "nowhere", out=tmp_path / "out")
    assert "expected an integer >= 0, got -1" in wrong.communicate()[1]
    error = missing.communicate()[1]
    assert missing.returncode == 1
    assert "nowhere" in error
    assert "Traceback" not in error
