"""Lines over epochs: learning curves of one run and of several, the sizes of gradients and of updates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minidl._core.checks import as_count, check_unmasked
from minidl._core.errors import InputError
from minidl._core.texts import distinct_labels
from minidl._core.types import Array, Axes, Figure
from minidl.plotting.lines import (
    Columns,
    blow_up,
    draw_lines,
    epochs_of,
    gaps_in,
    learning_curves,
    line_style,
    listed,
    quantity_label,
    with_gaps,
)

__all__ = ["plot_curves", "plot_gradient_norms", "plot_runs", "plot_update_ratios"]

Sizes = Mapping[str, Sequence[float]]

# Runs in colour, and names of parameters: more would make a figure higher than a page.
_MOST_RUNS, _MOST_NAMES = 10, 20
_LOWER_IS_BETTER = ("loss", "cost", "error", "seconds")


def plot_curves(
    history: Columns, quantity: str, *, classes: int | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw a column of the history, and its ``val_`` column where there is one, over the epochs.

    Training is solid, validation dashed. An axis of losses or costs (a name that ends so) becomes logarithmic when the
    run blows up: all values are positive, the largest is at least 3 times the smallest, and either it is over 10 times
    the median or some value is over 1.5 times that of the epoch before. Values that are not finite, or beyond 1e300,
    leave a gap, and a cross marks the last value before it. The figure says so in both cases.

    Parameters
    ----------
    history : History or dict of lists
        With a column `quantity`, or ``val_`` + `quantity`, or both.
    quantity : str
        Such as ``"cost"``, ``"loss"``, ``"accuracy"``.
    classes : int, optional
        Draw the accuracy of a guess among so many classes, 1 / `classes`, as a dotted line.
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
    at = [epochs] * len(curves)
    notes = [f"{name} (cross): no finite value {gaps}" for name, gaps in gaps_in(curves, at, np.isnan).items()]
    reasons = blow_up(quantity, curves)
    label = f"{quantity_label(quantity).partition(' (')[0]}, log scale" if reasons else quantity_label(quantity)
    styles = [line_style(int(name == "validation")) for name in curves]
    chance, log = _chance(classes), bool(reasons)
    return draw_lines(ax, title, at, curves, styles, notes + reasons, label, log=log, chance=chance)


def plot_runs(
    runs: Mapping[str, Columns],
    quantity: str,
    *,
    order: Sequence[str] = (),
    classes: int | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw one column of several histories over the epochs: a line a run, its name at the line's end.

    Of more than ten runs the ten best are drawn so, those with the lowest last loss, cost or error (names that end so)
    or the highest last value of anything else; the others are thin grey lines. When the axis becomes logarithmic, and
    what a gap is, see `plot_curves`.

    Parameters
    ----------
    runs : mapping of str to History or dict of lists
        One a name. They may differ in length; those without the column are left out, and the figure says so.
    quantity : str
        The column, such as ``"val_loss"``.
    order : sequence of str, optional
        All runs of a report: each has the colour of its place there, the same in every figure. None is `runs` itself.
    classes : int, optional
        Draw the accuracy of a guess among so many classes, 1 / `classes`, as a dotted line.
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
    runs = {str(name): run for name, run in runs.items()}
    curves = {name: with_gaps(run[quantity]) for name, run in runs.items() if quantity in run and len(run[quantity])}
    if not curves:
        got = ", ".join(f"{name}: {run!r:.80}" for name, run in runs.items()) or "no run"
        raise InputError(f"plot_runs: expected a run with {quantity!r}, got {got:.400}")
    epochs = {name: epochs_of("plot_runs", runs[name], {name: values}) for name, values in curves.items()}
    labels = dict(zip(runs, distinct_labels(runs, 20), strict=True))
    shown = _best(quantity, curves)
    gaps = gaps_in(curves, list(epochs.values()), np.isnan)
    notes = []
    if len(shown) < len(curves):
        which = "lowest" if quantity.endswith(_LOWER_IS_BETTER) else "highest"
        last = quantity_label(quantity).partition(" (")[0]
        notes.append(f"in colour: the {len(shown)} of {len(curves):,} runs with the {which} last {last}")
    notes += listed("no finite value (cross)", [f"{labels[name]} {words}" for name, words in gaps.items()])
    notes += listed(f"without {quantity}", [labels[name] for name in runs if name not in curves])
    label = quantity_label(quantity)
    if reasons := blow_up(quantity, curves):
        label = f"{label.partition(' (')[0]}, log scale"
    places = {name: place for place, name in enumerate([*order, *(name for name in runs if name not in order)])}
    drawn, ends = {name: curves[name] for name in shown}, {name: labels[name] for name in shown}
    styles, at = [line_style(places[name]) for name in shown], [epochs[name] for name in shown]
    options: dict[str, Any] = {"log": bool(reasons), "ends": ends, "chance": _chance(classes)}
    options["pale"] = [(epochs[name], curves[name]) for name in curves if name not in shown]
    return draw_lines(ax, title, at, drawn, styles, notes + reasons, label, **options)


def _best(quantity: str, curves: Mapping[str, Array]) -> list[str]:
    """Return the names of the best runs by their last values, in the order of the curves."""
    sign = 1 if quantity.endswith(_LOWER_IS_BETTER) else -1
    last = {name: np.nan_to_num(sign * values[-1], nan=np.inf) for name, values in curves.items()}
    best = set(sorted(curves, key=lambda name: last[name])[:_MOST_RUNS])
    return [name for name in curves if name in best]


def _chance(classes: int | None) -> float | None:
    return None if classes is None else 1 / as_count("classes", classes)


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
    notes += [f"every {every}th is named"] * (every > 1)
    ends = dict(list(labels.items())[::every])
    return draw_lines(ax, title, [at] * len(drawable), drawable, styles, notes, label, log=True, ends=ends, **options)
