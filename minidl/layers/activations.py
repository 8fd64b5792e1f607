"""Activations: nonlinear functions of each entry alone."""

import numpy as np

from minidl.errors import ShapeError
from minidl.layers.base import Layer
from minidl.types import Array


class ReLU(Layer):
    """Rectified linear unit, ``y = max(x, 0)``, for x of any shape.

    Gradient: ``dx = dy`` where ``x > 0``, else 0 (at the kink x = 0 this is the left-hand slope).

    References
    ----------
    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    """

    def forward(self, x: Array, train: bool = False) -> Array:
        self.check_input(x)
        if train:
            self.keep(x > 0)
        y: Array = np.maximum(x, 0)
        return y

    def backward(self, dy: Array) -> Array:
        (positive,) = self.kept()
        if dy.shape != positive.shape:
            raise ShapeError(f"{self!r}: expected dy of shape {positive.shape}, got {dy.shape}")
        dx: Array = np.where(positive, dy, 0)
        return dx
