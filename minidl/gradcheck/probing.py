"""What all probes share: calls into the code under test, the state that is put back, exact comparisons.

*Purity* is what numerical derivatives rest on: calls agree, change nothing that is not theirs, return finite arrays.
It ends at the first finding. *Behaviour* is how a subject answers other uses than one forward and one backward: each
probe gives at most one finding. What is handed in is a float64 array, and left as it was found.
"""

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.gradcheck.report import Finding, Verdict
from minidl.nn.layers import Layer

T = TypeVar("T")
Errors = tuple[type[Exception], ...]


class Broken(Exception):  # noqa: N818 - a rule is broken, no call went wrong
    """Ends a probe with its finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def fail(
    reason: str, tensor: str = "", index: tuple[int, ...] | None = None, verdict: Verdict = Verdict.FAIL_CONTRACT
) -> NoReturn:
    """End the probe with this finding."""
    raise Broken(Finding(verdict, reason, tensor, index))


def collect(*probes: Callable[[], object]) -> list[Finding]:
    """Run every probe, and return the finding of each that ends with one."""
    found: list[Finding] = []
    # What is not finite is looked for in the results; an overflow on the way to a right one is no fault.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for probe in probes:
            try:
                probe()
            except Broken as broken:
                # Several probes start with the same call.
                if broken.finding not in found:
                    found.append(broken.finding)
    return found


def attempt(what: str, call: Callable[[], T], let_through: Errors = ()) -> T:
    """Return what `call` returns; an exception that is not to be let through ends the probe in its own words."""
    try:
        return call()
    except Exception as error:
        if isinstance(error, (Broken, *let_through)):
            raise
        fail(f"{what} raised {words_of(error)}")


def words_of(error: Exception) -> str:
    """Return the kind of an error and the beginning of what it says."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words:.120}" if words else type(error).__name__


class Snapshot:
    """The state of a layer that a check must put back: parameters, buffers, random generators.

    Without `parameters`, only buffers and generators are put back: what a forward may change.
    """

    def __init__(self, layer: Layer, *, parameters: bool = True) -> None:
        self.parameters = layer.named_parameters()
        self.buffers = layer.named_buffers()
        attributes = [value for _, part in layer.walk() for value in vars(part).values()]
        self.generators = [value for value in attributes if isinstance(value, np.random.Generator)]
        self.values = {path: parameter.value for path, parameter in self.parameters.items()}
        arrays = self.values | self.buffers if parameters else self.buffers
        self._arrays = {path: (array, array.copy()) for path, array in arrays.items()}
        self._states = [generator.bit_generator.state for generator in self.generators]

    def restore(self) -> None:
        """Put everything back, by copying into the same memory."""
        for array, saved in self._arrays.values():
            array[...] = saved
        for generator, state in zip(self.generators, self._states, strict=True):
            generator.bit_generator.state = state

    def changed(self) -> list[str]:
        """Return the paths of what no longer has the bits that it had."""
        return [path for path, (array, saved) in self._arrays.items() if array.tobytes() != saved.tobytes()]


def watch(
    what: str,
    call: Callable[[], T],
    *watched: Mapping[str, Array],
    let_through: Errors = (),
    state: Collection[str] = (),
) -> T:
    """Return what `call` returns, or end the probe if it changes a `watched` array; of `state` are the buffers."""
    before = [(name, array, array.copy()) for arrays in watched for name, array in arrays.items()]
    result = attempt(what, call, let_through)
    for name, now, was in before:
        verdict = Verdict.STATE_CHANGED if name in state else Verdict.FAIL_CONTRACT
        check_unchanged(what, name, now, was, verdict)
    return result


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


def check_close(what: str, name: str, got: Any, want: Array, scale: float) -> None:
    """End the probe if `got` is further from `want` than rounding explains; `scale` is of what went into them."""
    got = np.asarray(got)
    if got.shape != want.shape:
        fail(f"{what}, {name} has shape {got.shape} and should have {want.shape}", name)
    # "Not close" rather than "far", so that NaN is bad.
    bad = ~(np.abs(got - want) <= 1e-10 * np.abs(want).max(initial=0.0) + 1e-12 * scale)
    if bad.any():
        index = first(bad)
        fail(f"{what}, {name} is {got[index]:.12g} and should be {want[index]:.12g}", name, index)


def check_refused(what: str, call: Callable[[], Any]) -> None:
    """End the probe unless `call` is refused on purpose."""
    came = "was silently accepted"
    try:
        call()
    except (MinidlError, RuntimeError):
        return
    except Exception as error:
        came = f"raised {words_of(error)}"
    fail(f"{what} must raise CallOrderError, as kept() does, and {came}")


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


def check_float(what: str, value: Any) -> Array:
    """Return `value` as an array without axes, or end the probe unless it is a finite float."""
    if not isinstance(value, float | np.floating):
        fail(f"{what} must return a float and returned {type(value).__name__}")
    if not np.isfinite(value):
        fail(f"{what} returned {value} for finite numbers")
    return np.array(float(value))


def check_empty(what: str, returned: str, call: Callable[[], Any], shape: tuple[int, ...]) -> None:
    """End the probe if `call` returns a gradient of nothing that is not of this shape, which is empty."""
    try:
        gradient = call()
    except Exception:
        # There is no mean or largest of nothing: it is refused loudly, however that is called.
        return
    if np.shape(gradient) != shape:
        fail(f"with an empty {what} of shape {shape}, {returned} {np.shape(gradient)}")


def first(mask: Array) -> tuple[int, ...]:
    """Return the index of the first True."""
    return index_of(int(mask.argmax()), mask.shape)


def index_of(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of the entry that is number `flat` in an array of this shape."""
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def first_difference(a: Array, b: Array) -> tuple[int, ...] | None:
    """Return the first index at which two arrays of one shape differ, None if nowhere; NaN equals NaN."""
    differ = (a != b) & ((a == a) | (b == b))
    return first(differ) if differ.any() else None


def random_upstream(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return signed, uneven numbers: ones would hide errors in whatever sums to a constant, such as a softmax."""
    upstream: Array = rng.integers(8, 33, shape) / 16.0 * rng.choice([-1.0, 1.0], shape)
    return upstream


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


def largest(*arrays: Array) -> float:
    """Return the largest absolute entry, at least 1."""
    return max([1.0, *(float(np.abs(array).max(initial=0.0)) for array in arrays)])
