"""The few type names that signatures share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Numbers; a docstring says which shape, and which dtype where it matters."""

Seed = int | np.random.Generator | None
"""What every ``rng=`` takes: a seed, a generator, or None for fresh randomness."""
