"""Batches: how many rows of a dataset go through a network at a time, so that memory does not grow with the dataset."""

import math
from collections.abc import Callable

import numpy as np

from minidl._core.types import Array
from minidl.nn.layers import Conv2D, Layer

FLAT_ROWS = 2500
"""Rows at a time if rows are flat in all layers: 10,000 rows through one layer take 11 ms, in batches of 1000 17 ms."""
IMAGES = 250
"""Rows at a time if a layer receives or returns images. The outputs of a convolution should stay in the cache until the
next layer: 2000 images through two convolutions take 0.6 s, or 1.1 s in batches of 1000."""
LARGEST = 2**24
"""Most numbers that x, or the output of one layer, may hold for one batch: 64 MiB in float32."""


def rows_at_a_time(network: Layer, x_shape: tuple[int, ...]) -> int:
    """Return how many rows of an x of `x_shape` go through `network` at a time, from the layers' output shapes."""
    shapes = [x_shape[1:]]
    try:
        for _, _, shape in network.output_shapes(x_shape[1:]):
            shapes.append(tuple(shape))
    # A user's layer may raise any error; the shapes of x and of the layers before it are still known.
    except Exception:
        pass
    # A user's container need not give the shapes of its inner layers.
    hidden = any(isinstance(layer, Conv2D) for _, layer in network.walk())
    usual = IMAGES if hidden or any(len(shape) > 1 for shape in shapes) else FLAT_ROWS
    largest = max(1, *map(math.prod, shapes))
    return max(1, min(usual, LARGEST // largest))


def map_outputs(meaning: Callable[[Array], Array], outputs: Array) -> Array:
    """Return ``meaning(outputs)``; without rows, an empty array of the same row shape and dtype."""
    if outputs.ndim > 0 and len(outputs) == 0:
        return meaning(np.zeros((1, *outputs.shape[1:]), outputs.dtype))[:0]
    return meaning(outputs)
