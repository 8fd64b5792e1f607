"""Pictures side by side: classified images, and the columns of a weight."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from minidl._core.checks import as_array, as_count
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array, Figure
from minidl.data.images import images_from_rows
from minidl.nn.metrics import true_class_probabilities
from minidl.plotting.style import WIDTH, begin, class_labels, figure_of, wrapped_title, write_inside
from minidl.plotting.texts import SIZE, fold, width_of

__all__ = ["plot_gallery", "plot_weight_templates", "template_images"]

# Pictures on a figure.
_MOST = 100


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
) -> Figure:
    """Draw images that were classified wrongly (or correctly), with true class and guess, the surest guess first.

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
        One per class; without them the classes are numbered from 0.
    image_shape : tuple of int, optional
        Of flat rows, see `plot_weight_templates`.
    title : str
        Above the pictures; long ones are wrapped.

    Returns
    -------
    matplotlib Figure
        If there is no such image, it says so.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above, or there are no rows.
    """
    if which not in ("wrong", "right"):
        raise InputError(f"plot_gallery: expected which to be 'wrong' or 'right', got {which!r:.80}")
    if as_count("count", count) > _MOST:
        raise InputError(f"plot_gallery: expected count of at most {_MOST}, got {count}")
    # This refuses anything but one probability per row and class.
    true_class_probabilities(probabilities, targets)
    probabilities, targets = as_array("probabilities", probabilities), as_array("targets", targets)
    images = as_array("images", images)
    if len(images) != len(targets):
        raise ShapeError(f"plot_gallery: expected one image per target, got {len(images)} of {len(targets)}")
    names = class_labels("plot_gallery", class_names, probabilities.shape[1], most=18)

    guesses = probabilities.argmax(axis=1)
    sureness = probabilities.max(axis=1)
    found = np.flatnonzero((guesses != targets) if which == "wrong" else (guesses == targets))
    if len(found) == 0:
        ax = begin(None, title, 0, 1.0)
        ax.set_axis_off()
        write_inside(ax, f"none of {len(targets):,} rows is classified {which.replace('right', 'correct')}ly")
        return figure_of(ax)
    rows = found[np.argsort(-sureness[found], kind="stable")][:count]
    labels = [f"truth: {names[targets[row]]}\nguess: {names[guesses[row]]}\n({sureness[row]:.2f})" for row in rows]
    pictures, scaling = _drawable(_pictures_from("plot_gallery", images[rows], image_shape))
    shown = f"{len(rows):,} of {len(found):,} {which} in {len(targets):,} rows, the surest first"
    note = "; ".join(["below the guess its probability", shown, *scaling])
    return _picture_grid(pictures, labels, title=title, note=note)


def _drawable(pictures: Array) -> tuple[Array, list[str]]:
    """Return pictures in [0, 1], and notes for the figure on how they were scaled."""
    low, high = pictures.min(), pictures.max()
    # NaN is not in this range.
    if low >= 0 and high <= 255:
        return (pictures if high <= 1 else pictures / 255).astype(np.float64), []
    return _stretched(pictures)


def plot_weight_templates(
    weight: Any, *, class_names: Sequence[str] = (), image_shape: tuple[int, ...] | None = None, title: str = ""
) -> Figure:
    """Draw each column of a weight matrix as the picture that its class responds to most.

    Every template is shifted and scaled to [0, 1] by its own minimum and maximum. This loses the sign and the
    size of the weights: brightness cannot be compared between templates, and a zero weight has no colour of its own.
    A constant template is mid-grey, and so is a weight that is not finite.

    Parameters
    ----------
    weight : array_like, shape (in_features, n_classes)
        Such as ``dense.weight.value``. Of more than 100 columns the first 100 are drawn, and the figure says so.
    class_names : sequence of str
        One per column; without them the columns are numbered from 0.
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
        If the weight is not a matrix, its columns do not fill the image, or the number of names differs.
    """
    pictures, notes = _templates(weight, image_shape)
    total = len(pictures)
    labels = class_labels("plot_weight_templates", class_names, total, most=24)
    if total > _MOST:
        notes.append(f"the first {_MOST} of {total}")
    return _picture_grid(pictures[:_MOST], labels[:_MOST], title=title, note="; ".join(notes))


def template_images(weight: Any, image_shape: tuple[int, ...] | None = None) -> Array:
    """Return the columns of `weight` as pictures in [0, 1], (n, height, width[, 3]), each scaled by its own range."""
    return _templates(weight, image_shape)[0]


def images_to_show(images: Any, image_shape: tuple[int, ...] | None = None) -> Array:
    """Return flat rows or images as pictures of bytes, (n, height, width[, 3]), see `plot_gallery`."""
    pictures, _ = _drawable(_pictures_from("images", as_array("images", images), image_shape))
    return as_bytes(pictures)


def as_bytes(pictures: Array) -> Array:
    """Return pictures in [0, 1] as pictures of bytes."""
    return np.asarray(np.rint(255 * pictures), np.uint8)


def _templates(weight: Any, image_shape: tuple[int, ...] | None) -> tuple[Array, list[str]]:
    weight = as_array("weight", weight)
    if weight.ndim != 2 or weight.size == 0:
        raise ShapeError(f"weight templates: expected a weight (in_features, n_classes), got shape {weight.shape}")
    return _stretched(_pictures_from("weight templates", weight.T, image_shape))


def _pictures_from(where: str, images: Array, image_shape: tuple[int, ...] | None) -> Array:
    """Return flat rows or images as (n, height, width[, 3]).

    Parameters
    ----------
    where : str
        The function or argument that errors name.
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
    wanted = "flat rows (n, features) or images (n, height, width) or (n, height, width, 1 or 3)"
    raise ShapeError(f"{where}: expected {wanted}, got shape {images.shape}")


def _shape_of_rows(where: str, features: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None:
        for channels in [(3,), ()]:
            side = math.isqrt(features // math.prod(channels))
            if side and math.prod((*channels, side, side)) == features:
                return (*channels, side, side)
        raise ShapeError(f"{where}: {features} features are no square image; pass image_shape")
    is_image = len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[2]))
    if not is_image or math.prod(shape) != features:
        wanted = "(height, width), (3, height, width) or (height, width, 3)"
        raise ShapeError(f"image_shape: expected {wanted} of {features} features in all, got {shape}")
    return shape


def _stretched(pictures: Array) -> tuple[Array, list[str]]:
    """Return each picture shifted and scaled to [0, 1] by its own range, and 0.5 where it has none or is not finite.

    The second value says so, for the figure.
    """
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)
    finite = np.isfinite(flat)
    flat[~finite] = np.nan
    low, high = np.fmin.reduce(flat, axis=1)[:, np.newaxis], np.fmax.reduce(flat, axis=1)[:, np.newaxis]
    scaled = np.divide(flat - low, high - low, out=np.full_like(flat, 0.5), where=high > low)
    notes = ["each scaled to its own minimum and maximum"] + ["grey where not finite"] * (not finite.all())
    return np.nan_to_num(scaled, nan=0.5).reshape(pictures.shape), notes


def _picture_grid(pictures: Array, labels: Sequence[str], *, title: str, note: str) -> Figure:
    """Draw pictures in [0, 1] side by side, each below its label of one or more lines, with a note at the foot."""
    from matplotlib.figure import Figure

    title, note = wrapped_title(title, 72 * WIDTH - 12), fold(note, 72 * WIDTH - 12)
    # As many columns as the longest word has room in; labels of several lines are not folded.
    words = [word for label in labels for word in (label.splitlines() if "\n" in label else label.split())]
    widest = max((width_of(word, 0.95 * SIZE) for word in words), default=0.0)
    choices = (10, 5, 4, 3, 2) if len(pictures) > 25 else (5, 4, 3, 2)
    columns = next((n for n in choices if widest <= 72 * WIDTH / n - 2), 2)
    room, columns = 72 * WIDTH / columns - 2, min(columns, len(pictures))
    labels = [label if "\n" in label else fold(label, room, 0.95 * SIZE) for label in labels]
    size = SIZE * min(1.0, 0.98 * room / max(1.0, *(width_of(label, SIZE) for label in labels)))
    rows = -(-len(pictures) // columns)
    lines = 1 + max(label.count("\n") for label in labels)

    # Placed by hand, in inches: matplotlib's layout of many axes takes several times as long as drawing them.
    pitch, side = WIDTH / columns, min(WIDTH / columns - 0.06, 1.0)
    cell, foot = side + 0.1 + 0.165 * lines, 0.16 + 0.18 * (1 + note.count("\n"))
    height = foot + rows * cell + 0.19 * len(title.splitlines()) + 0.08
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    for index, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        row, column = divmod(index, columns)
        left, bottom = column * pitch + (pitch - side) / 2, foot + (rows - 1 - row) * cell
        ax = figure.add_axes((left / WIDTH, bottom / height, side / WIDTH, side / height))
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
        ax.set_title(label, fontsize=size, pad=3, linespacing=1.05, parse_math=False)
        ax.set_axis_off()
    figure.suptitle(title, y=1 - 0.06 / height, fontsize=SIZE, parse_math=False)
    figure.supxlabel(note, y=0.06 / height, fontsize=SIZE, parse_math=False)
    return figure
