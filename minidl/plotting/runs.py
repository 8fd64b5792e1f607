"""Several runs in one figure."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from minidl._core.errors import InputError
from minidl.plotting.lines import (
    Columns,
    blow_up,
    epochs_of,
    label_ends,
    line_style,
    marked_points,
    quantity_label,
    set_axes,
    with_gaps,
)
from minidl.plotting.style import figure_of, new_axes, shortened, title_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_runs(runs: Mapping[str, Columns], quantity: str, *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw one column of several histories over the epochs: a line a run, its name at the line's end.

    When the axis becomes logarithmic, and what a gap is, see `plot_curves`.

    Parameters
    ----------
    runs : mapping of str to History or dict of lists
        One a name. They may differ in length; those without the column are left out, and the figure says so.
    quantity : str
        The column, such as ``"val_loss"``.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure. Names are written to the right of it.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    InputError
        If no run has such a column.
    """
    if not isinstance(runs, Mapping):
        raise InputError(f"plot_runs: expected runs to be a dict of histories by name, got {type(runs).__name__}")
    curves = {name: with_gaps(run[quantity]) for name, run in runs.items() if quantity in run and len(run[quantity])}
    if not curves:
        got = ", ".join(f"{name}: {run!r:.80}" for name, run in runs.items()) or "no run"
        raise InputError(f"plot_runs: expected a run with {quantity!r}, got {got:.400}")
    epochs = {name: epochs_of(f"plot_runs, {name!r}", runs[name], [values]) for name, values in curves.items()}
    gaps = [
        f"{name} in {np.isnan(values).sum()} of {len(values)} epochs"
        for name, values in curves.items()
        if np.isnan(values).any()
    ]
    missing = [str(name) for name in runs if name not in curves]
    reason = blow_up(quantity, list(curves.values()))
    notes = ["epoch"]
    notes += [textwrap.fill(f"no finite value: {', '.join(gaps)}", 56)] if gaps else []
    notes += [textwrap.fill(f"without {quantity}: {', '.join(missing)}", 56)] if missing else []
    notes += [f"log scale: {reason}"] if reason else []
    note, title = "\n".join(notes), textwrap.fill(title, 44)
    if ax is None:
        ax = new_axes(2 + title.count("\n") + note.count("\n"), width=6.0, height=max(3.0, 0.16 * len(curves)))
    lines = [
        ax.plot(epochs[name], values, markevery=marked_points(values), label=name, **line_style(number))[0]
        for number, (name, values) in enumerate(curves.items())
    ]
    set_axes(ax, np.concatenate(list(epochs.values())), np.concatenate(list(curves.values())), log=bool(reason))
    ax.set_xlabel(note, parse_math=False)
    label = quantity_label(quantity)
    ax.set_ylabel(f"{label.partition(' (')[0]}, log scale" if reason else label, parse_math=False)
    ax.set_title(title, **title_style(title))
    label_ends(ax, lines, [shortened(name, 24) for name in curves])
    return figure_of(ax)
