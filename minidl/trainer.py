"""Trainer: how the cost is minimised."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from time import perf_counter

from minidl.augmentation import Augmentation, augmenter, check_augmentations
from minidl.callbacks.base import Callback
from minidl.checks import as_count, check_finite, check_type
from minidl.data import Dataset
from minidl.errors import CallOrderError, InputError, NonFiniteError
from minidl.history import History
from minidl.model import Model
from minidl.optimizers import Optimizer
from minidl.prefetch import WORTHWHILE_BYTES, one_ahead
from minidl.products import IN_PIECES
from minidl.randomness import as_seed, keyed_generator
from minidl.types import Array, Seed


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
        How many epochs have begun and how many steps are done, over all calls of `fit`.
    logs : dict of str to float
        The numbers of the moment: a step's or an epoch's.
    history : History
        One row an epoch, over all calls of `fit`.
    seed : int
        The seed of all its randomness; the same seed gives the same run, bit for bit, on one machine.
    train_data, validation_data : Dataset or None
        What the running (or last) `fit` was given.
    epochs, last_epoch, batches_per_epoch : int
        What the running (or last) `fit` is to do.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        callbacks: Sequence[Callback] = (),
        rng: Seed = None,
    ) -> None:
        check_type("Trainer", "model", model, Model)
        check_type("Trainer", "optimizer", optimizer, Optimizer)
        check_type("Trainer", "callbacks", callbacks, Sequence)
        for i, callback in enumerate(callbacks):
            check_type("Trainer", f"callbacks[{i}]", callback, Callback)
        self.model = model
        self.optimizer = optimizer
        self.callbacks = list(callbacks)
        self.seed = as_seed(rng)
        self.epoch = 0
        self.step = 0
        self.logs: dict[str, float] = {}
        self.history = History()
        self.train_data: Dataset | None = None
        self.validation_data: Dataset | None = None
        self.epochs = 0
        self.last_epoch = 0
        self.batches_per_epoch = 0
        self._running = False
        self._stopping = False

    def fit(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        epochs: int,
        batch_size: int,
        train_metrics: bool = True,
        augment: Sequence[Augmentation] = (),
    ) -> History:
        """Train for `epochs` more epochs and return the history.

        An epoch shuffles the training rows, takes one step a batch (the last batch may be smaller), and then measures
        cost, loss and accuracy over whole sets, on frozen weights. A second call goes on where the first one ended.

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

        Raises
        ------
        InputError
            If an argument is not as above.
        NonFiniteError
            If the inputs hold NaN or infinity, or the outputs come to do so; it names the epoch and the step.
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
            try:
                output_shape = self.model.forward(data.x[:1]).shape[1:]
                self.model.loss.check_targets(data.y, (len(data), *output_shape))
            except InputError as error:  # the same words, and which of the two sets
                raise type(error)(f"Trainer.fit: {name}: {error}") from None
        check_augmentations("Trainer.fit", augment, train.x)
        self.epochs = as_count("epochs", epochs, 0)
        self.batches_per_epoch = -(-len(train) // as_count("batch_size", batch_size))
        self.last_epoch = self.epoch + self.epochs
        self.train_data, self.validation_data = train, validation
        self._running, self._stopping = True, False
        begun: list[Callback] = []

        def end(callback: Callback) -> None:
            if any(callback is other for other in begun):
                callback.on_train_end(self)

        with ExitStack() as teardown:
            teardown.callback(setattr, self, "_running", False)
            for callback in reversed(self.callbacks):  # a stack unwinds backwards: they end in list order
                teardown.callback(end, callback)
            for callback in self.callbacks:
                begun.append(callback)
                callback.on_train_begin(self)
            while self.epoch < self.last_epoch and not self._stopping:
                self._run_epoch(train, validation, batch_size, train_metrics, augment)
        return self.history

    def stop(self) -> None:
        """End training after the running step; the epoch is still measured and recorded."""
        self._stopping = True

    def _run_epoch(
        self,
        train: Dataset,
        validation: Dataset | None,
        batch_size: int,
        train_metrics: bool,
        augment: Sequence[Augmentation],
    ) -> None:
        start = perf_counter()
        self.epoch += 1
        self._notify("on_epoch_begin")
        try:
            with closing(self._batches(train, batch_size, augment)) as batches:
                for x, y in batches:
                    self._notify("on_batch_begin")
                    cost, loss = self.model.compute_gradients(x, y)
                    self.optimizer.step(self.model.parameters)
                    self.step += 1
                    self.logs = {"batch_cost": cost, "batch_loss": loss}
                    self._notify("on_batch_end")
                    if self._stopping:
                        break
            row: dict[str, float] = {"epoch": self.epoch}
            if train_metrics:
                row |= self.model.evaluate(train)
            if validation is not None:
                row |= {f"val_{name}": value for name, value in self.model.evaluate(validation).items()}
        except (InputError, NonFiniteError) as error:
            raise type(error)(f"epoch {self.epoch}, after step {self.step}: {error}") from error
        row |= {"learning_rate": self.optimizer.current_learning_rate, "seconds": perf_counter() - start}
        self.logs = row
        self.history.append(row)
        self._notify("on_epoch_end")

    def _batches(
        self, train: Dataset, batch_size: int, augment: Sequence[Augmentation]
    ) -> Generator[tuple[Array, Array]]:
        """Yield the batches of the running epoch, shuffled and augmented."""
        transform = augmenter(augment, len(train), self.seed, self.epoch) if augment else None
        batches = train.batches(batch_size, keyed_generator(self.seed, "shuffle", self.epoch), transform)
        ahead = bool(augment) or (IN_PIECES and train.x[:batch_size].nbytes >= WORTHWHILE_BYTES)
        yield from one_ahead(batches) if ahead else batches

    def _notify(self, moment: str) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self)

    def __repr__(self) -> str:
        return f"Trainer({self.model!r}, {self.optimizer!r})"
