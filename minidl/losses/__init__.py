"""Losses: how wrong a batch of outputs is, as one number, and its gradient."""

from minidl.losses.base import Loss
from minidl.losses.hinge import MulticlassHinge
from minidl.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError
from minidl.losses.sigmoid import BinaryCrossEntropy, SigmoidCrossEntropy
from minidl.losses.softmax import SoftmaxCrossEntropy

__all__ = [
    "BinaryCrossEntropy",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MulticlassHinge",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
]
