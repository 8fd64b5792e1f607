"""The deeper examples, run as a user runs them, on few drawn images."""

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


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
def test_an_example_learns_something_and_writes_its_files(name, files, run, tmp_path):
    done = run(EXAMPLES / f"{name}.py", "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    accuracies = [float(number) for number in re.findall(r"test (?:accuracy )?([\d.]+)%", done.stdout)]
    assert max(accuracies) > 20  # of ten classes
    assert "Traceback" not in done.stderr


def test_wrong_options_end_in_a_sentence(run, tmp_path):
    wrong = run(EXAMPLES / "cifar_mlp.py", "--seed", "-1", cwd=tmp_path)
    assert "expected an integer >= 0, got -1" in wrong.stderr
    missing = run(EXAMPLES / "cifar_convnet.py", "--dataset", "cifar10", "--data-dir", "nowhere", cwd=tmp_path)
    assert missing.returncode == 1
    assert "nowhere" in missing.stderr
    assert "Traceback" not in missing.stderr
