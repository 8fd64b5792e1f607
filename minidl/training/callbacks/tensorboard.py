"""TensorBoard: the numbers of each epoch to a writer that the user brings."""

from typing import Protocol

from minidl._core.errors import InputError
from minidl.training.callbacks.observer import Observer
from minidl.training.history import BESIDES
from minidl.training.trainer import Trainer


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

    def __init__(self, writer: ScalarWriter) -> None:
        if isinstance(writer, type) or not callable(getattr(writer, "add_scalar", None)):
            raise InputError(
                "TensorBoard: expected a writer with a method add_scalar(tag, value, step), such as "
                f'tensorboardX.SummaryWriter("runs/one"), got {writer!r:.80}'
            )
        self.writer = writer

    def on_epoch_end(self, trainer: Trainer) -> None:
        measured = trainer.history.rows[-1].keys() - set(BESIDES)
        for name, value in trainer.logs.items():  # what other callbacks have put there too
            if name.startswith("val_"):
                tag = f"{name.removeprefix('val_')}/validation"
            else:
                tag = f"{name}/train" if name in measured else name
            if name != "epoch":
                self.writer.add_scalar(tag, float(value), trainer.epoch)
        if callable(flush := getattr(self.writer, "flush", None)):
            flush()

    def __repr__(self) -> str:
        return f"TensorBoard({type(self.writer).__name__})"
