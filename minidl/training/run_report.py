"""report_runs: a report of any runs, of the sections that every report of runs is made of."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date as calendar
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.errors import InputError, ShapeError
from minidl._core.types import PathLike
from minidl._storage.files import make_folder
from minidl.data.dataset import Dataset
from minidl.plotting.charts import Dot
from minidl.report import Link, Report
from minidl.training.compare import compare_runs
from minidl.training.describe import accuracy_error, compare_accuracies, percent
from minidl.training.history import NOT_METRICS, History, Monitor
from minidl.training.run_sections import RunSections, classes_of, scores, value_text

__all__ = ["report_runs"]

# Runs with curves and a text of their own; tables and the chart of all runs have every one.
_MOST_RUNS = 8
# Flat rows of fewer numbers are measurements, not pictures.
_SMALLEST_PICTURE = 64
_RANKED_BY = ("val_accuracy", "val_loss", "accuracy", "loss")


def report_runs(
    runs: Mapping[str, History],
    folder: PathLike,
    *,
    title: str,
    author: str = "",
    date: str | None = None,
    text: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    models: Mapping[str, Any] | None = None,
    test: Dataset | None = None,
    pictures: Any = None,
    figures: Iterable[tuple[PathLike, str, str]] = (),
) -> Path:
    """Write a report of runs: the result first, then a comparison, the test set, the curves of each run, and versions.

    The best run is the one with the best last validation accuracy, or else validation loss, accuracy or loss. Of more
    than eight runs, only the eight best have curves of their own. The test set gives a classifier's accuracy with
    its standard error, and for the best run the confusion matrix, the accuracy of each class and the ten surest
    mistakes; for a regression R², the mean absolute error, prediction against truth, and residuals.

    Parameters
    ----------
    runs : mapping of str to History
        One a name.
    folder : str or PathLike
        Gets ``report.html``, ``report.md``, a CSV file of each history, and the charts in a folder ``charts``.
    title, author : str
    date : str, optional
        None is the date of today.
    text : sequence of str
        Paragraphs of your own, after the summary.
    settings : mapping, optional
        Names and values, such as ``{"batch size": 100}``.
    models : mapping of str to Model or Ensemble, optional
        What the runs have trained, by the names of the runs; others, such as an ensemble, only get a test result.
    test : Dataset, optional
        Rows as the models take them. `models` and `test` need each other.
    pictures : array_like, optional
        What the rows of `test` look like; None takes ``test.x`` if it has images, or rows of at least 64 numbers that
        make square images.
    figures : iterable of (path, alt, caption)
        Figures of your own, see `Report.figures`.

    Returns
    -------
    Path
        Of report.html.

    Raises
    ------
    InputError
        If an argument is not as above, or there is no run.
    """
    comparison = compare_runs(runs)
    models = dict(models or {})
    if bool(models) != (test is not None):
        raise InputError("report_runs: expected models and test together, or neither: pass the other one, too")
    out = make_folder(folder)
    report = Report(title, author=author, date=str(calendar.today()) if date is None else date, contents=True)
    column, ranked = rank_runs(runs)
    tested = None
    if test is not None:
        tested = _Tested(models, test, next((name for name in ranked if name in models), next(iter(models))))
    report.heading("Summary").points([_first(runs, column, ranked), *(tested.summary() if tested else [])])
    for paragraph in text:
        report.paragraph(paragraph)
    sections = RunSections(report, out, tested.classes if tested else 0)
    shown = {name: runs[name] for name in ranked[:_MOST_RUNS]}
    report.heading("Comparison").paragraph(f"Table {report.table_number} has the last and the best values of all runs.")
    report.table([*map(_words, comparison.header)], comparison.rows, "All runs")
    if len(runs) > 1 and any(column in run for run in runs.values()):
        figure = report.figure_number
        report.paragraph(f"Figure {figure} compares all runs, Figure {figure + 1} shows each of them alone.")
        sections.all_runs(runs, column)
        # Values of different losses are not on one scale, and accuracies are.
        losses = {repr(getattr(models.get(name), "loss", None)) for name in shown}
        known = any({"loss", "val_loss"} & {*run.columns} for run in shown.values())
        sections.panels(shown, "loss" if known and len(losses) == 1 else column)
    if tested:
        tested.add_to(sections, pictures)
    report.heading("Each run" if len(runs) > 1 else "The run")
    if len(shown) < len(runs):
        report.paragraph(f"Of {len(runs):,} runs, the {len(shown)} best are shown.")
    for name, run in shown.items():
        report.heading(name, level=3)
        sections.curves(name, run)
    if more := list(figures):
        report.heading("More figures").figures(more)
    if settings:
        report.heading("Settings").settings(settings)
    report.heading("How it was made").environment()
    files = [run.to_csv(out / f"history-{n}-{_slug(name)}.csv").name for n, (name, run) in enumerate(runs.items(), 1)]
    rows = [[name, Link(file, file)] for name, file in zip(runs, files, strict=True)]
    report.table(["run", "numbers of each epoch"], rows)
    return report.write(out)[0]


def rank_runs(runs: Mapping[str, History]) -> tuple[str, list[str]]:
    """Return the column by which runs are ranked, and their names, the best one first.

    It is the first of validation accuracy, validation loss, accuracy and loss that a run has; its last value counts.
    """
    columns = [column for run in runs.values() for column in run.columns if column not in NOT_METRICS]
    monitor = Monitor(next((name for name in [*_RANKED_BY, *columns] if name in columns), "loss"))
    last = {name: run[monitor.name][-1] if monitor.name in run else math.nan for name, run in runs.items()}
    return monitor.name, sorted(runs, key=lambda name: monitor.minimised(last[name]))


def _first(runs: Mapping[str, History], column: str, ranked: Sequence[str]) -> str:
    """Return which run is best, as a sentence."""
    what = _words(column)
    values = [value_text(runs[n], column) if column in runs[n] else "not measured" for n in ranked[:2]]
    if len(runs) == 1:
        return f"{ranked[0]} ends with a {what} of {values[0]}."
    best = f"{ranked[0]} ends with the best {what} of {len(runs):,} runs: {values[0]}."
    return f"{best} {ranked[1]} is second with {values[1]}."


def _words(column: str) -> str:
    """Return what a column is called in a sentence."""
    return re.sub("^val_", "validation ", column).replace("_", " ")


def _slug(name: str) -> str:
    """Return a part of a file's name, in letters that every file system takes."""
    name = name.replace("λ", "lambda").replace("η", "eta")
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60] or "run"


class _Tested:
    """What the models get on the test set, and what the best of them predicts."""

    def __init__(self, models: Mapping[str, Any], test: Dataset, best: str) -> None:
        self.test = test
        self.best = best
        self.model = models[best]
        self.measured = {name: model.evaluate(test) for name, model in models.items()}
        shares = {name: row["accuracy"] for name, row in self.measured.items() if "accuracy" in row}
        self.dots = {name: Dot(name, share, accuracy_error(share, len(test))) for name, share in shares.items()}
        self.classes = classes_of(test) if self.dots else 0
        self.targets = test.y.reshape(len(test), -1)
        guessed = {name: np.asarray(model.predict(test.x)).reshape(len(test), -1) for name, model in models.items()}
        self.predictions = guessed[best]
        for name, guess in guessed.items():
            if not self.dots and guess.shape == self.targets.shape:
                r2, mae = np.mean([scores(*it) for it in zip(self.targets.T, guess.T, strict=True)], axis=0).tolist()
                self.measured[name] = {**self.measured[name], "R²": r2, "mean absolute error": mae}

    def summary(self) -> list[str]:
        """Return what came out, in sentences."""
        rows, first = f"{len(self.test):,} test rows", self.dots.get(self.best)
        if first is None:
            measured = self.measured[self.best]
            if "R²" not in measured:
                return [f"On {rows}, {self.best} has a loss of {measured['loss']:.4g}."]
            r2, mae = measured["R²"], measured["mean absolute error"]
            return [f"On {rows}, {self.best} has R² {r2:.3f} and a mean absolute error of {mae:.4g}."]
        guess = f" (random guessing: {percent(1 / self.classes, digits=1)})" if self.classes else ""
        share = percent(first.value, first.error)[:-2]
        texts = [f"{self.best} classifies ({share}) % of the {rows} correctly{guess}."]
        if others := [dot for dot in self.dots.values() if dot is not first]:
            other = max(others, key=lambda dot: dot.value)
            errors, size = compare_accuracies(first.value, first.error or 0, other.value, other.error or 0)
            verdict = "this may be chance" if abs(errors) < 2 else "more than chance explains"
            way = f"{size} {'lower' if errors > 0 else 'higher'} than {self.best}"
            texts.append(f"{other.name} has {percent(other.value)}, {way}: {verdict}.")
        return texts

    def add_to(self, sections: RunSections, pictures: Any) -> None:
        """Add the numbers of all models, and what the best of them gets wrong."""
        left_out = {"cost"} if all(row.get("cost") == row.get("loss") for row in self.measured.values()) else set()
        columns = list(dict.fromkeys(name for row in self.measured.values() for name in row if name not in left_out))
        rows = []
        for name, row in self.measured.items():
            dot = self.dots.get(name)
            shown = row | {"accuracy": percent(dot.value, dot.error)} if dot else row
            rows.append([name, *map(shown.get, columns)])
        caption = f"Results of {len(self.test):,} test rows"
        report = sections.report.heading("Test set").table(["run", *columns], rows, caption)
        if not self.dots:
            if self.targets.shape == self.predictions.shape:
                report.paragraph(f"Figure {report.figure_number} shows the predictions of {self.best}.")
                sections.regression(self.targets, self.predictions, self.best)
            return
        if len(self.dots) > 1:
            sections.accuracies(
                [*self.dots.values()], "Test accuracy. Bars show ± one standard error, sqrt(p (1 − p) / n)"
            )
        if self.targets.shape[1] > 1 or self.predictions.shape[1] > 1:
            return
        labels, guesses = (array[:, 0].astype(np.int64) for array in (self.targets, self.predictions))
        numbers = range(len(self.test.class_names), 1 + int(max(labels.max(), guesses.max())))
        class_names = [*self.test.class_names, *map(str, numbers)]
        report.paragraph(f"Figure {report.figure_number} shows which classes {self.best} confuses.")
        sections.classes(labels, guesses, class_names, self.best)
        images = np.asarray(self.test.x if pictures is None else pictures)
        # Few measurements in a row make no picture, and some losses have no probabilities.
        if images.ndim > 2 or images[0].size >= _SMALLEST_PICTURE:
            with suppress(InputError, ShapeError):
                sections.mistakes(images, labels, self.model.predict_proba(self.test.x), class_names, self.best)
