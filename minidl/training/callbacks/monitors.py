"""GradientMonitor and Timer: how long gradients are, how far steps go, and where the seconds of an epoch go."""

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

    Of every `every`-th batch, the epoch's first one included, it takes ``|gradient|``, ``|step|`` and ``|w|`` (each
    the Euclidean norm over all entries), and at the end of the epoch notes the mean ``|gradient|`` and the ratio
    of the mean ``|step|`` to the mean ``|w|``. A ratio of about 0.001 is a healthy one: far above, the learning rate is
    likely too large, far below, too small. Steps that were left out or had no finite cost are not counted.

    It changes nothing; to shorten gradients that are too long is for the optimizer (``clip_norm``, ``clip_value``).
    Each `fit` begins anew; one that resumes from a checkpoint goes on.

    Parameters
    ----------
    every : int
        Batches from one measurement to the next, at least 1. One costs about three passes over the weights, and memory
        for a copy of them.

    Attributes
    ----------
    epochs : list of int
        The epochs of the last `fit`.
    norms, ratios : dict of str to list of float
        For each path of a trained parameter, one number an epoch: of the gradient before clipping, and the ratio. NaN
        where there is none: nothing was measured, or w was all zero (as a new bias is).
    total_norms : list of float
        For each epoch, the mean norm of all gradients together, as one long vector: what ``clip_norm`` goes by.
    clipped : list of float
        For each epoch, the share of the measured steps in which ``clip_norm`` shortened the gradients.

    References
    ----------
    Karpathy, "Neural networks part 3: learning and evaluation", notes of the course CS231n: the ratio of updates to
    weights, and 0.001 as what to look for.
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
        self._sums: dict[str, list[float]] = {}  # norms of gradient, step and weight, and how many
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
            with np.errstate(all="ignore"):  # a weight may have become infinite
                step = norm([np.subtract(parameter.value, old, out=old)])
            sums = self._sums.get(path, [0.0] * 4)
            self._sums[path] = [a + b for a, b in zip(sums, (gradient, step, weight, 1.0), strict=True)]
            norms.append(gradient)
        total, limit = math.hypot(*norms), trainer.optimizer.clip_norm
        self._total += total
        self._measured += 1
        self._cut += limit is not None and total + 1e-6 > limit  # as the optimizer decides

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
            return f"{self!r}: no epoch yet"
        rows = [[path, norms[-1], self.ratios[path][-1]] for path, norms in self.norms.items()]
        table = text_table(["parameter", "gradient norm", "update/weight"], rows)
        clipped = f", {self.clipped[-1]:.0%} of the steps clipped" if any(self.clipped) else ""
        return f"{table}\nepoch {self.epochs[-1]}: total gradient norm {self.total_norms[-1]:.4g}{clipped}"


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
        rows = trainer.rows_per_epoch * self._batches / trainer.batches_per_epoch
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
        return f"{table}\n{counted(count, 'epoch')}, {speed:.3g} rows a second"
