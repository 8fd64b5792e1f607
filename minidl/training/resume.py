"""Resume: what a checkpoint holds of a trainer, and how it comes back, bit for bit."""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._core.checks import as_number
from minidl._core.errors import CheckpointError, InputError, MinidlError
from minidl._core.reprs import told
from minidl._core.types import Array, PathLike
from minidl.data.dataset import Dataset
from minidl.training.checkpoint import State, Weights
from minidl.training.history import History
from minidl.training.optimizers import Optimizer
from minidl.training.optimizers.schedules import Schedule

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer

_COUNTERS = ("epoch", "batch", "step", "skipped_steps", "first_epoch")
_SAMPLE = 256
"""Rows of a data set that its fingerprint looks at: a mistake shows in them, and all of them would take an epoch."""


def run_terms(trainer: "Trainer", **arguments: Any) -> dict[str, str]:
    """Return what must be the same for a run to go on as if nothing had happened, each by its name."""
    optimizer = copy.copy(trainer.optimizer)
    if not isinstance(optimizer.learning_rate, Schedule):
        optimizer.learning_rate = 1.0  # it may change while training runs; the state has it
    model = trainer.model
    terms = {"network": model.network, "dtype": model.dtype, "loss": model.loss, "regularizer": model.regularizer}
    texts = {name: told(value) for name, value in {**terms, "optimizer": optimizer}.items()}
    for name, value in arguments.items():
        texts[name] = fingerprint(value) if isinstance(value, Dataset) else told(value)
    return texts


def fingerprint(data: Dataset) -> str:
    """Return shapes, dtypes and a digest of all targets and of some rows spread over the set."""
    rows = np.linspace(0, len(data) - 1, min(len(data), _SAMPLE)).astype(int)
    digest = hashlib.sha256()
    for array in (data.x[rows], data.y):
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"x {data.x.shape} {data.x.dtype}, y {data.y.shape} {data.y.dtype}, {digest.hexdigest()[:16]}"


def captured(trainer: "Trainer") -> State:
    """Return all that a run needs to go on exactly, apart from the weights."""
    optimizer, model = trainer.optimizer, trainer.model
    rate = optimizer.learning_rate
    return {
        "terms": trainer.terms,
        "counters": {name: getattr(trainer, name) for name in _COUNTERS},
        "seed": trainer.seed,
        "stopping": trainer.stopping,
        "seconds": trainer.epoch_seconds,
        "logs": _numbers(trainer.logs),
        "history": _text(trainer.history),
        "frozen": [path for path, parameter in model.parameters.items() if not parameter.trainable],
        "layers": {path: _attributes(layer) for path, layer in model.network.walk() if layer.saved_attributes},
        "optimizer": {
            "learning_rate": None if isinstance(rate, Schedule) else rate,
            "steps": optimizer.steps,
            "state": optimizer.state,
        },
        "callbacks": [[told(owner), _attributes(owner)] for owner in _owners(trainer)],
    }


class Restored:
    """A checkpoint that was found to fit a trainer; nothing is changed before `apply`.

    Raises
    ------
    CheckpointError
        From the constructor, if it is of another run, listing in what they differ, or holds what no run has.
    """

    def __init__(
        self, trainer: "Trainer", path: PathLike, weights: Weights, state: State, batches_per_epoch: int
    ) -> None:
        self._trainer, self._weights, self._state = trainer, weights, state
        self._batches_per_epoch = batches_per_epoch
        trainer.model.check_weights(weights, path)
        try:
            self._check(path)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, MinidlError):
                raise CheckpointError(f"{path}: {error}") from error
            raise CheckpointError(
                f"{path}: expected a checkpoint of this run; its state is odd: {error!r:.80}"
            ) from error

    @property
    def epochs(self) -> int:
        """How many epochs of the interrupted `fit` have begun."""
        counters = self._state["counters"]
        return int(counters["epoch"] - counters["first_epoch"])

    @property
    def step(self) -> int:
        """How many steps the run had done."""
        return int(self._state["counters"]["step"])

    def _check(self, path: PathLike) -> None:
        trainer, state = self._trainer, self._state
        terms, now = dict(state["terms"]), trainer.terms
        faults = [
            f"{name} was {terms.get(name)!s:.160} and is {now.get(name)!s:.160}"
            for name in {**terms, **now}
            if terms.get(name) != now.get(name)
        ]
        if trainer.seed_given and state["seed"] != trainer.seed:
            faults.append(f"rng was {state['seed']} and is {trainer.seed}")
        saved = [name for name, _ in state["callbacks"]]
        owners = list(_owners(trainer))
        if saved != [told(owner) for owner in owners]:
            there = ", ".join(map(told, owners)) or "none"
            faults.append(f"the callbacks that remember something were {', '.join(saved) or 'none'} and are {there}")
        if faults:
            raise CheckpointError(
                f"{path}: a checkpoint of another run: {'; '.join(faults)}. Give what it was begun with, or take its "
                "weights alone by Model.load_weights"
            )
        for name in _COUNTERS:
            _expect(f"counters.{name}", state["counters"][name], 0)
        counters = state["counters"]
        if counters["first_epoch"] > counters["epoch"] or counters["batch"] > self._batches_per_epoch:
            raise ValueError("counters that no run can have")
        _expect("seed", state["seed"], 0)
        _expect("optimizer.steps", state["optimizer"]["steps"], 0)
        _expect("seconds", state["seconds"], 0.0)
        _expect("stopping", state["stopping"], False)
        self._history = History(json.loads(state["history"]))
        self._logs = _numbers(state["logs"])
        rate = state["optimizer"]["learning_rate"]
        self._rate = trainer.optimizer.learning_rate
        if not isinstance(self._rate, Schedule):
            self._rate = as_number("learning_rate", rate, 0, above=True)
        self._slots = self._checked_slots(trainer.optimizer, state["optimizer"]["state"])
        self._frozen = set(state["frozen"])
        if not self._frozen <= trainer.model.parameters.keys():
            raise ValueError("frozen")
        layers = {path: layer for path, layer in trainer.model.network.walk() if layer.saved_attributes}
        if layers.keys() != state["layers"].keys():
            raise ValueError("layers")
        self._layers = [(layer, _fitting(layer, state["layers"][path])) for path, layer in layers.items()]
        pairs = zip(owners, state["callbacks"], strict=True)
        self._callbacks = [(owner, _fitting(owner, values)) for owner, (_, values) in pairs]

    def _checked_slots(self, optimizer: Optimizer, saved: State) -> dict[str, dict[str, Array]]:
        """Return what the rule remembers, in arrays of the kind and memory order that it makes itself."""
        slots = {}
        for path, arrays in saved.items():
            slots[path] = optimizer.init_state(self._trainer.model.parameters[path])
            if slots[path].keys() != arrays.keys():
                raise ValueError(f"optimizer.state.{path}")
            for name, array in slots[path].items():
                found = arrays[name]
                if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != (array.shape, array.dtype):
                    raise ValueError(f"optimizer.state.{path}.{name}")
                array[...] = found
        return slots

    def apply(self) -> None:
        """Give the trainer, its model, its optimizer and its callbacks what the checkpoint holds."""
        trainer, state = self._trainer, self._state
        for name, array in trainer.model.weights().items():
            array[...] = self._weights[name]
        for path, parameter in trainer.model.parameters.items():
            parameter.trainable = path not in self._frozen
        _assign(self._layers)
        trainer.optimizer.learning_rate = self._rate
        trainer.optimizer.steps = state["optimizer"]["steps"]
        trainer.optimizer.state = self._slots
        for name in _COUNTERS:
            setattr(trainer, name, state["counters"][name])
        trainer.seed = state["seed"]
        trainer.epoch_seconds = float(state["seconds"])
        trainer.stopping = trainer.stopping or state["stopping"]
        trainer.logs = self._logs
        trainer.history.rows[:] = self._history.rows
        _assign(self._callbacks)


def _owners(trainer: "Trainer") -> Iterable[Any]:
    return (callback for callback in trainer.callbacks if callback.saved_attributes)


def _attributes(owner: Any) -> State:
    missing = [name for name in owner.saved_attributes if not hasattr(owner, name)]
    if missing:
        raise InputError(f"{owner!r}: expected the saved_attributes to be there, got none named {', '.join(missing)}")
    return {name: getattr(owner, name) for name in owner.saved_attributes}


def _fitting(owner: Any, values: State) -> State:
    """Return `values` if they can be the saved attributes of `owner`."""
    if values.keys() != set(owner.saved_attributes):
        raise ValueError(f"{type(owner).__name__} with {', '.join(values)}")
    for name, value in values.items():
        now = getattr(owner, name, None)  # one that on_train_begin makes is not there yet
        if now is None or value is None:
            continue
        if _kind(now) != _kind(value):
            raise ValueError(f"{type(owner).__name__}.{name} was a {_kind(value)} and is a {_kind(now)}")
    return values


def _kind(value: object) -> str:
    """Return what `value` is: what was a number may well become an array while a run goes on."""
    kinds: dict[str, Any] = {"text": str, "list": list | tuple, "table": dict, "Generator": np.random.Generator}
    return next((kind for kind, types in kinds.items() if isinstance(value, types)), "number or array")


def _text(history: History) -> str:
    """Return the rows as JSON; nearly all of a state are they, so they are looked at no longer than need be."""
    rows = history.rows
    if not all(type(value) in (int, float) for row in rows for value in row.values()):
        rows = History(rows).rows  # makes numbers of NumPy plain ones, and refuses what is no number
    return json.dumps(rows)


def _numbers(logs: Mapping[str, Any]) -> dict[str, int | float]:
    """Return `logs` as the history would hold them, which is as JSON can."""
    (row,) = History([logs])
    return {name: row[name] for name in logs}


def _assign(pairs: Iterable[tuple[Any, State]]) -> None:
    for owner, values in pairs:
        for name, value in values.items():
            setattr(owner, name, tuple(value) if isinstance(getattr(owner, name, None), tuple) else value)


def _expect(name: str, value: Any, like: int | float | bool) -> None:
    """Refuse a value that is no bool, no count or no number >= 0, as `like` is one."""
    kind = int | float if type(like) is float else type(like)
    if not isinstance(value, kind) or isinstance(value, bool) != isinstance(like, bool) or not 0 <= value < 1e300:
        raise ValueError(f"{name} {value!r:.40}")
