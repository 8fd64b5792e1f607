"""Metrics: what to know about predictions besides the loss."""

from typing import Any

from minidl.checks import as_array
from minidl.errors import ShapeError


def accuracy(predictions: Any, targets: Any) -> float:
    """Return the share of rows whose predicted class is the target, in [0, 1].

    Parameters
    ----------
    predictions, targets : array_like of int, shape (n,)
        Class labels.

    Raises
    ------
    ShapeError
        If the two are not of one shape (n,), n >= 1: (n, 1) against (n,) would compare every pair.

    Examples
    --------
    >>> accuracy([1, 2, 3, 3], [1, 2, 3, 4])
    0.75
    """
    predictions, targets = as_array("predictions", predictions), as_array("targets", targets)
    if predictions.ndim != 1 or predictions.shape != targets.shape or len(targets) == 0:
        raise ShapeError(
            f"accuracy: expected predictions and targets of one shape (n,), got {predictions.shape} and {targets.shape}"
        )
    return float((predictions == targets).mean())
