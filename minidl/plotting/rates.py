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
    rates = np.array([schedule(step) for step in at.tolist()], dtype=np.float64)
    ax = begin(ax, title or told(schedule), 0)
    ax.plot(at, rates, color=BLUE, linewidth=1.4, marker="o" if steps == 1 else None)
    set_axes(ax, at, rates, log=False)
    return finish(ax, "step", "learning rate")


def plot_learning_rates(
    rates: Any, losses: Any, held_out: Any, suggestion: float | None = None, *, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw the losses of a learning-rate test over the rates, on a logarithmic axis, with the suggestion marked.

    The axis of losses ends a little above the highest loss of the held-out rows before the lowest one: what blows up
    leaves the picture at its upper edge, and what is not finite is a gap.

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
        If the three are not of one length.
    """
    rates, losses, held_out = as_array("rates", rates), as_array("losses", losses), as_array("held_out", held_out)
    if rates.ndim != 1 or len(rates) == 0 or not rates.shape == losses.shape == held_out.shape:
        got = f"{rates.shape}, {losses.shape} and {held_out.shape}"
        raise ShapeError(f"plot_learning_rates: expected rates, losses and held_out of one shape (steps,), got {got}")
    losses, held_out = with_gaps(losses), with_gaps(held_out)
    ax = begin(ax, title, 1)
    ax.plot(rates, losses, color="0.5", linewidth=0.8, linestyle=":", label="each batch")
    ax.plot(rates, held_out, color=BLUE, linewidth=1.6, label="held-out rows")
    ax.set_xscale("log")
    if np.isfinite(held_out).any():
        low, high = float(np.nanmin(held_out)), float(np.nanmax(held_out[: int(np.nanargmin(held_out)) + 1]))
        room = max(high - low, 0.05 * abs(high), 1e-12)
        ax.set_ylim(np.nanmin([low, np.nanquantile(losses, 0.02)]) - 0.1 * room, high + 0.6 * room)
    else:
        write_inside(ax, "nothing finite to draw")
    if suggestion is not None:
        ax.axvline(suggestion, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"suggestion: {suggestion:.2g}")
    return finish(ax, "learning rate, log scale", "loss", legend=True)
