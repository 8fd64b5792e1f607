"""Losses: the error of a batch of outputs as one number, and its gradient."""

from minidl.nn.losses.base import Loss
from minidl.nn.losses.hinge import MulticlassHinge
from minidl.nn.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError
from minidl.nn.losses.sigmoid import BinaryCrossEntropy, SigmoidCrossEntropy
from minidl.nn.losses.softmax import SoftmaxCrossEntropy

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
