"""Hypothesis strategies: arrays for tests.

The parameter ``values=`` is the strategy of the entries: `off_kinks` (the default), `ties`, `zeros`, `extremes` or
``bounded(low, high)``.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import DTypeLike

from minidl._core.attributes import is_function
from minidl._core.checks import as_count
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck.arrays import layouts
from minidl.testing.contract import Shape, as_shape

Values = Callable[[Shape], st.SearchStrategy[Array]]

SIDES = st.integers(1, 4)
# Some faults need more than a few rows or features to show.
SIZES = st.one_of(SIDES, SIDES, st.integers(1, 8))
LAYOUTS = st.integers(0, 4)
DTYPES = st.sampled_from(["float64", "float32"])


def shapes(min_dims: int = 1, max_dims: int = 3, *, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Draw small shapes, mostly with distinct sides, since a square shape hides a wrong transposition."""
    sides = st.integers(1, max_side)
    lists = [st.lists(sides, min_size=min_dims, max_size=max_dims, unique=unique) for unique in (False, True)]
    return st.one_of(*lists).map(tuple)


@st.composite
def off_kinks(draw: st.DrawFn, shape: Shape) -> Array:
    """Draw distinct odd multiples of 1/32: no ties, no zeros, away from the usual kinks; exact in binary.

    Both signs occur (a single entry is positive), so that a ReLU does not return only zeros.
    """
    reach = max(64, math.prod(shape))
    numbers = hnp.arrays(np.int64, shape, elements=st.integers(-reach, reach - 1), unique=True, fill=st.nothing())
    values: Array = (2 * draw(numbers) + 1) / 32
    if values.size and ((values < 0).all() or (values.size > 1 and (values > 0).all())):
        values.flat[0] *= -1.0
    return values


def bounded(low: float, high: float) -> Values:
    """Return a strategy for `values` of distinct numbers between `low` and `high`, such as probabilities."""
    return lambda shape: off_kinks(shape).map(lambda x: low + (high - low) * (0.5 + 8 * x / max(64, x.size)))


def ties(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays with repeated values."""
    return _sampled(shape, 0.03125, -0.03125, 1.0)


def zeros(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays with zeros of both signs; some arrays are all zero."""
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
        None draws 1 to 8, mostly up to 4, and mostly not the number of features.
    dtype : dtype, optional
        None draws float64 or float32, and keeps integers as they are.
    values : function of a shape
        `off_kinks`, `ties`, `zeros`, `extremes`, or any other function that returns a strategy of arrays.
    """
    check_callable("values", values)
    row = as_shape("features", features)
    n = draw(other_than(row[0]) if rows is None else as_strategy(rows))
    x = draw(values((as_count("rows", n), *row)))
    if dtype is not None or x.dtype.kind == "f":
        x = x.astype(draw(DTYPES) if dtype is None else dtype)
    return [x, *layouts(x).values()][draw(LAYOUTS)]


def check_callable(name: str, value: Any) -> None:
    """Refuse a value that cannot be called."""
    if not is_function(value):
        raise InputError(f"{name}: expected a function, got {value!r:.80}; write lambda ...: ...")


def as_strategy(value: Any) -> st.SearchStrategy[Any]:
    """Return `value` if it is a strategy, else a strategy that always draws `value`."""
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


# Building and validating a strategy takes longer than drawing from it.
@functools.cache
def other_than(side: int, least: int = 1) -> st.SearchStrategy[int]:
    """Draw a size of at least `least` from `SIZES`, mostly different from `side`."""
    sizes = SIZES.filter(lambda drawn: drawn >= least)
    return st.one_of(sizes, sizes.filter(lambda other: other != side))


def logits(n: int, classes: int, *, dtype: DTypeLike | None = None) -> st.SearchStrategy[Array]:
    """Draw outputs of shape (n, classes) for a softmax: ordinary numbers, ties and extremes."""
    return st.one_of(*(batches(classes, rows=n, dtype=dtype, values=values) for values in (off_kinks, ties, extremes)))


def labels(n: int, classes: int) -> st.SearchStrategy[Array]:
    """Draw class labels, shape (n,)."""
    return hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1), fill=st.nothing())
