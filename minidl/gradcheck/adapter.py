"""ForeignLayer: an object of another library, or a course script, as a layer that can be checked."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.nn.layers import Layer


class ForeignLayer(Layer):
    """Any object with a forward and a backward method, as a `Layer`.

    Parameters
    ----------
    target : object
        Its forward takes x and returns y; its backward takes dy and returns dx. It is copied, never changed.
    parameters : mapping of str to str
        The attribute that holds each parameter, and the one in which backward leaves that parameter's gradient.
    forward, backward : str
        The methods' names.

    Examples
    --------
    >>> class Double:
    ...     def __init__(self):
    ...         self.w = np.array([2.0])
    ...
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x * self.w
    ...
    ...     def backward(self, dy):
    ...         self.dw = (dy * self.x).sum(axis=0)
    ...         return dy * self.w
    >>> from minidl import check_layer
    >>> check_layer(ForeignLayer(Double(), {"w": "dw"}), np.array([[1.0], [-3.0]])).ok
    True
    """

    def __init__(
        self,
        target: Any,
        parameters: Mapping[str, str] | None = None,
        *,
        forward: str = "forward",
        backward: str = "backward",
    ) -> None:
        self.target = copy.deepcopy(target)
        self._gradient_names = dict(parameters or {})
        self._forward, self._backward = forward, backward
        for name in self._gradient_names:
            self.add_parameter(name, getattr(target, name), dtype=np.float64)

    def forward(self, x: Array, train: bool = False) -> Array:
        # An object without a train flag keeps what its backward needs on every forward: only those of training may.
        target = self.target if train else copy.deepcopy(self.target)
        for name, parameter in self.named_parameters().items():
            setattr(target, name, parameter.value.copy())
        if train:
            self.keep()
        y: Array = getattr(target, self._forward)(x)
        return y

    def backward(self, dy: Array) -> Array:
        self.kept()
        dx: Array = getattr(self.target, self._backward)(dy)
        for name, parameter in self.named_parameters().items():
            parameter.add_grad(np.asarray(getattr(self.target, self._gradient_names[name])))
        return dx

    def __repr__(self) -> str:
        return f"ForeignLayer({type(self.target).__name__})"
