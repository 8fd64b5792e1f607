"""Losses: how wrong a batch of outputs is, as one number, and its gradient."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from minidl.checks import as_array
from minidl.errors import InputError, NonFiniteError, ShapeError
from minidl.memory import ForwardMemory
from minidl.metrics import accuracy
from minidl.types import Array


class Loss(ForwardMemory, ABC):
    """The data term of the cost: the mean over the batch of each row's loss."""

    @abstractmethod
    def forward(self, outputs: Array, targets: Any) -> float:
        """Return the batch mean of the loss, and `keep` what `backward` needs."""

    @abstractmethod
    def backward(self) -> Array:
        """Return the gradient of the last `forward` with respect to its outputs, of their shape and dtype."""

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array, or refuse them if they cannot go with outputs of `output_shape`.

        The trainer asks this of whole sets before the first step; any targets will do unless overridden.
        """
        return as_array("targets", targets)

    def predict(self, outputs: Array) -> Array:
        """Return what the outputs predict: the outputs themselves, unless a loss means something else by them."""
        return outputs

    def probabilities(self, outputs: Array) -> Array:
        """Return the probabilities that the outputs stand for."""
        raise InputError(f"{self!r}: its outputs stand for no probabilities")

    def metrics(self, outputs: Array, targets: Any) -> dict[str, float]:
        """Return further means over the rows, by name, for the history; none unless overridden."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SoftmaxCrossEntropy(Loss):
    """Cross-entropy of the softmax of logits, ``-log p[i, y[i]]`` with ``p = exp(z) / sum(exp(z))``, mean over rows.

    Computed as ``log(sum(exp(z - max))) - (z[y] - max)``, which neither overflows nor takes the logarithm of 0.
    Gradient: ``(p - onehot(y)) / n``.

    Outputs are logits z, shape (n, classes); targets are integer class labels y, shape (n,), in 0 .. classes - 1.

    Raises
    ------
    ShapeError, InputError
        If labels are not integers of shape (n,) in range, or there are no rows.
    NonFiniteError
        If a row of logits holds NaN or +infinity, or nothing but -infinity.

    References
    ----------
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.4.

    Examples
    --------
    >>> loss = SoftmaxCrossEntropy()
    >>> round(loss.forward(np.array([[0.0, 0.0], [0.0, 0.0]]), [0, 1]), 6)
    0.693147
    >>> loss.backward()
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """

    def forward(self, outputs: Array, targets: Any) -> float:
        shifted = _shifted(outputs)
        labels = self.check_targets(targets, outputs.shape)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        losses = np.log(sums[:, 0]) - shifted[rows, labels]
        exponentials /= sums
        self.keep(exponentials, labels)
        return float(losses.mean(dtype=np.float64))

    def backward(self) -> Array:
        gradient, labels = self.kept()
        gradient[np.arange(len(labels)), labels] -= 1.0
        gradient /= len(labels)
        return gradient

    def predict(self, outputs: Array) -> Array:
        """Return the most probable class of each row, shape (n,)."""
        labels: Array = _shifted(outputs).argmax(axis=1)
        return labels

    def probabilities(self, outputs: Array) -> Array:
        """Return the softmax of each row, shape (n, classes)."""
        p: Array = np.exp(_shifted(outputs))
        p /= p.sum(axis=1, keepdims=True)
        return p

    def metrics(self, outputs: Array, targets: Any) -> dict[str, float]:
        """Return the accuracy."""
        return {"accuracy": accuracy(self.predict(outputs), targets)}

    def check_targets(self, targets: Any, output_shape: tuple[int, ...]) -> Array:
        """Return `targets` as an array of labels, one a row, each the number of an output."""
        labels = as_array("targets", targets)
        if labels.shape != output_shape[:1]:
            hint = "; one-hot rows become labels by targets.argmax(axis=1)" if labels.shape == output_shape else ""
            raise ShapeError(f"{self!r}: expected targets of shape {output_shape[:1]}, got {labels.shape}{hint}")
        if labels.dtype.kind not in "iu":
            raise InputError(f"{self!r}: expected integer class labels as targets, got dtype {labels.dtype}")
        classes = output_shape[1]
        if labels.min() < 0 or labels.max() >= classes:  # NumPy would take -1 as the last class
            row = int(np.argmax((labels < 0) | (labels >= classes)))
            raise InputError(f"{self!r}: expected labels in 0..{classes - 1}, got {labels[row]} in row {row}")
        return labels


def _shifted(logits: Array) -> Array:
    """Return each row minus its maximum: the softmax is the same, and exp cannot overflow."""
    if not isinstance(logits, np.ndarray) or logits.dtype.kind != "f" or logits.ndim != 2 or logits.size == 0:
        got = f"{logits.dtype} {logits.shape}" if isinstance(logits, np.ndarray) else type(logits).__name__
        raise ShapeError(f"logits: expected a floating-point array of shape (n, classes), both >= 1, got {got}")
    top = logits.max(axis=1, keepdims=True)
    finite = np.isfinite(top)
    if not finite.all():
        row = int(finite[:, 0].argmin())
        raise NonFiniteError(f"logits: expected finite numbers, got {top[row, 0]} in row {row}; has training diverged?")
    shifted: Array = logits - top
    return shifted
