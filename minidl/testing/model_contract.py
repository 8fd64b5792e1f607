"""The contracts of the parts of a model: layers, losses, regularizers."""

import copy
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np

from minidl._core.checks import as_array, check_finite, check_outputs
from minidl._core.errors import BrokenContractError, InconclusiveError, InputError, VacuousError
from minidl._core.types import Array
from minidl.gradcheck import check_layer, check_loss, check_regularizer
from minidl.gradcheck.arrays import random_upstream, take_rows
from minidl.gradcheck.probing import Snapshot
from minidl.nn.layers import Layer, Sequential
from minidl.nn.losses import Loss
from minidl.nn.losses.base import broadcast_by
from minidl.nn.regularizers import Regularizer
from minidl.testing.contract import Contract, Shape, as_shape, require, require_equal, sample

Make = Callable[[], Layer]
_SEED = "; seed all random draws, such as with rng=0, and share no generator or array between the two"
_KEEP = "; share nothing that a call changes: no class attribute, global, default argument, array or generator"

# For large outputs or at 0, a gradient may vanish or be at a kink.
_UNDECIDED = InconclusiveError, VacuousError


def check_layer_contract(make: Make, input_shape: int | Shape | Array) -> None:
    """Check that the layers of `make` keep the contract of `Layer`.

    First `check_layer` checks the layer. Then two layers of `make` must be equal and share nothing, and a deep copy
    must be independent.

    Parameters
    ----------
    make : callable
        Returns a new layer, the same each time: seed all its random draws.
    input_shape : int, tuple of int, or array
        The shape of one row of x; or, for a layer that needs certain numbers such as integers, an example of x with at
        least one row.

    Warns
    -----
    UserWarning
        If training and prediction compute a different y, although the layer draws no random numbers and has no buffers.

    Raises
    ------
    InputError
        If an argument is not as above.
    ContractError
        At the first broken rule, naming the class and the rule.
    GradientCheckError
        If `check_layer` fails, with its report.

    Examples
    --------
    >>> from minidl import Dense
    >>> check_layer_contract(lambda: Dense(3, 2, rng=0), 3)
    """
    LayerContract(make, input_shape)._check()


class LayerContract(Contract):
    _kind = Layer

    def __init__(self, make: Make, input_shape: int | Shape | Array) -> None:
        super().__init__(make)
        if not isinstance(input_shape, np.ndarray):
            input_shape = sample((16, *as_shape("input_shape", input_shape)), 0)
        check_finite("input_shape", as_array("input_shape", input_shape))
        # Training uses these dtypes.
        self._example = input_shape if input_shape.dtype.kind in "iu" else input_shape.astype(np.float32)

    def gradients_are_right(self) -> None:
        layer, x = self._make(), self._x(7)
        if x.dtype.kind != "f":
            layer, x = _Rounding(layer), x.astype(np.float64)
        check_layer(layer, x, seed=0).assert_ok()

    def layers_of_make_are_equal(self) -> None:
        first, second = (_results(self._make(), self._x(3)) for _ in range(2))
        require_equal("two layers of make differ", second, first, _SEED)

    def instances_share_nothing(self) -> None:
        # The layers keep their dtype: a copy in another dtype would share nothing.
        expected = _results(self._make(), self._x(2))
        others: dict[str, Callable[[Layer], Layer]]
        others = {"another instance": lambda _: self._make(), "a deep copy": copy.deepcopy}
        for name, other_of in others.items():
            # A cache may depend on the number of rows.
            for rows in (2, 3):
                other = other_of(layer := self._make())
                _results(other, self._x(3, 1))
                got = _results(layer, self._x(2), partial(other.forward, self._x(rows, 1), train=True))
                require_equal(f"results with calls of {name} before and in between", got, expected, _KEEP)

    def training_and_prediction_agree(self) -> None:
        state = Snapshot(layer := self._make())
        if state.buffers or state.generators or any(part.saved_attributes for _, part in layer.walk()):
            raise SkipTest("the layer has buffers or random draws, so training may differ from prediction")
        trained, predicted = (layer.forward(self._x(3), train) for train in (True, False))
        if not np.allclose(trained, predicted, rtol=1e-4, atol=1e-6):
            off = np.abs(trained - predicted).max()
            self._note(f"y differs by {off:.2g} between training and prediction, with no buffers or random draws")

    def _x(self, rows: int, start: int = 0) -> Array:
        return take_rows(np.roll(self._example, -start, axis=0), rows)


class _Rounding(Sequential):
    """A layer of real numbers that rounds them for a layer of integers; its dx is 0."""

    def forward(self, x: Array, train: bool = False) -> Array:
        return super().forward(np.rint(x).astype(np.int64), train)


def _results(layer: Layer, x: Array, between: Callable[[], object] = lambda: None) -> dict[str, Array]:
    """Return y, dx, gradients and buffers; call `between` between forward and backward."""
    y = layer.forward(x, train=True)
    between()
    dx = layer.backward(random_upstream(y.shape, np.random.default_rng(0)).astype(y.dtype))
    gradients = {path: parameter.grad for path, parameter in layer.named_parameters().items()}
    buffers = {path: buffer for path, buffer in layer.named_buffers().items() if buffer.dtype.kind == "f"}
    return {name: copy.copy(array) for name, array in ({"y": y, "dx": dx} | gradients | buffers).items()}


def check_loss_contract(make: Callable[[], Loss], outputs: Any, targets: Any) -> None:
    """Check that the losses of `make` keep the contract of `Loss`.

    `check_loss` checks it for `outputs`, for outputs of 0, for 30 times `outputs`, and, if the loss `takes_logits`, for
    1,000 times `outputs`. The loss must not broadcast targets of shape (n,) with outputs of shape (n, 1).

    Parameters
    ----------
    make : callable
        Returns a new loss, the same each time.
    outputs, targets : array_like
        A valid batch: at least two rows, away from any kinks.

    Raises
    ------
    InputError, ContractError, GradientCheckError
        As for `check_layer_contract`.

    Examples
    --------
    >>> from minidl import SoftmaxCrossEntropy
    >>> check_loss_contract(SoftmaxCrossEntropy, [[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]], [2, 0])
    """
    LossContract(make, outputs, targets)._check()


class LossContract(Contract):
    _kind = Loss

    def __init__(self, make: Callable[[], Loss], outputs: Any, targets: Any) -> None:
        super().__init__(make)
        self._outputs, self._targets = as_array("outputs", outputs).astype(np.float64), np.array(targets)
        check_outputs(self._outputs)
        if (rows := len(self._outputs)) < 2:
            raise InputError(f"outputs: expected at least two rows, got {rows}; one row hides a wrong mean over rows")

    def shapes_are_not_broadcast(self) -> None:
        if not self._outputs.size == self._targets.size == (n := len(self._outputs)):
            raise SkipTest("outputs and targets are not one number per row")
        for shape in ((n,), (n, 1)):
            message = broadcast_by(self._make(), self._targets.reshape(shape), self._outputs.shape)
            require(not message, f"{message}; or refuse such targets")

    def loss_gradient_is_right(self) -> None:
        for dtype in (np.float64, np.float32):
            check_loss(self._make(), self._outputs.astype(dtype), self._targets, seed=0).assert_ok()

    def loss_gradient_is_right_far_out(self) -> None:
        logits = self._make().takes_logits
        for factor in (0.0, 30.0, 1000.0) if logits else (0.0, 30.0):
            # Such outputs may be invalid for other losses, such as a probability above 1.
            with suppress(InputError, *_UNDECIDED, *([] if logits else [BrokenContractError])):
                check_loss(self._make(), factor * self._outputs, self._targets, seed=0).assert_ok()


def check_regularizer_contract(make: Callable[[], Regularizer], shape: int | Shape = (4, 3)) -> None:
    """Check that the regularizers of `make` keep the contract of `Regularizer`: `check_regularizer`, also at 0.

    Parameters
    ----------
    make : callable
        Returns a new regularizer, the same each time.
    shape : int or tuple of int
        The shape of the weight to try.

    Raises
    ------
    InputError, ContractError, GradientCheckError
        As for `check_layer_contract`.

    Examples
    --------
    >>> from minidl import L2
    >>> check_regularizer_contract(lambda: L2(0.1))
    """
    RegularizerContract(make, shape)._check()


class RegularizerContract(Contract):
    _kind = Regularizer

    def __init__(self, make: Callable[[], Regularizer], shape: int | Shape = (4, 3)) -> None:
        super().__init__(make)
        self._w = sample(as_shape("shape", shape), 0)

    def regularizer_gradient_is_right(self) -> None:
        check_regularizer(self._make(), self._w, seed=0).assert_ok()

    def regularizer_gradient_is_right_at_zeros(self) -> None:
        # Trained weights can be exactly 0, some or all of them.
        for w in (np.maximum(self._w, 0.0), 0.0 * self._w):
            with suppress(*_UNDECIDED):
                check_regularizer(self._make(), w, seed=0).assert_ok()
