"""Activations: nonlinear functions of each entry."""

import math
from abc import abstractmethod

import numpy as np

from minidl._core.checks import as_number
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.nn.arithmetic import erf, sigmoid
from minidl.nn.layers.base import Layer

__all__ = ["ELU", "GELU", "Activation", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh"]
_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


class Activation(Layer):
    """A function of each entry: subclass it, and write the function and its derivative.

    Gradient: ``dx = derivative * dy``, for x of any shape.

    Examples
    --------
    >>> class Square(Activation):
    ...     def function(self, x):
    ...         return x * x
    ...
    ...     def derivative(self, x):
    ...         return 2 * x
    >>> Square().forward(np.array([1.0, -3.0]))
    array([1., 9.])
    """

    derivative_takes_y = False
    """Whether `derivative` takes y instead of x; `forward` then keeps y."""

    @abstractmethod
    def function(self, x: Array) -> Array:
        """Return y, a new array of x's dtype."""

    @abstractmethod
    def derivative(self, kept: Array, /) -> Array:
        """Return dy/dx, a new array, from x; or from y if `derivative_takes_y` is True."""

    def forward(self, x: Array, train: bool = False) -> Array:
        self.check_input(x)
        y = self.function(x)
        if train:
            self.keep(y if self.derivative_takes_y else x, y_shape=y.shape)
        return y

    def backward(self, dy: Array) -> Array:
        (kept,) = self.kept(dy)
        return self.derivative(kept).astype(dy.dtype, copy=False) * dy


class ReLU(Activation):
    """Rectified linear unit, ``y = max(x, 0)``, for x of any shape.

    Gradient: ``dx = dy`` where ``x > 0``, else 0 (at the kink x = 0 this is the left-hand slope).

    References
    ----------
    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    """

    derivative_takes_y = True
    output_range = (0.0, math.inf)

    def function(self, x: Array) -> Array:
        return np.maximum(x, 0)

    def derivative(self, y: Array) -> Array:
        return y > 0


class LeakyReLU(Activation):
    """Leaky rectified linear unit, ``y = x`` where ``x > 0``, else ``slope * x``.

    Gradient: ``dx = dy`` where ``x > 0``, else ``slope * dy`` (at the kink x = 0 this is the left-hand slope).

    Parameters
    ----------
    slope : float
        Slope of the negative side.

    References
    ----------
    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML 2013 workshop.
    """

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = as_number("slope", slope)
        if self.slope <= 0:
            self.output_range = (0.0, math.inf)

    def function(self, x: Array) -> Array:
        return self.slope * np.minimum(x, 0) + np.maximum(x, 0)

    def derivative(self, x: Array) -> Array:
        return _one_or(self.slope, x)


class ELU(Activation):
    """Exponential linear unit, ``y = x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Gradient: ``dx = dy`` where ``x > 0``, else ``alpha * exp(x) * dy`` (at x = 0, a kink unless alpha is 1, this is
    the left-hand slope, alpha).

    Parameters
    ----------
    alpha : float
        y approaches ``-alpha`` for large negative x.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units (ELUs)",
    ICLR 2016.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = as_number("alpha", alpha)
        self.output_range = (min(-self.alpha, 0.0), math.inf)

    def function(self, x: Array) -> Array:
        # The exponential of a positive number could overflow.
        return self.alpha * np.expm1(np.minimum(x, 0)) + np.maximum(x, 0)

    def derivative(self, x: Array) -> Array:
        return np.exp(np.minimum(x, 0)) * _one_or(self.alpha, x)


class Sigmoid(Activation):
    """Logistic function, ``y = 1 / (1 + exp(-x))``.

    Gradient: ``dx = y * (1 - y) * dy``. No exponential overflows: only ``exp(-|x|)`` is computed.
    """

    derivative_takes_y = True
    output_range = (0.0, 1.0)

    def function(self, x: Array) -> Array:
        return sigmoid(x)

    def derivative(self, y: Array) -> Array:
        return y * (1 - y)


class Tanh(Activation):
    """Hyperbolic tangent, ``y = tanh(x)``.

    Gradient: ``dx = (1 - y**2) * dy``.
    """

    derivative_takes_y = True
    output_range = (-1.0, 1.0)

    def function(self, x: Array) -> Array:
        return np.tanh(x)

    def derivative(self, y: Array) -> Array:
        return 1 - y * y


class Softplus(Activation):
    """Smooth ReLU, ``y = log(1 + exp(x))``.

    Computed as ``max(x, 0) + log(1 + exp(-|x|))``, which does not overflow, and stays accurate for negative x.
    Gradient: ``dx = sigmoid(x) * dy``.

    References
    ----------
    Dugas, Bengio, Bélisle, Nadeau and Garcia, "Incorporating second-order functional knowledge for better option
    pricing", NIPS 2000.
    """

    output_range = (0.0, math.inf)

    def function(self, x: Array) -> Array:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def derivative(self, x: Array) -> Array:
        return sigmoid(x)


class SiLU(Activation):
    """Sigmoid linear unit, also called swish, ``y = x * sigmoid(x)``.

    Gradient: ``dx = s * (1 + x * (1 - s)) * dy`` with ``s = sigmoid(x)``.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.
    """

    output_range = (-0.28, math.inf)

    def function(self, x: Array) -> Array:
        return x * sigmoid(x)

    def derivative(self, x: Array) -> Array:
        s = sigmoid(x)
        return s * (1 + x * (1 - s))


class GELU(Activation):
    """Gaussian error linear unit, ``y = x * P(x)``, where P is the distribution function of the standard normal.

    ``P(x) = (1 + erf(x / sqrt(2))) / 2``. With ``approximate="tanh"`` it is ``P(x) = (1 + tanh(u)) / 2``,
    ``u = sqrt(2 / pi) * (x + 0.044715 * x**3)``: faster, and y differs by at most 5e-4.
    Gradient: ``dx = (P(x) + x * P'(x)) * dy``, with the same P.

    Parameters
    ----------
    approximate : {"none", "tanh"}

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.
    """

    output_range = (-0.17, math.inf)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise InputError(f'GELU: expected approximate to be "none" or "tanh", got {approximate!r:.80}')
        self.approximate = approximate

    def function(self, x: Array) -> Array:
        # Beyond 100, P(x) is 0 or 1, and the square of x may overflow.
        return 0.5 * self._twice_p(np.clip(x, -100.0, 100.0)) * x

    def derivative(self, x: Array) -> Array:
        x = np.clip(x, -100.0, 100.0)
        twice_p = self._twice_p(x)
        if self.approximate == "none":
            twice_density = _ROOT * np.exp(-0.5 * (x * x))
        else:
            # (1 - tanh(u)**2) * u', where tanh(u) is twice_p - 1
            twice_density = (2 - twice_p) * twice_p * (_ROOT + 3 * _CUBIC * _ROOT * (x * x))
        return 0.5 * (twice_p + x * twice_density)

    def _twice_p(self, x: Array) -> Array:
        if self.approximate == "none":
            return 1 + erf(math.sqrt(0.5) * x)
        return 1 + np.tanh(x * (_ROOT + _CUBIC * _ROOT * (x * x)))


def _one_or(left: float, x: Array) -> Array:
    """Return 1 where x > 0, else `left`, in x's dtype; faster than np.where, which branches for each entry."""
    positive = x > 0
    return positive + np.multiply(~positive, left, dtype=x.dtype)
