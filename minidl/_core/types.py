"""The few type names that signatures share."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Numbers; a docstring says which shape, and which dtype where it matters."""

Seed = int | np.random.Generator | None
"""What every ``rng=`` takes: a seed, a generator, or None for fresh randomness."""

PathLike = str | os.PathLike[str]
"""The name of a file or folder."""
