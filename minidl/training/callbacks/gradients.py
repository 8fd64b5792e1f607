"""GradientMonitor: how long gradients are, and how far steps go."""

import math

import numpy as np

from minidl._core.checks import as_count
from minidl._core.tables import text_table
from minidl._core.types import Array
from minidl.nn.arithmetic import blocks
from minidl.training.callbacks.observer import Observer
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

    saved_attributes = ("epochs", "norms", "ratios", "total_norms", "clipped", "_sums", "_total", "_measured", "_cut")

    def __init__(self, every: int = 10) -> None:
        self.every = as_count("every", every)
        super().__init__()

    def _forget(self) -> None:
        self.epochs: list[int] = []
        self.norms: dict[str, list[float]] = {}
        self.ratios: dict[str, list[float]] = {}
        self.total_norms: list[float] = []
        self.clipped: list[float] = []
        self._before: dict[str, Array] = {}
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._sums: dict[str, list[float]] = {}  # norms of gradient, step and weight, and how many
        self._total = 0.0
        self._measured = 0
        self._cut = 0

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self._begin_epoch()

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
            weight, gradient = _norm(old), _norm(parameter.grad)
            with np.errstate(all="ignore"):  # a weight may have become infinite
                step = _norm(np.subtract(parameter.value, old, out=old))
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


def _norm(array: Array) -> float:
    # In float32 the square of 1e20 is infinite, and that of 1e-23 is 0.
    with np.errstate(all="ignore"):
        return math.sqrt(sum(float(np.square(block, dtype=np.float64).sum()) for (block,) in blocks(array)))
