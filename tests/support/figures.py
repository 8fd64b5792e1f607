"""What tests of figures share."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def axes_of(figure: Figure) -> Axes:
    """Return the only axes of a figure."""
    (ax,) = figure.axes
    return ax


def save_nothing(figure: Figure, path: Path) -> list[Path]:
    """Make empty files in the place of those that `save_figure` writes."""
    paths = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    for file in paths:
        file.touch()
    return paths
