"""The subjects of a check: a layer, loss, regularizer, model or function, each as outputs that depend on tensors."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.arrays import largest, random_upstream
from minidl.gradcheck.probing import Arrays, Snapshot, attempt, describe_error, fail
from minidl.gradcheck.slopes import Ladder, Line, round_to_30_bits, slopes
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.model import Model
from minidl.nn.parameter import Parameter
from minidl.nn.regularizers import Regularizer

Function = Callable[..., Any]


class OutOfTime(Exception):  # noqa: N818 - a limit was reached; this is not an error
    """Ends a check after `max_seconds`."""


class Part(NamedTuple):
    """Outputs that are computed together, the weight of each with its error bar, and the state of the step ladder."""

    outputs: Callable[[], Array]
    weights: Array
    weights_bar: Array | float
    ladder: Ladder


class Subject(ABC):
    """Outputs that depend on tensors, and the gradient to check.

    Attributes
    ----------
    tensors : dict of str to array
        The tensors that the outputs depend on, by name: float64, and moved in place by the check.
    upstream, upstream_bar : array, flat
        The weight of each output in the number whose gradient is checked, and its error bar.
    single_kinks : bool
        Whether a right gradient lies between the one-sided slopes at a kink. If several kinks follow each other, it may
        not: the chain rule multiplies a choice at one kink by a choice at another.
    directions : int
        Number of random directions through each tensor that are compared.
    forwards, backwards : int
        Number of calls.
    deadline : float
        Time, as by ``perf_counter``, when the check must end.
    tick : callable
        Called with the number of slopes that were just measured.
    """

    tensors: dict[str, Array]
    upstream: Array
    upstream_bar: Array | float = 0.0
    single_kinks = True
    directions = 3
    deadline = math.inf
    tick: Callable[[int], object] = staticmethod(lambda count: None)
    forwards = 0
    backwards = 0
    given: Arrays | None = None
    """The caller's values of the tensors that were moved before the check."""
    refused = ""
    """The error that a forward raised at a nearby point, as text."""
    _shape: tuple[int, ...] | None = None

    def outputs(self) -> Array:
        """Return the outputs for the current tensors; after the first call, NaN if they cannot be computed.

        Raises
        ------
        Broken
            If they cannot be computed at the point itself, or their shape changes.
        OutOfTime
            After the deadline.
        """
        self._check_time()
        self.forwards += 1
        if self._shape is None:
            outputs = attempt("forward", self._outputs, (MinidlError,))
            self._shape = outputs.shape
            return outputs
        try:
            outputs = self._outputs()
        except Exception as error:
            self.refused = describe_error(error)
            return np.full(self._shape, np.nan)
        if outputs.shape != self._shape:
            fail(f"a small step changes the shape of the outputs from {self._shape} to {outputs.shape}")
        return outputs

    def gradients(self) -> dict[str, Array]:
        """Return the gradient of ``sum(upstream * outputs)`` with respect to each tensor, as copies; see `outputs`."""
        self._check_time()
        self.forwards += 1
        self.backwards += 1
        found = attempt("backward", self._gradients, (MinidlError,))
        return {name: np.array(gradient, np.float64) for name, gradient in found.items()}

    def parts(self) -> list[Part]:
        """Return the parts whose slopes add up to the slope of the weighted outputs."""
        return [Part(self.outputs, self.upstream, self.upstream_bar, self.ladder)]

    def keep_kinks(self, given: Mapping[str, Array]) -> None:
        """Keep all digits of entries whose gradient changes by rounding: these are at a kink such as 0.1."""
        rounded = {name: self.tensors[name].copy() for name in given}
        if all(np.array_equal(rounded[name], given[name]) for name in given):
            return
        before = self.gradients()
        for name, exact in given.items():
            self.tensors[name][...] = exact
        for name, at in self.gradients().items():
            if name in given:
                jumps = np.abs(at - before[name]) > 1e-6 * np.abs(at).max(initial=0.0)
                self.tensors[name][...] = np.where(jumps, given[name], rounded[name])

    def renew(self) -> None:  # noqa: B027 - most have nothing to do
        """Update `upstream` after the tensors were moved, if it depends on them."""

    def place(self, tensors: Arrays) -> Arrays:
        """Set tensors to other values, and return the old ones."""
        before = {name: self.tensors[name].copy() for name in tensors}
        for name, value in tensors.items():
            self.tensors[name][...] = value
        self.renew()
        return before

    def notes(self) -> list[str]:
        """Return remarks for the report, whatever the verdict."""
        return [f"after a small step, forward raised {self.refused}"] if self.refused else []

    @cached_property
    def ladder(self) -> Ladder:
        """The steps that the outputs need, as far as the lines so far have shown."""
        return Ladder()

    def _check_time(self) -> None:
        if perf_counter() > self.deadline:
            raise OutOfTime

    @abstractmethod
    def _outputs(self) -> Array: ...

    @abstractmethod
    def _gradients(self) -> dict[str, Array]: ...


def move_parameters(parameters: Mapping[str, Parameter], rng: np.random.Generator) -> Arrays:
    """Move parameters a little, in place, and return their old values.

    This reveals a stale copy of a weight, and everything that a bias of 0 would hide, such as a penalty on it. A right
    gradient is right after the move too.
    """
    given = {path: round_to_30_bits(parameter.value) for path, parameter in parameters.items()}
    for parameter in parameters.values():
        moved = parameter.value * (1 + 2.0**-6)
        parameter.value = round_to_30_bits(moved if moved.any() else random_upstream(moved.shape, rng) / 64)
    return given


class LayerSubject(Subject):
    """A layer in training mode: x and every parameter against y."""

    def __init__(self, layer: Layer, x: Array, rng: np.random.Generator) -> None:
        self.layer = layer
        paths = [path for path, _ in layer.walk()]
        self.single_kinks = sum(not any(p != path and p.startswith(path) for p in paths) for path in paths) <= 1
        self.x = round_to_30_bits(x)
        self.given = move_parameters(layer.named_parameters(), rng)
        self.tensors = {"x": self.x} | {path: p.value for path, p in layer.named_parameters().items()}
        self._snapshot = Snapshot(layer, parameters=False)
        self.dy = random_upstream(self.outputs().shape, rng)
        self.upstream = self.dy.reshape(-1)
        self._unchanged = self._snapshot.unchanged()
        self.keep_kinks({"x": x})

    def notes(self) -> list[str]:
        notes = super().notes()
        if self._unchanged and not all(part.batch_independent for _, part in self.layer.walk()):
            notes.append(f"forward(train=True) does not change {', '.join(self._unchanged[:3])}: should it be updated?")
        return notes

    def _outputs(self) -> Array:
        # So that a dropout draws the same mask each time, and running statistics do not change.
        self._snapshot.restore()
        return np.array(self.layer.forward(self.x.copy(), train=True))

    def _gradients(self) -> dict[str, Array]:
        self._snapshot.reset()
        self.layer.forward(self.x.copy(), train=True)
        dx = self.layer.backward(self.dy.copy())
        return {"x": dx} | {path: p.grad for path, p in self._snapshot.parameters.items()}


class FunctionSubject(Subject):
    """Any function of arrays, with its vector-Jacobian product ``vjp(dy, *arguments)``; without `rng`, dy is 1."""

    def __init__(
        self, f: Function, vjp: Function, arguments: Mapping[str, Array], rng: np.random.Generator | None = None
    ) -> None:
        self.f = f
        self.vjp = vjp
        self.tensors = {name: round_to_30_bits(argument) for name, argument in arguments.items()}
        self.dy = np.ones(()) if rng is None else random_upstream(self.outputs().shape, rng)
        self.upstream = self.dy.reshape(-1)
        self.keep_kinks(arguments)

    def _outputs(self) -> Array:
        return np.array(self.f(*(argument.copy() for argument in self.tensors.values())), dtype=np.float64)

    def _gradients(self) -> dict[str, Array]:
        found = gradients_of(self.vjp, self.dy.copy(), [argument.copy() for argument in self.tensors.values()])
        return dict(zip(self.tensors, found, strict=True))


def gradients_of(vjp: Function, dy: Array, arguments: Sequence[Array]) -> tuple[Any, ...]:
    """Return the result of a vjp as a tuple; a single gradient may be a list of numbers."""
    found = vjp(dy, *arguments)
    alone = len(arguments) == 1 and not isinstance(found, tuple) and np.shape(found) == arguments[0].shape
    return tuple(found) if isinstance(found, tuple | list) and not alone else (found,)


def of_loss(loss: Loss, outputs: Array, targets: Any) -> Subject:
    """Return a loss as a function of its outputs."""

    def gradient(dy: Array, z: Array) -> Array:
        loss.forward(z, targets)
        return loss.backward()

    return FunctionSubject(lambda z: loss.forward(z, targets), gradient, {"outputs": outputs})


def of_regularizer(regularizer: Regularizer, w: Array) -> Subject:
    """Return a regularizer as a function of the weight."""
    return FunctionSubject(regularizer.penalty, lambda dy, w: regularizer.gradient(w), {"w": w})


class CostSubject(Subject):
    """A model's cost, as one number: every parameter against `compute_cost`."""

    upstream = np.ones(1)
    single_kinks = False
    # PartedCostSubject compares more.
    directions = 1

    def __init__(self, model: Model, x: Array, y: Any, given: Arrays | None = None) -> None:
        self.model = model
        self.given = given
        self.x = x
        self.y = y
        self.tensors = {path: p.value for path, p in model.parameters.items()}
        self._snapshot = Snapshot(model.network, parameters=False)
        self.renew()

    def _outputs(self) -> Array:
        return np.array([self.model.compute_cost(self.x, self.y)])

    def _gradients(self) -> dict[str, Array]:
        self._snapshot.restore()
        self.model.compute_gradients(self.x, self.y)
        return {path: p.grad for path, p in self.model.parameters.items()}


class PartedCostSubject(CostSubject):
    """A model's cost in parts, for small bars: the network's outputs, with their slopes in the loss, and the penalty.

    A cost is one number of order 1, so its rounding hides small slopes. The chain rule, on numerical derivatives alone,
    does not: each output of the network is differenced on its own, as are the loss at these outputs and the penalty.
    """

    directions = 3

    def renew(self) -> None:
        z = attempt("forward", self._outputs, (MinidlError,)).copy()
        entries = [Line(z, index) for index in np.ndindex(z.shape)]
        found = slopes(lambda: np.array([self.model.loss.forward(z.copy(), self.y)]), entries, least=largest(z))
        self.upstream, self.upstream_bar = found.value[:, 0], found.bar[:, 0]

    def parts(self) -> list[Part]:
        penalty = Part(lambda: np.array([self.model.penalty()]), np.ones(1), 0.0, Ladder())
        return super().parts() + ([] if self.model.regularizer is None else [penalty])

    def _outputs(self) -> Array:
        self._snapshot.restore()
        return self.model.network.forward(self.x, train=True)
