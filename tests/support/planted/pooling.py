"""Pooling: bugs in who gets the gradient of a window, and how much of it."""

import numpy as np

from minidl import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from planted.fault import PASS, PASS_SUBGRADIENT, After, Family
from planted.numbers import signed

IMAGES = signed(2, 5, 4, 2)
EQUAL = np.array([[1.0, 1.0, -0.5, 2.0], [1.0, 0.25, 2.0, 2.0]])[None, :, :, None]


pool = Family("layer", lambda c, x=IMAGES, **options: (c(**options), x))


class ByMask(MaxPool2D):
    """Right: keeps x, and finds the largest entries again, in steps that a bug can replace."""

    def forward(self, x, train=False):
        y = super().forward(x)
        if train:
            self.keep(x, y)
        return y

    def masks(self, taps, y):
        """Return, for each pixel of a window, which windows have their (first) largest entry there."""
        free = np.ones(y.shape, bool)
        for tap in taps:
            mask = free & (tap == y)
            free &= ~mask
            yield mask

    def put(self, tap, part):
        tap += part

    def crop(self, padded, x):
        return self._windows.interior(padded, *x.shape[1:3])

    def backward(self, dy):
        x, y = self.kept()
        seen = self._windows.pad(x, -np.inf)
        padded = np.zeros_like(seen, dtype=dy.dtype)
        masks = self.masks(self._windows.taps(seen), y)
        for tap, mask in zip(self._windows.taps(padded), masks, strict=True):
            self.put(tap, dy * mask)
        return self.crop(padded, x)


@pool(32, "equal entries share", PASS_SUBGRADIENT, pool_size=2, x=EQUAL)
class EqualShares(ByMask):
    def masks(self, taps, y):
        masks = [tap == y for tap in taps]
        return [mask / sum(masks) for mask in masks]


@pool(35, "at the border backward divides by the pixels inside, forward by all", pool_size=3, stride=2, padding=1)
class InsideAlone(AvgPool2D):
    def backward(self, dy):
        inside = self._windows.pad(np.ones((1, *IMAGES.shape[1:])), 0.0)
        counts = sum(self._windows.taps(inside))
        return super().backward(dy * (9 / counts).astype(dy.dtype))


# fmt: off
pool.row(33, "ByMask", "by masks, windows that overlap", ByMask, {}, PASS, pool_size=2, stride=1)
pool.row(33, "OverlapOverwritten", "windows that overlap overwrite each other", ByMask,
    {"put": lambda self, tap, part: np.copyto(tap, part)}, pool_size=2, stride=1)
pool.row(34, "ByMaskPadded", "by masks, with padding", ByMask, {}, PASS, pool_size=3, stride=2, padding=1)
pool.row(32, "FirstOfEqual", "of equal entries the first one gets all", ByMask, {}, PASS_SUBGRADIENT, pool_size=2,
    x=EQUAL)
pool.row(32, "LastOfEqual", "of equal entries the last one gets all", ByMask,
    {"masks": lambda self, taps, y: reversed(list(ByMask.masks(self, reversed(list(taps)), y)))}, PASS_SUBGRADIENT,
    pool_size=2, x=EQUAL)
pool.row(32, "AllOfEqual", "equal entries get all, each of them", ByMask,
    {"masks": lambda self, taps, y: [tap == y for tap in taps]}, pool_size=2, x=EQUAL)
pool.row(32, "NearlyEqual", "entries that are nearly the largest get all, too", ByMask,
    {"masks": lambda self, taps, y: [np.isclose(tap, y, atol=1e-2) for tap in taps]}, pool_size=2,
    x=np.sign(IMAGES) + 1e-3 * IMAGES)
pool.row(34, "PlacesOfPadded", "places in the padded image are taken for places in the image", ByMask,
    {"crop": lambda self, padded, x: padded[:, : x.shape[1], : x.shape[2]]}, pool_size=3, stride=2, padding=1)
pool.row(33, "FirstEntry", "each window's gradient goes to its first entry", ByMask,
    {"masks": lambda self, taps, y: [np.full(y.shape, k == 0) for k, _ in enumerate(taps)]}, pool_size=2)
pool.row(35, "UndividedMean", "backward does not divide", AvgPool2D,
    {"backward": After(lambda self, dx, dy: 4 * dx)}, pool_size=2)
pool.row(36, "UndividedGlobalMean", "backward does not divide by the size of the image", GlobalAvgPool2D,
    {"backward": After(lambda self, dx, dy: 20 * dx)})
pool.row(36, "DividedByHeight", "backward divides by the height alone", GlobalAvgPool2D,
    {"backward": After(lambda self, dx, dy: 4 * dx)})
# fmt: on
