"""Augmentation: small random changes of the training images, different in every epoch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minidl._core.attributes import Declared
from minidl._core.checks import as_array, as_count, as_fraction, as_number, as_pair, check_returned, check_type
from minidl._core.errors import InputError, ShapeError
from minidl._core.randomness import as_generator, keyed_generator
from minidl._core.reprs import constructor_call
from minidl._core.types import Array, Seed

__all__ = ["Augmentation", "Brightness", "Contrast", "Cutout", "Mirror", "RandomCrop", "Shift"]


class Augmentation(Declared, ABC):
    """A random change of images: subclass it and write `draw` and `apply`.

    Drawing and applying are separate, so each image of a training set gets its own random numbers, whatever batch it
    is in. ``Trainer.fit(..., augment=[Mirror(), Shift(4)])`` applies several augmentations in order.

    Examples
    --------
    >>> class Negative(Augmentation):
    ...     def draw(self, n, rng):
    ...         return rng.choice([-1.0, 1.0], n)
    ...
    ...     def apply(self, images, draws):
    ...         return images * draws[:, None, None, None].astype(images.dtype)
    >>> Negative()(np.ones((2, 1, 1, 1)), rng=1).ravel()
    array([-1.,  1.])
    """

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return the random numbers of n images, one row per image; the first k rows equal those for k images."""

    @abstractmethod
    def apply(self, images: Array, draws: Array) -> Array:
        """Return the images (n, height, width, channels), each changed by its row of `draws`.

        The result is a new array of the same dtype; `images`, floating-point or uint8, is never modified.
        """

    def __call__(self, images: Any, rng: Seed = None) -> Array:
        """Return images (n, height, width, channels) changed by draws from `rng`."""
        images = check_images("images", images)
        return self.apply(images, self.draw(len(images), as_generator(rng)))

    __repr__ = constructor_call


class Mirror(Augmentation):
    """Mirror each image left to right with the given probability; also called horizontal flip."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = as_fraction("probability", probability, or_one=True)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return whether each image is mirrored, shape (n,)."""
        return rng.random(n) < self.probability

    def apply(self, images: Array, draws: Array) -> Array:
        result = images.copy()
        result[draws] = images[draws, :, ::-1]
        return result


class Shift(Augmentation):
    """Move the image by -pixels .. pixels downwards and, independently, to the right; all shifts are equally likely.

    Parameters
    ----------
    pixels : int
        At least 0.
    fill : float
        The value of the uncovered pixels, in the unit of the images; 0 is the mean of standardized images.
    """

    def __init__(self, pixels: int, fill: float = 0.0) -> None:
        self.pixels = as_count("pixels", pixels, 0)
        self.fill = as_number("fill", fill)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return how far each image moves (down, right), shape (n, 2)."""
        return rng.integers(-self.pixels, self.pixels, (n, 2), endpoint=True)

    def apply(self, images: Array, draws: Array) -> Array:
        return _windows(_padded(self, images, self.pixels, self.fill), self.pixels - draws, images.shape[1:3])


class RandomCrop(Augmentation):
    """Add a border around the image and cut out a window of a fixed size; all positions are equally likely.

    Validation images are not cropped: if `size` differs from their size, the network must accept both sizes.

    Parameters
    ----------
    size : int or tuple of int
        Side of the square, or (height, width), in pixels; at most that of the image with its border.
    padding : int
        Width of the border in pixels, on all four sides.
    fill : float
        Value of the border, in the unit of the images.

    Raises
    ------
    ShapeError
        From `apply`, if the window is larger than the image with its border.
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0, fill: float = 0.0) -> None:
        self.size = as_pair("size", size)
        self.padding = as_count("padding", padding, 0)
        self.fill = as_number("fill", fill)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return the position of each window, as fractions (down, right) of the possible range, shape (n, 2)."""
        return rng.random((n, 2))

    def apply(self, images: Array, draws: Array) -> Array:
        images = _padded(self, images, self.padding, self.fill)
        ways = np.subtract(images.shape[1:3], self.size) + 1
        if ways.min() < 1:
            raise ShapeError(f"{self!r}: window larger than the padded images, {images.shape[1:3]}; use a smaller size")
        return _windows(images, (draws * ways).astype(int), self.size)


class Cutout(Augmentation):
    """Fill a square of each image; all centres are equally likely, and the square is cut off at the image's border.

    Parameters
    ----------
    size : int
        Side of the square in pixels; an even side reaches one pixel further up and left of the centre.
    fill : float
        Value of the square, in the unit of the images; 0 is the mean of standardized images.

    References
    ----------
    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """

    def __init__(self, size: int, fill: float = 0.0) -> None:
        self.size = as_count("size", size)
        self.fill = as_number("fill", fill)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return the centre of each square, as fractions of the image's height and width, shape (n, 2)."""
        return rng.random((n, 2))

    def apply(self, images: Array, draws: Array) -> Array:
        corners = (draws * images.shape[1:3]).astype(int) - self.size // 2
        # The distance of each pixel row from the square's upper edge, and of each column from its left edge.
        down, right = (np.arange(side) - corners[:, [axis]] for axis, side in enumerate(images.shape[1:3]))
        rows, columns = ((distance >= 0) & (distance < self.size) for distance in (down, right))
        result = images.copy()
        result[rows[:, :, None] & columns[:, None, :]] = _fill(self, images, self.fill)
        return result


class Brightness(Augmentation):
    """Add one number to all pixels of an image, ``y = x + d`` with d uniform in -amount .. amount.

    A uint8 image is rounded and clipped to 0 .. 255; a floating-point image is not clipped.

    Parameters
    ----------
    amount : float
        At least 0, in the unit of the images: 0 to 255 for raw pixels, standard deviations for standardized images.
    """

    def __init__(self, amount: float) -> None:
        self.amount = as_number("amount", amount, 0)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return the d of each image, shape (n,)."""
        return self.amount * (2 * rng.random(n) - 1)

    def apply(self, images: Array, draws: Array) -> Array:
        return _calculated(images, lambda x: x + draws.astype(x.dtype)[:, None])


class Contrast(Augmentation):
    """Scale each image about its own mean, ``y = mean + f * (x - mean)`` with f uniform in 1 - amount .. 1 + amount.

    The mean is one number, over all pixels and channels. A uint8 image is rounded and clipped to 0 .. 255; a
    floating-point image is not clipped.

    Parameters
    ----------
    amount : float
        From 0 to 1; it does not depend on the unit of the images.
    """

    def __init__(self, amount: float) -> None:
        self.amount = as_fraction("amount", amount, or_one=True)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return the f of each image, shape (n,)."""
        return 1 + self.amount * (2 * rng.random(n) - 1)

    def apply(self, images: Array, draws: Array) -> Array:
        def stretched(x: Array) -> Any:
            mean = x.mean(axis=1, keepdims=True)
            return mean + draws.astype(x.dtype)[:, None] * (x - mean)

        return _calculated(images, stretched)


def augmenter(augmentations: Sequence[Augmentation], n: int, seed: int, epoch: int) -> Callable[[Array, Array], Array]:
    """Return a function of (images, their row numbers) that augments any batch of a training set in one epoch.

    The numbers for all n rows are drawn at once, keyed by the seed, the epoch and the position in the sequence. So the
    image of a row does not depend on the size and order of the batches, nor on the number of rows after it.
    """
    drawn = []
    for position, augmentation in enumerate(augmentations):
        draws = augmentation.draw(n, keyed_generator(seed, f"augmentation {position}", epoch))
        if len(check_returned(f"{augmentation!r}.draw", draws)) != n:
            raise ShapeError(f"{augmentation!r}.draw: expected {n} rows, one for each image, got {len(draws)}")
        drawn.append(draws)

    def augment(images: Array, rows: Array) -> Array:
        for augmentation, draws in zip(augmentations, drawn, strict=True):
            result = check_returned(f"{augmentation!r}.apply", augmentation.apply(images, draws[rows]))
            if result.ndim != 4 or len(result) != len(images) or result.dtype != images.dtype:
                fault = f"expected {len(images)} images of dtype {images.dtype}, got {result.dtype} {result.shape}"
                raise ShapeError(f"{augmentation!r}.apply: {fault}. Return one image per image, with the same dtype")
            images = result
        return images

    return augment


def check_images(name: str, images: Any) -> Array:
    """Return `images` as an array (n, height, width, channels) of floating-point numbers or uint8, or refuse them."""
    array = as_array(name, images)
    if array.ndim != 4:
        hint = "; turn flat rows into images: dataset.map(images_from_rows)" if array.ndim == 2 else ""
        raise ShapeError(f"{name}: expected images of shape (n, height, width, channels), got {array.shape}{hint}")
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        raise InputError(f"{name}: expected images of floating-point numbers or uint8, got dtype {array.dtype}")
    return array


def check_augmentations(where: str, augment: Any, x: Array) -> None:
    """Refuse an `augment` that is not a sequence of `Augmentation`, and any augmentation if `x` is not images."""
    if not isinstance(augment, Sequence):
        raise InputError(f"{where}: expected augment to be a sequence such as [Mirror()], got {augment!r:.80}")
    for i, augmentation in enumerate(augment):
        check_type(where, f"augment[{i}]", augmentation, Augmentation)
    if augment:
        check_images(f"{where}: augment", x)


def _fill(owner: Augmentation, images: Array, fill: float) -> Array:
    """Return `fill` in the dtype of the images, or refuse it: NumPy would truncate 0.5 to 0."""
    if images.dtype == np.uint8 and not (fill.is_integer() and 0 <= fill <= 255):
        raise InputError(f"{owner!r}: expected fill to be an integer in 0..255 for uint8 images, got {fill:g}")
    return np.array(fill, images.dtype)


def _padded(owner: Augmentation, images: Array, border: int, fill: float) -> Array:
    sides = (0, 0), (border, border), (border, border), (0, 0)
    return np.pad(images, sides, constant_values=_fill(owner, images, fill))


def _windows(images: Array, corners: Array, size: tuple[int, ...]) -> Array:
    """Return from each image the window of `size` (height, width) whose upper left corner is at its (row, column)."""
    n, height, width, channels = images.shape
    # The channels of a pixel are adjacent, so a line of a window is contiguous in memory.
    lines = images.reshape(n, height, width * channels)
    windows = sliding_window_view(lines, (size[0], size[1] * channels), axis=(1, 2))
    return windows[np.arange(n), corners[:, 0], corners[:, 1] * channels].reshape(n, *size, channels)


def _calculated(images: Array, change: Callable[[Array], Array]) -> Array:
    """Return the images after `change`, a function of an array with one row per image."""
    rows = images.reshape(len(images), math.prod(images.shape[1:]))
    # In a narrower dtype or another memory order, the rounding of a mean would depend on the batch.
    values = change(rows.astype(np.result_type(images.dtype, np.float32), order="C"))
    if images.dtype == np.uint8:
        values = np.clip(np.rint(values), 0, 255)
    return values.astype(images.dtype, copy=False).reshape(images.shape)
