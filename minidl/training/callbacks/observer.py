"""Observer: what nearly all callbacks of minidl itself have in common."""

from minidl.training.callback import Callback
from minidl.training.trainer import Trainer


class Observer(Callback):
    """Adds nothing to the logs, and begins each `fit` without what it remembers of the last one."""

    adds_logs = False

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Set all that belongs to one `fit` to what it is at its beginning."""

    def on_train_begin(self, trainer: Trainer) -> None:
        self._forget()
