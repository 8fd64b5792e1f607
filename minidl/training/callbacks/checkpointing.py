"""Checkpoint: save what a run needs to go on, so that nothing of it is lost."""

import math
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path

from minidl._core.checks import as_count, as_path
from minidl._core.errors import CheckpointError, InputError, NonFiniteError
from minidl._core.types import PathLike
from minidl._storage.files import check_file, remove, sweep_parts
from minidl._storage.locks import locked
from minidl.training.callback import Observer
from minidl.training.checkpoint import BEST, checkpoint_path, checkpoint_paths, read_checkpoint, steps_of
from minidl.training.history import Monitor
from minidl.training.trainer import Trainer


class Checkpoint(Observer):
    """Save all that the run needs to go on exactly, by ``Trainer.fit(..., resume_from=directory)``.

    A checkpoint is one file, ``checkpoint-<steps>.safetensors``; it takes that name only when all of it is on the disk,
    and one before it is removed only then. It is written after all other callbacks have had their turn: every
    `every_epochs` epochs, every `every_steps` steps, after the last epoch, and when Ctrl-C or SIGTERM ends training.

    Parameters
    ----------
    directory : str or PathLike
        Made if it is missing; one run at a time.
    every_epochs : int or None
        Epochs from one to the next.
    every_steps : int, optional
        Steps from one to the next, also in the middle of an epoch.
    keep : int
        How many of the newest stay, at least 1.
    monitor : str, optional
        A number in the logs of an epoch: the checkpoint of its best value is kept besides, as ``best.safetensors``,
        over all calls of `fit` with this directory.
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
        When training begins, if the directory cannot be written, another process has it, it holds checkpoints that
        this run has neither written nor been resumed from (or later ones than the one it has gone back to), or a
        callback remembers what no file can hold.
    CheckpointError
        If a checkpoint cannot be written, which ends training; what was saved before is untouched.
    NonFiniteError
        Instead of saving weights with NaN or infinity.
    """

    runs_last = True

    def __init__(
        self,
        directory: PathLike,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        keep: int = 3,
        monitor: str | None = None,
        mode: str = "auto",
    ) -> None:
        if every_epochs is None and every_steps is None:
            raise InputError("Checkpoint: expected every_epochs or every_steps, got None for both")
        self.directory = as_path("directory", directory)
        self.every_epochs = None if every_epochs is None else as_count("every_epochs", every_epochs)
        self.every_steps = None if every_steps is None else as_count("every_steps", every_steps)
        self.keep = as_count("keep", keep)
        self.monitor = monitor
        self.mode = mode
        if self._monitor is not None:
            self._monitor.check_sense(3)
        self._best = math.inf
        self._lock = ExitStack()

    @property
    def _monitor(self) -> Monitor | None:
        return None if self.monitor is None else Monitor(self.monitor, self.mode)

    def on_train_begin(self, trainer: Trainer) -> None:
        if self._monitor is not None:
            self._monitor.check(trainer.expected_columns, self)
        self._lock.enter_context(locked(self.directory))
        sweep_parts(self.directory)
        for path in (checkpoint_path(self.directory, trainer.step), self.directory / BEST):
            check_file(path)
        self._refuse_other_runs(trainer)
        self._best = self._best_so_far()
        # What cannot be saved must not show after hours of training.
        trainer.check_checkpoint()

    def _refuse_other_runs(self, trainer: Trainer) -> None:
        there = [*checkpoint_paths(self.directory), *self.directory.glob(BEST)]
        if not there:
            return
        directory, newest = self.directory.resolve(), there[0]
        if directory not in trainer.checkpoint_directories:
            way = f"resume it by fit(..., resume_from={str(self.directory)!r}), or choose another directory"
            raise InputError(f"{self!r}: there is a run in this directory already, with {newest.name}; {way}")
        place, step = trainer.resumed_from or (None, 0)
        if place == directory and steps_of(newest) > step:
            later = f"there are later checkpoints such as {newest.name}; remove them, or choose another directory"
            raise InputError(f"{self!r}: resuming from step {step}, but {later}")

    def _best_so_far(self) -> float:
        path = self.directory / BEST
        if self._monitor is None or not path.exists():
            return math.inf
        try:
            logs = read_checkpoint(path)[1]["run"]["logs"]
            self._monitor.check(logs, self)
            return self._monitor.minimised(logs[self._monitor.name])
        except (CheckpointError, LookupError, TypeError, ValueError) as error:
            warnings.warn(f"the best checkpoint so far cannot be read, another takes its place: {error}", stacklevel=2)
            return math.inf

    def on_batch_end(self, trainer: Trainer) -> None:
        if self.every_steps is not None and trainer.step % self.every_steps == 0:
            self._save(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        run = (row for row in trainer.history if row["epoch"] > trainer.first_epoch)
        value = None if self._monitor is None else self._monitor.read(trainer.logs, self, run)
        if value is not None and value < self._best:
            self._best = value
            self._write(trainer, self.directory / BEST)
        due = self.every_epochs is not None and trainer.epoch % self.every_epochs == 0
        if due or trainer.stopping or trainer.epoch == trainer.last_epoch:
            self._save(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        self._save(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        self._lock.close()

    def _save(self, trainer: Trainer) -> None:
        self._write(trainer, checkpoint_path(self.directory, trainer.step))
        # One of more steps than this run has done is damaged: otherwise the run would have been resumed from it.
        mine = [path for path in checkpoint_paths(self.directory) if steps_of(path) <= trainer.step]
        for old in mine[self.keep :]:
            # What fails is tried again after the next save.
            with suppress(OSError):
                remove(old)

    def _write(self, trainer: Trainer, path: Path) -> None:
        try:
            trainer.save_checkpoint(path)
        except NonFiniteError as error:
            if trainer.nonfinite != "ignore":
                raise
            warnings.warn(f"{path}: this checkpoint is not saved: {error}", stacklevel=2)
