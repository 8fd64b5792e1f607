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

from minidl._core.checks import as_count, as_number, check_finite, check_holds
from minidl._core.errors import CheckpointError, InputError
from minidl._core.reprs import told
from minidl._core.types import Array
from minidl.data.augmentation import Augmentation, check_augmentations
from minidl.data.dataset import Dataset, check_class_names, check_dataset
from minidl.nn.ends import raw_pixels
from minidl.nn.losses.softmax import ClassLoss
from minidl.nn.model import Model
from minidl.training.callback import Callback
from minidl.training.checkpoint import Tree, Weights
from minidl.training.history import History, as_columns, as_row, from_columns
from minidl.training.optimizers import Optimizer, Schedule

_SAMPLE = 256
"""Rows of a data set that its fingerprint looks at: a mistake shows in them, and all of them would take an epoch."""
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
    train_metrics: bool
    augment: Sequence[Augmentation]
    nonfinite: str

    def check(self) -> None:
        """Refuse what cannot work, and warn of what hardly will."""
        validation = {} if self.validation is None else {"validation": self.validation}
        given = {"train": self.train} | validation
        for name, data in given.items():
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
        raw = [f"{name}: {told}" for name, data in given.items() if (told := raw_pixels(self.model.network, data.x))]
        if raw:
            # At the line that called fit.
            warnings.warn(f"Trainer.fit: {raw[0]}", stacklevel=3)

    @property
    def batches_per_epoch(self) -> int:
        """How many steps an epoch has."""
        return -(-len(self.train) // self.batch_size)

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
