"""What a sweep found: a metric over a parameter."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._core.checks import is_number
from minidl._core.texts import distinct_labels, legible
from minidl._core.types import Array, Axes, Figure
from minidl.plotting.lines import Columns, is_wide, line_style, quantity_label
from minidl.plotting.style import PALETTE, begin, figure_of, finish
from minidl.plotting.texts import SIZE, fold, width_of
from minidl.plotting.ticks import log_ticks, set_limits, set_ticks, tick_labels

__all__ = ["plot_sweep"]

# More values of x are not joined by a line.
_LEVELS = 10
# More texts are not listed in the legend.
_MOST_LABELS = 20


def plot_sweep(
    result: Columns, x: str, y: str, *, by: str | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw a metric of the trials over one of their parameters, one point per trial.

    The axis of a parameter whose values span a factor of 10 is logarithmic; if there are zeros too, it is linear up to
    the smallest of the others. The axis of the metric is as in `plot_curves`. Up to ten values of `x` are joined by a
    line through their means; for texts, which have no order, each mean is a dash. Trials without a finite number are
    left out, and the figure says how many.

    Parameters
    ----------
    result : SweepResult or dict of lists
    x : str
        A parameter, of numbers or texts.
    y : str
        A metric.
    by : str, optional
        Another parameter: each of up to seven values, or of any texts, gets a colour, marker and line; more values get
        a colour scale.
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
    scaled = by is not None and not of_names and len(np.unique(of[shown])) > len(PALETTE)
    of_what = f" (colour: {by})" if by is not None and not scaled else ""
    notes = [x + of_what] + [f"without a number, not drawn: {np.sum(~shown)} of {len(shown)} trials"] * (
        not shown.all()
    )
    notes = [fold(legible(note), 215) for note in notes]
    levels = np.unique(of[shown])
    labels = distinct_labels(of_names, 16) if of_names else [f"{level:g}" for level in levels]
    legend = bool(of_what) and len(labels) <= _MOST_LABELS and bool(shown.any())
    ticks = distinct_labels(names, 24)
    widest = max((width_of(tick, SIZE) for tick in ticks), default=0.0)
    # Texts that would touch side by side stand upright; of many there is room for every second, third, and so on.
    upright = widest + 6 > 200 / max(1, len(ticks))
    every = math.ceil(1.25 * SIZE * len(ticks) / 200)
    room = round(widest / 14) if upright and ticks else 0
    rows = 1 + len(labels) // 2 if legend else 0
    ax = begin(ax, title, 1 + "\n".join(notes).count("\n") + room + rows)
    if scaled:
        _draw_scale(ax, at[shown], values[shown], of[shown], str(by))
    else:
        for number, level in enumerate(levels):
            chosen = shown & (of == level)
            label = labels[int(level) if of_names else number] if by is not None else y
            _draw_series(ax, at[chosen], values[chosen], number, label, joined=not names)
    if names:
        places = range(0, len(ticks), every)
        ax.set_xticks(places, [ticks[k] for k in places], rotation=90 if upright else 0, parse_math=False)
        ax.set_xlim(-0.5, len(ticks) - 0.5)
    else:
        _set_x_axis(ax, at[shown])
    log = is_wide(values[shown], y)
    set_limits(ax, values[shown].tolist(), log=log)
    return finish(ax, "\n".join(notes), quantity_label(y, log=log), legend=legend)


def _positions(values: Sequence[Any]) -> tuple[Array, list[str]]:
    """Return numbers as they are; for other values their places in the list of different values, and this list."""
    if all(map(is_number, values)):
        return np.array(values, dtype=np.float64), []
    names = list(dict.fromkeys(map(str, values)))
    return np.array([names.index(str(value)) for value in values], dtype=np.float64), names


def _draw_series(ax: Axes, x: Array, y: Array, number: int, label: str, *, joined: bool) -> None:
    style = line_style(number) | {"markersize": 5}
    ax.plot(x, y, label=label, **style | {"linestyle": "none"})
    levels = np.unique(x)
    means = [y[x == level].mean() for level in levels]
    if not joined:
        ax.plot(levels, means, **style | {"linestyle": "none", "marker": "_", "markersize": 14})
    elif len(levels) <= _LEVELS:
        ax.plot(levels, means, **style | {"marker": "none"})


def _draw_scale(ax: Axes, x: Array, y: Array, colours: Array, name: str) -> None:
    log = is_wide(colours)
    norm = "log" if log else "linear"
    points = ax.scatter(x, y, c=colours, norm=norm, cmap="viridis", edgecolors="black", linewidths=0.4, s=26)
    bar = figure_of(ax).colorbar(points, ax=ax)
    bar.set_label(distinct_labels([name], 24)[0], fontsize=SIZE, parse_math=False)
    bar.ax.tick_params(labelsize=SIZE)
    set_ticks(bar.ax, float(colours.min()), float(colours.max()), log=log)


def _set_x_axis(ax: Axes, values: Array) -> None:
    """Give the axis of a parameter its limits and ticks."""
    positive = values[values > 0]
    if len(positive) < len(values) and (values >= 0).all() and is_wide(positive):
        low, high = float(positive.min()), float(positive.max())
        ax.set_xscale("symlog", linthresh=low, linscale=1.0)
        ax.set_xlim(-0.1 * low, 1.5 * high)
        ticks = [0.0, *log_ticks(low, high, 4)]
        ax.xaxis.set_ticks(ticks, tick_labels(ticks, log=True))
    elif len(values):
        set_limits(ax, values.tolist(), log=is_wide(values), axis="x", points=220)
