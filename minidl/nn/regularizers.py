"""Regularizers: penalties on weights, added to the loss to give the cost."""

import math
from abc import ABC, abstractmethod

import numpy as np

from minidl._core.attributes import Uncallable
from minidl._core.checks import as_number
from minidl._core.reprs import constructor_call, oneline_repr
from minidl._core.types import Array

__all__ = ["L1", "L2", "ElasticNet", "Regularizer"]


class Regularizer(Uncallable, ABC):
    """A penalty on the value of a parameter; the model sums it over the penalized parameters."""

    _written = "regularizer.penalty(w)"

    @abstractmethod
    def penalty(self, w: Array) -> float:
        """Return the penalty, a number >= 0."""

    @abstractmethod
    def gradient(self, w: Array) -> Array:
        """Return the gradient of the penalty, a new array of w's shape and dtype."""

    __repr__ = constructor_call


class L2(Regularizer):
    """``strength * sum(w**2)``, with gradient ``2 * strength * w``.

    There is no factor 1/2: PyTorch's ``weight_decay`` equals ``2 * strength``. PyTorch also decays biases, ``gamma``
    and ``beta``, which are not penalized here. With this line, plain gradient descent is the same::

        for parameter in model.parameters.values(): parameter.penalized = True

    Examples
    --------
    >>> L2(0.1).penalty(np.array([1.0, 2.0]))
    0.5
    """

    def __init__(self, strength: float) -> None:
        self.strength = as_number("strength", strength, 0)

    def penalty(self, w: Array) -> float:
        # A view in memory order; the default order would copy a weight in column order.
        flat = w.ravel(order="K")
        squares = float(np.vdot(flat, flat))
        if squares == math.inf:
            squares = float(np.square(flat, dtype=np.float64).sum())
        return self.strength * squares

    def gradient(self, w: Array) -> Array:
        return 2.0 * self.strength * w


class L1(Regularizer):
    """``strength * sum(|w|)``, with gradient ``strength * sign(w)`` (0 at w = 0)."""

    def __init__(self, strength: float) -> None:
        self.strength = as_number("strength", strength, 0)

    def penalty(self, w: Array) -> float:
        return self.strength * float(np.abs(w).sum(dtype=np.float64))

    def gradient(self, w: Array) -> Array:
        return self.strength * np.sign(w)


class ElasticNet(Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w**2)``: `L1` and `L2` together.

    References
    ----------
    Zou and Hastie, "Regularization and variable selection via the elastic net", J. R. Statist. Soc. B 67, 2005.
    """

    def __init__(self, l1: float, l2: float) -> None:
        self.l1, self.l2 = L1(l1), L2(l2)

    def penalty(self, w: Array) -> float:
        return self.l1.penalty(w) + self.l2.penalty(w)

    def gradient(self, w: Array) -> Array:
        return self.l1.gradient(w) + self.l2.gradient(w)

    def __repr__(self) -> str:
        return f"ElasticNet({oneline_repr(self.l1.strength)}, {oneline_repr(self.l2.strength)})"
