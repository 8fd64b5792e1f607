"""Callback: methods that training calls at certain moments; Observer: the base of most of minidl's own callbacks."""

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
    """A base class with seven methods that the trainer calls, the moments of training; override those you need.

    Each method gets the trainer. Read ``trainer.epoch``, ``trainer.step``, ``trainer.logs`` (the numbers of the last
    step or epoch), ``trainer.history``, ``trainer.model`` and ``trainer.train_data``; call ``trainer.stop()`` to end
    training. Callbacks are called in list order. `on_train_end` is called for every callback whose `on_train_begin` was
    called, even if an error or Ctrl-C ends training.

    If a callback keeps state from one epoch or step to the next, name those attributes in `saved_attributes`, so that
    a checkpoint saves them. `on_train_begin` sets them to their values at the beginning of a run; a resumed run then
    restores the callbacks, the trainer, its model and its optimizer from the checkpoint.

    Numbers that a callback adds to ``trainer.logs`` in `on_epoch_end` become columns of that epoch's row of the
    history. Later callbacks, progress bars, log files, figures and checkpoints get them.

    Raises
    ------
    InputError
        When a subclass is defined: if a method ``on_...`` is not one of the moments, or does not take the trainer
        alone. From `Trainer.fit`: if a callback adds something other than a number to the logs, replaces a number,
        adds one at another moment, or `runs_last`.
    """

    saved_attributes: tuple[str, ...] = ()
    """Names of attributes to save in checkpoints: numbers, texts, arrays, Generators, lists and dicts of these."""
    runs_last: ClassVar[bool] = False
    """Whether it runs after all other callbacks, wherever it is in the list. It then cannot add to the logs."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Only this class is checked: a mixed-in class may have other methods on_... of its own.
        for name, value in vars(cls).items():
            if name.startswith("on_") and is_method(value) and name not in MOMENTS:
                ours = name.replace("start", "begin").replace("finish", "end").replace("train_batch", "batch")
                meant = nearest(ours, MOMENTS, 1)
                hint = f"did you mean {meant[0]}?" if meant else f"the moments are {', '.join(MOMENTS)}."
                hint += f" Rename a method of your own to _{name}"
                raise InputError(f"{cls.__name__}.{name}: no moment of training has this name; {hint}")
        for name in MOMENTS:
            value = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
            if value is not vars(Callback)[name]:
                check_moment(cls.__name__, name, value, f"def {name}(self, trainer)", cls)

    @property
    def adds_logs(self) -> bool:
        """Whether it may add numbers to the logs of an epoch; set ``adds_logs = False`` in a class that never does.

        If no callback adds any, an unknown name to monitor is refused before the first epoch.
        """
        return not self.runs_last and getattr(self.on_epoch_end, "__func__", None) is not Callback.on_epoch_end

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Before the first epoch of a `fit`."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last epoch, or when something else has ended training."""

    def on_epoch_begin(self, trainer: "Trainer") -> None:
        """Before an epoch; ``trainer.epoch`` is its number, from 1."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After an epoch; ``trainer.logs`` is its row of the history, to which numbers may be added."""

    def on_batch_begin(self, trainer: "Trainer") -> None:
        """Before a step."""

    def on_batch_end(self, trainer: "Trainer") -> None:
        """After a step; ``trainer.logs`` holds ``batch_cost`` and ``batch_loss``, measured before its update."""

    def on_interrupt(self, trainer: "Trainer") -> None:
        """After the last step or epoch before Ctrl-C or SIGTERM ends training; save here what you want to keep."""

    __repr__ = constructor_call


MOMENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))
"""The names of the methods that a trainer calls."""
_OF_KERAS = ("epoch", "batch", "logs")
"""The first parameters of Keras's callback methods; here the trainer has all of them."""


def check_moment(where: str, name: str, function: Any, written: str, owner: type | None = None) -> None:
    """Refuse a function, or an attribute of the class `owner`, that cannot be a moment.

    Raises
    ------
    InputError
        If it cannot be called with the trainer, or does nothing when it is called; the message shows `written`.
    """
    trainer = inspect.Parameter("trainer", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = check_function(where, name, function, written, [trainer], owner)
    if signature is not None and next(iter(signature.parameters)) in _OF_KERAS:
        hint = f"write {written}; trainer.epoch, trainer.batch and trainer.logs are what Keras passes"
        raise InputError(f"{where}: expected {name} to be a function of (trainer), got one of {signature}; {hint}")


def call_moment(callback: Callback, moment: str, trainer: "Trainer") -> None:
    """Call the method `moment`, and check the numbers that it adds to the logs.

    Raises
    ------
    InputError
        If it changes the logs in another way; they are then restored.
    """
    method = getattr(callback, moment)
    # Most callbacks do not override the moments of a step, and this check takes time in every step.
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
            raise InputError(f"{where}: expected {name!r} in the logs to stay as it is; choose another name for yours")
    row = as_row(added, where)
    name = next(name for name in row if name not in before)
    if moment != "on_epoch_end":
        raise InputError(f"{where}: {name!r} in the logs would be lost; add it in on_epoch_end")
    if callback.runs_last:
        raise InputError(f"{where}: {name!r} in the logs is too late for other callbacks; set runs_last = False")
    logs.update(row)


class Observer(Callback):
    """A callback that adds nothing to the logs, and resets its state at the beginning of each `fit`."""

    adds_logs = False

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        """Set all state of a `fit` to its initial values."""

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._reset()
