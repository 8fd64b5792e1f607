"""Learning curves, and the learning rates of a schedule."""

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minidl._core.checks import as_count
from minidl._core.errors import InputError
from minidl._core.reprs import told
from minidl.plotting.lines import (
    Columns,
    blow_up,
    epochs_of,
    line_style,
    marked_points,
    quantity_label,
    set_axes,
    with_gaps,
)
from minidl.plotting.style import BLUE, figure_of, new_axes, put_legend_above, title_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_curves(history: Columns, quantity: str, *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw a column of the history, and its ``val_`` column where there is one, over the epochs.

    Training is solid, validation dashed. An axis of losses or costs (a name that ends so) becomes logarithmic when the
    run blows up: all values are positive, and the largest is over 10 times the median or some value over 1.5 times that
    of the epoch before. Values that are not finite leave a gap. The figure says so in both cases.

    Parameters
    ----------
    history : History or dict of lists
        With a column `quantity`, or ``val_`` + `quantity`, or both.
    quantity : str
        Such as ``"cost"``, ``"loss"``, ``"accuracy"``.
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
        If the history has no such column.
    """
    names = {"training": quantity, "validation": f"val_{quantity}"}
    curves = {
        label: with_gaps(history[name]) for label, name in names.items() if name in history and len(history[name]) > 0
    }
    if not curves:
        raise InputError(f"plot_curves: expected a history with {quantity!r} or 'val_{quantity}', got {history!r:.200}")
    epochs = epochs_of("plot_curves", history, list(curves.values()))

    notes = ["epoch"]
    for name, values in curves.items():
        if gaps := int(np.isnan(values).sum()):
            notes.append(f"{name}: no finite value in {gaps} of {len(epochs)} epochs")
    reason = blow_up(quantity, list(curves.values()))
    if reason:
        notes.append(f"log scale: {reason}")
    title = textwrap.fill(title, 44)
    ax = new_axes(1 + title.count("\n") + len(notes)) if ax is None else ax
    for name, values in curves.items():
        style = line_style(0 if name == "training" else 1)
        ax.plot(epochs, values, label=name, markevery=marked_points(values), **style)
    set_axes(ax, epochs, np.concatenate(list(curves.values())), log=bool(reason))
    ax.set_xlabel("\n".join(notes), parse_math=False)
    label = quantity_label(quantity)
    ax.set_ylabel(f"{label}, log scale" if reason else label, parse_math=False)
    put_legend_above(ax, title)
    return figure_of(ax)


def plot_schedule(
    schedule: Callable[[int], float], steps: int, *, title: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw the learning rates of steps 0 .. steps - 1.

    Parameters
    ----------
    schedule : Schedule
        Or any other function of a step.
    steps : int
        At least 1.
    title : str
        Above the axes; "" is the schedule itself.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.
    """
    at = np.arange(as_count("steps", steps))
    rates = np.array([schedule(step) for step in at.tolist()], dtype=np.float64)
    title = textwrap.fill(title or told(schedule), 44)
    ax = new_axes(title.count("\n")) if ax is None else ax
    ax.plot(at, rates, color=BLUE, linewidth=1.4, marker="o" if steps == 1 else None)
    set_axes(ax, at, rates, log=False)
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate")
    ax.set_title(title, **title_style(title))
    return figure_of(ax)
