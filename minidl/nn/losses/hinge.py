"""MulticlassHinge: the loss of a support vector machine."""

import math
from typing import Any

import numpy as np

from minidl._core.checks import as_number, check_outputs
from minidl._core.types import Array
from minidl.nn.arithmetic import quietly
from minidl.nn.losses.softmax import ClassLoss


class MulticlassHinge(ClassLoss):
    """Hinge loss of a multiclass support vector machine, ``sum(max(0, z[j] - z[y] + margin))``, mean over rows.

    The sum is over the wrong classes j. Gradient, with ``violated = (z - z[y] + margin > 0)`` for the wrong classes:
    ``violated / n``, and for the label ``-sum(violated) / n`` (at a kink this is the slope from the side without
    violation). PyTorch's `MultiMarginLoss` also divides by the number of classes.

    Outputs are scores z, shape (n, classes); targets are integer class labels y, shape (n,), in 0 .. classes - 1.

    Parameters
    ----------
    margin : float
        Margin by which the correct class must win, greater than 0.

    Raises
    ------
    ShapeError, InputError
        If labels are not integers of shape (n,) in range, there are no rows, or the margin is not above 0.
    NonFiniteError
        If a score is NaN or infinite.

    References
    ----------
    Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.

    Examples
    --------
    >>> loss = MulticlassHinge()
    >>> loss.forward(np.array([[3.0, 2.5, -1.0]]), [0])
    0.5
    >>> loss.backward()
    array([[-1.,  1.,  0.]])
    """

    def __init__(self, margin: float = 1.0) -> None:
        self.margin = as_number("margin", margin, 0, above=True)

    @quietly
    def forward(self, outputs: Array, targets: Any) -> float:
        check_outputs(outputs, classes=True)
        labels = self.check_targets(targets, outputs.shape)
        shortfalls = self._shortfalls(outputs, labels)
        self.keep(shortfalls, labels)
        total = float(shortfalls.sum(dtype=np.float64))
        if total == math.inf:
            # The difference of two scores may overflow their dtype.
            total = float(self._shortfalls(outputs.astype(np.float64), labels).sum())
        return total / len(labels)

    def _shortfalls(self, outputs: Array, labels: Array) -> Array:
        """Return by how much each wrong class violates the margin, shape (n, classes)."""
        rows = np.arange(len(labels))
        with np.errstate(over="ignore"):
            shortfalls: Array = np.maximum(outputs - outputs[rows, labels, np.newaxis] + self.margin, 0)
        shortfalls[rows, labels] = 0
        return shortfalls

    def backward(self) -> Array:
        shortfalls, labels = self.kept()
        gradient = np.sign(shortfalls)
        gradient[np.arange(len(labels)), labels] = -gradient.sum(axis=1)
        return gradient / len(labels)
