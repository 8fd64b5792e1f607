"""Charts of reports and of the live page, as SVG text: curves, dots with error bars, a confusion matrix, residuals.

They need no matplotlib and are drawn in milliseconds. Each stands alone as the content of an ``.svg`` file, and shows
its numbers where the mouse rests, without a script.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array
from minidl.nn.metrics import as_confusion_matrix
from minidl.plotting.axes import Axis, Plane, fitted, mark_ticks
from minidl.plotting.lines import Columns, blow_up, epochs_of, learning_curves, quantity_label, spread, with_gaps
from minidl.plotting.style import BLUE, PALETTE, VERMILLION, class_labels
from minidl.plotting.svg import (
    LARGEST,
    LEADING,
    WIDTH,
    Drawing,
    Stroke,
    cut,
    magnitude,
    number_text,
    short_names,
    text_width,
    value_texts,
)

_DASHES = ("none", "7 3", "2 3", "9 3 2 3")
_LARGER_IS_BETTER = ("accuracy", "acc", "f1", "auc", "precision", "recall", "r2")
_NAMED, _POINTS, _HOVERED = 10, 300, 100
_DIAMOND = "m0 -5l5 5l-5 5l-5 -5z"


class Line(NamedTuple):
    """A line over the epochs; with a label, that stands at its end."""

    name: str
    epochs: Array
    values: Array
    stroke: Stroke
    label: str = ""

    @property
    def end(self) -> tuple[float, float]:
        """The last epoch with a value, and the value; NaN without one."""
        known = np.flatnonzero(~np.isnan(self.values))
        return (float(self.epochs[known[-1]]), float(self.values[known[-1]])) if len(known) else (math.nan, math.nan)


class Dot(NamedTuple):
    """A row of `dot_chart`: our value with its error (half of the bar), and another value to compare it with."""

    name: str
    value: float
    error: float | None = None
    other: float | None = None


def learning_chart(
    history: Columns,
    quantity: str,
    *,
    title: str = "",
    limits: tuple[float, float] | None = None,
    chance: float | None = None,
    epochs: int = 1,
) -> str:
    """Draw a column of the history and its ``val_`` column: training solid, validation dashed, the gap shaded.

    Parameters
    ----------
    history : History or dict of lists
    quantity : str
        Such as ``"cost"``, ``"loss"``, ``"accuracy"``.
    title : str
    limits : (low, high), optional
        Of the vertical axis, see `shared_limits`; without them those of the curves. The axis becomes logarithmic as in
        `plot_curves`, or if limits of losses or costs are over 50-fold apart.
    chance : float, optional
        The value of mere guessing, a dotted line.
    epochs : int
        How many epochs the axis shows at least.

    Returns
    -------
    str
        The content of an SVG file.

    Raises
    ------
    InputError
        If the history has no such column.
    """
    curves = learning_curves("learning_chart", history, quantity)
    at = epochs_of("learning_chart", history, curves)
    strokes = {"training": Stroke(BLUE), "validation": Stroke(VERMILLION, "6 4")}
    lines = [Line(name, at, values, strokes[name]) for name, values in curves.items()]
    return _line_chart(title, quantity, lines, limits=limits, chance=chance, epochs=epochs)


def shared_limits(histories: Iterable[Columns], quantities: Sequence[str]) -> tuple[float, float]:
    """Return the smallest and the largest finite value of these quantities, in training and validation."""
    names = [prefix + name for name in quantities for prefix in ("", "val_")]
    found = [with_gaps(history[name]) for history in histories for name in names if name in history]
    values = np.concatenate([[np.nan], *found])
    return (0.0, 1.0) if np.isnan(values).all() else (float(np.nanmin(values)), float(np.nanmax(values)))


def run_colours(names: Iterable[str]) -> dict[str, Stroke]:
    """Return a stroke for each run, the same in all charts of a report; the first 28 differ."""
    strokes = [Stroke(colour, dashes) for dashes in _DASHES for colour in PALETTE]
    return {name: strokes[number % len(strokes)] for number, name in enumerate(dict.fromkeys(names))}


def run_chart(
    runs: Mapping[str, Columns],
    quantity: str,
    *,
    title: str = "",
    limits: tuple[float, float] | None = None,
    chance: float | None = None,
    strokes: Mapping[str, Stroke] | None = None,
) -> str:
    """Draw one column of several histories: a line for each run, its name and last value at the end.

    Of more than ten runs, the ten with the best last value have colours and names; the others are pale.

    Parameters
    ----------
    runs : mapping of str to History or dict of lists
        Those without the column are left out, and the chart says so.
    quantity : str
    title, limits, chance
        As in `learning_chart`.
    strokes : mapping of str to Stroke, optional
        Of the runs; without them those of `run_colours`.

    Returns
    -------
    str
        The content of an SVG file.

    Raises
    ------
    InputError
        If no run has such a column.
    """
    curves = {name: with_gaps(run[quantity]) for name, run in runs.items() if quantity in run and len(run[quantity])}
    if not curves:
        raise InputError(f"run_chart: expected a run with {quantity!r}, got {', '.join(map(str, runs)) or 'none':.400}")
    lines = []
    for name, values in curves.items():
        stroke = (strokes or run_colours(runs))[name]
        lines.append(Line(str(name), epochs_of("run_chart", runs[name], {name: values}), values, stroke))
    sign = -1 if quantity.endswith(_LARGER_IS_BETTER) else 1
    lines.sort(key=lambda line: math.inf if math.isnan(line.end[1]) else sign * line.end[1])
    named, pale = lines[:_NAMED], lines[_NAMED:]
    labels = short_names([line.name for line in named], 0.36 * WIDTH)
    named = [line._replace(label=label) for line, label in zip(named, labels, strict=True)]
    notes = [f"named: the {_NAMED} best of {len(lines):,} runs"] if pale else []
    notes += [f"without {quantity}: {len(runs) - len(curves):,} of {len(runs):,} runs"] * (len(curves) < len(runs))
    return _line_chart(title, quantity, named, pale, notes, limits=limits, chance=chance)


def _line_chart(
    title: str,
    quantity: str,
    lines: Sequence[Line],
    pale: Sequence[Line] = (),
    notes: Sequence[str] = (),
    *,
    limits: tuple[float, float] | None,
    chance: float | None,
    epochs: int = 1,
) -> str:
    """Draw lines over the epochs, first the pale ones, with the others' values at their ends."""
    everything = {str(number): line.values for number, line in enumerate([*lines, *pale])}
    values = np.concatenate(list(everything.values()))
    bounds = [*(values[~np.isnan(values)].tolist() if limits is None else limits)]
    bounds += [] if chance is None or not bounds else [chance]
    log = bool(blow_up(quantity, everything))
    if limits is not None:
        log = quantity.endswith(("loss", "cost")) and limits[1] > 50 * limits[0]
    log = log and min(bounds) > 0
    drawing = Drawing(title, quantity_label(quantity) + ", log scale" * log)
    drawing.key(
        [([("M0 0H22", "", line.stroke.style)], line.name) for line in lines if not line.label]
        + [
            ([("M0 0H22", "chance", "")], f"chance {text}")
            for text in value_texts(bounds[-1:])
            if chance in bounds[-1:]
        ]
    )

    ended = sorted((line for line in lines if not math.isnan(line.end[1])), key=lambda line: line.end[1])
    numbers = value_texts([line.end[1] for line in ended])
    texts = [f"{line.label} {number}" for line, number in zip(ended, numbers, strict=True)]
    right = WIDTH - max([20.0, *(22 + text_width(text.strip()) for text in texts)])
    at = np.concatenate([line.epochs for line in (*lines, *pale)]).tolist()
    plane = Plane(
        drawing, [*at, max(1, epochs)], Axis(bounds, 8, log=log), right, max(170, LEADING * len(texts)), "epoch"
    )
    if chance is not None and bounds:
        drawing.path(f"M{plane.left:.1f} {plane.y(chance):.1f}H{right:.1f}", "chance")
    each = max(10, 6000 // max(1, len(pale)))
    drawing.path("".join(_curve(plane, line, each) for line in pale), "pale")
    if len(lines) == 2 and not lines[0].label:
        drawing.path(_area(plane, *lines), "area", f"fill:{BLUE}")
    for line in lines:
        drawing.path(_curve(plane, line, _POINTS), "", line.stroke.style)
        drawing.path(_dots(plane, line), "point", f"stroke:{line.stroke.colour}")
    step = LEADING / (plane.bottom - plane.top)
    levels = [(plane.bottom - plane.y(line.end[1])) / (plane.bottom - plane.top) for line in ended]
    for line, text, level in zip(ended, texts, spread(levels, step), strict=True):
        x, y = plane.x(line.end[0]), plane.bottom - level * (plane.bottom - plane.top)
        drawing.path(
            f"M{x + 4:.1f} {plane.y(line.end[1]):.1f}L{right + 14:.1f} {y:.1f}", "lead", f"stroke:{line.stroke.colour}"
        )
        drawing.text(right + 18, y, text)
    if not ended:
        middle = (plane.left + right) / 2, (plane.top + plane.bottom) / 2
        drawing.text(*middle, "nothing finite to draw", "quiet", anchor="middle")
    _add_hover(drawing, plane, lines)
    for line in lines:
        if len(gaps := line.epochs[np.isnan(line.values)]):
            where = f"in {len(gaps):,} of {len(line.epochs):,} epochs, first in epoch {gaps[0]:,}"
            drawing.write(f"{line.name}: no finite value {where}")
    for note in notes:
        drawing.write(note)
    return str(drawing)


def _kept(values: Array, most: int) -> list[int]:
    """Return which values of a long line to draw: the smallest, the largest and a gap of each part."""
    kept = {0, len(values) - 1}
    for part in np.array_split(np.arange(len(values)), min(len(values), most // 3)):
        gaps = np.isnan(values[part])
        kept |= {*part[gaps][:1].tolist()}
        if not gaps.all():
            kept |= {int(part[np.nanargmin(values[part])]), int(part[np.nanargmax(values[part])])}
    return sorted(kept) if len(values) > most else list(range(len(values)))


def _curve(plane: Plane, line: Line, most: int) -> str:
    """Return the path of a line, of about so many points."""
    return _joined(plane, [(line.epochs[k], line.values[k]) for k in _kept(line.values, most)])


def _joined(plane: Plane, points: Iterable[tuple[float, float]]) -> str:
    path, pen = [], "M"
    for x, y in points:
        if math.isnan(y):
            pen = "M"
        else:
            path.append(f"{pen}{plane.x(x):.1f} {plane.y(y):.1f}")
            pen = "L"
    return "".join(path)


def _dots(plane: Plane, line: Line) -> str:
    """Return dots at the end of a line and where no line reaches a value."""
    gap = np.pad(np.isnan(line.values), 1, constant_values=True)
    alone = ~gap[1:-1] & gap[:-2] & gap[2:]
    points = {line.end, *zip(line.epochs[alone].tolist(), line.values[alone].tolist(), strict=True)}
    return "".join(f"M{plane.x(x):.1f} {plane.y(y):.1f}h0" for x, y in sorted(points) if not math.isnan(y))


def _area(plane: Plane, upper: Line, lower: Line) -> str:
    """Return the outline of what lies between two lines of the same epochs, in parts where one has gaps."""
    gap = np.isnan(upper.values) | np.isnan(lower.values)
    kept = sorted({*_kept(upper.values, _POINTS), *_kept(lower.values, _POINTS), *np.flatnonzero(gap).tolist()})
    outline = ""
    for missing, part in groupby(kept, key=lambda k: bool(gap[k])):
        if not missing:
            there = list(part)
            points = [(upper.epochs[k], upper.values[k]) for k in there]
            outline += _joined(plane, [*points, *((lower.epochs[k], lower.values[k]) for k in reversed(there))]) + "z"
    return outline


def _add_hover(drawing: Drawing, plane: Plane, lines: Sequence[Line]) -> None:
    """Add strips over the plane, each with the numbers of an epoch."""
    values = [dict(zip(line.epochs.tolist(), line.values.tolist(), strict=True)) for line in lines]
    epochs = sorted(set().union(*values))
    shown = [epochs[k] for k in np.unique(np.linspace(0, len(epochs) - 1, _HOVERED).round().astype(int))]
    width = (plane.right - plane.left) / len(shown)
    for epoch in shown:
        told = {line.name: value[epoch] for line, value in zip(lines, values, strict=True) if epoch in value}
        texts = [f"{name}: {text}" for name, text in zip(told, value_texts(list(told.values())), strict=True)]
        d = f"M{plane.x(epoch):.1f} {plane.top:.1f}V{plane.bottom:.1f}"
        drawing.path(d, "hover", f"stroke-width:{width:.1f}", "\n".join([f"epoch {epoch:,}", *texts]))


def dot_chart(
    rows: Sequence[Dot],
    *,
    label: str,
    chance: float | None = None,
    title: str = "",
    names: tuple[str, str] = ("this run", "published"),
) -> str:
    """Draw a row for each `Dot`: our value with its error bar, and the other value as a hollow diamond.

    Parameters
    ----------
    rows : sequence of Dot
    label : str
        What the axis measures, with its unit.
    chance : float, optional
        The value of mere guessing, a dotted line.
    title : str
    names : (str, str)
        Of our values and of the others.

    Returns
    -------
    str
        The content of an SVG file.
    """
    values = [x for row in rows for x in (row.value, row.other) if x is not None and math.isfinite(x)]
    errors = [row.error for row in rows if row.error and math.isfinite(row.error + row.value)]
    bars = [row.value + side * (row.error or 0.0) for row in rows for side in (-1, 1)]
    # A number is written as exactly as its error is known.
    smallest = min(errors) * 100 if errors else max([1e-290, *map(abs, values)])
    decimals = max(0, 3 - magnitude(smallest))
    texts = [
        f"{number_text(row.value, decimals)} \u00b1 {number_text(row.error, decimals)}"
        if row.error
        else number_text(row.value, decimals)
        for row in rows
    ]
    others = ["" if row.other is None else number_text(row.other, decimals) for row in rows]
    left, right = 24.0, WIDTH - 36 - max([40.0, *map(text_width, others)])
    axis = fitted([*values, *bars, *([] if chance is None else [chance])], right - left)

    def place(value: float) -> float:
        return left + (right - left) * axis.at(value)

    drawing, colours = Drawing(title), (f"stroke:{BLUE}", f"stroke:{VERMILLION}")
    key = [([("M1 0h20", "", colours[0]), ("M11 0h0", "point", colours[0])], names[0] + " \u00b1 error" * bool(errors))]
    key += [([(f"M11 0{_DIAMOND}", "", colours[1])], names[1])] * any(others)
    key += [] if chance is None else [([("M11 -8v16", "chance", "")], f"chance {value_texts([chance])[0]}")]
    drawing.key(key)
    for row, text, other in zip(rows, texts, others, strict=True):
        drawing.text(4, drawing.bottom + LEADING / 2, cut(row.name, WIDTH - 24 - text_width(text)))
        drawing.text(WIDTH - 4, drawing.bottom + LEADING / 2, text, anchor="end")
        y = drawing.bottom + 1.5 * LEADING
        drawing.path(f"M{left} {y:.1f}H{right:.1f}", "grid")
        if chance is not None:
            drawing.path(f"M{place(chance):.1f} {y - 9:.1f}v18", "chance")
        if math.isfinite(row.value):
            if row.error and math.isfinite(row.error):
                ends = place(row.value - row.error), place(row.value + row.error)
                drawing.path(f"M{ends[0]:.1f} {y - 4:.1f}v8m0 -4H{ends[1]:.1f}m0 -4v8", "", colours[0])
            drawing.path(f"M{place(row.value):.1f} {y:.1f}h0", "point", colours[0], f"{row.name}, {names[0]}: {text}")
        if row.other is not None:
            drawing.text(WIDTH - 4, y, other, "quiet", anchor="end")
            told = f"{row.name}, {names[1]}: {other}"
            for x in [WIDTH - 12 - text_width(other), *([place(row.other)] if math.isfinite(row.other) else [])]:
                drawing.path(f"M{x:.1f} {y:.1f}{_DIAMOND}", "", colours[1], told)
        drawing.bottom += 2 * LEADING + 4
    mark_ticks(drawing, axis, place, label)
    return str(drawing)


def matrix_chart(matrix: Any, class_names: Sequence[str] = (), *, title: str = "") -> str:
    """Draw a confusion matrix: a row for each target, a column for each prediction, the darker the larger the share.

    The counts are written into the cells, or per cent where counts have no room. Of more than 90 classes, neighbours
    share a cell.

    Parameters
    ----------
    matrix : array_like of int, shape (classes, classes)
        Of `minidl.confusion_matrix`.
    class_names : sequence of str
        One for each class; without them the classes are numbered from 0.
    title : str

    Returns
    -------
    str
        The content of an SVG file.
    """
    counts = as_confusion_matrix("matrix_chart", matrix)
    names = class_labels("matrix_chart", class_names, len(counts), most=10**6)
    together = math.ceil(len(counts) / 90)
    starts = list(range(0, len(counts), together))
    counts = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    names = [names[k] if together == 1 else f"{names[k]} to {names[min(k + together, len(names)) - 1]}" for k in starts]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    labels = short_names(names, 84)
    room = max(map(text_width, labels))
    left, cell = room + 10, (WIDTH - room - 14) / len(counts)
    texts = [[f"{count:,}" for count in row] for row in counts.tolist()]
    notes = ["row: target class, column: predicted class"]
    if max(text_width(text) for row in texts for text in row) > cell:
        texts = [[f"{100 * share:.0f}" for share in row] for row in shares.tolist()]
        notes += ["in the cells: per cent of the row"] * (3 * text_width("0") <= cell)
    written = cell >= max(text_width(text) for row in texts for text in row)
    notes += [f"each cell: {together} neighbouring classes"] * (together > 1)

    drawing = Drawing(title, *notes)
    top = drawing.bottom + room + 8
    side = cell * len(counts)
    drawing.path(f"M{left:.1f} {top:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z", "grid")
    for k in range(0, len(counts), math.ceil(LEADING / cell)):
        drawing.text(left - 5, top + (k + 0.5) * cell, labels[k], anchor="end")
        drawing.text(left + (k + 0.5) * cell, top - 5, labels[k], turned=True)
    for t, p in np.argwhere(counts > 0).tolist():
        x, y, share = left + p * cell, top + t * cell, shares[t, p]
        told = f"{names[t]} as {names[p]}: {counts[t, p]:,} of {counts[t].sum():,} ({100 * share:.1f} %)"
        square = f"M{x:.1f} {y:.1f}h{cell:.1f}v{cell:.1f}h-{cell:.1f}z"
        drawing.path(square, "cell", f"fill:{BLUE};fill-opacity:{0.6 * share:.2f}", told)
        if written:
            drawing.text(x + cell / 2, y + cell / 2, texts[t][p], anchor="middle")
    drawing.bottom = top + side + 4
    return str(drawing)


def scatter_chart(truth: Any, prediction: Any, *, residuals: bool = False, name: str = "", title: str = "") -> str:
    """Draw predictions over true values with the line where both are equal, or residuals over predictions.

    Parameters
    ----------
    truth, prediction : array_like, of one size
        Of many rows 500 are drawn, the largest errors among them.
    residuals : bool
        Draw ``prediction - truth`` over the prediction.
    name : str
        What is predicted, with its unit.
    title : str

    Returns
    -------
    str
        The content of an SVG file.

    Raises
    ------
    ShapeError
        If there are not as many predictions as true values.
    """
    true, guess = (
        as_array(what, x).astype(np.float64).ravel() for what, x in (("truth", truth), ("prediction", prediction))
    )
    if true.shape != guess.shape:
        raise ShapeError(
            f"scatter_chart: expected one prediction for each true value, got {guess.size} for {true.size}"
        )
    true, guess = np.clip(true, -LARGEST, LARGEST), np.clip(guess, -LARGEST, LARGEST)
    error = guess - true
    order = np.argsort(error)[: np.isfinite(error).sum()]
    shown = order[np.unique(np.linspace(0, len(order) - 1, 500).round().astype(int))] if len(order) else order
    across, up = (guess[shown], error[shown]) if residuals else (true[shown], guess[shown])
    suffix = f", {name}" if name else ""
    labels = ("prediction", "prediction \u2212 truth") if residuals else ("truth", "prediction")
    drawing = Drawing(title, labels[1] + suffix)
    bounds = [*up.tolist(), 0.0] if residuals else [*across.tolist(), *up.tolist()]
    plane = Plane(
        drawing, across.tolist() if residuals else bounds, Axis(bounds, 9), WIDTH - 24, 240, labels[0] + suffix
    )
    low, high = (
        (0.0, 0.0)
        if residuals
        else (max(plane.x_axis.low, plane.y_axis.low), min(plane.x_axis.high, plane.y_axis.high))
    )
    ends = (plane.left, plane.right) if residuals else (plane.x(low), plane.x(high))
    drawing.path(f"M{ends[0]:.1f} {plane.y(low):.1f}L{ends[1]:.1f} {plane.y(high):.1f}", "chance")
    for k in shown.tolist():
        x, y = (guess[k], error[k]) if residuals else (true[k], guess[k])
        told = ", ".join(map(" ".join, zip(("truth", "prediction"), value_texts([true[k], guess[k]]), strict=True)))
        drawing.path(f"M{plane.x(x):.1f} {plane.y(y):.1f}h0", "point pale", f"stroke:{BLUE}", told)
    if len(shown) < true.size:
        drawing.write(f"{len(shown):,} of {true.size:,} rows are drawn, the largest errors among them")
    return str(drawing)
