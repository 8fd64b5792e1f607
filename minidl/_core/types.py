"""The few type names that signatures share."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

# For annotations: matplotlib itself is imported when something is drawn.
if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
else:
    Axes = Figure = Any

Array = NDArray[Any]
"""Numbers; a docstring says which shape, and which dtype where it matters."""

Seed = int | np.random.Generator | None
"""What every ``rng=`` takes: a seed, a generator, or None for fresh randomness."""

PathLike = str | os.PathLike[str]
"""The name of a file or folder."""
