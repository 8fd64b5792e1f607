"""Contract probes of losses, penalties, the compute_gradients of a model and the vjp of a function."""

import copy
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import InputError, MinidlError
from minidl._core.types import Array
from minidl.gradcheck import expect
from minidl.gradcheck.arrays import PARTS, largest, layouts, random_upstream, take_rows
from minidl.gradcheck.layer_probes import instances_share_nothing
from minidl.gradcheck.precision import DRAWS, Cast, agreement_in_float32, draws_after, exactness
from minidl.gradcheck.probing import (
    ALONE,
    SHARED,
    Arrays,
    Calls,
    Errors,
    Probes,
    Snapshot,
    attempt,
    fail,
    one_call,
    one_pass,
)
from minidl.gradcheck.subjects import Function, gradients_of
from minidl.nn.losses import Loss
from minidl.nn.losses.base import broadcast_by
from minidl.nn.model import Model
from minidl.nn.regularizers import Regularizer

_NO_MEAN = "if the loss is not a mean over its rows, set batch_independent = False"


def purity_of_loss(loss: Loss, outputs: Array, targets: Any) -> None:
    """Check in normal use: calls agree, change no array of the caller, and return new arrays and finite numbers."""
    subject = _LossProbes(loss, outputs, targets)
    subject.plain_use()
    exactness(subject.results)


def behaviour_of_loss(loss: Loss, outputs: Array, targets: Any) -> Probes:
    """Return the probes of unusual uses of `loss`."""
    subject = _LossProbes(loss, outputs, targets)
    return [
        subject.consumes,
        subject.last_forward_wins,
        subject.predictions_between,
        subject.memory_layouts,
        *([subject.empty_batch] * subject.has_rows),
        *([subject.mean_of_parts] * (subject.has_rows and loss.batch_independent)),
        subject.in_float32,
    ]


def purity_of_regularizer(regularizer: Regularizer, w: Array) -> None:
    """Check that two calls agree, w stays unchanged, the penalty is at least 0, and each gradient is a new array."""
    subject = _PenaltyProbes(regularizer, w)
    subject.plain_use()
    if (penalty := subject.plain["the penalty"]) < 0:
        fail(f"penalty must be at least 0, but is {penalty:.12g}")
    subject.check_plain("with the penalty of another w in between", one_call(lambda: regularizer.penalty(0.75 * w)))
    if np.shares_memory(regularizer.gradient(w), regularizer.gradient(w)):
        fail("gradient must return a new array, but returned the memory of an earlier result")
    exactness(subject.results)


def behaviour_of_regularizer(regularizer: Regularizer, w: Array) -> Probes:
    """Return the probes of unusual uses of `regularizer`."""
    subject = _PenaltyProbes(regularizer, w)
    return [subject.memory_layouts, subject.empty_batch, subject.in_float32] if w.ndim else [subject.in_float32]


def _float(label: str, value: Any) -> Array:
    """Return `value` as an array without axes; end the probe unless it is a finite float."""
    if not isinstance(value, float):
        fail(f"{label} must return a float, but returned {type(value).__name__}")
    if not np.isfinite(value):
        fail(f"{label} returned {value} for finite inputs")
    return np.array(float(value))


class _LossProbes:
    # The names of the methods, their input and their results.
    forward, backward, inputs, value, gradient = "forward", "backward", "outputs", "the loss", "gradient of the outputs"
    # The size of intermediate numbers: a probability near 1 has the rounding of 1.
    size = 1.0

    def __init__(self, loss: Any, outputs: Array, targets: Any) -> None:
        self.loss = loss
        self.outputs = outputs
        self.targets = targets
        # Targets that are not an array are not split into rows.
        with suppress(InputError):
            self.targets = as_array("targets", targets)
        self.has_rows = isinstance(self.targets, np.ndarray) and np.shape(self.targets)[:1] == outputs.shape[:1]

    def run(self, when: str, let_through: Errors = (), others: Calls = ALONE, **given: Any) -> Arrays:
        """Return the loss as an array and a copy of its gradient, with calls to others in between."""
        inputs = {"outputs": self.outputs.copy(), "targets": self.targets} | given
        value = attempt(f"{when}, {self.forward}", lambda: self.loss.forward(*inputs.values()), let_through)
        next(others, None)
        gradient = attempt(f"{when}, {self.backward}", self.loss.backward)
        next(others, None)
        return {self.value: _float(f"{when}, {self.forward}", value), self.gradient: np.array(gradient)}

    @cached_property
    def plain(self) -> Arrays:
        return self.run("in normal use")

    def check_plain(self, when: str, others: Calls = ALONE, **given: Any) -> None:
        """Compare with normal use: with calls to others in between, or with another memory layout."""
        self.compare(when, self.run(when, others=others, **given), self.plain)

    def compare(self, when: str, got: Arrays, want: Arrays, hint: str = "") -> None:
        scale = largest(self.outputs, *want.values())
        for name, value in want.items():
            expect.close(when, name, got[name], value, scale, hint)

    def plain_use(self) -> None:
        given, targets = self.outputs.copy(), self.targets
        if isinstance(targets, np.ndarray) and (said := broadcast_by(self.loss, targets, given.shape)):
            fail(said, "targets")
        watched = {self.inputs: given}
        if isinstance(targets, np.ndarray):
            watched["targets"] = targets = targets.copy()
        results, forward = [], partial(self.loss.forward, given, targets)
        for _ in range(2):
            # A MinidlError is about outputs or targets, so the caller must see it.
            number = _float(self.forward, expect.untouched(self.forward, forward, watched, let_through=(MinidlError,)))
            gradient = expect.untouched(self.backward, self.loss.backward, watched)
            expect.array(self.backward, self.gradient, gradient, given.shape, given.dtype)
            for name, array in watched.items():
                if np.shares_memory(gradient, array):
                    fail(f"{self.backward} returned a view of {name}; return a new array", self.gradient)
            results.append((number, gradient.copy()))
        for call, name, *both in zip((self.forward, self.backward), (self.value, self.gradient), *results, strict=True):
            expect.same(call, name, *both)
        self.beside_another(-0.75 * given, targets)
        if self.has_rows:
            self.beside_another(*(take_rows(a, len(given) + 1) for a in (given, targets)))

    def beside_another(self, outputs: Array, targets: Any) -> None:
        """Compare with normal use, with calls to a copy of the loss in between."""
        other = copy.deepcopy(self.loss)
        self.check_plain(SHARED, one_pass(partial(other.forward, outputs, targets), other.backward))

    def consumes(self) -> None:
        self.run("in normal use")
        expect.refused("a second backward after one forward", self.loss.backward)

    def last_forward_wins(self) -> None:
        attempt("forward", lambda: self.loss.forward(np.flip(self.outputs).copy(), self.targets))
        self.check_plain("after two forwards and one backward, which belongs to the second")

    def predictions_between(self) -> None:
        given = self.outputs.copy()

        def predict() -> None:
            attempt("predict", lambda: self.loss.predict(given))
            attempt("metrics", lambda: self.loss.metrics(given, self.targets))
            # Not every loss has probabilities.
            with suppress(MinidlError):
                attempt("probabilities", lambda: self.loss.probabilities(given), (MinidlError,))

        calls = partial(expect.untouched, "predict, metrics or probabilities", predict, {"outputs": given})
        self.check_plain("with predictions between forward and backward", one_call(calls), outputs=given)

    def memory_layouts(self) -> None:
        for layout, laid in layouts(self.outputs).items():
            self.check_plain(f"with {self.inputs} {layout}", outputs=laid)
        for layout, laid in layouts(self.targets).items() if self.has_rows else ():
            self.check_plain(f"with targets {layout}", targets=laid)

    def empty_batch(self) -> None:
        """Check that the gradient for an empty batch is empty too."""
        empty, targets = self.outputs[:0], self.targets[:0] if self.has_rows else None
        try:
            shape = self.run("", outputs=empty, targets=targets)[self.gradient].shape
        except Exception:
            # An empty batch has no mean or maximum. Any error is fine: nothing goes wrong silently.
            return
        if shape != empty.shape:
            fail(f"with empty {self.inputs} of shape {empty.shape}, {self.gradient} has shape {shape}")

    def results(self, cast: Cast) -> Arrays:
        z = cast(self.outputs)
        # A loss is a Python float, whatever the dtype of the outputs.
        value = np.array(self.loss.forward(z, self.targets), z.dtype)
        return {self.value: value, self.gradient: np.asarray(self.loss.backward())}

    def in_float32(self) -> None:
        agreement_in_float32(self.results, self.size)

    def mean_of_parts(self) -> None:
        """Check that the loss is a mean over rows: each part counts by its number of rows."""
        # Also try two and three rows: a bug may concern only small batches.
        for rows in sorted({2, 3, max(2, len(self.outputs))}):
            with suppress(MinidlError):
                self._mean_of_parts(*(take_rows(a, rows) for a in (self.outputs, self.targets)))

    def _mean_of_parts(self, z: Array, t: Array) -> None:
        when, rows = f"with part of a batch ({_NO_MEAN})", len(z)
        # Reverse the whole batch, so that a cache by its number of rows does not help.
        parts = (slice(None, None, -1), *PARTS[1:])
        whole, head, tail = (self.run(when, (MinidlError,), outputs=z[p].copy(), targets=t[p]) for p in parts)
        # The losses of the parts are added; their gradients are joined.
        want = {name: np.r_[head[name] / rows, tail[name] * (1 - 1 / rows)][::-1] for name in whole}
        want[self.value] = want[self.value].sum()
        self.compare("as a mean over its rows", whole, want, f"; {_NO_MEAN}")


class _Penalty:
    """A regularizer with the interface of a loss; its outputs are the weight."""

    def __init__(self, regularizer: Regularizer) -> None:
        self.regularizer = regularizer

    def forward(self, w: Array, _: None) -> float:
        self.w = w
        return self.regularizer.penalty(w)

    def backward(self) -> Array:
        gradient = self.regularizer.gradient(self.w)
        # For a weight without axes, NumPy returns a scalar.
        return np.asarray(gradient) if np.isscalar(gradient) else gradient


class _PenaltyProbes(_LossProbes):
    forward, backward, inputs, value, gradient = "penalty", "gradient", "w", "the penalty", "the gradient"
    # A penalty or gradient may have any size.
    size = 0.0

    def __init__(self, regularizer: Regularizer, w: Array) -> None:
        super().__init__(_Penalty(regularizer), w, None)


def purity_of_model(model: Model, x: Array, y: Any) -> None:
    """Check that two calls agree, and that only gradients change."""
    # If x or y is invalid, the model itself raises the error.
    attempt("compute_loss", lambda: model.compute_loss(x, y), (MinidlError,))
    snapshot, given = Snapshot(model.network), x.copy()

    def compute() -> Arrays:
        snapshot.restore()
        terms = model.compute_gradients(given, y)
        return {"the cost or the loss": np.array(terms)} | {path: p.grad.copy() for path, p in model.parameters.items()}

    watched, hint = snapshot.values | {"x": given}, "; is zero_grad missing?"
    expect.twice("compute_gradients", compute, watched, hint=hint, state=snapshot.values)
    snapshot.restore()
    instances_share_nothing(model.network, x)
    exactness(partial(_results_of_model, model, x, y))


def _results_of_model(model: Model, x: Array, y: Any, cast: Cast) -> Arrays:
    x = cast(x)
    twin = model.astype(x.dtype)
    for parameter in twin.parameters.values():
        parameter.value = cast(parameter.value)
    cost, _ = twin.compute_gradients(x, y)
    # A cost is a Python float, whatever the dtype of x.
    results = {"the cost": np.array(cost, x.dtype), DRAWS: draws_after(twin.network)}
    return results | {path: p.grad for path, p in twin.parameters.items()}


def cost_and_loss_of_model(model: Model, x: Array, y: Any) -> None:
    """Check that compute_gradients returns the cost and the loss, in this order."""
    snapshot = Snapshot(model.network)
    terms = attempt("compute_gradients", lambda: model.compute_gradients(x.copy(), y))
    snapshot.restore()
    for name, got, compute in zip(("cost", "loss"), terms, (model.compute_cost, model.compute_loss), strict=True):
        if not np.isclose(got, wanted := compute(x, y), rtol=1e-9, atol=1e-15):
            fail(f"compute_gradients returned the {name} {got:.10g}, but compute_{name} returned {wanted:.10g}")


def precision_of_model(model: Model, x: Array, y: Any) -> None:
    """Check that cost and gradients in float32 are near those in float64."""
    # A probability near 1 has the rounding of 1.
    agreement_in_float32(partial(_results_of_model, model, x, y), 1.0)


def purity_of_function(f: Function, vjp: Function, points: Arrays, rng: np.random.Generator) -> None:
    """Check that two calls agree, change no input, and give each argument a gradient of the right shape."""
    given = {name: point.copy() for name, point in points.items()}
    y = expect.twice("f", partial(named, "f", f, given), given)["f"]
    dy = random_upstream(y.shape, rng)
    for name, gradient in expect.twice("vjp", partial(_gradients, "vjp", vjp, dy, given), given | {"dy": dy}).items():
        if gradient.shape != points[name].shape:
            fail(f"expected a gradient of shape {points[name].shape}, got shape {gradient.shape}", name)

    def results(cast: Cast) -> Arrays:
        at = {name: cast(point) for name, point in points.items()}
        return named("y", f, at) | _gradients("vjp", vjp, cast(dy), at)

    exactness(results)


def _gradients(label: str, vjp: Function, dy: Array, points: Arrays) -> Arrays:
    gradients = gradients_of(vjp, dy, [*points.values()])
    if len(gradients) != len(points):
        fail(f"{label} returned {len(gradients)} gradients for {len(points)} arguments")
    return {name: numbers(f"{label}, for {name},", value) for name, value in zip(points, gradients, strict=True)}


def named(name: str, function: Function, given: Arrays) -> Arrays:
    """Return the result of a user's function, by its name."""
    return {name: numbers(name, function(*given.values()))}


def numbers(label: str, value: Any) -> Array:
    """Return a copy of the result of a user's function; end the check unless it is an array of real numbers."""
    array = attempt(label, lambda: np.asarray(value))
    if array.dtype.kind not in "biuf":
        hint = "; does it have a return statement?" if value is None else ""
        kind = type(value).__name__ if array.dtype.kind == "O" else f"an array of dtype {array.dtype}"
        fail(f"{label} must return real numbers, but returned {kind}{hint}")
    return array.astype(np.float64)


def behaviour_of_function(
    f: Function, vjp: Function, points: Arrays, rng: np.random.Generator, label: str = "vjp", by: str = "dy"
) -> Probes:
    """Return the probe that the gradient is linear in dy; `label` and `by` are the names that the user knows."""

    def of(dy: Array) -> Arrays:
        copies = {name: point.copy() for name, point in points.items()}
        return attempt(label, partial(_gradients, label, vjp, dy.copy(), copies))

    return [lambda: expect.linear(label, of, np.asarray(f(*points.values())), points, rng, by)]
