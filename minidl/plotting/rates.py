"""The sweep of a learning-rate test."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import ShapeError
from minidl.plotting.lines import with_gaps
from minidl.plotting.style import BLUE, VERMILLION, figure_of, new_axes, put_legend_above, write_inside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_learning_rates(
    rates: Any,
    losses: Any,
    smoothed: Any,
    suggestion: float | None = None,
    *,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the losses of a learning-rate test over the rates, on a logarithmic axis, with the suggestion marked.

    The axis of losses ends a little above the highest smoothed loss that comes before the lowest one: what blows up
    leaves the picture at its upper edge, and what is not finite is a gap.

    Parameters
    ----------
    rates, losses, smoothed : array_like, shape (steps,)
        As in `LearningRateResult`; rates above 0.
    suggestion : float, optional
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
    ShapeError
        If the three are not of one length.
    """
    rates, losses, smoothed = (
        as_array(name, value) for name, value in (("rates", rates), ("losses", losses), ("smoothed", smoothed))
    )
    if rates.ndim != 1 or len(rates) == 0 or not rates.shape == losses.shape == smoothed.shape:
        raise ShapeError(
            "plot_learning_rates: expected rates, losses and smoothed of one shape (steps,), got "
            f"{rates.shape}, {losses.shape} and {smoothed.shape}"
        )
    losses, smoothed = with_gaps(losses), with_gaps(smoothed)
    title = textwrap.fill(title, 44)
    ax = new_axes(1 + title.count("\n")) if ax is None else ax
    ax.plot(rates, losses, color="0.5", linewidth=0.8, linestyle=":", label="each batch")
    ax.plot(rates, smoothed, color=BLUE, linewidth=1.6, label="smoothed")
    ax.set_xscale("log")
    if np.isfinite(smoothed).any():
        low, high = float(np.nanmin(smoothed)), float(np.nanmax(smoothed[: int(np.nanargmin(smoothed)) + 1]))
        room = max(high - low, 0.05 * abs(high), 1e-12)
        ax.set_ylim(np.nanmin([low, np.nanquantile(losses, 0.02)]) - 0.1 * room, high + 0.6 * room)
    else:
        write_inside(ax, "nothing finite to draw")
    if suggestion is not None:
        ax.axvline(suggestion, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"suggestion: {suggestion:.2g}")
    ax.set_xlabel("learning rate, log scale")
    ax.set_ylabel("loss of a batch")
    ax.grid(alpha=0.3, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    put_legend_above(ax, title)
    return figure_of(ax)
