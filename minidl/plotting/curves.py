"""Learning curves of one run, and of several runs in one figure."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.plotting.lines import (
    Columns,
    blow_up,
    draw_curves,
    epochs_of,
    gaps_in,
    label_ends,
    quantity_label,
    with_gaps,
)
from minidl.plotting.style import begin, finish

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
    notes = ["epoch", *(f"{name}: no finite value {gaps}" for name, gaps in _gaps(curves).items())]
    label = quantity_label(quantity)
    if reason := blow_up(quantity, list(curves.values())):
        notes.append(f"log scale: {reason}")
        label += ", log scale"
    ax = begin(ax, title, 1 + len(notes))
    draw_curves(ax, [epochs] * len(curves), curves, first=0 if "training" in curves else 1, log=bool(reason))
    return finish(ax, "\n".join(notes), label, legend=True)


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
    epochs = [epochs_of(f"plot_runs, {name!r}", runs[name], [values]) for name, values in curves.items()]
    missing = [str(name) for name in runs if name not in curves]
    notes, label = ["epoch"], quantity_label(quantity)
    if gaps := [f"{name} {epochs}" for name, epochs in _gaps(curves).items()]:
        notes.append(textwrap.fill(f"no finite value: {', '.join(gaps)}", 56))
    if missing:
        notes.append(textwrap.fill(f"without {quantity}: {', '.join(missing)}", 56))
    if reason := blow_up(quantity, list(curves.values())):
        notes.append(f"log scale: {reason}")
        label = f"{label.partition(' (')[0]}, log scale"
    note = "\n".join(notes)
    ax = begin(ax, title, 2 + note.count("\n"), width=6.0, height=max(3.0, 0.16 * len(curves)))
    label_ends(ax, draw_curves(ax, epochs, curves, log=bool(reason)), 24)
    return finish(ax, note, label)


def _gaps(curves: Mapping[str, Array]) -> dict[str, str]:
    return gaps_in({name: np.isnan(values) for name, values in curves.items()})
