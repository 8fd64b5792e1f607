"""CSVLogger, JSONLLogger and TensorBoard: the history in a file, or with a writer of the user's, while it grows."""

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
    """Writes the whole history of the trainer after each epoch; a subclass says how a file is written and read."""

    runs_last = True
    _write: "ClassVar[staticmethod[[History, PathLike], Path]]"
    _read: "ClassVar[staticmethod[[PathLike], History]]"

    def __init__(self, path: PathLike) -> None:
        self.path = as_path("path", path)

    def on_train_begin(self, trainer: Trainer) -> None:
        # What cannot be written must not show after the first epoch.
        check_file(self.path)
        self._checked, self._in_the_middle = False, True

    def on_epoch_begin(self, trainer: Trainer) -> None:
        # Of an epoch that a resumed run is in the middle of, the beginning was in another process.
        self._in_the_middle = False

    def on_epoch_end(self, trainer: Trainer) -> None:
        # Not before: a resumed run has its history back after all callbacks have begun.
        if not self._checked:
            self._checked = True
            reason = self._foreign(trainer)
            if reason and (aside := set_aside(self.path)) is not None:
                warnings.warn(f"{self.path} {reason}; it is kept as {aside.name}", stacklevel=2)
        self._write(trainer.history, self.path)

    def _foreign(self, trainer: Trainer) -> str:
        """Return why what is in the file must not be replaced by the rows of this trainer, "" if it may."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return ""
        try:
            found = self._read(self.path).rows
        except DataError as error:
            return f"is no history of this kind ({error})"
        *before, row = trainer.history.rows
        common = min(len(found), len(before))
        if found and not common:
            # A run that was killed in its first epoch may have written this row already. What it measures is the same
            # again; clocks, and callbacks, may tell something else.
            measured = set(trainer.measured_columns) - set(NOT_METRICS)
            names = {"epoch", *measured}
            then, now = (History([{name: of[name] for name in names & of.keys()}]) for of in (found[0], row))
            own = self._in_the_middle and bool(measured) and then == now
        else:
            own = History(found[:common]) == History(before[:common])
        if not own:
            return "is of another run"
        if len(found) > len(before) and trainer.resumed_from is not None:
            return "goes further than the checkpoint that was asked for"
        return ""


class CSVLogger(_HistoryFile):
    """Write the history to a CSV file after each epoch, as ``trainer.history.to_csv(path)`` does.

    The file is whole at any moment, also after a kill. All of it is written each time, which thousands of very quick
    epochs feel. A second `fit` of the trainer goes on in it. So does a run that is resumed from a checkpoint: epochs
    after the checkpoint are measured again, and their rows written again, so that there is one row an epoch. A file of
    anything else, also one of a run that is begun anew, is kept under the first free name beside it, such as
    ``log-1.csv``.

    Parameters
    ----------
    path : str or PathLike
        Folders are made if they are missing.

    Warns
    -----
    UserWarning
        After the first epoch, if another file had to be put aside; names both.

    Raises
    ------
    InputError
        When training begins, if the file cannot be written.
    OSError
        If it cannot be written later, which ends training; what it held before is untouched.
    """

    _write, _read = staticmethod(History.to_csv), staticmethod(History.from_csv)


class JSONLLogger(_HistoryFile):
    """Write the history to a file of JSON lines after each epoch, as ``trainer.history.to_jsonl(path)`` does.

    A line is one epoch; what JSON has no number for is "NaN", "Infinity" or "-Infinity". All else is as with
    `CSVLogger`.

    Parameters
    ----------
    path : str or PathLike
        Folders are made if they are missing.
    """

    _write, _read = staticmethod(History.to_jsonl), staticmethod(History.from_jsonl)


class ScalarWriter(Protocol):
    """What `TensorBoard` needs of a writer; ``flush()`` is called too, if it has that."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> object:
        """Note that the quantity `tag` has this value at this step."""


class TensorBoard(Observer):
    """Give the numbers of each epoch to a TensorBoard writer, with the epoch as the step.

    Training and validation of a quantity are the tags ``loss/train`` and ``loss/validation``, which TensorBoard puts
    side by side; ``learning_rate`` and ``seconds`` are tags of their own. The writer is flushed after each epoch and
    never closed: it is the caller's.

    A resumed run writes again what came after its checkpoint. Where that shows twice, open the writer with its
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
                # A number of a callback's own may be of anything.
                tag = f"{name}/train" if name in measured else name
            if name != "epoch":
                self.writer.add_scalar(tag, float(value), trainer.epoch)
        if callable(flush := getattr(self.writer, "flush", None)):
            flush()

    def __repr__(self) -> str:
        return f"TensorBoard({type(self.writer).__name__})"
