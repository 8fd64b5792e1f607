"""Fast and accurate arithmetic for layers, losses and optimizers, beyond the operations of NumPy.

It has products in pieces, work in blocks that stay in the cache, sums that stay accurate for any number of rows, and
special functions. Each docstring gives the measured gain.
"""

import math
from collections.abc import Iterator
from contextvars import copy_context
from functools import lru_cache
from threading import Thread
from typing import Any

import numpy as np

from minidl._core.environment import simd_features
from minidl._core.types import Array

quietly = np.errstate(over="ignore", under="ignore", invalid="ignore")
"""Decorator that silences floating-point warnings: overflow gives infinity or NaN, underflow 0 (0.6 us per call).

The code that receives NaN or infinity raises an error that names it. Under ``python -W error``, NumPy's warning would
be raised first.
"""

IN_PIECES = any(name.startswith(("AVX512", "X86_V4")) for name in simd_features())
"""Whether to compute narrow products in pieces. With AVX-512, OpenBLAS multiplies small matrices without packing them.
For 100 rows of 3072 features and ten classes, on one thread, y takes 155 us whole and 80 us in pieces; the weight
gradient 190 us and 95 us. On two threads they take 100 us and 125 us whole, so pieces also leave one core free. Without
AVX-512 every piece is packed: one epoch of the main job takes 159 ms in pieces and 99 ms whole.
"""
NARROW = 12
"""Largest number of rows or columns of a narrow matrix."""
PIECE = 10**6
"""Multiplications per piece: the largest product that OpenBLAS treats as small."""
FEWEST = 16
"""Smallest number of rows per piece: with fewer rows, packing is faster."""
SHARED = 16
"""From this number of pieces on, a second thread computes half of them. The thread costs 50 us: 10,000 rows take 9 ms
instead of 13 ms (11 ms as one product on two BLAS threads)."""


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """Return ``a @ b``, shape (m, n), of a's dtype.

    If `b` is narrow, the rows of `a` are multiplied in pieces where that is faster (`IN_PIECES`); if `a` is narrow, the
    columns of `b`. Each number is the same sum as in one product; only the rounding may differ.

    Parameters
    ----------
    a, b : array, shapes (m, k) and (k, n)
    out : array, shape (m, n), optional
        Array for the result.
    """
    if out is None:
        out = np.empty((len(a), b.shape[1]), a.dtype)
    if IN_PIECES and b.shape[1] > NARROW >= len(a):
        # The columns of b are the rows of its transpose.
        product(b.T, a.T, out.T)
        return out
    pieces = -(-a.size * b.shape[1] // PIECE)
    rows = len(a) // max(pieces, 1)
    if not IN_PIECES or pieces <= 1 or b.shape[1] > NARROW or rows < FEWEST:
        np.matmul(a, b, out=out)
    elif pieces < SHARED:
        _by_pieces(a, b, out, rows)
    else:
        half = pieces // 2 * rows
        # A new thread needs a copy of the context, or NumPy would warn there.
        helper = Thread(target=copy_context().run, args=(_by_pieces, a[:half], b, out[:half], rows))
        helper.start()
        _by_pieces(a[half:], b, out[half:], rows)
        helper.join()
    return out


def _by_pieces(a: Array, b: Array, out: Array, rows: int) -> None:
    """Write ``a @ b`` to `out`, `rows` rows at a time, in one call that lets other threads run."""
    whole = len(a) - len(a) % rows
    np.matmul(a[:whole].reshape(-1, rows, a.shape[1]), b, out=out[:whole].reshape(-1, rows, b.shape[1]))
    if whole < len(a):
        np.matmul(a[whole:], b, out=out[whole:])


BLOCK = 2**15
"""Entries per block. An update of several operations takes half the time, and its temporaries are no larger."""


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield views of the same part of each array, part by part; the caller changes them in place.

    Parameters
    ----------
    *arrays : array
        All of the same shape, in any memory order.

    Examples
    --------
    >>> w, g = np.zeros(3), np.ones(3)
    >>> for part, gradient in blocks(w, g):
    ...     part -= 0.5 * gradient
    >>> w
    array([-0.5, -0.5, -0.5])
    """
    first = arrays[0]
    if first.size <= BLOCK:
        yield arrays
        return
    # A slice along this axis is contiguous in memory.
    axis = max(range(first.ndim), key=lambda i: first.strides[i] if first.shape[i] > 1 else 0)
    outer = [np.moveaxis(array, axis, 0) for array in arrays]
    rows = max(1, BLOCK * len(outer[0]) // first.size)
    for start in range(0, len(outer[0]), rows):
        # One row may still be too large.
        yield from blocks(*(array[start : start + rows] for array in outer))


# An optimizer asks for the same numbers in every step.
@lru_cache(maxsize=256)
def scalars(dtype: np.dtype[Any], *numbers: float) -> tuple[Array, ...]:
    """Return each number as a read-only array without axes.

    An operation with it gives the same bits as with a Python number. For a small array it takes 0.3 us, not 0.55 us.

    Examples
    --------
    >>> scalars(np.dtype(np.float32), 0.5, 2)
    (array(0.5, dtype=float32), array(2., dtype=float32))
    """
    arrays = tuple(np.array(number, dtype) for number in numbers)
    for array in arrays:
        array.flags.writeable = False
    return arrays


SUM_BLOCK = 64
"""Rows that are added in the data's own precision; the sums of these blocks are added in float64."""


def column_sums(*tables: Array) -> Array:
    """Return the column sums of a table, or of the product of two tables, in float64: one pass, no temporaries.

    If the sum of a block overflows float32, everything is summed in float64.

    Parameters
    ----------
    *tables : array, shape (..., rows, columns)
        One table, or two of the same shape.

    Returns
    -------
    array of float64, shape (..., columns)

    Examples
    --------
    >>> column_sums(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    terms = ",".join("...nd" for _ in tables) + "->...d"
    # Sums in float16 would keep few digits, and overflow at 65504.
    tables = tuple(table if table.itemsize >= 4 else table.astype(np.float32) for table in tables)
    *stack, n, d = tables[0].shape
    whole = n - n % SUM_BLOCK
    sums = np.zeros((*stack, d))
    # Most tables have either no whole block or no rest. Each einsum call costs 8 us, so skip the empty one.
    if whole < n:
        sums += np.einsum(terms, *(table[..., whole:, :] for table in tables))
    if whole:
        blocks = (table[..., :whole, :].reshape(*stack, whole // SUM_BLOCK, SUM_BLOCK, d) for table in tables)
        sums += np.einsum(terms, *blocks).sum(axis=-2, dtype=np.float64)
    # One number shows whether all sums are finite; vdot takes 0.4 us, and does not warn.
    if tables[0].itemsize < 8 and not math.isfinite(np.vdot(sums, sums)):
        return column_sums(*(table.astype(np.float64) for table in tables))
    return sums


# Cody's rational functions, coefficients from the highest power down. The coefficients and the arguments are positive,
# so no sum loses digits.
_CENTRE = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
# fmt: off
_TAIL = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)
# fmt: on
_BORDER = 0.46875
# 1 - erf(6) is 2e-17, less than half of the last bit of 1.
_ONE_FROM = 6.0


def erf(x: Array) -> Array:
    """Return the error function of each entry, ``2 / sqrt(pi) * integral of exp(-t**2) from 0 to x``.

    For ``|x| < 0.46875`` it is x times a rational function of ``x**2``, otherwise
    ``sign(x) * (1 - exp(-x**2) * a rational function of |x|)``. The relative error is below 1e-15 in float64.

    Parameters
    ----------
    x : array of floating-point numbers, any shape

    Returns
    -------
    array, shape and dtype of x
        Infinities give 1 and -1, NaN gives NaN.

    References
    ----------
    W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23, 1969.

    Examples
    --------
    >>> erf(np.array([-np.inf, 0.0, 0.5])).round(4)
    array([-1.    ,  0.    ,  0.5205])
    """
    # The polynomials would overflow in float16.
    wide = x.astype(np.result_type(x, np.float32), copy=False)
    size = np.minimum(np.abs(wide), _ONE_FROM)
    square = size * size
    centre = size * (_polynomial(_CENTRE[0], square) / _polynomial(_CENTRE[1], square))
    tail = 1.0 - np.exp(-square) * (_polynomial(_TAIL[0], size) / _polynomial(_TAIL[1], size))
    return np.copysign(np.where(size < _BORDER, centre, tail), wide).astype(x.dtype, copy=False)


def sigmoid(x: Array) -> Array:
    """Return the logistic function of each entry, ``1 / (1 + exp(-x))``, in x's dtype.

    Computed as ``exp(min(x, 0)) / (1 + exp(-|x|))``, where no exponential overflows.

    Examples
    --------
    >>> sigmoid(np.array([-1e4, 0.0, 1e4]))
    array([0. , 0.5, 1. ])
    """
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def _polynomial(coefficients: tuple[float, ...], t: Array) -> Array:
    """Return the polynomial at each entry, by Horner's scheme; coefficients from the highest power down."""
    value = np.full_like(t, coefficients[0])
    # In place: new memory for each step would take twice the time.
    for coefficient in coefficients[1:]:
        value *= t
        value += coefficient
    return value
