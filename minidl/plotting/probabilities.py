"""How probable a classifier finds the truth."""

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._core.checks import as_array
from minidl.nn.metrics import true_class_probabilities
from minidl.plotting.style import BLUE, VERMILLION, begin, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_true_class_probability(
    probabilities: Any, targets: Any, *, title: str = "", ax: "Axes | None" = None
) -> "Figure":
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
