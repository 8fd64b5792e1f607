"""Work: the arguments of a call of `fit`, and the checks of them before the first step."""

import copy
import hashlib
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from minidl._core.attributes import is_ours
from minidl._core.checks import check_finite, check_holds, check_type
from minidl._core.errors import CallOrderError, InputError, NonFiniteError, ShapeError
from minidl._core.randomness import keyed_generator
from minidl._core.reprs import counted, oneline_repr
from minidl._core.types import Array
from minidl.data.augmentation import Augmentation, augmenter, check_augmentations
from minidl.data.dataset import Dataset, DropLast, check_class_names, check_dataset
from minidl.data.prefetch import MIN_BYTES, prefetched
from minidl.nn.arithmetic import IN_PIECES, quietly
from minidl.nn.ends import raw_pixels
from minidl.nn.losses.base import broadcast_by
from minidl.nn.losses.softmax import ClassLoss
from minidl.nn.model import Model
from minidl.training.callback import Callback
from minidl.training.history import NOT_METRICS, as_row
from minidl.training.optimizers import Optimizer, Schedule

_SAMPLE = 256
"""The number of rows in the fingerprint of a data set: enough to show a mistake; all rows would take an epoch."""
_HASHED, _ENTRIES = 512, 8
"""The number of hashed rows, and of entries per row: 0.3 ms for 10,000 rows of 3,072 entries, 0.4 % of an epoch."""
_FEW = 8
"""The number of rows to try the loss and its metrics with: more than one, since one row hides how shapes broadcast."""


@dataclass(frozen=True, eq=False)
class Work:
    """The model, optimizer, callbacks, data and options of a call of `fit`. A checkpoint records them."""

    model: Model
    optimizer: Optimizer
    callbacks: Sequence[Callback]
    train: Dataset
    validation: Dataset | None
    batch_size: int
    drop_last: DropLast
    train_metrics: bool
    augment: Sequence[Augmentation]
    nonfinite: str

    def check(self) -> None:
        """Refuse arguments that cannot work, and warn about probable mistakes."""
        for name, data in self._sets.items():
            check_dataset(f"Trainer.fit: {name}", data)
            check_finite(f"{name}.x", data.x)
            check_holds(f"{name}.x", data.x, self.model.dtype)
            check_holds(f"{name}.y", data.y, self.model.dtype)
            place = f"Trainer.fit: {name}, its first row"
            try:
                output_shape = self.model.forward(data.x[:1].copy()).shape[1:]
                place = f"Trainer.fit: {name}"
                self.model.loss.check_targets(data.y, (len(data), *output_shape))
                if fault := broadcast_by(self.model.loss, data.y, (len(data), *output_shape)):
                    raise ShapeError(f"{self.model.loss!r:.80}: {fault}")
                if isinstance(self.model.loss, ClassLoss):
                    check_class_names(data, *output_shape)
            except InputError as error:
                error.with_context(place)
                raise
        self.model.check_parameters()
        check_augmentations("Trainer.fit", self.augment, self.train.x)
        if self.nonfinite not in ("raise", "skip", "ignore"):
            raise InputError(f"nonfinite: expected 'raise', 'skip' or 'ignore', got {self.nonfinite!r:.80}")
        if self.batches_per_epoch == 0:
            raise InputError(f"batch_size: expected <= {len(self.train)} with drop_last=True, got {self.batch_size}")
        with np.errstate(all="ignore"):
            self._check_last_batch()
            self._check_gradient()
            # A user's loss may accept any targets until it computes with them.
            _ = self.measured
        for name, data in self._sets.items():
            if fault := raw_pixels(self.model.network, data.x):
                # The warning shows the line that called fit.
                warnings.warn(f"Trainer.fit: {name}: {fault}", stacklevel=4)
                break

    def _check_gradient(self) -> None:
        """Compute a gradient on a copy of a network that has layers of the user's own.

        Refuse a layer that keeps data for backward in the wrong forward; warn about a parameter without a gradient.
        """
        if all(is_ours(type(layer)) for _, layer in self.model.network.walk()):
            return
        kept = []
        try:
            twin = copy.deepcopy(self.model)
            twin.regularizer = None
            for _, layer in twin.network.walk():
                # Clear what earlier forwards kept, so that only this forward counts.
                with suppress(CallOrderError):
                    kept.append(layer.kept())
            few = self.train[:_FEW]
            twin.compute_gradients(few.x.copy(), few.y)
        except Exception as error:
            if kept and isinstance(error, CallOrderError):
                hint = "in forward, write if train: self.keep(...), and pass train to the inner layers"
                raise InputError(f"Trainer.fit: {error}; {hint}") from error
            # The first step reports any other error, with its place.
            return
        for path, layer in twin.network.walk():
            unmoved = [name for name, p in layer._parameters.items() if p.trainable and p._stale]
            ours = is_ours(type(layer))
            # A layer of minidl has no gradient if its backward is not called after its forward, or if it is not used.
            if unmoved and (not ours or layer._kept is not None):
                way = "call its backward" if ours else f"call {unmoved[0]}.add_grad(...) in its backward"
                warnings.warn(
                    f"Trainer.fit: {layer!r:.80}, at {path[:-1]!r}: {unmoved[0]} gets no gradient, so training never "
                    f"changes it; {way}, or freeze() this layer",
                    stacklevel=5,
                )

    def _check_last_batch(self) -> None:
        """Refuse a last batch with too few rows for a layer that mixes rows, such as one row for BatchNorm."""
        if all(layer.batch_independent for _, layer in self.model.network.walk()):
            return
        x, _ = next(self.train.batches(self.batch_size, first=self.batches_per_epoch - 1, drop_last=self.drop_last))
        try:
            # A training forward changes running statistics and draws random numbers.
            twin = copy.deepcopy(self.model)
        except Exception:
            # The last step of the epoch reports the error of a network that cannot be copied.
            return
        try:
            twin.forward(x, train=True)
        except InputError as error:
            rows = counted(len(x), "row")
            place = f"a batch has {rows}; choose a larger batch_size, or pass more rows"
            if self.batches_per_epoch > 1 and len(x) < self.batch_size:
                left = f"{len(self.train)} rows in batches of {self.batch_size} leave {rows} for the last batch"
                place = f"{left}; choose another batch_size, or drop the last batch with drop_last=True"
            error.with_context(f"Trainer.fit: {place}")
            raise
        except NonFiniteError:
            # The step itself handles NaN and infinity.
            return

    @cached_property
    def measured(self) -> list[tuple[str, Dataset, list[str]]]:
        """The measurements after an epoch: for each set the prefix of its columns, the set, and the quantities.

        Raises
        ------
        InputError
            If the loss or its metrics do not fit the targets, or a metric is not a number or has a name in use.
        """
        measured = []
        for name, data in self._sets.items():
            few = data[:_FEW]
            try:
                names = self._quantities(few)
            except InputError as error:
                error.with_context(f"Trainer.fit: {name}, its first {len(few)} rows")
                raise
            if name == "validation" or self.train_metrics:
                measured.append(("val_" if name == "validation" else "", data, names))
        return measured

    @property
    def columns(self) -> list[str]:
        """The columns of an epoch without those of callbacks."""
        return [*NOT_METRICS, *(f"{prefix}{name}" for prefix, _, names in self.measured for name in names)]

    def _quantities(self, data: Dataset) -> list[str]:
        """Return the names of the quantities that the model measures on `data`."""
        x = data.x.copy()
        outputs, loss = self.model.forward(x), self.model.loss
        # Measuring passes views of the data, so a forward that changes x would change the data in each epoch.
        if not np.array_equal(x, data.x):
            raise InputError(f"{self.model.network!r:.80}: forward changes x in place; write y = x * 2, not x *= 2")
        try:
            self.model.compute_cost(data.x, data.y)
        except NonFiniteError:
            # The step itself handles NaN and infinity; the names are the same.
            outputs = np.zeros_like(outputs)
        metrics, where = loss.metrics(outputs, data.y), f"{loss!r:.80}.metrics"
        check_type(where, "its result", metrics, Mapping, "return a dict of numbers")
        # The mean over rows is a number, even if the values of single rows are True and False.
        flags = bool | np.bool_ | np.ndarray
        as_row({name: v * 1.0 if isinstance(v, flags) else v for name, v in metrics.items()}, where)
        if taken := [name for name in metrics if name in ("cost", "loss", *NOT_METRICS)]:
            raise InputError(f"{where}: the trainer already has a column {taken[0]!r}; choose another name")
        return ["cost", "loss", *metrics]

    @property
    def _sets(self) -> dict[str, Dataset]:
        """The data sets, by the names of the arguments."""
        return {"train": self.train} | ({} if self.validation is None else {"validation": self.validation})

    @property
    def batches_per_epoch(self) -> int:
        """The number of steps per epoch."""
        return self.train.count_batches(self.batch_size, self.drop_last)

    @property
    def rows_per_epoch(self) -> int:
        """The number of rows that an epoch trains on."""
        return self.batches_per_epoch * self.batch_size if self.drop_last is True else len(self.train)

    def training_batches(self, seed: int, epoch: int, first: int) -> Generator[tuple[Array, Array]]:
        """Yield the batches of an epoch from number `first` on, shuffled and augmented."""
        train, augment = self.train, self.augment
        transform = augmenter(augment, len(train), seed, epoch) if augment else None
        shuffle = keyed_generator(seed, "shuffle", epoch)
        batches = train.batches(self.batch_size, shuffle, transform, first=first, drop_last=self.drop_last)
        ahead = bool(augment) or (IN_PIECES and train.x[: self.batch_size].nbytes >= MIN_BYTES)
        yield from prefetched(batches) if ahead else batches

    def adders(self, started: Sequence[Callback]) -> tuple[list[Callback], list[Callback]]:
        """Return the callbacks that may add columns: those that have started, and those after them."""
        before, after = self.callbacks[: len(started)], self.callbacks[len(started) :]
        return [c for c in before if c.adds_logs], [c for c in after if c.adds_logs]

    @property
    def stateful_callbacks(self) -> list[Callback]:
        """The callbacks that have attributes to save."""
        return [callback for callback in self.callbacks if callback.saved_attributes]

    @property
    def owners(self) -> dict[str, Any]:
        """Layers and callbacks that have attributes to save, by their names in a checkpoint."""
        layers = {f"layer {path}": layer for path, layer in self.model.network.walk() if layer.saved_attributes}
        return layers | {f"callback {i}": callback for i, callback in enumerate(self.stateful_callbacks)}

    @cached_property
    def hashes(self) -> Array:
        """The hashes of some training rows, see `row_hashes`."""
        return row_hashes(self.train)

    @cached_property
    def terms(self) -> dict[str, str]:
        """The texts of all settings, by name, that must be the same for a run to be resumed."""
        optimizer = copy.copy(self.optimizer)
        if not isinstance(optimizer.learning_rate, Schedule):
            # A number may change during training; the checkpoint saves it separately.
            optimizer.learning_rate = 1.0
        terms = {name: getattr(self.model, name) for name in ("network", "dtype", "loss", "regularizer")}
        terms |= {given.name: getattr(self, given.name) for given in fields(self) if given.name != "model"}
        terms |= {"optimizer": optimizer, "augment": list(self.augment), "callbacks": self.stateful_callbacks}
        return {name: fingerprint(v) if isinstance(v, Dataset) else oneline_repr(v) for name, v in terms.items()}


@quietly
def row_hashes(data: Dataset) -> Array:
    """Return the sorted, distinct hashes of some rows with their targets; equal rows have equal hashes."""
    count = len(data)
    rows = np.arange(count) if count <= _HASHED else np.random.default_rng(0).integers(count, size=_HASHED)
    x, y = data.x.reshape(count, -1), data.y.reshape(count, -1)
    places = np.linspace(0, x.shape[1] - 1, min(x.shape[1], _ENTRIES)).astype(int)
    parts = x[rows[:, np.newaxis], places], y[rows, :1]
    bits = np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe").view(np.uint32)
    factors = np.random.default_rng(1).integers(2**63, size=bits.shape[1], dtype=np.uint64)
    return np.unique(bits @ (2 * factors + 1))


def fingerprint(data: Dataset) -> str:
    """Return the shapes, the dtypes, and a digest of all targets and of some rows spread over the set."""
    rows = np.linspace(0, len(data) - 1, min(len(data), _SAMPLE)).astype(int)
    digest = hashlib.sha256()
    for array in (data.x[rows], data.y):
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"x {data.x.shape} {data.x.dtype}, y {data.y.shape} {data.y.dtype}, {digest.hexdigest()[:16]}"
