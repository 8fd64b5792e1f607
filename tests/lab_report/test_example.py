"""The main job as its users run it: as a program, quick, on the synthetic images, without a network."""

import argparse
import csv
import hashlib
import html
import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from figures import save_nothing

import minidl as dl
from minidl import History, lab_report
from minidl.lab_report.options import command

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "cifar_softmax.py"


def parsed(arguments):
    parser = argparse.ArgumentParser()
    lab_report.add_options(parser)
    return lab_report.settled(parser, parser.parse_args(arguments))


def test_results_have_the_promised_form(quick):
    out, _ = quick
    results = json.loads((out / "results.json").read_text())
    assert (results["dataset"]["name"], results["dataset"]["source"]) == ("synthetic images", "drawn by minidl")
    assert [(c["lambda"], c["parameter"], c["entries"]) for c in results["gradient_check"]] == [
        (0, "weight", 3000), (0, "bias", 10), (0.1, "weight", 3000), (0.1, "bias", 10)
    ]  # fmt: skip
    assert all(c["mean_relative_error"] <= 1e-11 and c["verdict"] == "PASS" for c in results["gradient_check"])
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
        assert (s["train_cost"] - s["train_loss"] > 0.01 * s["lambda"]) == (s["lambda"] > 0)
        assert 0.1 < s["test_accuracy"] < 1
        assert set(s["figures"]) == ({"cost", "loss", "weights"} if s["seed"] == 42 else set())
        assert all((out / name).stat().st_size < 200_000 for name in s["figures"].values())


def test_the_table_repeats_the_results_and_histories_end_on_them(quick):
    out, _ = quick
    results = json.loads((out / "results.json").read_text())["settings"]
    with open(out / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test_accuracy"]) for row in rows] == [s["test_accuracy"] for s in results]
    history = History.from_csv(out / "history-lambda-0.1-eta-0.001-seed-43.csv")
    entry = next(s for s in results if (s["lambda"], s["seed"]) == (0.1, 43))
    assert (history["epoch"], history["val_cost"][-1]) == ([1, 2, 3], entry["val_cost"])


def test_the_report_says_what_it_was_made_from_and_compares_nothing_that_cannot_be(quick):
    out, _ = quick
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "39.13" not in page
    # The capital of a λ is another letter.
    assert "Λ" not in page
    # Templates of four settings, ten mistakes; four panels, accuracies, curves, and the classes.
    assert page.count("data:image/png") == 40 + 10
    assert page.count("<svg") == 4 + 1 + 1 + 2 * (2 + 3) + 2
    assert len(page) < 4_000_000
    results = json.loads((out / "results.json").read_text())
    text = html.unescape(re.sub("<[^>]+>", "", page)).replace("\xa0", " ")
    for words in (
        "A one-layer softmax classifier on synthetic images",
        f"Ada & Co · {results['date']}",
        results["command"],
        "nothing to compare with",
        "± standard deviation over 2 seeds",
        "(300 pixels of each)",
        "λ = 0.1, η = 0.001",
        "processor",
        "42, 43",
    ):
        assert words in text
    for link in ("https://www.kth.se/", "results.csv", "history-lambda-0-eta-0.1-seed-43.csv"):
        assert f'href="{link}' in page
    first, second = (entry["test_accuracy"] for entry in results["settings"][:2])
    assert f"{50 * (first + second):.2f} ± {100 * abs(first - second) / 2**0.5:.2f} %" in text
    for entry in results["gradient_check"]:
        assert f"{entry['mean_relative_error']:.1e}" in text


def test_results_say_how_they_were_made_and_of_which_files(quick):
    out, _ = quick
    results = json.loads((out / "results.json").read_text())
    options = {"dataset": "auto", "data_dir": None, "epochs": 3, "seed": 42, "seeds": 2, "quick": True}
    assert results["options"] == options
    assert (results["author"], results["title"].split()[-2:]) == ("Ada & Co", ["synthetic", "images"])
    assert results["environment"]["minidl"] == dl.__version__
    data = dl.datasets.synthetic_images(2000, rng=3)
    assert results["dataset"]["sha256"]["test"]["x"] == hashlib.sha256(data.x.tobytes()).hexdigest()
    files = {"report.html", "report.md", "results.csv", *(path.name for path in out.glob("history-*.csv"))}
    assert results["files"] == {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in files}


def test_the_command_in_the_report_is_the_job_again():
    for arguments in ("--quick --seeds 3 --author 'A & B'", "--data-dir '/a b' --out x --seed 7"):
        options = parsed(shlex.split(arguments))
        again = parsed(shlex.split(command(options, cifar10=not options.quick))[2:])
        assert vars(again) | {"dataset": options.dataset} == vars(options)


def test_the_terminal_shows_the_table_and_the_progress_goes_to_standard_error(quick):
    _, finished = quick
    assert "Data: synthetic images (drawn by minidl)" in finished.stdout
    assert "Gradient check: PASS, λ = 0.1, 10 of bias: error " in finished.stdout
    assert "±" in finished.stdout
    assert all(len(line) < 80 for line in finished.stdout.splitlines()[1:-1])
    assert finished.stderr.index("Checking 3,010 gradients") < finished.stderr.index("epoch 3/3")
    assert "epoch" not in finished.stdout
    assert "epoch 3/3" in finished.stderr


def test_the_command_does_the_same_job_and_prints_what_results_json_holds(quick, jobs):
    folder, _, finished = jobs
    assert finished.returncode == 0, finished.stderr
    again = json.loads(finished.stdout)
    assert again == json.loads((folder / "again" / "results.json").read_text())
    assert {"report.html", "report.md"} <= {path.name for path in (folder / "again").iterdir()}
    assert "Gradient check: PASS" in finished.stderr
    first = json.loads((quick[0] / "results.json").read_text())
    measured = [
        [{k: v for k, v in s.items() if k != "seconds"} for s in results["settings"] if s["seed"] == 42]
        for results in (first, again)
    ]
    assert measured[0] == measured[1]
    assert first["gradient_check"] == again["gradient_check"]


@pytest.fixture
def example(monkeypatch, tmp_path):
    """The main job as a module, without drawing, with small sets that can be told apart in place of CIFAR-10."""
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("cifar_softmax")
    sets = [dl.datasets.synthetic_images(n, rng=n) for n in (300, 200, 100)]
    sets = [dl.Dataset(d.x, d.y, name="CIFAR-10", source="test", class_names=d.class_names) for d in sets]
    monkeypatch.setattr(dl.datasets, "load_cifar10_course_split", lambda data_dir: tuple(sets))

    monkeypatch.setattr("minidl.plotting.save_figure", save_nothing)
    return module, sets


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("--epochs 0", 2, "expected an integer >= 1, got 0"),
        ("--seed -1", 2, "expected an integer >= 0, got -1"),
        ("--quick --dataset synthetic --data-dir nowhere", 2, "--data-dir: the synthetic images are drawn"),
        ("--quick --out file", 1, "expected a folder that can be written"),
    ],
)
def test_wrong_arguments_end_in_a_sentence_and_write_nothing(example, capsys, arguments, code, words):
    module, _ = example
    Path("file").touch()
    with pytest.raises(SystemExit) as stopped:
        sys.exit(module.exit_status(lambda: module.main(arguments.split())))
    assert stopped.value.code == code
    assert words in capsys.readouterr().err
    assert [path.name for path in Path().rglob("*")] == ["file"]


def test_the_settings_are_those_of_the_published_report(example):
    module, _ = example
    assert [tuple(setting) for setting in lab_report.SETTINGS] == [
        (0, 0.1, 0.2782), (0, 0.001, 0.3913), (0.1, 0.001, 0.3936), (1, 0.001, 0.3740)
    ]  # fmt: skip
    options = module.parse([])
    assert (options.epochs, options.out, lab_report.BATCH_SIZE) == (40, "runs/cifar_softmax", 100)


def test_it_trains_scales_validates_and_tests_on_the_set_meant_for_it(example):
    module, (train, validation, test) = example
    assert module.main(["--epochs", "2", "--quick", "--dataset", "cifar10", "--out", "out"]) == 0
    results = json.loads(Path("out/results.json").read_text())
    scale = dl.Standardizer().fit(train.x)
    for entry in results["settings"]:
        layer = dl.Dense(3072, 10, weight_init=dl.Normal(0.01), rng=42)
        model = dl.Model(layer, dl.SoftmaxCrossEntropy(), dl.L2(entry["lambda"]))
        trainer = dl.Trainer(model, dl.SGD(entry["eta"]), rng=42)
        history = trainer.fit(train.map(scale), validation.map(scale), epochs=2, batch_size=100)
        assert entry["test_accuracy"] == model.evaluate(test.map(scale))["accuracy"]
        for name in ("cost", "loss", "accuracy"):
            assert entry[f"train_{name}"] == pytest.approx(history[name][-1], rel=1e-5)
            assert entry[f"val_{name}"] == pytest.approx(history[f"val_{name}"][-1], rel=1e-5)
    page = Path("out/report.html").read_text()
    assert "27.82&nbsp;%" in page
    assert "difference in percentage points" in page
    assert "nothing to compare with" not in page


def test_where_cifar10_cannot_be_had_the_run_goes_on_and_says_so(example, monkeypatch, capsys):
    module, _ = example

    def no_network(data_dir):
        raise dl.DownloadError("all sources failed")

    monkeypatch.setattr(dl.datasets, "load_cifar10_course_split", no_network)
    options = module.parse(["--quick", "--data-dir", "d"])
    assert {data.name for data in lab_report.load_data(options)} == {"synthetic images"}
    assert "CIFAR-10 is unavailable; using synthetic images" in capsys.readouterr().err
    with pytest.raises(dl.DownloadError):
        lab_report.load_data(module.parse(["--dataset", "cifar10"]))


def test_after_ctrl_c_what_was_finished_is_on_the_disk(example, monkeypatch):
    module, _ = example
    real = dl.Trainer._run_epoch

    def interrupted(trainer, *arguments):
        if trainer.optimizer.learning_rate == 0.001 and trainer.epoch == 1:
            raise KeyboardInterrupt
        real(trainer, *arguments)

    monkeypatch.setattr(dl.Trainer, "_run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.main(["--epochs", "2", "--quick", "--dataset", "cifar10", "--out", "out"])
    assert [s["eta"] for s in json.loads(Path("out/results.json").read_text())["settings"]] == [0.1]
    assert History.from_csv("out/history-lambda-0-eta-0.001.csv")["epoch"] == [1]
