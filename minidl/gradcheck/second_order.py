"""Second order: Hessian-vector products against differences of gradients, and the gradient of each row's loss."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from minidl._core.attributes import is_function
from minidl._core.checks import as_array
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck import expect
from minidl.gradcheck.arrays import largest, random_upstream
from minidl.gradcheck.call_probes import behaviour_of_function, named, numbers
from minidl.gradcheck.checks import _nothing, _point, _Run
from minidl.gradcheck.probing import Arrays, attempt, fail
from minidl.gradcheck.report import GradientReport, Verdict
from minidl.gradcheck.subjects import Function, FunctionSubject

# A function by its name, with its arguments and the shape that it returns.
Calls = Mapping[str, tuple[Function, Arrays, tuple[int, ...]]]


class _Composed(FunctionSubject):
    """A function of several steps, as most functions with a Hessian."""

    single_kinks = False


def check_hessian_product(
    f: Function,
    gradient: Function,
    hvp: Function,
    x: Any,
    *,
    seed: int = 0,
    every_entry: bool = False,
    max_seconds: float | None = None,
) -> GradientReport:
    """Check the product of a Hessian and a vector, ``hvp(x, v) = H(x) v``, and the gradient.

    First compare ``gradient`` with numerical derivatives of ``f``, at x and near it. Then compare ``hvp`` with
    numerical derivatives of ``gradient``, ``(H v)_i = d(v . gradient(x)) / dx_i``, and check that it is linear in v.

    Parameters
    ----------
    f : callable
        ``f(x)``, a number.
    gradient : callable
        ``gradient(x)``, an array of x's shape.
    hvp : callable
        ``hvp(x, v)``, an array of x's shape for a v of x's shape. It must be exact: a difference of two gradients is
        reported as wrong.
    x : array_like of float
        The point. At a kink of f there is no Hessian; the product is then compared at a nearby point, if possible.

    Returns
    -------
    GradientReport
        The report on the gradient if it is wrong, otherwise on the product. Findings name the entry of
        ``gradient(x)`` or ``hvp(x, v)``.

    See Also
    --------
    check_layer : The other parameters, the errors.

    References
    ----------
    Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.

    Examples
    --------
    >>> def f(x):
    ...     return (x**4).sum()
    >>> def gradient(x):
    ...     return 4 * x**3
    >>> x = np.array([0.5, -1.0])
    >>> check_hessian_product(f, gradient, lambda x, v: 12 * x**2 * v, x).verdict.name
    'PASS'
    >>> check_hessian_product(f, gradient, lambda x, v: 12 * x * v, x).verdict.name
    'FAIL_VALUE'
    """
    x = _point("x", x)
    inputs = {"f": f, "gradient": gradient, "hvp": hvp, "x": x}
    run = _Run("check_hessian_product", inputs, (seed, every_entry, max_seconds))
    point, vector = {"x": x}, {"v": random_upstream(x.shape, run.rng)}
    calls = {"f": (f, point, ()), "gradient": (gradient, point, x.shape), "hvp": (hvp, point | vector, x.shape)}

    def slope(place: str, x: Array) -> _Composed:
        return _Composed(f, lambda dy, x: gradient(x), {f"gradient({place})": x})

    at = run.through(partial(_purity, calls, run.rng), partial(slope, "x", x), _nothing)
    # At a minimum every multiple of the gradient is zero, and a missing term may be zero at a single point.
    near = at if at.findings else run.through(_nothing, partial(slope, "near x", _near(x, run.rng)), _nothing, few=0)
    # A finding without an error bar means that the point is outside the domain.
    if near.findings and near.findings[0].bar is not None:
        return near
    if at.findings or not (at.ok or near.ok):
        return at
    given = gradient, lambda v, x: hvp(x, v), {"hvp(x, v)": x}, run.rng
    return run.through(_nothing, partial(_Composed, *given), partial(behaviour_of_function, *given, "hvp", "v"))


def check_row_gradients(
    f: Function,
    row_gradients: Function,
    w: Any,
    *data: Any,
    seed: int = 0,
    every_entry: bool = False,
    max_seconds: float | None = None,
) -> GradientReport:
    """Check the gradient of each row's loss with respect to the weight w (per-example gradients).

    Compare each row's gradient with numerical derivatives of its loss, and the batch with its rows one at a time.

    Parameters
    ----------
    f : callable
        ``f(w, *data)``, the loss of each row, shape (n,).
    row_gradients : callable
        ``row_gradients(w, *data)``, the gradient of each row's loss, shape (n, *w.shape).
    w : array_like of float
    *data : array_like, n rows each
        Such as inputs and labels; a few rows are enough.

    Returns
    -------
    GradientReport
        Findings name the entry of ``row_gradients[row]``.

    See Also
    --------
    check_layer : The other parameters, the errors.

    Examples
    --------
    >>> def f(w, x):
    ...     return np.tanh(x @ w)
    >>> w, x = np.array([0.5, -1.0]), np.array([[1.0, 0.5], [0.25, -2.0], [1.5, 1.0]])
    >>> check_row_gradients(f, lambda w, x: x / np.cosh(x @ w)[:, None] ** 2, w, x).verdict.name
    'PASS'
    """
    w = _point("w", w)
    rows = [as_array(f"data {i}", part).copy() for i, part in enumerate(data)]
    counts = {part.shape[:1] for part in rows}
    if len(counts) != 1 or counts <= {(), (0,)}:
        raise InputError(
            f"check_row_gradients: expected data with equally many rows, got shapes {[*map(np.shape, rows)]}"
        )
    ((n,),) = counts
    given = {"w": w} | {f"data_{i}": part for i, part in enumerate(rows)}
    inputs = {"f": f, "row_gradients": row_gradients} | given
    run = _Run("check_row_gradients", inputs, (seed, every_entry, max_seconds))
    calls = {"f": (f, given, (n,)), "row_gradients": (row_gradients, given, (n, *w.shape))}

    def subject(name: str, some: Sequence[int]) -> _Composed:
        def weighed(dy: Array, w: Array) -> Array:
            return np.tensordot(dy, np.asarray(row_gradients(w, *rows))[some], 1)

        return _Composed(lambda w: np.asarray(f(w, *rows))[some], weighed, {name: w}, run.rng)

    def alone() -> None:
        for name, (function, _, _) in calls.items():
            batch = numbers(name, function(w, *rows))
            scale = 1e3 * largest(batch, w, *rows)
            for i in range(n):
                call = partial(function, w, *(part[[i]] for part in rows))
                single = numbers(name, attempt(f"{name}, with row {i} alone,", call))
                expect.close(f"with row {i} alone", name, single, batch[[i]], scale, source=" (in the batch)")

    report = run.through(partial(_purity, calls, run.rng), partial(subject, "row_gradients", range(n)), lambda: [alone])
    if report.verdict is not Verdict.FAIL_VALUE:
        return report
    each = (run.through(_nothing, partial(subject, f"row_gradients[{i}]", [i]), _nothing) for i in range(n))
    return next((one for one in each if one.verdict is Verdict.FAIL_VALUE), report)


def _purity(calls: Calls, rng: np.random.Generator) -> None:
    """Check that two calls agree despite other calls in between, change no input, and return the right shapes."""
    for name, (function, arguments, shape) in calls.items():
        if not is_function(function):
            raise InputError(f"expected {name} to be callable, got {function!r:.80}")
        given = {key: argument.copy() for key, argument in arguments.items()}
        call = partial(_after_others, calls, rng, name, given)
        first = expect.twice(name, call, given, "; the check called it at other points in between")[name]
        # A number may be an array with one entry.
        if first.shape != shape and (shape or first.size != 1):
            fail(f"expected {name} to return {f'shape {shape}' if shape else 'a number'}, got shape {first.shape}")


def _after_others(calls: Calls, rng: np.random.Generator, name: str, given: Arrays) -> Arrays:
    """Call all functions at another point, to reveal stale caches, and then one of them at the given point."""
    for function, arguments, _ in calls.values():
        point, *others = (argument.copy() for argument in arguments.values())
        # It may be outside the domain.
        with suppress(Exception):
            function(_near(point, rng), *others)
    return named(name, calls[name][0], given)


def _near(x: Array, rng: np.random.Generator) -> Array:
    """Return a nearby point: each number changes by a few percent, and zeros become nonzero."""
    return x + np.where(x == 0, 1.0, np.abs(x)) * random_upstream(x.shape, rng) / 64
