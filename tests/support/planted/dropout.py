"""Dropout: bugs in how its backward comes by the mask.

A mask without its factor in both passes (bug 55) is no mutant here: its gradient is right, for a function that is not
dropout, and only a test of the mean of y can see it.
"""

import numpy as np

from minidl import Dropout
from planted.fault import PASS, STATE_CHANGED, After, Family
from planted.numbers import WITH_ZEROS, X

dropout = Family("layer", lambda c, x=X, rate=0.5: (c(rate, rng=3), x))


@dropout(53, "backward uses the mask of the next forward")
class NextMask(Dropout):
    def backward(self, dy):
        self.kept()
        Dropout.forward(self, np.ones_like(dy), train=True)
        (mask,) = self.kept()
        self.forwards -= 1
        return dy * mask


@dropout(53, "prediction counts as a forward", STATE_CHANGED)
class CountsPredictions(Dropout):
    def forward(self, x, train=False):
        self.forwards += 1 - train
        return super().forward(x, train)


@dropout(54, "the mask is where y is not 0: wrong where x is 0", x=WITH_ZEROS)
class MaskOfY(Dropout):
    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            self.keep(y)
        return y

    def backward(self, dy):
        (y,) = self.kept()
        return dy * (y != 0) / (1 - self.rate)


# fmt: off
dropout.row(52, "NoMask", "backward hands everything through", Dropout,
    {"backward": After(lambda self, dx, dy: dy.copy())})
dropout.row(52, "UnscaledBackward", "backward does not scale", Dropout,
    {"backward": After(lambda self, dx, dy: dx * (1 - self.rate))})
dropout.row(52, "ScaledTwice", "backward divides by the rate of what is kept twice", Dropout,
    {"backward": After(lambda self, dx, dy: dx / (1 - self.rate))})
dropout.row(52, "InvertedMask", "backward lets through what was dropped", Dropout,
    {"backward": After(lambda self, dx, dy: dy / (1 - self.rate) - dx)})
dropout.row(52, "NothingDropped", "a rate of 0: x and dy are handed on", Dropout, {}, PASS, rate=0.0)
dropout.row(54, "ZerosAndDropout", "correct, with zeros in x", Dropout, {}, PASS, x=WITH_ZEROS)
# fmt: on
