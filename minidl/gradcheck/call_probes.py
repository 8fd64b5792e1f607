"""Contract probes of what is called once a step: losses, penalties, a model's compute_gradients, a function's vjp."""

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

_NO_MEAN = "if the loss is no mean over its rows, set batch_independent = False"


def purity_of_loss(loss: Loss, outputs: Array, targets: Any) -> None:
    """In plain use calls agree, change nothing of the caller's, and return new and finite numbers."""
    subject = _LossProbes(loss, outputs, targets)
    subject.plain_use()
    exactness(subject.results)


def behaviour_of_loss(loss: Loss, outputs: Array, targets: Any) -> Probes:
    """Return what `loss` is put to out of the ordinary."""
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
    """In plain use calls agree, leave w alone, and return a penalty of at least 0 and a new gradient."""
    subject = _PenaltyProbes(regularizer, w)
    subject.plain_use()
    if (penalty := subject.plain["the penalty"]) < 0:
        fail(f"penalty must be at least 0 and is {penalty:.12g}")
    subject.check_plain("with the penalty of another w between", one_call(lambda: regularizer.penalty(0.75 * w)))
    if np.shares_memory(regularizer.gradient(w), regularizer.gradient(w)):
        fail("gradient must return a new array, and returned memory that it returned before")
    exactness(subject.results)


def behaviour_of_regularizer(regularizer: Regularizer, w: Array) -> Probes:
    """Return what `regularizer` is put to out of the ordinary."""
    subject = _PenaltyProbes(regularizer, w)
    return [subject.memory_layouts, subject.empty_batch, subject.in_float32] if w.ndim else [subject.in_float32]


def _float(label: str, value: Any) -> Array:
    """Return `value` as an array without axes, or end the probe unless it is a finite float."""
    if not isinstance(value, float):
        fail(f"{label} must return a float and returned {type(value).__name__}")
    if not np.isfinite(value):
        fail(f"{label} returned {value} for finite numbers")
    return np.array(float(value))


class _LossProbes:
    # What is called, with what, and what it returns.
    forward, backward, inputs, value, gradient = "forward", "backward", "outputs", "the loss", "d outputs"
    # Of the numbers on the way: a probability near 1 is rounded as 1 is.
    size = 1.0

    def __init__(self, loss: Any, outputs: Array, targets: Any) -> None:
        self.loss = loss
        self.outputs = outputs
        self.targets = targets
        # A loss may take targets that are no array; they are not taken apart then.
        with suppress(InputError):
            self.targets = as_array("targets", targets)
        self.has_rows = isinstance(self.targets, np.ndarray) and np.shape(self.targets)[:1] == outputs.shape[:1]

    def run(self, when: str, let_through: Errors = (), others: Calls = ALONE, **given: Any) -> Arrays:
        """Return the loss as an array, and a copy of its gradient; the others take turns with it."""
        inputs = {"outputs": self.outputs.copy(), "targets": self.targets} | given
        value = attempt(f"{when}, {self.forward}", lambda: self.loss.forward(*inputs.values()), let_through)
        next(others, None)
        gradient = attempt(f"{when}, {self.backward}", self.loss.backward)
        next(others, None)
        return {self.value: _float(f"{when}, {self.forward}", value), self.gradient: np.array(gradient)}

    @cached_property
    def plain(self) -> Arrays:
        return self.run("in plain use")

    def check_plain(self, when: str, others: Calls = ALONE, **given: Any) -> None:
        """Compare with plain use while others take turns, or while inputs lie otherwise in memory."""
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
            # A MinidlError is the loss's own word about outputs and targets, and so for the caller.
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
        """Compare with plain use while a copy of the loss takes other outputs."""
        other = copy.deepcopy(self.loss)
        self.check_plain(SHARED, one_pass(partial(other.forward, outputs, targets), other.backward))

    def consumes(self) -> None:
        self.run("in plain use")
        expect.refused("a second backward after one forward", self.loss.backward)

    def last_forward_wins(self) -> None:
        attempt("forward", lambda: self.loss.forward(np.flip(self.outputs).copy(), self.targets))
        self.check_plain("after two forwards, of which the second counts")

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
        """The gradient of nothing is of the shape of nothing."""
        empty, targets = self.outputs[:0], self.targets[:0] if self.has_rows else None
        try:
            shape = self.run("", outputs=empty, targets=targets)[self.gradient].shape
        except Exception:
            # There is no mean or largest of nothing: it is refused loudly, however that is called.
            return
        if shape != empty.shape:
            fail(f"with empty {self.inputs} of shape {empty.shape}, {self.gradient} has shape {shape}")

    def results(self, cast: Cast) -> Arrays:
        z = cast(self.outputs)
        # A loss is a float of Python, whatever the outputs are.
        value = np.array(self.loss.forward(z, self.targets), z.dtype)
        return {self.value: value, self.gradient: np.asarray(self.loss.backward())}

    def in_float32(self) -> None:
        agreement_in_float32(self.results, self.size)

    def mean_of_parts(self) -> None:
        """The loss is a mean over rows, so parts weigh as many rows as they have."""
        # Two and three as well: a slip in a loss may be one of small batches.
        for rows in sorted({2, 3, max(2, len(self.outputs))}):
            with suppress(MinidlError):
                self._mean_of_parts(*(take_rows(a, rows) for a in (self.outputs, self.targets)))

    def _mean_of_parts(self, z: Array, t: Array) -> None:
        when, rows = f"with part of a batch ({_NO_MEAN})", len(z)
        # The whole in reverse order, of which nothing is kept by the number of rows.
        parts = (slice(None, None, -1), *PARTS[1:])
        whole, head, tail = (self.run(when, (MinidlError,), outputs=z[p].copy(), targets=t[p]) for p in parts)
        # Of the loss, the parts are added; of its gradient, they are rows.
        want = {name: np.r_[head[name] / rows, tail[name] * (1 - 1 / rows)][::-1] for name in whole}
        want[self.value] = want[self.value].sum()
        self.compare("against the mean of its rows", whole, want, f"; {_NO_MEAN}")


class _Penalty:
    """A regularizer, called as a loss of the weight is."""

    def __init__(self, regularizer: Regularizer) -> None:
        self.regularizer = regularizer

    def forward(self, w: Array, _: None) -> float:
        self.w = w
        return self.regularizer.penalty(w)

    def backward(self) -> Array:
        gradient = self.regularizer.gradient(self.w)
        # Of a weight without axes, NumPy makes a scalar.
        return np.asarray(gradient) if np.isscalar(gradient) else gradient


class _PenaltyProbes(_LossProbes):
    forward, backward, inputs, value, gradient = "penalty", "gradient", "w", "the penalty", "the gradient"
    # A penalty or gradient may be of any size.
    size = 0.0

    def __init__(self, regularizer: Regularizer, w: Array) -> None:
        super().__init__(_Penalty(regularizer), w, None)


def purity_of_model(model: Model, x: Array, y: Any) -> None:
    """Two calls agree, and nothing but gradients changes."""
    # What is wrong with x or y, the model says itself.
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
    # A cost is a float of Python, whatever x is.
    results = {"the cost": np.array(cost, x.dtype), DRAWS: draws_after(twin.network)}
    return results | {path: p.grad for path, p in twin.parameters.items()}


def cost_and_loss_of_model(model: Model, x: Array, y: Any) -> None:
    """What compute_gradients returns is the cost and the loss, in this order."""
    snapshot = Snapshot(model.network)
    terms = attempt("compute_gradients", lambda: model.compute_gradients(x.copy(), y))
    snapshot.restore()
    for name, got, compute in zip(("cost", "loss"), terms, (model.compute_cost, model.compute_loss), strict=True):
        if not np.isclose(got, wanted := compute(x, y), rtol=1e-9, atol=1e-15):
            fail(f"compute_gradients returned {got:.10g} as the {name}, compute_{name} returns {wanted:.10g}")


def precision_of_model(model: Model, x: Array, y: Any) -> None:
    """Cost and gradients in float32 are near those in float64."""
    # A probability near 1 is rounded as 1 is.
    agreement_in_float32(partial(_results_of_model, model, x, y), 1.0)


def purity_of_function(f: Function, vjp: Function, points: Arrays, rng: np.random.Generator) -> None:
    """Two calls agree, nothing handed in is changed, and there is one gradient of the right shape for each argument."""
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
    found = gradients_of(vjp, dy, [*points.values()])
    if len(found) != len(points):
        fail(f"{label} returned {len(found)} gradients for {len(points)} arguments")
    return {name: numbers(f"{label}, for {name},", value) for name, value in zip(points, found, strict=True)}


def named(name: str, function: Function, given: Arrays) -> Arrays:
    """Return what a user's function returns, by its name."""
    return {name: numbers(name, function(*given.values()))}


def numbers(label: str, value: Any) -> Array:
    """Return a copy of what a user's function returned as an array, or end the check if it is none of real numbers."""
    array = attempt(label, lambda: np.asarray(value))
    if array.dtype.kind not in "biuf":
        hint = "; is a return missing?" if value is None else ""
        kind = type(value).__name__ if array.dtype.kind == "O" else f"an array of dtype {array.dtype}"
        fail(f"{label} must return real numbers and returned {kind}{hint}")
    return array.astype(np.float64)


def behaviour_of_function(
    f: Function, vjp: Function, points: Arrays, rng: np.random.Generator, label: str = "vjp", by: str = "dy"
) -> Probes:
    """The gradient is linear in dy; `label` and `by` are the user's words."""

    def of(dy: Array) -> Arrays:
        copies = {name: point.copy() for name, point in points.items()}
        return attempt(label, partial(_gradients, label, vjp, dy.copy(), copies))

    return [lambda: expect.linear(label, of, np.asarray(f(*points.values())), points, rng, by)]
