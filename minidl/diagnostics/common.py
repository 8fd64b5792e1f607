"""What the diagnostics share: a copy to try things on, a few rows of the data, and the loss of knowing nothing."""

import math

import numpy as np

from minidl._core.checks import as_count, check_type, copied
from minidl._core.types import Array
from minidl.data.dataset import Dataset, check_dataset
from minidl.nn.layers import Dropout
from minidl.nn.losses import Loss
from minidl.nn.model import Model


def working_copy(where: str, model: Model) -> Model:
    """Return a deep copy of `model` whose `Dropout` layers drop nothing."""
    check_type(where, "model", model, Model)
    twin = copied(where, model)
    for _, layer in twin.network.walk():
        if isinstance(layer, Dropout):
            layer.rate = 0.0
    return twin


def some_rows(where: str, data: Dataset, most: int, rng: np.random.Generator) -> Array:
    """Return the numbers of up to `most` rows of `data`, drawn without replacement, in order."""
    check_dataset(where, data)
    count = min(as_count("rows", most), len(data))
    return np.sort(rng.choice(len(data), count, replace=False))


def spread_rows(where: str, data: Dataset, most: int, rng: np.random.Generator) -> Array:
    """Return the numbers of up to `most` rows of `data`, drawn as evenly from all different targets as can be."""
    order = rng.permutation(some_rows(where, data, 10_000, rng))
    _, kinds = np.unique(data.y[order], axis=0, return_inverse=True)
    kinds = kinds.reshape(-1)
    by_kind = np.argsort(kinds, kind="stable")
    # How many rows of the same target come before each.
    turns = np.empty(len(order), int)
    turns[by_kind] = np.arange(len(order)) - np.searchsorted(kinds[by_kind], kinds[by_kind])
    return np.sort(order[np.argsort(turns, kind="stable")[: as_count("rows", most)]])


def uninformed_loss(loss: Loss, outputs: Array, targets: Array) -> float:
    """Return the loss of outputs that are all zero, as of a model that knows nothing; NaN where there is none.

    For softmax cross-entropy it is ln K, for sigmoids ln 2.
    """
    try:
        value = float(loss.forward(np.zeros_like(outputs), targets))
    except Exception:
        # A user's loss may not take zeros; then there is nothing to compare with.
        return math.nan
    return value if math.isfinite(value) else math.nan
