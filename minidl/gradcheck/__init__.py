"""Gradient checking: analytic gradients against numerical ones."""

from minidl.gradcheck.numerical import numerical_gradient, relative_error

__all__ = ["numerical_gradient", "relative_error"]
