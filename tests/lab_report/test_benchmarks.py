"""The benchmarks run, and nobody wins in them by doing less work."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "examples" / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    """The benchmark's own modules, by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import race
    import tasks

    return race, tasks


def run(script, *options):
    command = [sys.executable, str(FOLDER / script), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_races_and_writes_its_page(tmp_path):
    page = tmp_path / "page.md"
    answer = run("run.py", "--rounds", "1", "--only", "mlp", "--against", "--write", str(page))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == page.read_text().strip()
    assert "| **minidl** |" in answer.stdout
    assert "--only mlp" in answer.stdout
    assert "1 rounds, alternating" in answer.stdout


def test_who_does_less_work_is_found_out(benchmarks):
    _, tasks = benchmarks
    right = {"val_loss": 1.5, "val_accuracy": 0.53}
    results = {
        "minidl": right,
        "as good": {"val_loss": 1.51, "val_accuracy": 0.525},
        "half the steps": {"val_loss": 1.6, "val_accuracy": 0.5},
        "no metrics": {},
        "diverged": {"val_loss": math.nan, "val_accuracy": 0.53},
    }
    sentences = tasks.disagreements(results, "minidl")
    assert {sentence.split(":")[0] for sentence in sentences} == {"half the steps", "no metrics", "diverged"}


def test_ratios_are_taken_round_by_round(benchmarks):
    race, _ = benchmarks
    assert race.ratio(race.Score([1.0, 10.0, 3.0]), race.Score([2.0, 20.0, 3.0])) == 0.5
