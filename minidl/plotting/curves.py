"""Lines over epochs: learning curves of one run and of several, the sizes of gradients and of updates."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minidl._core.checks import check_unmasked
from minidl._core.errors import InputError
from minidl._core.types import Array, Axes, Figure
from minidl.plotting.lines import (
    Columns,
    blow_up,
    draw_lines,
    epochs_of,
    gaps_in,
    learning_curves,
    line_style,
    quantity_label,
    with_gaps,
)

__all__ = ["plot_curves", "plot_gradient_norms", "plot_runs", "plot_update_ratios"]

Sizes = Mapping[str, Sequence[float]]


def plot_curves(history: Columns, quantity: str, *, title: str = "", ax: Axes | None = None) -> Figure:
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
    curves = learning_curves("plot_curves", history, quantity)
    epochs = epochs_of("plot_curves", history, curves)
    notes = [f"{name}: no finite value {gaps}" for name, gaps in gaps_in(curves, np.isnan).items()]
    reasons = blow_up(quantity, curves)
    label = quantity_label(quantity) + ", log scale" * len(reasons)
    styles = [line_style(int(name == "validation")) for name in curves]
    return draw_lines(ax, title, [epochs] * len(curves), curves, styles, notes + reasons, label, log=bool(reasons))


def plot_runs(runs: Mapping[str, Columns], quantity: str, *, title: str = "", ax: Axes | None = None) -> Figure:
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
    epochs = [epochs_of("plot_runs", runs[name], {name: values}) for name, values in curves.items()]
    said = {
        "no finite value": [f"{name} {gaps}" for name, gaps in gaps_in(curves, np.isnan).items()],
        f"without {quantity}": [str(name) for name in runs if name not in curves],
    }
    notes = [textwrap.fill(f"{what}: {', '.join(names)}", 56) for what, names in said.items() if names]
    label = quantity_label(quantity)
    if reasons := blow_up(quantity, curves):
        label = f"{label.partition(' (')[0]}, log scale"
    styles = [line_style(number) for number in range(len(curves))]
    return draw_lines(ax, title, epochs, curves, styles, notes + reasons, label, log=bool(reasons), most=24)


def plot_gradient_norms(
    norms: Sizes, *, epochs: Sequence[int] | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the norms of the gradients over the epochs on a logarithmic axis, a line a parameter.

    The colour goes from dark for the first layer to light for the last, the line style with the kind of parameter:
    gradients that vanish or explode towards the first layers show as a fan of lines. Zeros and numbers that are not
    finite leave a gap, and the figure says so.

    Parameters
    ----------
    norms : mapping of str to sequence of float
        One number an epoch for each path, such as ``{"0.weight": [1.5, 0.75], "0.bias": [0.25, 0.125]}``.
    epochs : sequence of int, optional
        Of the numbers; None counts from 1.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure, the higher the more parameters. Paths are written to the right of it.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    InputError, ShapeError
        If there is no parameter or no epoch, not one number an epoch, or one below 0.
    """
    return _plot_sizes("plot_gradient_norms", norms, epochs, "norm of the gradient, log scale", title, ax)


def plot_update_ratios(
    ratios: Sizes, *, epochs: Sequence[int] | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the sizes of the updates relative to those of the weights over the epochs, a line a parameter.

    Lines as in `plot_gradient_norms`. A grey band marks the neighbourhood of 1e-3, a rule of thumb: far above it the
    learning rate may be too high, far below it too low.

    Parameters
    ----------
    ratios : mapping of str to sequence of float
        ``norm(update) / norm(weight)``, one number an epoch for each path.
    epochs : sequence of int, optional
        Of the numbers; None counts from 1.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure, the higher the more parameters. Paths are written to the right of it.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    InputError, ShapeError
        If there is no parameter or no epoch, not one number an epoch, or one below 0.

    References
    ----------
    Stanford CS231n, course notes, "Neural networks part 3", ratio of weights and updates.
    """
    label = "update / weight (ratio of norms)"
    return _plot_sizes("plot_update_ratios", ratios, epochs, label, title, ax, band=(10**-3.5, 10**-2.5))


def _plot_sizes(
    where: str, sizes: Any, epochs: Sequence[int] | None, label: str, title: str, ax: Axes | None, **options: Any
) -> Figure:
    """Draw a line a parameter on a logarithmic axis; the `options` are those of `draw_lines`."""
    from matplotlib import colormaps

    if not isinstance(sizes, Mapping) or not sizes:
        raise InputError(f"{where}: expected a dict of one number an epoch for each parameter, got {sizes!r:.80}")
    check_unmasked(where, list(sizes.values()))
    numbers = {str(path): np.array(column, dtype=np.float64) for path, column in sizes.items()}
    at = epochs_of(where, {} if epochs is None else {"epoch": epochs}, numbers)
    for path, column in numbers.items():
        if (column < 0).any():
            raise InputError(f"{where}: expected numbers of at least 0 for {path!r}, got {column.min():g}")
    drawable = {path: np.where(np.isfinite(column) & (column > 0), column, np.nan) for path, column in numbers.items()}
    notes = []
    missing: dict[str, Callable[[Array], Array]] = {"zero": np.logical_not, "not finite": lambda x: ~np.isfinite(x)}
    for what, is_missing in missing.items():
        if found := [f"{path} {gaps}" for path, gaps in gaps_in(numbers, is_missing).items()]:
            found[3:] = [f"{len(found) - 3} more"] if len(found) > 4 else found[3:]
            notes.append(textwrap.fill(f"{what}: {', '.join(found)}", 60))
    parts = [path.rpartition(".")[::2] for path in numbers]
    owners, kinds = (list(dict.fromkeys(names)) for names in zip(*parts, strict=True))
    styles = []
    for owner, kind in parts:
        depth = owners.index(owner) / max(1, len(owners) - 1)
        # The last part of the colours is too pale for lines.
        color = colormaps["cividis"](0.82 * depth)
        styles.append(line_style(kinds.index(kind)) | {"color": color, "linewidth": 1.2})
    return draw_lines(ax, title, [at] * len(drawable), drawable, styles, notes, label, log=True, most=28, **options)
