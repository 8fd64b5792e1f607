"""Pooling: bugs in who gets the gradient of a window, and how much of it."""

import numpy as np

from minidl import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from planted.fault import PASS, PASS_SUBGRADIENT, family, signed

IMAGES = signed(2, 5, 4, 2)
EQUAL = np.array([[1.0, 1.0, -0.5, 2.0], [1.0, 0.25, 2.0, 2.0]])[None, :, :, None]


pool = family("layer", lambda c, x=IMAGES, **options: (c(**options), x), "x")


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


pool(33, "by masks, windows that overlap", PASS, pool_size=2, stride=1)(ByMask)


@pool(34, "by masks, with padding", PASS, pool_size=3, stride=2, padding=1)
class ByMaskPadded(ByMask):
    pass


@pool(32, "of equal entries the first one gets all", PASS_SUBGRADIENT, pool_size=2, x=EQUAL)
class FirstOfEqual(ByMask):
    pass


@pool(32, "of equal entries the last one gets all", PASS_SUBGRADIENT, pool_size=2, x=EQUAL)
class LastOfEqual(ByMask):
    def masks(self, taps, y):
        return reversed(list(super().masks(reversed(list(taps)), y)))


@pool(32, "equal entries share", PASS_SUBGRADIENT, pool_size=2, x=EQUAL)
class EqualShares(ByMask):
    def masks(self, taps, y):
        masks = [tap == y for tap in taps]
        return [mask / sum(masks) for mask in masks]


@pool(32, "equal entries get all, each of them", pool_size=2, x=EQUAL)
class AllOfEqual(ByMask):
    def masks(self, taps, y):
        return [tap == y for tap in taps]


@pool(32, "entries that are nearly the largest get all, too", pool_size=2, x=np.sign(IMAGES) + 1e-3 * IMAGES)
class NearlyEqual(ByMask):
    def masks(self, taps, y):
        return [np.isclose(tap, y, atol=1e-2) for tap in taps]


@pool(33, "windows that overlap overwrite each other", pool_size=2, stride=1)
class OverlapOverwritten(ByMask):
    def put(self, tap, part):
        tap[...] = part


@pool(34, "places in the padded image are taken for places in the image", pool_size=3, stride=2, padding=1)
class PlacesOfPadded(ByMask):
    def crop(self, padded, x):
        return padded[:, : x.shape[1], : x.shape[2]]


@pool(33, "each window's gradient goes to its first entry", pool_size=2)
class FirstEntry(ByMask):
    def masks(self, taps, y):
        return [np.full(y.shape, k == 0) for k, _ in enumerate(taps)]


@pool(35, "at the border backward divides by the pixels inside, forward by all", pool_size=3, stride=2, padding=1)
class InsideAlone(AvgPool2D):
    def backward(self, dy):
        inside = self._windows.pad(np.ones((1, *IMAGES.shape[1:])), 0.0)
        counts = sum(self._windows.taps(inside))
        return super().backward(dy * (9 / counts).astype(dy.dtype))


@pool(35, "backward does not divide", pool_size=2)
class UndividedMean(AvgPool2D):
    def backward(self, dy):
        return 4 * super().backward(dy)


@pool(36, "backward does not divide by the size of the image")
class UndividedGlobalMean(GlobalAvgPool2D):
    def backward(self, dy):
        return 20 * super().backward(dy)


@pool(36, "backward divides by the height alone")
class DividedByHeight(GlobalAvgPool2D):
    def backward(self, dy):
        return 4 * super().backward(dy)
