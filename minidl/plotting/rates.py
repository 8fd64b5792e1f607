"""Learning rates: those of a schedule, and the sweep of a learning-rate test."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._core.checks import as_array, as_count
from minidl._core.errors import ShapeError
from minidl._core.reprs import oneline_repr
from minidl._core.types import Axes, Figure
from minidl.plotting.lines import set_axes, with_gaps
from minidl.plotting.style import BLUE, VERMILLION, begin, finish
from minidl.plotting.ticks import set_limits

__all__ = ["plot_learning_rates", "plot_schedule"]


def plot_schedule(schedule: Callable[[int], float], steps: int, *, title: str = "", ax: Axes | None = None) -> Figure:
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
    rates = with_gaps([schedule(step) for step in at.tolist()])
    # A function has no repr worth reading.
    name = getattr(schedule, "__name__", "").replace("<lambda>", "learning rate over steps") or oneline_repr(schedule)
    ax = begin(ax, title or name, 0)
    ax.plot(at, rates, color=BLUE, linewidth=1.4, marker="o" if steps == 1 else None)
    set_axes(ax, at, rates, log=False)
    return finish(ax, "step", "learning rate")


def plot_learning_rates(
    rates: Any, losses: Any, held_out: Any, suggestion: float | None = None, *, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the losses of a learning-rate test over the rates, on a logarithmic axis, with the suggestion marked.

    The axis of losses ends a little above the highest loss of the held-out rows before the lowest one: losses that blow
    up leave the figure at the top, and losses that are not finite leave a gap.

    Parameters
    ----------
    rates, losses, held_out : array_like, shape (steps,)
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
        If the three differ in length.
    """
    rates, losses, held_out = as_array("rates", rates), as_array("losses", losses), as_array("held_out", held_out)
    if rates.ndim != 1 or len(rates) == 0 or not rates.shape == losses.shape == held_out.shape:
        got = f"{rates.shape}, {losses.shape} and {held_out.shape}"
        raise ShapeError(f"plot_learning_rates: expected rates, losses and held_out of one shape (steps,), got {got}")
    losses, held_out = with_gaps(losses), with_gaps(held_out)
    names = ["each batch", "held-out rows"] + [f"suggestion: {suggestion or 0:.2g}"] * (suggestion is not None)
    ax = begin(ax, title, 3)
    ax.plot(rates, losses, color="0.5", linewidth=0.8, linestyle=":", label=names[0])
    ax.plot(rates, held_out, color=BLUE, linewidth=1.6, label=names[1], marker="o" if len(rates) == 1 else None)
    set_limits(ax, rates[rates > 0].tolist() or [1.0], log=True, axis="x", points=220)
    shown = []
    if np.isfinite(held_out).any():
        low, high = float(np.nanmin(held_out)), float(np.nanmax(held_out[: int(np.nanargmin(held_out)) + 1]))
        room = max(high - low, 0.05 * abs(high), 1e-12)
        shown = [float(np.fmin(low, np.nanquantile(losses, 0.02))) - 0.1 * room, high + 0.6 * room]
    set_limits(ax, shown)
    if suggestion is not None:
        ax.axvline(suggestion, color=VERMILLION, linewidth=1.2, linestyle="--", label=names[2])
    return finish(ax, "learning rate, log scale", "loss", legend=True)
