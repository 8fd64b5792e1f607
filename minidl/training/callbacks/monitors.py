"""GradientMonitor and Timer: measure gradients and steps, and the time that each part of an epoch takes."""

import math
from time import perf_counter

import numpy as np

from minidl._core.checks import as_count
from minidl._core.reprs import counted
from minidl._core.tables import text_table
from minidl._core.types import Array
from minidl.training.callback import Observer
from minidl.training.optimizers.base import norm
from minidl.training.trainer import Trainer


class GradientMonitor(Observer):
    """Measure, for each parameter w, the norm of its gradient and how far a step moves it.

    In every `every`-th batch, starting with the first one of the epoch, it measures ``|gradient|``, ``|step|`` and
    ``|w|`` (each the Euclidean norm over all entries). At the end of the epoch it records the mean ``|gradient|`` and
    the ratio of the mean ``|step|`` to the mean ``|w|``. A ratio of about 0.001 is healthy; if it is much larger, the
    learning rate is probably too large; if it is much smaller, too small. Skipped steps and steps without a finite cost
    do not count.

    It only measures; to shorten long gradients, use ``clip_norm`` or ``clip_value`` of the optimizer. Each `fit` starts
    with empty lists; a `fit` that resumes from a checkpoint continues them.

    Parameters
    ----------
    every : int
        Batches from one measurement to the next, at least 1. A measurement costs about three passes over the weights,
        and memory for a copy of them.

    Attributes
    ----------
    epochs : list of int
        The epochs of the last `fit`.
    norms, ratios : dict of str to list of float
        For each path of a trained parameter, one number per epoch: the norm of the gradient before clipping, and the
        ratio. NaN if nothing was measured, or w was all zero (as a new bias is).
    total_norms : list of float
        For each epoch, the mean norm of all gradients as one long vector, which ``clip_norm`` limits.
    clipped : list of float
        For each epoch, the fraction of the measured steps in which ``clip_norm`` shortened the gradients.

    References
    ----------
    Karpathy, "Neural networks part 3: learning and evaluation", notes of the course CS231n: the ratio of updates to
    weights, and 0.001 as its typical value.
    """

    epochs: list[int]
    norms: dict[str, list[float]]
    ratios: dict[str, list[float]]
    total_norms: list[float]
    clipped: list[float]

    saved_attributes = ("epochs", "norms", "ratios", "total_norms", "clipped", "_sums", "_total", "_measured", "_cut")

    def __init__(self, every: int = 10) -> None:
        self.every = as_count("every", every)
        super().__init__()

    def _reset(self) -> None:
        self.epochs = []
        self.norms = {}
        self.ratios = {}
        self.total_norms = []
        self.clipped = []
        self._before: dict[str, Array] = {}
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        # For each path, the sums of the norms of gradient, step and weight, and their number.
        self._sums: dict[str, list[float]] = {}
        self._total = 0.0
        self._measured = 0
        self._cut = 0

    def on_batch_begin(self, trainer: Trainer) -> None:
        if trainer.batch % self.every == 0:
            parameters = trainer.model.parameters.items()
            self._before = {path: parameter.value.copy() for path, parameter in parameters if parameter.trainable}

    def on_batch_end(self, trainer: Trainer) -> None:
        before, self._before = self._before, {}
        if not before or not math.isfinite(trainer.logs["batch_cost"]):
            return
        norms = []
        for path, old in before.items():
            parameter = trainer.model.parameters[path]
            weight, gradient = norm([old]), norm([parameter.grad])
            # A weight may have become infinite.
            with np.errstate(all="ignore"):
                step = norm([np.subtract(parameter.value, old, out=old)])
            sums = self._sums.get(path, [0.0] * 4)
            self._sums[path] = [a + b for a, b in zip(sums, (gradient, step, weight, 1.0), strict=True)]
            norms.append(gradient)
        total, limit = math.hypot(*norms), trainer.optimizer.clip_norm
        self._total += total
        self._measured += 1
        # The optimizer decides in the same way.
        self._cut += limit is not None and total + 1e-6 > limit

    def on_epoch_end(self, trainer: Trainer) -> None:
        for path in {**self.norms, **self._sums}:
            gradient, step, weight, count = self._sums.get(path, [0.0] * 4)
            for columns, value, divisor in ((self.norms, gradient, count), (self.ratios, step, weight)):
                column = columns.setdefault(path, [math.nan] * len(self.epochs))
                column.append(value / divisor if divisor else math.nan)
        self.epochs.append(trainer.epoch)
        self.total_norms.append(self._total / self._measured if self._measured else math.nan)
        self.clipped.append(self._cut / self._measured if self._measured else math.nan)
        self._begin_epoch()

    def __str__(self) -> str:
        if not self.epochs:
            return f"{self!r}: no finished epoch yet"
        rows = [[path, norms[-1], self.ratios[path][-1]] for path, norms in self.norms.items()]
        table = text_table(["parameter", "gradient norm", "update/weight"], rows)
        clipped = f", {self.clipped[-1]:.0%} of the steps clipped" if any(self.clipped) else ""
        return f"{table}\nepoch {self.epochs[-1]}: total gradient norm {self.total_norms[-1]:.4g}{clipped}"


_PARTS = ("steps", "between", "measuring", "callbacks")


class Timer(Observer):
    """Measure the time that each part of an epoch takes; ``print(timer)`` shows it.

    The parts are ``steps`` (forward, backward, update), ``between`` (from one step to the next: drawing the batch, and
    callbacks), ``measuring`` (cost, loss and metrics over whole sets) and ``callbacks`` (after the epoch: figures,
    files, checkpoints). Put it first in the list: the time of earlier callbacks counts with the part that they
    interrupt.

    Each `fit` starts with empty lists. A resumed run does not include the time before it was resumed.

    Attributes
    ----------
    epochs : list of int
        The epochs of the last `fit`.
    seconds : dict of str to list of float
        For each part, one number per epoch.
    rows_per_second : list of float
        Training rows per second of ``steps`` and ``between``, one number per epoch.
    """

    epochs: list[int]
    seconds: dict[str, list[float]]
    rows_per_second: list[float]

    def _reset(self) -> None:
        self.epochs = []
        self.seconds = {part: [] for part in _PARTS}
        self.rows_per_second = []
        self._running = dict.fromkeys(_PARTS, 0.0)
        self._batches = 0
        self._after_epoch = False
        self._mark = perf_counter()

    def _count(self, part: str) -> None:
        """Add the time since the last call to `part`."""
        now = perf_counter()
        self._running[part] += now - self._mark
        self._mark = now

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self._count("callbacks")
        # Not before the first epoch, or after an interrupted one.
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
        rows = trainer.rows_per_epoch * self._batches / trainer.batches_per_epoch
        training = self._running["steps"] + self._running["between"]
        self.rows_per_second.append(rows / training if training else math.nan)
        self._running, self._batches, self._after_epoch = dict.fromkeys(_PARTS, 0.0), 0, True

    def __str__(self) -> str:
        sums = {part: sum(seconds) for part, seconds in self.seconds.items()}
        whole, count = sum(sums.values()), len(self.epochs)
        if not count:
            return f"{self!r}: no finished epoch yet"
        rows = [[part, f"{s:.3f}", f"{s / count:.4f}", f"{s / whole:.0%}"] for part, s in sums.items()]
        speed = sum(self.rows_per_second) / count
        table = text_table(["part", "seconds", "per epoch", "share"], rows)
        return f"{table}\n{counted(count, 'epoch')}, {speed:.3g} rows per second"
