"""Charts of reports and of the live page, as SVG text: learning curves, runs; and those of `minidl.plotting.marks`.

They need no matplotlib and are drawn in milliseconds. Each stands alone as the content of an ``.svg`` file, and shows
its numbers where the mouse rests, without a script.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from minidl._core.tables import cell
from minidl._core.texts import distinct_labels
from minidl._core.types import Array
from minidl.plotting.axes import Axis, Plane
from minidl.plotting.lines import (
    Columns,
    best_runs,
    gaps_in,
    is_wide,
    learning_curves,
    lone_points,
    quantity_label,
    run_curves,
    spread,
    with_gaps,
)
from minidl.plotting.marks import Dot, dot_chart, matrix_chart, scatter_chart
from minidl.plotting.style import BLUE
from minidl.plotting.svg import LEADING, SIZE, WIDTH, Drawing, stroke, text_width
from minidl.plotting.texts import fold, is_share, value_texts

__all__ = ["Dot", "dot_chart", "learning_chart", "matrix_chart", "run_chart", "scatter_chart", "shared_limits"]

# Points of a line, epochs that show their numbers, letters of a name, and the width of a name and a number.
_POINTS, _HOVERED, _LETTERS, _LABEL = 300, 60, 24, 135.0


class _Line(NamedTuple):
    """A line over the epochs."""

    name: str
    epochs: Array
    values: Array
    style: str = ""

    @property
    def end(self) -> tuple[float, float]:
        """The last epoch with a value, and the value; NaN without one."""
        known = np.flatnonzero(~np.isnan(self.values))
        return self.points(known[-1:])[0] if len(known) else (math.nan, math.nan)

    def points(self, which: Iterable[int]) -> list[tuple[float, float]]:
        return [(float(self.epochs[k]), float(self.values[k])) for k in which]


def learning_chart(
    history: Columns,
    quantity: str,
    *,
    title: str = "",
    limits: tuple[float, float] | None = None,
    chance: float | None = None,
    epochs: int = 1,
    label: str = "",
) -> str:
    """Draw a column of the history and its ``val_`` column: training solid, validation dashed, the gap shaded.

    Accuracies and other shares are drawn in per cent.

    Parameters
    ----------
    history : History or dict of lists
    quantity : str
        Such as ``"cost"``, ``"loss"``, ``"accuracy"``.
    title : str
    limits : (low, high), optional
        Values that the vertical axis shows besides those of the curves, see `shared_limits`. The axis becomes
        logarithmic as in `plot_curves`.
    chance : float, optional
        The value of a guess, a dotted line; a share, if the quantity is one.
    epochs : int
        An epoch that the axis shows besides those of the curves.
    label : str
        What the chart shows, instead of the quantity's own label.

    Returns
    -------
    str
        The content of an SVG file.

    Raises
    ------
    InputError
        If the history has no such column.
    """
    at, curves = learning_curves("learning_chart", history, quantity)
    lines = [_Line(name, at, values, stroke(int(name == "validation"))) for name, values in curves.items()]
    return _line_chart(quantity, lines, [], [], chance, title=title, limits=limits, epochs=epochs, label=label)


def shared_limits(histories: Iterable[Columns], quantities: Sequence[str]) -> tuple[float, float]:
    """Return the smallest and the largest finite value of these quantities, in training and validation."""
    names = [prefix + name for name in quantities for prefix in ("", "val_")]
    found = [with_gaps(history[name]) for history in histories for name in names if name in history]
    values = np.concatenate([[math.nan], *found])
    return (0.0, 1.0) if np.isnan(values).all() else (float(np.nanmin(values)), float(np.nanmax(values)))


def run_chart(runs: Mapping[str, Columns], quantity: str, *, chance: float | None = None, label: str = "") -> str:
    """Draw one column of several histories: a line for each run, its name and last value at the end.

    Of more than ten runs, the ten with the best last value have colours and names; the others are pale. A run has the
    same colour in all charts of the same `runs`.

    Parameters
    ----------
    runs : mapping of str to History or dict of lists
        Those without the column are left out, and the chart says so.
    quantity : str
    chance, label : optional
        As in `learning_chart`.

    Returns
    -------
    str
        The content of an SVG file.

    Raises
    ------
    InputError
        If no run has such a column.
    """
    at, curves = run_curves("run_chart", runs, quantity)
    best = best_runs(quantity, curves)
    strokes = {name: stroke(place) for place, name in enumerate(runs)}
    lines = [_Line(str(name), at[name], curves[name], strokes[name]) for name in best]
    pale = [_Line("", at[name], curves[name]) for name in curves if name not in best]
    names = dict(zip(best, distinct_labels(best, _LETTERS), strict=True))
    notes = [f"in colour: the {len(best)} best of {len(curves):,} runs"] * bool(pale)
    notes += [f"without {quantity}: {len(runs) - len(curves):,} of {len(runs):,} runs"] * (len(curves) < len(runs))
    return _line_chart(quantity, lines, pale, notes, chance, names=names, label=label)


def _line_chart(
    quantity: str,
    lines: Sequence[_Line],
    pale: Sequence[_Line],
    notes: list[str],
    chance: float | None,
    *,
    names: Mapping[str, str] | None = None,
    title: str = "",
    limits: tuple[float, float] | None = None,
    epochs: int = 1,
    label: str = "",
) -> str:
    """Draw lines over the epochs, with `names` at their ends or with a key, in front of `pale` ones."""
    bounds = [*(limits or ()), *([] if chance is None else [chance])]
    values = np.concatenate([line.values for line in [*lines, *pale]])
    if not np.isnan(values).all():
        bounds += [float(np.nanmin(values)), float(np.nanmax(values))]
    log = is_wide(bounds, quantity)
    unit = " %" * is_share(quantity, bounds)
    if unit:
        bounds, chance = [100 * bound for bound in bounds], chance and 100 * chance
        lines, pale = ([line._replace(values=100 * line.values) for line in some] for some in (lines, pale))
        label = label or f"{quantity_label(quantity).partition(' (')[0]} in %"
    drawing = Drawing(label + ", log scale" * log if label else quantity_label(quantity, log=log), title=title)
    key = [([("M0 0H22", "", line.style)], line.name) for line in lines if names is None]
    if chance is not None:
        key.append(([("M0 0H22", "chance", "")], f"chance {chance:g}{unit}"))
    drawing.key(key)

    ended = sorted((line for line in lines if not math.isnan(line.end[1])), key=lambda line: line.end[1])
    texts = [text + unit for text in value_texts([line.end[1] for line in ended])]
    called = [names[line.name] if names else "" for line in ended]
    ends = [*zip(ended, map(_rows, called, texts), strict=True)]
    widths = [text_width(text) for _, rows in ends for text in rows]
    right, height = WIDTH - 22 - max([0.0, *widths]), max(170.0, LEADING * len(widths))
    at = [1.0, float(epochs), *(float(epoch) for line in [*lines, *pale] for epoch in line.epochs)]
    plane = Plane(drawing, at, Axis(bounds, height, upright=True, log=log), right, height, "epoch", whole=True)
    if chance is not None:
        drawing.path(plane.path([(plane.x_axis.low, chance), (plane.x_axis.high, chance)]), "chance")
    most = max(10, 6000 // max(1, len(pale)))
    drawing.path("".join(plane.path(line.points(_kept(line.values, most))) for line in pale), "grid")
    if names is None and len(lines) == 2:
        drawing.path(_area(plane, *lines), "area", f"fill:{BLUE}")
    for line in lines:
        drawing.path(plane.path(line.points(_kept(line.values, _POINTS))), "", line.style)
        drawing.path(plane.dots({line.end, *line.points(lone_points(line.values))}), "point", line.style)
    levels = [(plane.bottom - plane.y(line.end[1])) / height for line, rows in ends for _ in rows]
    places = iter(spread(levels, LEADING / height))
    for line, rows in ends:
        middle = plane.bottom - height * sum(next(places) for _ in rows) / len(rows)
        start = f"M{plane.x(line.end[0]) + 4:.1f} {plane.y(line.end[1]):.1f}"
        drawing.path(f"{start}L{right + 16:.1f} {middle:.1f}", "lead", line.style)
        for k, text in enumerate(rows):
            # The rows of one text are closer than two texts.
            drawing.text(right + 18, middle + 0.8 * LEADING * (k - (len(rows) - 1) / 2), text)
    if not ended:
        drawing.text((plane.left + right) / 2, plane.top + height / 2, "nothing finite to draw", "quiet", "middle")
    _add_hover(drawing, plane, lines, unit)
    gaps = gaps_in({line.name: line.values for line in lines}, [line.epochs for line in lines], np.isnan)
    for note in notes + [f"{name}: no finite value {where}" for name, where in gaps.items()]:
        drawing.write(note)
    return str(drawing)


def _rows(name: str, number: str) -> list[str]:
    """Return a name and a number in rows, the number in the last one of the name if there is room."""
    *rows, last = fold(name, _LABEL, SIZE).split("\n")
    joined = f"{last} {number}".strip()
    return [*rows, joined] if text_width(joined) <= _LABEL else [*rows, last, number]


def _kept(values: Array, most: int) -> list[int]:
    """Return which values of a long line to draw: the smallest, the largest and the first gap of each part."""
    if len(values) <= most:
        return list(range(len(values)))
    width = math.ceil(len(values) / (most // 3))
    parts = np.pad(values, (0, -len(values) % width), constant_values=np.nan).reshape(-1, width)
    gap = np.isnan(parts)
    places = [np.where(gap, np.inf, parts).argmin(1), np.where(gap, -np.inf, parts).argmax(1), gap.argmax(1)]
    kept = {0, len(values) - 1, *np.ravel(np.arange(len(parts)) * width + places).tolist()}
    return sorted(k for k in kept if k < len(values))


def _area(plane: Plane, one: _Line, other: _Line) -> str:
    """Return the outline of what lies between two lines of the same epochs, in parts where one has gaps."""
    gap = np.isnan(one.values) | np.isnan(other.values)
    kept = {*_kept(one.values, _POINTS), *_kept(other.values, _POINTS), *np.flatnonzero(gap).tolist()}
    parts = [list(part) for missing, part in groupby(sorted(kept), key=lambda k: bool(gap[k])) if not missing]
    return "".join(f"{plane.path([*one.points(part), *other.points(part[::-1])])}z" for part in parts)


def _add_hover(drawing: Drawing, plane: Plane, lines: Sequence[_Line], unit: str) -> None:
    """Add strips over the plane, each with the numbers of one epoch."""
    epochs = np.unique(np.concatenate([line.epochs for line in lines]))
    shown = epochs[np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), _HOVERED)).astype(int))].tolist()
    values = {line.name: dict(zip(line.epochs.tolist(), line.values.tolist(), strict=True)) for line in lines}
    strips = []
    for epoch in shown:
        rows = [f"epoch {epoch:,}", *(f"{name}: {cell(of[epoch])}{unit}" for name, of in values.items() if epoch in of)]
        strips.append((f"M{plane.x(epoch):.1f} {plane.top:.1f}V{plane.bottom:.1f}", "\n".join(rows)))
    drawing.hover(strips, (plane.right - plane.left) / len(shown))
