"""EarlyStopping: end training once a quantity stops getting better, and keep the best weights."""

import math
from typing import TYPE_CHECKING, Any

from minidl.callbacks.base import Callback
from minidl.callbacks.monitor import Monitor
from minidl.checks import as_count, as_number

if TYPE_CHECKING:
    from minidl.trainer import Trainer


class EarlyStopping(Callback):
    """Stop after more than `patience` epochs in a row without an improvement, and put the best epoch's weights back.

    The best weights come back whatever ends training, so also after the last epoch, an error or Ctrl-C. Each `fit`
    begins to count anew; one that resumes from a checkpoint goes on counting.

    Parameters
    ----------
    monitor : str
        A column of the history.
    patience : int
        Epochs that are waited for, at least 0.
    min_delta : float
        By how much, at least, a value must be better than the best one to count as an improvement; NaN never is.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", else "min".
    restore_best : bool
        False leaves the last weights.

    Attributes
    ----------
    best_epoch : int or None
        The epoch of the best value so far.
    stopped_epoch : int or None
        The epoch after which it ended training, if it did.

    Raises
    ------
    InputError
        After the first epoch, if it has no `monitor`; names the nearest ones.

    References
    ----------
    Prechelt, "Early stopping - but when?", in Neural networks: tricks of the trade, Springer, 1998.
    """

    saved_attributes = ("best_epoch", "stopped_epoch", "_best", "_bad_epochs", "_best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self.monitor = monitor
        self.patience = as_count("patience", patience, 0)
        self.min_delta = as_number("min_delta", min_delta, 0)
        self.restore_best = restore_best
        self._monitor = Monitor(monitor, mode)
        self._forget()

    def _forget(self) -> None:
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._best = math.inf
        self._bad_epochs = 0
        self._best_weights: dict[str, Any] = {}

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._forget()

    def on_epoch_end(self, trainer: "Trainer") -> None:
        value = self._monitor.read(trainer, self)
        if value < self._best - self.min_delta:
            self._best, self.best_epoch, self._bad_epochs = value, trainer.epoch, 0
            if self.restore_best:
                self._best_weights = {name: array.copy() for name, array in trainer.model.weights().items()}
            return
        self._bad_epochs += 1
        if self._bad_epochs > self.patience:
            self.stopped_epoch = trainer.epoch
            trainer.stop()

    def on_train_end(self, trainer: "Trainer") -> None:
        for name, array in trainer.model.weights().items():
            if name in self._best_weights:
                array[...] = self._best_weights[name]

    def __repr__(self) -> str:
        return f"EarlyStopping({self.monitor!r}, patience={self.patience})"
