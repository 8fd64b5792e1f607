"""Losses for class labels: their base class, and softmax with cross-entropy."""

import copy
import math
from typing import Any

import numpy as np

from minidl._core.checks import as_array, as_fraction, as_labels, check_finite, check_outputs
from minidl._core.errors import InputError, NonFiniteError, ShapeError
from minidl._core.types import Array
from minidl.nn.arithmetic import quietly
from minidl.nn.losses.base import Loss
from minidl.nn.metrics import accuracy

SHORT_ROW = 32
"""Largest number of entries in a short row."""


class ClassLoss(Loss):
    """A loss of scores, shape (n, classes), with integer class labels, shape (n,), as targets."""

    takes_logits = True
    class_weights: Array | None = None
    """Weight of each class, in a loss that supports class weights."""

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array of labels, one per row, in 0 .. classes - 1."""
        if len(output_shape) != 2:
            raise ShapeError(f"{self!r}: expected outputs of shape (n, classes), got {output_shape}")
        if self.class_weights is not None and len(self.class_weights) != output_shape[1]:
            raise ShapeError(f"{self!r}: expected {output_shape[1]} class_weights, got {len(self.class_weights)}")
        return as_labels(self, "targets", targets, *output_shape)

    def predict(self, outputs: Array) -> Array:
        """Return the class with the largest output of each row, shape (n,); the first if several are equal."""
        return shifted_logits(outputs).argmax(axis=1)

    def metrics(self, outputs: Array, targets: Any) -> dict[str, float]:
        """Return the accuracy."""
        return {"accuracy": accuracy(self.predict(outputs), targets)}


class SoftmaxCrossEntropy(ClassLoss):
    """Cross-entropy of the softmax of logits, ``-log p[i, y[i]]`` with ``p = exp(z) / sum(exp(z))``, mean over rows.

    Computed as ``log(sum(exp(z - max))) - (z[y] - max)``, which neither overflows nor takes the logarithm of 0.
    Gradient: ``(p - onehot(y)) / n``.

    Outputs are logits z, shape (n, classes): use no Softmax layer before it. Targets are integer class labels y, shape
    (n,), in 0 .. classes - 1.

    With class weights w and label smoothing s, the loss of a row is ``-sum(q * log p)`` with
    ``q = w * ((1 - s) * onehot(y) + s / classes)``. Gradient: ``(sum(q) * p - q) / n``.

    Parameters
    ----------
    label_smoothing : float
        Share of each target that is spread over all classes, in [0, 1).
    class_weights : array_like, shape (classes,), optional
        Weight of each class, at least 0; None is 1 for all. The loss is still the mean over the n rows, equal to the
        mean of PyTorch's ``cross_entropy(..., reduction="none")``. PyTorch's ``"mean"`` divides by the sum of the
        weights of the rows' classes instead, so the weight of a row depends on the other rows in its batch.

    Raises
    ------
    ShapeError, InputError
        If labels are not integers of shape (n,) in range, there are no rows, or an option is not as above.
    NonFiniteError
        If a row of logits contains NaN or +infinity, or only -infinity (with label smoothing: any -infinity).

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
        # With a smoothing of 1 the labels would have no effect.
        self.label_smoothing = as_fraction("label_smoothing", label_smoothing)
        self.class_weights = None if class_weights is None else _as_class_weights(class_weights)
        # Without options, only the label's term of each sum is not 0. Skipping the others saves 4 % of a step of the
        # main job.
        self._plain = self.label_smoothing == 0 and self.class_weights is None

    def forward(self, outputs: Array, targets: Any) -> float:
        z = shifted_logits(outputs)
        y = self.check_targets(targets, outputs.shape)
        p = np.exp(z)
        sums = p.sum(axis=1, keepdims=True)
        p /= sums
        if self._plain:
            self.keep(p, y)
            losses = np.log(sums[:, 0]) - z[np.arange(len(y)), y]
        else:
            q = self._soft_targets(y, outputs)
            self.keep(p, q)
            with np.errstate(over="ignore"):
                losses = np.multiply(q, np.log(sums) - z, out=np.zeros_like(q), where=q > 0).sum(axis=1)
        loss = float(losses.sum(dtype=np.float64)) / len(y)
        if loss == math.inf and outputs.itemsize < 8:
            # The difference of two logits may overflow their dtype. Use a copy: `backward` needs the kept values.
            return SoftmaxCrossEntropy.forward(copy.copy(self), outputs.astype(np.float64), y)
        return loss

    def backward(self) -> Array:
        gradient, targets = self.kept()
        if self._plain:
            gradient[np.arange(len(targets)), targets] -= 1.0
        else:
            gradient *= targets.sum(axis=1, keepdims=True)
            gradient -= targets
        return gradient / len(targets)

    def probabilities(self, outputs: Array) -> Array:
        """Return the softmax of each row, shape (n, classes)."""
        p = np.exp(shifted_logits(outputs))
        return p / p.sum(axis=1, keepdims=True)

    def _soft_targets(self, labels: Array, outputs: Array) -> Array:
        """Return q, the weighted and smoothed targets, shape (n, classes)."""
        # With smoothing, every class has a positive target, so no class may have probability 0.
        if self.label_smoothing:
            check_finite("logits", outputs)
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


@quietly
def shifted_logits(logits: Array) -> Array:
    """Return each row minus its largest logit, as a new array, shape (n, classes).

    Raises an error if the shape is not (n, classes), or the largest logit of a row is not finite.
    """
    check_outputs(logits, classes=True, finite=False)
    # Short rows in column order: for a sum or a maximum, NumPy has a fixed cost per row. For 1000 rows of ten that is
    # 50 us in row order, and 3 us in column order plus 5 us for the copy.
    if logits.shape[1] <= SHORT_ROW:
        logits = np.asfortranarray(logits)
    top = logits.max(axis=1, keepdims=True)
    # One number shows whether all are finite; vdot takes half the time of isfinite and all. It may overflow itself.
    if not math.isfinite(np.vdot(top, top)) and not np.isfinite(top).all():
        row = int(np.isfinite(top[:, 0]).argmin())
        raise NonFiniteError(f"logits: expected finite numbers, got {top[row, 0]} in row {row}; has training diverged?")
    # A difference may overflow to -infinity; its probability is 0 anyway.
    shifted: Array = logits - top
    return shifted
