"""Images, and the flat rows in which CIFAR-10 and similar datasets store them."""

import math
from typing import Any

import numpy as np

from minidl._core.checks import as_array, as_count
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array


def images_from_rows(rows: Any, shape: tuple[int, int, int] = (32, 32, 3)) -> Array:
    """Return flat rows as images, ``images[i, y, x, c] = rows[i, (c * height + y) * width + x]``.

    A row has one plane after the other, such as all red values, then all green, then all blue; a plane is row-major.

    Parameters
    ----------
    rows : array_like, shape (n, channels * height * width)
        Of any dtype; a single row may omit the axis n.
    shape : tuple of int
        (height, width, channels) of an image.

    Returns
    -------
    array, shape (n, height, width, channels)
        A new array of the same dtype; a single image for a single row.

    Raises
    ------
    ShapeError
        If the length of a row is not the size of an image.

    Examples
    --------
    >>> images_from_rows([[1, 2, 3, 4, 5, 6]], (1, 2, 3)).tolist()
    [[[[1, 3, 5], [2, 4, 6]]]]

    A whole dataset: ``dataset.map(images_from_rows)``.
    """
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise InputError(f"shape: expected (height, width, channels), got {shape!r:.80}")
    sides = zip(("height", "width", "channels"), shape, strict=True)
    height, width, channels = (as_count(name, side) for name, side in sides)
    rows = as_array("images_from_rows: rows", rows)
    size = math.prod(shape)
    if rows.ndim not in (1, 2) or rows.shape[-1] != size:
        hint = "; they are images already: use them directly" if rows.shape[-3:] == tuple(shape) else ""
        wanted = f"rows of shape (n, {size}) for images of shape {tuple(shape)}"
        raise ShapeError(f"images_from_rows: expected {wanted}, got {rows.shape}{hint}")
    planes = rows.reshape(*rows.shape[:-1], channels, height, width)
    return np.array(np.moveaxis(planes, -3, -1), order="C")


def rows_from_images(images: Any) -> Array:
    """Return images as flat rows, one plane after the other: the inverse of `images_from_rows`.

    Parameters
    ----------
    images : array_like, shape (n, height, width, channels)
        Of any dtype; a single image may omit the axis n.

    Returns
    -------
    array, shape (n, channels * height * width)
        A new array of the same dtype; a single row for a single image.

    Raises
    ------
    ShapeError
        If `images` does not have 3 or 4 axes.

    Examples
    --------
    >>> rows_from_images([[[1, 3, 5], [2, 4, 6]]]).tolist()
    [1, 2, 3, 4, 5, 6]
    """
    images = as_array("rows_from_images: images", images)
    if images.ndim not in (3, 4):
        raise ShapeError(f"rows_from_images: expected images of shape (n, height, width, channels), got {images.shape}")
    planes = np.array(np.moveaxis(images, -1, -3), order="C")
    return planes.reshape(*images.shape[:-3], math.prod(images.shape[-3:]))
