"""Softmax with cross-entropy: one class of several."""

from typing import Any

import numpy as np

from minidl._core.checks import as_array, as_fraction, check_finite
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array
from minidl.nn.losses.base import ClassLoss
from minidl.nn.losses.common import shifted_logits


class SoftmaxCrossEntropy(ClassLoss):
    """Cross-entropy of the softmax of logits, ``-log p[i, y[i]]`` with ``p = exp(z) / sum(exp(z))``, mean over rows.

    Computed as ``log(sum(exp(z - max))) - (z[y] - max)``, which neither overflows nor takes the logarithm of 0.
    Gradient: ``(p - onehot(y)) / n``.

    Outputs are logits z, shape (n, classes): put no Softmax layer before it. Targets are integer class labels y, shape
    (n,), in 0 .. classes - 1.

    With class weights w and a label smoothing of s, the loss of a row is ``-sum(q * log p)`` with
    ``q = w * ((1 - s) * onehot(y) + s / classes)``. Gradient: ``(sum(q) * p - q) / n``.

    Parameters
    ----------
    label_smoothing : float
        The share of each target that is spread over all classes, in [0, 1).
    class_weights : array_like, shape (classes,), optional
        How much each class counts, at least 0; None is 1 for all. The loss stays the mean over the n rows, equal to the
        mean of PyTorch's ``cross_entropy(..., reduction="none")``; PyTorch's own ``"mean"`` divides by the sum of the
        weights of the rows' classes instead, so that a row's share would depend on the other rows in its batch.

    Raises
    ------
    ShapeError, InputError
        If labels are not integers of shape (n,) in range, there are no rows, or an option is not as above.
    NonFiniteError
        If a row of logits holds NaN or +infinity, or nothing but -infinity (with label smoothing: any -infinity).

    References
    ----------
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.4. Szegedy et al., "Rethinking the Inception
    architecture for computer vision", CVPR 2016, section 7 (label smoothing).

    Examples
    --------
    >>> loss = SoftmaxCrossEntropy()
    >>> round(loss.forward(np.array([[0.0, 0.0], [0.0, 0.0]]), [0, 1]), 6)
    0.693147
    >>> loss.backward()
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """

    def __init__(self, label_smoothing: float = 0.0, class_weights: Any = None) -> None:
        self.label_smoothing = as_fraction("label_smoothing", label_smoothing)  # at 1 the labels would not matter
        self.class_weights = None if class_weights is None else _as_class_weights(class_weights)
        self._plain = self.label_smoothing == 0 and self.class_weights is None

    def forward(self, outputs: Array, targets: Any) -> float:
        shifted = shifted_logits(outputs)
        labels = self.check_targets(targets, outputs.shape)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        exponentials /= sums
        if self._plain:
            self.keep(exponentials, labels)
            losses = np.log(sums[:, 0]) - shifted[np.arange(len(labels)), labels]
        else:
            wanted = self._wanted(labels, outputs)
            self.keep(exponentials, wanted)
            surprise = np.log(sums) - shifted
            losses = np.multiply(wanted, surprise, out=np.zeros_like(wanted), where=wanted > 0).sum(axis=1)
        return float(losses.sum(dtype=np.float64)) / len(labels)

    def backward(self) -> Array:
        gradient, targets = self.kept()
        if targets.ndim == 1:
            gradient[np.arange(len(targets)), targets] -= 1.0
        else:
            gradient *= targets.sum(axis=1, keepdims=True)
            gradient -= targets
        gradient /= len(targets)
        return gradient

    def probabilities(self, outputs: Array) -> Array:
        """Return the softmax of each row, shape (n, classes)."""
        p = shifted_logits(outputs)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        return p

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array of labels, one a row, each the number of an output."""
        labels = super().check_targets(targets, output_shape)
        if self.class_weights is not None and len(self.class_weights) != output_shape[1]:
            raise ShapeError(
                f"{self!r}: expected class_weights for the {output_shape[1]} classes, got {len(self.class_weights)}"
            )
        return labels

    def _wanted(self, labels: Array, outputs: Array) -> Array:
        """Return q, the weighted and smoothed targets, shape (n, classes)."""
        if self.label_smoothing:
            check_finite("logits", outputs)  # where every class is wanted a little, none may be impossible
        q = np.full(outputs.shape, self.label_smoothing / outputs.shape[1], outputs.dtype)
        q[np.arange(len(labels)), labels] += 1 - self.label_smoothing
        if self.class_weights is not None:
            q *= self.class_weights
        return q

    def __repr__(self) -> str:
        options = [f"label_smoothing={self.label_smoothing!r}"] if self.label_smoothing else []
        options += [] if self.class_weights is None else [f"class_weights={self.class_weights.tolist()}"]
        return f"{type(self).__name__}({', '.join(options)})"


def _as_class_weights(value: Any) -> Array:
    weights = np.array(as_array("class_weights", value), dtype=np.float64)
    check_finite("class_weights", weights)
    if weights.ndim != 1 or not (weights >= 0).all() or not weights.any():
        raise InputError(f"class_weights: expected numbers >= 0, shape (classes,), not all 0, got {value!r:.80}")
    return weights
