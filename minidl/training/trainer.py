"""Trainer: how the cost is minimised."""

import math
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from minidl._core.checks import as_count, as_path, check_finite, check_type
from minidl._core.errors import CallOrderError, InputError, MinidlError, NonFiniteError
from minidl._core.randomness import as_seed, keyed_generator
from minidl._core.types import Array, PathLike, Seed
from minidl.data.augmentation import Augmentation, augmenter, check_augmentations
from minidl.data.dataset import Dataset
from minidl.data.prefetch import WORTHWHILE_BYTES, one_ahead
from minidl.nn.arithmetic import IN_PIECES
from minidl.nn.model import Model
from minidl.training.callbacks.base import Callback
from minidl.training.checkpoint import check_checkpoint, find_checkpoint, write_checkpoint
from minidl.training.history import History
from minidl.training.nonfinite import check_weights, first_place
from minidl.training.optimizers import Optimizer
from minidl.training.resume import Restored, captured, run_terms
from minidl.training.signals import Interrupts


@dataclass(frozen=True, eq=False)
class _Work:
    """What a call of `fit` was given; a checkpoint is of this work."""

    train: Dataset
    validation: Dataset | None
    batch_size: int
    train_metrics: bool
    augment: list[Augmentation]
    nonfinite: str

    @property
    def batches_per_epoch(self) -> int:
        return -(-len(self.train) // self.batch_size)


class Trainer:
    """Mini-batch training of a model, with callbacks at its joints.

    Parameters
    ----------
    model : Model
    optimizer : Optimizer
    callbacks : sequence of Callback
        Called in this order.
    rng : int, Generator or None
        Decides every shuffle; None draws a fresh seed once.

    Attributes
    ----------
    epoch, step : int
        How many epochs have begun and how many batches are done, over all calls of `fit`.
    batch : int
        How many batches of the running epoch are done; 0 between epochs.
    skipped_steps : int
        Of how many batches the step was left out, see `fit`.
    stopping : bool
        Whether `stop` was called.
    logs : dict of str to float
        The numbers of the moment: a step's or an epoch's.
    history : History
        One row an epoch, over all calls of `fit`.
    seed : int
        The seed of all its randomness; the same seed gives the same run, bit for bit, on one machine.
    own_directories : set of Path
        Where checkpoints of this run lie: it has written them or was resumed from them.
    went_back_to : (Path, int) or None
        Directory and steps of the checkpoint that the running (or last) `fit` was told to go on from, if one was named.
    train_data, validation_data : Dataset or None
        What the running (or last) `fit` was given.
    epochs, first_epoch, last_epoch, batches_per_epoch : int
        What the running (or last) `fit` is to do; `first_epoch` is the number of epochs before it.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        callbacks: Sequence[Callback] = (),
        rng: Seed = None,
    ) -> None:
        check_type("Trainer", "model", model, Model, "make one of network and loss: Model(network, loss)")
        check_type("Trainer", "optimizer", optimizer, Optimizer, "such as SGD(0.1)")
        check_type("Trainer", "callbacks", callbacks, Sequence)
        for i, callback in enumerate(callbacks):
            check_type("Trainer", f"callbacks[{i}]", callback, Callback, "a function goes into a LambdaCallback")
        self.model = model
        self.optimizer = optimizer
        self.callbacks = list(callbacks)
        self.seed = as_seed(rng)
        self.seed_given = isinstance(rng, int | np.integer)
        self.epoch = 0
        self.batch = 0
        self.step = 0
        self.skipped_steps = 0
        self.epoch_seconds = 0.0
        self.logs: dict[str, float] = {}
        self.history = History()
        self.train_data: Dataset | None = None
        self.validation_data: Dataset | None = None
        self.epochs = 0
        self.first_epoch = 0
        self.last_epoch = 0
        self.batches_per_epoch = 0
        self.nonfinite = "raise"
        self.stopping = False
        self._running = False
        self._unbegun = False
        self._buffers: dict[str, Array] = {}
        self.own_directories: set[Path] = set()
        self.went_back_to: tuple[Path, int] | None = None
        self._work: _Work | None = None
        self._terms: dict[str, str] = {}

    def fit(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        epochs: int,
        batch_size: int,
        train_metrics: bool = True,
        augment: Sequence[Augmentation] = (),
        resume_from: PathLike | None = None,
        nonfinite: Literal["raise", "skip", "ignore"] = "raise",
    ) -> History:
        """Train for `epochs` more epochs and return the history.

        An epoch shuffles the training rows, takes one step a batch (the last batch may be smaller), and then measures
        cost, loss and accuracy over whole sets, on frozen weights. A second call goes on with the epoch after the last
        one that the first call began.

        Ctrl-C and SIGTERM let the running step end and callbacks save; then they do what they always do, and history
        and weights are those after that step (or what callbacks leave: `EarlyStopping` puts the best ones back). A
        second signal does not wait.

        Parameters
        ----------
        train, validation : Dataset
            Finite inputs; at least one row. Without `validation` there are no ``val_`` columns.
        epochs : int
            At least 0; 0 does nothing.
        batch_size : int
            Rows a step, at least 1; more rows than there are is one step an epoch.
        train_metrics : bool
            False saves the measuring pass over a large training set; the validation pass stays.
        augment : sequence of Augmentation
            Applied in order to the images of each training batch, never to what is measured; an image is the same for
            the same seed, epoch and row of `train`, whatever the batch size.
        resume_from : str or PathLike, optional
            A checkpoint, or the directory of a `Checkpoint` callback, of which the newest whole one is taken: the call
            that wrote it is carried to its end, bit for bit as if it had never been interrupted, on the same machine
            and with the same NumPy and number of threads; its learning rate and its seeds hold. A directory without a
            checkpoint begins the run, so that a job can simply be started again.
        nonfinite : {"raise", "skip", "ignore"}
            What to do about NaN or infinity in the loss or in a gradient: end training; leave the step out and put
            running statistics back; or take every step that can be computed, and go on.

        Warns
        -----
        UserWarning
            If `resume_from` was written on another machine, or its newest checkpoint is damaged.

        Raises
        ------
        InputError
            If an argument is not as above.
        NonFiniteError
            If the inputs hold NaN or infinity, or the loss or a gradient comes to do so: names epoch, batch, the layer
            or parameter, and the first bad entry. The step that would spread it is not taken.
        CheckpointError
            If `resume_from` is damaged, or a checkpoint of another run; nothing is changed then.
        CallOrderError
            If called from within a running `fit`.
        """
        if self._running:
            raise CallOrderError("Trainer.fit: already running; a callback cannot start another fit of this trainer")
        for name, data in [("train", train)] + ([("validation", validation)] if validation is not None else []):
            check_type("Trainer.fit", name, data, Dataset, "put x and y into one: dl.Dataset(x, y)")
            if len(data) == 0:
                raise InputError(f"Trainer.fit: expected {name} to have at least one row, got {data!r}")
            check_finite(f"{name}.x", data.x)
            place = f"{name}, its first row"
            try:
                output_shape = self.model.forward(data.x[:1]).shape[1:]
                place = name
                self.model.loss.check_targets(data.y, (len(data), *output_shape))
            except InputError as error:  # the same words, and which of the two sets
                raise type(error)(f"Trainer.fit: {place}: {error}") from None
        check_augmentations("Trainer.fit", augment, train.x)
        if nonfinite not in ("raise", "skip", "ignore"):
            raise InputError(f"nonfinite: expected 'raise', 'skip' or 'ignore', got {nonfinite!r:.80}")
        epochs, batch_size = as_count("epochs", epochs, 0), as_count("batch_size", batch_size)
        work = _Work(train, validation, batch_size, train_metrics, list(augment), nonfinite)
        before, self._work, self._terms = (self._work, self._terms), work, {}
        try:
            restored = self._restored(resume_from, epochs, work.batches_per_epoch)
        except BaseException:
            self._work, self._terms = before
            raise
        self.epochs, self.first_epoch, self.last_epoch = epochs, self.epoch, self.epoch + epochs
        self.batches_per_epoch, self.nonfinite = work.batches_per_epoch, nonfinite
        self.batch, self.epoch_seconds, self._unbegun, self.stopping = 0, 0.0, False, False
        self.train_data, self.validation_data = train, validation
        self._buffers = self.model.network.named_buffers()
        begun: list[Callback] = []

        def end(callback: Callback) -> None:
            if any(callback is other for other in begun):
                callback.on_train_end(self)

        with Interrupts() as interrupts, ExitStack() as teardown:
            self._running = True
            teardown.callback(setattr, self, "_running", False)
            callbacks = sorted(self.callbacks, key=_turn)
            for callback in reversed(callbacks):  # a stack unwinds backwards: they end in the order in which they begin
                teardown.callback(end, callback)
            for callback in callbacks:
                begun.append(callback)
                callback.on_train_begin(self)
            if restored is not None:
                restored.apply()
                self.last_epoch = self.first_epoch + epochs
            while self.batch or (self.epoch < self.last_epoch and not self.stopping):
                self._run_epoch(work, interrupts)
                if interrupts.received is not None:
                    self._notify("on_interrupt")
                    break
        interrupts.deliver()
        return self.history

    def stop(self) -> None:
        """End training after the running step; the epoch is still measured and recorded."""
        self.stopping = True

    @property
    def terms(self) -> dict[str, str]:
        """What must be the same for a checkpoint to be of this run, in words."""
        if self._work is None:
            raise CallOrderError("Trainer: a checkpoint is of a running or finished fit; call fit first")
        self._terms = self._terms or run_terms(self, **vars(self._work))
        return self._terms

    def save_checkpoint(self, path: PathLike) -> None:
        """Write all that `fit` needs to go on exactly to one file, whole or not at all.

        The `Checkpoint` callback does it in time. Other callbacks may do it in `on_batch_end` and `on_epoch_end`, those
        with ``runs_last = True`` at best: what callbacks remember is saved as it is at that moment.

        Raises
        ------
        CallOrderError
            Before the first `fit`, or between the beginning of an epoch and its first step.
        CheckpointError
            If the file cannot be written; an older one is untouched.
        NonFiniteError
            If a weight is NaN or infinite.
        """
        if self._unbegun:
            raise CallOrderError("Trainer.save_checkpoint: an epoch has begun without a step yet; call it after one")
        check_weights(self.model)
        write_checkpoint(path, self.model.weights(), captured(self))
        self.own_directories.add(as_path("path", path).parent.resolve())

    def check_checkpoint(self) -> None:
        """Refuse what `save_checkpoint` could not write: a callback that remembers something no file can hold."""
        check_checkpoint(self.model.weights(), captured(self))

    def _restored(self, resume_from: PathLike | None, epochs: int, batches_per_epoch: int) -> Restored | None:
        """Return the checkpoint to go on from, if there is one; it fits, but nothing has changed yet."""
        self.went_back_to = None
        if resume_from is None or (found := find_checkpoint(resume_from)) is None:
            return None
        restored = Restored(self, *found, batches_per_epoch)
        if restored.epochs > epochs:
            raise InputError(f"epochs: expected at least {restored.epochs}, as many as {found[0]} has, got {epochs}")
        directory = found[0].parent.resolve()
        self.own_directories.add(directory)
        self.went_back_to = (directory, restored.step) if found[0] == as_path("resume_from", resume_from) else None
        return restored

    def _run_epoch(self, work: _Work, interrupts: Interrupts) -> None:
        start = perf_counter() - self.epoch_seconds
        if self.batch == 0:  # else a checkpoint was taken in the middle of this epoch
            self.epoch += 1
            self._unbegun = True
            self._notify("on_epoch_begin")
        try:
            with closing(self._batches(work)) as batches:
                for x, y in batches:
                    if self.stopping:
                        break
                    self._notify("on_batch_begin")
                    cost, loss = self._step(x, y)
                    self.step += 1
                    self.batch += 1
                    self._unbegun = False
                    self.epoch_seconds = perf_counter() - start
                    self.logs = {"batch_cost": cost, "batch_loss": loss}
                    self._notify("on_batch_end")
                    if interrupts.received is not None:
                        return
            row: dict[str, float] = {"epoch": self.epoch}
            if work.train_metrics:
                row |= self._measured(work.train)
            if work.validation is not None:
                row |= {f"val_{name}": value for name, value in self._measured(work.validation).items()}
        except (InputError, NonFiniteError) as error:
            if type(error).__module__ != MinidlError.__module__:  # one of a user's own, who knows how it is made?
                raise
            raise type(error)(f"epoch {self.epoch}, after step {self.step}: {error}") from error
        row |= {"learning_rate": self.optimizer.current_learning_rate, "seconds": perf_counter() - start}
        self.batch, self.epoch_seconds, self._unbegun = 0, 0.0, False
        self.logs = row
        self.history.append(row)
        self._notify("on_epoch_end")

    def _step(self, x: Array, y: Array) -> tuple[float, float]:
        """Take one step, unless NaN or infinity forbids it, and return (cost, loss) of the batch before it."""
        model = self.model
        statistics = {path: buffer.copy() for path, buffer in self._buffers.items()}
        try:
            cost, loss = model.compute_gradients(x, y)
            if self.nonfinite != "ignore":
                model.check_gradients()
            self.optimizer.step(model.parameters)
        except NonFiniteError as error:
            for path, buffer in self._buffers.items():  # the forward has changed them, and may have spoilt them
                buffer[...] = statistics[path]
            if self.nonfinite == "raise":
                raise NonFiniteError(f"batch {self.batch + 1}: {error}{self._blame(x, error)}") from error
            self.skipped_steps += 1
            return math.nan, math.nan
        return cost, loss

    def _blame(self, x: Array, error: NonFiniteError) -> str:
        place = first_place(self.model, x)
        return f"; first met in {place}" if place and place not in str(error) else ""

    def _measured(self, data: Dataset) -> dict[str, float]:
        try:
            return self.model.evaluate(data)
        except NonFiniteError as error:
            if self.nonfinite == "raise":
                raise NonFiniteError(f"{error}{self._blame(data.x[:1], error)}") from error
            outputs = np.zeros_like(self.model.forward(data.x[:1]))
            return dict.fromkeys(("cost", "loss", *self.model.loss.metrics(outputs, data.y[:1])), math.nan)

    def _batches(self, work: _Work) -> Generator[tuple[Array, Array]]:
        """Yield the batches of the running epoch that are still to do, shuffled and augmented."""
        train, augment = work.train, work.augment
        transform = augmenter(augment, len(train), self.seed, self.epoch) if augment else None
        shuffle = keyed_generator(self.seed, "shuffle", self.epoch)
        batches = train.batches(work.batch_size, shuffle, transform, first=self.batch)
        ahead = bool(augment) or (IN_PIECES and train.x[: work.batch_size].nbytes >= WORTHWHILE_BYTES)
        yield from one_ahead(batches) if ahead else batches

    def _notify(self, moment: str) -> None:
        for callback in sorted(self.callbacks, key=_turn):
            getattr(callback, moment)(self)

    def __repr__(self) -> str:
        options = f", callbacks={self.callbacks!r}" if self.callbacks else ""
        options += f", rng={self.seed}" if self.seed_given else ""
        return f"Trainer({self.model!r}, {self.optimizer!r}{options})"


def _turn(callback: Callback) -> bool:
    return callback.runs_last
