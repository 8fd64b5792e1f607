"""Numerical derivatives, and the relative error of a gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._core.checks import as_array, as_number, check_finite
from minidl._core.errors import NonFiniteError, ShapeError
from minidl._core.types import Array


def numerical_gradient(f: Callable[[Array], float], x: Any, step: float = 3e-5) -> Array:
    """Return the gradient of `f` at `x` by central differences, ``(f(x + h e_i) - f(x - h e_i)) / 2h``.

    The error is about ``h**2 / 6`` times the third derivative plus ``1e-16 / h`` times the value of f.

    Parameters
    ----------
    f : callable
        Takes a float64 array of the shape of x and returns a number. It is called twice for every entry, always with
        the same array, which it must not change.
    x : array_like
        The point; not changed.
    step : float
        The step h, greater than 0.

    Returns
    -------
    array of float64, shape of x

    Raises
    ------
    NonFiniteError
        If x or a value of f is not finite.

    References
    ----------
    Press et al., "Numerical Recipes", 3rd ed., section 5.7.

    Examples
    --------
    >>> numerical_gradient(lambda x: float(x @ x), [1.0, 2.0]).round(6)
    array([2., 4.])
    """
    step = as_number("step", step, 0, above=True)
    point = np.array(as_array("x", x), dtype=np.float64)
    check_finite("x", point)
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        original = point[index]
        above, below = original + step, original - step
        point[index] = above
        value_above = float(f(point))
        point[index] = below
        value_below = float(f(point))
        point[index] = original
        # Divide by the actual step: above - below differs from 2 h by rounding.
        gradient[index] = (value_above - value_below) / (above - below)
    if not np.isfinite(gradient).all():
        raise NonFiniteError("numerical_gradient: expected f to return finite numbers near x, got NaN or infinity")
    return gradient


def relative_error(analytic: Any, numeric: Any, eps: float = 1e-6) -> Array:
    """Return ``|a - n| / max(eps, |a| + |n|)`` for each entry of two gradients of the same shape.

    Examples
    --------
    >>> relative_error([1.0, 0.0], [3.0, 0.0])
    array([0.5, 0. ])
    """
    a, n = (as_array(k, v).astype(np.float64) for k, v in (("analytic", analytic), ("numeric", numeric)))
    if a.shape != n.shape:
        raise ShapeError(f"relative_error: expected two gradients of the same shape, got {a.shape} and {n.shape}")
    error: Array = np.abs(a - n) / np.maximum(eps, np.abs(a) + np.abs(n))
    return error
