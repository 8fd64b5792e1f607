"""Arrays for checks: numbers that hide no error, memory layouts, other rows, and indices."""

import numpy as np

from minidl._core.types import Array

# A whole batch, its first row, and the rest.
PARTS = (slice(None), slice(1), slice(1, None))


def first(mask: Array) -> tuple[int, ...] | None:
    """Return the index of the first True, None if there is none."""
    return index_of(int(mask.argmax()), mask.shape) if mask.any() else None


def index_of(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index in an array of this shape that belongs to the flat index `flat`."""
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def first_difference(a: Array, b: Array) -> tuple[int, ...] | None:
    """Return the first index at which two arrays of one shape differ, None if nowhere; NaN equals NaN."""
    return first((a != b) & ((a == a) | (b == b)))


def random_upstream(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return signed numbers of few digits and mostly different sizes, because errors of equal ones can cancel.

    Ones would hide errors in everything that sums to a constant, such as a softmax.
    """
    upstream: Array = rng.integers(2048, 8192, shape) / 4096.0 * rng.choice([-1.0, 1.0], shape)
    return upstream


def layouts(a: Array) -> dict[str, Array]:
    """Return copies of `a`, which has at least one axis, in other memory layouts."""
    flipped = (slice(None, None, -1),) * a.ndim
    locked = a.copy()
    locked.flags.writeable = False
    return {
        "in column order": a.copy(order="F"),
        "strided (every second entry of a larger array)": np.repeat(a, 2, axis=-1)[..., ::2],
        "with negative strides": a[flipped].copy()[flipped],
        "read-only": locked,
    }


def array_source(array: Array) -> str:
    """Return a NumPy expression for `array`: same values, dtype, memory order and writability.

    Examples
    --------
    >>> print(array_source(np.array([[0.5], [1.5]], dtype=np.float32)))
    np.array([[0.5], [1.5]], dtype=np.float32)
    """
    dtype = "" if array.dtype in (np.float64, np.int64) else f", dtype=np.{array.dtype}"
    text = f"np.array({array.tolist()}{dtype})"
    if not array.flags.writeable:
        return f"np.broadcast_to({text}, {array.shape})"
    if array.flags.c_contiguous:
        return text
    if array.flags.f_contiguous:
        return f"np.asfortranarray({text})"
    return f"np.repeat({text}, 2, axis=-1)[..., ::2]"


def take_rows(a: Array, rows: int) -> Array:
    """Return the first `rows` rows of `a` as a new array; if it has fewer, repeat them."""
    return a.take(range(rows), axis=0, mode="wrap")


def largest(*arrays: Array) -> float:
    """Return the largest absolute entry, at least 1."""
    return max([1.0, *map(size_of, arrays)])


def size_of(array: Array) -> float:
    """Return the largest absolute entry, 0 for an empty array."""
    return float(np.abs(array).max(initial=0.0))
