"""Trainer: how the cost is minimised."""

import math
from collections.abc import Sequence
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from minidl._core.attributes import Declared
from minidl._core.checks import as_count, as_path, check_type
from minidl._core.errors import CallOrderError, InputError, NonFiniteError
from minidl._core.randomness import as_seed
from minidl._core.types import Array, PathLike, Seed
from minidl.data.augmentation import Augmentation
from minidl.data.dataset import Dataset, DropLast
from minidl.nn.model import Model
from minidl.training.callback import Callback, call_moment
from minidl.training.checkpoint import check_checkpoint, write_checkpoint
from minidl.training.history import History
from minidl.training.nonfinite import check_weights, located, measured
from minidl.training.optimizers.base import Optimizer, check_gradients
from minidl.training.past import record_training
from minidl.training.signals import Interrupts
from minidl.training.state import Restored, RunState, captured, check_start, restored_from
from minidl.training.work import Work


class Trainer(Declared):
    """Mini-batch training of a model, with callbacks.

    Parameters
    ----------
    model : Model
    optimizer : Optimizer
        Make a new one for each model.
    callbacks : sequence of Callback
        Called in this order.
    rng : int, Generator or None
        The seed of every shuffle; None draws a new seed once.

    Attributes
    ----------
    state : RunState
        The counters, logs and history of the run. A checkpoint has them, and the model, optimizer and callbacks.
    train_data, validation_data : Dataset or None
        The data of the running (or last) `fit`.
    epochs, last_epoch, batches_per_epoch, rows_per_epoch : int
        The size of the running (or last) `fit`.
    checkpoint_directories : set of Path
        The directories with checkpoints that this run has written or was resumed from.
    resumed_from : (Path, int) or None
        Directory and steps of the checkpoint that the running (or last) `fit` resumes, if a file was named.
    """

    state: RunState
    seed_given: bool
    checkpoint_directories: set[Path]
    train_data: Dataset | None = None
    validation_data: Dataset | None = None
    epochs: int = 0
    last_epoch: int = 0
    batches_per_epoch: int = 0
    rows_per_epoch: int = 0
    nonfinite: str = "raise"
    resumed_from: tuple[Path, int] | None = None
    _work: Work | None = None
    _running = _in_epoch = False
    _replaceable = ("callbacks",)

    def __init__(
        self, model: Model, optimizer: Optimizer, callbacks: Sequence[Callback] = (), rng: Seed = None
    ) -> None:
        check_type("Trainer", "model", model, Model, "make one from a network and a loss: Model(network, loss)")
        check_type("Trainer", "optimizer", optimizer, Optimizer, "make one, such as SGD(0.1)")
        check_type("Trainer", "callbacks", callbacks, Sequence)
        for i, callback in enumerate(callbacks):
            check_type("Trainer", f"callbacks[{i}]", callback, Callback, "put a function into a LambdaCallback")
        self.model = model
        self.optimizer = optimizer
        self.callbacks = list(callbacks)
        self.seed_given = isinstance(rng, int | np.integer)
        self.state = RunState(as_seed(rng))
        self.checkpoint_directories = set()
        self._started: list[Callback] = []

    @property
    def epoch(self) -> int:
        """The number of epochs that have started, over all calls of `fit`."""
        return self.state.epoch

    @property
    def first_epoch(self) -> int:
        """The number of epochs before the running (or last) `fit`."""
        return self.state.first_epoch

    @property
    def batch(self) -> int:
        """The number of finished batches of the running epoch; 0 between epochs."""
        return self.state.batch

    @property
    def step(self) -> int:
        """The number of finished batches, over all calls of `fit`."""
        return self.state.step

    @property
    def skipped_steps(self) -> int:
        """The number of batches whose step was skipped, see `nonfinite` of `fit`."""
        return self.state.skipped_steps

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self.state.stopping

    @property
    def epoch_seconds(self) -> float:
        """The seconds from the beginning of the running epoch to its last step."""
        return self.state.seconds

    @property
    def logs(self) -> dict[str, float]:
        """The numbers of the last step or epoch; callbacks may add numbers to those of an epoch."""
        return self.state.logs

    @property
    def history(self) -> History:
        """One row per epoch, over all calls of `fit`."""
        return self.state.history

    @property
    def seed(self) -> int:
        """The seed of the run; the same seed gives the same run, bit for bit, on one machine."""
        return self.state.seed

    def fit(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        epochs: int,
        batch_size: int,
        drop_last: DropLast = False,
        train_metrics: bool = True,
        augment: Sequence[Augmentation] = (),
        resume_from: PathLike | None = None,
        nonfinite: Literal["raise", "skip", "ignore"] = "raise",
    ) -> History:
        """Train for `epochs` more epochs and return the history.

        An epoch shuffles the training rows, takes one step per batch (the last one may be smaller), and then measures
        cost, loss and accuracy over whole sets, on frozen weights. A second call continues with the next epoch.

        On Ctrl-C or SIGTERM the current step finishes and callbacks save; the signal then takes its usual effect.
        History and weights are those after that step, but callbacks may change them: `EarlyStopping` restores the best
        weights. A second signal acts at once.

        Parameters
        ----------
        train, validation : Dataset
            Finite inputs; at least one row. Without `validation` there are no ``val_`` columns.
        epochs : int
            At least 0; 0 does nothing.
        batch_size : int
            Rows per step, at least 1. If there are fewer rows, an epoch is one step.
        drop_last : bool or "merge"
            How to handle a last batch that is smaller than the others: False trains on it, True leaves it out
            (different rows in each epoch), "merge" adds a single row to the batch before it.
        train_metrics : bool
            False skips measuring the training set, which saves time if it is large; validation is still measured.
        augment : sequence of Augmentation
            Applied in order to the images of each training batch, never when measuring. The same seed, epoch and row
            of `train` give the same image, whatever the batch size.
        resume_from : str or PathLike, optional
            A checkpoint, or the directory of a `Checkpoint` callback, from which the newest undamaged checkpoint is
            taken. `fit` finishes the call that wrote it, with its learning rate and its seeds. The result is the same
            bit for bit as without the interruption, on the same machine with the same NumPy and number of threads. If
            the directory has no checkpoint, the run starts from the beginning, so a job can simply be started again.
        nonfinite : {"raise", "skip", "ignore"}
            How to handle NaN or infinity in the loss or in a gradient: "raise" ends training; "skip" skips the step
            and restores running statistics; "ignore" takes every step that can be computed.

        Warns
        -----
        UserWarning
            If `resume_from` was written on another machine, or its newest checkpoint is damaged; if the schedule of the
            learning rate ends before the run does, or the run ends before the warm-up; if the first layer is a Dense or
            Conv2D and gets raw uint8 pixels; if a parameter of a layer of your own gets no gradient; if the program
            probably takes trained weights for new ones (other Model, regularizer or optimizer, or validation rows that
            were trained on; call `Model.set_weights` first if it is intended).

        Raises
        ------
        InputError
            Before the first step: if an argument is not as above, the optimizer has trained another model, its schedule
            does not depend on the step alone, the loss or a metric does not fit the targets, the last batch has too few
            rows for a layer that mixes rows (such as one row for `BatchNorm`), or a layer of your own keeps data for
            backward in prediction.
        NonFiniteError
            If the inputs, the loss or a gradient contain NaN or infinity: names the epoch, the batch, the layer or
            parameter, and the first bad entry. The step is not taken.
        CheckpointError
            If `resume_from` is damaged, or a checkpoint of another run; nothing changes then.
        CallOrderError
            If called from within a running `fit`.
        """
        if self._running:
            raise CallOrderError("Trainer.fit: already running; do not call fit of this trainer from a callback")
        epochs, batch_size = as_count("epochs", epochs, 0), as_count("batch_size", batch_size)
        # `sorted` is stable: it keeps the order of the list within both groups.
        parts = self.model, self.optimizer, sorted(self.callbacks, key=attrgetter("runs_last"))
        work = Work(*parts, train, validation, batch_size, drop_last, train_metrics, augment, nonfinite)
        work.check()
        restored = restored_from(resume_from, work, epochs, self.seed if self.seed_given else None)
        past, step = check_start(work, epochs, restored, self.step == 0), self.step
        self._begin_fit(work, epochs, restored)
        started = self._started = []
        with Interrupts() as interrupts:
            try:
                for callback in work.callbacks:
                    started.append(callback)
                    call_moment(callback, "on_train_begin", self)
                if restored is not None:
                    restored.apply(self.state)
                    vars(self)["last_epoch"] = self.first_epoch + epochs
                while self.batch or (self.epoch < self.last_epoch and not self.stopping):
                    self._run_epoch(work, interrupts)
                    if interrupts.received is not None:
                        self._notify("on_interrupt")
                        break
            finally:
                self._end(started)
                if self.step > step:
                    record_training(work, past, self.epoch - self.first_epoch)
        interrupts.deliver()
        return self.history

    def stop(self) -> None:
        """End training after the current step; the epoch is still measured and recorded."""
        self.state.stopping = True

    @property
    def measured_columns(self) -> list[str]:
        """The columns of each epoch of the running (or last) `fit`, without those of callbacks."""
        return self._last_work.columns

    @property
    def expected_columns(self) -> list[str] | None:
        """In `on_train_begin`: the columns that this callback will get; None if an earlier callback may add some."""
        return None if self._last_work.adders(self._started)[0] else self.measured_columns

    @property
    def later_callbacks(self) -> list[Callback]:
        """In `on_train_begin`: the callbacks after this one that may add columns."""
        return self._last_work.adders(self._started)[1]

    def save_checkpoint(self, path: PathLike) -> None:
        """Write all that `fit` needs to continue exactly to one file, completely or not at all.

        The `Checkpoint` callback calls it regularly. Another callback may call it in `on_batch_end` and `on_epoch_end`,
        best with ``runs_last = True``, since it saves the state that all callbacks have at that moment.

        Raises
        ------
        CallOrderError
            Before the first `fit`, or between the beginning of an epoch and its first step.
        CheckpointError
            If the file cannot be written; an older one stays as it is.
        NonFiniteError
            If a weight is NaN or infinite.
        """
        if self._in_epoch and self.batch == 0:
            raise CallOrderError("Trainer.save_checkpoint: no step of this epoch is done yet; call it after a step")
        check_weights(self.model)
        write_checkpoint(path, self.model.weights(), captured(self.state, self._last_work))
        self.checkpoint_directories.add(as_path("path", path).parent.resolve())

    def check_checkpoint(self) -> None:
        """Refuse state that `save_checkpoint` could not write, such as a callback's attribute of another type."""
        check_checkpoint(self.model.weights(), captured(self.state, self._last_work))

    @property
    def _last_work(self) -> Work:
        """The work of the running (or last) `fit`."""
        if self._work is None:
            raise CallOrderError("Trainer: there is nothing to save before the first fit; call fit first")
        return self._work

    def _begin_fit(self, work: Work, epochs: int, restored: Restored | None) -> None:
        """Set the attributes of the trainer for a new `fit`."""
        state, self._work, self._running = self.state, work, True
        state.first_epoch, state.batch, state.seconds, state.stopping = state.epoch, 0, 0.0, False
        own, self._in_epoch = vars(self), False
        own |= {"epochs": epochs, "last_epoch": state.epoch + epochs, "nonfinite": work.nonfinite}
        own |= {"train_data": work.train, "validation_data": work.validation, "resumed_from": None}
        own |= {name: getattr(work, name) for name in ("batches_per_epoch", "rows_per_epoch")}
        if restored is not None:
            self.checkpoint_directories.add(restored.path.parent.resolve())
            own["resumed_from"] = restored.resumed_from
        self._parameters = self.model.parameters
        self._buffers = list(self.model.network.named_buffers().values())

    def _end(self, callbacks: list[Callback]) -> None:
        """Call `on_train_end` of each of `callbacks` in order, even if one raises, and then end the run."""
        if not callbacks:
            self._running = False
            return
        try:
            callbacks[0].on_train_end(self)
        finally:
            self._end(callbacks[1:])

    def _run_epoch(self, work: Work, interrupts: Interrupts) -> None:
        state = self.state
        start = perf_counter() - state.seconds
        self._in_epoch = True
        # A run that is resumed in the middle of an epoch has started it before.
        if state.batch == 0:
            state.epoch += 1
            self._notify("on_epoch_begin")
        try:
            with closing(work.training_batches(self.seed, state.epoch, state.batch)) as batches:
                for x, y in batches:
                    if state.stopping:
                        break
                    self._notify("on_batch_begin")
                    cost, loss = self._step(x, y)
                    state.step += 1
                    state.batch += 1
                    state.seconds = perf_counter() - start
                    state.logs = {"batch_cost": cost, "batch_loss": loss}
                    self._notify("on_batch_end")
                    if interrupts.received is not None:
                        return
            row = {"epoch": state.epoch, **measured(work)}
        except (InputError, NonFiniteError) as error:
            error.with_context(f"epoch {state.epoch}, after step {state.step}")
            raise
        rate, seconds = self.optimizer.current_learning_rate, perf_counter() - start
        state.history.append(row | {"learning_rate": rate, "seconds": seconds})
        # Not a copy: numbers that a callback adds to the logs are in the row, also in a checkpoint that it saves.
        state.batch, state.seconds, state.logs, self._in_epoch = 0, 0.0, state.history.rows[-1], False
        self._notify("on_epoch_end")
        # From here on only the history has the row.
        state.logs = dict(state.logs)

    def _step(self, x: Array, y: Array) -> tuple[float, float]:
        """Take one step, except with NaN or infinity, and return (cost, loss) of the batch before the step."""
        # A forward with NaN damages running statistics.
        statistics = list(map(np.copy, self._buffers))
        try:
            cost, loss = self.model.compute_gradients(x, y)
            if self.nonfinite != "ignore":
                if not math.isfinite(cost):
                    raise NonFiniteError(f"the cost is {cost}")
                check_gradients(self._parameters)
            self.optimizer.step(self._parameters)
        except NonFiniteError as error:
            for buffer, before in zip(self._buffers, statistics, strict=True):
                buffer[...] = before
            if self.nonfinite == "raise":
                raise located(error, self.model, x, f"batch {self.batch + 1}: ") from error
            self.state.skipped_steps += 1
            return math.nan, math.nan
        return cost, loss

    def _notify(self, moment: str) -> None:
        for callback in self._last_work.callbacks:
            call_moment(callback, moment, self)

    def __repr__(self) -> str:
        options = f", callbacks={self.callbacks!r}" if self.callbacks else ""
        options += f", rng={self.seed}" if self.seed_given else ""
        return f"Trainer({self.model!r}, {self.optimizer!r}{options})"
