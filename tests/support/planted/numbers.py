"""The numbers that planted faults are checked with."""

import numpy as np


def signed(*shape, seed=1):
    """Numbers of both signs, no two alike."""
    return np.random.default_rng(seed).normal(size=shape)


NOISE = np.random.default_rng(5)  # no attribute of a layer, so that no check can put it back
X = signed(5, 4)
LABELS = np.array([2, 0, 1, 2, 2])
WITH_ZEROS = np.array([[0.0, -1.5, 2.0], [0.75, 0.0, -0.25]])
