"""The main job as its users run it: as a program, quick, on the synthetic images, without a network."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidl import History

EXAMPLE = Path(__file__).parent.parent / "examples" / "cifar_softmax.py"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "MINIDL_DATA_DIR"} | {"HOME": str(cwd), "PYTHONUTF8": "1"},
        timeout=120,
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    finished = run("--quick", "--epochs", "3", "--seeds", "2", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder / "runs" / "cifar_softmax", finished


def test_results_have_the_promised_form(quick):
    out, _ = quick
    results = json.loads((out / "results.json").read_text())
    assert results["dataset"]["name"] == "synthetic images"
    assert results["dataset"]["source"] == "drawn by minidl"
    assert [(c["lambda"], c["parameter"], c["entries"]) for c in results["gradient_check"]] == [
        (0, "weight", 3000), (0, "bias", 10), (0.1, "weight", 3000), (0.1, "bias", 10)
    ]  # fmt: skip
    assert all(c["mean_relative_error"] <= 2e-9 for c in results["gradient_check"])
    settings = [(s["lambda"], s["eta"], s["seed"]) for s in results["settings"]]
    assert settings == [
        (lam, eta, seed) for lam, eta in [(0, 0.1), (0, 0.001), (0.1, 0.001), (1, 0.001)] for seed in (42, 43)
    ]
    for s in results["settings"]:
        assert (s["batch_size"], s["epochs"]) == (100, 3)
        assert s["seconds"] > 0
        for part in ("train", "val"):
            assert s[f"{part}_cost"] - s[f"{part}_loss"] == pytest.approx(
                s["train_cost"] - s["train_loss"], rel=1e-6, abs=1e-9
            )
            assert 0.1 < s[f"{part}_accuracy"] < 1
        assert 0.1 < s["test_accuracy"] < 1
        assert set(s["figures"]) == ({"cost", "loss", "weights"} if s["seed"] == 42 else set())
        assert all((out / name).stat().st_size < 200_000 for name in s["figures"].values())


def test_the_table_repeats_the_results(quick):
    out, _ = quick
    results = json.loads((out / "results.json").read_text())["settings"]
    with open(out / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test_accuracy"]) for row in rows] == [s["test_accuracy"] for s in results]


def test_histories_can_be_read_back_and_end_on_the_results(quick):
    out, _ = quick
    history = History.from_csv(out / "history-lambda-0.1-eta-0.001-seed-43.csv")
    results = json.loads((out / "results.json").read_text())["settings"]
    entry = next(s for s in results if (s["lambda"], s["seed"]) == (0.1, 43))
    assert history["epoch"] == [1, 2, 3]
    assert history["val_cost"][-1] == entry["val_cost"]


def test_the_report_says_what_it_was_made_from_and_compares_nothing_that_cannot_be(quick):
    out, _ = quick
    page = (out / "report.html").read_text()
    assert "synthetic images" in page
    assert "nothing to compare with" in page
    assert "39.13" not in page
    assert page.count("data:image/") == 12
    assert "±" in page


def test_the_terminal_shows_the_table_and_the_progress_goes_to_standard_error(quick):
    _, finished = quick
    assert "Data: synthetic images (drawn by minidl)" in finished.stdout
    assert "Gradient check: λ = 0.1, 10 entries of bias: mean relative error" in finished.stdout
    assert "±" in finished.stdout
    assert "epoch" not in finished.stdout
    assert "epoch 3/3" in finished.stderr


def test_a_second_run_gives_the_same_numbers(quick, tmp_path):
    finished = run("--quick", "--epochs", "3", "--out", "again", cwd=tmp_path)
    assert finished.returncode == 0
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    first = json.loads((quick[0] / "results.json").read_text())
    measured = [
        [{k: v for k, v in s.items() if k != "seconds"} for s in results["settings"] if s["seed"] == 42]
        for results in (first, again)
    ]
    assert measured[0] == measured[1]
    assert first["gradient_check"] == again["gradient_check"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--epochs", "0"], 2, "expected an integer >= 1, got 0"),
        (["--seeds", "two"], 2, "invalid int value: 'two'"),
        (["--seed", "-1"], 2, "expected an integer >= 0, got -1"),
        (["--dataset", "mnist"], 2, "invalid choice"),
        (["--quick", "--data-dir", "nowhere"], 1, "DataError: "),
    ],
)
def test_wrong_arguments_end_in_a_sentence(arguments, code, words, tmp_path):
    finished = run(*arguments, cwd=tmp_path)
    assert finished.returncode == code
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []
