"""Hypothesis strategies: arrays worth testing with.

How entries are drawn is a parameter, ``values=``: `off_kinks` (the default), `ties`, `zeros`, `extremes`,
``bounded(low, high)`` or ``whole(low, high)``.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import DTypeLike

from minidl._core.checks import as_array, as_count, as_number
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck.arrays import layouts

Shape = tuple[int, ...]
Values = Callable[[Shape], st.SearchStrategy[Array]]

SIDES = st.integers(1, 4)
# Some faults show only beyond a handful of rows or features.
FEATURES = st.one_of(SIDES, SIDES, st.integers(1, 8))
LAYOUTS = st.integers(0, 4)
DTYPES = st.sampled_from(["float64", "float32"])


def shapes(min_dims: int = 1, max_dims: int = 3, *, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Draw small shapes, more often than not with pairwise distinct sides: in a square, a transposition goes unseen."""
    sides = st.integers(1, max_side)
    lists = [st.lists(sides, min_size=min_dims, max_size=max_dims, unique=unique) for unique in (False, True)]
    return st.one_of(*lists).map(tuple)


def off_kinks(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw distinct odd multiples of 1/32: no ties, no zeros, off the usual kinks; exact in binary.

    Both signs are there (in a single entry: plus), so that a ReLU has something to let through.
    """
    return _off_kinks(shape)


@st.composite
def _off_kinks(draw: st.DrawFn, shape: Shape) -> Array:
    reach = max(64, math.prod(shape))
    values: Array = (2 * draw(_distinct(shape, -reach, reach)) + 1) / 32
    if values.size and ((values < 0).all() or (values.size > 1 and (values > 0).all())):
        values.flat[0] *= -1.0
    return values


def _distinct(shape: Shape, low: int, high: int) -> st.SearchStrategy[Array]:
    """Draw distinct integers from `low` up to below `high`."""
    return hnp.arrays(np.int64, shape, elements=st.integers(low, high - 1), unique=True, fill=st.nothing())


def bounded(low: float, high: float) -> Values:
    """Return a `values` of distinct numbers above `low` and below `high`, as a probability or a rate needs.

    Examples
    --------
    >>> x = bounded(0, 1)((2, 3)).example()  # doctest: +SKIP
    """
    low, high = as_number("low", low), as_number("high", high)
    if not low < high:
        raise InputError(f"bounded: expected low < high, got {low} and {high}")

    @st.composite
    def between(draw: st.DrawFn, shape: Shape) -> Array:
        steps = 2 ** max(6, math.prod(shape).bit_length())
        values: Array = low + (high - low) * (2 * draw(_distinct(shape, 0, steps)) + 1) / (2 * steps)
        return values

    return between


def whole(low: int, high: int) -> Values:
    """Return a `values` of integers from `low` to `high`, both included, such as the indices of an embedding."""
    low, high = as_count("low", low, -(2**63)), as_count("high", high, low)
    return functools.partial(hnp.arrays, np.int64, elements=st.integers(low, high), fill=st.nothing())


def ties(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays in which values repeat."""
    return _sampled(shape, 0.03125, -0.03125, 1.0)


def zeros(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays with zeros of both signs, up to nothing but zeros."""
    return _sampled(shape, 0.0, -0.0, 0.03125, -1.0)


def extremes(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays of large and tiny values, which saturate a softmax or lie next to a kink."""
    return _sampled(shape, 30.0, -30.0, 1024.0, -1024.0, 2.0**-30, -(2.0**-30))


def _sampled(shape: Shape, *values: float) -> st.SearchStrategy[Array]:
    return hnp.arrays(np.float64, shape, elements=st.sampled_from(values), fill=st.nothing())


@st.composite
def batches(
    draw: st.DrawFn,
    features: int | Shape,
    *,
    rows: Any = None,
    dtype: DTypeLike | None = None,
    values: Values = off_kinks,
) -> Array:
    """Draw an x of `rows` rows of shape `features`, in one of five memory layouts (C, F, strided, reversed, read-only).

    Parameters
    ----------
    features : int or tuple of int
        The shape of one row.
    rows : int or strategy of int, optional
        None draws 1 to 8, mostly up to 4, seldom as many as features.
    dtype : dtype, optional
        None draws float64 or float32, and leaves whole numbers as they are.
    values : function of a shape
        `off_kinks`, `ties`, `zeros`, `extremes`, or any other that returns a strategy of arrays.
    """
    check_callable("values", values)
    row = as_row("features", features)
    number = other_than(row[0], sides=FEATURES) if rows is None else as_strategy("rows", rows)
    x = as_array("values", draw(as_strategy("values", values((as_count("rows", draw(number)), *row)))))
    if dtype is not None or x.dtype.kind == "f":
        x = x.astype(draw(DTYPES) if dtype is None else dtype)
    return [x, *layouts(x).values()][draw(LAYOUTS)]


def as_row(name: str, features: Any) -> Shape:
    """Return the shape of one row that is given as a number or a shape."""
    return tuple(as_count(name, side) for side in (features if isinstance(features, tuple | list) else [features]))


def as_strategy(name: str, value: Any) -> st.SearchStrategy[Any]:
    """Return `value` if it is a strategy, else one that draws nothing but `value`."""
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def check_callable(name: str, value: Any) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise InputError(f"{name}: expected a function, got {value!r:.80}; write lambda ...: ...")


# To build and validate a strategy takes longer than to draw from it.
@functools.cache
def other_than(side: int, least: int = 1, sides: st.SearchStrategy[int] = SIDES) -> st.SearchStrategy[int]:
    """Draw 1 to 4 (or from `sides`), at least `least`, more often than not another number than `side`."""
    sides = sides.filter(lambda drawn: drawn >= least)
    return st.one_of(sides, sides.filter(lambda other: other != side))


def logits(n: int, classes: int, *, dtype: DTypeLike | None = None) -> st.SearchStrategy[Array]:
    """Draw outputs of shape (n, classes) for a softmax: ordinary ones, ties and saturated ones."""
    return st.one_of(*(batches(classes, rows=n, dtype=dtype, values=values) for values in (off_kinks, ties, extremes)))


def labels(n: int, classes: int) -> st.SearchStrategy[Array]:
    """Draw class labels, shape (n,)."""
    return hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1), fill=st.nothing())


@st.composite
def upstream(draw: st.DrawFn, shape: Shape, dtype: DTypeLike = np.float64) -> Array:
    """Draw a dy that hides nothing: no two entries alike, and both signs wherever there are two entries."""
    return draw(off_kinks(shape)).astype(dtype)
