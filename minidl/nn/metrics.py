"""Metrics: measures of predictions, besides the loss."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl._core.checks import as_array, as_count, as_labels, not_integers
from minidl._core.errors import InputError, NonFiniteError, ShapeError
from minidl._core.texts import check_text
from minidl._core.types import Array

__all__ = [
    "accuracy",
    "confusion_matrix",
    "mean_true_class_probability",
    "most_confused",
    "per_class_accuracy",
    "top_k_accuracy",
    "true_class_probabilities",
]


def accuracy(predictions: Any, targets: Any) -> float:
    """Return the share of rows that are classified correctly, in [0, 1].

    Parameters
    ----------
    predictions, targets : array_like of int, shape (n,)
        Class labels.

    Raises
    ------
    ShapeError
        If the two do not have the same shape (n,), n >= 1: (n, 1) and (n,) would compare every pair.
    InputError
        If they are not integers, for example probabilities.

    Examples
    --------
    >>> accuracy([1, 2, 3, 3], [1, 2, 3, 4])
    0.75
    """
    predictions, targets = as_array("predictions", predictions), as_array("targets", targets)
    if predictions.ndim != 1 or predictions.shape != targets.shape or len(targets) == 0:
        raise ShapeError(f"accuracy: expected labels of one shape (n,), got {predictions.shape} and {targets.shape}")
    for name, labels in (("predictions", predictions), ("targets", targets)):
        if labels.dtype.kind not in "iu":
            raise not_integers("accuracy", name, labels)
    return float((predictions == targets).mean())


def top_k_accuracy(scores: Any, targets: Any, k: int = 5) -> float:
    """Return the share of rows whose target is among the `k` classes with the largest scores, in [0, 1].

    Equal scores are ranked by class number, lowest first, as in `argmax`, so k = 1 gives the accuracy.
    scikit-learn ranks the highest number first, and Keras counts every class whose score equals the k-th.

    Parameters
    ----------
    scores : array_like, shape (n, classes)
        Logits or probabilities.
    targets : array_like of int, shape (n,)
        Class labels in 0 .. classes - 1.
    k : int
        In 1 .. classes.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above, or there are no rows.
    NonFiniteError
        If a score is NaN.

    Examples
    --------
    >>> top_k_accuracy([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], [1, 2], k=2)
    0.5
    """
    scores = _as_score_rows("top_k_accuracy", "scores", scores)
    n, classes = scores.shape
    targets = as_labels("top_k_accuracy", "targets", targets, n, classes)
    if as_count("k", k) > classes:
        raise InputError(f"top_k_accuracy: expected k <= {classes}, the number of classes, got {k}")
    if np.isnan(scores).any():
        raise NonFiniteError("top_k_accuracy: expected scores without NaN, got NaN; has training diverged?")
    label = targets[:, np.newaxis]
    own = np.take_along_axis(scores, label.astype(np.intp), axis=1)
    ahead = (scores > own) | ((scores == own) & (np.arange(classes) < label))
    return float((ahead.sum(axis=1) < k).mean())


def true_class_probabilities(probabilities: Any, targets: Any) -> Array:
    """Return the predicted probability of the target of each row, shape (n,).

    Parameters
    ----------
    probabilities : array_like, shape (n, classes)
        Numbers in [0, 1].
    targets : array_like of int, shape (n,)
        Class labels in 0 .. classes - 1.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above, or there are no rows.

    Examples
    --------
    >>> true_class_probabilities([[0.5, 0.5], [0.25, 0.75]], [0, 1])
    array([0.5 , 0.75])
    """
    p = _as_score_rows("true_class_probabilities", "probabilities", probabilities)
    targets = as_labels("true_class_probabilities", "targets", targets, *p.shape)
    if not (p.min() >= 0 and p.max() <= 1):
        raise InputError(f"probabilities: expected 0 to 1, got {p.min()} to {p.max()}; call loss.probabilities")
    return p[np.arange(len(targets)), targets]


def mean_true_class_probability(probabilities: Any, targets: Any) -> float:
    """Return the mean over rows of `true_class_probabilities`, in [0, 1].

    Unlike the accuracy, it distinguishes a narrow win from a clear one. Unlike the cross-entropy, it stays finite for a
    confident error.
    """
    return float(true_class_probabilities(probabilities, targets).mean(dtype=np.float64))


def confusion_matrix(predictions: Any, targets: Any, classes: int) -> Array:
    """Return the confusion matrix: entry [t, p] counts the rows of target t that are predicted as p.

    Parameters
    ----------
    predictions, targets : array_like of int, shape (n,)
        Class labels in 0 .. classes - 1.
    classes : int

    Returns
    -------
    array of int64, shape (classes, classes)
        One row per target, one column per prediction; correct predictions are on the diagonal.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above, or there are no rows.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 0, 1], classes=2)
    array([[1, 1],
           [0, 1]])
    """
    classes = as_count("classes", classes)
    n = len(np.atleast_1d(as_array("targets", targets)))
    if n == 0:
        raise ShapeError("confusion_matrix: expected predictions and targets of shape (n,), n >= 1, got no rows")
    # In uint8 the products below would wrap around.
    targets = as_labels("confusion_matrix", "targets", targets, n, classes).astype(np.int64)
    predictions = as_labels("confusion_matrix", "predictions", predictions, n, classes)
    pairs = np.bincount(targets * classes + predictions.astype(np.int64), minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.int64, copy=False)


def per_class_accuracy(predictions: Any, targets: Any, classes: int) -> Array:
    """Return, for each class, the share of its rows that are classified correctly (its recall).

    Parameters
    ----------
    predictions, targets : array_like of int, shape (n,)
        Class labels in 0 .. classes - 1.
    classes : int

    Returns
    -------
    array of float64, shape (classes,)
        NaN for a class without rows.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above, or there are no rows.

    Examples
    --------
    >>> per_class_accuracy([0, 1, 1], [0, 0, 1], classes=3)
    array([0.5, 1. , nan])
    """
    counts = confusion_matrix(predictions, targets, classes)
    with np.errstate(invalid="ignore"):
        return counts.diagonal() / counts.sum(axis=1)


class ConfusedPair(NamedTuple):
    """The number of `rows` of one class predicted as another, and their `share` of the target's rows."""

    target: int | str
    predicted: int | str
    rows: int
    share: float


def most_confused(matrix: Any, class_names: Sequence[str] = (), count: int = 10) -> list[ConfusedPair]:
    """Return the pairs of classes that are confused most often, the most frequent first.

    Parameters
    ----------
    matrix : array_like of int, shape (classes, classes)
        From `confusion_matrix`: one row per target, one column per prediction.
    class_names : sequence of str
        One per class; without them the pairs contain class numbers.
    count : int
        Largest number of pairs; pairs without rows are omitted.

    Raises
    ------
    ShapeError, InputError
        If an argument is not as above.

    Examples
    --------
    >>> most_confused([[6, 2, 0], [1, 7, 0], [0, 0, 5]], ["ant", "bee", "cow"], count=1)
    [ConfusedPair(target='ant', predicted='bee', rows=2, share=0.25)]
    """
    counts = as_confusion_matrix("most_confused", matrix)
    for name in class_names:
        check_text("most_confused: class_names", name)
    names = list(class_names) or range(len(counts))
    if len(names) != len(counts):
        raise ShapeError(f"most_confused: expected {len(counts)} class names, one per class, got {len(names)}")
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[: as_count("count", count)]
    totals = counts.sum(axis=1).tolist()
    pairs = [(*divmod(place, len(counts)), int(wrong.flat[place])) for place in order.tolist()]
    return [ConfusedPair(names[t], names[p], n, n / totals[t]) for t, p, n in pairs if n]


def as_confusion_matrix(where: str, matrix: Any) -> Array:
    """Return `matrix` as an int64 array of counts, shape (classes, classes); errors name `where`."""
    counts = as_array("matrix", matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ShapeError(f"{where}: expected a matrix of shape (classes, classes), got {counts.shape}")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise InputError(f"{where}: expected a matrix of counts from confusion_matrix, got {counts.dtype} numbers")
    return counts.astype(np.int64)


def _as_score_rows(where: str, name: str, value: Any) -> Array:
    array = as_array(name, value)
    if array.ndim != 2 or array.size == 0:
        raise ShapeError(f"{where}: expected {name} of shape (n, classes), both >= 1, got {array.shape}")
    return array
