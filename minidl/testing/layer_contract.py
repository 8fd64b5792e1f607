"""The layer contract: what `Sequential`, `Model` and the trainer rely on, beyond right gradients."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._core.errors import CallOrderError, InputError
from minidl._core.types import Array
from minidl.nn.layers import Layer
from minidl.testing.contract import require, require_equal, require_raises, run_checks, sample

Make = Callable[[], Layer]
Shape = tuple[int, ...]


def check_layer_contract(make: Make, input_shape: Shape) -> None:
    """Check that the layers of `make` keep the contract of `Layer`.

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
        If a gradient is wrong, with the report of `check_layer`.

    Examples
    --------
    >>> from minidl import Dense
    >>> check_layer_contract(lambda: Dense(3, 2, rng=0), (3,))
    """
    checks = (
        *(gradients_are_right, output_shape_foretells_y, dtype_in_is_dtype_out, memory_order_changes_nothing),
        *(backward_needs_a_forward, an_eval_forward_disturbs_nothing, batches_of_any_size_in_any_order),
        *(backward_parameters_adds_what_backward_adds, instances_share_nothing, copies_are_independent),
        *(rows_do_not_mix, representation_is_text),
    )
    run_checks(Layer, make, checks, tuple(input_shape))


def gradients_are_right(make: Make, shape: Shape) -> None:
    from minidl.gradcheck import check_layer

    for rows, dtype in ((3, np.float64), (least_rows(make, shape), np.float32)):
        check_layer(make(), sample((rows, *shape), rows, dtype), seed=rows).assert_ok()


def output_shape_foretells_y(make: Make, shape: Shape) -> None:
    layer = make()
    for rows in (1, 3):
        y = layer.forward(sample((rows, *shape), 0))
        promised = (rows, *layer.output_shape(shape))
        require(y.shape == promised, f"output_shape promises a y of shape {promised}, forward gives {y.shape}")


def dtype_in_is_dtype_out(make: Make, shape: Shape) -> None:
    for dtype in (np.float32, np.float64):
        y, dx, *_ = _train(make().astype(dtype), sample((2, *shape), 0, dtype))
        require(y.dtype == dtype, f"expected y of dtype {np.dtype(dtype)} for an x of it, got {y.dtype}")
        require(dx.dtype == dtype, f"expected dx of dtype {np.dtype(dtype)} for an x of it, got {dx.dtype}")


def memory_order_changes_nothing(make: Make, shape: Shape) -> None:
    x = sample((3, *shape), 0)
    expected = _train(_double(make), x)
    for order, other in (("F", np.asfortranarray(x)), ("strided", np.repeat(x, 2, axis=0)[::2])):
        require_equal(f"y, dx and gradients for an x in {order} order", _train(_double(make), other), expected)


def backward_needs_a_forward(make: Make, shape: Shape) -> None:
    layer, x = make(), sample((2, *shape), 0, np.float32)
    dy = sample(layer.forward(x).shape, 1, np.float32)
    require_raises("backward after nothing but an eval forward", CallOrderError, lambda: layer.backward(dy))
    layer.forward(x, train=True)
    layer.backward(dy)
    require_raises("a second backward for one forward", CallOrderError, lambda: layer.backward(dy))


def an_eval_forward_disturbs_nothing(make: Make, shape: Shape) -> None:
    expected = _train(_double(make), sample((2, *shape), 0))
    between = _train(_double(make), sample((2, *shape), 0), lambda layer: layer.forward(sample((3, *shape), 1)))
    require_equal("y, dx and gradients with an eval forward before the backward", between, expected)


def batches_of_any_size_in_any_order(make: Make, shape: Shape) -> None:
    layer = _double(make)
    stateless = not layer.named_buffers()  # running statistics rightly remember the batches before
    for seed, rows in enumerate((3, least_rows(make, shape), 2, 3)):
        x = sample((rows, *shape), seed)
        for parameter in layer.named_parameters().values():
            parameter.zero_grad()
        result = _train(layer, x)
        if stateless and _repeatable(make, x):
            require_equal(f"y, dx and gradients of {rows} rows after other batches", result, _train(_double(make), x))


def backward_parameters_adds_what_backward_adds(make: Make, shape: Shape) -> None:
    one, other, x = _double(make), _double(make), sample((2, *shape), 0)
    dy = sample(one.forward(x, train=True).shape, 1)
    other.forward(x, train=True)
    one.backward(dy)
    other.backward_parameters(dy)
    require_equal("gradients of backward_parameters", _gradients(other), _gradients(one))


def instances_share_nothing(make: Make, shape: Shape) -> None:
    x = sample((2, *shape), 0)
    expected = _train(_double(make), x)
    one, other = _double(make), _double(make)
    _train(one, sample((3, *shape), 5))
    for array in (*_values(one), *one.named_buffers().values()):
        array += 1
    require_equal("y, dx and gradients after another instance was used", _train(other, x), expected)


def copies_are_independent(make: Make, shape: Shape) -> None:
    x, layer = sample((2, *shape), 0), _double(make)
    expected = _train(_double(make), x)
    twin = copy.deepcopy(layer)
    for array in _values(layer):
        array += 1.0
    require_equal("y, dx and gradients of a deep copy after the original changed", _train(twin, x), expected)


def rows_do_not_mix(make: Make, shape: Shape) -> None:
    if not make().batch_independent:
        return
    x = sample((4, *shape), 0)
    layer = _double(make)
    parts = np.concatenate([layer.forward(x[:1]), layer.forward(x[1:])])
    require_equal("y of a split batch (else say batch_independent = False)", parts, layer.forward(x))


def representation_is_text(make: Make, shape: Shape) -> None:
    require(repr(make()), "expected repr to say something: errors name the layer by it")


def _double(make: Make) -> Layer:
    return make().astype(np.float64)


def _values(layer: Layer) -> list[Array]:
    return [parameter.value for parameter in layer.named_parameters().values()]


def _gradients(layer: Layer) -> list[Array]:
    return [parameter.grad.copy() for parameter in layer.named_parameters().values()]


def least_rows(make: Make, shape: Shape) -> int:
    """Return 1, or 2 for a layer that mixes rows and refuses to train on one: one value has no variance."""
    layer = make()
    if all(part.batch_independent for _, part in layer.walk()):
        return 1
    try:
        layer.forward(sample((1, *shape), 0), train=True)
    except InputError:
        return 2
    return 1


def _repeatable(make: Make, x: Array) -> bool:
    """Return whether a layer gives the same twice in a row: one that draws (a dropout) need not."""
    layer = _double(make)
    return np.allclose(layer.forward(x, train=True).copy(), layer.forward(x, train=True))


def _train(layer: Layer, x: Array, between: Callable[[Layer], Any] = lambda layer: None) -> list[Array]:
    """Return copies of [y, dx, *gradients] of one training step's forward and backward."""
    y = layer.forward(x, train=True).copy()
    between(layer)
    dx = layer.backward(sample(y.shape, 1, y.dtype)).copy()
    return [y, dx, *_gradients(layer)]
