"""The deeper examples, run as a user runs them, on few drawn images."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


FILES = {
    "cifar_mlp": {"history-two.csv", "history-three.csv"},
    "cifar_convnet": {"history.csv", "weights.safetensors"},
    "cifar_softmax_bonus": {
        *(f"true-class-{loss}CrossEntropy.{kind}" for loss in ("Softmax", "Sigmoid") for kind in ("png", "svg")),
        *("report.html", "report.md"),
    },
}


@pytest.fixture(scope="module")
def examples(run, tmp_path_factory):
    """The folder of each example and the program that has ended; all run at once."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FILES}
    with ThreadPoolExecutor() as pool:
        programs = {
            name: pool.submit(run, EXAMPLES / f"{name}.py", "--quick", "--out", "out", cwd=folder)
            for name, folder in folders.items()
        }
    return {name: (folders[name] / "out", program.result()) for name, program in programs.items()}


@pytest.mark.parametrize("name", FILES)
def test_an_example_learns_something_and_writes_its_files(name, examples):
    folder, done = examples[name]
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == FILES[name]
    accuracies = [float(number) for number in re.findall(r"test (?:accuracy )?([\d.]+)%", done.stdout)]
    assert max(accuracies) > 20  # of ten classes
    assert "Traceback" not in done.stderr
