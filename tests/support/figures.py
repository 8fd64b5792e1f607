"""What tests of figures share."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def axes_of(figure: Figure) -> Axes:
    """Return the only axes of a figure."""
    (ax,) = figure.axes
    return ax
