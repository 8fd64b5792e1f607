"""Mutants: correct classes with one classic bug each, to show that the gradient checker catches it.

``python tests/mutants.py`` checks them all and prints the kill matrix; with ``--write`` it renews
``docs/gradcheck-mutants.md``.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from minidl import L1, L2, Dense, ElasticNet, Layer, Model, ReLU, Sequential, SoftmaxCrossEntropy, gradcheck
from minidl.gradcheck.report import GradientReport, Verdict

PASS, PASS_SUBGRADIENT = Verdict.PASS, Verdict.PASS_SUBGRADIENT
FAIL_VALUE, FAIL_CONTRACT = Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT
NONDETERMINISTIC, STATE_CHANGED, VACUOUS = Verdict.NONDETERMINISTIC, Verdict.STATE_CHANGED, Verdict.VACUOUS

TABLE = Path(__file__).parent.parent / "docs" / "gradcheck-mutants.md"


@dataclass(frozen=True)
class Mutant:
    """A subject for one of the `check_...` functions, with the verdicts that it may get.

    `number` is the one in the project's list of backward bugs, `kind` the check ("layer" for `check_layer`, ...),
    `make` returns the subject and the other arguments of that check, `tensor` is what a FAIL_VALUE must name.
    """

    number: int
    name: str
    what: str
    kind: str
    make: Callable[[], tuple[Any, ...]]
    verdicts: tuple[Verdict, ...]
    tensor: str = ""

    def check(self) -> GradientReport:
        """Return the checker's report."""
        report: GradientReport = getattr(gradcheck, f"check_{self.kind}")(*self.make())
        return report


MUTANTS: list[Mutant] = []
LOOKALIKES: list[Mutant] = []
"""Correct classes that a hasty checker would fail."""


def signed(*shape: int, seed: int = 1) -> np.ndarray:
    """Numbers of both signs, no two alike."""
    return np.random.default_rng(seed).normal(size=shape)


NOISE = np.random.default_rng(5)  # no attribute of a layer, so that no check can put it back
X = signed(5, 4)
LABELS = np.array([2, 0, 1, 2, 2])
WITH_ZEROS = np.array([[0.0, -1.5, 2.0], [0.75, 0.0, -0.25]])


def mutant(number, what, *verdicts, kind="layer", tensor="", on=lambda c: (c(4, 3, rng=0), X), into=MUTANTS):
    """Register the decorated class; `on` makes of it the arguments of the check."""

    def register(cls):
        into.append(Mutant(number, cls.__name__, what, kind, lambda: on(cls), verdicts, tensor))
        return cls

    return register


# --- the cross-entropy: what its backward makes of the probabilities p, the one-hot labels t and the number of rows n


class SpoiledCrossEntropy(SoftmaxCrossEntropy):
    def __init__(self, spoil):
        self.spoil = spoil

    def backward(self):
        p, labels = self.kept()
        return self.spoil(p, np.eye(p.shape[1], dtype=p.dtype)[labels], len(labels))


def loss_mutant(number, name, what, spoil, *verdicts, into=MUTANTS, logits=signed(5, 3)):  # noqa: B008 (never changed)
    verdicts = verdicts or (FAIL_VALUE,)
    into.append(
        Mutant(number, name, what, "loss", lambda: (SpoiledCrossEntropy(spoil), logits, LABELS), verdicts, "outputs")
    )


# fmt: off
loss_mutant(1, "loss-no-mean", "the gradient lacks 1/N", lambda p, t, n: p - t)
loss_mutant(1, "loss-mean-twice", "the gradient has 1/N twice", lambda p, t, n: (p - t) / n / n)
loss_mutant(1, "loss-mean-over-classes", "the gradient is divided by the classes, not the rows",
            lambda p, t, n: (p - t) / p.shape[1])
loss_mutant(1, "loss-mean-over-all", "the gradient is divided by rows times classes", lambda p, t, n: (p - t) / p.size)
loss_mutant(1, "loss-sign", "the gradient has the wrong sign", lambda p, t, n: (t - p) / n)
loss_mutant(2, "loss-ignores-label-0", "rows with label 0 get no gradient, as if they were padding",
            lambda p, t, n: (p - t) * (t[:, :1] == 0) / n)
loss_mutant(2, "loss-last-row", "the last row gets no gradient",
            lambda p, t, n: (p - t) * (np.arange(n) < n - 1)[:, None] / n)
loss_mutant(3, "loss-diagonal", "only the diagonal of the softmax's Jacobian", lambda p, t, n: (p - 1) * t / n)
loss_mutant(3, "loss-twice-softmax", "the softmax's Jacobian is applied to p - t once more",
            lambda p, t, n: p * ((p - t) - ((p - t) * p).sum(axis=1, keepdims=True)) / n)
loss_mutant(4, "loss-wrong-axis", "backward normalises over the rows", lambda p, t, n: (p / p.sum(axis=0) - t) / n)
loss_mutant(8, "loss-p-times-t", "t - p*t instead of t - p*sum(t)", lambda p, t, n: (p * t - t) / n)
loss_mutant(31, "loss-nan", "one entry is NaN", lambda p, t, n: np.where(p == p.max(), np.nan, (p - t) / n),
            FAIL_CONTRACT)
loss_mutant(67, "loss-float32", "the gradient is float32 for float64 logits",
            lambda p, t, n: ((p - t) / n).astype(np.float32), FAIL_CONTRACT)
loss_mutant(68, "loss-none", "backward returns nothing", lambda p, t, n: None, FAIL_CONTRACT)
loss_mutant(68, "loss-one-row", "the gradient is averaged over the rows", lambda p, t, n: (p - t).mean(axis=0),
            FAIL_CONTRACT)
loss_mutant(76, "loss-right", "the same without a bug", lambda p, t, n: (p - t) / n, PASS, into=LOOKALIKES)
loss_mutant(76, "loss-right-saturated", "right, on logits of hundreds: most gradients are zero or tiny",
            lambda p, t, n: (p - t) / n, PASS, into=LOOKALIKES, logits=np.round(signed(5, 3) * 300))
# fmt: on


def loss_class(number, what, *verdicts, logits=signed(5, 3), into=MUTANTS):  # noqa: B008 (never changed)
    return mutant(number, what, *verdicts, kind="loss", tensor="outputs", on=lambda c: (c(), logits, LABELS), into=into)


@loss_class(1, "forward sums over the rows, backward averages", FAIL_VALUE)
class SumForward(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        return super().forward(outputs, targets) * len(outputs)


@loss_class(7, "log(softmax): not finite at logits of 1000", FAIL_CONTRACT, logits=signed(5, 3) * 1000)
class NaiveLogSoftmax(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        with np.errstate(all="ignore"):
            p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
            return float(-np.log(p[np.arange(len(targets)), targets]).mean())


@loss_class(9, "labels are smoothed in forward only", FAIL_VALUE)
class SmoothForward(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        return float(0.9 * super().forward(outputs, targets) - 0.1 * np.log(self._kept[0]).mean())


@loss_class(10, "log(p + 1e-7) in forward only", FAIL_VALUE)
class EpsilonForward(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        p, labels = self._kept
        return float(-np.log(p[np.arange(len(labels)), labels] + 1e-7).mean())


@loss_class(10, "probabilities are clipped at 0.01 in forward only", FAIL_VALUE, logits=signed(5, 3) * 5)
class ClipForward(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        p, labels = self._kept
        return float(-np.log(np.clip(p[np.arange(len(labels)), labels], 0.01, 0.99)).mean())


@loss_class(22, "forward subtracts the maximum in place", FAIL_CONTRACT)
class ShiftsInPlace(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        outputs -= outputs.max(axis=1, keepdims=True)
        return super().forward(outputs, targets)


@loss_class(64, "backward uses the first forward's probabilities for ever", FAIL_CONTRACT)
class FirstBatchLoss(SoftmaxCrossEntropy):
    first = None

    def forward(self, outputs, targets):
        loss = super().forward(outputs, targets)
        probabilities, labels = self._kept
        if self.first is None or self.first.shape != outputs.shape:
            self.first = probabilities.copy()
        self.keep(self.first.copy(), labels)
        return loss


@loss_class(65, "a second backward gives something else instead of refusing", FAIL_CONTRACT)
class BackwardTwiceLoss(SoftmaxCrossEntropy):
    def backward(self):
        kept = self._kept
        gradient = super().backward()
        self.keep(*kept)
        return gradient


@loss_class(76, "forward is noisy", NONDETERMINISTIC)
class NoisyLoss(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        return super().forward(outputs, targets) + 1e-6 * float(NOISE.normal())


# --- Dense: what its backward makes of the right gradients, a namespace of x, dy, weight, dx, dweight, dbias


class SpoiledDense(Dense):
    def __init__(self, spoil, inputs, outputs):
        super().__init__(inputs, outputs, rng=0)
        self.spoil = spoil

    def backward(self, dy):
        (x,) = self.kept()
        weight = self.weight.value
        g = SimpleNamespace(x=x, dy=dy, weight=weight, dx=dy @ weight.T, dweight=x.T @ dy, dbias=dy.sum(axis=0))
        vars(g).update(self.spoil(g))
        self.weight.add_grad(g.dweight)
        self.bias.add_grad(g.dbias)
        return g.dx

    backward_parameters = Layer.backward_parameters


def dense_mutant(number, name, what, tensor, spoil, *verdicts, x=X, outputs=3, into=MUTANTS):
    verdicts = verdicts or (FAIL_VALUE,)
    into.append(
        Mutant(number, name, what, "layer", lambda: (SpoiledDense(spoil, x.shape[1], outputs), x), verdicts, tensor)
    )


def one_entry(array, index, factor):
    changed = array.copy()
    changed[index] *= factor
    return changed


def only_if(condition, right, wrong):
    return wrong if condition else right


# fmt: off
dense_mutant(13, "dense-bias-axis", "the bias's gradient is summed over the features (batch = features)", "bias",
             lambda g: {"dbias": g.dy.sum(axis=1)}, x=signed(3, 4))
dense_mutant(13, "dense-bias-axis-shape", "the same where the shapes differ: backward raises", "",
             lambda g: {"dbias": g.dy.sum(axis=1)}, FAIL_CONTRACT)
dense_mutant(13, "dense-bias-mean", "the bias's gradient is a mean", "bias", lambda g: {"dbias": g.dy.mean(axis=0)})
dense_mutant(13, "dense-bias-total", "the bias's gradient is summed over both axes", "bias",
             lambda g: {"dbias": np.full_like(g.dbias, g.dy.sum())})
dense_mutant(13, "dense-bias-first-row", "the bias's gradient sees the first row alone", "bias",
             lambda g: {"dbias": g.dy[0]})
dense_mutant(15, "dense-weight-transposed", "the gradient of a square weight is transposed", "weight",
             lambda g: {"dweight": g.dweight.T}, outputs=4)
dense_mutant(15, "dense-weight-reshaped", "the weight's gradient is reshaped where it should be transposed", "weight",
             lambda g: {"dweight": (g.dy.T @ g.x).reshape(g.weight.shape)})
dense_mutant(15, "dense-dx-untransposed", "dx = dy @ weight for a square weight", "x",
             lambda g: {"dx": g.dy @ g.weight}, outputs=4)
dense_mutant(15, "dense-weight-flipped", "the weight's gradient is in reverse order", "weight",
             lambda g: {"dweight": g.dweight[::-1]})
dense_mutant(17, "dense-one-output", "with one output, dy is averaged before the weight's gradient", "weight",
             lambda g: {"dweight": only_if(g.dy.shape[1] == 1, g.dweight, g.x.sum(axis=0)[:, None] * g.dy.mean())},
             outputs=1)
dense_mutant(18, "dense-batch-of-one", "dy.squeeze() sums over the features at batch 1", "bias",
             lambda g: {"dbias": np.broadcast_to(g.dy.squeeze().sum(axis=0), g.dbias.shape)}, x=X[:1])
dense_mutant(18, "dense-batch-of-one-unseen", "the same, checked with a batch of 5", "",
             lambda g: {"dbias": np.broadcast_to(g.dy.squeeze().sum(axis=0), g.dbias.shape)}, FAIL_CONTRACT)
dense_mutant(12, "dense-factor-2", "the weight's gradient is doubled", "weight", lambda g: {"dweight": 2 * g.dweight})
dense_mutant(12, "dense-mean", "the weight's gradient is divided by N, which the loss has done", "weight",
             lambda g: {"dweight": g.dweight / len(g.x)})
dense_mutant(12, "dense-dx-sign", "dx has the wrong sign", "x", lambda g: {"dx": -g.dx})
dense_mutant(12, "dense-weight-1e-7", "the whole weight gradient is off by a factor 1 + 1e-7", "weight",
             lambda g: {"dweight": g.dweight * (1 + 1e-7)})
dense_mutant(12, "dense-dx-1e-7", "the whole of dx is off by a factor 1 + 1e-7", "x",
             lambda g: {"dx": g.dx * (1 + 1e-7)})
dense_mutant(12, "dense-one-of-78400", "one entry of a (784, 100) weight's gradient is off by 1e-6 of it", "weight",
             lambda g: {"dweight": one_entry(g.dweight, (513, 42), 1 + 1e-6)}, x=signed(5, 784), outputs=100)
dense_mutant(12, "dense-one-entry-of-dx", "one entry of dx is zero", "x",
             lambda g: {"dx": one_entry(g.dx, (-1, 2), 0.0)})
dense_mutant(12, "dense-last-row-dropped", "the last row is left out of the weight's gradient", "weight",
             lambda g: {"dweight": g.x[:-1].T @ g.dy[:-1]})
dense_mutant(12, "dense-last-row-of-dx", "the last row of dx is zero", "x",
             lambda g: {"dx": g.dx * (np.arange(len(g.x)) < len(g.x) - 1)[:, None]})
dense_mutant(12, "dense-rows-shifted", "dx is shifted by one row", "x", lambda g: {"dx": np.roll(g.dx, 1, axis=0)})
dense_mutant(12, "dense-dx-mean", "every row of dx is the mean over the rows", "x",
             lambda g: {"dx": np.zeros_like(g.dx) + g.dx.mean(axis=0)})
dense_mutant(12, "dense-negative-x", "the weight's gradient takes |x|: wrong for x < 0", "weight",
             lambda g: {"dweight": np.abs(g.x).T @ g.dy})
dense_mutant(12, "dense-dx-negative-x", "dx is zero where x < 0", "x", lambda g: {"dx": g.dx * (g.x > 0)})
dense_mutant(5, "dense-dy-ignored", "the weight's gradient takes ones for dy", "weight",
             lambda g: {"dweight": g.x.T @ np.ones_like(g.dy)}, FAIL_VALUE)
dense_mutant(6, "dense-dy-inverted", "the bias's gradient divides by dy instead of multiplying", "bias",
             lambda g: {"dbias": (1 / g.dy).sum(axis=0)}, FAIL_VALUE)
dense_mutant(31, "dense-nan", "one entry of the weight's gradient is NaN", "weight",
             lambda g: {"dweight": one_entry(g.dweight, (0, 0), np.nan)}, FAIL_CONTRACT)
dense_mutant(62, "dense-offset", "dx has an offset that does not come from dy", "x", lambda g: {"dx": g.dx + 1e-3},
             FAIL_VALUE)
dense_mutant(67, "dense-float32-sum", "the weight's gradient is computed in float32", "weight",
             lambda g: {"dweight": g.x.astype(np.float32).T @ g.dy.astype(np.float32)}, FAIL_VALUE,
             x=signed(50, 4))
dense_mutant(67, "dense-float32-dx", "dx is float32 for a float64 dy", "", lambda g: {"dx": g.dx.astype(np.float32)},
             FAIL_CONTRACT)
dense_mutant(67, "dense-float64-dx", "dx is float64 for float32 arrays", "", lambda g: {"dx": g.dx.astype(np.float64)},
             FAIL_CONTRACT, x=X.astype(np.float32))
dense_mutant(67, "dense-wrong-in-float32", "the weight's gradient is off by 1e-3, in float32 alone", "weight",
             lambda g: {"dweight": only_if(g.x.dtype == np.float32, g.dweight, g.dweight * np.float32(1.001))},
             FAIL_VALUE, x=X.astype(np.float32))
dense_mutant(68, "dense-no-dx", "backward returns nothing", "", lambda g: {"dx": None}, FAIL_CONTRACT)
dense_mutant(68, "dense-list-dx", "backward returns lists", "", lambda g: {"dx": g.dx.tolist()}, FAIL_CONTRACT)
dense_mutant(68, "dense-dx-summed", "dx is summed over the rows", "", lambda g: {"dx": g.dx.sum(axis=0)}, FAIL_CONTRACT)
dense_mutant(68, "dense-no-bias-gradient", "the bias gets no gradient", "bias", lambda g: {"dbias": 0 * g.dbias})
dense_mutant(69, "dense-memory-order", "dy is read in memory order: wrong unless C-contiguous", "",
             lambda g: {"dbias": g.dy.ravel(order="K").reshape(g.dy.shape).sum(axis=0)}, FAIL_CONTRACT)
dense_mutant(70, "dense-empty-batch", "backward takes dy.max(), which an empty batch does not have", "",
             lambda g: {"dx": g.dx + 0 * g.dy.max()}, FAIL_CONTRACT)
dense_mutant(74, "dense-clip-entries", "dx is clipped to -1 .. 1", "x", lambda g: {"dx": np.clip(g.dx, -1, 1)},
             FAIL_VALUE)
dense_mutant(74, "dense-clip-norm", "the weight's gradient is clipped to norm 1", "weight",
             lambda g: {"dweight": g.dweight / max(1.0, float(np.linalg.norm(g.dweight)))}, FAIL_VALUE)
dense_mutant(74, "dense-clip-far", "dx is clipped to -1000 .. 1000", "x", lambda g: {"dx": np.clip(g.dx, -1e3, 1e3)},
             FAIL_CONTRACT)
dense_mutant(76, "dense-right", "the same without a bug", "", lambda g: {}, PASS, into=LOOKALIKES)
dense_mutant(76, "dense-right-one-sample", "right, at batch 1 with one output", "", lambda g: {}, PASS, x=X[:1],
             outputs=1, into=LOOKALIKES)
dense_mutant(76, "dense-right-column-order", "right, with dx in column order", "",
             lambda g: {"dx": np.asfortranarray(g.dx)}, PASS, into=LOOKALIKES)
# fmt: on


# --- Dense again: what it may not do, whatever the values


@mutant(16, "backward takes a step of its own", FAIL_CONTRACT)
class StepInBackward(Dense):
    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        self.weight.value -= 0.1 * self.weight.grad


@mutant(16, "forward normalises the weight in place", FAIL_CONTRACT)
class NormalisesWeight(Dense):
    def forward(self, x, train=False):
        self.weight.value /= np.linalg.norm(self.weight.value)
        return super().forward(x, train)


@mutant(16, "dx uses the weight as it was at the start", FAIL_VALUE, FAIL_CONTRACT, tensor="x")
class WeightAtStart(Dense):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.transposed = self.weight.value.T.copy()

    def backward(self, dy):
        self.backward_parameters(dy)
        return np.matmul(dy, self.transposed, dtype=dy.dtype)


@mutant(22, "forward centres x in place", FAIL_CONTRACT)
class CentresInPlace(Dense):
    def forward(self, x, train=False):
        x -= x.mean()
        return super().forward(x, train)


@mutant(22, "backward negates the x that was handed in", FAIL_CONTRACT)
class BackwardSpoilsX(Dense):
    def backward(self, dy):
        (x,) = self._kept
        dx = super().backward(dy)
        np.negative(x, out=x)
        return dx


@mutant(22, "backward halves dy in place", FAIL_CONTRACT)
class HalvesDy(Dense):
    def backward(self, dy):
        dx = super().backward(dy)
        dy *= 0.5
        return dx


@mutant(22, "backward doubles dy in place and halves it again: fails for a read-only one", FAIL_CONTRACT)
class BorrowsDy(Dense):
    def backward(self, dy):
        self.backward_parameters(dy)
        dy *= 2
        dx = np.matmul(dy, self.weight.value.T, dtype=dy.dtype) / 2
        dy /= 2
        return dx


@mutant(47, "a forward for prediction moves a running mean", STATE_CHANGED)
class RunningMeanInEval(Dense):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.mean = self.add_buffer("running_mean", np.zeros(self.in_features))

    def forward(self, x, train=False):
        if len(x):
            self.mean += (0.1 * (x.mean(axis=0) - self.mean)).astype(self.mean.dtype)
        return super().forward(x, train)


@mutant(47, "backward moves a running mean", STATE_CHANGED)
class RunningMeanInBackward(RunningMeanInEval):
    def forward(self, x, train=False):
        return Dense.forward(self, x, train)

    def backward_parameters(self, dy):
        self.mean *= 0.9
        self.mean += 0.1
        super().backward_parameters(dy)


@mutant(47, "a running mean that moves in training alone is right", PASS, into=LOOKALIKES)
class RunningMeanInTraining(RunningMeanInEval):
    def forward(self, x, train=False):
        return RunningMeanInEval.forward(self, x, train) if train else Dense.forward(self, x, train)


@mutant(62, "backward overwrites the gradient instead of adding to it", FAIL_CONTRACT)
class Overwrites(Dense):
    def backward_parameters(self, dy):
        self.weight.zero_grad()
        self.bias.zero_grad()
        super().backward_parameters(dy)


@mutant(62, "the bias alone overwrites its gradient", FAIL_CONTRACT)
class OverwritesBias(Dense):
    def backward_parameters(self, dy):
        self.bias.zero_grad()
        super().backward_parameters(dy)


@mutant(62, "a forward forgets the gradient gathered so far", FAIL_CONTRACT)
class ForgetsInForward(Dense):
    def forward(self, x, train=False):
        if train:
            self.weight.zero_grad()
        return super().forward(x, train)


@mutant(62, "the weight's gradient is added twice", FAIL_VALUE, tensor="weight")
class AddsTwice(Dense):
    def backward_parameters(self, dy):
        (x,) = self._kept
        super().backward_parameters(dy)
        self.weight.add_grad(x.T @ dy)


@mutant(62, "backward adds its own running total", NONDETERMINISTIC, tensor="bias")
class RunningTotal(Dense):
    total = 0.0

    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        self.bias.add_grad(self.total + 0 * self.bias.value)
        self.total = self.total + dy.sum(axis=0)


@mutant(63, "the gradient is written past `add_grad`, which loses it after `zero_grad`", FAIL_VALUE, tensor="weight")
class PastAddGrad(Dense):
    def backward_parameters(self, dy):
        (x,) = self.kept()
        self.weight._grad += x.T @ dy
        self.bias._grad += dy.sum(axis=0)


@mutant(63, "adding in place to `grad` is right", PASS, into=LOOKALIKES)
class IntoGrad(Dense):
    def backward_parameters(self, dy):
        (x,) = self.kept()
        for p, gradient in ((self.weight, x.T @ dy), (self.bias, dy.sum(axis=0))):
            np.add(p.grad, gradient, out=p.grad, casting="same_kind")


@mutant(64, "backward uses the first forward's x for ever", FAIL_CONTRACT)
class FirstForward(Dense):
    first = None

    def forward(self, x, train=False):
        y = super().forward(x, train)
        if train:
            self.first = x.copy() if self.first is None or self.first.shape != x.shape else self.first
            self.keep(self.first)
        return y


@mutant(64, "a forward for prediction, between the two, takes the place of the kept x", FAIL_CONTRACT)
class KeepsInEval(Dense):
    def forward(self, x, train=False):
        return super().forward(x, train=True)


@mutant(64, "a second forward does not take the place of the first", FAIL_CONTRACT)
class FirstOfTwo(Dense):
    def forward(self, x, train=False):
        before = self._kept
        y = super().forward(x, train)
        if before is not None and train and before[0].shape == x.shape:
            self.keep(*before)
        return y


@mutant(65, "a second backward is not refused", FAIL_CONTRACT)
class BackwardTwice(Dense):
    def backward_parameters(self, dy):
        kept = self._kept
        super().backward_parameters(dy)
        self.keep(*kept)


@mutant(65, "a backward without a forward returns zeros", FAIL_CONTRACT)
class BackwardOfNothing(Dense):
    def backward(self, dy):
        return np.zeros((len(dy), self.in_features), dy.dtype) if self._kept is None else super().backward(dy)


@mutant(66, "predictions live in memory that the next prediction writes", FAIL_CONTRACT)
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


@mutant(66, "what a training forward returns may live there", PASS, into=LOOKALIKES)
class TrainingWorkspace(Workspace):
    always = False


@mutant(
    67,
    "y is float64 for a float32 x: `np.sqrt(0.5)` is no Python float",
    FAIL_CONTRACT,
    on=lambda c: (c(4, 3, rng=0), X.astype(np.float32)),
)
class UpcastsY(Dense):
    def forward(self, x, train=False):
        return super().forward(x, train) * np.sqrt(0.5)

    def backward(self, dy):
        return super().backward(dy * float(np.sqrt(0.5)))

    def backward_parameters(self, dy):
        super().backward_parameters(dy)


@mutant(68, "`backward_parameters` forgets the bias", FAIL_CONTRACT)
class ForgetsBias(Dense):
    def backward(self, dy):
        self.bias.add_grad(dy.sum(axis=0))
        return super().backward(dy)

    def backward_parameters(self, dy):
        (x,) = self.kept()
        self.weight.add_grad(x.T @ dy)


@mutant(68, "`backward_parameters` does nothing", FAIL_CONTRACT)
class NoParameters(Dense):
    def backward(self, dy):
        Dense.backward_parameters(self, dy)
        return dy @ self.weight.value.T

    def backward_parameters(self, dy):
        pass


@mutant(69, "x is read in memory order: wrong unless C-contiguous", FAIL_CONTRACT)
class MemoryOrder(Dense):
    def forward(self, x, train=False):
        return super().forward(x.ravel(order="K").reshape(x.shape), train)


@mutant(70, "rows are stacked one by one, which an empty batch has none of", FAIL_CONTRACT)
class StacksRows(Dense):
    def forward(self, x, train=False):
        super().forward(x, train)
        return np.stack([row @ self.weight.value + self.bias.value for row in x]).astype(x.dtype)


@mutant(70, "an empty batch gives y of shape (0,)", FAIL_CONTRACT)
class ListOfRows(Dense):
    def forward(self, x, train=False):
        super().forward(x, train)
        return np.array([row @ self.weight.value + self.bias.value for row in x], dtype=x.dtype)


@mutant(49, "each row sees the others, in a layer that says batch_independent", FAIL_CONTRACT)
class MixesRows(Dense):
    def forward(self, x, train=False):
        return super().forward(x - x.sum(axis=0) / max(len(x), 1), train)

    def backward(self, dy):
        dx = super().backward(dy)
        return dx - dx.sum(axis=0) / max(len(dx), 1)


@mutant(49, "the same is right in a layer that does not say so", PASS, into=LOOKALIKES)
class MixesRowsOpenly(MixesRows):
    batch_independent = False


@mutant(53, "forward is noisy", NONDETERMINISTIC)
class NoisyForward(Dense):
    def forward(self, x, train=False):
        return super().forward(x, train) + 1e-6 * NOISE.normal()


@mutant(53, "backward is noisy", NONDETERMINISTIC)
class NoisyBackward(Dense):
    def backward(self, dy):
        return super().backward(dy) * (1 + 1e-8 * NOISE.normal())


@mutant(53, "the weight's gradient is noisy", NONDETERMINISTIC)
class NoisyWeightGradient(Dense):
    def backward_parameters(self, dy):
        super().backward_parameters(dy * (1 + 1e-8 * NOISE.normal()))


# --- ReLU: what its backward makes of x and dy


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


def relu_mutant(number, name, what, spoil, *verdicts, x=X, into=MUTANTS):
    verdicts = verdicts or (FAIL_VALUE,)
    into.append(Mutant(number, name, what, "layer", lambda: (SpoiledReLU(spoil), x), verdicts, "x"))


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
relu_mutant(21, "relu-1-at-0", "the mask is x >= 0", lambda x, dy: dy * (x >= 0), PASS_SUBGRADIENT, x=WITH_ZEROS,
            into=LOOKALIKES)
relu_mutant(21, "relu-half-at-0", "the slope at an exact 0 is 1/2", lambda x, dy: dy * (0.5 * (x >= 0) + 0.5 * (x > 0)),
            PASS_SUBGRADIENT, x=WITH_ZEROS, into=LOOKALIKES)
relu_mutant(21, "relu-0-at-0", "the mask is x > 0", lambda x, dy: dy * (x > 0), PASS_SUBGRADIENT, x=WITH_ZEROS,
            into=LOOKALIKES)
relu_mutant(21, "relu-near-0", "right, with x as near to the kink as 1e-4", lambda x, dy: dy * (x > 0), PASS,
            x=WITH_ZEROS + 1e-4, into=LOOKALIKES)
# fmt: on


def relu_class(number, what, *verdicts, tensor="", into=MUTANTS):
    return mutant(number, what, *verdicts, tensor=tensor, on=lambda c: (c(), X), into=into)


@relu_class(22, "forward works in place on x", FAIL_CONTRACT)
class InPlaceReLU(ReLU):
    def forward(self, x, train=False):
        if train:
            self.keep(x > 0)
        return np.maximum(x, 0, out=x)


@relu_class(22, "backward works in place on dy", FAIL_CONTRACT)
class InPlaceBackward(ReLU):
    def backward(self, dy):
        (positive,) = self.kept()
        dy *= positive
        return dy


@relu_class(66, "x and dy are handed on as they are", PASS, into=LOOKALIKES)
class Identity(Layer):
    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x

    def backward(self, dy):
        self.kept()
        return dy


@relu_class(66, "y is a new array, but dx is dy itself", FAIL_CONTRACT)
class HandsDyOn(Identity):
    def forward(self, x, train=False):
        return super().forward(x, train).copy()


# --- small layers of a user's own


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


own_layer = relu_class
own_layer(29, "a layer as in the README", PASS, into=LOOKALIKES)(Scale)


@own_layer(20, "the sum over the rows is missing: backward raises", FAIL_CONTRACT)
class UnsummedGain(Scale):
    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad(dy * x)
        return dy * self.gain.value


@own_layer(20, "an offset of one number gets the first column's gradient", FAIL_VALUE, tensor="offset")
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


@own_layer(60, "the branch past the layers gets no gradient", FAIL_VALUE, tensor="x")
class Residual(Sequential):
    def __init__(self):
        super().__init__(Dense(4, 4, rng=0))

    def forward(self, x, train=False):
        return x + super().forward(x, train)


@own_layer(60, "two columns of dx are swapped", FAIL_VALUE, tensor="x")
class SwappedSlices(Scale):
    def backward(self, dy):
        return super().backward(dy)[:, [1, 0, 2, 3]]


@own_layer(61, "a parameter that is used twice gets the gradient of one use", FAIL_VALUE, tensor="gain")
class UsedTwice(Scale):
    def forward(self, x, train=False):
        return super().forward(super().forward(x, train), train)

    def backward(self, dy):
        return super().backward(dy) * self.gain.value


@own_layer(61, "used twice, the second use overwrites the first", FAIL_VALUE, tensor="gain")
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


own_layer(66, "a table of one row for each row of x", PASS, into=LOOKALIKES)(Positions)


@own_layer(66, "y is a view of the parameter", FAIL_CONTRACT)
class ReturnsParameter(Positions):
    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return self.table.value[: len(x)]

    def backward(self, dy):
        return 0 * super().backward(dy)


@own_layer(66, "dx is a view of the parameter's gradient", FAIL_CONTRACT, tensor="x")
class ReturnsGradient(Positions):
    def backward(self, dy):
        super().backward(dy)
        return self.table.grad[: len(dy)]


@own_layer(53, "dropout draws another mask in backward", NONDETERMINISTIC, tensor="x")
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


@own_layer(53, "dropout with its own generator is right", PASS, into=LOOKALIKES)
class Dropout(RedrawnMask):
    def backward(self, dy):
        (mask,) = self.kept()
        return dy * mask


# --- Sequential


def network_class(number, what, *verdicts, tensor=""):
    def on(c):
        return c(Dense(4, 4, rng=0), ReLU(), Dense(4, 4, rng=1)), X

    return mutant(number, what, *verdicts, tensor=tensor, on=on)


@network_class(60, "backward runs through the layers from the front", FAIL_VALUE, tensor="0.weight")
class FromTheFront(Sequential):
    def backward(self, dy):
        for layer in self.layers:
            dy = layer.backward(dy)
        return dy

    backward_parameters = Layer.backward_parameters


@network_class(60, "every layer gets the network's dy", FAIL_VALUE, tensor="0.weight")
class SameDy(Sequential):
    def backward(self, dy):
        return [layer.backward(dy) for layer in reversed(self.layers)][-1]

    backward_parameters = Layer.backward_parameters


@network_class(60, "backward passes by the activations", FAIL_VALUE, tensor="0.weight")
class PassesByReLU(Sequential):
    def backward(self, dy):
        self.layers[1].backward(dy)
        return self.layers[0].backward(self.layers[2].backward(dy))

    backward_parameters = Layer.backward_parameters


@network_class(60, "backward leaves the first layer out", FAIL_VALUE, tensor="0.weight")
class LeavesFirstOut(Sequential):
    def backward(self, dy):
        return self._backward(self.layers[1:], dy)

    backward_parameters = backward


@network_class(68, "`backward_parameters` reaches the last layer alone", FAIL_CONTRACT)
class LastLayerAlone(Sequential):
    def backward_parameters(self, dy):
        self.layers[-1].backward_parameters(dy)


# --- regularizers


def regularizer_class(number, what, *verdicts, of=lambda c: c(0.3), w=X, into=MUTANTS):
    return mutant(
        number, what, *(verdicts or (FAIL_VALUE,)), kind="regularizer", tensor="w", on=lambda c: (of(c), w), into=into
    )


@regularizer_class(71, "strength * w: half of the gradient")
class HalfL2(L2):
    def gradient(self, w):
        return self.strength * w


@regularizer_class(71, "1/2 in the penalty and not in the gradient")
class HalfPenalty(L2):
    def penalty(self, w):
        return super().penalty(w) / 2


@regularizer_class(71, "the sign is wrong")
class GrowsWeights(L2):
    def gradient(self, w):
        return -super().gradient(w)


@regularizer_class(71, "the gradient is that of a mean")
class MeanL2(L2):
    def gradient(self, w):
        return super().gradient(w) / w.size


@regularizer_class(71, "the penalty is the root of what the gradient knows")
class RootL2(L2):
    def penalty(self, w):
        return math.sqrt(super().penalty(w))


@regularizer_class(71, "the last row gets no gradient")
class LastRowL2(L2):
    def gradient(self, w):
        gradient = super().gradient(w)
        gradient[-1] = 0
        return gradient


@regularizer_class(71, "the penalty leaves the first column out, the gradient does not")
class FirstColumnL2(L2):
    def penalty(self, w):
        return super().penalty(w[:, 1:])


@regularizer_class(22, "`penalty` squares w in place", FAIL_CONTRACT)
class SquaresInPlace(L2):
    def penalty(self, w):
        w *= w
        return self.strength * float(w.sum())


@regularizer_class(22, "`gradient` scales w in place", FAIL_CONTRACT)
class ScalesInPlace(L2):
    def gradient(self, w):
        w *= 2 * self.strength
        return w


@regularizer_class(66, "the gradient is w itself, at a strength of 1/2", FAIL_CONTRACT, of=lambda c: c(0.5))
class ReturnsW(L2):
    def gradient(self, w):
        return w if self.strength == 0.5 else super().gradient(w)


@regularizer_class(67, "the gradient is float64 for a float32 w", FAIL_CONTRACT, w=X.astype(np.float32))
class UpcastsL2(L2):
    def gradient(self, w):
        return super().gradient(w) * np.sqrt(1.0)


@regularizer_class(70, "the gradient has w's entries but not its shape", FAIL_CONTRACT)
class FlatL2(L2):
    def gradient(self, w):
        return super().gradient(w).ravel()


@regularizer_class(69, "w is read in memory order: wrong in column order", FAIL_CONTRACT)
class MemoryOrderL2(L2):
    def gradient(self, w):
        return super().gradient(w).ravel(order="K").reshape(w.shape)


@regularizer_class(24, "sign(w) is forgotten")
class UnsignedL1(L1):
    def gradient(self, w):
        return np.full_like(w, self.strength)


@regularizer_class(24, "the slope at an exact 0 is 2", w=WITH_ZEROS)
class SteepAtZero(L1):
    def gradient(self, w):
        return self.strength * (np.sign(w) + 2.0 * (w == 0)).astype(w.dtype)


@regularizer_class(24, "w / |w|: NaN at an exact 0", FAIL_CONTRACT, w=WITH_ZEROS)
class NanAtZero(L1):
    def gradient(self, w):
        with np.errstate(invalid="ignore"):
            return self.strength * w / np.abs(w)


@regularizer_class(24, "sign(0) = 1", PASS_SUBGRADIENT, w=WITH_ZEROS, into=LOOKALIKES)
class OneAtZero(L1):
    def gradient(self, w):
        return self.strength * np.where(w >= 0, 1.0, -1.0).astype(w.dtype)


@regularizer_class(24, "sign(0) = -1/2", PASS_SUBGRADIENT, w=WITH_ZEROS, into=LOOKALIKES)
class MinusHalfAtZero(L1):
    def gradient(self, w):
        return self.strength * (np.sign(w) - 0.5 * (w == 0)).astype(w.dtype)


def elastic(c):
    return c(0.3, 0.7)


@regularizer_class(72, "the L1 strength is applied twice", of=elastic)
class TwiceL1(ElasticNet):
    def gradient(self, w):
        return self.l1.strength * self.l1.gradient(w) + self.l2.gradient(w)


@regularizer_class(72, "the two strengths are swapped in the gradient", of=elastic)
class SwappedStrengths(ElasticNet):
    def gradient(self, w):
        return L1(self.l2.strength).gradient(w) + L2(self.l1.strength).gradient(w)


@regularizer_class(72, "the L1 part has no gradient", of=elastic)
class OnlyL2(ElasticNet):
    def gradient(self, w):
        return self.l2.gradient(w)


# --- Model


def network(trained=True):
    layers = Sequential(Dense(4, 6, rng=0), ReLU(), Dense(6, 3, rng=1))
    if trained:  # biases start at 0, where a penalty on them has no slope
        for path, p in layers.named_parameters().items():
            if path.endswith("bias"):
                p.value = signed(p.value.size, seed=3)
    return layers


def model_class(number, what, *verdicts, tensor="0.weight", trained=True, into=MUTANTS):
    def on(c):
        return c(network(trained), SoftmaxCrossEntropy(), L2(0.1)), X, LABELS

    return mutant(number, what, *(verdicts or (FAIL_VALUE,)), kind="model", tensor=tensor, on=on, into=into)


def scaled_penalty(model, factor, penalized=(True,)):
    for p in model.parameters.values():
        if p.penalized in penalized:
            p.add_grad(factor * model.regularizer.gradient(p.value))


model_class(76, "a model of two layers", PASS, PASS_SUBGRADIENT, into=LOOKALIKES)(Model)


@model_class(73, "the regularizer is in the cost and not in the gradient")
class NoPenaltyGradient(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        scaled_penalty(self, -1)
        return result


@model_class(73, "the regularizer's gradient is divided by N")
class PenaltyOverN(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        scaled_penalty(self, 1 / len(x) - 1)
        return result


@model_class(73, "the regularizer is in the gradient and not in the cost", FAIL_VALUE)
class NoPenaltyInCost(Model):
    def penalty(self):
        return 0.0


@model_class(73, "the cost has the penalty twice", FAIL_CONTRACT, FAIL_VALUE)
class PenaltyTwice(Model):
    def compute_cost(self, x, y):
        return super().compute_cost(x, y) + self.penalty()


@model_class(71, "biases are penalized in the gradient alone", tensor="0.bias")
class PenalizesBiases(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        scaled_penalty(self, 1, penalized=(False,))
        return result


@model_class(71, "the same, checked before training, when every bias is 0", tensor="0.bias", trained=False)
class PenalizesZeroBiases(PenalizesBiases):
    pass


@model_class(71, "one weight's penalty has no gradient", tensor="2.weight")
class ForgetsLastPenalty(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        p = self.parameters["2.weight"]
        p.add_grad(-self.regularizer.gradient(p.value))
        return result


@model_class(62, "gradients gather over the calls", FAIL_CONTRACT, FAIL_VALUE, NONDETERMINISTIC)
class Gathers(Model):
    def compute_gradients(self, x, y):
        before = {path: p.grad.copy() for path, p in self.parameters.items()}
        result = super().compute_gradients(x, y)
        for path, p in self.parameters.items():
            p.add_grad(before[path])
        return result


@model_class(73, "`compute_gradients` returns (loss, cost)", FAIL_CONTRACT)
class SwapsCostAndLoss(Model):
    def compute_gradients(self, x, y):
        cost, loss = super().compute_gradients(x, y)
        return loss, cost


@model_class(74, "the gradients are clipped to norm 0.1")
class ClipsInModel(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in self.parameters.values()))
        for p in self.parameters.values():
            p.add_grad((min(1.0, 0.1 / norm) - 1) * p.grad)
        return result


@model_class(75, "the first layer gets no gradient, as if it were frozen")
class Frozen(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        for path in ("0.weight", "0.bias"):
            self.parameters[path].zero_grad()
        return result


@model_class(16, "`compute_gradients` takes the optimizer's step", STATE_CHANGED, FAIL_CONTRACT)
class StepsInModel(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        for p in self.parameters.values():
            p.value -= 0.01 * p.grad
        return result


@model_class(22, "`compute_gradients` scales x in place", FAIL_CONTRACT, FAIL_VALUE)
class ScalesInput(Model):
    def compute_gradients(self, x, y):
        x /= 2
        return super().compute_gradients(x, y)


@model_class(53, "the gradients are noisy", NONDETERMINISTIC)
class NoisyModel(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        p = self.parameters["0.bias"]
        p.add_grad(1e-8 * NOISE.normal(size=p.value.shape))
        return result


MUTANTS.append(
    Mutant(
        68,
        "network-last-layer-alone",
        "`backward_parameters` of the network reaches the last layer alone",
        "model",
        lambda: (Model(LastLayerAlone(*network().layers), SoftmaxCrossEntropy()), X, LABELS),
        (FAIL_VALUE,),
        "0.weight",
    )
)


# --- functions: f, its wrong vjp, and the arguments


def function_mutant(number, name, what, f, vjp, *verdicts, at=(X,), tensor="argument 0", into=MUTANTS):
    into.append(Mutant(number, name, what, "function", lambda: (f, vjp, *at), verdicts or (FAIL_VALUE,), tensor))


def log_softmax(z):
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def normalise(x, epsilon=1e-5):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)


def normalise_vjp(dy, x, epsilon_in=1e-5, epsilon_out=0.0):
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon_in) + epsilon_out
    y = centred / deviation
    return (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True)) / deviation


def centre_without_mean(dy, x):
    return dy / np.sqrt((x - x.mean(axis=1, keepdims=True)).var(axis=1, keepdims=True) + 1e-5)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh_vjp(dy, x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return dy * (0.5 * (1 + np.tanh(inner)) + 0.5 * x * (1 - np.tanh(inner) ** 2) * slope)


def softmax(z):
    return np.exp(log_softmax(z))


def softmax_vjp(dy, z):
    p = softmax(z)
    return p * (dy - (dy * p).sum(axis=1, keepdims=True))


def halving_vjp(dy, x):
    dy /= 2
    return 2 * dy * np.cos(x)


# fmt: off
function_mutant(5, "function-dy-ignored", "log-softmax: dy is taken to be ones", log_softmax,
                lambda dy, z: 1 - z.shape[1] * softmax(z))
function_mutant(6, "function-dy-inverted", "sin: cos(x) / dy", np.sin, lambda dy, x: np.cos(x) / dy)
function_mutant(8, "function-log-softmax", "log-softmax: dy - p*dy, without the sum", log_softmax,
                lambda dy, z: dy - softmax(z) * dy)
function_mutant(3, "function-softmax-diagonal", "softmax: only the Jacobian's diagonal", softmax,
                lambda dy, z: dy * softmax(z) * (1 - softmax(z)))
function_mutant(20, "function-unbroadcast", "x + row: the row's gradient is not summed", lambda x, row: x + row,
                lambda dy, x, row: (dy, dy), FAIL_CONTRACT, at=(X, X[:1]), tensor="argument 1")
function_mutant(20, "function-missing", "x * row: the row has no gradient", lambda x, row: x * row,
                lambda dy, x, row: dy * row, FAIL_CONTRACT, at=(X, X[:1]))
function_mutant(22, "function-halves-dy", "sin: the right gradient, but dy is halved in place", np.sin, halving_vjp,
                FAIL_CONTRACT)
function_mutant(25, "function-gelu", "GELU: erf forward, tanh backward", gelu, gelu_tanh_vjp)
function_mutant(27, "function-tanh", "tanh: 1 - x**2 instead of 1 - y**2, for small x", np.tanh,
                lambda dy, x: dy * (1 - x**2), at=(X / 100,))
function_mutant(44, "function-no-mean", "normalising rows: the mean terms are missing", normalise, centre_without_mean)
function_mutant(50, "function-epsilon", "normalising rows: epsilon outside the root in backward", normalise,
                lambda dy, x: normalise_vjp(dy, x, 0.0, 1e-5))
function_mutant(12, "function-tiny", "1e-9 * x**2: tiny gradients, wrong by half", lambda x: 1e-9 * x**2,
                lambda dy, x: 1e-9 * dy * x)
function_mutant(12, "function-1.0005", "exp: off by a factor 1.0005", np.exp, lambda dy, x: 1.0005 * dy * np.exp(x))
function_mutant(12, "function-mean-of-dy", "identity on 10,000 numbers: the mean of dy everywhere", np.copy,
                lambda dy, x: np.full_like(dy, dy.mean()), at=(signed(10_000),))
function_mutant(12, "function-rolled", "identity on 10,000 numbers: dy is shifted by one", np.copy,
                lambda dy, x: np.roll(dy, 1), at=(signed(10_000),))
function_mutant(53, "function-noisy", "sin with noise", lambda x: np.sin(x) + 1e-9 * NOISE.normal(),
                lambda dy, x: dy * np.cos(x), NONDETERMINISTIC)
function_mutant(53, "function-noisy-vjp", "cos(x) with noise", np.sin,
                lambda dy, x: dy * np.cos(x) * (1 + 1e-8 * NOISE.normal()),
                NONDETERMINISTIC)
function_mutant(74, "function-clipped", "exp: the gradient is clipped to norm 1", np.exp,
                lambda dy, x: dy * np.exp(x) / max(1.0, float(np.linalg.norm(dy * np.exp(x)))))
function_mutant(76, "function-constant", "a constant: nothing can be compared", np.ones_like, lambda dy, x: 0 * x,
                VACUOUS)
function_mutant(3, "function-softmax-right", "softmax", softmax, softmax_vjp, PASS, into=LOOKALIKES)
function_mutant(50, "function-normalise-right", "normalising rows", normalise, normalise_vjp, PASS, into=LOOKALIKES)
function_mutant(12, "function-tiny-right", "1e-9 * x**2", lambda x: 1e-9 * x**2, lambda dy, x: 2e-9 * dy * x, PASS,
                into=LOOKALIKES)
function_mutant(24, "function-abs-right", "abs(x), with 1 at an exact 0", np.abs,
                lambda dy, x: dy * np.where(x >= 0, 1.0, -1.0), PASS_SUBGRADIENT, at=(WITH_ZEROS,), into=LOOKALIKES)
function_mutant(31, "function-edge-right", "log, with numbers near the edge of its domain", np.log,
                lambda dy, x: dy / x, PASS, at=(np.array([1e-3, 0.1, 1.0, 50.0]),), into=LOOKALIKES)
# fmt: on


# --- the kill matrix


def kill_matrix(reports: dict[str, GradientReport]) -> str:
    """Return the tables of mutants and lookalikes with what became of them, as Markdown."""
    parts = [
        "# What the gradient checker makes of known bugs",
        "",
        "Each row is a right class with one bug, checked with the arguments that its author would choose. The numbers "
        "are those of a list of classic backward bugs. Written by `python tests/mutants.py --write`; "
        "`tests/test_mutants.py` keeps it true.",
    ]
    for title, rows in (("Bugs", MUTANTS), ("Not bugs, though they look like it", LOOKALIKES)):
        counts = Counter(reports[m.name].verdict.name for m in rows).most_common()
        refused = sum(not reports[m.name].ok for m in rows)
        numbers = ", ".join(f"{count} {verdict}" for verdict, count in counts)
        parts += ["", f"## {title}", "", f"{refused} of {len(rows)} refused: {numbers}.", ""]
        parts += ["| # | name | what | verdict | first finding |", "|--:|---|---|---|---|"]
        for m in rows:
            report = reports[m.name]
            evidence = str(report.findings[0]) if report.findings else ""
            cells = (str(m.number), m.name, m.what, report.verdict.name, evidence)
            parts.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write docs/{TABLE.name}")
    options = parser.parse_args()
    reports = {m.name: m.check() for m in MUTANTS + LOOKALIKES}
    matrix = kill_matrix(reports)
    print(matrix)
    surprises = [m for m in MUTANTS + LOOKALIKES if reports[m.name].verdict not in m.verdicts]
    for m in surprises:
        print(f"{m.name}: expected {' or '.join(v.name for v in m.verdicts)}, got {reports[m.name].verdict.name}")
    if options.write:
        TABLE.write_text(matrix, encoding="utf-8")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
