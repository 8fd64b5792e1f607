"""Exact rules for the effects and the result of a call; a broken rule ends the probe."""

from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.arrays import first, first_difference, largest, random_upstream, size_of
from minidl.gradcheck.probing import Arrays, Errors, T, attempt, describe_error, fail
from minidl.gradcheck.report import Verdict


def untouched(
    label: str, call: Callable[[], T], *watched: Arrays, let_through: Errors = (), state: Collection[str] = ()
) -> T:
    """Return the result of `call`; end the probe if it changes a `watched` array. `state` has names of buffers."""
    before = [(name, array, array.copy()) for arrays in watched for name, array in arrays.items()]
    result = attempt(label, call, let_through)
    for name, now, was in before:
        verdict = Verdict.STATE_CHANGED if name in state else Verdict.FAIL_CONTRACT
        unchanged(label, name, now, was, verdict)
    return result


def twice(
    label: str, call: Callable[[], Arrays], watched: Arrays, hint: str = "", state: Collection[str] = ()
) -> Arrays:
    """Return the result of `call`; end the probe if a second call differs, or changes a `watched` array."""
    first_results, again = (untouched(label, call, watched, state=state) for _ in range(2))
    for name, value in first_results.items():
        same(label, name, value, again[name], hint)
    return first_results


def unchanged(label: str, name: str, now: Array, before: Array, verdict: Verdict = Verdict.FAIL_CONTRACT) -> None:
    """End the probe if the array `name` has changed."""
    if now.shape != before.shape:
        fail(f"{label} changed the shape of {name} from {before.shape} to {now.shape}", name, None, verdict)
    if (index := first_difference(now, before)) is not None:
        fail(f"{label} changed {name}: {before[index]:.12g} became {now[index]:.12g}", name, index, verdict)


def same(label: str, name: str, a: Array, b: Array, hint: str = "") -> None:
    """End the probe if two calls of `label` from the same state did not return exactly the same."""
    verdict = Verdict.NONDETERMINISTIC
    if a.shape != b.shape:
        fail(f"two calls of {label} differ: {name} has shape {a.shape}, then {b.shape}{hint}", name, None, verdict)
    if (index := first_difference(a, b)) is not None:
        reason = f"two calls of {label} from the same state differ in {name}, by up to {np.abs(a - b).max():.3g}{hint}"
        fail(reason, name, index, verdict)


def close(label: str, name: str, got: Any, want: Array, scale: float, hint: str = "", source: str = "") -> None:
    """End the probe if `got` differs from `want` by more than rounding; `scale` is the size of the inputs."""
    got = np.asarray(got)
    if got.shape != want.shape:
        fail(f"expected shape {want.shape}{source}, got {got.shape} ({label}){hint}", name)
    # "Not close" instead of "far", so that NaN counts as bad.
    bad = ~(np.abs(got - want) <= 1e-10 * np.abs(want).max(initial=0.0) + 1e-12 * scale)
    if (index := first(bad)) is not None:
        fail(f"expected {want[index]:.12g}{source}, got {got[index]:.12g} ({label}){hint}", name, index)


def linear(
    label: str, of: Callable[[Array], Arrays], y: Array, tensors: Arrays, rng: np.random.Generator, by: str = "dy"
) -> None:
    """End the probe unless the gradients with respect to `tensors` are linear in dy.

    A very large dy reveals clipping. `label` and `by` are the names of backward and dy in the messages.
    """
    u, v = (random_upstream(y.shape, rng) for _ in range(2))
    of_u, of_v = of(u), of(v)

    @cache
    def nudged() -> list[Arrays]:
        return [of(u * (1 + 2.0**-40 * rng.uniform(-1.0, 1.0, u.shape))) for _ in range(8)]

    def rounding(name: str) -> float:
        # If a gradient cancels, it is all rounding, which changes with the last digits of dy. Also allow the rounding
        # of a typical slope, because a single number may by chance stay the same.
        typical = 2e-15 * largest(y, *tensors.values()) / (size_of(tensors[name]) or 1.0)
        return 100 * max(size_of(near[name] - of_u[name]) for near in nudged()) + typical

    # Multiplying by a power of two is exact.
    for a, b in [(1.0, 1.0), (2.0**40, 0.0), (2.0**-40, 0.0), (0.0, 0.0)]:
        dy = a * u + b * v
        result = of(dy)
        for name in tensors:
            of_parts = a * of_u[name], b * of_v[name]
            off = size_of(result[name] - sum(of_parts))
            allowed = 1e-9 * sum(map(size_of, of_parts)) + 1e-12 * size_of(dy)
            if not off <= allowed and not off <= allowed + a * rounding(name):
                rule = f"{a:g} times {by} must give {a:g} times the result"
                if b:
                    rule = f"expected {label}({by}1 + {by}2) == {label}({by}1) + {label}({by}2)"
                fail(f"{label} is not linear in {by}: {rule}; if it clips on purpose, see surrogate-gradients.md", name)


def refused(label: str, call: Callable[[], Any]) -> None:
    """End the probe unless `call` raises an error on purpose."""
    outcome = "raised nothing"
    try:
        call()
    except (MinidlError, RuntimeError):
        return
    except Exception as error:
        outcome = f"raised {describe_error(error)}"
    fail(f"{label} must raise CallOrderError, as kept() does, but {outcome}")


def array(label: str, name: str, value: Any, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> None:
    """End the probe unless `value`, the result of `label`, is a finite array of `shape` and `dtype`."""
    if not isinstance(value, np.ndarray):
        hint = "; does it have a return statement?" if value is None else ""
        fail(f"{label} must return an array, but returned {type(value).__name__}{hint}", name)
    if shape is not None and value.shape != shape:
        fail(f"{label} must return {name} of shape {shape}, but returned shape {value.shape}", name)
    if value.dtype != dtype:
        fail(f"{label} must keep dtype {dtype}, but returned {value.dtype}", name)
    if (index := first(~np.isfinite(value))) is not None:
        fail(f"{label} returned {value[index]} for finite inputs", name, index)
