"""Layers that change the shape of rows, but not their entries."""

import math

from minidl._core.checks import as_count
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array
from minidl.nn.layers.base import Layer, Shape


class _Reshaping(Layer):
    """Base of both: the entries of each row in the same order (the last axis fastest), in the shape of `output_shape`.

    y and dx are views of x and dy, unless NumPy has to copy.
    """

    keeps_values = True

    def forward(self, x: Array, train: bool = False) -> Array:
        self.check_input(x)
        y = x.reshape(x.shape[:1] + self.output_shape(x.shape[1:]))
        if train:
            self.keep(x.shape, y_shape=y.shape)
        return y

    def backward(self, dy: Array) -> Array:
        (x_shape,) = self.kept(dy)
        return dy.reshape(x_shape)


class Flatten(_Reshaping):
    """Make each row one-dimensional: ``x`` is (n, ...), ``y`` is (n, features).

    Gradient: ``dx`` is dy in the shape of x.

    Examples
    --------
    >>> Flatten().output_shape((32, 32, 3))
    (3072,)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)


class Reshape(_Reshaping):
    """Give each row another shape: ``x`` is (n, ...), ``y`` is (n, *shape).

    Gradient: ``dx`` is dy in the shape of x.

    Parameters
    ----------
    shape : tuple of int
        Of one row; one side may be -1, which is computed from the others.

    Raises
    ------
    InputError
        From the constructor, if a side is not a positive integer, or more than one is -1.
    ShapeError
        If the number of entries of a row of x does not match `shape`, or dy does not fit.

    Examples
    --------
    >>> Reshape((32, 32, -1)).output_shape((3072,))
    (32, 32, 3)
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        if not isinstance(shape, tuple | list):
            raise InputError(f"Reshape: expected shape to be a tuple of integers, got {shape!r:.80}")
        self.shape = tuple(-1 if side == -1 else as_count("Reshape: a side of shape", side) for side in shape)
        if self.shape.count(-1) > 1:
            raise InputError(f"Reshape: expected at most one -1 in shape, got {self.shape}")

    def output_shape(self, input_shape: Shape) -> Shape:
        entries, known = math.prod(input_shape), math.prod(side for side in self.shape if side != -1)
        if entries % known or (entries != known and -1 not in self.shape):
            wanted = f"a multiple of {known}" if -1 in self.shape else f"{known}"
            raise ShapeError(f"{self!r}: expected rows of {wanted} entries, got {entries} in shape {input_shape}")
        return tuple(entries // known if side == -1 else side for side in self.shape)
