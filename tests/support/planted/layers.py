"""Small layers of a user's own."""

import numpy as np
import small_parts

from minidl import Dense, Layer, Sequential
from planted.fault import FAIL_CONTRACT, NONDETERMINISTIC, PASS, After, Family
from planted.numbers import X, signed

own_layer = Family("layer", lambda c: (c(), X))


@own_layer(66, "x and dy are handed on as they are", PASS)
class Identity(Layer):
    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x

    def backward(self, dy):
        self.kept()
        return dy


class Scale(small_parts.Scale):
    """Right, with a gain of its own for each feature."""

    def __init__(self, features=4):
        super().__init__(features)
        self.gain.value += np.arange(features) / 4


@own_layer(20, "the sum over the rows is missing: backward raises", FAIL_CONTRACT, says="^backward raised ShapeError: ")
class UnsummedGain(Scale):
    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad(dy * x)
        return dy * self.gain.value


@own_layer(20, "an offset of one number gets the first column's gradient", tensor="offset")
class OneOffset(Layer):
    def __init__(self):
        self.offset = self.add_parameter("offset", [0.5])

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x + self.offset.value.astype(x.dtype)

    def backward(self, dy):
        self.kept()
        self.offset.add_grad(dy.sum(axis=0)[:1])
        return dy.copy()


@own_layer(61, "a parameter that is used twice gets the gradient of one use", tensor="gain")
class UsedTwice(Scale):
    def forward(self, x, train=False):
        return super().forward(super().forward(x, train), train)

    def backward(self, dy):
        return super().backward(dy) * self.gain.value


@own_layer(61, "used twice, the second use overwrites the first", tensor="gain")
class UsedTwiceOverwritten(Scale):
    def forward(self, x, train=False):
        y = super().forward(x)
        if train:
            self.keep(x, y)
        return super().forward(y)

    def backward(self, dy):
        x, y = self.kept()
        for value in (y, x):
            self.gain.zero_grad()
            self.gain.add_grad((dy * value).sum(axis=0))
            dy = dy * self.gain.value
        return dy


class Positions(Layer):
    """Right: adds the n-th row of a table to the n-th row of x."""

    batch_independent = False

    def __init__(self):
        self.table = self.add_parameter("table", signed(8, 4, seed=2))

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x + self.table.value[: len(x)].astype(x.dtype)

    def backward(self, dy):
        self.kept()
        gradient = np.zeros_like(self.table.value)
        gradient[: len(dy)] = dy
        self.table.add_grad(gradient)
        return dy.copy()


@own_layer(66, "y is a view of the parameter", FAIL_CONTRACT, says="view of table, which")
class ReturnsParameter(Positions):
    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return self.table.value[: len(x)]

    def backward(self, dy):
        return 0 * super().backward(dy)


class Dropout(Layer):
    """Right: with a generator of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(7)

    def mask(self, x):
        return 2 * (self.rng.random(x.shape) < 0.5).astype(x.dtype)

    def forward(self, x, train=False):
        if not train:
            return x.copy()
        mask = self.mask(x)
        self.keep(mask)
        return x * mask

    def backward(self, dy):
        (mask,) = self.kept()
        return dy * mask


# fmt: off
own_layer.row(29, "Scale", "a layer as in the README", Scale, {}, PASS)
own_layer.row(66, "HandsDyOn", "y is a new array, but dx is dy itself", Identity,
    {"forward": After(lambda self, y, *_: y.copy())}, FAIL_CONTRACT, says="returned dy itself or a view of it")
own_layer.row(60, "SwappedSlices", "two columns of dx are swapped", Scale,
    {"backward": After(lambda self, dx, dy: dx[:, [1, 0, 2, 3]])})
own_layer.row(60, "Residual", "the branch past the layers gets no gradient", Sequential,
    {"__init__": lambda self: Sequential.__init__(self, Dense(4, 4, rng=0)),
     "forward": After(lambda self, y, x, *_: x + y)})
own_layer.row(66, "Positions", "a table of one row for each row of x", Positions, {}, PASS)
own_layer.row(66, "ReturnsGradient", "dx is a view of the parameter's gradient", Positions,
    {"backward": After(lambda self, dx, dy: self.table.grad[: len(dy)])}, FAIL_CONTRACT, says="view of table.grad")
own_layer.row(53, "RedrawnMask", "dropout draws another mask in backward", Dropout,
    {"backward": After(lambda self, dx, dy: dy * self.mask(dy))}, NONDETERMINISTIC,
    says="^dx.*calls of backward .*forward drew")
own_layer.row(53, "Dropout", "dropout with its own generator is correct", Dropout, {}, PASS)
# fmt: on
