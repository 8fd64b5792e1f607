"""ReduceLROnPlateau: a smaller learning rate once a quantity stops getting better."""

import math
from typing import TYPE_CHECKING

from minidl._core.checks import as_count, as_fraction, as_number
from minidl._core.errors import InputError
from minidl.training.callbacks.base import Callback
from minidl.training.history import Monitor
from minidl.training.optimizers.schedules import Schedule

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by `factor` after more than `patience` epochs in a row without an improvement.

    It judges the whole history of the trainer, so that a second `fit` goes on as one long one would.

    Parameters
    ----------
    monitor : str
        A column of the history.
    factor : float
        In (0, 1).
    patience : int
        Epochs that are waited for, at least 0.
    min_delta : float
        By how much, at least, a value must be better than the best one to count as an improvement; NaN never is.
    cooldown : int
        After a reduction, for how many epochs none is counted as bad.
    minimum : float
        The rate never falls below it.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", else "min".

    Raises
    ------
    InputError
        When training begins, if the optimizer follows a schedule, or an epoch will have no `monitor`; after the first
        epoch, where only that can tell (another callback may add numbers to the logs).
    """

    adds_logs = False
    saved_attributes = ("_best", "_bad_epochs", "_rest")

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        minimum: float = 0.0,
        mode: str = "auto",
    ) -> None:
        self.monitor = monitor
        self._monitor = Monitor(monitor, mode)
        self.factor = as_fraction("factor", factor)
        if self.factor == 0:
            raise InputError("factor: expected a number between 0 and 1, got 0, with which training would stand still")
        self.patience = as_count("patience", patience, 0)
        self.min_delta = as_number("min_delta", min_delta, 0)
        self.cooldown = as_count("cooldown", cooldown, 0)
        self.minimum = as_number("minimum", minimum, 0)
        self.mode = mode
        self._forget()

    def on_train_begin(self, trainer: "Trainer") -> None:
        if isinstance(trainer.optimizer.learning_rate, Schedule):
            raise InputError(
                f"{self!r}: expected an optimizer with a number as learning rate, got "
                f"{trainer.optimizer.learning_rate!r}; keep the schedule or this callback"
            )
        self._monitor.check(trainer.expected_columns, self)
        self._forget()
        for row in trainer.history:
            if self.monitor in row:
                self._is_time(self._monitor.minimised(row[self.monitor]))

    def on_epoch_end(self, trainer: "Trainer") -> None:
        if self._is_time(self._monitor.read(trainer.logs, self)):
            rate = trainer.optimizer.current_learning_rate
            # Without a minimum the rate would in the end be 0, which is no rate.
            trainer.optimizer.learning_rate = min(rate, max(rate * self.factor, self.minimum)) or rate

    def _forget(self) -> None:
        self._best = math.inf
        self._bad_epochs = 0
        self._rest = 0

    def _is_time(self, value: float) -> bool:
        """Take an epoch's value into account, and return whether the rate is to be reduced after it."""
        if value < self._best - self.min_delta:
            self._best = value
            self._bad_epochs = 0
        else:
            self._bad_epochs += 1
        if self._rest:
            self._rest -= 1
            self._bad_epochs = 0
        if self._bad_epochs <= self.patience:
            return False
        self._rest = self.cooldown
        self._bad_epochs = 0
        return True
