"""Batches: how many rows of a whole set go through a network at a time, so that its size does not decide the memory."""

import math
from collections.abc import Callable

import numpy as np

from minidl._core.types import Array
from minidl.nn.layers import Conv2D, Layer

FLAT_ROWS = 2500
"""Rows at a time where each is flat all the way: 10,000 through one layer take 11 ms so, 17 by 1000."""
IMAGES = 250
"""Rows at a time where a layer makes or takes images. What a convolution makes of them should not leave the cache on
the way to the next layer: 2,000 images through two convolutions take 0.6 s, 1.1 by 1000."""
LARGEST = 2**24
"""The most numbers that x or one layer's output has for all these rows together: 64 MiB in float32."""


def rows_at_a_time(network: Layer, x_shape: tuple[int, ...]) -> int:
    """Return how many rows of an x of `x_shape` go through `network` at a time, by what it makes of one row."""
    shapes = [x_shape[1:]]
    try:
        for _, _, shape in network.output_shapes(x_shape[1:]):
            shapes.append(tuple(shape))
    # A layer of the user's may raise any error; the rows themselves and the layers before it are known all the same.
    except Exception:
        pass
    # A container of the user's need not tell what goes on within it.
    hidden = any(isinstance(layer, Conv2D) for _, layer in network.walk())
    usual = IMAGES if hidden or any(len(shape) > 1 for shape in shapes) else FLAT_ROWS
    largest = max(1, *map(math.prod, shapes))
    return max(1, min(usual, LARGEST // largest))


def of_outputs(meaning: Callable[[Array], Array], outputs: Array) -> Array:
    """Return ``meaning(outputs)``; for no rows an array without rows, of the shape and dtype that others would have."""
    if outputs.ndim > 0 and len(outputs) == 0:
        return meaning(np.zeros((1, *outputs.shape[1:]), outputs.dtype))[:0]
    return meaning(outputs)
