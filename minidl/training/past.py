"""Past: how the weights of a network were trained before, so that nobody continues from them by mistake."""

import copy
import warnings
from dataclasses import dataclass

import numpy as np

from minidl._core.bars import say
from minidl._core.reprs import oneline_repr
from minidl._core.types import Array
from minidl.nn.model import Model
from minidl.training.optimizers import Optimizer
from minidl.training.work import Work, row_hashes


@dataclass(frozen=True, eq=False)
class Past:
    """The result of earlier fits: the values of the weights, the rows they were trained on, and how."""

    values: bytes
    epochs: int
    rows: Array
    row_count: int
    regularizer: str
    optimizer: str

    @classmethod
    def of(cls, model: Model) -> "Past | None":
        """Return the past that all trained parameters of `model` share, None if their values have changed since."""
        pasts = {id(p._past): p._past for p in model.parameters.values() if p.trainable}
        past = next(iter(pasts.values()), None)
        return past if isinstance(past, cls) and len(pasts) == 1 and past.values == _values(model) else None


def record_training(work: Work, past: Past | None, epochs: int) -> None:
    """Store on the model and its parameters that they were trained for `epochs` more than in their `past`."""
    model, before = work.model, past.epochs if past else 0
    how = oneline_repr(model.regularizer), _settings(work.optimizer)
    model._past = Past(_values(model), before + epochs, work.hashes, len(work.train), *how)
    for parameter in model.parameters.values():
        parameter._past = model._past


def check_past(work: Work, past: Past | None, new_trainer: bool) -> None:
    """Warn if the program probably takes trained weights for new ones, as in a loop over settings or folds.

    If another trainer continues from them, as in fine-tuning, only print a line on standard error.
    """
    if past is None:
        return
    model, same_rows = work.model, np.array_equal(work.hashes, past.rows)
    if model._past is not past:
        fault = "by another Model"
    elif past.regularizer != oneline_repr(model.regularizer):
        fault = f"with the regularizer {past.regularizer}"
    elif new_trainer and same_rows and past.optimizer != _settings(work.optimizer):
        fault = "on the same rows by another optimizer"
    elif not same_rows and _validation_leaks(work, past):
        fault = "on rows that are now validation rows"
    elif new_trainer and _rows_replaced(work, past):
        fault = "on rows of which some are now left out, as in cross-validation"
    else:
        if new_trainer:
            say(f"Trainer.fit: training continues from weights that were trained for {past.epochs} epochs before")
        return
    warnings.warn(
        f"Trainer.fit: this network already has weights trained {fault}. To start from new weights, build a new "
        "network and Model, or save start = model.weights() before training and call model.set_weights(start). If you "
        "want to continue, call model.set_weights(model.weights()) first",
        stacklevel=5,
    )


def _validation_leaks(work: Work, past: Past) -> bool:
    """Return whether validation rows were training rows in the past, but are not training rows now."""
    if work.validation is None:
        return False
    held_out = row_hashes(work.validation)
    most = len(held_out) * len(past.rows) / past.row_count
    known = np.isin(held_out, past.rows).sum()
    # Rows with few possible values have equals in every set.
    return bool(known > 0.3 * most and np.isin(held_out, work.hashes).sum() <= known / 4)


def _rows_replaced(work: Work, past: Past) -> bool:
    """Return whether most training rows are the same as before, some are gone and some are new.

    The result is False for large sets, of which only a sample is compared, and for sets with many equal rows.
    """
    pairs = [(past.rows, past.row_count, work.hashes), (work.hashes, len(work.train), past.rows)]
    return all(len(a) > 0.6 * count and 0.5 <= np.isin(a, b).mean() <= 0.97 for a, count, b in pairs)


def _values(model: Model) -> bytes:
    """Return some values of each parameter; training or assigning other weights changes at least one of them."""
    values = [parameter.value.ravel(order="K") for parameter in model.parameters.values()]
    return b"".join(flat[:: max(1, flat.size // 64)].astype(np.float64).tobytes() for flat in values)


def _settings(optimizer: Optimizer) -> str:
    """Return the optimizer as text, without its learning rate, which fine-tuning makes smaller."""
    twin = copy.copy(optimizer)
    twin.learning_rate = 1.0
    return oneline_repr(twin)
