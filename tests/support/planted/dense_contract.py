"""Dense: what it may not do, whatever the values."""

import numpy as np

from minidl import Dense
from planted.fault import FAIL_CONTRACT, FAIL_VALUE, NONDETERMINISTIC, PASS, After, Family
from planted.numbers import NOISE, X

dense = Family("layer", lambda c, x=X: (c(4, 3, rng=0), x))


@dense(16, "backward takes a step of its own", FAIL_CONTRACT, says="backward changed weight")
class StepInBackward(Dense):
    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        self.weight.value -= 0.1 * self.weight.grad


@dense(16, "forward normalises the weight in place", FAIL_CONTRACT, says=r"forward\(train=False\) changed weight")
class NormalisesWeight(Dense):
    def forward(self, x, train=False):
        self.weight.value /= np.linalg.norm(self.weight.value)
        return super().forward(x, train)


@dense(16, "dx uses the weight as it was at the start", FAIL_VALUE, FAIL_CONTRACT)
class WeightAtStart(Dense):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.transposed = self.weight.value.T.copy()

    def backward(self, dy):
        self.backward_parameters(dy)
        return np.matmul(dy, self.transposed, dtype=dy.dtype)


@dense(22, "backward negates the x that was handed in", FAIL_CONTRACT, says="^x.*backward changed x")
class BackwardSpoilsX(Dense):
    def backward(self, dy):
        (x,) = self._kept
        dx = super().backward(dy)
        np.negative(x, out=x)
        return dx


@dense(22, "backward halves dy in place", FAIL_CONTRACT, says="^dy.*backward changed dy")
class HalvesDy(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        dy *= 0.5
        return dx


@dense(22, "backward doubles dy in place and halves it again", FAIL_CONTRACT, says="dy read-only, backward raised")
class BorrowsDy(Dense):
    def backward(self, dy):
        self.backward_parameters(dy)
        dy *= 2
        dx = np.matmul(dy, self.weight.value.T, dtype=dy.dtype) / 2
        dy /= 2
        return dx


@dense(
    62, "backward overwrites the gradient instead of adding to it", FAIL_CONTRACT, says="added to an earlier gradient"
)
class Overwrites(Dense):
    def backward_parameters(self, dy):
        self.weight.zero_grad()
        self.bias.zero_grad()
        super().backward_parameters(dy)


@dense(62, "a forward forgets the gradient gathered so far", FAIL_CONTRACT, says="added to an earlier gradient")
class ForgetsInForward(Dense):
    def forward(self, x, train=False):
        if train:
            self.weight.zero_grad()
        return super().forward(x, train)


@dense(62, "backward adds its own running total", NONDETERMINISTIC, tensor="bias", says="calls of backward .*in bias")
class RunningTotal(Dense):
    total = 0.0

    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        self.bias.add_grad(self.total + 0 * self.bias.value)
        self.total = self.total + dy.sum(axis=0)


@dense(63, "the gradient is written past `add_grad`, which loses it after `zero_grad`", tensor="weight")
class PastAddGrad(Dense):
    def backward_parameters(self, dy):
        (x,) = self.kept()
        self.weight._grad += x.T @ dy
        self.bias._grad += dy.sum(axis=0)


@dense(63, "adding in place to `grad` is correct", PASS)
class IntoGrad(Dense):
    def backward_parameters(self, dy):
        (x,) = self.kept()
        for p, gradient in ((self.weight, x.T @ dy), (self.bias, dy.sum(axis=0))):
            np.add(p.grad, gradient, out=p.grad, casting="same_kind")


@dense(64, "backward uses the first x of each batch size for ever", FAIL_CONTRACT, says="the rows in reverse order")
class FirstForward(Dense):
    def keep(self, x, **shape):
        self.first = getattr(self, "first", {})
        super().keep(self.first.setdefault(len(x), x.copy()), **shape)


@dense(64, "a second forward does not take the place of the first", FAIL_CONTRACT, says="after two forwards")
class FirstOfTwo(Dense):
    def keep(self, x, **shape):
        if self._kept is None or self._kept[0].shape != x.shape:
            super().keep(x, **shape)


@dense(
    66,
    "predictions live in memory of the next one",
    FAIL_CONTRACT,
    says=r"changed an array that .*\(train=False\) returned",
)
class Workspace(Dense):
    always = True
    work = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if not train and not self.always:
            return y
        if self.work is None or self.work.shape != y.shape or self.work.dtype != y.dtype:
            self.work = np.empty_like(y)
        self.work[...] = y
        return self.work


@dense(66, "what a training forward returns may live there", PASS)
class TrainingWorkspace(Workspace):
    always = False


@dense(68, "`backward_parameters` forgets the bias", FAIL_CONTRACT)
class ForgetsBias(Dense):
    def backward(self, dy):
        self.bias.add_grad(dy.sum(axis=0))
        return super().backward(dy)

    def backward_parameters(self, dy):
        (x,) = self.kept()
        self.weight.add_grad(x.T @ dy)


@dense(68, "`backward_parameters` does nothing", FAIL_CONTRACT, says="got 0 .*by backward_parameters")
class NoParameters(Dense):
    def backward(self, dy):
        Dense.backward_parameters(self, dy)
        return dy @ self.weight.value.T

    def backward_parameters(self, dy):
        pass


@dense(
    49, "rows affect each other, in a layer that says batch_independent", FAIL_CONTRACT, says="^y.*with a batch of 1"
)
class MixesRows(Dense):
    def forward(self, x, train=False):
        return super().forward(x - x.sum(axis=0) / max(len(x), 1), train)

    def backward(self, dy):
        dx = super().backward(dy)
        return dx - dx.sum(axis=0) / max(len(dx), 1)


# fmt: off
dense.row(22, "CentresInPlace", "forward centres x in place", Dense,
    {"forward": lambda self, x, train=False: Dense.forward(self, np.subtract(x, x.mean(), out=x), train)},
    FAIL_CONTRACT, says=r"^x.*forward\(train=False\) changed x")
dense.row(67, "UpcastsY", "y is float64 for a float32 x: np.sqrt is no float", Dense,
    {"forward": After(lambda self, y, *_: y * np.sqrt(0.5)),
     "backward": lambda self, dy: Dense.backward(self, dy * float(np.sqrt(0.5)))}, FAIL_CONTRACT,
    x=X.astype(np.float32), says="float64")
dense.row(65, "BackwardTwice", "a second backward is not refused", Dense, {"kept": lambda self, *dy: self._kept},
    FAIL_CONTRACT, says="a second backward after one forward must")
dense.row(70, "StacksRows", "an empty batch is refused, if only by NumPy: nothing goes wrong in silence", Dense,
    {"forward": After(lambda self, y, *_: np.stack(list(y)))}, PASS)
dense.row(70, "ListOfRows", "an empty batch gives y of shape (0,)", Dense,
    {"forward": After(lambda self, y, *_: np.array(list(y), dtype=y.dtype))}, FAIL_CONTRACT,
    says="with an empty batch, the layer must")
dense.row(53, "NoisyWeightGradient", "the weight's gradient is noisy", Dense,
    {"backward_parameters": lambda self, dy: Dense.backward_parameters(self, dy * (1 + 1e-8 * NOISE.normal()))},
    NONDETERMINISTIC)
dense.row(64, "KeepsInEval", "a forward for prediction, between the two, takes the place of the kept x", Dense,
    {"forward": lambda self, x, train=False: Dense.forward(self, x, train=True)}, FAIL_CONTRACT,
    says=r"a backward after only forward\(train=False\) must")
dense.row(69, "MemoryOrder", "x is read in memory order: wrong unless C-contiguous", Dense,
    {"forward": lambda self, x, train=False: Dense.forward(self, x.ravel(order="K").reshape(x.shape), train)},
    FAIL_CONTRACT, says="^y.*with x and dy in column order")
dense.row(49, "MixesRowsOpenly", "the same is correct with batch_independent = False", MixesRows,
    {"batch_independent": False}, PASS)
dense.row(53, "NoisyForward", "forward is noisy", Dense,
    {"forward": After(lambda self, y, *_: y + 1e-6 * NOISE.normal())}, NONDETERMINISTIC,
    says="in y.*; a prediction must not draw random numbers")
dense.row(53, "NoisyBackward", "backward is noisy", Dense,
    {"backward": After(lambda self, dx, dy: dx * (1 + 1e-8 * NOISE.normal()))}, NONDETERMINISTIC)
# fmt: on
