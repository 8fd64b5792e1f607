"""EarlyStopping, ReduceLROnPlateau and TerminateOnNaN: what is done once a quantity gets no better, or is NaN."""

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
    """Follows a column, and counts the epochs in a row without an improvement by more than `min_delta`."""

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
        # It forgets first: a run that is refused here ends with on_train_end too.
        super().on_train_begin(trainer)
        self._monitor.check(trainer.expected_columns, self, trainer.later_callbacks)

    def _value(self, trainer: Trainer) -> float | None:
        """Return the epoch's value, turned so that smaller is better; None if it is one of those without."""
        run = (row for row in trainer.history if row["epoch"] > trainer.first_epoch)
        return self._monitor.read(trainer.logs, self, run)

    def _count(self, value: float) -> None:
        """Take an epoch's value into account."""
        if value < self._to_beat - self.min_delta:
            self._to_beat, self._bad_epochs = value, 0
        else:
            self._bad_epochs += 1


class EarlyStopping(_Patient):
    """Stop after `patience` epochs in a row without an improvement, and put the best epoch's weights back.

    Epochs are counted as in Keras: a patience of 0 means 1, and the first epoch never counts as a bad one.
    `ReduceLROnPlateau` counts as in PyTorch, and so waits one epoch longer.

    The weights that come back are those of the best value, also where it is no improvement by more than `min_delta`.
    They come back whatever ends training, so also after the last epoch, an error or Ctrl-C. Each `fit` begins to count
    anew; one that resumes from a checkpoint goes on counting. When training ends, a line on standard error says which
    epoch's weights are back; ``str(stopping)`` tells the same later.

    Parameters
    ----------
    monitor : str
        A column of the history. An epoch without it, as a callback may leave some, is not judged.
    patience : int
        Epochs that are waited for, at least 0.
    min_delta : float
        A value is an improvement if it is better than the last improvement by more than this; NaN never is one.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", "acc", "f1",
        "auc", "precision", "recall" or "r2", else "min".
    restore_best : bool
        False leaves the last weights.
    verbose : {0, 1, 2} or None
        0 says nothing; None takes what the environment variable ``MINIDL_VERBOSE`` says, else 1.

    Attributes
    ----------
    best_epoch : int or None
        The epoch of the best value so far.
    stopped_epoch : int or None
        The epoch after which it ended training, if it did.

    Warns
    -----
    UserWarning
        If `mode` looks for the worst value, such as "max" for a loss.

    Raises
    ------
    InputError
        If `monitor` is "epoch", "learning_rate" or "seconds".
        When training begins, if an epoch will have no `monitor`; names the nearest ones. After the first epoch, where
        only that can tell (another callback may add numbers to the logs).

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
        # A wrong variable must not show after hours of training.
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
        weights = " (its weights are back)" if self._restored else ""
        stopped = f", stopped after epoch {self.stopped_epoch}" if self.stopped_epoch is not None else ""
        return best + weights + stopped


class ReduceLROnPlateau(_Patient):
    """Multiply the learning rate by `factor` after more than `patience` epochs in a row without an improvement.

    Epochs are counted as in PyTorch; Keras reduces one epoch earlier, so its patience 3 is 2 here. The whole history of
    the trainer is judged, so that a second `fit` goes on as one long one would.

    Parameters
    ----------
    monitor : str
        A column of the history. An epoch without it, as a callback may leave some, is not judged.
    factor : float
        In (0, 1).
    patience : int
        Epochs that are waited for, at least 0.
    min_delta : float
        A value is an improvement if it is better than the last improvement by more than this; NaN never is one.
    cooldown : int
        After a reduction, for how many epochs none is counted as bad.
    minimum : float
        The rate never falls below it.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", "acc", "f1",
        "auc", "precision", "recall" or "r2", else "min".

    Warns
    -----
    UserWarning
        If `mode` looks for the worst value, such as "max" for a loss.

    Raises
    ------
    InputError
        If `monitor` is "epoch", "learning_rate" or "seconds".
        When training begins, if the optimizer follows a schedule, or an epoch will have no `monitor`; after the first
        epoch, where only that can tell (another callback may add numbers to the logs).
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
            raise InputError("factor: expected a number between 0 and 1, got 0, with which training would stand still")
        self.cooldown = as_count("cooldown", cooldown, 0)
        self.minimum = as_number("minimum", minimum, 0)
        super().__init__(monitor, patience, min_delta, mode)

    def on_train_begin(self, trainer: Trainer) -> None:
        rate = trainer.optimizer.learning_rate
        if isinstance(rate, Schedule):
            raise InputError(f"{self!r}: expected a number as learning rate, got {rate!r}; keep only one of them")
        super().on_train_begin(trainer)
        for row in trainer.history:
            if self.monitor in row:
                self._is_time(self._monitor.minimised(row[self.monitor]))

    def on_epoch_end(self, trainer: Trainer) -> None:
        value = self._value(trainer)
        if value is not None and self._is_time(value):
            rate = trainer.optimizer.current_learning_rate
            # Without a minimum the rate would in the end be 0, which is no rate.
            trainer.optimizer.learning_rate = min(rate, max(rate * self.factor, self.minimum)) or rate

    def _reset(self) -> None:
        super()._reset()
        self._rest = 0

    def _is_time(self, value: float) -> bool:
        """Take an epoch's value into account, and return whether the rate is to be reduced after it."""
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

    It is for ``fit(..., nonfinite="ignore")`` or ``"skip"``, which go on; without them `fit` raises, and says where.
    The running epoch is still measured and recorded, and what has to be saved is saved. A line on standard error says
    which number of which epoch and batch it was; ``str(callback)`` tells the same later.

    Parameters
    ----------
    verbose : {0, 1, 2} or None
        0 says nothing; None takes what the environment variable ``MINIDL_VERBOSE`` says, else 1.

    Attributes
    ----------
    stopped_at : (int, int) or None
        Epoch and batch in it, counted from 1, after which it ended training, if it did; batch 0 is the measuring after
        the epoch.
    """

    stopped_at: tuple[int, int] | None

    def __init__(self, *, verbose: int | None = None) -> None:
        self._verbose = None if verbose is None else verbosity(verbose)
        super().__init__()

    def _reset(self) -> None:
        self.stopped_at = None
        self._told = ""

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        verbosity(self._verbose)

    def on_epoch_end(self, trainer: Trainer) -> None:
        bad = [name for name, value in trainer.logs.items() if not math.isfinite(value)]
        if not bad or self.stopped_at is not None:
            return
        self.stopped_at = (trainer.epoch, trainer.batch)
        where = f"epoch {trainer.epoch}" + (f", batch {trainer.batch}" if trainer.batch else "")
        self._told = f"{where}: {bad[0]} is {trainer.logs[bad[0]]}; training ends with this epoch"
        say(f"TerminateOnNaN: {self._told}", self._verbose)
        trainer.stop()

    on_batch_end = on_epoch_end

    def __str__(self) -> str:
        return self._told or repr(self)
