"""Learning rates: those of a schedule, and the sweep of a learning-rate test."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._core.checks import as_array, as_count
from minidl._core.errors import ShapeError
from minidl._core.reprs import told
from minidl._core.types import Axes, Figure
from minidl.plotting.lines import set_axes, with_gaps
from minidl.plotting.style import BLUE, VERMILLION, begin, finish, write_inside


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
    ax = begin(ax, title or told(schedule), 0)
    ax.plot(at, rates, color=BLUE, linewidth=1.4, marker="o" if steps == 1 else None)
    set_axes(ax, at, rates, log=False)
    return finish(ax, "step", "learning rate")


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
    rates, losses, smoothed = as_array("rates", rates), as_array("losses", losses), as_array("smoothed", smoothed)
    if rates.ndim != 1 or len(rates) == 0 or not rates.shape == losses.shape == smoothed.shape:
        raise ShapeError(
            "plot_learning_rates: expected rates, losses and smoothed of one shape (steps,), got "
            f"{rates.shape}, {losses.shape} and {smoothed.shape}"
        )
    losses, smoothed = with_gaps(losses), with_gaps(smoothed)
    ax = begin(ax, title, 1)
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
    return finish(ax, "learning rate, log scale", "loss of a batch", legend=True)
