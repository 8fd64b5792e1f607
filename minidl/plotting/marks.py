"""Charts of single values as SVG text: dots with error bars, a confusion matrix, predictions beside the truth."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import ShapeError
from minidl._core.texts import cut, distinct_labels
from minidl.nn.metrics import as_confusion_matrix
from minidl.plotting.axes import Axis, Plane, mark_ticks
from minidl.plotting.classes import shown_classes
from minidl.plotting.style import BLUE, VERMILLION, class_labels
from minidl.plotting.svg import LEADING, SIZE, WIDTH, Drawing, text_width
from minidl.plotting.texts import fold, magnitude, number_text, value_texts

_OURS, _THEIRS, _RHOMB = f"stroke:{BLUE}", f"stroke:{VERMILLION}", "m0 -5l5 5l-5 5l-5 -5z"


class Dot(NamedTuple):
    """A row of `dot_chart`: our value with its standard error, and another value to compare it with."""

    name: str
    value: float
    error: float | None = None
    other: float | None = None

    @property
    def bar(self) -> tuple[float, float]:
        """The ends of the error bar; both are the value if it has no error."""
        error = self.error if self.error and math.isfinite(self.error) else 0.0
        return self.value - error, self.value + error

    @property
    def texts(self) -> tuple[str, str]:
        """Our value with its error, and the other value, with as many digits as the error justifies."""
        decimals = max(0, 1 - magnitude(self.error / 2) if self.error else 2 - magnitude(self.value))
        value, error, other = ("" if x is None else number_text(x, decimals) for x in self[1:])
        return f"{value} ± {error}" if error else value, other


def dot_chart(rows: Sequence[Dot], *, label: str, chance: float | None = None) -> str:
    """Draw a row for each `Dot`: our value with its error bar, and the other value as a hollow diamond.

    Parameters
    ----------
    rows : sequence of Dot
    label : str
        What the axis measures, with its unit.
    chance : float, optional
        The value of a guess, a dotted line. If it is far below all values, only a text names it.

    Returns
    -------
    str
        The content of an SVG file.
    """
    values = [x for row in rows for x in (*row.bar, row.other) if x is not None and math.isfinite(x)]
    # The values should not crowd at one end of the axis.
    far = chance is not None and len(rows) > 1 and bool(values and chance < 2 * min(values) - max(values))
    unit = " %" * label.endswith("%")
    published = {row: f"published {row.texts[1]}" for row in rows if row.other is not None}
    left, right = 24.0, WIDTH - max([30.0, *(20 + text_width(text) for text in published.values())])
    axis = Axis([*values, *([] if chance is None or far else [chance])], right - left)

    def place(value: float) -> float:
        return left + (right - left) * axis.at(value)

    drawing = Drawing()
    barred = any(row.error for row in rows)
    bar = [("M1 0h20", "", _OURS)] * barred
    key: list[Any] = [([*bar, ("M11 0h0", "point", _OURS)], "this run" + " ± standard error" * barred)]
    key += [([(f"M11 0{_RHOMB}", "", _THEIRS)], "published")] * bool(published)
    guess = "" if chance is None else f"chance {chance:g}{unit}"
    key += [([("M11 -8v16", "chance")] * (not far), guess + ", left of this axis" * far)] * bool(guess)
    drawing.key(key if len(key) > 1 or barred else [])
    drawing.bottom += 6
    for row in rows:
        text, y = row.texts[0], drawing.bottom + 1.5 * LEADING
        drawing.text(4, y - LEADING, cut(row.name, WIDTH - 24 - text_width(text), text_width))
        drawing.text(WIDTH - 4, y - LEADING, text, "", "end")
        drawing.path(f"M{left} {y:.1f}H{right:.1f}", "grid")
        drawing.path("" if chance is None or far else f"M{place(chance):.1f} {y - 6:.1f}v14", "chance")
        drawing.text(WIDTH - 4, y, published.get(row, ""), "quiet", "end")
        if row.other is not None and math.isfinite(row.other):
            drawing.path(f"M{place(row.other):.1f} {y:.1f}{_RHOMB}", "", _THEIRS, f"{row.name}, {published[row]}{unit}")
        if math.isfinite(row.value):
            low, high = map(place, row.bar)
            drawing.path(f"M{low:.1f} {y - 4:.1f}v8m0 -4H{high:.1f}m0 -4v8" if low < high else "", "", _OURS)
            drawing.path(f"M{place(row.value):.1f} {y:.1f}h0", "point", _OURS, f"{row.name}, this run: {text}{unit}")
        drawing.bottom += 2 * LEADING + 4
    mark_ticks(drawing, axis, place, label)
    return str(drawing)


def matrix_chart(matrix: Any, class_names: Sequence[str] = ()) -> str:
    """Draw a confusion matrix: a row for each true class, a column for each predicted class.

    Blue are correct predictions, orange the wrong ones, darker for larger shares of the true class. The counts are
    written into the cells, or per cent of the row where counts have no room. Of more than 100 classes the 20
    that are confused most are drawn, and the chart says so.

    Parameters
    ----------
    matrix : array_like of int, shape (classes, classes)
        Of `minidl.confusion_matrix`.
    class_names : sequence of str
        One for each class; without them the classes are numbered from 0.

    Returns
    -------
    str
        The content of an SVG file.
    """
    counts = as_confusion_matrix("matrix_chart", matrix)
    names = class_labels("matrix_chart", class_names, len(counts), most=10**6)
    kept = shown_classes(counts)
    totals, drawn = counts.sum(axis=1)[kept], counts[np.ix_(kept, kept)]
    shares = drawn / np.maximum(1, totals[:, np.newaxis])
    right = np.eye(len(kept), dtype=bool)
    # Right and wrong predictions differ so much in number that each kind has its own scale.
    depths = shares / np.where(right, *(shares.max(where=kind, initial=1e-9) for kind in (right, ~right)))
    columns = distinct_labels([names[k] for k in kept], 160, text_width)
    labels = [fold(label, 92, SIZE) for label in columns]
    if len(kept) > 10 or max(label.count("\n") for label in labels) > 1:
        labels = columns = distinct_labels([names[k] for k in kept], 92, text_width)
    room, above = (max(map(text_width, texts)) for texts in (labels, columns))
    left, cell = room + 8, min(60.0, (WIDTH - room - 18) / len(kept))
    # Rows are higher than columns are wide where a name has two lines.
    high = max(cell, 30.0) if any("\n" in label for label in labels) else cell
    texts = [f"{count:,}" for count in drawn.ravel().tolist()]
    counted = max(map(text_width, texts)) + 6 <= cell
    texts = texts if counted else [f"{100 * share:.0f}" for share in shares.ravel().tolist()]
    drawing = Drawing("rows: true class, columns: predicted class")
    written = cell >= (LEADING - 2 if counted else text_width("100"))
    notes = ["cells: % of the row"] * (written and not counted)
    for note in notes + [f"the {len(kept)} of {len(counts):,} classes confused most"] * (len(kept) < len(counts)):
        drawing.write(note)

    top, side = drawing.bottom + above + 8, cell * len(kept)
    drawing.path(f"M{left:.1f} {top:.1f}h{side:.1f}v{high * len(kept):.1f}h-{side:.1f}z", "grid")
    for row, t in enumerate(kept):
        named = row % math.ceil((LEADING - 2) / cell) == 0
        y, parts = top + row * high, labels[row].split("\n") * named
        for k, part in enumerate(parts):
            drawing.text(left - 5, y + high / 2 + 13 * (k - (len(parts) - 1) / 2), part, "", "end")
        drawing.text(left + (row + 0.5) * cell, top - 5, columns[row] * named, turned=True)
        for column in np.flatnonzero(drawn[row]).tolist():
            x, count, p = left + column * cell, drawn[row, column], kept[column]
            hover = f"{names[t]} as {names[p]}: {count:,} of {totals[row]:,} ({100 * shares[row, column]:.1f} %)"
            # Darker cells would make their texts hard to read.
            style = f"fill:{BLUE if t == p else VERMILLION};fill-opacity:{0.6 * depths[row, column]:.2f}"
            drawing.path(f"M{x:.1f} {y:.1f}h{cell:.1f}v{high:.1f}h-{cell:.1f}z", "", f"stroke:none;{style}", hover)
            drawing.text(x + cell / 2, y + high / 2, texts[row * len(kept) + column] * written, "", "middle")
    drawing.bottom = top + high * len(kept) + 4
    return str(drawing)


def scatter_chart(truth: Any, prediction: Any, *, residuals: bool = False, name: str = "") -> str:
    """Draw predictions over true values with the line where both are equal, or residuals over predictions.

    Parameters
    ----------
    truth, prediction : array_like, of one size
        Of many rows 500 are drawn, the largest errors among them.
    residuals : bool
        Draw ``prediction - truth`` over the prediction.
    name : str
        What is predicted, with its unit.

    Returns
    -------
    str
        The content of an SVG file.

    Raises
    ------
    ShapeError
        If there are not as many predictions as true values.
    """
    true, guess = (as_array("scatter_chart", x).astype(np.float64).ravel() for x in (truth, prediction))
    if true.size != guess.size:
        got = f"got {guess.size} and {true.size}"
        raise ShapeError(f"scatter_chart: expected as many predictions as true values, {got}")
    with np.errstate(invalid="ignore", over="ignore"):
        error = guess - true
    order = np.argsort(error)[: np.isfinite(error).sum()]
    order = order[np.isfinite(error[order])]
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), 500)).astype(int))]
    across, up = (guess[shown], error[shown]) if residuals else (true[shown], guess[shown])
    suffix = f", {name}" * bool(name)
    drawing = Drawing(("prediction \N{MINUS SIGN} truth" if residuals else "prediction") + suffix)
    bounds = [*up.tolist(), 0.0] if residuals else [*across.tolist(), *up.tolist()]
    beside, label = (across.tolist(), "prediction") if residuals else (bounds, "truth")
    plane = Plane(drawing, beside, Axis(bounds, 240, upright=True), WIDTH - 24, 240, label + suffix)
    ends = max(plane.x_axis.low, plane.y_axis.low), min(plane.x_axis.high, plane.y_axis.high)
    equal = [(plane.x_axis.low, 0.0), (plane.x_axis.high, 0.0)] if residuals else [(end, end) for end in ends]
    drawing.path(plane.path(equal), "chance")
    for k, x, y in zip(shown, across, up, strict=True):
        numbers = value_texts([true[k], guess[k]])
        drawing.path(plane.dots([(x, y)]), "point pale", _OURS, f"truth {numbers[0]}, prediction {numbers[1]}")
    if len(shown) < true.size:
        drawing.write(f"{len(shown):,} of {true.size:,} rows, the largest errors among them")
    return str(drawing)
