"""The state of a run, and how a checkpoint saves and restores it, bit for bit."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.checks import as_count, as_number, as_path
from minidl._core.errors import CheckpointError, InputError
from minidl._core.types import Array, PathLike
from minidl.training.checkpoint import Tree, Weights, find_checkpoint
from minidl.training.history import History, as_columns, as_row, from_columns
from minidl.training.optimizers import Schedule
from minidl.training.optimizers.reach import schedule_fault
from minidl.training.past import Past, check_past
from minidl.training.work import Work

_NUMBERS = (bool, int, float, np.generic, np.ndarray)
"""An attribute of one of these types may have another of them in a checkpoint: a number may become an array."""


@dataclass
class RunState:
    """The state of a run at one moment; `Trainer` documents each field."""

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


def captured(state: RunState, work: Work) -> Tree:
    """Return all that a run needs to continue exactly, apart from the weights."""
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
        raise InputError(f"{owner!r}: saved_attributes names missing attributes: {', '.join(missing)}; set them first")
    return {name: getattr(owner, name) for name in owner.saved_attributes}


class Restored:
    """A checkpoint that fits the arguments of the `fit` that resumes it; nothing changes before `apply`.

    Parameters
    ----------
    path, weights, tree
        The file of the checkpoint, and its contents.
    work : Work
    epochs : int
        The total number of epochs of the resumed `fit`.
    seed : int or None
        The seed that the run must have; None takes the seed of the checkpoint.

    Attributes
    ----------
    state : RunState
    optimizer_steps : int
        The number of steps that the optimizer has taken.
    batches_done : int
        The number of batches of the resumed `fit` that are done.

    Raises
    ------
    InputError
        If the checkpoint has more than `epochs` epochs already.
    CheckpointError
        If it belongs to another run, listing the differences, or its state is invalid.
    """

    def __init__(self, path: Path, weights: Weights, tree: Tree, work: Work, epochs: int, seed: int | None) -> None:
        self.path, self._weights, self._work = path, weights, work
        self.resumed_from: tuple[Path, int] | None = None
        work.model.check_weights(weights, path)
        try:
            self._check_terms(tree, seed)
            self.state = saved = _run_state(tree["run"], work.batches_per_epoch)
            self._given = _checked_attributes(tree, work)
            self.optimizer_steps = int(tree["optimizer"]["steps"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"{path}: expected a checkpoint of this run; {error!r:.200}") from error
        started = saved.epoch - saved.first_epoch
        if started > epochs:
            raise InputError(f"epochs: expected at least the {started} that {path} has, got {epochs}")
        self.batches_done = (started - bool(saved.batch)) * work.batches_per_epoch + saved.batch

    def _check_terms(self, tree: Tree, seed: int | None) -> None:
        before = dict(tree["terms"], rng=tree["run"]["seed"])
        now = self._work.terms | ({} if seed is None else {"rng": seed})
        changed = [name for name in now if before.get(name) != now[name]]
        faults = [f"{name} was {before.get(name)!s:.160}, now {now[name]!s:.160}" for name in changed]
        if faults:
            hint = "pass the arguments the run started with, or load only its weights with Model.load_weights"
            raise CheckpointError(f"{self.path}: this checkpoint is of another run: {'; '.join(faults)}; {hint}")

    def apply(self, state: RunState) -> None:
        """Restore `state`, the model, the optimizer and the callbacks from the checkpoint.

        The history stays the same object, and an earlier call of `stop` still counts.
        """
        state.history.rows[:] = self.state.history.rows
        vars(state).update(vars(self.state), history=state.history, stopping=state.stopping or self.state.stopping)
        self._work.model.set_weights(self._weights)
        for owner, values in self._given:
            for name, value in values.items():
                setattr(owner, name, tuple(value) if isinstance(getattr(owner, name, None), tuple) else value)


def restored_from(place: PathLike | None, work: Work, epochs: int, seed: int | None) -> Restored | None:
    """Return the checkpoint to resume from, if there is one. It fits the run, which is still unchanged."""
    if place is None or (checkpoint := find_checkpoint(place)) is None:
        return None
    restored = Restored(*checkpoint, work, epochs, seed)
    if restored.path == as_path("resume_from", place):
        restored.resumed_from = (restored.path.parent.resolve(), restored.state.step)
    return restored


def check_start(work: Work, epochs: int, restored: Restored | None, new_trainer: bool) -> Past | None:
    """Refuse an optimizer of another model, and warn about a schedule that does not fit the number of steps.

    Warn also if the program probably takes trained weights for new ones, and return their past.
    """
    optimizer, per_epoch = work.optimizer, work.batches_per_epoch
    done, left = optimizer.steps, epochs * per_epoch
    if restored is None:
        optimizer.check_model(work.model.parameters)
    else:
        # The checkpoint replaces the optimizer's whole state, so it may have trained another model before.
        done, left = restored.optimizer_steps, left - restored.batches_done
    schedule = optimizer.learning_rate
    if isinstance(schedule, Schedule) and left and (fault := schedule_fault(schedule, done, left, per_epoch)):
        warnings.warn(
            f"{schedule!r} {fault}; did you pass epochs in place of steps? Make the schedule for {done + left} steps "
            f"(an epoch has {per_epoch})",
            stacklevel=4,
        )
    if restored is not None or epochs == 0:
        return None
    check_past(work, past := Past.of(work.model), new_trainer)
    return past


def _run_state(saved: Tree, batches_per_epoch: int) -> RunState:
    """Return the state in `saved`, if it is valid."""
    for name, like in vars(RunState(seed=0)).items():
        value = saved[name]
        if name not in ("logs", "history") and (type(value) is not type(like) or not 0 <= value < 1e300):
            raise ValueError(f"{name} {value!r:.40}")
    state = RunState(**saved | {"logs": as_row(saved["logs"]), "history": from_columns(saved["history"])})
    if state.first_epoch > state.epoch or state.batch > batches_per_epoch:
        raise ValueError("its counters are invalid")
    return state


def _checked_attributes(tree: Tree, work: Work) -> list[tuple[Any, Tree]]:
    """Return the attributes to set on parameters, the optimizer, layers and callbacks, if all of them fit."""
    parameters, optimizer, saved = work.model.parameters, work.optimizer, tree["optimizer"]
    owners, frozen = work.owners, set(tree["frozen"])
    if not frozen <= parameters.keys() or owners.keys() != tree["attributes"].keys():
        raise ValueError("unknown frozen parameters, or attributes of an unknown layer or callback")
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
    """Return the optimizer's state, in arrays of the dtype and memory order that `init_state` makes."""
    slots = {path: work.optimizer.init_state(work.model.parameters[path]) for path in saved}
    for path, arrays in slots.items():
        if arrays.keys() != saved[path].keys():
            raise ValueError(f"optimizer.state.{path}")
        for name, array in arrays.items():
            values = saved[path][name]
            if not isinstance(values, np.ndarray) or (values.shape, values.dtype) != (array.shape, array.dtype):
                raise ValueError(f"optimizer.state.{path}.{name}")
            array[...] = values
    return slots


def _fitting(owner: Any, values: Mapping[str, Any]) -> Tree:
    """Return `values` if they can be the saved attributes of `owner`."""
    if values.keys() != set(owner.saved_attributes):
        raise ValueError(f"{type(owner).__name__} with {', '.join(values)}")
    for name, value in values.items():
        # An attribute that on_train_begin sets does not exist yet.
        now = getattr(owner, name, None)
        kinds = (str, (list, tuple), dict, np.random.Generator, _NUMBERS)
        alike = any(isinstance(now, kind) and isinstance(value, kind) for kind in kinds)
        if now is not None and value is not None and not alike:
            raise ValueError(f"{type(owner).__name__}.{name} is a {type(now).__name__}, got {value!r:.40}")
    return dict(values)
