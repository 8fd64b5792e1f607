"""RunSections: the figures and tables in which a report shows runs; each stands here once, for every report of runs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl._storage.files import write_whole
from minidl.data.dataset import Dataset
from minidl.nn.metrics import confusion_matrix, most_confused
from minidl.plotting.charts import Dot, dot_chart, learning_chart, matrix_chart, run_chart, scatter_chart, shared_limits
from minidl.plotting.gallery import images_to_show
from minidl.plotting.lines import quantity_label
from minidl.report import Report
from minidl.training.describe import accuracy_error, describe_run, number, percent
from minidl.training.history import History, metrics

_MISTAKES = 10
# Of one run.
_MOST_CHARTS = 6
_MOST_DOTS = 30
# Of a regression with more outputs, the first ones are drawn.
_MOST_OUTPUTS = 6


class RunSections:
    """What a report says of runs; its charts become files in the folder ``charts`` beside it.

    Parameters
    ----------
    report : Report
        Every method adds to it.
    folder : Path
    classes : int
        Of a classifier, for the line at 1 / classes where accuracies are drawn; 0 draws none.
    """

    def __init__(self, report: Report, folder: Path, classes: int = 0) -> None:
        self.report = report
        self.folder = folder
        self.chance = 1 / classes if classes else None

    def figure(self, charts: Sequence[tuple[str, str]], caption: str) -> None:
        """Add one numbered figure of charts (SVG, alternative text), side by side where there is room."""
        name = self.folder / "charts" / f"figure-{self.report.figure_number}"
        files = [(write_whole(f"{name}-{k}.svg", svg), _capital(alt), "") for k, (svg, alt) in enumerate(charts, 1)]
        columns = 3 if len(files) == 3 else min(2, len(files))
        self.report.figures(files, caption=_capital(caption), columns=columns)

    def panels(self, runs: Mapping[str, History], quantity: str) -> None:
        """Add one chart for each run, all with the same axes, so that they can be compared by eye."""
        quantity = quantity.removeprefix("val_")
        shown = {name: run for name, run in runs.items() if {quantity, f"val_{quantity}"} & {*run.columns}}
        limits = shared_limits(list(shown.values()), [quantity, f"val_{quantity}"])
        epochs = max(len(run) for run in shown.values())
        charts = [
            self._curve(name, run, quantity, title=name, limits=limits, epochs=epochs) for name, run in shown.items()
        ]
        both = any({quantity, f"val_{quantity}"} <= {*run.columns} for run in shown.values())
        gap = f" The shaded area is the gap between training and validation {quantity}." if both else ""
        self.figure(charts, f"{quantity_label(quantity)} over the epochs. All plots have the same scale.{gap}")

    def all_runs(self, runs: Mapping[str, History], quantity: str, caption: str = "") -> None:
        """Add one chart with a line for each run."""
        ends = [f"{name} ends at {value_text(run, quantity)}" for name, run in runs.items() if quantity in run]
        caption = caption or f"{quantity_label(quantity)} of all runs over the epochs"
        chart = run_chart(runs, quantity, chance=self._chance(quantity))
        self.figure([(chart, f"{caption}: {'; '.join(ends[:10])}")], caption)

    def _chance(self, quantity: str) -> float | None:
        return self.chance if quantity.endswith("accuracy") else None

    def curves(self, name: str, run: History, text: str = "", beside: Sequence[History] = ()) -> None:
        """Describe one run, and add the curves of what was measured; a cost that is equal to the loss is left out.

        Axes are those of the runs `beside`, so that they can be compared, but for the cost: that of another penalty is
        another quantity.
        """
        pairs = [(f"{p}cost", f"{p}loss") for p in ("", "val_") if f"{p}cost" in run]
        equal = pairs and all(loss in run and run[cost] == run[loss] for cost, loss in pairs)
        chosen = [name for name in metrics(run.columns) if not (equal and name == "cost")][:_MOST_CHARTS]
        shows = f"Figure {self.report.figure_number} shows the curves." if chosen else ""
        self.report.paragraph(" ".join(filter(None, [describe_run(run), text, shows])))
        charts = []
        for quantity in chosen:
            limits = shared_limits(beside, [quantity]) if beside and quantity != "cost" else None
            title = "cost and loss are equal" if equal and quantity == "loss" else ""
            charts.append(self._curve(name, run, quantity, title=title, limits=limits))
        if charts:
            listed = " and ".join(", ".join(chosen).replace("_", " ").rsplit(", ", 1))
            self.figure(charts, f"{name}: {listed} over the epochs")

    def _curve(self, name: str, run: History, quantity: str, **options: Any) -> tuple[str, str]:
        """Return a learning chart, and what is to be seen in it."""
        columns = {"training": quantity, "validation": f"val_{quantity}"}
        ways = [
            f"{what} from {value_text(run, c, 0)} to {value_text(run, c)}" for what, c in columns.items() if c in run
        ]
        alt = f"{quantity_label(quantity)} of {name} over {len(run)} epochs: {', '.join(ways)}"
        return learning_chart(run, quantity, chance=self._chance(quantity), **options), alt

    def accuracies(self, dots: Sequence[Dot], caption: str) -> None:
        """Add a chart of test accuracies with their errors; of many, the highest."""
        dots = dots if len(dots) <= _MOST_DOTS else sorted(dots, key=lambda dot: -dot.value)[:_MOST_DOTS]
        listed = "; ".join(f"{dot.name}: {percent(dot.value, dot.error)}" for dot in dots)
        self.figure([(self._dots(dots, "test accuracy in %"), f"Test accuracy of {listed}")], caption)

    def _dots(self, dots: Sequence[Dot], label: str) -> str:
        shares = [Dot(name, 100 * value, *(x and 100 * x for x in others)) for name, value, *others in dots]
        return dot_chart(shares, label=label, chance=self.chance and 100 * self.chance)

    def classes(self, targets: Array, predictions: Array, class_names: Sequence[str], of: str) -> None:
        """Add the confusion matrix and the accuracy of each class."""
        counts = confusion_matrix(predictions, targets, len(class_names))
        dots = [
            Dot(name, k / n, accuracy_error(k / n, n))
            for name, n, k in zip(class_names, counts.sum(axis=1).tolist(), counts.diagonal().tolist(), strict=True)
            if n
        ]
        lowest = sorted(dots, key=lambda dot: dot.value)[:_MOST_DOTS]
        some = f" (the {_MOST_DOTS} lowest of {len(dots):,})" if len(dots) > _MOST_DOTS else ""
        confused = [f"{p.target} as {p.predicted}, {p.rows:,} times" for p in most_confused(counts, class_names, 1)]
        shares = self._dots(lowest if some else dots, "accuracy within the class in %")
        least = f"{lowest[0].name}, {percent(lowest[0].value, digits=1)}"
        charts = [
            (matrix_chart(counts, class_names), f"Confusion matrix, most often confused: {[*confused, 'none'][0]}")
        ]
        charts += [(shares, f"Accuracy of each class, the lowest: {least}")]
        what = f"confusion matrix and accuracy for each class{some}"
        self.figure(charts, f"{of}: {what}. Bars show ± one standard error, sqrt(p (1 − p) / n)")

    def mistakes(
        self, pictures: Any, targets: Array, probabilities: Array, class_names: Sequence[str], of: str
    ) -> None:
        """Add the wrongly classified pictures whose wrong class got the highest probability."""
        guesses, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
        wrong = np.flatnonzero(guesses != targets)
        if not len(wrong):
            return
        rows = wrong[np.argsort(-sureness[wrong], kind="stable")][:_MISTAKES]
        shown = []
        for row, pixels in zip(rows, images_to_show(np.asarray(pictures)[rows]), strict=True):
            truth, guess = class_names[targets[row]], class_names[guesses[row]]
            alt = f"{truth}, classified as {guess} with probability {sureness[row]:.2f}"
            shown.append((pixels, alt, f"true: {truth}, predicted: {guess} ({sureness[row]:.2f})"))
        caption = f"{of}: the {len(rows)} surest of {len(wrong):,} mistakes, each with its probability"
        self.report.pictures([("", shown)], _capital(caption))

    def regression(self, targets: Array, predictions: Array, of: str) -> None:
        """Add prediction against truth, the residuals, and of several outputs R² and the mean absolute error."""
        rows, charts = [], []
        for k, (truth, prediction) in enumerate(zip(targets.T, predictions.T, strict=True), 1):
            name = f"output {k}" if targets.shape[1] > 1 else ""
            rows.append([name, *scores(truth, prediction)])
            if k <= _MOST_OUTPUTS:
                for residuals, what in ((False, "Prediction against truth"), (True, "Residuals against prediction")):
                    r2, mae = rows[-1][1:]
                    alt = f"{what}{f' of {name}' if name else ''}: R² {r2:.3f}, mean absolute error {mae:.4g}"
                    charts.append((scatter_chart(truth, prediction, residuals=residuals, name=name), alt))
        if len(rows) > 1:
            self.report.table(["output", "R²", "mean absolute error"], rows, f"{of}: each output")
        self.figure(charts, f"{of}: prediction against truth, and residuals (prediction − truth)")


def value_text(run: History, column: str, row: int = -1) -> str:
    """Return a value of the history as a text, the last one of a column if no row is given."""
    return (percent if column.endswith("accuracy") else number)(run[column][row])


def classes_of(data: Dataset) -> int:
    """Return how many classes the targets have, as far as the data tell; 0 if they are no labels."""
    labels = data.y.ndim == 1 and data.y.dtype.kind in "iu"
    return max(len(data.class_names), int(data.y.max()) + 1) if labels else 0


def scores(truth: Array, prediction: Array) -> tuple[float, float]:
    """Return R² (NaN if the truth is constant) and the mean absolute error."""
    truth, prediction = truth.astype(np.float64), prediction.astype(np.float64)
    total = np.sum((truth - truth.mean()) ** 2)
    r2 = 1 - np.sum((truth - prediction) ** 2) / total if total else math.nan
    return float(r2), float(np.abs(truth - prediction).mean())


def _capital(text: str) -> str:
    """Return `text` with a capital, unless it begins with a sign such as λ."""
    return text[:1].upper() + text[1:] if text[:1].isascii() else text
