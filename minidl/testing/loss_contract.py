"""The contracts of losses and regularizers: the terms of the cost."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck import check_loss, check_regularizer
from minidl.nn.losses import Loss
from minidl.nn.regularizers import Regularizer
from minidl.testing.contract import Contract, require, sample

MakeLoss = Callable[[], Loss]
MakeRegularizer = Callable[[], Regularizer]


def check_loss_contract(make: MakeLoss, outputs: Any, targets: Any) -> None:
    """Check that the losses of `make` keep the contract of `Loss`: run `check_loss`, and count the predictions.

    Parameters
    ----------
    make : callable
        Returns a new loss, the same each time.
    outputs, targets : array_like
        A batch it takes: at least two rows, off any kinks.

    Raises
    ------
    ContractError, GradientCheckError
        As for `check_layer_contract`.

    Examples
    --------
    >>> from minidl import SoftmaxCrossEntropy
    >>> check_loss_contract(SoftmaxCrossEntropy, [[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]], [2, 0])
    """
    LossContract(make, np.array(outputs, dtype=np.float64), np.array(targets)).check()


@dataclass
class LossContract(Contract):
    _kind = Loss
    outputs: Array
    targets: Array

    def loss_gradient_is_right(self) -> None:
        for dtype in (np.float64, np.float32):
            check_loss(self.make(), self.outputs.astype(dtype), self.targets, seed=0).assert_ok()

    def predict_gives_one_a_row(self) -> None:
        got, rows = len(self.make().predict(self.outputs)), len(self.outputs)
        require(got == rows, f"expected {rows} predictions, got {got}")


def check_regularizer_contract(make: MakeRegularizer, shape: tuple[int, ...] = (4, 3)) -> None:
    """Check that the regularizers of `make` keep the contract of `Regularizer`: run `check_regularizer`, and try 0.

    Parameters
    ----------
    make : callable
        Returns a new regularizer, the same each time.
    shape : tuple of int
        Of the weight to try.

    Raises
    ------
    ContractError, GradientCheckError
        As for `check_layer_contract`.

    Examples
    --------
    >>> from minidl import L2
    >>> check_regularizer_contract(lambda: L2(0.1))
    """
    RegularizerContract(make, shape).check()


@dataclass
class RegularizerContract(Contract):
    _kind = Regularizer
    shape: tuple[int, ...]

    def regularizer_gradient_is_right(self) -> None:
        for dtype in (np.float64, np.float32):
            check_regularizer(self.make(), sample(self.shape, 0, dtype), seed=0).assert_ok()

    def penalty_is_a_float_from_zero_up(self) -> None:
        penalty = self.make().penalty(np.zeros(self.shape))
        require(isinstance(penalty, float), f"expected penalty to return a float, got {type(penalty).__name__}")
        require(penalty >= 0, f"expected a penalty >= 0 of weights of 0, got {penalty}")
