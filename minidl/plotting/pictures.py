"""Pictures: rows of numbers as images in [0, 1], and a grid of them on a figure."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minidl._core.errors import ShapeError
from minidl._core.types import Array
from minidl.data.images import images_from_rows
from minidl.plotting.style import fitting_size, title_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PICTURES = 100


def pictures_from(where: str, images: Array, image_shape: tuple[int, ...] | None) -> Array:
    """Return flat rows or images as (n, height, width[, 3]).

    Parameters
    ----------
    where : str
        What an error blames.
    images : array, shape (n, features), (n, height, width) or (n, height, width, 1 or 3)
    image_shape : tuple of int, optional
        Of flat rows: (height, width), (3, height, width) or (height, width, 3); None finds a square: (3, s, s) or else
        (s, s).
    """
    if images.ndim == 2:
        shape = _shape_of_rows(where, images.shape[1], image_shape)
        in_planes = len(shape) == 3 and shape[0] == 3
        return images_from_rows(images, (shape[1], shape[2], 3)) if in_planes else images.reshape(-1, *shape)
    if images.ndim == 4 and images.shape[3] == 1:
        return images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3):
        return images
    raise ShapeError(
        f"{where}: expected flat rows (n, features) or images (n, height, width) or (n, height, width, 1 or 3), got "
        f"shape {images.shape}"
    )


def _shape_of_rows(where: str, features: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None:
        for channels in [(3,), ()]:
            side = math.isqrt(features // math.prod(channels))
            if side and math.prod((*channels, side, side)) == features:
                return (*channels, side, side)
        raise ShapeError(f"{where}: {features} features are no square image; pass image_shape")
    is_image = len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[2]))
    if not is_image or math.prod(shape) != features:
        raise ShapeError(
            "image_shape: expected (height, width), (3, height, width) or (height, width, 3) "
            f"of {features} features in all, got {shape}"
        )
    return shape


def stretched(pictures: Array) -> Array:
    """Return each picture shifted and scaled to [0, 1] by its own range, and 0.5 where it has none or is not finite."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)
    flat[~np.isfinite(flat)] = np.nan
    low, high = np.fmin.reduce(flat, axis=1)[:, np.newaxis], np.fmax.reduce(flat, axis=1)[:, np.newaxis]
    scaled = np.divide(flat - low, high - low, out=np.full_like(flat, 0.5), where=high > low)
    result: Array = np.nan_to_num(scaled, nan=0.5).reshape(pictures.shape)
    return result


def picture_grid(pictures: Array, labels: Sequence[str], *, title: str, note: str) -> "Figure":
    """Draw pictures in [0, 1] side by side, each below its label of one or more lines, with a note at the foot."""
    from matplotlib.figure import Figure

    title, note = textwrap.fill(title, 44), textwrap.fill(note, 84)
    columns = min(len(pictures), 5 if len(pictures) <= 25 else 10)
    rows = -(-len(pictures) // columns)
    lines = 1 + max(label.count("\n") for label in labels)

    # Placed by hand, in inches: matplotlib's own layout of so many axes takes several times as long as drawing them.
    side, cell, foot = 0.94, 1.03 + 0.15 * lines, 0.16 + 0.14 * (1 + note.count("\n"))
    width, height = max(columns, 5), foot + rows * cell + 0.19 * len(title.splitlines()) + 0.08
    figure = Figure(figsize=(width, height), facecolor="white")
    for index, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        row, column = divmod(index, columns)
        bottom = foot + (rows - 1 - row) * cell
        ax = figure.add_axes(((column + 0.03) / columns, bottom / height, side / columns, side / height))
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
        ax.set_title(label, fontsize=fitting_size(label, 67, 9), pad=3, linespacing=1.1, parse_math=False)
        ax.set_axis_off()
    figure.suptitle(title, y=1 - 0.06 / height, **title_style(title))
    figure.supxlabel(note, y=0.06 / height, fontsize=8, parse_math=False)
    return figure
