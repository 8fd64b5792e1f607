"""Contract probes of what is called once a step: a model's compute_gradients, a function and its vjp."""

from functools import partial
from typing import Any

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck import expect
from minidl.gradcheck.arrays import random_upstream
from minidl.gradcheck.layer_probes import instances_share_nothing
from minidl.gradcheck.precision import DRAWS, Cast, agreement_in_float32, draws_after, exactness
from minidl.gradcheck.probing import Arrays, Probes, Snapshot, attempt, fail
from minidl.gradcheck.subjects import Function, gradients_of
from minidl.nn.model import Model


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


def behaviour_of_model(model: Model, x: Array, y: Any) -> Probes:
    """What compute_gradients returns is the cost and the loss, in this order."""

    def returns_cost_and_loss() -> None:
        snapshot = Snapshot(model.network)
        terms = attempt("compute_gradients", lambda: model.compute_gradients(x.copy(), y))
        snapshot.restore()
        for name, got, compute in zip(("cost", "loss"), terms, (model.compute_cost, model.compute_loss), strict=True):
            if not np.isclose(got, wanted := compute(x, y), rtol=1e-9, atol=1e-15):
                fail(f"compute_gradients returned {got:.10g} as the {name}, compute_{name} returns {wanted:.10g}")

    return [returns_cost_and_loss]


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


def _gradients(what: str, vjp: Function, dy: Array, points: Arrays) -> Arrays:
    found = gradients_of(vjp, dy, [*points.values()])
    if len(found) != len(points):
        fail(f"{what} returned {len(found)} gradients for {len(points)} arguments")
    return {name: numbers(f"{what}, for {name},", value) for name, value in zip(points, found, strict=True)}


def named(name: str, function: Function, given: Arrays) -> Arrays:
    """Return what a user's function returns, by its name."""
    return {name: numbers(name, function(*given.values()))}


def numbers(what: str, value: Any) -> Array:
    """Return a copy of what a user's function returned as an array, or end the check if it is none of real numbers."""
    array = attempt(what, lambda: np.asarray(value))
    if array.dtype.kind not in "biuf":
        hint = "; is a return missing?" if value is None else ""
        kind = type(value).__name__ if array.dtype.kind == "O" else f"an array of dtype {array.dtype}"
        fail(f"{what} must return real numbers and returned {kind}{hint}")
    return array.astype(np.float64)


def behaviour_of_function(
    f: Function, vjp: Function, points: Arrays, rng: np.random.Generator, what: str = "vjp", by: str = "dy"
) -> Probes:
    """The gradient is linear in dy; `what` and `by` are the user's words."""

    def of(dy: Array) -> Arrays:
        copies = {name: point.copy() for name, point in points.items()}
        return attempt(what, partial(_gradients, what, vjp, dy.copy(), copies))

    return [lambda: expect.linear(what, of, np.asarray(f(*points.values())), points, rng, by)]
