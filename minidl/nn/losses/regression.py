"""Losses for regression: the distance of outputs from their targets."""

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from minidl._core.checks import as_dtype, as_number, check_outputs
from minidl._core.types import Array
from minidl.nn.arithmetic import quietly
from minidl.nn.losses.base import NumberLoss


class ResidualLoss(NumberLoss):
    """A function of each residual ``r = outputs - targets``; the mean over the entries of a row, then over rows."""

    @abstractmethod
    def values(self, residuals: Array) -> Array:
        """Return the function of each residual."""

    @abstractmethod
    def slopes(self, residuals: Array) -> Array:
        """Return its derivative at each residual."""

    @quietly
    def forward(self, outputs: Array, targets: Any) -> float:
        check_outputs(outputs)
        targets = self.check_targets(targets, outputs.shape)
        with np.errstate(over="ignore"):
            residuals = outputs - as_dtype("targets", targets, outputs.dtype)
            self.keep(residuals)
            loss = float(self.values(residuals).mean(dtype=np.float64))
            if loss == math.inf:
                # A residual, or its value, may overflow the dtype of the outputs.
                loss = float(self.values(outputs.astype(np.float64) - targets).mean())
        return loss

    def backward(self) -> Array:
        (residuals,) = self.kept()
        with np.errstate(over="ignore"):
            gradient: Array = self.slopes(residuals) / residuals.size
        return gradient


class MeanSquaredError(ResidualLoss):
    """Squared error, ``mean(r**2)`` with ``r = outputs - targets``, without 1/2.

    The mean over the entries of a row, then over rows. Gradient: ``2 * r / r.size``.

    Outputs are numbers, shape (n, ...); targets are numbers of the same shape.

    Raises
    ------
    ShapeError
        If targets are not of the outputs' shape ((n,) against (n, 1) would compare every pair), or there are no rows.
    NonFiniteError
        If an output or a target is NaN or infinite.

    Examples
    --------
    >>> loss = MeanSquaredError()
    >>> loss.forward(np.array([[1.0, 2.0]]), [[0.0, 4.0]])
    2.5
    >>> loss.backward()
    array([[ 1., -2.]])
    """

    def values(self, residuals: Array) -> Array:
        """Return ``r**2``, in float64: the square of a float32 may overflow float32."""
        return np.square(residuals, dtype=np.float64)

    def slopes(self, residuals: Array) -> Array:
        """Return ``2 * r``."""
        return 2 * residuals


class MeanAbsoluteError(ResidualLoss):
    """Absolute error, ``mean(|r|)`` with ``r = outputs - targets``.

    The mean over the entries of a row, then over rows. Gradient: ``sign(r) / r.size`` (0 at the kink r = 0).

    Outputs are numbers, shape (n, ...); targets are numbers of the same shape.

    Raises
    ------
    ShapeError
        If targets are not of the outputs' shape ((n,) against (n, 1) would compare every pair), or there are no rows.
    NonFiniteError
        If an output or a target is NaN or infinite.

    Examples
    --------
    >>> loss = MeanAbsoluteError()
    >>> loss.forward(np.array([[1.0, 2.0]]), [[0.0, 4.0]])
    1.5
    >>> loss.backward()
    array([[ 0.5, -0.5]])
    """

    def values(self, residuals: Array) -> Array:
        """Return ``|r|``."""
        return np.abs(residuals)

    def slopes(self, residuals: Array) -> Array:
        """Return ``sign(r)``."""
        return np.sign(residuals)


class Huber(ResidualLoss):
    """Squared error near 0 and absolute error beyond, so that the gradient of an outlier is limited to `delta`.

    For ``r = outputs - targets``: ``r**2 / 2`` where ``|r| <= delta``, else ``delta * (|r| - delta / 2)``; the mean
    over the entries of a row, then over rows. Gradient: ``clip(r, -delta, delta) / r.size``.

    Outputs are numbers, shape (n, ...); targets are numbers of the same shape.

    Parameters
    ----------
    delta : float
        Size of the residual at which the parabola becomes a straight line, greater than 0.

    Raises
    ------
    ShapeError
        If targets are not of the outputs' shape ((n,) against (n, 1) would compare every pair), or there are no rows.
    InputError
        If `delta` is not above 0.
    NonFiniteError
        If an output or a target is NaN or infinite.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35, 1964.

    Examples
    --------
    >>> loss = Huber()
    >>> loss.forward(np.array([[0.5, 2.0]]), [[0.0, 5.0]])
    1.3125
    >>> loss.backward()
    array([[ 0.25, -0.5 ]])
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = as_number("delta", delta, 0, above=True)

    def values(self, residuals: Array) -> Array:
        """Return ``c * (|r| - c / 2)`` with ``c = min(|r|, delta)``, which covers both cases."""
        sizes = np.abs(residuals)
        clipped = np.minimum(sizes, self.delta)
        sizes -= clipped / 2
        sizes *= clipped
        return sizes

    def slopes(self, residuals: Array) -> Array:
        """Return ``clip(r, -delta, delta)``."""
        return residuals.clip(-self.delta, self.delta)
