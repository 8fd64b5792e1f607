"""Activations: nonlinear functions of each entry alone."""

import numpy as np

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
        return dy * positive
