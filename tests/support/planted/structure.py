"""Flatten, Reshape, Residual and Parallel: bugs in the order of entries and in the sum over branches."""

import numpy as np

from minidl import Dense, Flatten, Parallel, ReLU, Reshape, Residual, Sequential, Tanh
from planted.fault import FAIL_CONTRACT, FAIL_VALUE, PASS, X, family, plant, signed

IMAGES = signed(4, 3, 2, 2, seed=3)


structure = family("layer", lambda c, make=lambda c: c(), x=IMAGES: (make(c), x))


@structure(43, "dx is read in column order", FAIL_VALUE, tensor="x")
class ColumnOrderFlatten(Flatten):
    def backward(self, dy):
        return super().backward(dy).reshape(dy.shape).reshape(-1, 3, 2, 2, order="F").copy()


@structure(43, "entries come in the order of memory, whatever that is", FAIL_CONTRACT)
class MemoryOrderFlatten(Flatten):
    def forward(self, x, train=False):
        super().forward(x, train)
        return x.reshape(len(x), -1, order="A")


@structure(66, "y is a copy, but dx a view of dy", FAIL_CONTRACT)
class CopyingFlatten(Flatten):
    def forward(self, x, train=False):
        return super().forward(x, train).copy()


@structure(38, "dx keeps the shape of dy", FAIL_CONTRACT)
class FlatGradient(Flatten):
    def backward(self, dy):
        self.kept()
        return dy


@structure(18, "a batch of one loses its row", FAIL_CONTRACT)
class SqueezingFlatten(Flatten):
    def forward(self, x, train=False):
        return super().forward(x, train).squeeze()


@structure(
    39,
    "height and width are mixed up on the way back",
    FAIL_VALUE,
    tensor="x",
    x=signed(4, 12, seed=4),
    make=lambda c: c((3, 4)),
)
class TurnedReshape(Reshape):
    def backward(self, dy):
        return super().backward(np.ascontiguousarray(dy.swapaxes(1, 2)).reshape(dy.shape))


residual = family("layer", lambda c, body=lambda: Dense(4, 4, rng=0), shortcut=lambda: None: (c(body(), shortcut()), X))


@residual(60, "the way past the body gets no gradient", FAIL_VALUE, tensor="x")
class ForgetsPast(Residual):
    def backward(self, dy):
        self.kept()
        return self.body.backward(dy)


@residual(60, "the body's dx is overwritten", FAIL_VALUE, tensor="x")
class ForgetsBody(Residual):
    def backward(self, dy):
        super().backward(dy)
        return dy.copy()


@residual(
    60,
    "a shortcut's gradient goes on as if it were the identity",
    FAIL_VALUE,
    tensor="x",
    shortcut=lambda: Dense(4, 4, rng=1),
)
class PassesByShortcut(Residual):
    def backward(self, dy):
        self.kept()
        self.shortcut.backward(dy)
        return self.body.backward(dy) + dy


@residual(
    60,
    "the shortcut gets what comes out of the body's backward",
    FAIL_VALUE,
    tensor="shortcut.weight",
    shortcut=lambda: Dense(4, 4, rng=1),
)
class ShortcutInARow(Residual):
    def backward(self, dy):
        self.kept()
        dx = self.body.backward(dy)
        return dx + self.shortcut.backward(dx)


@residual(22, "x is added in place to a y that the body keeps", FAIL_VALUE, tensor="x", body=Tanh)
class AddsInPlace(Residual):
    def forward(self, x, train=False):
        if train:
            self.keep()
        y = self.body.forward(x, train)
        y += x
        return y


@residual(68, "`backward_parameters` leaves the shortcut out", FAIL_CONTRACT, shortcut=lambda: Dense(4, 4, rng=1))
class TrainsBodyAlone(Residual):
    def backward_parameters(self, dy):
        self.kept()
        self.body.backward_parameters(dy)


def three():
    return Dense(4, 3, rng=0), Tanh(), Dense(4, 1, rng=1)


parallel = family("layer", lambda c, branches=three: (c(*branches()), X))


@parallel(60, "the slices of dy are swapped", FAIL_VALUE, tensor="x", branches=lambda: (Dense(4, 4, rng=0), Tanh()))
class SwappedParts(Parallel):
    def _parts(self, dy):
        return super()._parts(dy)[::-1]


@parallel(60, "the last branch's dx overwrites the others", FAIL_VALUE, tensor="x")
class OverwrittenBranches(Parallel):
    def backward(self, dy):
        return [b.backward(part) for b, part in zip(self.branches, self._parts(dy), strict=True)][-1]


@parallel(60, "dx is the mean over the branches, not the sum", FAIL_VALUE, tensor="x")
class MeanOfBranches(Parallel):
    def backward(self, dy):
        return super().backward(dy) / len(self.branches)


@parallel(60, "the slices start one entry early", FAIL_VALUE, tensor="x", branches=lambda: (Tanh(), ReLU()))
class ShiftedParts(Parallel):
    def _parts(self, dy):
        return super()._parts(np.roll(dy, 1, axis=-1))


@parallel(
    66,
    "dx is added up in the first branch's dx, which is a view of dy",
    FAIL_CONTRACT,
    branches=lambda: (Flatten(), Tanh()),
)
class AddsIntoDy(Parallel):
    def backward(self, dy):
        first, *others = zip(self.branches, self._parts(dy), strict=True)
        dx = first[0].backward(first[1])
        for branch, part in others:
            dx += branch.backward(part)
        return dx


@parallel(66, "with one branch, dx is a view of dy although y is new", FAIL_CONTRACT, branches=lambda: (Flatten(),))
class HandsOnePartOn(Parallel):
    def backward(self, dy):
        (part,) = self._parts(dy)
        return self.branches[0].backward(part)


def right(number, name, what, make, x=X):
    plant(number, name, what, "layer", lambda: (make(), x), PASS)


right(66, "flatten", "y and dx are views of x and dy", Flatten, IMAGES)
right(39, "reshape", "a square is read in rows both ways", lambda: Reshape((3, -1)), signed(4, 9, seed=4))
right(60, "residual-of-a-view", "the body hands on x itself", lambda: Residual(Flatten()))
right(22, "residual-of-tanh", "the body keeps the y that is added to", lambda: Residual(Tanh()))
right(
    60,
    "residual-network",
    "two ways with layers",
    lambda: Residual(Sequential(Dense(4, 3, rng=0), Tanh()), Dense(4, 3, rng=1)),
)
right(60, "parallel-of-views", "every branch's dx is a view of dy", lambda: Parallel(Flatten(), Flatten()))
