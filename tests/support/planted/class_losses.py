"""Other losses of class labels and of yes or no: sigmoids, hinges, and the options of the cross-entropy."""

import numpy as np

from minidl import BinaryCrossEntropy, MulticlassHinge, SigmoidCrossEntropy, Softmax, SoftmaxCrossEntropy
from planted.fault import FAIL_CONTRACT, PASS, PASS_SUBGRADIENT, After, Family, on_kept
from planted.numbers import LABELS, signed

LOGITS = signed(5, 3)
SHARES = np.array([[0.0, 1.0, 0.25]] * 4 + [[1.0, 0.5, 0.0]])
KINK = np.array([[1.0, 0.0, 0.25], [2.0, -1.0, 3.0], [0.5, 0.25, -0.125], [0.0, 0.5, 1.5], [0.0, 0.5, 1.5]])
"""Scores of which one lies exactly a margin of 1 below its row's label 2, 0, 1, ... or above it."""


softmax = Family("loss", lambda c: (c(0.25, [0.5, 1.0, 3.0]), LOGITS, LABELS), "outputs")
labelled = Family("loss", lambda c, logits=LOGITS: (c(), logits, LABELS), "outputs")
shared = Family("loss", lambda c, logits=LOGITS: (c(), logits, SHARES), "outputs")


@softmax(2, "both divide by the sum of the rows' class weights, not rows", FAIL_CONTRACT, says="mean over its rows")
class WeightedMean(SoftmaxCrossEntropy):
    def forward(self, outputs, targets):
        self.share = len(targets) / self.class_weights[np.asarray(targets)].sum()
        return float(super().forward(outputs, targets) * self.share)

    def backward(self):
        return super().backward() * self.share


@softmax(9, "backward spreads the smoothing over the wrong classes alone: s / (K - 1)")
class SmoothsOtherwise(SoftmaxCrossEntropy):
    def backward(self):
        p, _ = self.kept()
        q = np.where(np.eye(3)[LABELS], 0.75, 0.25 / 2) * self.class_weights
        return (p * q.sum(axis=1, keepdims=True) - q) / len(q)


@shared(22, "backward subtracts p from the caller's targets", FAIL_CONTRACT, says="backward changed targets")
class SpoilsTargets(BinaryCrossEntropy):
    def backward(self):
        z, t = self.kept()
        t -= self.probabilities(z)
        return -t / z.size


def counted(shortfalls, labels, at_label, least=0.0):
    """Return the gradient of a hinge: 1 for each class that falls short, and `at_label` of these for the label."""
    gradient = (shortfalls > least).astype(shortfalls.dtype)
    gradient[np.arange(len(labels)), labels] = at_label(gradient)
    return gradient / len(labels)


def over_entries(slopes):
    """Return a backward: the slopes of logits z and targets t, divided by the number of entries."""
    return on_kept(lambda z, t: slopes(z, t) / z.size)


def entropy(p, t, epsilon=0.0):
    return float(-(t * np.log(p + epsilon) + (1 - t) * np.log(1 - p + epsilon)).mean())


# fmt: off
softmax.row(2, "UnweightedBackward", "backward takes all class weights for 1", SoftmaxCrossEntropy,
    {"backward": on_kept(lambda p, q: (p - q / q.sum(axis=1, keepdims=True)) / len(q))})
softmax.row(8, "TargetsSumToOne", "p - q instead of sum(q) * p - q, where the weighted targets q do not sum to 1",
    SoftmaxCrossEntropy, {"backward": on_kept(lambda p, q: (p - q) / len(q))})
softmax.row(9, "SmoothsForwardOnly", "backward forgets the smoothing", SoftmaxCrossEntropy,
    {"backward": lambda self: self.class_weights[LABELS, None] * (self.kept()[0] - np.eye(3)[LABELS]) / len(LABELS)})
softmax.row(2, "WeightedMeanBackward", "backward divides by the sum of the rows' class weights, forward by the rows",
    SoftmaxCrossEntropy, {"backward": After(lambda self, g: g * len(LABELS) / self.class_weights[LABELS].sum())})
softmax.row(9, "SmoothedAndWeighted", "correct, with smoothing and class weights", SoftmaxCrossEntropy, {}, PASS)
labelled.row(1, "SumOfSigmoids", "the gradient of the K binary losses is not divided by K", SigmoidCrossEntropy,
    {"backward": After(lambda self, g: g * g.shape[1])})
labelled.row(3, "SigmoidAsSoftmax", "the softmax's gradient for the sigmoids' loss", SigmoidCrossEntropy,
    {"backward": over_entries(lambda z, t: Softmax().forward(z) - t)})
labelled.row(26, "OverflowingSigmoid", "exp(z) / (1 + exp(z)): NaN at a logit of 1000", SigmoidCrossEntropy,
    {"backward": over_entries(lambda z, t: np.exp(z) / (1 + np.exp(z)) - t)}, FAIL_CONTRACT,
    logits=signed(5, 3) * 1000)
shared.row(10, "ClippedProbabilities", "probabilities are clipped at 0.2 in forward only", BinaryCrossEntropy,
    {"forward": After(lambda self, loss, z, t: entropy(np.clip(self.probabilities(z), 0.2, 0.8), t))},
    logits=LOGITS * 5)
shared.row(10, "EpsilonProbabilities", "log(p + 1e-7) in forward only", BinaryCrossEntropy,
    {"forward": After(lambda self, loss, z, t: entropy(self.probabilities(z), t, 1e-7))})
shared.row(11, "WrongNegativeBranch", "the branch for negative logits takes 1 - p for p", BinaryCrossEntropy,
    {"backward": over_entries(lambda z, t: 1 / (1 + np.exp(-np.abs(z))) - t)})
shared.row(11, "WrongSoftplus", "forward lacks max(z, 0) where z is negative and |z| where it is positive",
    BinaryCrossEntropy,
    {"forward": After(lambda self, loss, z, t: float((np.log1p(np.exp(-np.abs(z))) - z * t + z / 2).mean()))})
shared.row(28, "OverflowingSoftplus", "log(1 + exp(z)): infinite at logits of 1000", BinaryCrossEntropy,
    {"forward": After(lambda self, loss, z, t: float((np.log(1 + np.exp(z)) - z * t).mean()))}, FAIL_CONTRACT,
    logits=signed(5, 3) * 1000)
shared.row(76, "SaturatedSigmoid", "correct, on logits of hundreds: most gradients are zero or tiny",
    BinaryCrossEntropy, {}, PASS, logits=LOGITS * 300)
labelled.row(1, "HingeByClasses", "backward divides by the classes, as PyTorch's hinge does, forward does not",
    MulticlassHinge, {"backward": After(lambda self, g: g / g.shape[1])})
labelled.row(2, "HingeCountsOnce", "the label gets -1, however many classes are within the margin", MulticlassHinge,
    {"backward": on_kept(lambda short, labels: counted(short, labels, lambda g: -1.0 * g.any(axis=1)))})
labelled.row(30, "HingeWithoutMargin", "backward forgets the margin: only classes that win count", MulticlassHinge,
    {"backward": on_kept(lambda short, labels: counted(short, labels, lambda g: -g.sum(axis=1), 1.0))})
labelled.row(30, "HingeWithOwnTerm", "the sum is over the label too: a constant more, the same slopes", MulticlassHinge,
    {"forward": After(lambda self, loss, z, y: loss + self.margin)}, PASS)
labelled.row(21, "HingeAtTheKink", "correct, and scores exactly a margin apart", MulticlassHinge, {}, PASS_SUBGRADIENT,
    logits=KINK)
# fmt: on
