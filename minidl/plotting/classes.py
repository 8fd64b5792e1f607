"""Classes: which are taken for which, how often each is recognised, and how probable the truth is found."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array, Axes, Figure
from minidl.nn.metrics import as_confusion_matrix, most_confused, true_class_probabilities
from minidl.plotting.style import BLUE, SKY, VERMILLION, begin, class_labels, figure_of, finish, write_inside

__all__ = ["plot_confusion_matrix", "plot_most_confused", "plot_per_class_accuracy", "plot_true_class_probability"]

# In points: what would have to be smaller is not written.
_SMALLEST = 6.0


def plot_confusion_matrix(
    matrix: Any, *, class_names: Sequence[str] = (), normalize: bool = False, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw a confusion matrix: a row for each target, a column for each prediction, the darker the more often.

    The numbers are written into the cells where there is room, zeros as empty cells; otherwise a bar beside the matrix
    tells what the shades mean. A class without rows is named so.

    Parameters
    ----------
    matrix : array_like of int, shape (classes, classes)
        Of `minidl.confusion_matrix`.
    class_names : sequence of str
        One a class; without them the classes are numbered from 0.
    normalize : bool
        Show shares of each target's rows, in per cent, in place of counts.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure, the larger the more classes.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above.
    """
    counts = as_confusion_matrix("plot_confusion_matrix", matrix)
    classes, rows = len(counts), counts.sum(axis=1, keepdims=True)
    names = class_labels("plot_confusion_matrix", class_names, classes)
    shown = counts.astype(np.float64)
    if normalize:
        shown = np.divide(100.0 * counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    unit = "% of the target's rows" if normalize else "rows"
    notes = ["predicted class", f"{counts.trace():,} of {counts.sum():,} rows right"]
    notes += [f"in the cells: {unit}"] if normalize else []
    if ax is None:
        side = max(2.6, 0.42 * classes if classes <= 20 else min(9.0, 4.0 + 0.07 * classes))
    else:
        extent = ax.get_window_extent()
        side = min(extent.width, extent.height) / figure_of(ax).dpi
    ax = begin(ax, title, len(notes), (max(5.0, side + 1.6), side + 0.8), wrap=36)
    _draw_cells(ax, shown, 72 * side / classes, 100.0 if normalize else max(1.0, shown.max()), unit)

    size = max(7.0, min(9.0, 60 * side / classes))
    # Without room for every name there is one for every second, or third, and so on.
    step = math.ceil(classes * size * 1.25 / (72 * side))
    ticks = np.arange(0, classes, step)
    across = 90 if max(map(len, names)) > 3 else 0
    ax.set_xticks(ticks, [names[k] for k in ticks], fontsize=size, rotation=across, parse_math=False)
    own = [f"{names[k]} (no rows)" if rows[k, 0] == 0 else names[k] for k in ticks]
    ax.set_yticks(ticks, own, fontsize=size, parse_math=False)
    ax.tick_params(length=0 if step == 1 else 3)
    return finish(ax, "\n".join(notes), "target class", grid=False, box=True)


def _draw_cells(ax: Axes, shown: Array, points: float, top: float, unit: str) -> None:
    """Draw cells so many points wide, darkest at `top`, with their numbers or beside a bar of shades."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize, PowerNorm

    shades = colormaps["Blues"].with_extremes(bad="0.85")
    longest = max(2, len(f"{np.nanmax(shown, initial=0.0):,.0f}"))
    size = min(9.0, 0.9 * points / (0.62 * longest))
    if size < _SMALLEST:
        # Linear shades would show the few of a confused pair as pale as none.
        norm: Normalize = PowerNorm(0.5, 0, top)
        image = ax.imshow(shown, cmap=shades, norm=norm)
        figure_of(ax).colorbar(image, ax=ax, shrink=0.7).set_label(unit)
        return
    norm = Normalize(0, top)
    ax.imshow(shown, cmap=shades, norm=norm)
    # This leaves out NaN, too.
    for t, p in np.argwhere(shown > 0).tolist():
        number = f"{shown[t, p]:,.0f}" if shown[t, p] > 0.5 else "<1"
        luminance = np.dot(shades(norm(shown[t, p]))[:3], (0.2126, 0.7152, 0.0722))
        color = "white" if luminance < 0.46 else "black"
        ax.text(p, t, number, ha="center", va="center", fontsize=size, color=color)


def plot_most_confused(
    matrix: Any, *, class_names: Sequence[str] = (), count: int = 10, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw how often the most confused pairs of classes are confused, as bars; see `minidl.most_confused`.

    Parameters
    ----------
    matrix : array_like of int, shape (classes, classes)
        Of `minidl.confusion_matrix`.
    class_names : sequence of str
        One a class; without them the classes are numbered from 0.
    count : int
        How many pairs at most.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to. It says so if nothing is confused.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above.
    """
    from matplotlib.ticker import MaxNLocator

    counts = as_confusion_matrix("plot_most_confused", matrix)
    names = class_labels("plot_most_confused", class_names, len(counts), most=20)
    pairs = most_confused(counts, names, count)
    labels = [f"{pair.target} as {pair.predicted}" for pair in pairs]
    values = np.array([pair.rows for pair in pairs], dtype=np.float64)
    texts = [f"{pair.rows:,} ({100 * pair.share:.0f} %)" for pair in pairs]
    ax = _bars(labels, values, texts, title=title, ax=ax)
    ax.set_xlim(0, 1.35 * max([1.0, *values]))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if not pairs:
        ax.set_axis_off()
        write_inside(ax, "no class is taken for another")
    return finish(ax, "rows\n(share of the target's rows)", "", grid=False)


def plot_per_class_accuracy(
    shares: Any, *, class_names: Sequence[str] = (), sort: bool = False, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the accuracy within each class as bars, and its mean over the classes as a line.

    Parameters
    ----------
    shares : array_like, shape (classes,)
        In [0, 1], as of `minidl.per_class_accuracy`; NaN for a class without rows.
    class_names : sequence of str
        One a class; without them the classes are numbered from 0.
    sort : bool
        Put the best class on top, in place of the classes' own order.
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
    ShapeError, InputError
        If an argument is not as above.
    """
    shares = as_array("shares", shares).astype(np.float64)
    if shares.ndim != 1 or len(shares) == 0:
        raise ShapeError(f"plot_per_class_accuracy: expected one share a class, got shape {shares.shape}")
    known = ~np.isnan(shares)
    if ((shares < 0) | (shares > 1)).any():
        raise InputError("plot_per_class_accuracy: expected shares in [0, 1], or NaN for a class without rows")
    names = class_labels("plot_per_class_accuracy", class_names, len(shares), most=20)
    # NaN goes last.
    order = np.argsort(-shares, kind="stable") if sort else np.arange(len(shares))
    texts = [f"{shares[k]:.2f}" if known[k] else "no rows" for k in order]
    ax = _bars([names[k] for k in order], np.nan_to_num(shares[order]), texts, title=title, ax=ax)
    ax.set_xlim(0, 1.12)
    ax.set_xticks(np.linspace(0, 1, 6))
    notes = ["accuracy within the class (share correct)"]
    if known.any():
        mean = shares[known].mean()
        ax.axvline(mean, color="black", linestyle="--", linewidth=1.4)
        notes.append(f"dashed: the mean over classes, {mean:.3f}")
    return finish(ax, "\n".join(notes), "", grid=False)


def _bars(labels: Sequence[str], values: Array, texts: Sequence[str], *, title: str, ax: Axes | None) -> Axes:
    """Return axes with a labelled horizontal bar for each value, from the top down, and a text at its end."""
    size = max(5.0, 3.4 + 0.075 * max(map(len, labels), default=0)), max(1.0, 0.2 * len(labels))
    # The title is centred over the bars, which long labels push aside: it has less room.
    ax = begin(ax, title, 3, size, wrap=36, points=230)
    places = np.arange(len(labels))
    bars = ax.barh(places, values, height=0.7, color=SKY)
    # White, lest a line behind a text cross it.
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    ax.bar_label(bars, texts, padding=3, fontsize=8, bbox=ground)
    ax.set_yticks(places, labels, fontsize=9, parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    return ax


def plot_true_class_probability(probabilities: Any, targets: Any, *, title: str = "", ax: Axes | None = None) -> Figure:
    """Draw histograms of the probability of the true class, for rows classified rightly and wrongly.

    Parameters
    ----------
    probabilities : array_like, shape (n, classes)
    targets : array_like of int, shape (n,)
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to.
    """
    true = true_class_probabilities(probabilities, targets)
    right = as_array("probabilities", probabilities).argmax(axis=1) == as_array("targets", targets)
    ax = begin(ax, title, 1)
    bins = np.linspace(0.0, 1.0, 26).tolist()
    for rows, name, color, hatch in [(right, "right", BLUE, ""), (~right, "wrong", VERMILLION, "///")]:
        label = f"classified {name} ({rows.sum():,})"
        ax.hist(true[rows], bins, histtype="stepfilled", alpha=0.45, color=color, hatch=hatch, label=label)
    ax.set_xlim(0, 1)
    return finish(ax, "probability of the true class", "rows", grid=False, legend=True)
