"""LambdaCallback: functions at the moments of training, without a class."""

from collections.abc import Callable

from minidl._core.errors import InputError
from minidl._core.spelling import check_known
from minidl.training.callback import Callback
from minidl.training.trainer import Trainer

_MOMENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class LambdaCallback(Callback):
    """Call functions at moments of training.

    Parameters
    ----------
    **functions : callable
        Each by the name of a method of `Callback`, such as ``on_epoch_end``; it is called with the trainer.

    Raises
    ------
    InputError
        If there is no such moment; names the moments and the nearest. Or if what is given cannot be called.

    Examples
    --------
    >>> LambdaCallback(on_epoch_end=lambda trainer: print(trainer.logs["loss"]))
    LambdaCallback(on_epoch_end)
    """

    def __init__(self, **functions: Callable[[Trainer], object]) -> None:
        for name, function in functions.items():
            check_known("LambdaCallback", "moment", name, _MOMENTS)
            if not callable(function):
                raise InputError(f"LambdaCallback: expected a function of the trainer as {name}, got {function!r:.80}")
            setattr(self, name, function)
        self._names = ", ".join(functions)

    def __repr__(self) -> str:
        return f"LambdaCallback({self._names})"
