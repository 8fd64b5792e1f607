"""Weight templates: the columns of a weight as pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._core.checks import as_array
from minidl._core.errors import ShapeError
from minidl._core.types import Array
from minidl.plotting.pictures import MOST_PICTURES, picture_grid, pictures_from, stretched
from minidl.plotting.style import class_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    pictures = template_images(weight, image_shape)
    total = len(pictures)
    labels = class_labels("plot_weight_templates", class_names, total, one_a="column")
    notes = ["each scaled to its own minimum and maximum"]
    if not np.isfinite(weight).all():
        notes.append("grey where not finite")
    if total > MOST_PICTURES:
        notes.append(f"the first {MOST_PICTURES} of {total}")
    return picture_grid(pictures[:MOST_PICTURES], labels[:MOST_PICTURES], title=title, note="; ".join(notes))


def template_images(weight: Any, image_shape: tuple[int, ...] | None = None) -> Array:
    """Return the columns of `weight` as pictures in [0, 1], (n, height, width[, 3]), each scaled by its own range."""
    weight = as_array("weight", weight)
    if weight.ndim != 2 or weight.size == 0:
        raise ShapeError(f"weight templates: expected a weight (in_features, n_classes), got shape {weight.shape}")
    return stretched(pictures_from("weight templates", weight.T, image_shape))
