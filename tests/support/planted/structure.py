"""Flatten, Reshape, Residual and Parallel: bugs in the order of entries and in the sum over branches."""

import numpy as np

from minidl import Dense, Flatten, Parallel, ReLU, Reshape, Residual, Sequential, Tanh
from planted.activations import right
from planted.fault import FAIL_CONTRACT, After, Family
from planted.numbers import X, signed

IMAGES = signed(4, 3, 2, 2, seed=3)


structure = Family("layer", lambda c, make=lambda c: c(), x=IMAGES: (make(c), x))


ANOTHER = {"shortcut": lambda: Dense(4, 4, rng=1)}
residual = Family("layer", lambda c, body=lambda: Dense(4, 4, rng=0), shortcut=lambda: None: (c(body(), shortcut()), X))


@residual(60, "the shortcut gets what comes out of the body's backward", tensor="shortcut.weight", **ANOTHER)
class ShortcutInARow(Residual):
    def backward(self, dy):
        self.kept()
        dx = self.body.backward(dy)
        return dx + self.shortcut.backward(dx)


@residual(22, "x is added in place to a y that the body keeps", body=Tanh)
class AddsInPlace(Residual):
    def forward(self, x, train=False):
        if train:
            self.keep()
        y = self.body.forward(x, train)
        y += x
        return y


@residual(68, "`backward_parameters` leaves the shortcut out", FAIL_CONTRACT, **ANOTHER)
class TrainsBodyAlone(Residual):
    def backward_parameters(self, dy):
        self.kept()
        self.body.backward_parameters(dy)


def three():
    return Dense(4, 3, rng=0), Tanh(), Dense(4, 1, rng=1)


parallel = Family("layer", lambda c, branches=three: (c(*branches()), X))


@parallel(66, "dx is added up in the first one's dx, a view of dy", FAIL_CONTRACT, branches=lambda: (Flatten(), Tanh()))
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


right(66, "flatten", "y and dx are views of x and dy", Flatten, IMAGES)
right(39, "reshape", "a square is read in rows both ways", lambda: Reshape((3, -1)), signed(4, 9, seed=4))
right(60, "residual-of-a-view", "the body hands on x itself", lambda: Residual(Flatten()))
right(22, "residual-of-tanh", "the body keeps the y that is added to", lambda: Residual(Tanh()))
right(60, "residual-network", "two ways with layers", lambda: Residual(Sequential(*three()[:2]), Dense(4, 3, rng=1)))
right(60, "parallel-of-views", "every branch's dx is a view of dy", lambda: Parallel(Flatten(), Flatten()))


# fmt: off
structure.row(43, "MemoryOrderFlatten", "entries come in the order of memory, whatever that is", Flatten,
    {"forward": After(lambda self, y, x, *_: x.reshape(len(x), -1, order="A"))}, FAIL_CONTRACT)
structure.row(38, "FlatGradient", "dx keeps the shape of dy", Flatten, {"backward": After(lambda self, dx, dy: dy)},
    FAIL_CONTRACT)
structure.row(43, "ColumnOrderFlatten", "dx is read in column order", Flatten,
    {"backward": After(lambda self, dx, dy: dy.reshape(-1, 3, 2, 2, order="F").copy())})
structure.row(66, "CopyingFlatten", "y is a copy, but dx a view of dy", Flatten,
    {"forward": After(lambda self, y, *_: y.copy())}, FAIL_CONTRACT)
structure.row(18, "SqueezingFlatten", "a batch of one loses its row", Flatten,
    {"forward": After(lambda self, y, *_: y.squeeze())}, FAIL_CONTRACT)
structure.row(39, "TurnedReshape", "height and width are mixed up on the way back", Reshape,
    {"backward": lambda self, dy: Reshape.backward(self, np.ascontiguousarray(dy.swapaxes(1, 2)).reshape(dy.shape))},
    x=signed(4, 12, seed=4), make=lambda c: c((3, 4)))
residual.row(60, "ForgetsPast", "the way past the body gets no gradient", Residual,
    {"backward": After(lambda self, dx, dy: dx - dy)})
residual.row(60, "ForgetsBody", "the body's dx is overwritten", Residual,
    {"backward": After(lambda self, dx, dy: dy.copy())})
residual.row(60, "PassesByShortcut", "a shortcut's gradient goes on as if it were the identity", Residual,
    {"backward": After(lambda self, dx, dy: dx - dy @ self.shortcut.weight.value.T + dy)}, **ANOTHER)
parallel.row(60, "SwappedParts", "the slices of dy are swapped", Parallel,
    {"_parts": After(lambda self, parts, dy: parts[::-1])}, branches=lambda: (Dense(4, 4, rng=0), Tanh()))
parallel.row(60, "OverwrittenBranches", "the last branch's dx overwrites the others", Parallel,
    {"backward": lambda self, dy:
     [b.backward(part) for b, part in zip(self.branches, self._parts(dy), strict=True)][-1]})
parallel.row(60, "MeanOfBranches", "dx is the mean over the branches, not the sum", Parallel,
    {"backward": After(lambda self, dx, dy: dx / len(self.branches))})
parallel.row(60, "ShiftedParts", "the slices start one entry early", Parallel,
    {"_parts": lambda self, dy: Parallel._parts(self, np.roll(dy, 1, axis=-1))}, branches=lambda: (Tanh(), ReLU()))
# fmt: on
