"""A report of any runs says what came out of them, whatever they were."""

import html
import math
import re

import numpy as np
import pytest

import minidl as dl
from minidl import History, InputError
from minidl.training.run_report import rank_runs


def text_of(page):
    """The words of a page, without its style."""
    page = re.sub(r"<style>.*?</style>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())


def trained(model, data, epochs=4):
    trainer = dl.Trainer(model, dl.SGD(0.05), rng=0)
    return trainer.fit(data[: len(data) // 2], data[len(data) // 2 :], epochs=epochs, batch_size=20)


def test_a_classifier_of_images(tmp_path):
    data = dl.datasets.synthetic_images(200, rng=0)
    pictures, data = data.x, data.map(dl.Standardizer().fit(data.x))
    models = {
        f"seed {seed}": dl.Model(dl.Dense(3072, 10, rng=seed), dl.SoftmaxCrossEntropy(), dl.L2(0.01)) for seed in (1, 2)
    }
    runs = {name: trained(model, data) for name, model in models.items()}
    models["both"] = dl.Ensemble(list(models.values()))
    settings = {"batch size": 20}
    folder = tmp_path / "report"
    page = dl.report_runs(
        runs,
        folder,
        title="Two seeds",
        author="Ada",
        date="2026-01-02",
        text=["My own words."],
        settings=settings,
        models=models,
        test=data,
        pictures=pictures,
        figures=[],
    )
    text = text_of(page)
    _, (best, other) = rank_runs(runs)
    shares = {name: 100 * model.evaluate(data)["accuracy"] for name, model in models.items()}
    error = math.sqrt(shares[best] * (100 - shares[best]) / 200)
    assert f"{best} classifies ({shares[best]:.2f} ± {error:.2f}) % of the 200 test rows" in text
    for words in (
        "Ada · 2026-01-02",
        "My own words.",
        "batch size 20",
        f"{shares['both']:.2f}",
        "random guessing: 10.0",
        other,
    ):
        assert words in text
    # Small pictures of mistakes, of the ten classes, and curves that are part of the page.
    raw = page.read_text(encoding="utf-8")
    assert raw.count("data:image/png") == 10
    assert raw.count("<svg") == 1 + 2 + 1 + 2 + 2 * 3
    assert "surest of" in text
    for number, (name, run) in enumerate(runs.items(), 1):
        link = f"history-{number}-{name.replace(' ', '-')}.csv"
        assert f'href="{link}"' in raw
        assert History.from_csv(folder / link) == run


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regression_has_residuals_and_no_accuracy(tmp_path, outputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    data = dl.Dataset(x, x @ rng.normal(size=(3, outputs)))
    model = dl.Model(dl.Dense(3, outputs, rng=0), dl.MeanSquaredError())
    page = dl.report_runs({"a": trained(model, data)}, tmp_path, title="t", models={"a": model}, test=data)
    text = text_of(page)
    assert "accuracy" not in text
    guess, truth = model.predict(x), data.y
    r2 = np.mean(1 - np.sum((truth - guess) ** 2, axis=0) / np.sum((truth - truth.mean(axis=0)) ** 2, axis=0))
    assert f"R² {r2:.3f} and a mean absolute error of {np.abs(truth - guess).mean():.4g}" in text
    assert page.read_text(encoding="utf-8").count("<svg") == 2 * outputs + 1


@pytest.mark.parametrize(
    ("loss", "outputs", "labels"),
    [
        (dl.BinaryCrossEntropy(), 1, lambda y: (y > 0).astype(int)),
        (dl.MulticlassHinge(), 2, lambda y: (y[:, 0] > 0) + 0),
    ],
)
def test_other_classifiers_have_their_classes(tmp_path, loss, outputs, labels):
    x = np.random.default_rng(0).normal(size=(80, 3))
    data = dl.Dataset(x, labels(x[:, :1]))
    model = dl.Model(dl.Dense(3, outputs, rng=0), loss)
    page = dl.report_runs({"a": trained(model, data)}, tmp_path, title="t", models={"a": model}, test=data)
    text = text_of(page)
    assert "accuracy for each class" in text
    assert "surest of" not in text


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ({"a": History()}, "No epoch was finished."),
        ({"a": History([{"mae": 2.0}]), "b/c?": History([{"mae": 1.0}])}, "b/c? ends with the best mae of 2 runs: 1"),
        ({"a": History([{"loss": math.nan}]), "b": History([{"loss": 9.0}])}, "b ends with the best loss of 2 runs: 9"),
        (
            {f"run {k}": History([{"val_accuracy": k / 40, "loss": 1.0}]) for k in range(40)},
            "Of 40 runs, the 8 best are shown.",
        ),
    ],
)
def test_unusual_histories(tmp_path, runs, words):
    page = dl.report_runs(runs, tmp_path, title="t", date="")
    assert words in text_of(page)
    assert len(list(tmp_path.glob("history-*.csv"))) == len(runs)


def test_what_does_not_belong_together_is_refused_before_anything_is_written(tmp_path):
    run = {"a": History([{"loss": 1.0}])}
    for wrong in ({"models": {"a": None}}, {"test": dl.Dataset([[1.0]], [0])}):
        with pytest.raises(InputError, match="pass the other one"):
            dl.report_runs(run, tmp_path / "new", title="t", **wrong)
    with pytest.raises(InputError, match="at least one run"):
        dl.report_runs({}, tmp_path / "new", title="t")
    assert not list(tmp_path.iterdir())
