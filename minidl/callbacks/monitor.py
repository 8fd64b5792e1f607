"""Monitor: a column of the history that a callback follows, and which of two values is better."""

import math
from typing import TYPE_CHECKING

from minidl.errors import InputError
from minidl.spelling import nearest

if TYPE_CHECKING:
    from minidl.trainer import Trainer


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
        logs = trainer.logs
        if self.name not in logs:
            hint = f"the nearest names are {', '.join(nearest(self.name, logs) or logs)}"
            if self.name.startswith("val_") and not any(name.startswith("val_") for name in logs):
                hint = "pass validation data to fit"
            raise InputError(f"{owner!r}: an epoch has no {self.name!r}; {hint}")
        return self.turned(logs[self.name])

    def turned(self, value: float) -> float:
        """Return `value` so that smaller is better."""
        return math.inf if math.isnan(value) else self.sign * value
