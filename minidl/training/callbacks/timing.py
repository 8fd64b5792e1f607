"""Timer: where the seconds of an epoch go."""

import math
from time import perf_counter

from minidl._core.tables import text_table
from minidl.training.callbacks.observer import Observer
from minidl.training.trainer import Trainer

_PARTS = ("steps", "between", "measuring", "callbacks")


class Timer(Observer):
    """Measure what the parts of an epoch take, as far as a callback can see; ``print(timer)`` shows it.

    The parts are ``steps`` (forward, backward, update), ``between`` (from one step to the next: drawing the batch, and
    callbacks), ``measuring`` (cost, loss and metrics over whole sets) and ``callbacks`` (after the epoch: figures,
    files, checkpoints). What callbacks before it in the list do in the course of an epoch counts with the part they
    interrupt, so put it first.

    Each `fit` begins anew; what another process did before a run was resumed is not in it.

    Attributes
    ----------
    epochs : list of int
        The epochs of the last `fit`.
    seconds : dict of str to list of float
        For each part, one number an epoch.
    rows_per_second : list of float
        Rows trained on in a second of ``steps`` and ``between``, one number an epoch.
    """

    def _forget(self) -> None:
        self.epochs: list[int] = []
        self.seconds: dict[str, list[float]] = {part: [] for part in _PARTS}
        self.rows_per_second: list[float] = []
        self._running = dict.fromkeys(_PARTS, 0.0)
        self._batches = 0
        self._after_epoch = False
        self._mark = perf_counter()

    def _count(self, part: str) -> None:
        """Give the time since the last call to `part`."""
        now = perf_counter()
        self._running[part] += now - self._mark
        self._mark = now

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self._count("callbacks")
        # Else this is before the first epoch, or one was broken off.
        if self._after_epoch:
            self.seconds["callbacks"][-1] = self._running["callbacks"]
        self._running["callbacks"], self._after_epoch = 0.0, False

    on_train_end = on_epoch_begin

    def on_batch_begin(self, trainer: Trainer) -> None:
        self._count("between")

    def on_batch_end(self, trainer: Trainer) -> None:
        self._count("steps")
        self._batches += 1

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._count("measuring")
        self.epochs.append(trainer.epoch)
        for part in _PARTS:
            self.seconds[part].append(self._running[part])
        rows = len(trainer.train_data or ()) * self._batches / trainer.batches_per_epoch
        training = self._running["steps"] + self._running["between"]
        self.rows_per_second.append(rows / training if training else math.nan)
        self._running, self._batches, self._after_epoch = dict.fromkeys(_PARTS, 0.0), 0, True

    def __str__(self) -> str:
        sums = {part: sum(seconds) for part, seconds in self.seconds.items()}
        whole, count = sum(sums.values()), len(self.epochs)
        if not count:
            return f"{self!r}: no epoch yet"
        rows = [[part, f"{s:.3f}", f"{s / count:.4f}", f"{s / whole:.0%}"] for part, s in sums.items()]
        speed = sum(self.rows_per_second) / count
        table = text_table(["part", "seconds", "an epoch", "share"], rows)
        return f"{table}\n{count} epoch{'' if count == 1 else 's'}, {speed:.3g} rows a second"
