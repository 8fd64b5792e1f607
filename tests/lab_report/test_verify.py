"""minidl verify confirms an untouched report and names a changed digit, wherever it is."""

import json
import re
import shutil

import pytest

from minidl import DataError, History
from minidl.cli import main
from minidl.lab_report.verify import Verification

HISTORY = "history-lambda-0.1-eta-0.001.csv"


@pytest.fixture(scope="module")
def original(jobs):
    folder, _, finished = jobs
    assert finished.returncode == 0, finished.stderr
    return folder / "again"


@pytest.fixture
def report(original, tmp_path):
    """A copy of a report, to be changed."""
    return shutil.copytree(original, tmp_path / "report", ignore=shutil.ignore_patterns("*.png", "*.svg", "charts"))


def change_a_digit(path, pattern):
    """Change the last digit of what the group of the pattern has found."""

    def changed(found):
        start, end = (place - found.start() for place in found.span(1))
        digit = str((int(found[1][-1]) + 1) % 10)
        return found[0][:start] + found[1][:-1] + digit + found[0][end:]

    text, count = re.subn(pattern, changed, path.read_text(encoding="utf-8"), count=1, flags=re.DOTALL)
    assert count == 1
    path.write_text(text, encoding="utf-8")


def compared(report, original):
    """Compare a report with a run that was repeated: the one it was copied from, which is the same to the bit."""
    check = Verification(report)
    check.other_machine = {}
    check.compare_files()
    check.compare_runs(check.runs, json.loads((original / "results.json").read_text()), original)
    return check


def test_an_untouched_report_comes_out_to_the_bit(original, run):
    finished = run("-m", "minidl", "verify", original, cwd=original.parent)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "the same kind of machine, to the bit" in finished.stdout
    assert "Every number compared comes out" in finished.stdout
    assert "Training 4 of 4 runs again: about" in finished.stderr


@pytest.mark.parametrize(
    ("file", "pattern", "named"),
    [
        ("results.json", r'"test_accuracy": ([\d.]+)', "λ = 0, η = 0.1, seed 42: test_accuracy"),
        ("results.json", r'"eta": 0.001.*?"val_loss": ([\d.]{12})', "λ = 0, η = 0.001, seed 42: val_loss"),
        ("results.json", r'"eta": 0.001.*?"val_loss": ([\d.]+)', ": line "),
        ("results.json", r'"max_relative_error": ([\d.]+)', "gradient check of weight, λ = 0: max_relative_error"),
        ("results.json", r'"batch_size": (\d+)', "λ = 0, η = 0.1, seed 42: batch_size"),
        ("results.json", r'"seeds": (\d+)', "settings: run 2"),
        ("results.json", r'"options".*?"epochs": (\d+)', "λ = 0, η = 0.1, seed 42: epochs"),
        ("results.json", r'"lambda": (1),', "settings: run 4"),
        ("results.json", r'"NumPy": "(\d+)', "how it was made: NumPy"),
        ("results.csv", r"\n0.1,0.001,100,3,42,[\d.]+,([\d.]+)", "table: train_cost of row 3"),
        ("results.csv", r",([\d.]+)\n1,", "table: seconds of row 3"),
        (HISTORY, r"\n2,[\d.]+,[\d.]+,([\d.]+)", "λ = 0.1, η = 0.001, seed 42: accuracy of epoch 2"),
        (HISTORY, r",([\d.]+)\n2,", "whole file: SHA-256"),
        ("report.html", r'data-label="test accuracy">([\d.]+)', "λ = 0, 0.1: test accuracy"),
        ("report.html", r'data-label="mean relative error">([\d.]+)e', "λ = 0, weight: mean relative error"),
        ("report.html", r"<li>.*?the norm of the weights goes from ([\d.]+\d)", "the norm of the weights goes from # to"),
        ("report.html", r"<text[^>]*>(\d[\d.]*)</text>", '"#", '),
        ("report.md", r"η = (0.1)", "whole file: SHA-256"),
    ],
)
def test_a_changed_digit_is_named(file, pattern, named, report, original):
    change_a_digit(report / file, pattern)
    found = compared(report, original).differences
    assert any(d.file in (file, "report.html") and named in d.number for d in found), found
