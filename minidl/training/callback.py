"""Callback: what can happen at the joints of training; Observer: what nearly all of minidl's own have in common."""

from typing import TYPE_CHECKING, ClassVar

from minidl._core.attributes import Declared
from minidl._core.reprs import constructor_call

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer


class Callback(Declared):
    """Seven moments of training, each given the trainer; override those that matter.

    Read ``trainer.epoch``, ``trainer.step``, ``trainer.logs`` (the numbers of the moment), ``trainer.history``,
    ``trainer.model`` and ``trainer.train_data``; call ``trainer.stop()`` to end training. Callbacks are called in list
    order. Whatever ends training, an error or Ctrl-C too, `on_train_end` is called for every callback that has begun.

    A callback that remembers something from one epoch or step to the next names those attributes in
    `saved_attributes`; so a run that is resumed from a checkpoint goes on with them. `on_train_begin` sets them as they
    are at the beginning of a run; a resumed run then puts those of the checkpoint in their place, and the trainer, its
    model and its optimizer where they were.
    """

    saved_attributes: tuple[str, ...] = ()
    """Attributes that belong into a checkpoint: numbers, texts, arrays, Generators, and lists and dicts of these."""
    runs_last: ClassVar[bool] = False
    """Whether its turn is after all other callbacks, whatever its place in the list."""

    @property
    def adds_logs(self) -> bool:
        """Whether it may add numbers to the logs of an epoch; a class that never does may say ``adds_logs = False``.

        While no callback does, a name that a callback follows can be refused before the first epoch.
        """
        return getattr(self.on_epoch_end, "__func__", None) is not Callback.on_epoch_end

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Before the first epoch of a `fit`."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last epoch, or after whatever ended training."""

    def on_epoch_begin(self, trainer: "Trainer") -> None:
        """Before an epoch; ``trainer.epoch`` is its number, from 1."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After an epoch; ``trainer.logs`` is a copy of its row of the history."""

    def on_batch_begin(self, trainer: "Trainer") -> None:
        """Before a step."""

    def on_batch_end(self, trainer: "Trainer") -> None:
        """After a step; ``trainer.logs`` holds ``batch_cost`` and ``batch_loss``, measured before its update."""

    def on_interrupt(self, trainer: "Trainer") -> None:
        """After the last step or epoch before Ctrl-C or SIGTERM ends training; what is to be kept is saved here."""

    __repr__ = constructor_call


class Observer(Callback):
    """Adds nothing to the logs, and begins each `fit` without what it remembers of the last one."""

    adds_logs = False

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Set all that belongs to one `fit` to what it is at its beginning."""

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._forget()
