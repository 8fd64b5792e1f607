"""Lines over epochs: learning curves of one run and of several, the sizes of gradients and of updates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minidl._core.checks import check_unmasked
from minidl._core.errors import InputError
from minidl._core.texts import distinct_labels
from minidl._core.types import Array, Axes, Figure
from minidl.plotting.lines import (
    Columns,
    best_runs,
    draw_lines,
    epochs_of,
    gaps_in,
    is_wide,
    learning_curves,
    line_style,
    listed,
    quantity_label,
    run_curves,
)

__all__ = ["plot_curves", "plot_gradient_norms", "plot_runs", "plot_update_ratios"]

Sizes = Mapping[str, Sequence[float]]

# More names of parameters would make a figure higher than a page.
_MOST_NAMES = 20


def plot_curves(
    history: Columns, quantity: str, *, classes: int | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw a column of the history, and its ``val_`` column where there is one, over the epochs.

    Training is solid, validation dashed. An axis of losses, costs or errors (a name that ends with "loss", "cost",
    "error", "mae" or "mse") is logarithmic if all values are positive and the largest is at least 10 times the
    smallest. Values that are not finite, or beyond 1e300, leave a gap; a cross marks the last value before it, and the
    figure says where it is.

    Parameters
    ----------
    history : History or dict of lists
        With a column `quantity`, or ``val_`` + `quantity`, or both.
    quantity : str
        Such as ``"cost"``, ``"loss"``, ``"accuracy"``.
    classes : int, optional
        Draw the accuracy of a guess, 1 / `classes`, as a dotted line.
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
    epochs, curves = learning_curves("plot_curves", history, quantity)
    at = [epochs] * len(curves)
    notes = [f"{name} (cross): no finite value {gaps}" for name, gaps in gaps_in(curves, at, np.isnan).items()]
    styles = [line_style(int(name == "validation")) for name in curves]
    log = is_wide(np.concatenate([*curves.values()]), quantity)
    label = quantity_label(quantity, log=log)
    return draw_lines(ax, title, at, curves, styles, notes, label, log=log, classes=classes)


def plot_runs(
    runs: Mapping[str, Columns],
    quantity: str,
    *,
    classes: int | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw one column of several histories over the epochs: one line per run, with its name at the end.

    Of more than ten runs the ten best are drawn in colour: those with the lowest last value, or with the highest one of
    an accuracy, F1, AUC, precision, recall or R2. The others are thin grey lines. Logarithmic axes and gaps are as in
    `plot_curves`.

    Parameters
    ----------
    runs : mapping of str to History or dict of lists
        By name. They may differ in length; those without the column are left out, and the figure says so. A run has the
        same colour in all figures of the same runs.
    quantity : str
        The column, such as ``"val_loss"``.
    classes : int, optional
        Draw the accuracy of a guess, 1 / `classes`, as a dotted line.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure. Names are written at the right.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    InputError
        If no run has such a column.
    """
    epochs, curves = run_curves("plot_runs", runs, quantity)
    labels = dict(zip(runs, distinct_labels(runs, 20), strict=True))
    shown = best_runs(quantity, curves)
    gaps = gaps_in(curves, [*epochs.values()], np.isnan)
    log = is_wide(np.concatenate([*curves.values()]), quantity)
    notes = [f"in colour: the {len(shown)} best of {len(curves):,} runs"] * (len(shown) < len(curves))
    notes += listed("no finite value (cross)", [f"{labels[name]} {words}" for name, words in gaps.items()])
    notes += listed(f"without {quantity}", [labels[name] for name in runs if name not in curves])
    styles = [line_style(place) for place, name in enumerate(runs) if name in shown]
    drawn, ends = {name: curves[name] for name in shown}, {name: labels[name] for name in shown}
    at, label = [epochs[name] for name in shown], quantity_label(quantity, log=log)
    pale = [(epochs[name], curves[name]) for name in curves if name not in shown]
    return draw_lines(ax, title, at, drawn, styles, notes, label, log=log, ends=ends, pale=pale, classes=classes)


def plot_gradient_norms(
    norms: Sizes, *, epochs: Sequence[int] | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the norms of the gradients over the epochs on a logarithmic axis, one line per parameter.

    The colour goes from dark for the first layer to light for the last, the line style with the kind of parameter:
    gradients that vanish or explode towards the first layers show as a fan of lines. Zeros and numbers that are not
    finite leave a gap, and the figure says so.

    Parameters
    ----------
    norms : mapping of str to sequence of float
        One number per epoch for each path, such as ``{"0.weight": [1.5, 0.75], "0.bias": [0.25, 0.125]}``.
    epochs : sequence of int, optional
        Of the numbers; None counts from 1.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure, higher for more parameters. Paths are written at the right.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    InputError, ShapeError
        If there is no parameter or no epoch, not one number per epoch, or a negative one.
    """
    return _plot_sizes("plot_gradient_norms", norms, epochs, "norm of the gradient, log scale", title, ax)


def plot_update_ratios(
    ratios: Sizes, *, epochs: Sequence[int] | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the sizes of the updates relative to those of the weights over the epochs, one line per parameter.

    Lines as in `plot_gradient_norms`. A grey band marks the neighbourhood of 1e-3, a rule of thumb: far above it the
    learning rate may be too high, far below it too low.

    Parameters
    ----------
    ratios : mapping of str to sequence of float
        ``norm(update) / norm(weight)``, one number per epoch for each path.
    epochs : sequence of int, optional
        Of the numbers; None counts from 1.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure, higher for more parameters. Paths are written at the right.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    InputError, ShapeError
        If there is no parameter or no epoch, not one number per epoch, or a negative one.

    References
    ----------
    Stanford CS231n, course notes, "Neural networks part 3", ratio of weights and updates.
    """
    label = "update / weight (ratio of norms)"
    return _plot_sizes("plot_update_ratios", ratios, epochs, label, title, ax, band=(10**-3.5, 10**-2.5))


def _plot_sizes(
    where: str, sizes: Any, epochs: Sequence[int] | None, label: str, title: str, ax: Axes | None, **options: Any
) -> Figure:
    """Draw one line per parameter on a logarithmic axis; the `options` are those of `draw_lines`."""
    from matplotlib import colormaps

    if not isinstance(sizes, Mapping) or not sizes:
        raise InputError(f"{where}: expected a dict of one number per epoch for each parameter, got {sizes!r:.80}")
    check_unmasked(where, list(sizes.values()))
    numbers = {str(path): np.array(column, dtype=np.float64) for path, column in sizes.items()}
    at = epochs_of(where, {} if epochs is None else {"epoch": epochs}, numbers)
    for path, column in numbers.items():
        if (column < 0).any():
            raise InputError(f"{where}: expected numbers of at least 0 for {path!r}, got {column.min():g}")
    drawable = {path: np.where(np.isfinite(column) & (column > 0), column, np.nan) for path, column in numbers.items()}
    labels = dict(zip(numbers, distinct_labels(numbers, 24), strict=True))
    notes = []
    missing: dict[str, Callable[[Array], Array]] = {"zero": np.logical_not, "not finite": lambda x: ~np.isfinite(x)}
    for what, is_missing in missing.items():
        gaps = gaps_in(numbers, [at] * len(numbers), is_missing)
        notes += listed(f"{what} (cross)", [f"{labels[path]} {words}" for path, words in gaps.items()])
    parts = [path.rpartition(".")[::2] for path in numbers]
    owners, kinds = (list(dict.fromkeys(names)) for names in zip(*parts, strict=True))
    styles = []
    for owner, kind in parts:
        depth = owners.index(owner) / max(1, len(owners) - 1)
        # The last part of the colours is too pale for lines.
        color = colormaps["plasma"](0.6 * depth)
        styles.append(line_style(kinds.index(kind)) | {"color": color, "linewidth": 1.2})
    every = -(-len(labels) // _MOST_NAMES)
    notes += [f"1 of {every} names is shown"] * (every > 1)
    ends = dict(list(labels.items())[::every])
    return draw_lines(ax, title, [at] * len(drawable), drawable, styles, notes, label, log=True, ends=ends, **options)
