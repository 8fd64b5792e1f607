"""The cross-entropy: bugs in what it makes of the probabilities p, the one-hot labels t and the number of rows n."""

import numpy as np

from minidl import SoftmaxCrossEntropy
from planted.fault import FAIL_CONTRACT, NONDETERMINISTIC, PASS, After, Family, plant
from planted.numbers import LABELS, NOISE, signed


class SpoiledCrossEntropy(SoftmaxCrossEntropy):
    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def backward(self):
        p, labels = self.kept()
        return self.spoil(p, np.eye(p.shape[1], dtype=p.dtype)[labels], len(labels))


LOGITS = signed(5, 3)


def loss_mutant(number, name, what, spoil, *verdicts, logits=LOGITS):
    plant(number, name, what, "loss", lambda: (SpoiledCrossEntropy(spoil), logits, LABELS), *verdicts, tensor="outputs")


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
loss_mutant(76, "loss-right", "the same without a bug", lambda p, t, n: (p - t) / n, PASS)
loss_mutant(76, "loss-right-saturated", "correct, on logits of hundreds: most gradients are zero or tiny",
            lambda p, t, n: (p - t) / n, PASS, logits=np.round(LOGITS * 300))
# fmt: on


loss = Family("loss", lambda c, logits=LOGITS: (c(), logits, LABELS), "outputs")


def of_true_class(p, labels):
    return p[np.arange(len(labels)), labels]


@loss(22, "forward subtracts the maximum in place", FAIL_CONTRACT, says="forward changed outputs")
class ShiftsInPlace(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        outputs -= outputs.max(axis=1, keepdims=True)
        return super().forward(outputs, targets)


@loss(64, "backward uses the first forward's probabilities for ever", FAIL_CONTRACT, says="a mean over its rows")
class FirstBatchLoss(SoftmaxCrossEntropy):
    first = None

    def keep(self, p, labels):
        if self.first is None or self.first.shape != p.shape:
            self.first = p.copy()
        super().keep(self.first.copy(), labels)


# fmt: off
loss.row(1, "SumForward", "forward sums over the rows, backward averages", SoftmaxCrossEntropy,
    {"forward": After(lambda self, loss, z, y: loss * len(z))})
loss.row(7, "NaiveLogSoftmax", "log(softmax): not finite at logits of 1000", SoftmaxCrossEntropy,
    {"forward": After(lambda self, loss, z, y:
     float(-np.log(of_true_class(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), y)).mean()))}, FAIL_CONTRACT,
    logits=LOGITS * 1000, says="^forward returned ")
loss.row(9, "SmoothForward", "labels are smoothed in forward only", SoftmaxCrossEntropy,
    {"forward": After(lambda self, loss, z, y: float(0.9 * loss - 0.1 * np.log(self.probabilities(z)).mean()))})
loss.row(10, "EpsilonForward", "log(p + 1e-7) in forward only", SoftmaxCrossEntropy,
    {"forward": After(lambda self, loss, z, y: float(-np.log(of_true_class(self.probabilities(z), y) + 1e-7).mean()))})
loss.row(10, "ClipForward", "probabilities are clipped at 0.01 in forward only", SoftmaxCrossEntropy,
    {"forward": After(lambda self, loss, z, y:
     float(-np.log(np.clip(of_true_class(self.probabilities(z), y), 0.01, 0.99)).mean()))}, logits=LOGITS * 5)
loss.row(65, "BackwardTwiceLoss", "a second backward gives something else instead of refusing", SoftmaxCrossEntropy,
    {"kept": lambda self, *dy: self._kept}, FAIL_CONTRACT, says="a second backward after")
loss.row(76, "NoisyLoss", "forward is noisy", SoftmaxCrossEntropy,
    {"forward": After(lambda self, loss, z, y: loss + 1e-6 * float(NOISE.normal()))}, NONDETERMINISTIC,
    says="two calls of forward .* differ in the loss")
# fmt: on
