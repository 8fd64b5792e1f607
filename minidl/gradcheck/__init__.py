"""Gradient checking: gradients against numerical derivatives with error bars, and the contracts beside them."""

from minidl.gradcheck.adapter import ForeignLayer
from minidl.gradcheck.checks import check_function, check_layer, check_loss, check_model, check_regularizer
from minidl.gradcheck.numerical import numerical_gradient, relative_error
from minidl.gradcheck.report import Finding, GradientReport, Verdict
from minidl.gradcheck.second_order import check_hessian_product, check_row_gradients

__all__ = [
    "Finding",
    "ForeignLayer",
    "GradientReport",
    "Verdict",
    "check_function",
    "check_hessian_product",
    "check_layer",
    "check_loss",
    "check_model",
    "check_regularizer",
    "check_row_gradients",
    "numerical_gradient",
    "relative_error",
]
