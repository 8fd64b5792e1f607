"""A machine that calls a layer in any order, and compares it with fresh twins that saw only what counts."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from minidl._core.errors import CallOrderError
from minidl._core.types import Array
from minidl.nn.layers import Layer
from minidl.testing.arrays import Shape, batches, upstream
from minidl.testing.contract import require_equal, require_raises
from minidl.testing.layer_contract import least_rows


def layer_machine(make: Callable[[], Layer], input_shape: Shape) -> type[RuleBasedStateMachine]:
    """Return a Hypothesis state machine of forward, backward and zero_grad calls, with batches of changing size.

    Every output, dx and gradient must be that of a fresh twin that starts from the layer's parameters and buffers and
    makes only the calls that count: the last train=True forward and its backward. It finds stale caches, gradients that
    are overwritten instead of added up (or the other way round), and returned memory that a later call writes.

    Parameters
    ----------
    make : callable
        Returns a new layer, the same each time, whose output depends on x, parameters and buffers alone.
    input_shape : tuple of int
        The shape of one row of x.

    Examples
    --------
    >>> from minidl import Dense
    >>> TestDense = layer_machine(lambda: Dense(3, 2, rng=0), (3,)).TestCase  # pytest collects and runs it
    """

    least = least_rows(make, input_shape)
    trainable = batches(input_shape, dtype=np.float64).filter(lambda x: len(x) >= least)

    class LayerMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.layer = make().astype(np.float64)
            self.pending: list[tuple[Layer, Shape]] = []  # the twin that waits for a backward, and the shape of its dy
            self.gradients = {path: np.zeros_like(p.value) for path, p in self.layer.named_parameters().items()}
            self.values = {path: p.value.copy() for path, p in self.layer.named_parameters().items()}
            self.theirs: list[tuple[Array, Array]] = []  # what eval forwards returned, and copies of it

        @rule(x=trainable)
        def train_forward(self, x: Array) -> None:
            twin = self._fresh_twin()
            y = self.layer.forward(x, train=True)
            require_equal("y of a train=True forward", y, twin.forward(x.copy(), train=True))
            require_equal("buffers after a train=True forward", _buffers(self.layer), _buffers(twin))
            self.pending = [(twin, y.shape)]

        @rule(x=batches(input_shape, dtype=np.float64))
        def eval_forward(self, x: Array) -> None:
            twin = self._fresh_twin()
            y = self.layer.forward(x)
            require_equal("y of an eval forward", y, twin.forward(x.copy()))
            require_equal("buffers after an eval forward", _buffers(self.layer), _buffers(twin))
            self.theirs.append((y, y.copy()))

        @precondition(lambda self: self.pending)
        @rule(data=st.data())
        def backward(self, data: Any) -> None:
            twin, dy_shape = self.pending.pop()
            dy = data.draw(upstream(dy_shape), label="dy")
            require_equal("dx", self.layer.backward(dy.copy()), twin.backward(dy.copy()))
            for path, parameter in twin.named_parameters().items():
                self.gradients[path] += parameter.grad

        @precondition(lambda self: not self.pending)
        @rule()
        def backward_without_forward(self) -> None:
            dy = np.ones((1, *self.layer.output_shape(input_shape)))
            require_raises("a backward without a train=True forward", CallOrderError, lambda: self.layer.backward(dy))

        @rule()
        def zero_grad(self) -> None:
            for path, parameter in self.layer.named_parameters().items():
                parameter.zero_grad()
                self.gradients[path][...] = 0.0

        @invariant()
        def gradients_are_the_sum_of_what_fresh_twins_give(self) -> None:
            for path, parameter in self.layer.named_parameters().items():
                require_equal(f"gradient of {path}", parameter.grad, self.gradients[path])

        @invariant()
        def parameters_and_what_was_handed_out_stay(self) -> None:
            for path, parameter in self.layer.named_parameters().items():
                require_equal(f"value of {path}", parameter.value, self.values[path])
            for y, copy in self.theirs:
                require_equal("y of an earlier eval forward", y, copy)

        def _fresh_twin(self) -> Layer:
            twin = make().astype(np.float64)
            for mine, other in zip(_state(self.layer), _state(twin), strict=True):
                other[...] = mine
            return twin

    LayerMachine.__name__ = LayerMachine.__qualname__ = f"{type(make()).__name__}Machine"
    return LayerMachine


def _buffers(layer: Layer) -> list[Array]:
    return list(layer.named_buffers().values())


def _state(layer: Layer) -> list[Array]:
    return [parameter.value for parameter in layer.named_parameters().values()] + _buffers(layer)
