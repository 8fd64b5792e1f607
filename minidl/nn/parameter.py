"""Parameter: an array that training changes, with its gradient."""

import copy
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.checks import as_float_dtype
from minidl._core.errors import ShapeError
from minidl._core.types import Array


class Parameter:
    """An array that training changes, its gradient, and whether a regularizer sees it.

    Parameters
    ----------
    value : array_like
        The initial value, copied (its memory order is kept).
    name : str
        How errors call it.
    penalized : bool
        Whether the model's regularizer applies; biases are not penalized.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    trainable : bool
        Whether optimizers change the value; True at first. The gradient is computed either way.

    Examples
    --------
    >>> w = Parameter([1.0, 2.0], name="w")
    >>> w.add_grad(np.array([0.5, 0.5]))
    >>> w.add_grad(np.array([0.5, 0.0]))
    >>> w.grad
    array([1. , 0.5], dtype=float32)
    """

    def __init__(
        self, value: Any, *, name: str = "parameter", penalized: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        self.name = name
        self.penalized = penalized
        self.trainable = True
        self._value: Array = np.array(value, dtype=as_float_dtype(dtype))
        self._grad = np.zeros_like(self._value)
        self._stale = False

    @property
    def value(self) -> Array:
        """The current value; assigning copies into the same memory, so shape and dtype never change."""
        return self._value

    @value.setter
    def value(self, new: Array) -> None:
        if new is not self._value:  # `p.value -= step` has already changed the array in place
            self._check_shape("value", new)
            self._value[...] = new

    @property
    def grad(self) -> Array:
        """The sum of what was added since `zero_grad`."""
        if self._stale:
            self._grad[...] = 0.0
            self._stale = False
        return self._grad

    def zero_grad(self) -> None:
        """Forget the gradient; nothing is written until the next addition, which overwrites."""
        self._stale = True

    def add_grad(self, gradient: Array) -> None:
        """Add `gradient`, an array of the value's shape, to `grad`."""
        self._check_shape("gradient", gradient)
        if self._stale:
            self._grad[...] = gradient
            self._stale = False
        else:
            self._grad += gradient

    def take_grad(self) -> Array | None:
        """Return the memory of the gradient for the caller to overwrite, if it was forgotten; else None: `add_grad`.

        What computes a large gradient into it at once saves a copy, 10 us for the 30,720 weights of the main job.
        """
        if not self._stale:
            return None
        self._stale = False
        return self._grad

    def with_grad(self, gradient: Array) -> Self:
        """Return a parameter with the same value in the same memory, and another gradient."""
        twin = copy.copy(self)
        twin._grad, twin._stale = gradient, False
        return twin

    def _check_shape(self, what: str, array: Array) -> None:
        if np.shape(array) != self._value.shape:
            raise ShapeError(f"{self.name}: expected a {what} of shape {self._value.shape}, got {np.shape(array)}")

    def __repr__(self) -> str:
        marks = "" if self.penalized else ", not penalized"
        marks += "" if self.trainable else ", frozen"
        return f"Parameter({self.name!r}, shape {self._value.shape}, {self._value.dtype}{marks})"
