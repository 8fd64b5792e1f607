"""Work on large arrays in blocks that fit into the processor's cache."""

from collections.abc import Iterator

import numpy as np

from minidl._core.types import Array

BLOCK = 2**15
"""Entries of a block. A rule of several operations takes half the time, and its temporaries are no larger."""


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield views of the same part of each array, one part after the other, to be changed in place.

    Parameters
    ----------
    *arrays : array
        Of one shape; in whatever memory order.

    Examples
    --------
    >>> w, g = np.zeros(3), np.ones(3)
    >>> for part, gradient in blocks(w, g):
    ...     part -= 0.5 * gradient
    >>> w
    array([-0.5, -0.5, -0.5])
    """
    first = arrays[0]
    if first.size <= BLOCK:
        yield arrays
        return
    axis = int(np.argmax(first.strides))  # a part of this axis lies in one piece
    turned = [np.moveaxis(array, axis, 0) for array in arrays]
    rows = BLOCK * len(turned[0]) // first.size
    if rows == 0:  # one alone is too much
        for parts in zip(*turned, strict=True):
            yield from blocks(*parts)
        return
    for start in range(0, len(turned[0]), rows):
        yield tuple(array[start : start + rows] for array in turned)
