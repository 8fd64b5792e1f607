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
from minidl.testing.model_contract import least_rows


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

    least = least_rows(make())
    any_batch = batches(input_shape, dtype=np.float64)

    class LayerMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.layer = make().astype(np.float64)
            self.parameters = self.layer.named_parameters()
            self.values = {path: p.value.copy() for path, p in self.parameters.items()}
            self.gradients = {path: np.zeros_like(p.value) for path, p in self.parameters.items()}
            # The twin that waits for a backward, and the shape of its dy.
            self.pending: list[tuple[Layer, Shape]] = []
            # What eval forwards returned, and copies of it.
            self.returned: list[tuple[Array, Array]] = []

        @rule(x=any_batch.filter(lambda x: len(x) >= least))
        def train_forward(self, x: Array) -> None:
            twin, y = self._forward(x, train=True)
            self.pending = [(twin, y.shape)]

        @rule(x=any_batch)
        def eval_forward(self, x: Array) -> None:
            _, y = self._forward(x, train=False)
            self.returned.append((y, y.copy()))

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
            for path, parameter in self.parameters.items():
                parameter.zero_grad()
                self.gradients[path][...] = 0.0

        @invariant()
        def gradients_are_the_sum_of_what_fresh_twins_give(self) -> None:
            require_equal("gradients", {path: p.grad for path, p in self.parameters.items()}, self.gradients)

        @invariant()
        def parameters_and_what_was_handed_out_stay(self) -> None:
            require_equal("values", {path: p.value for path, p in self.parameters.items()}, self.values)
            for y, copy in self.returned:
                require_equal("y of an earlier eval forward", y, copy)

        def _forward(self, x: Array, train: bool) -> tuple[Layer, Array]:
            """Return a fresh twin that made the same forward as the layer, and the layer's y."""
            twin = make().astype(np.float64)
            for path, parameter in twin.named_parameters().items():
                parameter.value[...] = self.parameters[path].value
            for path, buffer in twin.named_buffers().items():
                buffer[...] = self.layer.named_buffers()[path]
            y = self.layer.forward(x, train=train)
            require_equal(f"y of a train={train} forward", y, twin.forward(x.copy(), train=train))
            require_equal(f"buffers after a train={train} forward", self.layer.named_buffers(), twin.named_buffers())
            return twin, y

    LayerMachine.__name__ = LayerMachine.__qualname__ = f"{type(make()).__name__}Machine"
    return LayerMachine
