"""The contracts of what a model is made of: layers, losses, regularizers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck import check_layer, check_loss, check_regularizer
from minidl.gradcheck.precision import results_of
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.regularizers import Regularizer
from minidl.testing.contract import Contract, require, require_equal, sample

Make = Callable[[], Layer]
Shape = tuple[int, ...]


def check_layer_contract(make: Make, input_shape: Shape) -> None:
    """Check that the layers of `make` keep the contract of `Layer`.

    `check_layer` checks gradients, shapes, dtypes and the order of calls, on drawn batches. Three more rules:
    instances share nothing, deep copies are independent, and a repr is not empty.

    Parameters
    ----------
    make : callable
        Returns a new layer, the same each time: seed whatever it draws.
    input_shape : tuple of int
        The shape of one row of x.

    Raises
    ------
    ContractError
        At the first rule that is broken, naming the class and the rule.
    GradientCheckError
        If `check_layer` refuses the layer, with its report.

    Examples
    --------
    >>> from minidl import Dense
    >>> check_layer_contract(lambda: Dense(3, 2, rng=0), (3,))
    """
    LayerContract(make, tuple(input_shape)).check()


@dataclass
class LayerContract(Contract):
    _kind = Layer
    shape: Shape

    def gradients_are_right(self) -> None:
        for rows, dtype in ((3, np.float64), (least_rows(self.make()), np.float32)):
            check_layer(self.make(), sample((rows, *self.shape), rows, dtype), seed=rows).assert_ok()

    def instances_share_nothing(self) -> None:
        self._require_independent("another instance", lambda layer: self.make().astype(np.float64))

    def copies_are_independent(self) -> None:
        self._require_independent("a deep copy", copy.deepcopy)

    def representation_is_text(self) -> None:
        require(repr(self.make()), "expected repr to say something: errors name the layer by it")

    def _require_independent(self, what: str, other_of: Callable[[Layer], Layer]) -> None:
        x = sample((2, *self.shape), 0)
        fresh, layer = (self.make().astype(np.float64) for _ in range(2))
        other = other_of(layer)
        results_of(layer, sample((3, *self.shape), 5))
        for array in (*(p.value for p in layer.named_parameters().values()), *layer.named_buffers().values()):
            array += 1
        got, expected = (results_of(trained, x) for trained in (other, fresh))
        require_equal(f"{what}, after the first one was trained and changed", got, expected)


def least_rows(layer: Layer) -> int:
    """Return 1, or 2 for a layer that mixes rows: one value has no variance."""
    return 1 if all(part.batch_independent for _, part in layer.walk()) else 2


def check_loss_contract(make: Callable[[], Loss], outputs: Any, targets: Any) -> None:
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


def check_regularizer_contract(make: Callable[[], Regularizer], shape: Shape = (4, 3)) -> None:
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
    shape: Shape

    def regularizer_gradient_is_right(self) -> None:
        for dtype in (np.float64, np.float32):
            check_regularizer(self.make(), sample(self.shape, 0, dtype), seed=0).assert_ok()

    def penalty_is_a_float_from_zero_up(self) -> None:
        penalty = self.make().penalty(np.zeros(self.shape))
        require(isinstance(penalty, float), f"expected penalty to return a float, got {type(penalty).__name__}")
        require(penalty >= 0, f"expected a penalty >= 0 of weights of 0, got {penalty}")
