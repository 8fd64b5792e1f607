"""The contracts of losses and regularizers: the terms of the cost."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._core.errors import CallOrderError
from minidl._core.types import Array
from minidl.nn.losses import Loss
from minidl.nn.regularizers import Regularizer
from minidl.testing.contract import require, require_equal, require_raises, run_checks, sample

MakeLoss = Callable[[], Loss]
MakeRegularizer = Callable[[], Regularizer]


def check_loss_contract(make: MakeLoss, outputs: Any, targets: Any) -> None:
    """Check that the losses of `make` keep the contract of `Loss`.

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
    checks = (
        *(loss_gradient_is_right, loss_is_a_float, loss_is_the_mean_over_rows, loss_gradient_fits_the_outputs),
        *(loss_backward_needs_a_forward, loss_gradient_is_of_the_last_forward, loss_takes_any_memory_order),
        predict_gives_one_a_row,
    )
    outputs, targets = np.array(outputs, dtype=np.float64), np.array(targets)
    for array in (outputs, targets):  # writing into them then raises
        array.flags.writeable = False
    run_checks(Loss, make, checks, outputs, targets)


def loss_gradient_is_right(make: MakeLoss, outputs: Array, targets: Array) -> None:
    from minidl.gradcheck import check_loss

    check_loss(make(), outputs, targets, seed=0).assert_ok()


def loss_is_a_float(make: MakeLoss, outputs: Array, targets: Array) -> None:
    for dtype in (np.float32, np.float64):
        value = make().forward(outputs.astype(dtype), targets)
        require(isinstance(value, float), f"expected forward to return a float, got {type(value).__name__}")


def loss_is_the_mean_over_rows(make: MakeLoss, outputs: Array, targets: Array) -> None:
    loss, n = make(), len(outputs)
    parts = loss.forward(outputs[:1], targets[:1]) + (n - 1) * loss.forward(outputs[1:], targets[1:])
    require_equal("the mean of the losses of parts of the batch", parts / n, loss.forward(outputs, targets))


def loss_gradient_fits_the_outputs(make: MakeLoss, outputs: Array, targets: Array) -> None:
    loss = make()
    for dtype in (np.float32, np.float64):
        loss.forward(outputs.astype(dtype), targets)
        gradient = loss.backward()
        require(gradient.shape == outputs.shape, f"expected a gradient of shape {outputs.shape}, got {gradient.shape}")
        require(gradient.dtype == dtype, f"expected a gradient of dtype {np.dtype(dtype)}, got {gradient.dtype}")


def loss_backward_needs_a_forward(make: MakeLoss, outputs: Array, targets: Array) -> None:
    loss = make()
    require_raises("backward before forward", CallOrderError, loss.backward)
    loss.forward(outputs, targets)
    loss.backward()
    require_raises("a second backward for one forward", CallOrderError, loss.backward)


def loss_gradient_is_of_the_last_forward(make: MakeLoss, outputs: Array, targets: Array) -> None:
    loss, fresh = make(), make()
    loss.forward(outputs[:1], targets[:1])
    loss.forward(outputs, targets)
    fresh.forward(outputs, targets)
    require_equal("the gradient after two forwards", loss.backward(), fresh.backward())


def loss_takes_any_memory_order(make: MakeLoss, outputs: Array, targets: Array) -> None:
    expected = make().forward(outputs, targets)
    for other in (np.asfortranarray(outputs), np.repeat(outputs, 2, axis=0)[::2]):
        require_equal("the loss of outputs in another memory order", make().forward(other, targets), expected)


def predict_gives_one_a_row(make: MakeLoss, outputs: Array, targets: Array) -> None:
    predicted = make().predict(outputs)
    require(len(predicted) == len(outputs), f"expected {len(outputs)} predictions, got {len(predicted)}")


def check_regularizer_contract(make: MakeRegularizer, shape: tuple[int, ...] = (4, 3)) -> None:
    """Check that the regularizers of `make` keep the contract of `Regularizer`.

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
    checks = (
        *(regularizer_gradient_is_right, penalty_is_a_float_from_zero_up, regularizer_gradient_is_a_new_array),
        regularizer_takes_any_memory_order,
    )
    run_checks(Regularizer, make, checks, shape)


def regularizer_gradient_is_right(make: MakeRegularizer, shape: tuple[int, ...]) -> None:
    from minidl.gradcheck import check_regularizer

    check_regularizer(make(), sample(shape, 0), seed=0).assert_ok()


def penalty_is_a_float_from_zero_up(make: MakeRegularizer, shape: tuple[int, ...]) -> None:
    for w in (sample(shape, 0), sample(shape, 0, np.float32), np.zeros(shape)):
        penalty = make().penalty(w)
        require(isinstance(penalty, float), f"expected penalty to return a float, got {type(penalty).__name__}")
        require(penalty >= 0, f"expected a penalty >= 0, got {penalty}")


def regularizer_gradient_is_a_new_array(make: MakeRegularizer, shape: tuple[int, ...]) -> None:
    for dtype in (np.float32, np.float64):
        w, regularizer = sample(shape, 0, dtype), make()
        gradient, again = regularizer.gradient(w), regularizer.gradient(w)
        require(gradient.shape == shape, f"expected a gradient of shape {shape}, got {gradient.shape}")
        require(gradient.dtype == dtype, f"expected a gradient of dtype {np.dtype(dtype)}, got {gradient.dtype}")
        require(not np.shares_memory(gradient, w), "expected a new array as gradient, got a view of the weight")
        require(not np.shares_memory(gradient, again), "expected a new array as gradient, got the last one again")


def regularizer_takes_any_memory_order(make: MakeRegularizer, shape: tuple[int, ...]) -> None:
    w, regularizer = sample(shape, 0), make()
    for other in (np.asfortranarray(w), np.repeat(w, 2, axis=0)[::2]):
        require_equal("the penalty in another memory order", regularizer.penalty(other), regularizer.penalty(w))
        require_equal("the gradient in another memory order", regularizer.gradient(other), regularizer.gradient(w))
