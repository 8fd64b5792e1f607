"""Past: what the weights of a network have been trained on already, so that nobody trains them on unawares."""

import copy
import warnings
from dataclasses import dataclass

import numpy as np

from minidl._core.bars import say
from minidl._core.reprs import told
from minidl._core.types import Array
from minidl.nn.model import Model
from minidl.training.optimizers import Optimizer
from minidl.training.work import Work, row_prints


@dataclass(frozen=True, eq=False)
class Past:
    """What a fit has left: the values of the weights, what they were trained on, and how."""

    values: bytes
    epochs: int
    rows: Array
    row_count: int
    regularizer: str
    optimizer: str

    @classmethod
    def of(cls, model: Model) -> "Past | None":
        """Return the past that all trained parameters of `model` share, unless their values have been changed since."""
        pasts = {id(p._past): p._past for p in model.parameters.values() if p.trainable}
        past = next(iter(pasts.values()), None)
        return past if isinstance(past, cls) and len(pasts) == 1 and past.values == _values(model) else None


def remember(work: Work, past: Past | None, epochs: int) -> None:
    """Note on the model and on its parameters what they have been trained on: `epochs` more than in their `past`."""
    model, before = work.model, past.epochs if past else 0
    how = told(model.regularizer), _kind(work.optimizer)
    model._past = Past(_values(model), before + epochs, work.prints, len(work.train), *how)
    for parameter in model.parameters.values():
        parameter._past = model._past


def check_past(work: Work, past: Past | None, new_trainer: bool) -> None:
    """Warn if trained weights are probably taken for new ones, as in a loop over settings or folds.

    Of another trainer that goes on with them, as in fine-tuning, a line on standard error tells.
    """
    if past is None:
        return
    model, same_rows = work.model, np.array_equal(work.prints, past.rows)
    if model._past is not past:
        fault = "by another Model"
    elif past.regularizer != told(model.regularizer):
        fault = f"with the regularizer {past.regularizer}"
    elif new_trainer and same_rows and past.optimizer != _kind(work.optimizer):
        fault = "on the same rows by another optimizer"
    elif not same_rows and _leaked(work, past):
        fault = "on rows that are validation rows now"
    elif new_trainer and _partly_exchanged(work, past):
        fault = "on rows of which some are left out now, as in cross-validation"
    else:
        if new_trainer:
            say(f"Trainer.fit: training goes on from weights that were trained for {past.epochs} epochs before")
        return
    warnings.warn(
        f"Trainer.fit: this network has been trained before, {fault}, and training goes on from its weights. To begin "
        "anew, make a new network and a new Model, or keep start = model.weights() and call model.set_weights(start). "
        "If going on is intended, call model.set_weights(model.weights()) first",
        stacklevel=5,
    )


def _leaked(work: Work, past: Past) -> bool:
    """Return whether validation rows were trained on in the past, and are not among the training rows now."""
    if work.validation is None:
        return False
    held_out = row_prints(work.validation)
    if_all_were = len(held_out) * len(past.rows) / past.row_count
    met = np.isin(held_out, past.rows).sum()
    # Rows of few possible values meet their like everywhere.
    return bool(met > 0.3 * if_all_were and np.isin(held_out, work.prints).sum() <= met / 4)


def _partly_exchanged(work: Work, past: Past) -> bool:
    """Return whether most training rows have stayed, some are gone and some are new.

    Nobody can tell of large sets, of which a part is looked at, or where many rows are alike.
    """
    pairs = [(past.rows, past.row_count, work.prints), (work.prints, len(work.train), past.rows)]
    return all(len(a) > 0.6 * count and 0.5 <= np.isin(a, b).mean() <= 0.97 for a, count, b in pairs)


def _values(model: Model) -> bytes:
    """Return some values of each parameter: training, or whoever puts others in their place, changes one of them."""
    values = [parameter.value.ravel(order="K") for parameter in model.parameters.values()]
    return b"".join(flat[:: max(1, flat.size // 64)].astype(np.float64).tobytes() for flat in values)


def _kind(optimizer: Optimizer) -> str:
    """Return the optimizer in words, whatever its learning rate: a smaller one is what fine-tuning takes."""
    twin = copy.copy(optimizer)
    twin.learning_rate = 1.0
    return told(twin)
