"""Small layers of a user's own."""

import numpy as np

from minidl import Dense, Layer, Sequential
from planted.fault import FAIL_CONTRACT, NONDETERMINISTIC, PASS, Family, X, signed

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


class Scale(Layer):
    """Right: each feature times its gain."""

    def __init__(self, features=4):
        self.gain = self.add_parameter("gain", 1.0 + np.arange(features) / 4)

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x * self.gain.value.astype(x.dtype)

    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad((dy * x).sum(axis=0))
        return dy * self.gain.value.astype(dy.dtype)


own_layer(29, "a layer as in the README", PASS)(Scale)


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


@own_layer(60, "the branch past the layers gets no gradient")
class Residual(Sequential):
    def __init__(self):
        super().__init__(Dense(4, 4, rng=0))

    def forward(self, x, train=False):
        return x + super().forward(x, train)


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


own_layer(66, "a table of one row for each row of x", PASS)(Positions)


@own_layer(66, "y is a view of the parameter", FAIL_CONTRACT, says="view of table, which")
class ReturnsParameter(Positions):
    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return self.table.value[: len(x)]

    def backward(self, dy):
        return 0 * super().backward(dy)


@own_layer(66, "dx is a view of the parameter's gradient", FAIL_CONTRACT, says="view of table.grad")
class ReturnsGradient(Positions):
    def backward(self, dy):
        super().backward(dy)
        return self.table.grad[: len(dy)]


@own_layer(53, "dropout draws another mask in backward", NONDETERMINISTIC, says="^dx.*calls of backward .*forward drew")
class RedrawnMask(Layer):
    def __init__(self):
        self.rng = np.random.default_rng(7)

    def mask(self, shape):
        return 2.0 * (self.rng.random(shape) < 0.5)

    def forward(self, x, train=False):
        if not train:
            return x.copy()
        mask = self.mask(x.shape).astype(x.dtype)
        self.keep(mask)
        return x * mask

    def backward(self, dy):
        self.kept()
        return dy * self.mask(dy.shape).astype(dy.dtype)


@own_layer(53, "dropout with its own generator is right", PASS)
class Dropout(RedrawnMask):
    def backward(self, dy):
        (mask,) = self.kept()
        return dy * mask


# fmt: off
own_layer.row(66, "HandsDyOn", "y is a new array, but dx is dy itself", Identity,
    {"forward": lambda self, x, train=False: Identity.forward(self, x, train).copy()}, FAIL_CONTRACT,
    says="returned dy itself or a view of it")
own_layer.row(60, "SwappedSlices", "two columns of dx are swapped", Scale,
    {"backward": lambda self, dy: Scale.backward(self, dy)[:, [1, 0, 2, 3]]})
# fmt: on
