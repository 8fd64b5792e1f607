"""report_runs: a report of any runs, of the sections that every report of runs is made of."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date as calendar
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.checks import check_type
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import PathLike
from minidl._storage.files import make_folder
from minidl.data.dataset import Dataset, check_dataset
from minidl.plotting.charts import Dot
from minidl.plotting.lines import quantity_label
from minidl.report import Link, Report
from minidl.training.compare import compare_runs
from minidl.training.describe import accuracy_error
from minidl.training.history import BESIDES, History, Monitor
from minidl.training.run_sections import RunSections, classes_of, percent

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
    mistakes; for a regression R2, the mean absolute error, prediction against truth, and residuals.

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
    best = next((name for name in ranked if name in models), next(iter(models), ""))
    measured = {name: model.evaluate(test) for name, model in models.items()}

    report.heading("Summary").points(_summary(runs, column, ranked, measured, best, test))
    for paragraph in text:
        report.paragraph(paragraph)
    sections = RunSections(report, out, classes_of(test) if test is not None and "accuracy" in measured[best] else 0)
    shown = {name: runs[name] for name in ranked[:_MOST_RUNS]}
    report.heading("Comparison").table(comparison.header, comparison.rows, "All runs")
    if len(runs) > 1 and any(column in run for run in runs.values()):
        sections.all_runs(runs, column)
        sections.panels(
            shown, "loss" if any({"loss", "val_loss"} & {*run.columns} for run in shown.values()) else column
        )
    if test is not None:
        _test(sections, models[best], best, measured, test, pictures)
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


def _test(
    sections: RunSections,
    model: Any,
    name: str,
    measured: Mapping[str, Mapping[str, float]],
    test: Dataset,
    pictures: Any,
) -> None:
    """Add what all models get on the test set, and what the best of them does with its rows."""
    report = sections.report.heading("Test set")
    columns = list(dict.fromkeys(column for row in measured.values() for column in row))
    caption = f"Test set: {len(test):,} rows"
    report.table(
        ["run", *columns], [[n, *(row.get(column) for column in columns)] for n, row in measured.items()], caption
    )
    targets = test.y.reshape(len(test), -1)
    predictions = np.asarray(model.predict(test.x)).reshape(len(test), -1)
    if "accuracy" not in columns:
        if targets.shape == predictions.shape:
            sections.regression(targets, predictions, name)
        return
    if len(measured) > 1:
        shares = {n: row["accuracy"] for n, row in measured.items()}
        dots = [Dot(n, share, accuracy_error(share, len(test))) for n, share in shares.items()]
        sections.accuracies(dots, "Test accuracy; bars are one standard error, sqrt(p (1 - p) / n)")
    if targets.shape[1] > 1 or predictions.shape[1] > 1:
        return
    labels, guesses = targets[:, 0].astype(np.int64), predictions[:, 0].astype(np.int64)
    numbers = range(len(test.class_names), 1 + int(max(labels.max(), guesses.max())))
    class_names = [*test.class_names, *map(str, numbers)]
    sections.classes(labels, guesses, class_names, name)
    rows = test.x if pictures is None else pictures
    # Few measurements in a row make no picture, and some losses have no probabilities.
    if isinstance(rows, np.ndarray) and (rows.ndim > 2 or rows[0].size >= _SMALLEST_PICTURE):
        with suppress(InputError, ShapeError):
            sections.mistakes(rows, labels, model.predict_proba(test.x), class_names, name)


def rank_runs(runs: Mapping[str, History]) -> tuple[str, list[str]]:
    """Return the column by which runs are ranked, and their names, the best one first.

    It is the first of validation accuracy, validation loss, accuracy and loss that a run has; its last value counts.
    """
    columns = [column for run in runs.values() for column in run.columns if column not in BESIDES]
    monitor = Monitor(next((name for name in [*_RANKED_BY, *columns] if name in columns), "loss"))
    last = {name: run[monitor.name][-1] if monitor.name in run else math.nan for name, run in runs.items()}
    return monitor.name, sorted(runs, key=lambda name: monitor.minimised(last[name]))


def _summary(
    runs: Mapping[str, History],
    column: str,
    ranked: Sequence[str],
    measured: Mapping[str, Mapping[str, float]],
    best: str,
    test: Dataset | None,
) -> list[str]:
    """Return what came out, in sentences: by validation, and on the test set."""
    ends = [f"{name} ({_value(runs[name], column)})" for name in ranked[:2]]
    what = f"{quantity_label(column)} after the last epoch"
    texts = [f"Best of {len(runs):,} runs by {what}: {ends[0]}. Next: {ends[1]}."]
    if len(runs) == 1:
        texts = [f"{ranked[0]}: {what} {_value(runs[ranked[0]], column)}."]
    if test is None:
        return texts
    rows = f"{len(test):,} test rows"
    share = measured[best].get("accuracy")
    if share is None:
        return [*texts, f"On {rows}, {best} has a loss of {measured[best]['loss']:.4g}."]
    guess = f" (guessing: {percent(1 / k, 1)})" if (k := classes_of(test)) else ""
    error = accuracy_error(share, len(test))
    texts.append(f"{best} classifies {percent(share)} ± {100 * error:.2f} of the {rows} correctly{guess}.")
    others = {name: other["accuracy"] for name, other in measured.items() if name != best}
    if others:
        name = max(others, key=lambda name: others[name])
        gap, error = share - others[name], math.hypot(error, accuracy_error(others[name], len(test)))
        verdict = "within chance" if abs(gap) < 2 * error else "more than chance explains"
        texts.append(
            f"{name} has {percent(others[name])} on them: a difference of {100 * abs(gap):.2f} points, or "
            f"{abs(gap) / (error or 1):.1f} standard errors, which is {verdict}."
        )
    return texts


def _value(run: History, column: str) -> str:
    """Return the last value of a column as a text."""
    if column not in run:
        return "not measured"
    return percent(run[column][-1]) if column.endswith("accuracy") else f"{run[column][-1]:.4g}"


def _slug(name: str) -> str:
    """Return a part of a file's name."""
    return re.sub(r"[^\w.=+-]+", "-", name)[:60].strip("-.") or "run"
