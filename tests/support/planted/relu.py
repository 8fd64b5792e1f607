"""ReLU: bugs in what its backward makes of x and dy, and writing in place."""

import numpy as np

from minidl import ReLU
from planted.fault import FAIL_CONTRACT, FAIL_VALUE, PASS, PASS_SUBGRADIENT, VACUOUS, WITH_ZEROS, Family, X, plant


class SpoiledReLU(ReLU):
    def __init__(self, spoil):
        self.spoil = spoil

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            self.keep(x)
        return y

    def backward(self, dy):
        (x,) = self.kept()
        return self.spoil(x, dy).astype(dy.dtype, copy=False)


def relu_mutant(number, name, what, spoil, *verdicts, x=X):
    plant(number, name, what, "layer", lambda: (SpoiledReLU(spoil), x), *verdicts, tensor="x")


# fmt: off
relu_mutant(21, "relu-mask-of-y", "the mask is y >= 0, true everywhere", lambda x, dy: dy * (np.maximum(x, 0) >= 0))
relu_mutant(21, "relu-2-at-0", "the slope at an exact 0 is 2", lambda x, dy: dy * (2.0 * (x == 0) + (x > 0)),
            x=WITH_ZEROS)
relu_mutant(21, "relu-minus-1-at-0", "the slope at an exact 0 is -1", lambda x, dy: dy * ((x > 0) - 1.0 * (x == 0)),
            x=WITH_ZEROS)
relu_mutant(21, "relu-no-mask", "no mask at all", lambda x, dy: dy.copy())
relu_mutant(21, "relu-mask-of-dy", "the mask is dy > 0", lambda x, dy: dy * (dy > 0), FAIL_VALUE)
relu_mutant(21, "relu-mask-not-applied-to-last", "the mask misses the last row",
            lambda x, dy: dy * ((x > 0) | (np.arange(len(x)) == len(x) - 1)[:, None]))
relu_mutant(23, "relu-leaks", "a slope of 0.01 for x < 0, in backward alone",
            lambda x, dy: np.where(x > 0, dy, 0.01 * dy))
relu_mutant(23, "relu-inverted", "the mask is on the wrong side", lambda x, dy: dy * (x < 0))
relu_mutant(27, "relu-times-x", "x instead of the slope", lambda x, dy: dy * np.maximum(x, 0))
relu_mutant(31, "relu-nan-at-0", "max(x, 0) / x as the slope: NaN at an exact 0",
            lambda x, dy: dy * np.divide(np.maximum(x, 0), x, out=np.full_like(x, np.nan), where=x != 0),
            FAIL_CONTRACT, x=WITH_ZEROS)
relu_mutant(76, "relu-dead", "every x is negative: nothing can be compared", lambda x, dy: dy * (x > 0), VACUOUS,
            x=-np.abs(X))
relu_mutant(21, "relu-1-at-0", "the mask is x >= 0", lambda x, dy: dy * (x >= 0), PASS_SUBGRADIENT, x=WITH_ZEROS)
relu_mutant(21, "relu-half-at-0", "the slope at an exact 0 is 1/2", lambda x, dy: dy * (0.5 * (x >= 0) + 0.5 * (x > 0)),
            PASS_SUBGRADIENT, x=WITH_ZEROS)
relu_mutant(21, "relu-0-at-0", "the mask is x > 0", lambda x, dy: dy * (x > 0), PASS_SUBGRADIENT, x=WITH_ZEROS)
relu_mutant(21, "relu-near-0", "right, with x as near to the kink as 1e-4", lambda x, dy: dy * (x > 0), PASS,
            x=WITH_ZEROS + 1e-4)
# fmt: on
relu = Family("layer", lambda c: (c(), X))


@relu(22, "forward works in place on x", FAIL_CONTRACT)
class InPlaceReLU(ReLU):
    def forward(self, x, train=False):
        if train:
            self.keep(x > 0)
        return np.maximum(x, 0, out=x)


@relu(22, "backward works in place on dy", FAIL_CONTRACT)
class InPlaceBackward(ReLU):
    def backward(self, dy):
        (y,) = self.kept()
        dy *= y > 0
        return dy
