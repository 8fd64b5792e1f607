"""minidl verify confirms an untouched report and names a changed digit, wherever it is."""

import json
import re
import shutil

import pytest

import minidl as dl
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


def compared(report, original, tmp_path):
    """Compare a report with a run that was repeated: the one it was copied from, which is the same to the bit."""
    check, again = Verification(report), Verification(original)
    check.other_machine = {}
    check.options.out = tmp_path / "page"
    check.compare_files()
    check.compare_runs(again.checks, [*again.outcomes.values()], dl.datasets.synthetic_images(2000, rng=3))
    return check


def test_an_untouched_report_comes_out_to_the_bit(original, run):
    finished = run("-m", "minidl", "verify", original, cwd=original.parent)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "the same kind of machine: to the bit" in finished.stdout
    assert "Every number that was compared comes out" in finished.stdout
    assert "Training 4 of 4 runs again: about" in finished.stderr


@pytest.mark.parametrize(
    ("file", "pattern", "named"),
    [
        ("results.json", r'"test_accuracy": ([\d.]+)', "λ = 0, η = 0.1, seed 42: test_accuracy"),
        ("results.json", r'"eta": 0.001.*?"val_loss": ([\d.]{12})', "λ = 0, η = 0.001, seed 42: val_loss"),
        ("results.json", r'"eta": 0.001.*?"val_loss": ([\d.]+)', ": line"),
        ("results.json", r'"max_relative_error": ([\d.]+)', "gradient check of weight, λ = 0: max_relative_error"),
        ("results.json", r'"batch_size": (\d+)', "λ = 0, η = 0.1, seed 42: batch_size"),
        ("results.json", r'"seeds": (\d+)', "settings: run 2"),
        ("results.json", r'"options".*?"epochs": (\d+)', 'Method and settings, after "'),
        ("results.json", r'"lambda": (1)\.0,', "settings: run 4"),
        ("results.json", r'"Python": "(\d+)', 'How to repeat it, after "'),
        ("results.csv", r"\n0.1,0.001,100,3,42,[\d.]+,([\d.]+)", "λ = 0.1, η = 0.001, seed 42: train_cost"),
        ("results.csv", r",([\d.]+)\n1.0,", "λ = 0.1, η = 0.001, seed 42: seconds"),
        (HISTORY, r"\n2,[\d.]+,[\d.]+,([\d.]+)", "λ = 0.1, η = 0.001, seed 42: accuracy of epoch 2"),
        (HISTORY, r",([\d.]+)\n2,", "whole file: SHA-256"),
        (
            "report.html",
            r'η&nbsp;=&nbsp;0\.1</td><td[^>]*data-label="test accuracy">([\d.]+)',
            'η = 0.1 test accuracy"',
        ),
        ("report.html", r'data-label="mean relative error">([\d.]+)e', 'mean relative error"'),
        (
            "report.html",
            r"<li>.*?norm of the weights goes from ([\d.]+\d)",
            'Summary, after "norm of the weights goes from"',
        ),
        ("report.html", r"<text[^>]*>(\d[\d.]*)</text>", 'Summary, after "'),
        ("report.md", r"η = (0.1)", "whole file: SHA-256"),
    ],
)
def test_a_changed_digit_is_named(file, pattern, named, report, original, tmp_path):
    change_a_digit(report / file, pattern)
    found = compared(report, original, tmp_path).differences
    assert any(d.file == file and named in d.number for d in found), found
    # Nothing else is blamed, but for what follows from an option.
    assert {d.file for d in found} == {file} or "option" in pattern or "seeds" in pattern


def test_quick_trains_one_run_and_says_what_it_did_not_compare(report, capsys):
    change_a_digit(report / HISTORY, r"([\d.]+)\n3,")
    assert main(["verify", str(report), "--quick", "--json"]) == 1
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert [d["file"] for d in found["differences"]] == [HISTORY]
    assert {"the training of other runs", "the gradient check"} <= {*found["not_compared"]}
    assert "Training 1 of 4 runs again" in told.err
    # Each history has its digest and its last epoch; one of them all its epochs.
    assert sorted(found["compared"][name] for name in found["compared"] if name.startswith("history")) == [1, 1, 1, 25]


def test_what_is_not_trained_again_is_compared_with_the_other_files(report, tmp_path):
    change_a_digit(report / "report.html", r'data-label="validation loss">([\d.]+)')
    check = Verification(report)
    check.options.out = tmp_path / "page"
    check.compare_files()
    check.compare_runs([], [], dl.datasets.synthetic_images(2000, rng=3))
    digest, difference = check.differences
    assert (digest.file, digest.number) == ("report.html", "whole file: SHA-256")
    assert (difference.file, difference.number[-17:]) == ("report.html", ' validation loss"')


def test_on_another_kind_of_machine_numbers_may_differ_a_little(report, original, tmp_path):
    check, again = Verification(report), Verification(original)
    check.other_machine = {"processor": "another"}
    check.options.out = tmp_path / "page"
    outcomes = [*again.outcomes.values()]
    for row in outcomes[2].history:
        row["loss"] *= 1.005
    outcomes[1] = outcomes[1]._replace(test_accuracy=outcomes[1].test_accuracy + 0.02)
    checks = [check | {"max_relative_error": 1e-7} for check in again.checks]
    test = dl.datasets.synthetic_images(2000, rng=3)
    check.compare_files()
    check.compare_runs(checks, outcomes, test)
    assert check.differences == []
    outcomes[1] = outcomes[1]._replace(test_accuracy=outcomes[1].test_accuracy + 0.1)
    check.compare_runs(checks, outcomes, test)
    (difference,) = check.differences
    assert difference.number == "λ = 0, η = 0.001, seed 42: test_accuracy"


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (".*", "", "make the report again"),
        (".*", "[1]", "make the report again"),
        ('"options"', '"choices"', "make the report again"),
        ('"test_accuracy"', '"accuracy"', "make the report again"),
        ('"x": "[0-9a-f]{4}', '"x": "0000', "these are not the images of the report"),
    ],
)
def test_what_cannot_be_verified_is_refused(pattern, replacement, words, report, capsys):
    path = report / "results.json"
    path.write_text(re.sub(pattern, replacement, path.read_text(), count=1, flags=re.DOTALL))
    assert main(["verify", str(report)]) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 1
    assert "results.json: cannot be read: No such file" in capsys.readouterr().err
