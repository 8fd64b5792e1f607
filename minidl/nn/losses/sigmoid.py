"""Sigmoids with cross-entropy: independent yes-or-no questions."""

from typing import Any

import numpy as np

from minidl._core.checks import check_outputs
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.nn.arithmetic import quietly, sigmoid
from minidl.nn.losses.base import Loss, NumberLoss
from minidl.nn.losses.softmax import ClassLoss


class _SigmoidLoss(Loss):
    """Base of both: a logit z for each question, and a target t in [0, 1] for each logit."""

    takes_logits = True

    @quietly
    def _mean(self, z: Array, t: Array) -> float:
        """Return the mean over all logits, and keep what `backward` needs."""
        self.keep(z, t)
        # No cancellation: for a large z and t = 1 the difference is exactly 0.
        losses = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
        return float(losses.mean(dtype=np.float64))

    def backward(self) -> Array:
        z, t = self.kept()
        return (sigmoid(z) - t) / z.size

    def probabilities(self, outputs: Array) -> Array:
        """Return the sigmoid of each logit."""
        check_outputs(outputs)
        return sigmoid(outputs)


class SigmoidCrossEntropy(_SigmoidLoss, ClassLoss):
    """K yes-or-no losses for K classes: the mean over classes, then rows, of the binary cross-entropy of each sigmoid.

    With ``p = 1 / (1 + exp(-z))`` and t the one-hot row of the label, the loss of a row is
    ``-sum(t * log(p) + (1 - t) * log(1 - p)) / K``, computed from the logits as in `BinaryCrossEntropy`.
    Gradient: ``(p - t) / (n * K)``.

    Outputs are logits z, shape (n, classes): use no Sigmoid layer before it. Targets are integer class labels, shape
    (n,), in 0 .. classes - 1. `probabilities` returns the sigmoid of each class, so a row need not sum to 1.

    Raises
    ------
    ShapeError, InputError
        If labels are not integers of shape (n,) in range, or there are no rows.
    NonFiniteError
        If a logit is NaN or infinite.

    References
    ----------
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.2, for each class.

    Examples
    --------
    >>> loss = SigmoidCrossEntropy()
    >>> round(loss.forward(np.zeros((2, 3)), [0, 2]), 6)
    0.693147
    >>> loss.probabilities(np.zeros((1, 3)))
    array([[0.5, 0.5, 0.5]])
    """

    def forward(self, outputs: Array, targets: Any) -> float:
        check_outputs(outputs, classes=True)
        labels = self.check_targets(targets, outputs.shape)
        onehot = np.zeros(outputs.shape, outputs.dtype)
        onehot[np.arange(len(labels)), labels] = 1
        return self._mean(outputs, onehot)


class BinaryCrossEntropy(_SigmoidLoss, NumberLoss):
    """Cross-entropy of the sigmoids of logits, ``-t * log(p) - (1 - t) * log(1 - p)`` with ``p = 1 / (1 + exp(-z))``.

    The mean over the outputs of a row, then over rows. Computed as ``max(z, 0) - z * t + log(1 + exp(-|z|))``, which
    neither overflows nor takes the logarithm of 0. Gradient: ``(p - t) / z.size``.

    Outputs are logits z, shape (n,) or (n, ...): use no Sigmoid layer before it. Targets are numbers t in [0, 1], of
    the same shape. `probabilities` returns the sigmoids: the probability of a 1.

    Raises
    ------
    ShapeError, InputError
        If targets are not in [0, 1] or not of the outputs' shape, or there are no rows.
    NonFiniteError
        If a logit or a target is NaN or infinite.

    References
    ----------
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.2.

    Examples
    --------
    >>> loss = BinaryCrossEntropy()
    >>> round(loss.forward(np.array([0.0, 0.0]), [0, 1]), 6)
    0.693147
    >>> loss.backward()
    array([ 0.25, -0.25])
    """

    def forward(self, outputs: Array, targets: Any) -> float:
        check_outputs(outputs)
        targets = self.check_targets(targets, outputs.shape).astype(outputs.dtype, copy=False)
        return self._mean(outputs, targets)

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array of numbers in [0, 1], one for each output."""
        array = super().check_targets(targets, output_shape)
        if array.size and (array.min() < 0 or array.max() > 1):
            raise InputError(f"{self!r}: expected targets in [0, 1], got {array.min()} to {array.max()}")
        return array

    def predict(self, outputs: Array) -> Array:
        """Return 1 where the logit is above 0 (a probability above 1/2), else 0."""
        check_outputs(outputs)
        return (outputs > 0).astype(np.int64)

    def metrics(self, outputs: Array, targets: Any) -> dict[str, float]:
        """Return the accuracy: the share of outputs classified correctly; never so for targets between 0 and 1."""
        targets = self.check_targets(targets, outputs.shape)
        return {"accuracy": float((self.predict(outputs) == targets).mean())}
