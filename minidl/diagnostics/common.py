"""Shared by the diagnostics: working copies of models, samples of rows, and the loss of outputs that are all zero."""

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
    """Return the sorted indices of up to `most` rows of `data`, drawn without replacement."""
    check_dataset(where, data)
    count = min(as_count("rows", most), len(data))
    return np.sort(rng.choice(len(data), count, replace=False))


def spread_rows(where: str, data: Dataset, most: int, rng: np.random.Generator) -> Array:
    """Return the sorted indices of up to `most` rows of `data`, drawn as evenly as possible from all targets."""
    order = rng.permutation(some_rows(where, data, 10_000, rng))
    _, kinds = np.unique(data.y[order], axis=0, return_inverse=True)
    kinds = kinds.reshape(-1)
    by_kind = np.argsort(kinds, kind="stable")
    # For each row, the number of earlier rows with the same target.
    turns = np.empty(len(order), int)
    turns[by_kind] = np.arange(len(order)) - np.searchsorted(kinds[by_kind], kinds[by_kind])
    return np.sort(order[np.argsort(turns, kind="stable")[: as_count("rows", most)]])


def uninformed_loss(loss: Loss, outputs: Array, targets: Array) -> float:
    """Return the loss of outputs that are all zero, as from an untrained model; NaN if it is not defined.

    For softmax cross-entropy it is ln K, for sigmoids ln 2.
    """
    try:
        value = float(loss.forward(np.zeros_like(outputs), targets))
    except Exception:
        # A user's loss may not accept zeros; then there is no loss to compare with.
        return math.nan
    return value if math.isfinite(value) else math.nan
