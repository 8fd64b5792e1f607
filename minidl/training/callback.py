"""Callback: what can happen at the joints of training; Observer: what nearly all of minidl's own have in common."""

import inspect
from operator import is_
from typing import TYPE_CHECKING, Any, ClassVar

from minidl._core.attributes import Declared
from minidl._core.errors import InputError
from minidl._core.reprs import constructor_call
from minidl._core.signatures import check_function, is_method
from minidl._core.spelling import nearest
from minidl.training.history import as_row

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

    Numbers that a callback puts into ``trainer.logs`` in `on_epoch_end` are columns of that epoch's row of the history:
    callbacks whose turn is later see them, and bars, log files, figures and checkpoints have them.

    Raises
    ------
    InputError
        When a subclass is defined: if a method ``on_...`` is none of the moments, or a moment takes something else than
        the trainer. From `Trainer.fit`: if what is put into the logs is no number, replaces a number that is there, or
        comes at another moment or from a callback that `runs_last`.
    """

    saved_attributes: tuple[str, ...] = ()
    """Names of attributes to save in checkpoints: numbers, texts, arrays, Generators, lists and dicts of these."""
    runs_last: ClassVar[bool] = False
    """Whether it runs after all other callbacks, wherever it is in the list. It then cannot add to the logs."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A class that is mixed in may have methods on_... of its own kind; what stands here is meant for training.
        for name, value in vars(cls).items():
            if name.startswith("on_") and is_method(value) and name not in MOMENTS:
                ours = name.replace("start", "begin").replace("finish", "end").replace("train_batch", "batch")
                meant = nearest(ours, MOMENTS, 1)
                hint = f"did you mean {meant[0]}" if meant else f"the moments are {', '.join(MOMENTS)}"
                hint += f", or call a method of your own _{name}"
                raise InputError(f"{cls.__name__}.{name}: no moment of training has this name; {hint}")
        for name in MOMENTS:
            value = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
            if value is not vars(Callback)[name]:
                check_moment(cls.__name__, name, value, f"def {name}(self, trainer)", cls)

    @property
    def adds_logs(self) -> bool:
        """Whether it may add numbers to the logs of an epoch; a class that never does may say ``adds_logs = False``.

        While no callback does, a name that a callback follows can be refused before the first epoch.
        """
        return not self.runs_last and getattr(self.on_epoch_end, "__func__", None) is not Callback.on_epoch_end

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Before the first epoch of a `fit`."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last epoch, or after whatever ended training."""

    def on_epoch_begin(self, trainer: "Trainer") -> None:
        """Before an epoch; ``trainer.epoch`` is its number, from 1."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After an epoch; ``trainer.logs`` is its row of the history, to which numbers may be added."""

    def on_batch_begin(self, trainer: "Trainer") -> None:
        """Before a step."""

    def on_batch_end(self, trainer: "Trainer") -> None:
        """After a step; ``trainer.logs`` holds ``batch_cost`` and ``batch_loss``, measured before its update."""

    def on_interrupt(self, trainer: "Trainer") -> None:
        """After the last step or epoch before Ctrl-C or SIGTERM ends training; what is to be kept is saved here."""

    __repr__ = constructor_call


MOMENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))
"""The names of the methods that a trainer calls."""
_OF_KERAS = ("epoch", "batch", "logs")
"""What moments of Keras take, in place of a trainer that has all of them."""


def check_moment(where: str, name: str, function: Any, written: str, owner: type | None = None) -> None:
    """Refuse a function, or an attribute of the class `owner`, that cannot serve as a moment.

    Raises
    ------
    InputError
        If it cannot be called with the trainer, or does nothing when it is called; says how it is `written`.
    """
    trainer = inspect.Parameter("trainer", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = check_function(where, name, function, written, [trainer], owner)
    if signature is not None and next(iter(signature.parameters)) in _OF_KERAS:
        hint = f"write {written}; trainer.epoch, trainer.batch and trainer.logs have what Keras passes"
        raise InputError(f"{where}: expected {name} to be a function of (trainer), got one of {signature}; {hint}")


def call_moment(callback: Callback, moment: str, trainer: "Trainer") -> None:
    """Call the method `moment`, and take the numbers that it adds to the logs.

    Raises
    ------
    InputError
        If it does something else to the logs; they are then as before.
    """
    method = getattr(callback, moment)
    # Most callbacks leave the moments of a step as they are, and every step pays for this.
    if getattr(method, "__func__", None) is vars(Callback)[moment]:
        return
    logs, before = trainer.logs, dict(trainer.logs)
    method(trainer)
    # By identity, since NaN equals nothing and arrays compare to arrays.
    if len(logs) == len(before) and all(map(is_, logs.values(), before.values())):
        return
    added = dict(logs)
    logs.clear()
    logs.update(before)
    where = f"{type(callback).__name__}.{moment}"
    for name, value in before.items():
        if added.get(name) is not value:
            raise InputError(f"{where}: expected {name!r} in the logs to stay as it is; give yours another name")
    row = as_row(added, where)
    name = next(name for name in row if name not in before)
    if moment != "on_epoch_end":
        raise InputError(f"{where}: {name!r} in the logs would be lost; put it there in on_epoch_end")
    if callback.runs_last:
        raise InputError(f"{where}: {name!r} in the logs is too late for others; set runs_last = False")
    logs.update(row)


class Observer(Callback):
    """Adds nothing to the logs, and begins each `fit` without what it remembers of the last one."""

    adds_logs = False

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Set all that belongs to one `fit` to what it is at its beginning."""

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._forget()
