"""Sums over the rows of tables, in which nothing is lost however many rows there are."""

import numpy as np

from minidl._core.types import Array

BLOCK = 64
"""So many rows are added up in the data's own precision; sums of blocks are added in float64."""


def column_sums(*tables: Array) -> Array:
    """Return the sum over the rows of a table, or of the product of two, in float64: one pass, no temporaries.

    Parameters
    ----------
    *tables : array, shape (..., rows, columns)
        One, or two of one shape.

    Returns
    -------
    array of float64, shape (..., columns)

    Examples
    --------
    >>> column_sums(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    terms = ",".join("...nd" for _ in tables) + "->...d"
    # float16 is as good as no precision to add up in
    tables = tuple(table.astype(np.promote_types(table.dtype, np.float32), copy=False) for table in tables)
    *stack, n, d = tables[0].shape
    whole = n - n % BLOCK
    blocks = np.einsum(terms, *(table[..., :whole, :].reshape(*stack, whole // BLOCK, BLOCK, d) for table in tables))
    rest = np.einsum(terms, *(table[..., whole:, :] for table in tables))
    sums: Array = blocks.sum(axis=-2, dtype=np.float64) + rest
    return sums
