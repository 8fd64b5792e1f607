"""Monitor: a number of each epoch that a callback follows, and which of two values is better."""

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from minidl._core.errors import InputError
from minidl._core.spelling import nearest
from minidl.training.history import BESIDES

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer


class Monitor:
    """A name in the logs of an epoch, and a direction.

    Parameters
    ----------
    name : str
        A column of the history.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", else "min".
    """

    def __init__(self, name: str, mode: str = "auto") -> None:
        if mode not in ("auto", "min", "max"):
            raise InputError(f"mode: expected 'auto', 'min' or 'max', got {mode!r}")
        if not isinstance(name, str):
            raise InputError(f"monitor: expected the name of a column of the history, got {name!r:.80}")
        self.name = name
        self.sign = -1.0 if mode == "max" or (mode == "auto" and name.endswith("accuracy")) else 1.0

    def read(self, trainer: "Trainer", owner: object) -> float:
        """Return the epoch's value, turned so that smaller is better; NaN counts as infinitely bad.

        Raises
        ------
        InputError
            If an epoch has no such number; names the nearest ones.
        """
        self._check(trainer.logs, owner)
        return self.turned(trainer.logs[self.name])

    def check(self, trainer: "Trainer", owner: object) -> None:
        """Refuse, before the first epoch, a name that no epoch of the running fit will have.

        A callback that was not made here may put numbers of its own into the logs at the end of an epoch, before
        `owner` has its turn. Where there is one, only the first epoch can tell.

        Raises
        ------
        InputError
            If it is sure that there will be no such number; names the nearest ones.
        """
        own = __name__.partition(".")[0]
        makers = [str(getattr(callback.on_epoch_end, "__module__", "")) for callback in trainer.callbacks]
        if all(maker.partition(".")[0] == own for maker in makers):
            self._check(_names(trainer), owner)

    def _check(self, names: Collection[str], owner: object) -> None:
        if self.name in names:
            return
        hint = f"the nearest names are {', '.join(nearest(self.name, names) or names)}"
        if self.name.startswith("val_") and not any(name.startswith("val_") for name in names):
            hint = "pass validation data to fit"
        raise InputError(f"{owner!r}: an epoch has no {self.name!r}; {hint}")

    def turned(self, value: float) -> float:
        """Return `value` so that smaller is better."""
        return math.inf if math.isnan(value) else self.sign * value


def _names(trainer: "Trainer") -> list[str]:
    """Return the names of the numbers that each epoch of the running fit will have."""
    measured = ["cost", "loss"]
    if (data := trainer.train_data) is not None:
        outputs = np.zeros_like(trainer.model.forward(data.x[:8]))  # the values do not matter, and may be degenerate
        with np.errstate(all="ignore"):
            measured += trainer.model.loss.metrics(outputs, data.y[:8])
    names = [*BESIDES, *measured]
    return names + [f"val_{name}" for name in measured if trainer.validation_data is not None]
