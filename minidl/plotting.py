"""Figures: learning curves and weight templates, and the files they are saved in.

Only matplotlib's objects are used, never `pyplot`: no window, no display, no figure left open, no setting of the user's
changed. Importing this module does not import matplotlib.
"""

import io
import math
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minidl.checks import as_array
from minidl.errors import InputError, ShapeError
from minidl.files import PathLike, write_whole
from minidl.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {
    "loss": "loss (mean per sample)",
    "cost": "cost (loss + penalty)",
    "accuracy": "accuracy (share correct)",
    "seconds": "seconds an epoch",
}
_BLUE, _VERMILLION = "#0072B2", "#D55E00"  # of Okabe and Ito's palette: distinct to colour-blind readers
_MOST_TEMPLATES = 100


class Columns(Protocol):
    """Named columns of numbers, one number an epoch: a `History`, or a dict of lists."""

    def __contains__(self, name: object, /) -> bool: ...

    def __getitem__(self, name: str, /) -> Sequence[float]: ...


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
    from matplotlib.figure import Figure

    names = {"training": quantity, "validation": f"val_{quantity}"}
    curves = {
        label: np.array(history[name], dtype=np.float64)  # (a copy: it gets gaps)
        for label, name in names.items()
        if name in history and len(history[name]) > 0
    }
    if not curves:
        raise InputError(f"plot_curves: expected a history with {quantity!r} or 'val_{quantity}', got {history!r:.200}")
    count = len(next(iter(curves.values())))
    epochs = np.asarray(history["epoch"] if "epoch" in history else range(1, count + 1))

    notes = ["epoch"]
    for name, values in curves.items():
        values[~np.isfinite(values)] = np.nan
        if gaps := int(np.isnan(values).sum()):
            notes.append(f"{name}: no finite value in {gaps} of {count} epochs")
    reason = _blow_up(quantity, list(curves.values())) if quantity.endswith(("loss", "cost")) else ""
    if reason:
        notes.append(f"log scale: {reason}")
    title = textwrap.fill(title, 44)
    if ax is None:
        # What stands above and below the axes comes on top of their height, so that they never shrink to nothing.
        height = 3.2 + 0.2 * (title.count("\n") + len(notes))
        ax = Figure(figsize=(5.0, height), layout="constrained", facecolor="white").add_subplot()

    for name, values in curves.items():
        ax.plot(epochs, values, label=name, markersize=3, linewidth=1.4, markevery=_markers(values), **_style(name))
    _set_axes(ax, epochs, np.concatenate(list(curves.values())), log=bool(reason))
    ax.set_xlabel("\n".join(notes), parse_math=False)
    label = _LABELS.get(quantity, quantity.replace("_", " "))
    ax.set_ylabel(f"{label}, log scale" if reason else label, parse_math=False)
    # Above the axes the legend covers no data, whatever the curves do.
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.1, fontsize=9)
    ax.set_title(title, pad=22, **_title_style(title))
    figure: Any = ax.figure
    return figure.figure  # type: ignore[no-any-return]  # of a subfigure: the figure around it


def plot_weight_templates(
    weight: Any, *, class_names: Sequence[str] = (), image_shape: tuple[int, ...] | None = None, title: str = ""
) -> "Figure":
    """Draw each column of a weight matrix as the picture that its class responds to most.

    Every template is shifted and scaled to [0, 1] by its own minimum and maximum. What is lost: the sign and the size
    of the weights, so that brightness cannot be compared between templates, and a zero weight has no colour of its own.
    A constant template is mid-grey, and so is a weight that is not finite.

    Parameters
    ----------
    weight : array_like, shape (in_features, n_classes)
        Such as ``dense.weight.value``. Of more than 100 columns the first 100 are drawn, and the figure says so.
    class_names : sequence of str
        One a column; without them the columns are numbered from 0.
    image_shape : tuple of int, optional
        (height, width), (3, height, width) or (height, width, 3); None finds a square: (3, s, s) or else (s, s).
    title : str
        Above the pictures; long ones are wrapped.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ShapeError
        If the weight is not a matrix, its columns do not fill the image, or there is not one name a column.
    """
    from matplotlib.figure import Figure

    pictures = template_images(weight, image_shape)
    total = len(pictures)
    names = [str(name) for name in class_names] or [str(column) for column in range(total)]
    if len(names) != total:
        raise ShapeError(f"plot_weight_templates: expected {total} class names, one a column, got {len(names)}")
    notes = ["each scaled to its own minimum and maximum"]
    if not np.isfinite(weight).all():
        notes.append("grey where not finite")
    if total > _MOST_TEMPLATES:
        pictures = pictures[:_MOST_TEMPLATES]
        notes.append(f"the first {_MOST_TEMPLATES} of {total}")
    title = textwrap.fill(title, 44)
    columns = min(len(pictures), 5 if len(pictures) <= 25 else 10)
    rows = -(-len(pictures) // columns)

    # Placed by hand, in inches: matplotlib's own layout of so many axes takes several times as long as drawing them.
    side, cell, foot = 0.94, 1.18, 0.3
    width, height = max(columns, 5), foot + rows * cell + 0.19 * len(title.splitlines()) + 0.08
    figure = Figure(figsize=(width, height), facecolor="white")
    for index, (name, picture) in enumerate(zip(names, pictures, strict=False)):
        row, column = divmod(index, columns)
        bottom = foot + (rows - 1 - row) * cell
        ax = figure.add_axes(((column + 0.03) / columns, bottom / height, side / columns, side / height))
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
        ax.set_title(_shortened(name), fontsize=9, pad=3, parse_math=False)
        ax.set_axis_off()
    figure.suptitle(title, y=1 - 0.06 / height, **_title_style(title))
    figure.supxlabel("; ".join(notes), y=0.06 / height, fontsize=8)
    return figure


def template_images(weight: Any, image_shape: tuple[int, ...] | None = None) -> Array:
    """Return the columns of `weight` as pictures in [0, 1], (n, height, width[, 3]), each scaled by its own range."""
    weight = as_array("weight", weight).astype(np.float64)
    if weight.ndim != 2 or weight.size == 0:
        raise ShapeError(f"weight templates: expected a weight (in_features, n_classes), got shape {weight.shape}")
    shape = _image_shape(len(weight), image_shape)
    weight[~np.isfinite(weight)] = np.nan
    low, high = np.fmin.reduce(weight), np.fmax.reduce(weight)
    scaled = np.divide(weight - low, high - low, out=np.full_like(weight, 0.5), where=high > low)
    pictures = np.nan_to_num(scaled, nan=0.5).T.reshape(-1, *shape)
    return np.moveaxis(pictures, 1, -1) if len(shape) == 3 and shape[0] == 3 else pictures


def save_figure(figure: "Figure", path: PathLike) -> list[Path]:
    """Write the figure as PNG (150 dpi) and as SVG, and return the two paths.

    The same figure gives the same bytes: no date, no random ids. Texts in the SVG are outlines, so that it looks the
    same without the font.

    Parameters
    ----------
    figure : matplotlib Figure
    path : str or PathLike
        ``figures/cost``, ``figures/cost.png`` and ``figures/cost.svg`` all mean the same two files.
    """
    from matplotlib import rc_context

    stem = os.fspath(path).removesuffix(".png").removesuffix(".svg")  # with_suffix would eat the end of "lambda=0.1"
    paths = []
    with rc_context({"svg.hashsalt": "minidl", "svg.fonttype": "path"}):
        for kind, metadata in [("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})]:
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=150, metadata=metadata)
            paths.append(write_whole(f"{stem}.{kind}", content.getvalue()))
    return paths


def _title_style(title: str) -> dict[str, Any]:
    """Return the font of a title, small enough for its longest line to fit into 5 inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=11)
    widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in title.splitlines()]
    return {"fontsize": 11 * min(1.0, 310 / max(widths, default=1.0)), "parse_math": False}


def _shortened(name: str) -> str:
    return name if len(name) <= 15 else f"{name[:14]}…"


def _style(name: str) -> dict[str, Any]:
    if name == "training":
        return {"color": _BLUE, "linestyle": "-", "marker": "o"}
    return {"color": _VERMILLION, "linestyle": "--", "marker": "s"}


def _markers(values: Array) -> list[int]:
    """Return which points get a marker: all of a short curve, else those that no line reaches."""
    if len(values) <= 50:
        return list(range(len(values)))
    gap = np.pad(np.isnan(values), 1, constant_values=True)
    return np.flatnonzero(~gap[1:-1] & gap[:-2] & gap[2:]).tolist()


def _blow_up(quantity: str, curves: Sequence[Array]) -> str:
    """Return what makes the run a blow-up, in words; "" if nothing does."""
    values = np.concatenate(curves)
    values = values[~np.isnan(values)]
    if len(values) == 0 or values.min() <= 0:
        return ""
    with np.errstate(over="ignore"):
        spread = values.max() / np.median(values)
        jump = max(np.fmax.reduce(curve[1:] / curve[:-1], initial=0.0) for curve in curves)
    if spread > 10:
        return f"the largest {quantity} is {_times(spread)} times the median"
    return f"{quantity} rises up to {_times(jump)}-fold in one epoch" if jump > 1.5 else ""


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if 10 <= factor < 1e6 else f"{factor:.2g}"


def _set_axes(ax: "Axes", epochs: Array, values: Array, *, log: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    margin = max(0.5, 0.02 * (epochs.max() - epochs.min()))
    ax.set_xlim(epochs.min() - margin, epochs.max() + margin)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if np.isnan(values).all():
        ax.set_yticks([])
        ax.text(0.5, 0.5, "nothing finite to draw", ha="center", va="center", transform=ax.transAxes)
    elif log:
        ax.set_yscale("log")
        # Within few decades the powers of ten alone would leave the axis with hardly a number.
        decades = math.log10(np.nanmax(values)) - math.log10(np.nanmin(values))
        if decades < 1:
            ax.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        elif decades < 3:
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _image_shape(in_features: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None:
        for channels in [(3,), ()]:
            side = math.isqrt(in_features // math.prod(channels))
            if math.prod((*channels, side, side)) == in_features:
                return (*channels, side, side)
        raise ShapeError(f"weight templates: {in_features} features are no square image; pass image_shape")
    is_image = len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[2]))
    if not is_image or math.prod(shape) != in_features:
        raise ShapeError(
            "image_shape: expected (height, width), (3, height, width) or (height, width, 3) "
            f"of {in_features} features in all, got {shape}"
        )
    return shape
