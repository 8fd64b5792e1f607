"""The deeper examples, run as a user runs them, on few drawn images."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def run(name, *options, out):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=out.parent)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("cifar_mlp", {"history-two.csv", "history-three.csv"}),
        ("cifar_convnet", {"history.csv", "weights.safetensors"}),
        (
            "cifar_softmax_bonus",
            {f"true-class-{loss}CrossEntropy.{kind}" for loss in ("Softmax", "Sigmoid") for kind in ("png", "svg")}
            | {"report.html", "report.md"},
        ),
    ],
)
def test_an_example_learns_something_and_writes_its_files(name, files, tmp_path):
    done = run(name, "--quick", out=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    accuracies = [float(number) for number in re.findall(r"test (?:accuracy )?([\d.]+)%", done.stdout)]
    assert max(accuracies) > 20  # of ten classes
    assert "Traceback" not in done.stderr


def test_wrong_options_end_in_a_sentence(tmp_path):
    assert "expected an integer >= 0, got -1" in run("cifar_mlp", "--seed", "-1", out=tmp_path / "out").stderr
    missing = run("cifar_convnet", "--dataset", "cifar10", "--data-dir", "nowhere", out=tmp_path / "out")
    assert missing.returncode == 1
    assert "nowhere" in missing.stderr
    assert "Traceback" not in missing.stderr
