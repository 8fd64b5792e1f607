"""Type names that signatures share."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

# Only for annotations: matplotlib is imported when a figure is drawn.
if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
else:
    Axes = Figure = Any

Array = NDArray[Any]
"""An array of numbers; the docstring gives its shape, and its dtype where it matters."""

Seed = int | np.random.Generator | None
"""The type of every ``rng=``: a seed, a generator, or None for fresh randomness."""

PathLike = str | os.PathLike[str]
"""The name of a file or folder."""
