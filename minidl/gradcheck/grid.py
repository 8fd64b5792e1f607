"""Find entries of a tensor that affect no common output, so that their slopes can be measured together.

Each row of a batch affects only its own row of y, each column of a dense weight only its own column. Each output is
differenced on its own, so one step along all of them measures the slope of each.

References
----------
Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices", J. Inst. Maths Applics 13, 1974.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.slopes import unit_of

# Smaller tensors gain nothing.
_LEAST_SIZE = 8
# The number of slices of an axis that are tried first.
_SAMPLE = 3


class Grid(NamedTuple):
    """Axes of a tensor along which no two slices affect a common output.

    Attributes
    ----------
    axes, sides : tuple of int
        The axes and their lengths; none if every entry must be moved on its own.
    owner : array, flat
        For each output, the index of the cell of these axes that affects it; the number of cells if none does.
    """

    axes: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()
    owner: Array = np.zeros(0, int)

    def places(self, shape: tuple[int, ...]) -> Iterator[tuple[int | slice, ...]]:
        """Yield the indices at which to move a tensor of this shape: all of the axes, one index of each other axis."""
        return product(*([slice(None)] if axis in self.axes else range(n) for axis, n in enumerate(shape)))

    def summed(self, contributions: Array) -> Array:
        """Return the sum of each cell's outputs, (lines, cells), from contributions of shape (lines, outputs)."""
        if not self.axes:
            return np.asarray(contributions.sum(axis=1, keepdims=True))
        cells = int(np.prod(self.sides))
        sums = np.array([np.bincount(self.owner, row, cells + 1) for row in contributions])
        # Outputs that no cell affects count for every cell.
        return np.asarray(sums[:, :-1] + sums[:, -1:])

    def in_place(self, sums: Array, shape: tuple[int, ...]) -> Array:
        """Return sums of shape (..., lines, cells) in the order of the tensor's entries, (..., *shape)."""
        others = [n for axis, n in enumerate(shape) if axis not in self.axes]
        lead = sums.shape[:-2]
        last = range(len(lead) + len(others), sums.ndim - 2 + len(shape))
        return np.moveaxis(sums.reshape(*lead, *others, *self.sides), last, [len(lead) + axis for axis in self.axes])


def find_grid(outputs: Callable[[], Array], tensor: Array, step: float, most: float) -> Grid:
    """Return the axes of `tensor` that can be moved together, if that leaves at most `most` lines, else none."""
    if tensor.size < _LEAST_SIZE:
        return Grid()
    center = outputs().reshape(-1)
    # Uneven moves, so that no two slices are equal, and moves within a slice do not cancel.
    by = step * unit_of(tensor) * (1 + np.arange(tensor.size) ** 2 % 7 / 8).reshape(tensor.shape)

    def moved(axis: int, i: int) -> Array:
        place = (slice(None),) * axis + (i,)
        original = tensor[place].copy()
        mask = np.zeros(center.size, bool)
        try:
            for sign in (1.0, -1.0):
                tensor[place] = original + sign * by[place]
                mask |= outputs().reshape(-1) != center
        finally:
            tensor[place] = original
        return mask

    def owners(axis: int, slices: range) -> Array | None:
        owner = np.full(center.size, -1)
        for i in slices:
            mask = moved(axis, i)
            if (owner[mask] >= 0).any():
                return None
            owner[mask] = i
        return owner

    # A few slices exclude most axes. The others are worth the work only if few lines are left.
    axes = [a for a, n in enumerate(tensor.shape) if n > 1 and owners(a, range(min(n, _SAMPLE))) is not None]
    sides = [tensor.shape[axis] for axis in axes]
    lines = tensor.size // int(np.prod(sides))
    if not axes or lines > most or lines + sum(sides) > 0.75 * tensor.size:
        return Grid()
    found = {axis: owner for axis in axes if (owner := owners(axis, range(tensor.shape[axis]))) is not None}
    sides = [tensor.shape[axis] for axis in found]
    flat = np.full(center.size, 0)
    for axis, owner in found.items():
        flat = np.where((flat < 0) | (owner < 0), -1, flat * tensor.shape[axis] + owner)
    return Grid(tuple(found), tuple(sides), np.where(flat < 0, int(np.prod(sides)), flat))
