"""The contracts of what a model is made of: layers, losses, regularizers."""

import copy
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np

from minidl._core.checks import as_array, check_finite, check_outputs
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck import GradientReport, Verdict, check_layer, check_loss, check_regularizer
from minidl.gradcheck.arrays import random_upstream, take_rows
from minidl.gradcheck.probing import Snapshot
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.losses.base import broadcast_by
from minidl.nn.regularizers import Regularizer
from minidl.testing.contract import Contract, Shape, as_shape, require, require_equal, sample

Make = Callable[[], Layer]
_SEED = "; seed what each draws, such as by rng=0; no generator or array may belong to both"
KEEP = "; keep what backward needs by self.keep, never in a class attribute, a global or a default argument"


def check_layer_contract(make: Make, input_shape: int | Shape | Array) -> None:
    """Check that the layers of `make` keep the contract of `Layer`.

    Two layers of `make` are equal and share nothing, a deep copy is independent, `output_shape` and dtypes are right,
    a repr is not empty; at last `check_layer` checks gradients and the order of calls.

    Parameters
    ----------
    make : callable
        Returns a new layer, the same each time: seed whatever it draws.
    input_shape : int, tuple of int, or array
        The shape of one row of x; or an example of x, with at least one row, for a layer that takes only some numbers,
        such as integers.

    Warns
    -----
    UserWarning
        If training and prediction compute a different y, although the layer draws nothing and has no buffers.

    Raises
    ------
    InputError
        If an argument is not as above.
    ContractError
        At the first rule that is broken, naming the class and the rule.
    GradientCheckError
        If `check_layer` refuses the layer, with its report.

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
        given = isinstance(input_shape, np.ndarray)
        example = input_shape if given else sample((16, *as_shape("input_shape", input_shape)), 0)
        check_finite("input_shape", as_array("input_shape", example))
        self._example = example

    def results_are_float32_arrays_for_float32(self) -> None:
        for name, array in _results(self._make().astype(np.float32), self._x(3)).items():
            got = getattr(array, "dtype", type(array).__name__)
            require(got == np.float32, f"{name}: expected an array of float32 for a float32 x, got {got}")

    def layers_of_make_are_equal(self) -> None:
        for of in (_arrays_of, partial(_results, x=self._x(3))):
            got, expected = of(self._make()), of(self._make())
            require_equal("two layers of make differ", got, expected, _SEED)

    def instances_share_nothing(self) -> None:
        self._require_independent("another instance", lambda layer: self._make())

    def copies_are_independent(self) -> None:
        self._require_independent("a deep copy", copy.deepcopy)

    def gradients_are_right(self) -> None:
        for rows, dtype in ((7, np.float64), (least_rows(self._make()), np.float32)):
            layer, x = self._make(), self._x(rows, rows, dtype)
            if x.dtype.kind != "f":
                layer, x = _Rounding(layer), x.astype(dtype)
            report = check_layer(layer, x, seed=rows)
            # What drops whole rows may drop all of a few.
            if rows == 7 or report.verdict is not Verdict.VACUOUS:
                report.assert_ok()

    def training_and_prediction_agree(self) -> None:
        state = Snapshot(layer := self._make().astype(np.float64))
        if state.buffers or state.generators or any(part.saved_attributes for _, part in layer.walk()):
            raise SkipTest("with buffers or random draws, training may compute something else")
        trained, predicted = (layer.forward(self._x(3, dtype=np.float64), train) for train in (True, False))
        if not np.allclose(trained, predicted, rtol=1e-6):
            off = np.abs(trained - predicted).max()
            self._note(f"y differs by {off:.2g} between training and prediction, without buffers or random draws")

    def _x(self, rows: int, start: int = 0, dtype: Any = np.float32) -> Array:
        x = take_rows(np.roll(self._example, -start, axis=0), rows)
        return x.astype(dtype) if x.dtype.kind == "f" else x

    def _require_independent(self, what: str, other_of: Callable[[Layer], Layer]) -> None:
        # As make returns them: a copy in another dtype would share nothing any more.
        expected = _results(self._make(), self._x(2))
        # A cache may go by the number of rows, or be that number.
        for rows in (2, 3):
            other = other_of(layer := self._make())
            got = _results(layer, self._x(2), partial(other.forward, self._x(rows, 1), train=True))
            require_equal(f"with a forward of {what} before its backward", got, expected, KEEP)
        other = other_of(layer := self._make())
        _results(layer, self._x(3, 1))
        for array in _arrays_of(layer).values():
            array += 1
        message = f"{what}, after the first one was trained and changed"
        require_equal(message, _results(other, self._x(2)), expected, "; no array or generator may belong to both")


class _Rounding(Layer):
    """A layer of integers as one of real numbers, which it rounds: its dx is 0."""

    def __init__(self, layer: Layer) -> None:
        self.layer = self.add_layer("layer", layer)
        self.batch_independent = layer.batch_independent

    def forward(self, x: Array, train: bool = False) -> Array:
        if train:
            self.keep(x.shape)
        return self.layer.forward(np.rint(x).astype(np.int64), train)

    def backward(self, dy: Array) -> Array:
        self.layer.backward(dy)
        return np.zeros(self.kept()[0], dy.dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.output_shape(input_shape)


def _results(layer: Layer, x: Array, between: Callable[[], object] = lambda: None) -> dict[str, Array]:
    """Return y, dx, gradients and buffers; `between` is called between forward and backward."""
    y = layer.forward(x, train=True)
    between()
    dx = layer.backward(random_upstream(y.shape, np.random.default_rng(0)).astype(y.dtype))
    gradients = {path: parameter.grad for path, parameter in layer.named_parameters().items()}
    buffers = {path: buffer for path, buffer in layer.named_buffers().items() if buffer.dtype.kind == "f"}
    return {name: copy.copy(array) for name, array in ({"y": y, "dx": dx} | gradients | buffers).items()}


def _arrays_of(layer: Layer) -> dict[str, Array]:
    return Snapshot(layer).values | layer.named_buffers()


def least_rows(layer: Layer) -> int:
    """Return 1, or 2 for a layer that mixes rows: one value has no variance."""
    return 1 if all(part.batch_independent for _, part in layer.walk()) else 2


def check_loss_contract(make: Callable[[], Loss], outputs: Any, targets: Any) -> None:
    """Check that the losses of `make` keep the contract of `Loss`.

    Two losses of `make` share nothing, `forward` returns a float, targets of shape (n,) are never compared with each
    output of shape (n, 1), there is one prediction for each row; at last `check_loss` checks the gradient, and then
    that of outputs of 0, of 30 times `outputs`, and, if the loss `takes_logits`, of 1,000 times `outputs`.

    Parameters
    ----------
    make : callable
        Returns a new loss, the same each time.
    outputs, targets : array_like
        A batch it takes: at least two rows, off any kinks.

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
            raise InputError(f"outputs: expected at least two rows, got {rows}: one row hides what is divided by")

    def instances_share_nothing(self) -> None:
        alone, loss, other = (self._make() for _ in range(3))
        alone.forward(self._outputs, self._targets)
        expected = alone.backward().copy()
        loss.forward(self._outputs, self._targets)
        other.forward(self._outputs[::-1].copy(), self._targets)
        message = "with a forward of another instance before its backward, the gradient"
        require_equal(message, loss.backward(), expected, KEEP)

    def forward_returns_a_float(self) -> None:
        loss = self._make().forward(self._outputs.astype(np.float32), self._targets)
        require(isinstance(loss, float), f"expected a float, got {type(loss).__name__}; write float(...)")

    def shapes_are_not_broadcast(self) -> None:
        if not self._outputs.size == self._targets.size == (n := len(self._outputs)):
            raise SkipTest("outputs and targets are not one number for each row")
        for shape in ((n,), (n, 1)):
            message = broadcast_by(self._make(), self._targets.reshape(shape), self._outputs.shape)
            require(not message, f"{message}; or refuse such targets")

    def predict_gives_one_a_row(self) -> None:
        got, rows = len(self._make().predict(self._outputs)), len(self._outputs)
        require(got == rows, f"expected {rows} predictions, got {got}")

    def loss_gradient_is_right(self) -> None:
        for dtype in (np.float64, np.float32):
            check_loss(self._make(), self._outputs.astype(dtype), self._targets, seed=0).assert_ok()

    def loss_gradient_is_right_far_out(self) -> None:
        logits = self._make().takes_logits
        for factor in (0.0, 30.0, 1000.0) if logits else (0.0, 30.0):
            # Outputs of other losses may mean nothing there, such as a probability above 1.
            with suppress(InputError):
                report = check_loss(self._make(), factor * self._outputs, self._targets, seed=0)
                _refuse(report, Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT if logits else Verdict.FAIL_VALUE)


def _refuse(report: GradientReport, *verdicts: Verdict) -> None:
    if report.verdict in verdicts:
        report.assert_ok()


def check_regularizer_contract(make: Callable[[], Regularizer], shape: int | Shape = (4, 3)) -> None:
    """Check that the regularizers of `make` keep the contract of `Regularizer`: run `check_regularizer`, and try 0.

    Parameters
    ----------
    make : callable
        Returns a new regularizer, the same each time.
    shape : int or tuple of int
        Of the weight to try.

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
        for dtype in (np.float64, np.float32):
            check_regularizer(self._make(), self._w.astype(dtype), seed=0).assert_ok()

    def regularizer_gradient_is_right_at_zeros(self) -> None:
        # Trained weights can be exactly 0, some or all of them.
        for w in (np.maximum(self._w, 0.0), 0.0 * self._w):
            _refuse(check_regularizer(self._make(), w, seed=0), Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT)
