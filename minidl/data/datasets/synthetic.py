"""Synthetic images: a ten-class problem for machines without a network."""

from collections.abc import Callable

import numpy as np

from minidl._core.checks import as_count
from minidl._core.randomness import as_generator
from minidl._core.types import Array, Seed
from minidl.data.dataset import Dataset

_SIDE = 32
# Images drawn at a time: drawing an image takes many times the memory of the result.
_BLOCK = 500


def synthetic_images(n: int, rng: Seed = 0) -> Dataset:
    """Return `n` images of ten shapes and textures, in the same form as CIFAR-10.

    Every image shows one shape (disc, ring, square, triangle, cross) or texture (stripes in three directions, a
    checkerboard, dots) in one colour on another, with random position, size, angle, colours, contrast and noise. The
    same seed gives the same images, bit for bit; use different seeds for training and testing. A single layer
    classifies about half of them correctly; a convolutional network does better.

    Parameters
    ----------
    n : int
        The number of images; class frequencies differ by at most one, and the order is random.
    rng : int, Generator or None
        Draws everything.

    Returns
    -------
    Dataset
        x, uint8 (n, 3072), with a 32x32 plane of red, of green and of blue in each row; y, int64 (n,) in 0..9.

    Raises
    ------
    InputError
        If `n` is not a positive integer.
    """
    n, rng = as_count("n", n), as_generator(rng)
    labels = rng.permutation(np.arange(n) % len(_DRAWINGS))
    x = np.empty((n, 3, _SIDE, _SIDE), np.uint8)
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        x[rows] = _pictures(labels[rows], rng)
    names = tuple(_DRAWINGS)
    return Dataset(x.reshape(n, -1), labels, name="synthetic images", source="drawn by minidl", class_names=names)


def _pictures(labels: Array, rng: np.random.Generator) -> Array:
    """Return one image (3, 32, 32) for each label, as float32 in 0..255."""
    n = len(labels)
    u, v = _coordinates(n, rng)
    ink = np.empty((n, _SIDE, _SIDE), np.float32)
    for label, draw in enumerate(_DRAWINGS.values()):
        rows = labels == label
        # One pixel is about 1/8 of a unit, so the edge of a shape is one pixel wide.
        ink[rows] = np.clip(0.5 + 8 * draw(u[rows], v[rows]), 0, 1)
    background = rng.uniform(40, 150, (n, 3, 1, 1)).astype(np.float32)
    contrast = rng.uniform(40, 110, (n, 3, 1, 1)).astype(np.float32)
    noise = rng.standard_normal((n, 3, _SIDE, _SIDE), np.float32)
    return np.clip(np.rint(background + contrast * ink[:, None] + 12 * noise), 0, 255)


def _coordinates(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the coordinates of each pixel of `n` images, (n, 32, 32) right and down, in units of the shape."""
    place = (np.arange(_SIDE, dtype=np.float32) - (_SIDE - 1) / 2) / 8
    low, high = zip((-0.7, 0.7), (-0.7, 0.7), (0.75, 1.25), (-0.25, 0.25), strict=True)
    x0, y0, size, turn = rng.uniform(low, high, (n, 4)).astype(np.float32).T[..., None, None]
    x, y = (place[None, None, :] - x0) / size, (place[None, :, None] - y0) / size
    # (1, turn) scaled to length 1 gives cosine and sine of a small angle. Trigonometric functions would differ between
    # machines in the last bit.
    length = np.sqrt(1 + turn * turn)
    return (x + turn * y) / length, (y - turn * x) / length


def _wave(t: Array) -> Array:
    """Return a triangle wave of period 1: 0.25 at whole numbers, -0.25 halfway between."""
    return np.abs(t - np.floor(t) - 0.5) - 0.25


# For each class, a function of u (right) and v (down): how far a point is inside the shape, negative outside.
_DRAWINGS: dict[str, Callable[[Array, Array], Array]] = {
    "disc": lambda u, v: 1.1 - np.sqrt(u * u + v * v),
    "ring": lambda u, v: 0.25 - np.abs(np.sqrt(u * u + v * v) - 1),
    "square": lambda u, v: 0.95 - np.maximum(np.abs(u), np.abs(v)),
    "triangle": lambda u, v: np.minimum(0.8 - v, (v + 1.2 - 2 * np.abs(u)) / 2),
    "cross": lambda u, v: np.minimum(0.3 - np.minimum(np.abs(u), np.abs(v)), 1.2 - np.maximum(np.abs(u), np.abs(v))),
    "horizontal stripes": lambda u, v: _wave(v),
    "vertical stripes": lambda u, v: _wave(u),
    "diagonal stripes": lambda u, v: _wave((u + v) * 0.7),
    "checkerboard": lambda u, v: 8 * _wave(u * 0.7) * _wave(v * 0.7),
    "dots": lambda u, v: 0.3 - np.sqrt((_wave(u) + 0.25) ** 2 + (_wave(v) + 0.25) ** 2),
}
