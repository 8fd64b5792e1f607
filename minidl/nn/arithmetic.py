"""Products of a large matrix with a narrow one, as the last layer of a classifier has them."""

from threading import Thread

import numpy as np

from minidl._core.environment import simd_features
from minidl._core.types import Array

IN_PIECES = any(name.startswith(("AVX512", "X86_V4")) for name in simd_features())
"""Whether narrow products go piece by piece. With AVX-512, OpenBLAS multiplies small matrices without first copying
them into packed form. For 100 rows of 3072 and ten classes, y takes 155 us whole and 80 in pieces, the gradient of the
weight 190 and 95, on one thread; whole on two threads 100 and 125. So pieces leave the other core free. Without AVX-512
every piece is packed, and an epoch of the main job takes 159 ms in pieces, 99 without.
"""
NARROW = 12
"""Up to so many rows or columns a matrix counts as narrow."""
PIECE = 10**6
"""Multiplications of a piece: the most that OpenBLAS takes for small."""
FEWEST = 16
"""Rows of a piece: with fewer it is the copying that is faster."""
SHARED = 16
"""From so many pieces on, half of them go to a second thread, which costs 50 us: 10,000 rows take 9 ms instead of 13
(11 as one product on two threads of BLAS)."""


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """Return ``a @ b``, shape (m, n), of a's dtype.

    If `b` is narrow, rows of `a` are taken piece by piece where that is faster (`IN_PIECES`); if `a` is narrow, columns
    of `b`. Each number is the same sum as in one product; only its rounding may differ.

    Parameters
    ----------
    a, b : array, shapes (m, k) and (k, n)
    out : array, shape (m, n), optional
        Where to write it.
    """
    if out is None:
        out = np.empty((len(a), b.shape[1]), a.dtype)
    if not IN_PIECES:
        np.matmul(a, b, out=out)
        return out
    if b.shape[1] > NARROW >= len(a):
        product(b.T, a.T, out.T)  # the columns of b are the rows of its transpose
        return out
    pieces = -(-a.size * b.shape[1] // PIECE)
    rows = len(a) // max(pieces, 1)
    if pieces <= 1 or b.shape[1] > NARROW or rows < FEWEST:
        np.matmul(a, b, out=out)
    elif pieces < SHARED:
        _by_pieces(a, b, out, rows)
    else:
        half = pieces // 2 * rows
        helper = Thread(target=_by_pieces, args=(a[:half], b, out[:half], rows))
        helper.start()
        _by_pieces(a[half:], b, out[half:], rows)
        helper.join()
    return out


def _by_pieces(a: Array, b: Array, out: Array, rows: int) -> None:
    """Write ``a @ b`` to `out`, so many rows at a time, in one call that lets other threads run."""
    whole = len(a) - len(a) % rows
    np.matmul(a[:whole].reshape(-1, rows, a.shape[1]), b, out=out[:whole].reshape(-1, rows, b.shape[1]))
    if whole < len(a):
        np.matmul(a[whole:], b, out=out[whole:])
