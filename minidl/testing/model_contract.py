"""The contracts of what a model is made of: layers, losses, regularizers."""

import copy
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minidl._core.checks import as_array, check_finite, check_outputs
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck import GradientReport, Verdict, check_layer, check_loss, check_regularizer
from minidl.gradcheck.arrays import take_rows
from minidl.gradcheck.precision import results_of
from minidl.gradcheck.probing import Snapshot
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.losses.base import broadcast_by
from minidl.nn.regularizers import Regularizer
from minidl.testing.contract import Contract, Shape, as_shape, require, require_equal, sample

Make = Callable[[], Layer]
_SEED = "; seed what it draws"
_KEEP = "; keep what backward needs by self.keep, never in a class attribute, a global or a default argument"


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
    LayerContract(make, input_shape).check()


@dataclass
class LayerContract(Contract):
    _kind = Layer
    input_shape: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.input_shape, np.ndarray):
            check_finite("input_shape", as_array("input_shape", self.input_shape))
            as_shape("input_shape: the shape of an example of x", self.input_shape.shape)
        else:
            self.input_shape = as_shape("input_shape", self.input_shape)

    def layers_of_make_are_equal(self) -> None:
        said = "two layers of make differ"
        one, other = (Snapshot(self._layer()) for _ in range(2))
        for got, expected in ((other.values, one.values), (other.buffers, one.buffers)):
            require_equal(said, got, expected, f"{_SEED}, such as Dense(3, 2, rng=0)")
        got, expected = (results_of(self._layer(), self._x(3)) for _ in range(2))
        require_equal(said, got, expected, f"{_SEED}, from a numpy.random.Generator of the layer's own")

    def instances_share_nothing(self) -> None:
        self._require_independent("another instance", lambda layer: self._layer())

    def copies_are_independent(self) -> None:
        self._require_independent("a deep copy", copy.deepcopy)

    def representation_is_text(self) -> None:
        require(repr(self.make()), "expected repr to say something: errors name the layer by it")

    def float32_stays_float32(self) -> None:
        for name, array in results_of(self.make().astype(np.float32), self._x(3, dtype=np.float32)).items():
            require(array.dtype == np.float32, f"{name}: expected float32 for a float32 x, got {array.dtype}")

    def training_and_prediction_agree(self) -> str | None:
        layer = self._layer()
        if Snapshot(layer).buffers or Snapshot(layer).generators or any(p.saved_attributes for _, p in layer.walk()):
            return "a layer with buffers or random draws may compute something else in training"
        trained, predicted = (layer.forward(self._x(3), train) for train in (True, False))
        if not np.allclose(trained, predicted, rtol=1e-6):
            warnings.warn(
                f"{self._name}: training and prediction compute different y, by up to "
                f"{np.abs(trained - predicted).max():.2g}, although the layer draws nothing and has no buffers; "
                "if this is intended, ignore this warning",
                stacklevel=2,
            )
        return None

    def gradients_are_right(self) -> None:
        for rows, dtype in ((7, np.float64), (least_rows(self.make()), np.float32)):
            check_layer(self.make(), self._x(rows, rows, dtype), seed=rows).assert_ok()

    def _layer(self) -> Layer:
        layer: Layer = self.make().astype(np.float64)
        return layer

    def _x(self, rows: int, seed: int = 0, dtype: Any = np.float64) -> Array:
        """Return rows of the example, from another one on for each `seed`, or of numbers of one's own."""
        if not isinstance(example := self.input_shape, np.ndarray):
            return sample((rows, *example), seed, dtype)
        x = take_rows(np.roll(example, -seed, axis=0), rows)
        return x.astype(dtype) if x.dtype.kind == "f" else x

    def _require_independent(self, what: str, other_of: Callable[[Layer], Layer]) -> None:
        x = self._x(2)
        expected = results_of(self._layer(), x)
        # A cache may go by the number of rows, or be that number.
        for rows in (2, 3):
            other = other_of(layer := self._layer())
            got = results_of(layer, x, partial(other.forward, self._x(rows, 5), train=True))
            require_equal(f"with a forward of {what} before its backward", got, expected, _KEEP)
        other = other_of(layer := self._layer())
        results_of(layer, self._x(3, 5))
        for array in (*Snapshot(layer).values.values(), *Snapshot(layer).buffers.values()):
            array += 1
        said = f"{what}, after the first one was trained and changed"
        require_equal(said, results_of(other, x), expected, "; no array, generator or layer may belong to both")


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
    LossContract(make, outputs, targets).check()


@dataclass
class LossContract(Contract):
    _kind = Loss
    outputs: Any
    targets: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        self.outputs, self.targets = as_array("outputs", self.outputs).astype(np.float64), np.array(self.targets)
        check_outputs(self.outputs)
        if len(self.outputs) < 2:
            raise InputError("outputs: expected at least two rows, got 1: a mean of one row hides what is divided by")

    def instances_share_nothing(self) -> None:
        alone, loss, other = (self.make() for _ in range(3))
        for each in (alone, loss):
            each.forward(self.outputs, self.targets)
        other.forward(self.outputs[::-1].copy(), self.targets)
        got, expected = loss.backward(), alone.backward()
        require_equal("with a forward of another instance before its backward, the gradient", got, expected, _KEEP)

    def forward_returns_a_float(self) -> None:
        loss = self.make().forward(self.outputs.astype(np.float32), self.targets)
        require(isinstance(loss, float), f"expected a float, got {type(loss).__name__}; write float(...)")

    def shapes_are_not_broadcast(self) -> str | None:
        n = len(self.outputs)
        if not self.outputs.size == self.targets.size == n:
            return "outputs and targets are not one number for each row"
        for targets in (self.targets.reshape(n), self.targets.reshape(n, 1)):
            said = broadcast_by(self.make(), targets, self.outputs.shape)
            require(not said, f"{said}; refuse such targets in forward")
        return None

    def predict_gives_one_a_row(self) -> None:
        got, rows = len(self.make().predict(self.outputs)), len(self.outputs)
        require(got == rows, f"expected {rows} predictions, got {got}")

    def loss_gradient_is_right(self) -> None:
        for dtype in (np.float64, np.float32):
            check_loss(self.make(), self.outputs.astype(dtype), self.targets, seed=0).assert_ok()

    def loss_gradient_is_right_far_out(self) -> None:
        logits = self.make().takes_logits
        for factor in (0.0, 30.0, *([1000.0] if logits else [])):
            # Other losses may have outputs that mean nothing, such as probabilities above 1.
            with suppress(InputError):
                report = check_loss(self.make(), factor * self.outputs, self.targets, seed=0)
                _refuse(report, Verdict.FAIL_VALUE, *([Verdict.FAIL_CONTRACT] if logits else []))


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
    RegularizerContract(make, shape).check()


@dataclass
class RegularizerContract(Contract):
    _kind = Regularizer
    shape: Any = (4, 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shape = as_shape("shape", self.shape)

    def penalty_is_a_float_from_zero_up(self) -> None:
        penalty = self.make().penalty(np.zeros(self.shape))
        require(isinstance(penalty, float), f"expected penalty to return a float, got {type(penalty).__name__}")
        require(penalty >= 0, f"expected a penalty >= 0 of weights of 0, got {penalty}")

    def regularizer_gradient_is_right(self) -> None:
        for dtype in (np.float64, np.float32):
            check_regularizer(self.make(), self._w(dtype), seed=0).assert_ok()

    def regularizer_gradient_is_right_at_zeros(self) -> None:
        # Trained weights can be exactly 0, some or all of them.
        for zeros in (self._w() > 0, slice(None)):
            w = self._w().copy()
            w[zeros] = 0.0
            _refuse(check_regularizer(self.make(), w, seed=0), Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT)

    def _w(self, dtype: Any = np.float64) -> Array:
        return sample(self.shape, 0, dtype)
