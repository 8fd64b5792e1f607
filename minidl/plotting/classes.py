"""Classes: which are confused, how accurate each is, and how probable the true class is."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array, Axes, Figure
from minidl.nn.metrics import as_confusion_matrix, most_confused, true_class_probabilities
from minidl.plotting.style import (
    BLUE,
    SKY,
    VERMILLION,
    WIDTH,
    begin,
    class_labels,
    figure_of,
    finish,
    points_of,
    write_inside,
)
from minidl.plotting.texts import SIZE, fold, width_of
from minidl.plotting.ticks import set_ticks

__all__ = ["plot_confusion_matrix", "plot_most_confused", "plot_per_class_accuracy", "plot_true_class_probability"]

# Of numbers in cells, in points: smaller ones are not written.
_SMALLEST = 6.0
# The room of a label beside a bar, in points.
_LABEL = 125.0
# Of a confusion matrix, and bars.
_MOST_CLASSES, _MOST_BARS = 100, 30


def plot_confusion_matrix(
    matrix: Any, *, class_names: Sequence[str] = (), normalize: bool = False, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw a confusion matrix: a row for each target, a column for each prediction, darker for larger numbers.

    The numbers are written into the cells where there is room, and zeros are empty cells. Without room, a bar beside
    the matrix explains the shades, which grow with the square root, and only every second or third class is named, and
    so on. Of more than 100 classes the 20 that are confused most are drawn, and the figure says so. A class without
    rows is marked.

    Parameters
    ----------
    matrix : array_like of int, shape (classes, classes)
        Of `minidl.confusion_matrix`.
    class_names : sequence of str
        One per class; without them the classes are numbered from 0.
    normalize : bool
        Show per cent of each target's rows in place of counts.
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
    counts = as_confusion_matrix("plot_confusion_matrix", matrix)
    rows = counts.sum(axis=1, keepdims=True)
    names = class_labels("plot_confusion_matrix", class_names, len(counts))
    names = [f"{name} (no rows)" if total == 0 else name for name, total in zip(names, rows[:, 0], strict=True)]
    shown = counts.astype(np.float64)
    if normalize:
        shown = np.divide(100.0 * counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    unit = "% of the target's rows" if normalize else "rows"
    notes = [f"{counts.trace():,} of {counts.sum():,} rows correct"]
    notes += [f"cells: {unit}"] if normalize else []
    kept = shown_classes(counts)
    if len(kept) < len(counts):
        notes.append(f"the {len(kept)} of {len(counts):,} classes confused most")
        shown, names = shown[np.ix_(kept, kept)], [names[k] for k in kept]
    across, classes = [name.removesuffix(" (no rows)") for name in names], len(names)
    widest, lying = max(width_of(name, SIZE) for name in names), max(width_of(name, SIZE) for name in across)
    top = 100.0 if normalize else max(1.0, shown.max())
    numbers = max(2, len(f"{np.nanmax(shown, initial=0.0):,.0f}"))
    side = 72 * WIDTH - 40 - widest
    if ax is not None:
        side = min(points_of(ax))
    size = min(SIZE, 0.9 * side / classes / (0.68 * numbers))
    # A bar of shades takes room from the cells.
    side -= 0.0 if size >= _SMALLEST else 24 + width_of(f"{top:,.0f}", SIZE)
    # Without room for all names, only every second is written, or every third, and so on.
    step = math.ceil(1.25 * SIZE * classes / side)
    ticks = np.arange(0, classes, step)
    upright = lying + 6 > side / classes * step
    folded = ["predicted class", *(fold(note, 200) for note in notes)]
    lines = "\n".join(folded).count("\n")
    ax = begin(ax, title, lines, (side + (lying if upright else SIZE)) / 72 + 0.75, points=190)
    _draw_cells(ax, shown, size, top, unit)
    ax.set_xticks(ticks, [across[k] for k in ticks], rotation=90 if upright else 0, parse_math=False)
    ax.set_yticks(ticks, [names[k] for k in ticks], parse_math=False)
    ax.tick_params(length=0 if step == 1 else 3)
    return finish(ax, "\n".join(folded), "target class", grid=False, box=True)


def shown_classes(counts: Array) -> list[int]:
    """Return which classes of a confusion matrix to draw: of more than 100 the 20 of the most confused pairs."""
    if len(counts) <= _MOST_CLASSES:
        return list(range(len(counts)))
    wrong = counts + counts.T
    np.fill_diagonal(wrong, 0)
    pairs = np.argsort(-np.triu(wrong), axis=None, kind="stable")[: 20 * len(counts)]
    classes = dict.fromkeys(np.stack(np.unravel_index(pairs, wrong.shape), axis=1).ravel().tolist())
    return sorted(list(classes)[:20])


def _draw_cells(ax: Axes, shown: Array, size: float, top: float, unit: str) -> None:
    """Draw cells, darkest at `top`, with their numbers of this size, or beside a bar of shades."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize, PowerNorm

    shades = colormaps["Blues"].with_extremes(bad="0.85")
    if size < _SMALLEST:
        # With linear shades, a few confused rows would look like none.
        norm: Normalize = PowerNorm(0.5, 0, top)
        bar = figure_of(ax).colorbar(ax.imshow(shown, cmap=shades, norm=norm), ax=ax, shrink=0.8)
        bar.set_label(f"{unit}, square-root scale", fontsize=SIZE)
        bar.ax.tick_params(labelsize=SIZE)
        set_ticks(bar.ax, 0.0, top, whole=True)
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
    """Draw the counts of the most confused pairs of classes as bars; see `minidl.most_confused`.

    Parameters
    ----------
    matrix : array_like of int, shape (classes, classes)
        Of `minidl.confusion_matrix`.
    class_names : sequence of str
        One per class; without them the classes are numbered from 0.
    count : int
        How many pairs at most; more than 30 are not drawn.
    title : str
        Above the axes; long ones are wrapped.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Figure
        The new figure, or the one that `ax` belongs to. If nothing is confused, it says so.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above.
    """
    counts = as_confusion_matrix("plot_most_confused", matrix)
    names = class_labels("plot_most_confused", class_names, len(counts), most=20)
    pairs = most_confused(counts, names, min(count, _MOST_BARS))
    labels = [f"{pair.target} as {pair.predicted}" for pair in pairs]
    if max((width_of(label, SIZE) for label in labels), default=0.0) > _LABEL:
        labels = [f"{pair.target}\nas {pair.predicted}" for pair in pairs]
    values = np.array([pair.rows for pair in pairs], dtype=np.float64)
    texts = [f"{pair.rows:,} ({100 * pair.share:.0f} %)" for pair in pairs]
    ax = _bars(labels, values, texts, max([1.0, *values]), notes=2, title=title, ax=ax)
    if not pairs:
        ax.set_axis_off()
        write_inside(ax, "no class is confused with another")
    return finish(ax, "rows\n(share of the target's rows)", "", grid=False)


def plot_per_class_accuracy(
    shares: Any, *, class_names: Sequence[str] = (), sort: bool = False, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the accuracy within each class as bars, and the mean over classes and the accuracy of a guess as lines.

    Of more than 30 classes the 15 best and the 15 worst are drawn, and the figure says so.

    Parameters
    ----------
    shares : array_like, shape (classes,)
        In [0, 1], as of `minidl.per_class_accuracy`; NaN for a class without rows.
    class_names : sequence of str
        One per class; without them the classes are numbered from 0.
    sort : bool
        Put the best class on top; by default the classes keep their order.
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
        raise ShapeError(f"plot_per_class_accuracy: expected one share per class, got shape {shares.shape}")
    known = ~np.isnan(shares)
    if ((shares < 0) | (shares > 1)).any():
        raise InputError("plot_per_class_accuracy: expected shares in [0, 1], or NaN for a class without rows")
    names = class_labels("plot_per_class_accuracy", class_names, len(shares), most=20)
    # NaN goes last.
    best = np.argsort(-shares, kind="stable")
    order, notes = best if sort else np.arange(len(shares)), ["accuracy within the class"]
    if len(shares) > _MOST_BARS:
        notes.append(f"the {_MOST_BARS // 2} highest and {_MOST_BARS // 2} lowest of {len(shares):,} classes")
        best = best[known[best]]
        order = order[np.isin(order, [*best[: _MOST_BARS // 2], *best[-_MOST_BARS // 2 :]])]
    texts = [f"{shares[k]:.2f}" if known[k] else "no rows" for k in order]
    ax = _bars([names[k] for k in order], np.nan_to_num(shares[order]), texts, 1.0, notes=4, title=title, ax=ax)
    if known.any():
        mean = shares[known].mean()
        ax.axvline(mean, color="black", linestyle="--", linewidth=1.4)
        notes.append(f"dashed: mean over classes, {mean:.3f}")
    ax.axvline(1 / len(shares), color="black", linestyle=":", linewidth=1.4)
    notes.append(f"dotted: chance, {1 / len(shares):.3g}")
    return finish(ax, "\n".join(fold(note, 200) for note in notes), "", grid=False)


def _bars(
    labels: Sequence[str], values: Array, texts: Sequence[str], top: float, *, notes: int, title: str, ax: Axes | None
) -> Axes:
    """Return axes from 0 to `top` with a labelled horizontal bar for each value, from the top down, and its text.

    The texts stand beside the axes, where no bar or line crosses them.
    """
    labels = [label if width_of(label, SIZE) <= _LABEL else fold(label, _LABEL) for label in labels]
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    # The title is centred over the bars, which long labels push aside: it has less room.
    ax = begin(ax, title, notes, max(1.0, 0.2 * lines * len(labels) + 0.3), points=190)
    places = np.arange(len(labels))
    ax.barh(places, values, height=0.7, color=SKY)
    for place, text in enumerate(texts):
        ax.text(1.04, place, text, va="center", fontsize=SIZE, transform=ax.get_yaxis_transform())
    ax.set_yticks(places, labels, parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, top)
    set_ticks(ax, 0.0, top, axis="x", points=110, whole=top > 1)
    return ax


def plot_true_class_probability(probabilities: Any, targets: Any, *, title: str = "", ax: Axes | None = None) -> Figure:
    """Draw histograms of the probability of the true class, for rows classified correctly and wrongly.

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
    from matplotlib.colors import to_rgba

    true = true_class_probabilities(probabilities, targets)
    right = as_array("probabilities", probabilities).argmax(axis=1) == as_array("targets", targets)
    ax = begin(ax, title, 2)
    bins = np.linspace(0.0, 1.0, 26).tolist()
    for rows, name, color, hatch in [(right, "correct", BLUE, ""), (~right, "wrong", VERMILLION, "///")]:
        style: dict[str, Any] = {"facecolor": to_rgba(color, 0.4), "edgecolor": color, "linewidth": 1.2, "hatch": hatch}
        ax.hist(true[rows], bins, histtype="stepfilled", label=f"{name} ({rows.sum():,})", **style)
    ax.set_xlim(0, 1)
    set_ticks(ax, 0.0, ax.get_ylim()[1], whole=True)
    set_ticks(ax, 0.0, 1.0, axis="x", points=220)
    return finish(ax, "probability of the true class", "rows", grid=False, legend=True)
