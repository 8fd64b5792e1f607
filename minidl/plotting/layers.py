"""How training goes on inside: the sizes of gradients and of updates, a line a parameter."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minidl._core.errors import InputError, ShapeError
from minidl.plotting.lines import gaps_in, label_ends, line_style, marked_points, set_axes
from minidl.plotting.style import begin, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_gradient_norms(
    norms: Mapping[str, Sequence[float]],
    *,
    epochs: Sequence[int] | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
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
    return _draw("plot_gradient_norms", norms, epochs, "norm of the gradient, log scale", title, ax)


def plot_update_ratios(
    ratios: Mapping[str, Sequence[float]],
    *,
    epochs: Sequence[int] | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
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
    return _draw("plot_update_ratios", ratios, epochs, label, title, ax, band=(10**-3.5, 10**-2.5))


def _draw(
    where: str,
    values: Mapping[str, Sequence[float]],
    epochs: Sequence[int] | None,
    label: str,
    title: str,
    ax: "Axes | None",
    band: tuple[float, float] | None = None,
) -> "Figure":
    """Draw a line a parameter on a logarithmic axis, and a band that stays in sight."""
    from matplotlib import colormaps

    if not isinstance(values, Mapping) or not values:
        raise InputError(f"{where}: expected a dict of one number an epoch for each parameter, got {values!r:.80}")
    numbers = {str(path): np.array(column, dtype=np.float64) for path, column in values.items()}
    at = np.arange(1, len(next(iter(numbers.values()))) + 1) if epochs is None else np.asarray(epochs)
    for path, column in numbers.items():
        if column.shape != at.shape or len(at) == 0:
            wanted = f"{len(at) or 'some'} numbers for {path!r}, one an epoch"
            raise ShapeError(f"{where}: expected {wanted}, got {column!r:.80}")
        if (column < 0).any():
            raise InputError(f"{where}: expected numbers of at least 0 for {path!r}, got {column.min():g}")
    drawable = {path: np.where(np.isfinite(column) & (column > 0), column, np.nan) for path, column in numbers.items()}
    everything = np.concatenate(list(drawable.values()))
    note = "epoch"
    if band is not None and not np.isnan(everything).all():
        note += "\ngrey band: around 0.001"
        everything = np.append(everything, band)
    else:
        band = None
    zeros = {path: column == 0 for path, column in numbers.items()}
    others = {path: ~np.isfinite(column) for path, column in numbers.items()}
    for what, gaps in (("zero", zeros), ("not finite", others)):
        if found := [f"{path} {epochs}" for path, epochs in gaps_in(gaps).items()]:
            found[3:] = [f"{len(found) - 3} more"] if len(found) > 4 else found[3:]
            note += "\n" + textwrap.fill(f"{what}: {', '.join(found)}", 60)
    ax = begin(ax, title, 2 + note.count("\n"), width=6.0, height=max(3.0, 0.16 * len(numbers)))
    owners = list(dict.fromkeys(path.rpartition(".")[0] for path in numbers))
    kinds = list(dict.fromkeys(path.rpartition(".")[2] for path in numbers))
    lines = []
    for path, column in drawable.items():
        owner, _, kind = path.rpartition(".")
        depth = owners.index(owner) / max(1, len(owners) - 1)
        # The last part of the colours is too pale for lines.
        style = line_style(kinds.index(kind)) | {"color": colormaps["cividis"](0.82 * depth), "linewidth": 1.2}
        lines += ax.plot(at, column, label=path, markevery=marked_points(column), **style)
    if band is not None:
        ax.axhspan(*band, color="0.9", zorder=0)
    set_axes(ax, at, everything, log=True)
    label_ends(ax, lines, 28)
    return finish(ax, note, label)
