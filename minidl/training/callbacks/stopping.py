"""EarlyStopping, ReduceLROnPlateau and TerminateOnNaN: react when a quantity stops improving, or is NaN."""

import math
from typing import Any

from minidl._core.bars import say, verbosity
from minidl._core.checks import as_count, as_fraction, as_number
from minidl._core.errors import InputError
from minidl.training.callback import Observer
from minidl.training.history import Monitor
from minidl.training.optimizers.schedules import Schedule
from minidl.training.trainer import Trainer


class _Patient(Observer):
    """A callback that counts the epochs in a row without an improvement of a column by more than `min_delta`."""

    def __init__(self, monitor: str, patience: int, min_delta: float, mode: str) -> None:
        self.monitor = monitor
        self.patience = as_count("patience", patience, 0)
        self.min_delta = as_number("min_delta", min_delta, 0)
        self.mode = mode
        self._monitor.check_sense(5)
        super().__init__()

    @property
    def _monitor(self) -> Monitor:
        return Monitor(self.monitor, self.mode)

    def _reset(self) -> None:
        self._to_beat = math.inf
        self._bad_epochs = 0

    def on_train_begin(self, trainer: Trainer) -> None:
        # Reset first: if the check below raises, on_train_end is still called.
        super().on_train_begin(trainer)
        self._monitor.check(trainer.expected_columns, self, trainer.later_callbacks)

    def _value(self, trainer: Trainer) -> float | None:
        """Return the epoch's value, negated if larger is better; None if this epoch has no value."""
        run = (row for row in trainer.history if row["epoch"] > trainer.first_epoch)
        return self._monitor.read(trainer.logs, self, run)

    def _count(self, value: float) -> None:
        """Update the best value and the count of epochs without an improvement."""
        if value < self._to_beat - self.min_delta:
            self._to_beat, self._bad_epochs = value, 0
        else:
            self._bad_epochs += 1


class EarlyStopping(_Patient):
    """Stop after `patience` epochs in a row without an improvement, and restore the best epoch's weights.

    Epochs are counted as in Keras: a patience of 0 means 1, and the first epoch never counts as a bad one.
    `ReduceLROnPlateau` counts as in PyTorch, and so waits one epoch longer.

    The restored weights are those of the best value, even if it is not better by more than `min_delta`. They are
    restored however training ends: after the last epoch, by an error or by Ctrl-C. Each `fit` starts counting from 0; a
    `fit` that resumes from a checkpoint continues its count. When training ends, a line on standard error names the
    epoch whose weights are restored; ``str(stopping)`` returns the same text later.

    Parameters
    ----------
    monitor : str
        A column of the history. Epochs without it are ignored.
    patience : int
        The number of epochs to wait, at least 0.
    min_delta : float
        A value is an improvement if it is better than the last improvement by more than this; NaN never is.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", "acc", "f1",
        "auc", "precision", "recall" or "r2", else "min".
    restore_best : bool
        False keeps the last weights.
    verbose : {0, 1, 2} or None
        0 prints nothing; None takes the value of the environment variable ``MINIDL_VERBOSE``, or 1 if it is not set.

    Attributes
    ----------
    best_epoch : int or None
        The epoch of the best value so far.
    stopped_epoch : int or None
        The epoch after which it ended training, if it did.

    Warns
    -----
    UserWarning
        If `mode` picks the worst value, such as "max" for a loss.

    Raises
    ------
    InputError
        If `monitor` is "epoch", "learning_rate" or "seconds".
        When training begins, if an epoch will have no `monitor`; names the nearest columns. If another callback may
        add numbers to the logs, this is checked after the first epoch.

    References
    ----------
    Prechelt, "Early stopping - but when?", in Neural networks: tricks of the trade, Springer, 1998.
    """

    best_epoch: int | None
    stopped_epoch: int | None

    saved_attributes = ("best_epoch", "stopped_epoch", "_to_beat", "_bad_epochs", "_best", "_best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
        verbose: int | None = None,
    ) -> None:
        self.restore_best = restore_best
        self._verbose = None if verbose is None else verbosity(verbose)
        super().__init__(monitor, patience, min_delta, mode)

    def _reset(self) -> None:
        super()._reset()
        # The first epoch never counts as a bad one.
        self._bad_epochs = -1
        self._best = math.inf
        self.best_epoch = None
        self.stopped_epoch = None
        self._best_weights: dict[str, Any] = {}
        self._restored = False

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        # A wrong environment variable is reported now, not after hours of training.
        verbosity(self._verbose)

    def on_epoch_end(self, trainer: Trainer) -> None:
        value = self._value(trainer)
        if value is None:
            return
        if value < self._best:
            self._best, self.best_epoch = value, trainer.epoch
            if self.restore_best:
                self._best_weights = dict(trainer.model.weights())
        self._count(value)
        if self._bad_epochs >= max(self.patience, 1):
            self.stopped_epoch = trainer.epoch
            trainer.stop()

    def on_train_end(self, trainer: Trainer) -> None:
        if self._best_weights:
            trainer.model.set_weights(self._best_weights)
        self._restored = bool(self._best_weights)
        if self.stopped_epoch is not None or (self.best_epoch is not None and self.best_epoch < trainer.epoch):
            say(f"EarlyStopping: {self}", self._verbose)

    def __str__(self) -> str:
        if self.best_epoch is None and self.stopped_epoch is None:
            return repr(self)
        best = f"{self.monitor} was never a finite number"
        if self.best_epoch is not None:
            best = f"best {self.monitor} {self._monitor.minimised(self._best):.4g} in epoch {self.best_epoch}"
        weights = " (weights restored)" if self._restored else ""
        stopped = f", stopped after epoch {self.stopped_epoch}" if self.stopped_epoch is not None else ""
        return best + weights + stopped


class ReduceLROnPlateau(_Patient):
    """Multiply the learning rate by `factor` after more than `patience` epochs in a row without an improvement.

    Epochs are counted as in PyTorch; Keras reduces one epoch earlier, so its patience 3 is 2 here. The whole history of
    the trainer counts, so two calls of `fit` act as one long call.

    Parameters
    ----------
    monitor : str
        A column of the history. Epochs without it are ignored.
    factor : float
        In (0, 1).
    patience : int
        The number of epochs to wait, at least 0.
    min_delta : float
        A value is an improvement if it is better than the last improvement by more than this; NaN never is.
    cooldown : int
        The number of epochs after a reduction in which no epoch counts as bad.
    minimum : float
        The learning rate never falls below it.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", "acc", "f1",
        "auc", "precision", "recall" or "r2", else "min".

    Warns
    -----
    UserWarning
        If `mode` picks the worst value, such as "max" for a loss.

    Raises
    ------
    InputError
        If `monitor` is "epoch", "learning_rate" or "seconds".
        When training begins, if the optimizer follows a schedule, or an epoch will have no `monitor`. If another
        callback may add numbers to the logs, `monitor` is checked after the first epoch.
    """

    saved_attributes = ("_to_beat", "_bad_epochs", "_rest")

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
        self.factor = as_fraction("factor", factor)
        if self.factor == 0:
            raise InputError("factor: expected a number between 0 and 1, got 0, which would stop all training")
        self.cooldown = as_count("cooldown", cooldown, 0)
        self.minimum = as_number("minimum", minimum, 0)
        super().__init__(monitor, patience, min_delta, mode)

    def on_train_begin(self, trainer: Trainer) -> None:
        rate = trainer.optimizer.learning_rate
        if isinstance(rate, Schedule):
            raise InputError(f"{self!r}: expected a number as learning rate, got {rate!r}; use only one of them")
        super().on_train_begin(trainer)
        for row in trainer.history:
            if self.monitor in row:
                self._should_reduce(self._monitor.minimised(row[self.monitor]))

    def on_epoch_end(self, trainer: Trainer) -> None:
        value = self._value(trainer)
        if value is not None and self._should_reduce(value):
            rate = trainer.optimizer.current_learning_rate
            # A rate that rounds to 0 is not allowed, so the last one stays.
            trainer.optimizer.learning_rate = min(rate, max(rate * self.factor, self.minimum)) or rate

    def _reset(self) -> None:
        super()._reset()
        self._rest = 0

    def _should_reduce(self, value: float) -> bool:
        """Count an epoch's value, and return whether to reduce the rate after it."""
        self._count(value)
        if self._rest:
            self._rest -= 1
            self._bad_epochs = 0
        if self._bad_epochs <= self.patience:
            return False
        self._rest = self.cooldown
        self._bad_epochs = 0
        return True


class TerminateOnNaN(Observer):
    """Stop training after the first step or epoch whose numbers are not all finite.

    Use it with ``fit(..., nonfinite="ignore")`` or ``"skip"``, which continue after NaN; the default "raise" ends
    training with an error. The current epoch is still measured and recorded, and callbacks still save. A line on
    standard error names the number, the epoch and the batch; ``str(callback)`` returns the same text later.

    Parameters
    ----------
    verbose : {0, 1, 2} or None
        0 prints nothing; None takes the value of the environment variable ``MINIDL_VERBOSE``, or 1 if it is not set.

    Attributes
    ----------
    stopped_at : (int, int) or None
        The epoch and its batch, counted from 1, after which it ended training; None if it did not. Batch 0 is the
        measuring after the epoch.
    """

    stopped_at: tuple[int, int] | None

    def __init__(self, *, verbose: int | None = None) -> None:
        self._verbose = None if verbose is None else verbosity(verbose)
        super().__init__()

    def _reset(self) -> None:
        self.stopped_at = None
        self._message = ""

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        verbosity(self._verbose)

    def on_epoch_end(self, trainer: Trainer) -> None:
        bad = [name for name, value in trainer.logs.items() if not math.isfinite(value)]
        if not bad or self.stopped_at is not None:
            return
        self.stopped_at = (trainer.epoch, trainer.batch)
        where = f"epoch {trainer.epoch}" + (f", batch {trainer.batch}" if trainer.batch else "")
        self._message = f"{where}: {bad[0]} is {trainer.logs[bad[0]]}; training ends with this epoch"
        say(f"TerminateOnNaN: {self._message}", self._verbose)
        trainer.stop()

    on_batch_end = on_epoch_end

    def __str__(self) -> str:
        return self._message or repr(self)
