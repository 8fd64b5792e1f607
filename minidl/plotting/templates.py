"""Weight templates: the columns of a weight as pictures."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.checks import as_array
from minidl.errors import ShapeError
from minidl.images import images_from_rows
from minidl.plotting.style import title_style
from minidl.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_TEMPLATES = 100


def plot_weight_templates(
    weight: Any, *, class_names: Sequence[str] = (), image_shape: tuple[int, ...] | None = None, title: str = ""
) -> "Figure":
    """Draw each column of a weight matrix as the picture that its class responds to most.

    Every template is shifted and scaled to [0, 1] by its own minimum and maximum. What is lost: the sign and the size
    of the weights, so that brightness cannot be compared between templates, and a zero weight has no colour of its own.
    A constant template is mid-grey, and so is a weight that is not finite.

    Parameters
    ----------
    weight : array_like, shape (in_features, n_classes)
        Such as ``dense.weight.value``. Of more than 100 columns the first 100 are drawn, and the figure says so.
    class_names : sequence of str
        One a column; without them the columns are numbered from 0.
    image_shape : tuple of int, optional
        (height, width), (3, height, width) or (height, width, 3); None finds a square: (3, s, s) or else (s, s).
    title : str
        Above the pictures; long ones are wrapped.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ShapeError
        If the weight is not a matrix, its columns do not fill the image, or there is not one name a column.
    """
    from matplotlib.figure import Figure

    pictures = template_images(weight, image_shape)
    total = len(pictures)
    names = [str(name) for name in class_names] or [str(column) for column in range(total)]
    if len(names) != total:
        raise ShapeError(f"plot_weight_templates: expected {total} class names, one a column, got {len(names)}")
    notes = ["each scaled to its own minimum and maximum"]
    if not np.isfinite(weight).all():
        notes.append("grey where not finite")
    if total > _MOST_TEMPLATES:
        pictures = pictures[:_MOST_TEMPLATES]
        notes.append(f"the first {_MOST_TEMPLATES} of {total}")
    title = textwrap.fill(title, 44)
    columns = min(len(pictures), 5 if len(pictures) <= 25 else 10)
    rows = -(-len(pictures) // columns)

    # Placed by hand, in inches: matplotlib's own layout of so many axes takes several times as long as drawing them.
    side, cell, foot = 0.94, 1.18, 0.3
    width, height = max(columns, 5), foot + rows * cell + 0.19 * len(title.splitlines()) + 0.08
    figure = Figure(figsize=(width, height), facecolor="white")
    for index, (name, picture) in enumerate(zip(names, pictures, strict=False)):
        row, column = divmod(index, columns)
        bottom = foot + (rows - 1 - row) * cell
        ax = figure.add_axes(((column + 0.03) / columns, bottom / height, side / columns, side / height))
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
        ax.set_title(_shortened(name), fontsize=9, pad=3, parse_math=False)
        ax.set_axis_off()
    figure.suptitle(title, y=1 - 0.06 / height, **title_style(title))
    figure.supxlabel("; ".join(notes), y=0.06 / height, fontsize=8)
    return figure


def template_images(weight: Any, image_shape: tuple[int, ...] | None = None) -> Array:
    """Return the columns of `weight` as pictures in [0, 1], (n, height, width[, 3]), each scaled by its own range."""
    weight = as_array("weight", weight).astype(np.float64)
    if weight.ndim != 2 or weight.size == 0:
        raise ShapeError(f"weight templates: expected a weight (in_features, n_classes), got shape {weight.shape}")
    shape = _image_shape(len(weight), image_shape)
    weight[~np.isfinite(weight)] = np.nan
    low, high = np.fmin.reduce(weight), np.fmax.reduce(weight)
    scaled = np.divide(weight - low, high - low, out=np.full_like(weight, 0.5), where=high > low)
    rows: Array = np.nan_to_num(scaled, nan=0.5).T
    in_planes = len(shape) == 3 and shape[0] == 3
    return images_from_rows(rows, (shape[1], shape[2], 3)) if in_planes else rows.reshape(-1, *shape)


def _shortened(name: str) -> str:
    return name if len(name) <= 15 else f"{name[:14]}…"


def _image_shape(in_features: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None:
        for channels in [(3,), ()]:
            side = math.isqrt(in_features // math.prod(channels))
            if math.prod((*channels, side, side)) == in_features:
                return (*channels, side, side)
        raise ShapeError(f"weight templates: {in_features} features are no square image; pass image_shape")
    is_image = len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[2]))
    if not is_image or math.prod(shape) != in_features:
        raise ShapeError(
            "image_shape: expected (height, width), (3, height, width) or (height, width, 3) "
            f"of {in_features} features in all, got {shape}"
        )
    return shape
