"""Losses: how wrong a batch of outputs is, as one number, and its gradient."""

from minidl.nn.losses.base import Loss
from minidl.nn.losses.classes import MulticlassHinge, SoftmaxCrossEntropy
from minidl.nn.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError
from minidl.nn.losses.sigmoid import BinaryCrossEntropy, SigmoidCrossEntropy

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
