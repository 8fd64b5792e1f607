"""Pictures side by side: what a classifier took for what, and the columns of a weight."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minidl._core.checks import as_array, as_count
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array
from minidl.nn.metrics import true_class_probabilities
from minidl.plotting.pictures import MOST_PICTURES, picture_grid, pictures_from, stretched
from minidl.plotting.style import begin, class_labels, figure_of, write_inside

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_gallery(
    images: Any,
    targets: Any,
    probabilities: Any,
    *,
    which: Literal["wrong", "right"] = "wrong",
    count: int = 20,
    class_names: Sequence[str] = (),
    image_shape: tuple[int, ...] | None = None,
    title: str = "",
) -> "Figure":
    """Draw images that were classified wrongly (or rightly), the surest guess first, each with truth and guess.

    Pixels in [0, 1], or else in [0, 255], are drawn as they are; others, such as standardized ones, are shifted and
    scaled for each picture by its own minimum and maximum, and the figure says so.

    Parameters
    ----------
    images : array_like, shape (n, features), (n, height, width) or (n, height, width, 1 or 3)
        Flat rows hold one colour plane after the other, see `minidl.images_from_rows`.
    targets : array_like of int, shape (n,)
        Class labels.
    probabilities : array_like, shape (n, classes)
        Such as ``model.predict_proba(x)``; the guess is the likeliest class.
    which : {"wrong", "right"}
    count : int
        How many at most, in 1 .. 100.
    class_names : sequence of str
        One a class; without them the classes are numbered from 0.
    image_shape : tuple of int, optional
        Of flat rows, see `plot_weight_templates`.
    title : str
        Above the pictures; long ones are wrapped.

    Returns
    -------
    matplotlib Figure
        It says so if there is no such image.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above, or there are no rows.
    """
    if which not in ("wrong", "right"):
        raise InputError(f"plot_gallery: expected which to be 'wrong' or 'right', got {which!r:.80}")
    if as_count("count", count) > MOST_PICTURES:
        raise InputError(f"plot_gallery: expected count of at most {MOST_PICTURES}, got {count}")
    true_class_probabilities(probabilities, targets)  # which refuses what is not one probability a row and class
    probabilities, targets = as_array("probabilities", probabilities), as_array("targets", targets)
    images = as_array("images", images)
    if len(images) != len(targets):
        raise ShapeError(f"plot_gallery: expected one image a target, got {len(images)} of {len(targets)}")
    names = class_labels("plot_gallery", class_names, probabilities.shape[1], most=12)

    guesses = probabilities.argmax(axis=1)
    sureness = probabilities.max(axis=1)
    found = np.flatnonzero((guesses != targets) if which == "wrong" else (guesses == targets))
    if len(found) == 0:
        ax = begin(None, title, 0, height=1.0)
        ax.set_axis_off()
        write_inside(ax, f"none of {len(targets):,} rows is classified {which}ly")
        return figure_of(ax)
    rows = found[np.argsort(-sureness[found], kind="stable")][:count]
    labels = [f"{names[targets[row]]} /\n{names[guesses[row]]} ({sureness[row]:.2f})" for row in rows]
    pictures, scaling = _drawable(pictures_from("plot_gallery", images[rows], image_shape))
    notes = [
        "truth / guess (its probability)",
        f"{len(rows):,} of {len(found):,} {which} in {len(targets):,} rows, the surest first",
        *scaling,
    ]
    return picture_grid(pictures, labels, title=title, note="; ".join(notes))


def _drawable(pictures: Array) -> tuple[Array, list[str]]:
    """Return pictures in [0, 1], and what was done to them if it is worth saying."""
    low, high = pictures.min(), pictures.max()
    if low >= 0 and high <= 255:  # (not with NaN)
        return (pictures if high <= 1 else pictures / 255).astype(np.float64), []
    notes = ["each scaled to its own minimum and maximum"]
    return stretched(pictures), notes if np.isfinite(pictures).all() else [*notes, "grey where not finite"]


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
