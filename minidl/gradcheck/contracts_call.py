"""Contract probes of what is called once a step: a model's compute_gradients, a function and its vjp."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.guard import attempt, fail
from minidl.gradcheck.report import Finding, Verdict
from minidl.gradcheck.state import Snapshot, changed_arrays, copies
from minidl.gradcheck.subjects import as_gradients, random_upstream
from minidl.nn.model import Model


def purity_of_model(model: Model, x: Array, y: Any) -> list[Finding]:
    """Two calls agree, and nothing but gradients changes."""
    return list(_purity_of_model(model, x, y))[:1]


def behaviour_of_model(model: Model, x: Array, y: Any) -> list[Finding]:
    """What compute_gradients returns is the cost and the loss, in this order."""
    found, snapshot = [], Snapshot(model.network)
    cost, loss = attempt("compute_gradients", lambda: model.compute_gradients(x.copy(), y))
    snapshot.restore()
    for name, got, wanted in [("cost", cost, model.compute_cost(x, y)), ("loss", loss, model.compute_loss(x, y))]:
        if not np.isclose(got, wanted, rtol=1e-9, atol=0):
            reason = f"compute_gradients returned {got:.10g} as the {name}, compute_{name} returns {wanted:.10g}"
            found.append(Finding(Verdict.FAIL_CONTRACT, reason))
    return found


def _purity_of_model(model: Model, x: Array, y: Any) -> Iterator[Finding]:
    snapshot, before = Snapshot(model.network), copies(model.network)
    given = x.copy()
    cost, loss = attempt("compute_gradients", lambda: model.compute_gradients(given, y))
    buffers = model.network.named_buffers()
    if moved := [path for path in changed_arrays(model.network, before) if path not in buffers]:
        yield Finding(Verdict.STATE_CHANGED, "compute_gradients changed its value: that is the optimizer's", moved[0])
    if not np.array_equal(given, x):
        yield Finding(Verdict.FAIL_CONTRACT, "compute_gradients changed x, which is the caller's")
    first = {path: p.grad.copy() for path, p in model.parameters.items()}
    snapshot.restore()
    again = attempt("a second compute_gradients", lambda: model.compute_gradients(x.copy(), y))
    if (cost, loss) != again:
        yield Finding(Verdict.NONDETERMINISTIC, f"compute_gradients returned {(cost, loss)}, and then {again}")
    for path, parameter in model.parameters.items():
        if not np.array_equal(first[path], parameter.grad):
            reason = "two calls of compute_gradients at the same point leave two different gradients"
            gathered = np.allclose(parameter.grad, 2 * first[path])
            yield Finding(
                Verdict.FAIL_CONTRACT if gathered else Verdict.NONDETERMINISTIC,
                f"{reason}: the second is twice the first, is zero_grad missing?" if gathered else reason,
                path,
            )
    snapshot.restore()


def purity_of_function(
    f: Callable[..., Any], vjp: Callable[..., Any], points: list[Array], rng: np.random.Generator
) -> list[Finding]:
    """Two calls agree, nothing handed in is changed, and there is one gradient of the right shape for each argument."""
    return list(_purity_of_function(f, vjp, points, rng))[:1]


def _purity_of_function(
    f: Callable[..., Any], vjp: Callable[..., Any], points: list[Array], rng: np.random.Generator
) -> Iterator[Finding]:
    arguments = [point.copy() for point in points]
    y = _numbers("f", attempt("f", lambda: f(*arguments))).copy()
    if not np.array_equal(y, _numbers("f", attempt("f", lambda: f(*arguments))), equal_nan=True):
        yield Finding(Verdict.NONDETERMINISTIC, "two calls of f with the same arguments differ")
    dy = random_upstream(y.shape, rng)
    given = dy.copy()
    found = as_gradients(attempt("vjp", lambda: vjp(given, *arguments)), points)
    if not np.array_equal(given, dy):
        yield Finding(Verdict.FAIL_CONTRACT, "vjp changed dy, which is the caller's")
    for i, (argument, point) in enumerate(zip(arguments, points, strict=True)):
        if not np.array_equal(argument, point):
            yield Finding(Verdict.FAIL_CONTRACT, "f or vjp changed it, and it is the caller's", f"argument {i}")
    if len(found) != len(points):
        yield Finding(Verdict.FAIL_CONTRACT, f"vjp returned {len(found)} gradients for {len(points)} arguments")
        return
    again = as_gradients(attempt("vjp", lambda: vjp(dy.copy(), *(point.copy() for point in points))), points)
    for i, (gradient, point, second) in enumerate(zip(found, points, again, strict=True)):
        if _numbers(f"vjp, for argument {i},", gradient).shape != point.shape:
            reason = f"expected a gradient of shape {point.shape}, got shape {np.shape(gradient)}"
            yield Finding(Verdict.FAIL_CONTRACT, reason, f"argument {i}")
        elif not np.array_equal(gradient, second, equal_nan=True):
            reason = "two calls of vjp with the same arguments differ"
            yield Finding(Verdict.NONDETERMINISTIC, reason, f"argument {i}")


def _numbers(what: str, value: Any) -> Array:
    """Return what a user's function returned as an array, or end the check if it is none of real numbers."""
    hint = "; is a return missing?" if value is None else ""
    array = attempt(what, lambda: np.asarray(value))
    if array.dtype.kind not in "biuf":
        kind = type(value).__name__ if array.dtype.kind == "O" else f"an array of dtype {array.dtype}"
        fail(f"{what} must return real numbers and returned {kind}{hint}")
    return array


def behaviour_of_function(
    f: Callable[..., Any], vjp: Callable[..., Any], points: list[Array], rng: np.random.Generator
) -> list[Finding]:
    """The gradient is linear in dy, also far out, where a clipping would show."""
    u, v = (random_upstream(np.shape(f(*points)), rng) for _ in range(2))
    for a, b in [(1.0, 1.0), (2.0**40, 0.0), (2.0**-40, 0.0)]:  # powers of two change no digit
        mixed, of_u, of_v = (
            as_gradients(attempt("vjp", partial(vjp, dy, *(p.copy() for p in points))), points)
            for dy in (a * u + b * v, u.copy(), v.copy())
        )
        for i, (got, first, second) in enumerate(zip(mixed, of_u, of_v, strict=True)):
            wanted = a * np.asarray(first) + b * np.asarray(second)
            size = np.abs(a * np.asarray(first)).max() + np.abs(b * np.asarray(second)).max()
            if np.abs(got - wanted).max() > 1e-9 * size:
                how = f"{a:g} times dy does not give {a:g} times the gradient" if b == 0 else "a sum of two dy does not"
                how += "" if b == 0 else " give the sum of their gradients"
                return [Finding(Verdict.FAIL_CONTRACT, f"vjp is not linear in dy: {how}", f"argument {i}")]
    return []
