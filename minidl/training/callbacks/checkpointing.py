"""Checkpoint: save a run regularly, so that it can be resumed."""

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
    """Save all that the run needs to continue exactly with ``Trainer.fit(..., resume_from=directory)``.

    A checkpoint is one file, ``checkpoint-<steps>.safetensors``. It gets that name only when all of it is on the disk;
    older checkpoints are removed only after that. It is written after all other callbacks have run: every
    `every_epochs` epochs, every `every_steps` steps, after the last epoch, and when Ctrl-C or SIGTERM ends training.

    Parameters
    ----------
    directory : str or PathLike
        Created if it is missing. Only one run at a time can use it.
    every_epochs : int or None
        Epochs from one checkpoint to the next.
    every_steps : int, optional
        Steps from one checkpoint to the next, also in the middle of an epoch.
    keep : int
        The number of newest checkpoints to keep, at least 1.
    monitor : str, optional
        A number in the logs of an epoch. The checkpoint of its best value, over all calls of `fit` with this directory,
        is kept as ``best.safetensors`` too.
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
        When training begins, if the directory cannot be written or another process uses it; if it has checkpoints of
        another run, or later checkpoints than the one that this run resumes; or if a callback's saved state cannot be
        written to a file.
    CheckpointError
        If a checkpoint cannot be written. Training ends; earlier checkpoints are intact.
    NonFiniteError
        If the weights contain NaN or infinity; they are not saved.
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
            raise InputError("Checkpoint: expected every_epochs or every_steps, got None for both; pass one")
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
        # State that cannot be saved is reported now, not after hours of training.
        trainer.check_checkpoint()

    def _refuse_other_runs(self, trainer: Trainer) -> None:
        there = [*checkpoint_paths(self.directory), *self.directory.glob(BEST)]
        if not there:
            return
        directory, newest = self.directory.resolve(), there[0]
        if directory not in trainer.checkpoint_directories:
            hint = f"resume it with fit(..., resume_from={str(self.directory)!r}), or choose another directory"
            raise InputError(f"{self!r}: this directory already has a run, with {newest.name}; {hint}")
        place, step = trainer.resumed_from or (None, 0)
        if place == directory and steps_of(newest) > step:
            later = f"the later {newest.name} exists; remove later checkpoints, or choose another directory"
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
            warnings.warn(f"cannot read the best checkpoint so far; it will be replaced: {error}", stacklevel=2)
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
        # A checkpoint with more steps than this run is damaged; otherwise the run would have been resumed from it.
        mine = [path for path in checkpoint_paths(self.directory) if steps_of(path) <= trainer.step]
        for old in mine[self.keep :]:
            # A file that cannot be removed is tried again after the next save.
            with suppress(OSError):
                remove(old)

    def _write(self, trainer: Trainer, path: Path) -> None:
        try:
            trainer.save_checkpoint(path)
        except NonFiniteError as error:
            if trainer.nonfinite != "ignore":
                raise
            warnings.warn(f"{path}: did not save this checkpoint: {error}", stacklevel=2)
