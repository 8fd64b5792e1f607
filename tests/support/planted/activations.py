"""Activations and softmax: bugs in their derivatives, and numbers that overflow or vanish on the way."""

import numpy as np

from minidl import ELU, GELU, Activation, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from minidl.nn.arithmetic import sigmoid
from planted.fault import FAIL_CONTRACT, PASS, PASS_SUBGRADIENT, VACUOUS, After, Family, on_kept, plant
from planted.numbers import WITH_ZEROS, X

FAR = np.array([[-800.0, 800.0, -2.0], [1.0, -1000.0, 1000.0]])
LOGITS = np.array([[1000.0, 1001.0, 999.0], [-1000.0, -1001.5, 5.0]])


class Spoiled(Activation):
    """A right function with another derivative, a formula in x."""

    def __init__(self, right, derivative):
        self.right, self.wrong = right, derivative

    def function(self, x):
        return self.right.forward(x)

    def derivative(self, x):
        return self.wrong(x).astype(x.dtype)


def spoiled(number, name, what, right, derivative, *verdicts, x=X):
    plant(number, name, what, "layer", lambda: (Spoiled(right, derivative), x), *verdicts, tensor="x")


def right(number, name, what, make, x=X, verdict=PASS):
    plant(number, name, what, "layer", lambda: (make(), x), verdict)


def density(x):
    return np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


# fmt: off
spoiled(21, "relu-mask-of-y", "the mask is y >= 0, true everywhere", ReLU(), lambda x: np.maximum(x, 0) >= 0)
spoiled(21, "relu-2-at-0", "the slope at an exact 0 is 2", ReLU(), lambda x: 2.0 * (x == 0) + (x > 0), x=WITH_ZEROS)
spoiled(21, "relu-minus-1-at-0", "the slope at an exact 0 is -1", ReLU(), lambda x: (x > 0) - 1.0 * (x == 0),
        x=WITH_ZEROS)
spoiled(21, "relu-no-mask", "no mask at all", ReLU(), np.ones_like)
spoiled(21, "relu-mask-not-applied-to-last", "the mask misses the last row", ReLU(),
        lambda x: (x > 0) | (np.arange(len(x)) == len(x) - 1)[:, None])
spoiled(23, "relu-leaks", "a slope of 0.01 for x < 0, in backward alone", ReLU(), lambda x: np.where(x > 0, 1, 0.01))
spoiled(23, "relu-inverted", "the mask is on the wrong side", ReLU(), lambda x: x < 0)
spoiled(27, "relu-times-x", "x instead of the slope", ReLU(), lambda x: np.maximum(x, 0))
spoiled(31, "relu-nan-at-0", "max(x, 0) / x as the slope: NaN at an exact 0", ReLU(),
        lambda x: np.divide(np.maximum(x, 0), x, out=np.full_like(x, np.nan), where=x != 0), FAIL_CONTRACT,
        x=WITH_ZEROS)
spoiled(76, "relu-dead", "every x is negative: nothing can be compared", ReLU(), lambda x: x > 0, VACUOUS, x=-np.abs(X))
spoiled(23, "leaky-wrong-side", "the slope is that of the other side", LeakyReLU(0.25),
        lambda x: np.where(x > 0, 0.25, 1.0))
spoiled(23, "leaky-without-leak", "nothing leaks in backward", LeakyReLU(0.01), lambda x: 1.0 * (x > 0))
spoiled(21, "leaky-2-at-0", "the slope at an exact 0 is 2", LeakyReLU(0.25),
        lambda x: np.where(x > 0, 1.0, 0.25) + 1.75 * (x == 0), x=WITH_ZEROS)
spoiled(23, "elu-without-alpha", "alpha is missing in backward", ELU(0.5), lambda x: np.exp(np.minimum(x, 0)))
spoiled(23, "elu-of-y-plus-1", "y + 1 in place of y + alpha", ELU(0.5),
        lambda x: np.where(x > 0, 1.0, 0.5 * np.exp(np.minimum(x, 0)) + 0.5))
spoiled(23, "elu-on-both-sides", "exp(x) for positive x too", ELU(), np.exp)
spoiled(25, "gelu-tanh-backward", "the derivative of the tanh form for the exact one", GELU(), GELU("tanh").derivative)
spoiled(25, "gelu-exact-backward", "the derivative of the exact form for the tanh one", GELU("tanh"), GELU().derivative)
spoiled(25, "gelu-without-density", "P(x) alone, without x * P'(x)", GELU(),
        lambda x: GELU().derivative(x) - x * density(x))
spoiled(26, "sigmoid-overflows", "exp(-x) / (1 + exp(-x))**2 is inf / inf for very negative x", Sigmoid(),
        lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2, FAIL_CONTRACT, x=FAR)
spoiled(27, "sigmoid-of-x", "x * (1 - x) in place of y * (1 - y)", Sigmoid(), lambda x: x * (1 - x))
spoiled(27, "tanh-of-x", "1 - x**2 in place of 1 - y**2", Tanh(), lambda x: 1 - x * x)
spoiled(27, "tanh-near-0", "1 - x**2, which is nearly correct near 0", Tanh(), lambda x: 1 - x * x, x=0.1 * X)
spoiled(28, "softplus-overflows", "exp(x) / (1 + exp(x)) is inf / inf for large x", Softplus(),
        lambda x: np.exp(x) / (1 + np.exp(x)), FAIL_CONTRACT, x=FAR)
spoiled(28, "softplus-mirrored", "sigmoid(-x)", Softplus(), lambda x: sigmoid(-x))
spoiled(27, "silu-without-x", "the sigmoid's part of the product rule is missing", SiLU(), sigmoid)
spoiled(27, "silu-without-1", "s * x * (1 - s), without the 1 +", SiLU(), lambda x: sigmoid(x) * x * sigmoid(-x))

spoiled(21, "relu-1-at-0", "the mask is x >= 0", ReLU(), lambda x: x >= 0, PASS_SUBGRADIENT, x=WITH_ZEROS)
spoiled(21, "relu-half-at-0", "the slope at an exact 0 is 1/2", ReLU(), lambda x: 0.5 * (x >= 0) + 0.5 * (x > 0),
        PASS_SUBGRADIENT, x=WITH_ZEROS)
spoiled(21, "relu-0-at-0", "the mask is x > 0", ReLU(), lambda x: x > 0, PASS_SUBGRADIENT, x=WITH_ZEROS)
spoiled(21, "relu-near-0", "correct, with x as near to the kink as 1e-4", ReLU(), lambda x: x > 0, PASS,
        x=WITH_ZEROS + 1e-4)
spoiled(21, "leaky-1-at-0", "the slope at an exact 0 is that of the right side", LeakyReLU(0.25),
        lambda x: np.where(x >= 0, 1.0, 0.25), PASS_SUBGRADIENT, x=WITH_ZEROS)
spoiled(27, "sigmoid-by-x", "the derivative as a formula in x", Sigmoid(), lambda x: sigmoid(x) * sigmoid(-x), PASS)
right(21, "leaky-at-0", "LeakyReLU at an exact 0", lambda: LeakyReLU(0.25), WITH_ZEROS, PASS_SUBGRADIENT)
right(23, "elu-at-0", "ELU(0.5), which has a kink, at an exact 0", lambda: ELU(0.5), WITH_ZEROS, PASS_SUBGRADIENT)
right(23, "elu-smooth-at-0", "ELU(1), which has none, at an exact 0", ELU, WITH_ZEROS)
right(25, "gelu-tanh", "the tanh form with its own derivative", lambda: GELU("tanh"), X)
right(26, "sigmoid-far", "saturated on both sides", Sigmoid, FAR)
right(7, "log-softmax-far", "logits of 1000", LogSoftmax, LOGITS)
right(3, "softmax-far", "logits of 1000", Softmax, LOGITS)
right(4, "softmax-square", "as many classes as rows", Softmax, X[:4])
# fmt: on


activation = Family("layer", lambda c, x=X: (c(), x))


@activation(67, "a NumPy scalar makes y float64 for a float32 x", FAIL_CONTRACT)
class WideGELU(GELU):
    def function(self, x):
        return np.float64(0.5) * super().function(2 * x)

    def derivative(self, x):
        return super().derivative(2 * x)


@activation(4, "both passes sum over the rows: consistent, but rows mix", FAIL_CONTRACT)
class ColumnSoftmax(Softmax):
    def forward(self, x, train=False):
        return super().forward(x.T, train).T.copy()

    def backward(self, dy):
        return super().backward(dy.T).T.copy()


@activation(7, "exp without subtracting the maximum: inf / inf", FAIL_CONTRACT, x=FAR)
class UnshiftedSoftmax(Softmax):
    def forward(self, x, train=False):
        y = np.exp(x)
        y /= y.sum(axis=-1, keepdims=True)
        if train:
            self.keep(y)
        return y


@activation(7, "the logarithm of a softmax that is 0", FAIL_CONTRACT, x=FAR)
class LogOfSoftmax(LogSoftmax):
    def forward(self, x, train=False):
        y = np.log(Softmax().forward(x))
        if train:
            self.keep(y)
        return y


def jacobian(dy, p):
    return p * (dy - (dy * p).sum(axis=-1, keepdims=True))


# fmt: off
activation.row(21, "relu-mask-of-dy", "the mask is dy > 0", ReLU, {"backward": on_kept(lambda dy, _: dy * (dy > 0))})
activation.row(22, "InPlaceReLU", "forward works in place on x", ReLU,
    {"forward": After(lambda self, y, x, *_: np.maximum(x, 0, out=x))}, FAIL_CONTRACT)
activation.row(22, "InPlaceBackward", "backward works in place on dy", ReLU,
    {"backward": on_kept(lambda dy, y: np.multiply(dy, y > 0, out=dy))}, FAIL_CONTRACT)
activation.row(3, "DiagonalSoftmax", "the diagonal of the Jacobian alone", Softmax,
    {"backward": on_kept(lambda dy, y: dy * y * (1 - y))})
activation.row(3, "UnweightedSoftmax", "the sum of dy, not weighted with y", Softmax,
    {"backward": on_kept(lambda dy, y: y * (dy - dy.sum(axis=-1, keepdims=True)))})
activation.row(4, "WrongAxisSoftmax", "the sum in backward runs over the rows", Softmax,
    {"backward": on_kept(lambda dy, y: jacobian(dy.T, y.T).T)})
activation.row(8, "UnsummedLogSoftmax", "dy - p * dy in place of dy - p * sum(dy)", LogSoftmax,
    {"backward": on_kept(lambda dy, y: dy - np.exp(y) * dy)})
activation.row(8, "SoftmaxBackward", "the softmax's backward after the logarithm's forward", LogSoftmax,
    {"backward": on_kept(lambda dy, y: jacobian(dy, np.exp(y)))})
# fmt: on
