"""Learning curves, and the learning rates of a schedule."""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minidl.checks import as_count
from minidl.errors import InputError
from minidl.plotting.style import BLUE, VERMILLION, figure_of, new_axes, put_legend_above, title_style
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
    ax = new_axes(1 + title.count("\n") + len(notes)) if ax is None else ax
    for name, values in curves.items():
        ax.plot(epochs, values, label=name, markersize=3, linewidth=1.4, markevery=_markers(values), **_style(name))
    _set_axes(ax, epochs, np.concatenate(list(curves.values())), log=bool(reason))
    ax.set_xlabel("\n".join(notes), parse_math=False)
    label = _LABELS.get(quantity, quantity.replace("_", " "))
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
    title = textwrap.fill(title or repr(schedule), 44, break_long_words=False)
    ax = new_axes(title.count("\n")) if ax is None else ax
    ax.plot(at, rates, color=BLUE, linewidth=1.4, marker="o" if steps == 1 else None)
    _set_axes(ax, at, rates, log=False)
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate")
    ax.set_title(title, **title_style(title))
    return figure_of(ax)


def _style(name: str) -> dict[str, Any]:
    if name == "training":
        return {"color": BLUE, "linestyle": "-", "marker": "o"}
    return {"color": VERMILLION, "linestyle": "--", "marker": "s"}


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
