"""A state machine that calls a layer in any order, and compares it with new layers that got only the relevant calls."""

from collections.abc import Callable
from functools import partial

import numpy as np
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from minidl._core.checks import check_type
from minidl._core.types import Array
from minidl.gradcheck.arrays import array_source
from minidl.nn.layers import Layer
from minidl.testing.arrays import batches, other_than
from minidl.testing.contract import Shape, as_shape, require_equal, sample
from minidl.testing.strategies import call_writer, relaxed

_SEEDS = st.integers(0, 99)


def _seeded(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw an array by a seed: the order of calls is important here, not the numbers, and a seed shrinks quickly."""
    return _SEEDS.map(partial(sample, shape))


def layer_machine(make: Callable[[], Layer], input_shape: int | Shape) -> type[RuleBasedStateMachine]:
    """Return a Hypothesis state machine of forward, backward and zero_grad calls, with batches of changing size.

    Every output, dx and gradient must equal that of a new layer that starts from the same parameters and buffers, and
    gets only the relevant calls: the last train=True forward and its backward. The machine finds stale caches, and
    gradients that are overwritten instead of added up (or the other way round).

    A failure ends with its steps as a program that runs without the machine.

    Parameters
    ----------
    make : callable
        Returns a new layer, the same each time. Its output must depend on x, parameters and buffers alone.
    input_shape : int or tuple of int
        The shape of one row of x.

    Raises
    ------
    InputError
        If `make` returns no layer.

    Examples
    --------
    >>> from minidl import Dense
    >>> TestDense = layer_machine(lambda: Dense(3, 2, rng=0), (3,)).TestCase  # pytest collects and runs it
    """
    call = call_writer(make)
    row = as_shape("input_shape", input_shape)
    check_type("make", "its result", make(), Layer)
    # A layer that mixes rows, such as BatchNorm, needs at least two.
    least = 1 if all(part.batch_independent for _, part in make().walk()) else 2
    eval_batch = batches(row, dtype=np.float64, values=_seeded)
    train_batch = batches(row, rows=other_than(row[0], least), dtype=np.float64, values=_seeded)

    class LayerMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.layer = make().astype(np.float64)
            self.parameters = self.layer.named_parameters()
            self.gradients = {path: np.zeros_like(p.value) for path, p in self.parameters.items()}
            # The new layer of the last train=True forward, and the shape of its dy.
            self.pending: list[tuple[Layer, Shape]] = []
            self.program = [f"layer = {call()}.astype(np.float64)"]

        @rule(x=train_batch)
        def train_forward(self, x: Array) -> None:
            twin, y = self._forward(x, train=True)
            self.pending = [(twin, y.shape)]

        @rule(x=eval_batch)
        def eval_forward(self, x: Array) -> None:
            self._forward(x, train=False)

        @precondition(lambda self: self.pending)
        @rule(seed=_SEEDS)
        def backward(self, seed: int) -> None:
            twin, dy_shape = self.pending.pop()
            dy = sample(dy_shape, seed)
            self.program.append(f"dx = layer.backward({array_source(dy)})")
            require_equal("dx", self.layer.backward(dy.copy()), twin.backward(dy.copy()))
            for path, parameter in twin.named_parameters().items():
                self.gradients[path] += parameter.grad
            self._compare()

        @rule()
        def zero_grad(self) -> None:
            self.program.append("for p in layer.named_parameters().values(): p.zero_grad()")
            for path, parameter in self.parameters.items():
                parameter.zero_grad()
                self.gradients[path][...] = 0.0

        def teardown(self) -> None:
            note("\n".join(["the same steps without the machine:", *self.program]))

        def _compare(self) -> None:
            """Compare the gradients with the expected ones."""
            grads = {path: p.grad for path, p in self.parameters.items()}
            require_equal("gradients, which add up from backward to backward", grads, self.gradients)

        def _forward(self, x: Array, train: bool) -> tuple[Layer, Array]:
            """Return a new layer after the same forward as the layer, and the layer's y."""
            self.program.append(f"y = layer.forward({array_source(x)}, train={train})")
            twin = make().astype(np.float64)
            for path, parameter in twin.named_parameters().items():
                parameter.value[...] = self.parameters[path].value
            for path, buffer in twin.named_buffers().items():
                buffer[...] = self.layer.named_buffers()[path]
            y, expected = self.layer.forward(x, train=train), twin.forward(x.copy(), train=train)
            require_equal(f"y of a train={train} forward (a layer must not draw random numbers here)", y, expected)
            require_equal(f"buffers after a train={train} forward", self.layer.named_buffers(), twin.named_buffers())
            self._compare()
            return twin, y

    LayerMachine.__name__ = LayerMachine.__qualname__ = f"{type(make()).__name__}Machine"
    LayerMachine.TestCase.settings = relaxed(LayerMachine.TestCase.settings)
    return LayerMachine
