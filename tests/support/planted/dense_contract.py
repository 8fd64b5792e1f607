"""Dense: what it may not do, whatever the values."""

import numpy as np

from minidl import Dense
from planted.fault import FAIL_CONTRACT, FAIL_VALUE, NOISE, NONDETERMINISTIC, PASS, STATE_CHANGED, X, family

dense_class = family("layer", lambda c, x=X: (c(4, 3, rng=0), x))


@dense_class(16, "backward takes a step of its own", FAIL_CONTRACT)
class StepInBackward(Dense):
    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        self.weight.value -= 0.1 * self.weight.grad


@dense_class(16, "forward normalises the weight in place", FAIL_CONTRACT)
class NormalisesWeight(Dense):
    def forward(self, x, train=False):
        self.weight.value /= np.linalg.norm(self.weight.value)
        return super().forward(x, train)


@dense_class(16, "dx uses the weight as it was at the start", FAIL_VALUE, FAIL_CONTRACT, tensor="x")
class WeightAtStart(Dense):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.transposed = self.weight.value.T.copy()

    def backward(self, dy):
        self.backward_parameters(dy)
        return np.matmul(dy, self.transposed, dtype=dy.dtype)


@dense_class(22, "forward centres x in place", FAIL_CONTRACT)
class CentresInPlace(Dense):
    def forward(self, x, train=False):
        x -= x.mean()
        return super().forward(x, train)


@dense_class(22, "backward negates the x that was handed in", FAIL_CONTRACT)
class BackwardSpoilsX(Dense):
    def backward(self, dy):
        (x,) = self._kept
        dx = super().backward(dy)
        np.negative(x, out=x)
        return dx


@dense_class(22, "backward halves dy in place", FAIL_CONTRACT)
class HalvesDy(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        dy *= 0.5
        return dx


@dense_class(22, "backward doubles dy in place and halves it again: fails for a read-only one", FAIL_CONTRACT)
class BorrowsDy(Dense):
    def backward(self, dy):
        self.backward_parameters(dy)
        dy *= 2
        dx = np.matmul(dy, self.weight.value.T, dtype=dy.dtype) / 2
        dy /= 2
        return dx


@dense_class(47, "a forward for prediction moves a running mean", STATE_CHANGED)
class RunningMeanInEval(Dense):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.mean = self.add_buffer("running_mean", np.zeros(self.in_features))

    def forward(self, x, train=False):
        if len(x):
            self.mean += (0.1 * (x.mean(axis=0) - self.mean)).astype(self.mean.dtype)
        return super().forward(x, train)


@dense_class(47, "backward moves a running mean", STATE_CHANGED)
class RunningMeanInBackward(RunningMeanInEval):
    def forward(self, x, train=False):
        return Dense.forward(self, x, train)

    def backward_parameters(self, dy):
        self.mean *= 0.9
        self.mean += 0.1
        super().backward_parameters(dy)


@dense_class(47, "a running mean that moves in training alone is right", PASS)
class RunningMeanInTraining(RunningMeanInEval):
    def forward(self, x, train=False):
        return RunningMeanInEval.forward(self, x, train) if train else Dense.forward(self, x, train)


@dense_class(62, "backward overwrites the gradient instead of adding to it", FAIL_CONTRACT)
class Overwrites(Dense):
    def backward_parameters(self, dy):
        self.weight.zero_grad()
        self.bias.zero_grad()
        super().backward_parameters(dy)


@dense_class(62, "the bias alone overwrites its gradient", FAIL_CONTRACT)
class OverwritesBias(Dense):
    def backward_parameters(self, dy):
        self.bias.zero_grad()
        super().backward_parameters(dy)


@dense_class(62, "a forward forgets the gradient gathered so far", FAIL_CONTRACT)
class ForgetsInForward(Dense):
    def forward(self, x, train=False):
        if train:
            self.weight.zero_grad()
        return super().forward(x, train)


@dense_class(62, "the weight's gradient is added twice", FAIL_VALUE, tensor="weight")
class AddsTwice(Dense):
    def backward_parameters(self, dy):
        (x,) = self._kept
        super().backward_parameters(dy)
        self.weight.add_grad(x.T @ dy)


@dense_class(62, "backward adds its own running total", NONDETERMINISTIC, tensor="bias")
class RunningTotal(Dense):
    total = 0.0

    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        self.bias.add_grad(self.total + 0 * self.bias.value)
        self.total = self.total + dy.sum(axis=0)


@dense_class(
    63, "the gradient is written past `add_grad`, which loses it after `zero_grad`", FAIL_VALUE, tensor="weight"
)
class PastAddGrad(Dense):
    def backward_parameters(self, dy):
        (x,) = self.kept()
        self.weight._grad += x.T @ dy
        self.bias._grad += dy.sum(axis=0)


@dense_class(63, "adding in place to `grad` is right", PASS)
class IntoGrad(Dense):
    def backward_parameters(self, dy):
        (x,) = self.kept()
        for p, gradient in ((self.weight, x.T @ dy), (self.bias, dy.sum(axis=0))):
            np.add(p.grad, gradient, out=p.grad, casting="same_kind")


@dense_class(64, "backward uses the first forward's x for ever", FAIL_CONTRACT)
class FirstForward(Dense):
    first = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            self.first = x.copy() if self.first is None or self.first.shape != x.shape else self.first
            self.keep(self.first)
        return y


@dense_class(64, "a forward for prediction, between the two, takes the place of the kept x", FAIL_CONTRACT)
class KeepsInEval(Dense):
    def forward(self, x, train=False):
        return super().forward(x, train=True)


@dense_class(64, "a second forward does not take the place of the first", FAIL_CONTRACT)
class FirstOfTwo(Dense):
    def forward(self, x, train=False):
        before = self._kept
        y = super().forward(x, train)
        if before is not None and train and before[0].shape == x.shape:
            self.keep(*before)
        return y


@dense_class(65, "a second backward is not refused", FAIL_CONTRACT)
class BackwardTwice(Dense):
    def backward_parameters(self, dy):
        kept = self._kept
        super().backward_parameters(dy)
        self.keep(*kept)


@dense_class(65, "a backward without a forward returns zeros", FAIL_CONTRACT)
class BackwardOfNothing(Dense):
    def backward(self, dy):
        return np.zeros((len(dy), self.in_features), dy.dtype) if self._kept is None else super().backward(dy)


@dense_class(66, "predictions live in memory that the next prediction writes", FAIL_CONTRACT)
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


@dense_class(66, "what a training forward returns may live there", PASS)
class TrainingWorkspace(Workspace):
    always = False


@dense_class(
    67, "y is float64 for a float32 x: `np.sqrt(0.5)` is no Python float", FAIL_CONTRACT, x=X.astype(np.float32)
)
class UpcastsY(Dense):
    def forward(self, x, train=False):
        return super().forward(x, train) * np.sqrt(0.5)

    def backward(self, dy):
        return super().backward(dy * float(np.sqrt(0.5)))

    def backward_parameters(self, dy):
        super().backward_parameters(dy)


@dense_class(68, "`backward_parameters` forgets the bias", FAIL_CONTRACT)
class ForgetsBias(Dense):
    def backward(self, dy):
        self.bias.add_grad(dy.sum(axis=0))
        return super().backward(dy)

    def backward_parameters(self, dy):
        (x,) = self.kept()
        self.weight.add_grad(x.T @ dy)


@dense_class(68, "`backward_parameters` does nothing", FAIL_CONTRACT)
class NoParameters(Dense):
    def backward(self, dy):
        Dense.backward_parameters(self, dy)
        return dy @ self.weight.value.T

    def backward_parameters(self, dy):
        pass


@dense_class(69, "x is read in memory order: wrong unless C-contiguous", FAIL_CONTRACT)
class MemoryOrder(Dense):
    def forward(self, x, train=False):
        return super().forward(x.ravel(order="K").reshape(x.shape), train)


@dense_class(70, "an empty batch is refused, if only by NumPy: nothing goes wrong in silence", PASS)
class StacksRows(Dense):
    def forward(self, x, train=False):
        super().forward(x, train)
        return np.stack([row @ self.weight.value + self.bias.value for row in x]).astype(x.dtype)


@dense_class(70, "an empty batch gives y of shape (0,)", FAIL_CONTRACT)
class ListOfRows(Dense):
    def forward(self, x, train=False):
        super().forward(x, train)
        return np.array([row @ self.weight.value + self.bias.value for row in x], dtype=x.dtype)


@dense_class(49, "each row sees the others, in a layer that says batch_independent", FAIL_CONTRACT)
class MixesRows(Dense):
    def forward(self, x, train=False):
        return super().forward(x - x.sum(axis=0) / max(len(x), 1), train)

    def backward(self, dy):
        dx = super().backward(dy)
        return dx - dx.sum(axis=0) / max(len(dx), 1)


@dense_class(49, "the same is right in a layer that does not say so", PASS)
class MixesRowsOpenly(MixesRows):
    batch_independent = False


@dense_class(53, "forward is noisy", NONDETERMINISTIC)
class NoisyForward(Dense):
    def forward(self, x, train=False):
        return super().forward(x, train) + 1e-6 * NOISE.normal()


@dense_class(53, "backward is noisy", NONDETERMINISTIC)
class NoisyBackward(Dense):
    def backward(self, dy):
        return super().backward(dy) * (1 + 1e-8 * NOISE.normal())


@dense_class(53, "the weight's gradient is noisy", NONDETERMINISTIC)
class NoisyWeightGradient(Dense):
    def backward_parameters(self, dy):
        super().backward_parameters(dy * (1 + 1e-8 * NOISE.normal()))
