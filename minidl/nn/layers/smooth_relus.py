"""Smooth relatives of the ReLU: like x for large x, near 0 for very negative x, and without a kink."""

import math

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.nn.layers.activations import Activation
from minidl.nn.special import erf, sigmoid

_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


class Softplus(Activation):
    """Smooth ReLU, ``y = log(1 + exp(x))``.

    Computed as ``max(x, 0) + log(1 + exp(-|x|))``, which neither overflows nor loses what is left for negative x.
    Gradient: ``dx = sigmoid(x) * dy``.

    References
    ----------
    Dugas, Bengio, Bélisle, Nadeau and Garcia, "Incorporating second-order functional knowledge for better option
    pricing", NIPS 2000.
    """

    def function(self, x: Array) -> Array:
        y: Array = np.exp(-np.abs(x))
        np.log1p(y, out=y)
        y += np.maximum(x, 0)
        return y

    def derivative(self, x: Array) -> Array:
        return sigmoid(x)


class SiLU(Activation):
    """Sigmoid linear unit, also called swish, ``y = x * sigmoid(x)``.

    Gradient: ``dx = s * (1 + x * (1 - s)) * dy`` with ``s = sigmoid(x)``.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.
    """

    def function(self, x: Array) -> Array:
        y = sigmoid(x)
        y *= x
        return y

    def derivative(self, x: Array) -> Array:
        s = sigmoid(x)
        slopes: Array = 1 - s
        slopes *= x
        slopes += 1
        slopes *= s
        return slopes


class GELU(Activation):
    """Gaussian error linear unit, ``y = x * P(x)``, where P is the distribution function of the standard normal.

    ``P(x) = (1 + erf(x / sqrt(2))) / 2``. With ``approximate="tanh"`` it is ``P(x) = (1 + tanh(u)) / 2``,
    ``u = sqrt(2 / pi) * (x + 0.044715 * x**3)``: quicker, and y is off by at most 5e-4.
    Gradient: ``dx = (P(x) + x * P'(x)) * dy``, of the same P.

    Parameters
    ----------
    approximate : {"none", "tanh"}

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise InputError(f'GELU: expected approximate to be "none" or "tanh", got {approximate!r:.80}')
        self.approximate = approximate

    def function(self, x: Array) -> Array:
        y = self._twice_p(_near(x))
        y *= 0.5
        y *= x
        return y

    def derivative(self, x: Array) -> Array:
        x = _near(x)
        twice_p = self._twice_p(x)
        square = x * x
        if self.approximate == "none":
            twice_density = np.exp(-0.5 * square)
            twice_density *= _ROOT
        else:  # (1 - tanh(u)**2) * u'
            twice_density = (2 - twice_p) * twice_p
            square *= 3 * _CUBIC * _ROOT
            square += _ROOT
            twice_density *= square
        twice_density *= x
        twice_p += twice_density
        twice_p *= 0.5
        return twice_p

    def _twice_p(self, x: Array) -> Array:
        if self.approximate == "none":
            y = erf(x * math.sqrt(0.5))
        else:
            y = x * x
            y *= _CUBIC * _ROOT
            y += _ROOT
            y *= x
            np.tanh(y, out=y)
        y += 1
        return y


def _near(x: Array) -> Array:
    """Return x within -100 .. 100: beyond, P(x) is 0 or 1, and the square of x may overflow."""
    near: Array = np.clip(x, -100.0, 100.0)
    return near
