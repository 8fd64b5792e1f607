"""LambdaCallback: call functions at the moments of training, without a class."""

from collections.abc import Callable

from minidl._core.spelling import check_known
from minidl.training.callback import MOMENTS, Callback, check_moment
from minidl.training.trainer import Trainer


class LambdaCallback(Callback):
    """Call functions at moments of training.

    Parameters
    ----------
    **functions : callable
        Named after methods of `Callback`, such as ``on_epoch_end``; each is called with the trainer.

    Raises
    ------
    InputError
        If a name is not a moment (the message names all moments and the nearest), or a value is not a function of the
        trainer alone.

    Examples
    --------
    >>> LambdaCallback(on_epoch_end=lambda trainer: print(trainer.logs["loss"]))
    LambdaCallback(on_epoch_end)
    """

    def __init__(self, **functions: Callable[[Trainer], object]) -> None:
        for name, function in functions.items():
            check_known("LambdaCallback", "moment", name, MOMENTS)
            check_moment("LambdaCallback", name, function, f"{name}=lambda trainer: ...")
            setattr(self, name, function)
        self._names = ", ".join(functions)

    def __repr__(self) -> str:
        return f"LambdaCallback({self._names})"
