"""What a run is at this moment, what it works on, and how both go into a checkpoint and come back, bit for bit."""

import copy
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.checks import as_count, as_number, check_finite, check_holds, check_type
from minidl._core.errors import CheckpointError, InputError, NonFiniteError
from minidl._core.reprs import told
from minidl._core.types import Array
from minidl.data.augmentation import Augmentation, check_augmentations
from minidl.data.dataset import Dataset, DropLast, check_class_names, check_dataset
from minidl.nn.ends import raw_pixels
from minidl.nn.losses.softmax import ClassLoss
from minidl.nn.model import Model
from minidl.training.callback import Callback
from minidl.training.checkpoint import Tree, Weights
from minidl.training.history import BESIDES, History, as_columns, as_row, from_columns
from minidl.training.optimizers import Optimizer, Schedule
from minidl.training.optimizers.reach import fault_of

_SAMPLE = 256
"""Rows of a data set that its fingerprint looks at: a mistake shows in them, and all of them would take an epoch."""
_FEW = 8
"""Rows that the loss and its metrics are tried with: more than one, since one row hides how shapes broadcast."""
_NUMBERS = (bool, int, float, np.generic, np.ndarray)
"""What is a number when a run begins may be an array later on."""


@dataclass
class RunState:
    """What a run is at this moment; see `Trainer` for what each field means."""

    seed: int
    epoch: int = 0
    batch: int = 0
    step: int = 0
    skipped_steps: int = 0
    first_epoch: int = 0
    stopping: bool = False
    seconds: float = 0.0
    logs: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)


@dataclass(frozen=True, eq=False)
class Work:
    """What a call of `fit` works on. A checkpoint is of this work."""

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
        """Refuse what cannot work, and warn of what hardly will."""
        for name, data in self._sets.items():
            check_dataset(f"Trainer.fit: {name}", data)
            check_finite(f"{name}.x", data.x)
            check_holds(f"{name}.x", data.x, self.model.dtype)
            check_holds(f"{name}.y", data.y, self.model.dtype)
            place = f"Trainer.fit: {name}, its first row"
            try:
                output_shape = self.model.forward(data.x[:1]).shape[1:]
                place = f"Trainer.fit: {name}"
                self.model.loss.check_targets(data.y, (len(data), *output_shape))
                if isinstance(self.model.loss, ClassLoss):
                    check_class_names(data, *output_shape)
            except InputError as error:
                error.with_context(place)
                raise
        check_augmentations("Trainer.fit", self.augment, self.train.x)
        if self.nonfinite not in ("raise", "skip", "ignore"):
            raise InputError(f"nonfinite: expected 'raise', 'skip' or 'ignore', got {self.nonfinite!r:.80}")
        if self.batches_per_epoch == 0:
            raise InputError(
                f"Trainer.fit: drop_last=True would leave out all {len(self.train)} rows, since a batch has "
                f"{self.batch_size}; choose a smaller batch_size"
            )
        with np.errstate(all="ignore"):
            self._check_last_batch()
            # A loss of a user's own may take any targets for right until it computes with them.
            _ = self.measured
        if pixels := raw_pixels(self.model.network, self.train.x):
            # At the line that called fit.
            warnings.warn(f"Trainer.fit: train: {pixels}", stacklevel=3)

    def _check_last_batch(self) -> None:
        """Refuse a last batch with too few rows for a layer that mixes them, such as one row for BatchNorm."""
        if all(layer.batch_independent for _, layer in self.model.network.walk()):
            return
        x, _ = next(self.train.batches(self.batch_size, first=self.batches_per_epoch - 1, drop_last=self.drop_last))
        try:
            # A training forward changes running statistics and draws random numbers.
            twin = copy.deepcopy(self.model)
        except Exception:
            # What cannot be copied shows it in the last step.
            return
        try:
            twin.forward(x, train=True)
        except InputError as error:
            rows = f"{len(x)} row{'' if len(x) == 1 else 's'}"
            place = f"a batch has {rows}; choose a larger batch_size, or give more rows"
            if self.batches_per_epoch > 1 and len(x) < self.batch_size:
                place = (
                    f"{len(self.train)} rows in batches of {self.batch_size} leave {rows} for the last batch; choose "
                    "another batch_size, or leave it out by drop_last=True"
                )
            error.with_context(f"Trainer.fit: {place}")
            raise
        except NonFiniteError:
            # What is to be done about that is for the step to say.
            return

    @cached_property
    def measured(self) -> list[tuple[str, Dataset, list[str]]]:
        """What is measured after an epoch: for each set the prefix of its columns, the set, and the quantities.

        Raises
        ------
        InputError
            If the loss or its metrics cannot serve the targets, or a metric is no number or has the name of another.
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
        """The columns that an epoch has without those of callbacks."""
        return [*BESIDES, *(f"{prefix}{name}" for prefix, _, names in self.measured for name in names)]

    def _quantities(self, data: Dataset) -> list[str]:
        """Return the names of what the model measures on `data`."""
        outputs, loss = self.model.forward(data.x), self.model.loss
        try:
            self.model.compute_loss(data.x, data.y)
        except NonFiniteError:
            # What is to be done about that is for the step to say; the names are the same.
            outputs = np.zeros_like(outputs)
        metrics, where = loss.metrics(outputs, data.y), f"{loss!r:.80}.metrics"
        check_type(where, "what it returns", metrics, Mapping, "return a dict of numbers")
        # A mean over rows is a number, also where those of a few rows are True and False.
        as_row({name: value * 1.0 for name, value in metrics.items()}, where)
        if taken := [name for name in metrics if name in ("cost", "loss", *BESIDES)]:
            raise InputError(f"{where}: the trainer has a column {taken[0]!r} of its own; choose another name")
        return ["cost", "loss", *metrics]

    @property
    def _sets(self) -> dict[str, Dataset]:
        """The data, by the names of the arguments."""
        return {"train": self.train} | ({} if self.validation is None else {"validation": self.validation})

    @property
    def batches_per_epoch(self) -> int:
        """How many steps an epoch has."""
        return self.train.count_batches(self.batch_size, self.drop_last)

    @property
    def rows_per_epoch(self) -> int:
        """How many rows an epoch trains on."""
        return self.batches_per_epoch * self.batch_size if self.drop_last is True else len(self.train)

    def adding(self, in_turn: Callback | None) -> tuple[list[Callback], list[Callback]]:
        """Return the callbacks that may add columns: those up to the one that is in turn, and those after it."""
        turn = next((i for i, callback in enumerate(self.callbacks, 1) if callback is in_turn), len(self.callbacks))
        before, after = self.callbacks[:turn], self.callbacks[turn:]
        return [c for c in before if c.adds_logs], [c for c in after if c.adds_logs]

    @property
    def remembering(self) -> list[Callback]:
        """The callbacks that have something to save."""
        return [callback for callback in self.callbacks if callback.saved_attributes]

    @property
    def owners(self) -> dict[str, Any]:
        """Layers and callbacks that have something to save, by the names that a checkpoint has for them."""
        layers = {f"layer {path}": layer for path, layer in self.model.network.walk() if layer.saved_attributes}
        return layers | {f"callback {i}": callback for i, callback in enumerate(self.remembering)}

    @cached_property
    def terms(self) -> dict[str, str]:
        """What must be the same for a run to go on as if nothing had happened, each by its name."""
        optimizer = copy.copy(self.optimizer)
        if not isinstance(optimizer.learning_rate, Schedule):
            # A number may change while training runs, and the checkpoint has it.
            optimizer.learning_rate = 1.0
        terms = {name: getattr(self.model, name) for name in ("network", "dtype", "loss", "regularizer")}
        terms |= {given.name: getattr(self, given.name) for given in fields(self) if given.name != "model"}
        terms |= {"optimizer": optimizer, "augment": list(self.augment), "callbacks": self.remembering}
        return {name: fingerprint(v) if isinstance(v, Dataset) else told(v) for name, v in terms.items()}


def fingerprint(data: Dataset) -> str:
    """Return shapes, dtypes and a digest of all targets and of some rows spread over the set."""
    rows = np.linspace(0, len(data) - 1, min(len(data), _SAMPLE)).astype(int)
    digest = hashlib.sha256()
    for array in (data.x[rows], data.y):
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"x {data.x.shape} {data.x.dtype}, y {data.y.shape} {data.y.dtype}, {digest.hexdigest()[:16]}"


def captured(state: RunState, work: Work) -> Tree:
    """Return all that a run needs to go on exactly, apart from the weights."""
    optimizer = work.optimizer
    rate = None if isinstance(optimizer.learning_rate, Schedule) else optimizer.learning_rate
    return {
        "terms": work.terms,
        "run": {**vars(state), "logs": as_row(state.logs), "history": as_columns(state.history)},
        "frozen": [path for path, parameter in work.model.parameters.items() if not parameter.trainable],
        "optimizer": {"learning_rate": rate, "steps": optimizer.steps, "state": optimizer.state},
        "attributes": {name: _attributes(owner) for name, owner in work.owners.items()},
    }


def _attributes(owner: Any) -> Tree:
    missing = [name for name in owner.saved_attributes if not hasattr(owner, name)]
    if missing:
        raise InputError(f"{owner!r}: expected the saved_attributes to be there, got none named {', '.join(missing)}")
    return {name: getattr(owner, name) for name in owner.saved_attributes}


class Restored:
    """A checkpoint that fits the work it is to go on with; nothing changes before `apply`.

    Parameters
    ----------
    path, weights, tree
        What was read, and from where.
    work : Work
    seed : int or None
        The seed that the run must have; None takes that of the checkpoint.

    Raises
    ------
    CheckpointError
        If it is of another run, listing in what they differ, or holds what no run has.
    """

    def __init__(self, path: Path, weights: Weights, tree: Tree, work: Work, seed: int | None) -> None:
        self.path, self._weights, self._work = path, weights, work
        work.model.check_weights(weights, path)
        try:
            self._check_terms(tree, seed)
            self.state = _run_state(tree["run"], work.batches_per_epoch)
            self._given = _checked_attributes(tree, work)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"{path}: expected a checkpoint of this run; {error!r:.200}") from error

    @property
    def optimizer_steps(self) -> int:
        """How many steps the optimizer is to have done."""
        steps: int = next(values["steps"] for owner, values in self._given if owner is self._work.optimizer)
        return steps

    @property
    def batches_done(self) -> int:
        """How many batches of the `fit` that is to go on are done."""
        saved = self.state
        finished = saved.epoch - saved.first_epoch - bool(saved.batch)
        return finished * self._work.batches_per_epoch + saved.batch

    def _check_terms(self, tree: Tree, seed: int | None) -> None:
        before = dict(tree["terms"], rng=tree["run"]["seed"])
        now = self._work.terms | ({} if seed is None else {"rng": seed})
        faults = [
            f"{name} was {before.get(name)!s:.160} and is {value!s:.160}"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if faults:
            raise CheckpointError(
                f"{self.path}: a checkpoint of another run: {'; '.join(faults)}. Pass the arguments the run started "
                "with, or load only its weights with Model.load_weights"
            )

    def apply(self, state: RunState) -> None:
        """Give the run of this state, its model, its optimizer and its callbacks what the checkpoint holds.

        The history stays the same object, and a stop that was called stays.
        """
        state.history.rows[:] = self.state.history.rows
        vars(state).update(vars(self.state), history=state.history, stopping=state.stopping or self.state.stopping)
        for name, array in self._work.model.weights().items():
            array[...] = self._weights[name]
        for owner, values in self._given:
            for name, value in values.items():
                setattr(owner, name, tuple(value) if isinstance(getattr(owner, name, None), tuple) else value)


def check_optimizer(work: Work, epochs: int, restored: Restored | None) -> None:
    """Refuse an optimizer of another model, and warn of a schedule that does not go with so many epochs."""
    optimizer, left = work.optimizer, epochs * work.batches_per_epoch
    done = optimizer.steps
    if restored is None:
        optimizer.check_model(work.model.parameters)
    else:
        # Its whole state is replaced, so it may have served another model.
        done, left = restored.optimizer_steps, left - restored.batches_done
    schedule = optimizer.learning_rate
    if isinstance(schedule, Schedule) and left and (fault := fault_of(schedule, done, left, work.batches_per_epoch)):
        warnings.warn(
            f"{schedule!r} {fault}; did you give epochs where steps are meant? Make the schedule for {done + left} "
            f"steps (an epoch has {work.batches_per_epoch})",
            stacklevel=3,
        )


def _run_state(saved: Tree, batches_per_epoch: int) -> RunState:
    """Return the state in `saved`, if a run can be in it."""
    for name, like in vars(RunState(seed=0)).items():
        value = saved[name]
        if name not in ("logs", "history") and (type(value) is not type(like) or not 0 <= value < 1e300):
            raise ValueError(f"{name} {value!r:.40}")
    state = RunState(**saved | {"logs": as_row(saved["logs"]), "history": from_columns(saved["history"])})
    if state.first_epoch > state.epoch or state.batch > batches_per_epoch:
        raise ValueError("counters that no run can have")
    return state


def _checked_attributes(tree: Tree, work: Work) -> list[tuple[Any, Tree]]:
    """Return what parameters, the optimizer, layers and callbacks are to have, if all of it fits them."""
    parameters, optimizer, saved = work.model.parameters, work.optimizer, tree["optimizer"]
    owners, frozen = work.owners, set(tree["frozen"])
    if not frozen <= parameters.keys() or owners.keys() != tree["attributes"].keys():
        raise ValueError("frozen parameters, or attributes, of what is not there")
    rate = optimizer.learning_rate
    if not isinstance(rate, Schedule):
        rate = as_number("learning_rate", saved["learning_rate"], 0, above=True)
    steps = as_count("optimizer.steps", saved["steps"], 0)
    return [
        *((parameter, {"trainable": path not in frozen}) for path, parameter in parameters.items()),
        (optimizer, {"learning_rate": rate, "steps": steps, "state": _slots(work, saved["state"])}),
        *((owner, _fitting(owner, tree["attributes"][name])) for name, owner in owners.items()),
    ]


def _slots(work: Work, saved: Tree) -> dict[str, dict[str, Array]]:
    """Return what the rule remembers, in arrays of the kind and memory order that it makes itself."""
    slots = {path: work.optimizer.init_state(work.model.parameters[path]) for path in saved}
    for path, arrays in slots.items():
        if arrays.keys() != saved[path].keys():
            raise ValueError(f"optimizer.state.{path}")
        for name, array in arrays.items():
            found = saved[path][name]
            if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != (array.shape, array.dtype):
                raise ValueError(f"optimizer.state.{path}.{name}")
            array[...] = found
    return slots


def _fitting(owner: Any, values: Mapping[str, Any]) -> Tree:
    """Return `values` if they can be the saved attributes of `owner`."""
    if values.keys() != set(owner.saved_attributes):
        raise ValueError(f"{type(owner).__name__} with {', '.join(values)}")
    for name, value in values.items():
        # What on_train_begin makes is not there yet.
        now = getattr(owner, name, None)
        kinds = (str, (list, tuple), dict, np.random.Generator, _NUMBERS)
        alike = any(isinstance(now, kind) and isinstance(value, kind) for kind in kinds)
        if now is not None and value is not None and not alike:
            raise ValueError(f"{type(owner).__name__}.{name} is a {type(now).__name__}, got {value!r:.40}")
    return dict(values)
