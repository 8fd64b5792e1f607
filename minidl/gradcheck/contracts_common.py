"""What contract probes share: a layer whose state is put back, exact comparisons, memory layouts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.guard import fail, words_of
from minidl.gradcheck.report import Verdict
from minidl.gradcheck.state import Snapshot
from minidl.nn.layers import Layer

EVAL, TRAIN = "forward(train=False)", "forward(train=True)"


class LayerState:
    """A layer whose state is put back before every run, and in the end."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.parameters = layer.named_parameters()
        self.buffers = layer.named_buffers()
        parts = [part for _, part in layer.walk()]
        self.generators = [g for part in parts for g in vars(part).values() if isinstance(g, np.random.Generator)]
        self._snapshot = Snapshot(layer)
        self._gradients = self.gradients()

    def gradients(self) -> dict[str, Array]:
        return {f"{path}.grad": parameter.grad.copy() for path, parameter in self.parameters.items()}

    def reset(self) -> None:
        self._snapshot.restore()
        for parameter in self.parameters.values():
            parameter.zero_grad()

    def leave(self) -> None:
        self.reset()
        for path, parameter in self.parameters.items():
            parameter.add_grad(self._gradients[f"{path}.grad"])

    def stir(self) -> None:
        """Let the layer's random generators move on."""
        for generator in self.generators:
            generator.random()


def check_refused(what: str, call: Callable[[], Any]) -> None:
    """End the probe unless `call` is refused on purpose."""
    try:
        call()
    except (MinidlError, RuntimeError):
        return
    except Exception as error:
        fail(f"{what} must raise CallOrderError, as kept() does, and raised {words_of(error)}")
    fail(f"{what} must raise CallOrderError, as kept() does, and was silently accepted")


def check_array(what: str, name: str, value: Any, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> None:
    """End the probe unless `value` is a finite array of `shape` and `dtype`; `what` is said to have returned it."""
    if not isinstance(value, np.ndarray):
        hint = "; is a return missing?" if value is None else ""
        fail(f"{what} must return an array and returned {type(value).__name__}{hint}", name)
    if shape is not None and value.shape != shape:
        fail(f"{what} must return {name} of shape {shape} and returned shape {value.shape}", name)
    if value.dtype != dtype:
        fail(f"{what} must keep dtype {dtype} and returned {value.dtype}", name)
    bad = ~np.isfinite(value)
    if bad.any():
        index = first(bad)
        fail(f"{what} returned {value[index]} for finite numbers", name, index)


def check_float(what: str, value: Any) -> float:
    """Return `value`, or end the probe unless it is a finite float."""
    if not isinstance(value, float | np.floating):
        fail(f"{what} must return a float and returned {type(value).__name__}")
    if not np.isfinite(value):
        fail(f"{what} returned {value} for finite numbers")
    return float(value)


def check_unchanged(what: str, name: str, now: Array, before: Array, verdict: Verdict = Verdict.FAIL_CONTRACT) -> None:
    """End the probe if the array `name` is no longer what it was."""
    if now.shape != before.shape:
        fail(f"{what} changed the shape of {name} from {before.shape} to {now.shape}", name, None, verdict)
    if (index := first_difference(now, before)) is not None:
        fail(f"{what} changed {name}: {before[index]:.12g} became {now[index]:.12g}", name, index, verdict)


def check_same(what: str, name: str, a: Array, b: Array, hint: str = "") -> None:
    """End the probe if two calls of `what` from the same state were not exactly the same."""
    verdict = Verdict.NONDETERMINISTIC
    if a.shape != b.shape:
        fail(f"two calls of {what} differ: {name} has shape {a.shape}, then {b.shape}{hint}", name, None, verdict)
    if (index := first_difference(a, b)) is not None:
        reason = f"two calls of {what} from the same state differ, in {name} by up to {np.abs(a - b).max():.3g}{hint}"
        fail(reason, name, index, verdict)


def check_close(what: str, name: str, got: Array, want: Array, scale: float) -> None:
    """End the probe if `got` is further from `want` than rounding explains; `scale` is of what went into them."""
    if got.shape != want.shape:
        fail(f"{what}, {name} has shape {got.shape} and should have {want.shape}", name)
    if want.size == 0:
        return
    bad = ~(np.abs(got - want) <= 1e-10 * np.abs(want).max() + 1e-12 * scale)  # so written, NaN is bad
    if bad.any():
        index = first(bad)
        fail(f"{what}, {name} is {got[index]:.12g} and should be {want[index]:.12g}", name, index)


def first(mask: Array) -> tuple[int, ...]:
    """Return the index of the first True."""
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


def first_difference(a: Array, b: Array) -> tuple[int, ...] | None:
    """Return the first index at which two arrays of one shape differ, None if nowhere; NaN equals NaN."""
    differ = (a != b) & ((a == a) | (b == b))
    return first(differ) if differ.any() else None


def layouts(a: Array) -> dict[str, Array]:
    """Return copies of `a`, which has an axis, that differ from it only in how they lie in memory."""
    flipped = (slice(None, None, -1),) * a.ndim
    locked = a.copy()
    locked.flags.writeable = False
    return {
        "in column order": a.copy(order="F"),
        "strided (every second entry of a larger array)": np.repeat(a, 2, axis=-1)[..., ::2],
        "with negative strides": a[flipped].copy()[flipped],
        "read-only": locked,
    }


def take_rows(a: Array, rows: int) -> Array:
    """Return the first `rows` rows of `a` as a new array, over again where it has fewer."""
    return a.take(range(rows), axis=0, mode="wrap")


def signed(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return odd sixteenths between -2 and 2: never 0, of both signs, not all the same, exact in sums."""
    return (2.0 * rng.integers(-16, 16, shape) + 1.0) / 16.0


def largest(*arrays: Array) -> float:
    """Return the largest absolute entry, at least 1."""
    return max([1.0, *(float(np.abs(array).max()) for array in arrays if array.size)])
