"""CSVLogger, JSONLLogger and TensorBoard: write the history after each epoch, to a file or with a user's writer."""

import warnings
from pathlib import Path
from typing import ClassVar, Protocol

from minidl._core.checks import as_path
from minidl._core.errors import DataError, InputError
from minidl._core.types import PathLike
from minidl._storage.files import check_file, set_aside
from minidl.training.callback import Observer
from minidl.training.history import NOT_METRICS, History
from minidl.training.trainer import Trainer


class _HistoryFile(Observer):
    """Write the whole history of the trainer after each epoch; a subclass defines how to write and read a file."""

    runs_last = True
    _write: "ClassVar[staticmethod[[History, PathLike], Path]]"
    _read: "ClassVar[staticmethod[[PathLike], History]]"

    def __init__(self, path: PathLike) -> None:
        self.path = as_path("path", path)

    def on_train_begin(self, trainer: Trainer) -> None:
        # A file that cannot be written is reported now, not after the first epoch.
        check_file(self.path)
        self._checked, self._in_the_middle = False, True

    def on_epoch_begin(self, trainer: Trainer) -> None:
        # Not called in a run that is resumed in the middle of an epoch, until its next epoch.
        self._in_the_middle = False

    def on_epoch_end(self, trainer: Trainer) -> None:
        # Not earlier: a resumed run restores its history only after on_train_begin.
        if not self._checked:
            self._checked = True
            reason = self._conflict(trainer)
            if reason and (aside := set_aside(self.path)) is not None:
                warnings.warn(f"{self.path} {reason}; it was renamed to {aside.name}", stacklevel=2)
        self._write(trainer.history, self.path)

    def _conflict(self, trainer: Trainer) -> str:
        """Return the reason not to replace the file by the rows of this trainer, "" if there is none."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return ""
        try:
            rows = self._read(self.path).rows
        except DataError as error:
            return f"is not a history in this format ({error})"
        *before, row = trainer.history.rows
        common = min(len(rows), len(before))
        if rows and not common:
            # A run that was killed in its first epoch may have written this row already. The trainer's metrics are then
            # equal; times, and numbers of callbacks, may differ.
            measured = set(trainer.measured_columns) - set(NOT_METRICS)
            names = {"epoch", *measured}
            then, now = (History([{name: of[name] for name in names & of.keys()}]) for of in (rows[0], row))
            own = self._in_the_middle and bool(measured) and then == now
        else:
            own = History(rows[:common]) == History(before[:common])
        if not own:
            return "is of another run"
        if len(rows) > len(before) and trainer.resumed_from is not None:
            return "has more epochs than the checkpoint in resume_from"
        return ""


class CSVLogger(_HistoryFile):
    """Write the history to a CSV file after each epoch, as ``trainer.history.to_csv(path)`` does.

    The file is complete at any moment, even after a kill. The whole file is written each time, which slows down
    thousands of very quick epochs. A second `fit` of the trainer continues the file. So does a run that is resumed from
    a checkpoint: epochs after the checkpoint are measured and written again, so there is one row per epoch. If `path`
    has another content, or the history of another run, that file is renamed to the first free name, such as
    ``log-1.csv``.

    Parameters
    ----------
    path : str or PathLike
        Missing folders are created.

    Warns
    -----
    UserWarning
        After the first epoch, if another file was renamed; gives both names.

    Raises
    ------
    InputError
        When training begins, if the file cannot be written.
    OSError
        If the file cannot be written later. Training ends; the file keeps its previous content.
    """

    _write, _read = staticmethod(History.to_csv), staticmethod(History.from_csv)


class JSONLLogger(_HistoryFile):
    """Write the history to a file of JSON lines after each epoch, as ``trainer.history.to_jsonl(path)`` does.

    A line is one epoch; NaN and infinity are written as "NaN", "Infinity" and "-Infinity". Everything else is as in
    `CSVLogger`.

    Parameters
    ----------
    path : str or PathLike
        Missing folders are created.
    """

    _write, _read = staticmethod(History.to_jsonl), staticmethod(History.from_jsonl)


class ScalarWriter(Protocol):
    """The method of a writer that `TensorBoard` needs; ``flush()`` is called too, if the writer has it."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> object:
        """Record the value of the quantity `tag` at this step."""


class TensorBoard(Observer):
    """Pass the numbers of each epoch to a TensorBoard writer, with the epoch as the step.

    Training and validation of a quantity are the tags ``loss/train`` and ``loss/validation``, which TensorBoard shows
    side by side; ``learning_rate`` and ``seconds`` are tags of their own. The writer is flushed after each epoch; the
    caller must close it.

    A resumed run writes the epochs after its checkpoint again. If they appear twice, open the writer with its
    ``purge_step``.

    Parameters
    ----------
    writer : object with ``add_scalar(tag, value, step)``
        For example ``torch.utils.tensorboard.SummaryWriter("runs/one")``, or that of tensorboardX.

    Raises
    ------
    InputError
        If the writer has no method ``add_scalar``.
    """

    runs_last = True

    def __init__(self, writer: ScalarWriter) -> None:
        if isinstance(writer, type) or not callable(getattr(writer, "add_scalar", None)):
            wanted = "a writer with add_scalar(tag, value, step), such as tensorboardX.SummaryWriter"
            raise InputError(f"TensorBoard: expected {wanted}, got {writer!r:.80}")
        self.writer = writer

    def on_epoch_end(self, trainer: Trainer) -> None:
        measured = set(trainer.measured_columns) - set(NOT_METRICS)
        for name, value in trainer.logs.items():
            if name.startswith("val_"):
                tag = f"{name.removeprefix('val_')}/validation"
            else:
                # A number that a callback adds may measure anything.
                tag = f"{name}/train" if name in measured else name
            if name != "epoch":
                self.writer.add_scalar(tag, float(value), trainer.epoch)
        if callable(flush := getattr(self.writer, "flush", None)):
            flush()

    def __repr__(self) -> str:
        return f"TensorBoard({type(self.writer).__name__})"
