"""Dropout: bugs in how its backward comes by the mask.

A mask without its factor in both passes (bug 55) is no mutant here: its gradient is right, for a function that is not
dropout, and only a test of the mean of y can see it.
"""

import numpy as np

from minidl import Dropout
from planted.fault import FAIL_VALUE, NONDETERMINISTIC, PASS, STATE_CHANGED, WITH_ZEROS, X, family

dropout = family("layer", lambda c, x=X: (c(0.5, rng=3), x), "x")


@dropout(52, "backward hands everything through", FAIL_VALUE)
class NoMask(Dropout):
    def backward(self, dy):
        self.kept()
        return dy.copy()


@dropout(52, "backward does not scale", FAIL_VALUE)
class UnscaledBackward(Dropout):
    def backward(self, dy):
        return super().backward(dy) * (1 - self.rate)


@dropout(52, "backward divides by the rate of what is kept twice", FAIL_VALUE)
class ScaledTwice(Dropout):
    def backward(self, dy):
        return super().backward(dy) / (1 - self.rate)


@dropout(52, "backward lets through what was dropped", FAIL_VALUE)
class InvertedMask(Dropout):
    def backward(self, dy):
        return dy / (1 - self.rate) - super().backward(dy)


@dropout(53, "backward uses the mask of the next forward", FAIL_VALUE)
class NextMask(Dropout):
    def backward(self, dy):
        self.kept()
        Dropout.forward(self, np.ones_like(dy), train=True)
        (mask,) = self.kept()
        self.forwards -= 1
        return dy * mask


@dropout(53, "forward draws from a generator in a list, which nobody can put back", NONDETERMINISTIC)
class HiddenGenerator(Dropout):
    def __init__(self, rate, rng):
        super().__init__(rate, rng=rng)
        self.generators = [np.random.default_rng(rng)]

    def forward(self, x, train=False):
        if not train:
            return x
        mask = (2.0 * (self.generators[0].random(x.shape) >= self.rate)).astype(x.dtype)
        self.keep(mask)
        return x * mask


@dropout(53, "prediction counts as a forward", STATE_CHANGED, tensor="")
class CountsPredictions(Dropout):
    def forward(self, x, train=False):
        self.forwards += 1 - train
        return super().forward(x, train)


@dropout(54, "the mask is where y is not 0: wrong where x is 0", FAIL_VALUE, x=WITH_ZEROS)
class MaskOfY(Dropout):
    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            self.keep(y)
        return y

    def backward(self, dy):
        (y,) = self.kept()
        return dy * (y != 0) / (1 - self.rate)


@dropout(54, "right, with zeros in x", PASS, x=WITH_ZEROS)
class ZerosAndDropout(Dropout):
    pass


@dropout(52, "a rate of 0: x and dy are handed on", PASS)
class NothingDropped(Dropout):
    def __init__(self, rate, rng):
        super().__init__(0.0, rng=rng)
