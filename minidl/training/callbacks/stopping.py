"""TerminateOnNaN: end training once its numbers have gone wrong."""

import math

from minidl._core.bars import say, verbosity
from minidl.training.callbacks.observer import Observer
from minidl.training.trainer import Trainer


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

    def __init__(self, *, verbose: int | None = None) -> None:
        if verbose is not None:
            verbosity(verbose)
        self._verbose = verbose
        super().__init__()

    def _forget(self) -> None:
        self.stopped_at: tuple[int, int] | None = None
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
