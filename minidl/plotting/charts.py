"""Charts of reports and of the live page, as SVG text: learning curves, runs; and those of `minidl.plotting.marks`.

They need no matplotlib and are drawn in milliseconds. Each stands alone as the content of an ``.svg`` file, and shows
its numbers where the mouse rests, without a script.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.plotting.axes import Axis, Plane
from minidl.plotting.lines import (
    Columns,
    blow_up,
    epochs_of,
    learning_curves,
    lone_points,
    quantity_label,
    spread,
    with_gaps,
)
from minidl.plotting.marks import Dot, dot_chart, matrix_chart, scatter_chart
from minidl.plotting.style import BLUE, PALETTE, VERMILLION
from minidl.plotting.svg import LEADING, WIDTH, Drawing, Stroke, short_names, text_width, value_texts

__all__ = ["Dot", "dot_chart", "learning_chart", "matrix_chart", "run_chart", "run_colours", "scatter_chart"]
__all__ += ["shared_limits"]

_DASHES = ("none", "7 3", "2 3", "9 3 2 3")
_LARGER_IS_BETTER = ("accuracy", "acc", "f1", "auc", "precision", "recall", "r2")
_NAMED, _POINTS, _HOVERED = 10, 300, 60


Limits = tuple[float, float] | None
Value = float | None


class _Line(NamedTuple):
    """A line over the epochs."""

    name: str
    epochs: list[float]
    values: Array
    stroke: Stroke

    @property
    def end(self) -> tuple[float, float]:
        """The last epoch with a value, and the value; NaN without one."""
        known = np.flatnonzero(~np.isnan(self.values))
        return (self.epochs[known[-1]], float(self.values[known[-1]])) if len(known) else (math.nan, math.nan)

    def points(self, which: Iterable[int]) -> list[tuple[float, float]]:
        return [(self.epochs[k], float(self.values[k])) for k in which]


def learning_chart(
    history: Columns,
    quantity: str,
    *,
    title: str = "",
    limits: Limits = None,
    chance: Value = None,
    epochs: Value = None,
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
    epochs : int, optional
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
    at = epochs_of("learning_chart", history, curves).tolist()
    strokes = {"training": Stroke(BLUE), "validation": Stroke(VERMILLION, "6 4")}
    lines = [_Line(name, at, values, strokes[name]) for name, values in curves.items()]
    return _line_chart(title, quantity, lines, [], limits, chance, [*at, epochs or at[0]], learning=True)


def shared_limits(histories: Iterable[Columns], quantities: Sequence[str]) -> tuple[float, float]:
    """Return the smallest and the largest finite value of these quantities, in training and validation."""
    names = [prefix + name for name in quantities for prefix in ("", "val_")]
    found = [with_gaps(history[name]) for history in histories for name in names if name in history]
    values = np.concatenate([[math.nan], *found])
    return (0.0, 1.0) if np.isnan(values).all() else (float(np.nanmin(values)), float(np.nanmax(values)))


def run_colours(names: Iterable[str]) -> dict[str, Stroke]:
    """Return a stroke for each run, the same in all charts of a report; the first 28 differ."""
    strokes = [Stroke(colour, dashes) for dashes in _DASHES for colour in PALETTE]
    return {name: strokes[number % len(strokes)] for number, name in enumerate(dict.fromkeys(names))}


def run_chart(
    runs: Mapping[str, Columns],
    quantity: str,
    *,
    strokes: Mapping[str, Stroke] | None = None,
    title: str = "",
    limits: Limits = None,
    chance: Value = None,
) -> str:
    """Draw one column of several histories: a line for each run, its name and last value at the end.

    Of more than ten runs, the ten with the best last value have colours and names; the others are pale.

    Parameters
    ----------
    runs : mapping of str to History or dict of lists
        Those without the column are left out, and the chart says so.
    quantity : str
    strokes : mapping of str to Stroke, optional
        Of the runs; without them those of `run_colours`.
    title, limits, chance
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
    curves = {name: with_gaps(run[quantity]) for name, run in runs.items() if quantity in run and len(run[quantity])}
    if not curves:
        raise InputError(f"run_chart: expected a run with {quantity!r}, got {', '.join(map(str, runs)) or 'none':.400}")
    strokes, lines = strokes or run_colours(runs), []
    for name, values in curves.items():
        at = epochs_of("run_chart", runs[name], {name: values}).tolist()
        lines.append(_Line(str(name), at, values, strokes[name]))
    sign = -1 if quantity.endswith(_LARGER_IS_BETTER) else 1
    lines.sort(key=lambda line: math.inf if math.isnan(line.end[1]) else sign * line.end[1])
    notes = [f"in colour: the {_NAMED} best of {len(lines):,} runs"] * (len(lines) > _NAMED)
    notes += [f"without {quantity}: {len(runs) - len(curves):,} of {len(runs):,} runs"] * (len(curves) < len(runs))
    epochs = [epoch for line in lines for epoch in line.epochs]
    return _line_chart(title, quantity, lines, notes, limits, chance, epochs)


def _line_chart(
    title: str,
    quantity: str,
    everything: Sequence[_Line],
    notes: list[str],
    limits: Limits,
    chance: Value,
    epochs: list[float],
    *,
    learning: bool = False,
) -> str:
    """Draw lines over the epochs: those of a learning chart with a key, others with their names at the end."""
    lines, pale = everything[:_NAMED], everything[_NAMED:]
    values = np.concatenate([line.values for line in everything])
    finite = values[~np.isnan(values)]
    bounds = [*(limits or ([float(finite.min()), float(finite.max())] if len(finite) else []))]
    log = bool(blow_up(quantity, {str(number): line.values for number, line in enumerate(everything)}))
    if limits is not None:
        log = quantity.endswith(("loss", "cost")) and limits[1] > 50 * limits[0]
    chance = chance if bounds else None
    bounds += [] if chance is None else [chance]
    log = log and min(bounds) > 0
    drawing = Drawing(title, quantity_label(quantity) + ", log scale" * log)
    key: list[Any] = [([("M0 0H22", "", line.stroke.style)], line.name) for line in lines if learning]
    drawing.key(key + ([] if chance is None else [([("M0 0H22", "chance")], f"chance {chance:g}")]))

    ended = sorted((line for line in lines if not math.isnan(line.end[1])), key=lambda line: line.end[1])
    texts = value_texts([line.end[1] for line in ended])
    if not learning:
        room = 0.42 * WIDTH - max(map(text_width, texts), default=0.0)
        names = short_names([line.name for line in ended], max(50.0, room))
        texts = [f"{name} {text}".strip() for name, text in zip(names, texts, strict=True)]
    right, height = WIDTH - max([20.0, *(22 + text_width(text) for text in texts)]), max(170.0, LEADING * len(texts))
    plane = Plane(drawing, epochs, Axis(bounds, 8, log=log), right, height, "epoch", whole=True)
    if chance is not None:
        drawing.path(plane.path([(plane.x_axis.low, chance), (plane.x_axis.high, chance)]), "chance")
    most = max(10, 6000 // max(1, len(pale)))
    drawing.path("".join(plane.path(line.points(_kept(line.values, most))) for line in pale), "grid")
    if learning and len(lines) == 2:
        drawing.path(_area(plane, *lines), "area", f"fill:{BLUE}")
    for line in lines:
        drawing.path(plane.path(line.points(_kept(line.values, _POINTS))), "", line.stroke.style)
        drawing.path(plane.dots({line.end, *line.points(lone_points(line.values))}), "point", line.stroke.style)
    levels = [(plane.bottom - plane.y(line.end[1])) / height for line in ended]
    for line, text, level in zip(ended, texts, spread(levels, LEADING / height), strict=True):
        x, y, end = plane.x(line.end[0]), plane.y(line.end[1]), plane.bottom - level * height
        drawing.path(f"M{x + 4:.1f} {y:.1f}L{right + 16:.1f} {end:.1f}", "lead", f"stroke:{line.stroke.colour}")
        drawing.text(right + 18, end, text)
    if not ended:
        drawing.text((plane.left + right) / 2, plane.top + height / 2, "nothing finite to draw", "quiet", "middle")
    _add_hover(drawing, plane, lines)
    for line in lines:
        if len(gaps := np.flatnonzero(np.isnan(line.values))):
            where = f"in {len(gaps):,} of {len(line.epochs):,} epochs, first in epoch {line.epochs[gaps[0]]:,}"
            notes = [*notes, f"{line.name}: no finite value {where}"]
    for note in notes:
        drawing.write(note)
    return str(drawing)


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


def _add_hover(drawing: Drawing, plane: Plane, lines: Sequence[_Line]) -> None:
    """Add strips over the plane, each with the numbers of an epoch."""
    values = [(line.name, dict(line.points(range(len(line.epochs))))) for line in lines]
    epochs = sorted(set().union(*(of for _, of in values)))
    shown = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), _HOVERED)).astype(int)).tolist()
    strips = []
    for epoch in [epochs[k] for k in shown]:
        numbers = (f"{name}: {of[epoch]:.4g}".replace(" -", " \N{MINUS SIGN}") for name, of in values if epoch in of)
        strips.append(
            (f"M{plane.x(epoch):.1f} {plane.top:.1f}V{plane.bottom:.1f}", "\n".join([f"epoch {epoch:,}", *numbers]))
        )
    drawing.hover(strips, (plane.right - plane.left) / len(shown))
