"""Other losses of class labels and of yes or no: sigmoids, hinges, and the options of the cross-entropy."""

import numpy as np

from minidl import BinaryCrossEntropy, MulticlassHinge, SigmoidCrossEntropy, SoftmaxCrossEntropy
from planted.fault import FAIL_CONTRACT, LABELS, PASS, PASS_SUBGRADIENT, Family, signed

LOGITS = signed(5, 3)
SHARES = np.array([[0.0, 1.0, 0.25]] * 4 + [[1.0, 0.5, 0.0]])
KINK = np.array([[1.0, 0.0, 0.25], [2.0, -1.0, 3.0], [0.5, 0.25, -0.125], [0.0, 0.5, 1.5], [0.0, 0.5, 1.5]])
"""Scores of which one lies exactly a margin of 1 below its row's label 2, 0, 1, ... or above it."""


softmax = Family("loss", lambda c: (c(0.25, [0.5, 1.0, 3.0]), LOGITS, LABELS), "outputs")
labelled = Family("loss", lambda c, logits=LOGITS: (c(), logits, LABELS), "outputs")
shared = Family("loss", lambda c, logits=LOGITS: (c(), logits, SHARES), "outputs")


@softmax(2, "both divide by the sum of the rows' class weights, not rows", FAIL_CONTRACT, says="mean of its rows")
class WeightedMean(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        self.share = len(targets) / self.class_weights[np.asarray(targets)].sum()
        return float(super().forward(outputs, targets) * self.share)

    def backward(self):
        return super().backward() * self.share


@softmax(2, "backward takes all class weights for 1")
class UnweightedBackward(SoftmaxCrossEntropy):
    def backward(self):
        p, q = self.kept()
        return (p - q / q.sum(axis=1, keepdims=True)) / len(q)


@softmax(8, "p - q instead of sum(q) * p - q, where the weighted targets q do not sum to 1")
class TargetsSumToOne(SoftmaxCrossEntropy):
    def backward(self):
        p, q = self.kept()
        return (p - q) / len(q)


@softmax(9, "backward spreads the smoothing over the wrong classes alone: s / (K - 1)")
class SmoothsOtherwise(SoftmaxCrossEntropy):
    def backward(self):
        p, _ = self.kept()
        n, classes = p.shape
        q = np.full(p.shape, 0.25 / (classes - 1))
        q[np.arange(n), LABELS] = 0.75
        q *= self.class_weights
        return (p * q.sum(axis=1, keepdims=True) - q) / n


@softmax(9, "backward forgets the smoothing")
class SmoothsForwardOnly(SoftmaxCrossEntropy):
    def backward(self):
        p, _ = self.kept()
        w = self.class_weights[LABELS, None]
        return w * (p - np.eye(3)[LABELS]) / len(p)


@labelled(1, "the gradient of the K binary losses is not divided by K")
class SumOfSigmoids(SigmoidCrossEntropy):
    def backward(self):
        gradient = super().backward()
        return gradient * gradient.shape[1]


@labelled(3, "the softmax's gradient for the sigmoids' loss")
class SigmoidAsSoftmax(SigmoidCrossEntropy):
    def backward(self):
        z, t = self.kept()
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return (p / p.sum(axis=1, keepdims=True) - t) / z.size


@labelled(26, "exp(z) / (1 + exp(z)): NaN at a logit of 1000", FAIL_CONTRACT, logits=signed(5, 3) * 1000)
class OverflowingSigmoid(SigmoidCrossEntropy):
    def backward(self):
        z, t = self.kept()
        with np.errstate(all="ignore"):
            return (np.exp(z) / (1 + np.exp(z)) - t) / z.size


@shared(10, "probabilities are clipped at 0.2 in forward only", logits=LOGITS * 5)
class ClippedProbabilities(BinaryCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        p = np.clip(self.probabilities(outputs), 0.2, 0.8)
        return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean())


@shared(10, "log(p + 1e-7) in forward only")
class EpsilonProbabilities(BinaryCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        p = self.probabilities(outputs)
        return float(-(targets * np.log(p + 1e-7) + (1 - targets) * np.log(1 - p + 1e-7)).mean())


@shared(11, "the branch for negative logits takes 1 - p for p")
class WrongNegativeBranch(BinaryCrossEntropy):
    def backward(self):
        z, t = self.kept()
        return (1 / (1 + np.exp(-np.abs(z))) - t) / z.size


@shared(11, "forward lacks max(z, 0) where z is negative and |z| where it is positive")
class WrongSoftplus(BinaryCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        return float((np.log1p(np.exp(-np.abs(outputs))) - outputs * targets + outputs / 2).mean())


@shared(22, "backward subtracts p from the caller's targets", FAIL_CONTRACT, says="backward changed targets")
class SpoilsTargets(BinaryCrossEntropy):
    def backward(self):
        z, t = self.kept()
        t -= self.probabilities(z)
        return -t / z.size


@shared(28, "log(1 + exp(z)): infinite at logits of 1000", FAIL_CONTRACT, logits=signed(5, 3) * 1000)
class OverflowingSoftplus(BinaryCrossEntropy):
    def forward(self, outputs, targets):
        super().forward(outputs, targets)
        with np.errstate(all="ignore"):
            return float((np.log(1 + np.exp(outputs)) - outputs * targets).mean())


@labelled(1, "backward divides by the classes, as PyTorch's hinge does, forward does not")
class HingeByClasses(MulticlassHinge):
    def backward(self):
        gradient = super().backward()
        return gradient / gradient.shape[1]


@labelled(2, "the label gets -1, however many classes are within the margin")
class HingeCountsOnce(MulticlassHinge):
    def backward(self):
        shortfalls, labels = self.kept()
        gradient = (shortfalls > 0).astype(shortfalls.dtype)
        gradient[np.arange(len(labels)), labels] = np.where(gradient.any(axis=1), -1, 0)
        return gradient / len(labels)


@labelled(30, "backward forgets the margin: only classes that win count")
class HingeWithoutMargin(MulticlassHinge):
    def backward(self):
        shortfalls, labels = self.kept()
        gradient = (shortfalls > self.margin).astype(shortfalls.dtype)
        gradient[np.arange(len(labels)), labels] = -gradient.sum(axis=1)
        return gradient / len(labels)


# fmt: off
softmax.row(2, "WeightedMeanBackward", "backward divides by the sum of the rows' class weights, forward by the rows",
    SoftmaxCrossEntropy,
    {"backward": lambda self: SoftmaxCrossEntropy.backward(self) * (len(LABELS) / self.class_weights[LABELS].sum())})
softmax.row(9, "SmoothedAndWeighted", "right, with smoothing and class weights", SoftmaxCrossEntropy, {}, PASS)
shared.row(76, "SaturatedSigmoid", "right, on logits of hundreds: most gradients are zero or tiny", BinaryCrossEntropy,
    {}, PASS, logits=LOGITS * 300)
labelled.row(30, "HingeWithOwnTerm", "the sum is over the label too: a constant more, the same slopes", MulticlassHinge,
    {"forward": lambda self, outputs, targets: MulticlassHinge.forward(self, outputs, targets) + self.margin}, PASS)
labelled.row(21, "HingeAtTheKink", "right, and scores exactly a margin apart", MulticlassHinge, {}, PASS_SUBGRADIENT,
    logits=KINK)
# fmt: on
