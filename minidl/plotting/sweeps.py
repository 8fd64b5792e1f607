"""What a sweep found: a metric over a parameter."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._core.checks import is_number
from minidl._core.types import Array, Axes, Figure
from minidl.plotting.lines import Columns, line_style, quantity_label
from minidl.plotting.style import PALETTE, begin, figure_of, finish, shortened, write_inside

__all__ = ["plot_sweep"]

# The largest over the smallest value, from which on an axis is logarithmic.
_WIDE = 50.0
# Up to so many values of x are joined by a line.
_LEVELS = 10


def plot_sweep(
    result: Columns, x: str, y: str, *, by: str | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw a metric of the trials over one of their parameters, one point a trial.

    An axis whose values span a factor of 50 is logarithmic; with zeros besides, it is linear up to the smallest of
    the others. Up to ten values of `x` are joined by a line through their means. Trials without a finite number
    are left out, and the figure says how many.

    Parameters
    ----------
    result : SweepResult or dict of lists
    x : str
        A parameter, of numbers or texts.
    y : str
        A metric.
    by : str, optional
        Another parameter: up to seven values, and texts, get a colour, marker and line each; more get a colour scale.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    InputError
        If a `SweepResult` has no such column.
    """
    at, names = _positions(result[x])
    values = np.array(result[y], dtype=np.float64)
    of, of_names = _positions(result[by]) if by is not None else (np.zeros(len(values)), [y])
    shown = np.isfinite(values) & np.isfinite(at) & np.isfinite(of)
    notes = [x] + [f"not drawn for want of a number: {np.sum(~shown)} of {len(shown)} trials"] * (not shown.all())
    ticks = [shortened(name, 24) for name in names]
    # Lying, so many letters would run into each other.
    upright = sum(map(len, ticks)) > 45
    room = round(0.4 * max(map(len, ticks))) if upright else 0
    ax = begin(ax, title, 1 + len(notes) + room)
    levels = np.unique(of[shown])
    if by is not None and not of_names and len(levels) > len(PALETTE):
        _draw_scale(ax, at[shown], values[shown], of[shown], by)
    else:
        for number, level in enumerate(levels):
            label = shortened(of_names[int(level)], 24) if of_names else f"{level:g}"
            chosen = shown & (of == level)
            _draw_series(ax, at[chosen], values[chosen], number, label)
        if by is not None and shown.any():
            _put_legend_beside(ax, by)
    if names:
        ax.set_xticks(range(len(ticks)), ticks, rotation=90 if upright else 0, parse_math=False)
    elif scale := _scale(at[shown]):
        ax.set_xscale(**scale)
    label = quantity_label(y)
    if shown.any() and (values[shown] > 0).all() and (scale := _scale(values[shown])):
        ax.set_yscale(**scale)
        label += ", log scale"
    if not shown.any():
        write_inside(ax, "nothing finite to draw")
    return finish(ax, "\n".join(notes), label)


def _positions(values: Sequence[Any]) -> tuple[Array, list[str]]:
    """Return numbers as they are; of other values their places among the different ones, and what these are."""
    if all(map(is_number, values)):
        return np.array(values, dtype=np.float64), []
    names = list(dict.fromkeys(map(str, values)))
    return np.array([names.index(str(value)) for value in values], dtype=np.float64), names


def _draw_series(ax: Axes, x: Array, y: Array, number: int, label: str) -> None:
    style = line_style(number) | {"markersize": 5}
    ax.plot(x, y, label=label, **style | {"linestyle": "none"})
    levels = np.unique(x)
    if len(levels) <= _LEVELS:
        ax.plot(levels, [y[x == level].mean() for level in levels], **style | {"marker": "none"})


def _put_legend_beside(ax: Axes, name: str) -> None:
    title = shortened(name, 24)
    legend = ax.legend(title=title, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    for text in [legend.get_title(), *legend.get_texts()]:
        text.set_parse_math(False)


def _draw_scale(ax: Axes, x: Array, y: Array, colours: Array, name: str) -> None:
    norm = "log" if (colours > 0).all() and _scale(colours) else "linear"
    points = ax.scatter(x, y, c=colours, norm=norm, cmap="viridis", edgecolors="black", linewidths=0.4, s=26)
    figure_of(ax).colorbar(points, ax=ax).set_label(shortened(name, 60), parse_math=False)


def _scale(values: Array) -> dict[str, Any]:
    """Return the scale of an axis with these values; nothing for the usual one."""
    positive = values[values > 0]
    if (values < 0).any() or len(positive) == 0:
        return {}
    if len(positive) == len(values):
        return {"value": "log"} if positive.max() / positive.min() >= _WIDE else {}
    smallest = float(positive.min())
    return {"value": "symlog", "linthresh": smallest, "linscale": 0.5} if positive.max() / smallest >= 10 else {}
