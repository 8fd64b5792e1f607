"""EarlyStopping and TerminateOnNaN: end training once it gets no better, or has gone wrong."""

import math
from typing import TYPE_CHECKING, Any

from minidl._core.bars import say, verbosity
from minidl._core.checks import as_count, as_number
from minidl.training.callbacks.base import Callback
from minidl.training.history import Monitor

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer


class EarlyStopping(Callback):
    """Stop after more than `patience` epochs in a row without an improvement, and put the best epoch's weights back.

    The best weights come back whatever ends training, so also after the last epoch, an error or Ctrl-C. Each `fit`
    begins to count anew; one that resumes from a checkpoint goes on counting. When training ends, a line on standard
    error says which epoch's weights are back; ``str(stopping)`` tells the same later.

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
    verbose : {0, 1, 2} or None
        0 says nothing; None takes what the environment variable ``MINIDL_VERBOSE`` says, else 1.

    Attributes
    ----------
    best_epoch : int or None
        The epoch of the best value so far.
    stopped_epoch : int or None
        The epoch after which it ended training, if it did.

    Raises
    ------
    InputError
        When training begins, if an epoch will have no `monitor`; names the nearest ones. After the first epoch, where
        only that can tell (another callback may add numbers to the logs).

    References
    ----------
    Prechelt, "Early stopping - but when?", in Neural networks: tricks of the trade, Springer, 1998.
    """

    adds_logs = False
    saved_attributes = ("best_epoch", "stopped_epoch", "_best", "_bad_epochs", "_best_weights")

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
        self.monitor = monitor
        self.patience = as_count("patience", patience, 0)
        self.min_delta = as_number("min_delta", min_delta, 0)
        self.restore_best = restore_best
        self._verbose = verbose
        if verbose is not None:
            verbosity(verbose)
        self.mode = mode
        self._monitor = Monitor(monitor, mode)
        self._forget()

    def _forget(self) -> None:
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._best = math.inf
        self._bad_epochs = 0
        self._best_weights: dict[str, Any] = {}
        self._restored = False

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._forget()
        verbosity(self._verbose)  # a wrong variable must not show after hours of training
        self._monitor.check(trainer.expected_columns, self)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        value = self._monitor.read(trainer.logs, self)
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


class TerminateOnNaN(Callback):
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

    adds_logs = False

    def __init__(self, *, verbose: int | None = None) -> None:
        if verbose is not None:
            verbosity(verbose)
        self._verbose = verbose
        self._forget()

    def _forget(self) -> None:
        self.stopped_at: tuple[int, int] | None = None
        self._told = ""

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._forget()
        verbosity(self._verbose)

    def on_batch_end(self, trainer: "Trainer") -> None:
        self._look(trainer)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        self._look(trainer)

    def _look(self, trainer: "Trainer") -> None:
        bad = [name for name, value in trainer.logs.items() if not math.isfinite(value)]
        if not bad or self.stopped_at is not None:
            return
        self.stopped_at = (trainer.epoch, trainer.batch)
        where = f"epoch {trainer.epoch}" + (f", batch {trainer.batch}" if trainer.batch else "")
        self._told = f"{where}: {bad[0]} is {trainer.logs[bad[0]]}; training ends with this epoch"
        say(f"TerminateOnNaN: {self._told}", self._verbose)
        trainer.stop()

    def __str__(self) -> str:
        return self._told or repr(self)
