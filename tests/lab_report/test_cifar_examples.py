"""The deeper examples, run as a user runs them, on few drawn images."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


REPORT = {"report.html", "report.md", "charts"}
FILES = {
    "cifar_mlp": {"history-1-two-layers-50-units.csv", "history-2-three-layers-512-and-256-units.csv"},
    "cifar_convnet": {"history.csv", "history-1-conv-net.csv", "weights.safetensors"},
    "cifar_softmax_bonus": {
        *(f"true-class-{loss}CrossEntropy.{kind}" for loss in ("Softmax", "Sigmoid") for kind in ("png", "svg")),
        "history-1-the-report-s-best-400-images.csv",
        "history-2-all-2-000-images.csv",
        "history-3-mirrored-images.csv",
        "history-4-step-decay.csv",
        "history-5-grid-search.csv",
        "history-6-sigmoid-losses-instead.csv",
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
    assert {path.name for path in folder.iterdir()} == FILES[name] | REPORT
    accuracies = [float(number) for number in re.findall(r"test (?:accuracy )?([\d.]+) %", done.stdout)]
    assert max(accuracies) > 20  # of ten classes
    assert "Traceback" not in done.stderr
