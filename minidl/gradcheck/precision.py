"""Check that results in float64 have its precision, and that results in float32, as in training, agree with them."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.types import Array
from minidl.gradcheck.arrays import index_of, random_upstream, size_of
from minidl.gradcheck.probing import Arrays, Snapshot, attempt, fail
from minidl.gradcheck.report import Verdict
from minidl.nn.layers import Layer

Cast = Callable[[Array], Array]
Results = Callable[[Cast], Arrays]
"""Returns the values, then the gradients, of a subject by name, for inputs that `Cast` has converted."""

DRAWS = "random draws"
_EPS = float(np.finfo(np.float32).eps)
_TINY, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
# Relative steps: two that change float32 numbers, and one that is far below float32 rounding.
_STEPS = 2.0**-10, 2.0**-19, 2.0**-27


def results_of_layer(layer: Layer, x: Array, cast: Cast) -> Arrays:
    """Return y, dx and the gradient of each parameter, for the same upstream gradient in every dtype."""
    given = cast(x)
    twin = layer.astype(given.dtype)
    parameters = twin.named_parameters()
    for parameter in parameters.values():
        parameter.value = cast(parameter.value)
        parameter.zero_grad()
    y = twin.forward(given, train=True)
    dx = twin.backward(cast(random_upstream(y.shape, np.random.default_rng(0))))
    results = {"y": y.copy(), "dx": dx, DRAWS: draws_after(twin)}
    return results | {path: p.grad for path, p in parameters.items()}


def draws_after(layer: Layer) -> Array:
    """Return the next draws of the random generators of `layer`; they differ if earlier draws differed."""
    return np.array([generator.random() for generator in Snapshot(layer).generators])


def exactness(results: Results) -> None:
    """End the probe if something computes in float32 although all inputs are float64.

    A result in float64 follows a step of 1e-8. If an intermediate number was rounded to float32, the result stays or
    jumps, and its numerical derivatives are wrong by chance.
    """
    here = results(np.array)
    # One ray to each side.
    rays = [[_nearby(results, _step(sign * length), here) for length in _STEPS] for sign in (1.0, -1.0)]
    size = max(map(size_of, here.values()))
    nearby = {name: np.array([there[name] for ray in rays for there in ray]) for name in here}
    single = [name for name, values in nearby.items() if _is_float32(values, size)]
    for name in single:
        # After cancellation of large numbers, few digits are left too, but all are multiples of one unit.
        if (nearby[name] / 2.0 ** (np.frexp(size_of(nearby[name]))[1] - 24) % 1).any():
            reason = "computed in float32: it holds only float32 numbers although the input is float64"
            fail(f"{reason}; compute in the dtype of the input", name)
    for name, value in here.items():
        if name in single or _is_coarse([[there[name] - value for there in ray] for ray in rays], value, size):
            reason = "it changes only in steps as coarse as in float32, although the input is float64"
            fail(f"{reason}: does a part compute in float32?", name, None, Verdict.INCONCLUSIVE)


def _is_float32(values: Array, size: float) -> bool:
    """Return whether a result consists of float32 numbers at nearby points, and changes with the point."""
    long = ((np.ldexp(np.frexp(values)[0], 22) % 1 != 0) & (np.abs(values) > _EPS * size)).any(axis=0)
    follows = (values != values[0]).any(axis=0)[long]
    return bool(follows.size and follows.mean() > 0.5 and (values == values.astype(np.float32)).all())


def _is_coarse(rays: list[list[Array]], value: Array, size: float) -> bool:
    """Return whether a result is linear over two large steps but does not follow a small one."""
    far, middle, near = (np.array([ray[i] for ray in rays]) / _STEPS[i] for i in range(3))
    rounding = _EPS / 2 * np.abs(value) / _STEPS[1]
    straight = np.abs(far - middle) <= 0.2 * np.abs(far) + rounding
    # At a kink, the slope of the other side differs.
    straight &= np.abs(far + far[::-1]) <= 0.2 * np.abs(far) + rounding
    clear = straight & (np.abs(far) > 4 * rounding) & (np.abs(middle) > size / 128)
    missed = clear & (np.abs(near - middle) > 0.1 * np.abs(middle))
    # A nearby kink looks the same, but only along one ray or for a few entries.
    return bool(missed.sum() > max(1, clear.sum() / 4))


def agreement_in_float32(results: Results, size: float | None = None) -> None:
    """End the probe unless results in float32 have dtype float32, and are near those in float64 for the same inputs.

    `size` is the size of intermediate numbers, whose rounding is in the results; None: that of the largest result.
    """
    label = "in float32, forward or backward"
    exact, value = (attempt(label, partial(results, _cast(t))) for t in (np.float64, np.float32))
    # Random draws in float32 differ from those in float64; then the results cannot be compared.
    if not np.array_equal(exact.pop(DRAWS, 0), value.pop(DRAWS, 0)):
        return
    # How far results move if inputs are rounded differently; after cancellation they move far. In float32 this includes
    # the rounding of intermediate numbers, such as a mean that float64 subtracts exactly.
    moved = [_nearby(results, _cast(np.float64, sign), exact) for sign in (1.0, -1.0)]
    others = [_nearby(results, _cast(np.float32, *to), value) for to in ((1.0, 0), (-1.0, 0), (1.0, 1))]
    size = max(map(size_of, exact.values())) if size is None else size
    for name, got in value.items():
        want = exact[name]
        if got.dtype != np.float32:
            fail(f"for float32 inputs, expected float32, got {got.dtype}", name)
        if got.shape != want.shape:
            fail(f"it has shape {got.shape} in float32 and {want.shape} in float64", name)
        scale = size_of(want[fits := np.abs(want) < 0.1 * _LARGEST])
        # Loose on purpose: allow the rounding of a long sum, but not a wrong branch or a missing factor.
        allowed = _TINY + 5e-4 * scale + 30 * _EPS * size
        moves = 100 * np.max([np.abs(other[name] - want) for other in moved], axis=0)
        moves += 10 * np.max([np.abs(other[name] - got) for other in others], axis=0)
        # If a tiny move changes an entry completely, as at a jump, rounding may do so too.
        fits &= ~(moves > 0.1 * scale + allowed)
        allowed += float(moves[fits].max(initial=0.0, where=np.isfinite(moves[fits])))
        # If it does so for most entries, all of them are rounding.
        allowed += float(np.median(np.nan_to_num(moves))) if moves.size else 0.0
        off = np.where(fits, np.abs(got.astype(np.float64) - want), 0.0)
        index = index_of(int(np.argmax(off)), off.shape)
        if not off[index] <= allowed:
            numbers = f"it is {got[index]:.8g} in float32 and {want[index]:.8g} in float64"
            reason = f"{numbers}: off by {off[index]:.2g} where the largest entry is {scale:.2g}"
            fail(reason, name, index, Verdict.FAIL_VALUE)


def _step(length: float) -> Cast:
    """Return a cast that moves numbers by a relative step, always in the same direction."""
    rng = np.random.default_rng(0)
    return lambda a: np.array(a * (1 + length * rng.uniform(0.5, 1.0, a.shape) * rng.choice([-1.0, 1.0], a.shape)))


def _cast(dtype: DTypeLike, sign: float = 0.0, seed: int = 0) -> Cast:
    """Return a cast that rounds to float32 and converts to `dtype`.

    With a sign, each number moves up or down by one unit in the last place; the other sign moves it the other way.
    """
    rng = np.random.default_rng(seed)
    return lambda a: np.array(a.astype(np.float32) * (1 + _EPS * sign * rng.choice([-1.0, 1.0], a.shape)), dtype)


def _nearby(results: Results, cast: Cast, here: Arrays) -> Arrays:
    """Return the results after `cast`; those `here` if they fail or change shape, as a step may leave the domain."""
    try:
        there = results(cast)
        return there if all(there[name].shape == value.shape for name, value in here.items()) else here
    except Exception:
        return here
