"""Softmax and its logarithm, over the last axis."""

import math

import numpy as np

from minidl._core.errors import ShapeError
from minidl._core.types import Array
from minidl.nn.layers.base import Layer, Shape


class _OverClasses(Layer):
    """Base of both: rows of shape (..., classes), from which the maximum is subtracted first."""

    def _shifted(self, x: Array) -> Array:
        self.check_input(x)
        self.output_shape(x.shape[1:])
        # The shifted numbers may overflow to -infinity; their probability is 0 anyway.
        with np.errstate(over="ignore"):
            shifted: Array = x - x.max(axis=-1, keepdims=True)
        return shifted

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape or input_shape[-1] == 0:
            raise ShapeError(f"{self!r}: expected rows of shape (..., classes >= 1), got {input_shape}")
        return input_shape


class Softmax(_OverClasses):
    """Probabilities from scores, ``y = exp(x) / sum(exp(x))``, the sum over the last axis.

    The maximum of each row is subtracted first: y is the same, and no exponential overflows.
    Gradient: ``dx = y * (dy - sum(dy * y))``.
    Do not use it before `SoftmaxCrossEntropy`, which expects x itself.

    ``x`` and ``y`` are (n, ..., classes), with at least one class.

    Raises
    ------
    ShapeError
        If x has no such axis, or dy does not fit.

    References
    ----------
    Bridle, "Probabilistic interpretation of feedforward classification network outputs, with relationships to
    statistical pattern recognition", Neurocomputing, NATO ASI Series 68, 1990.

    Examples
    --------
    >>> Softmax().forward(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """

    output_range = (0.0, 1.0)

    def forward(self, x: Array, train: bool = False) -> Array:
        exponentials = np.exp(self._shifted(x))
        y = exponentials / exponentials.sum(axis=-1, keepdims=True)
        if train:
            self.keep(y, y_shape=y.shape)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.kept(dy)
        y = y.astype(dy.dtype, copy=False)
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


class LogSoftmax(_OverClasses):
    """Logarithms of probabilities, ``y = x - log(sum(exp(x)))``, the sum over the last axis.

    The maximum of each row is subtracted first: no exponential overflows, and no logarithm of 0 occurs.
    Gradient: ``dx = dy - exp(y) * sum(dy)``.

    ``x`` and ``y`` are (n, ..., classes), with at least one class.

    Raises
    ------
    ShapeError
        If x has no such axis, or dy does not fit.

    Examples
    --------
    >>> LogSoftmax().forward(np.array([[0.0, 0.0], [1000.0, 0.0]])).round(2)
    array([[-6.9e-01, -6.9e-01],
           [ 0.0e+00, -1.0e+03]])
    """

    output_range = (-math.inf, 0.0)

    def forward(self, x: Array, train: bool = False) -> Array:
        shifted = self._shifted(x)
        y = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        if train:
            self.keep(y, y_shape=y.shape)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.kept(dy)
        return dy - np.exp(y, dtype=dy.dtype) * dy.sum(axis=-1, keepdims=True)
