"""What a run is at this moment, and how it goes into a checkpoint and comes back, bit for bit."""

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
from minidl.training.optimizers.reach import fault_of
from minidl.training.past import Past, check_past
from minidl.training.work import Work

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
    epochs : int
        How many the call that goes on is to have in all.
    seed : int or None
        The seed that the run must have; None takes that of the checkpoint.

    Attributes
    ----------
    state : RunState
    optimizer_steps : int
        How many steps the optimizer is to have done.
    batches_done : int
        How many batches of the `fit` that is to go on are done.

    Raises
    ------
    InputError
        If it has more epochs already.
    CheckpointError
        If it is of another run, listing in what they differ, or holds what no run has.
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
        begun = saved.epoch - saved.first_epoch
        if begun > epochs:
            raise InputError(f"epochs: expected at least {begun}, as many as {path} has, got {epochs}")
        self.batches_done = (begun - bool(saved.batch)) * work.batches_per_epoch + saved.batch

    def _check_terms(self, tree: Tree, seed: int | None) -> None:
        before = dict(tree["terms"], rng=tree["run"]["seed"])
        now = self._work.terms | ({} if seed is None else {"rng": seed})
        changed = [name for name in now if before.get(name) != now[name]]
        faults = [f"{name} was {before.get(name)!s:.160} and is {now[name]!s:.160}" for name in changed]
        if faults:
            hint = "pass the arguments the run started with, or load only its weights with Model.load_weights"
            raise CheckpointError(f"{self.path}: a checkpoint of another run: {'; '.join(faults)}; {hint}")

    def apply(self, state: RunState) -> None:
        """Give the run of this state, its model, its optimizer and its callbacks what the checkpoint holds.

        The history stays the same object, and a stop that was called stays.
        """
        state.history.rows[:] = self.state.history.rows
        vars(state).update(vars(self.state), history=state.history, stopping=state.stopping or self.state.stopping)
        self._work.model.set_weights(self._weights)
        for owner, values in self._given:
            for name, value in values.items():
                setattr(owner, name, tuple(value) if isinstance(getattr(owner, name, None), tuple) else value)


def restored_from(place: PathLike | None, work: Work, epochs: int, seed: int | None) -> Restored | None:
    """Return the checkpoint to go on from, if there is one; it fits, but has changed nothing of the run yet."""
    if place is None or (found := find_checkpoint(place)) is None:
        return None
    restored = Restored(*found, work, epochs, seed)
    if restored.path == as_path("resume_from", place):
        restored.resumed_from = (restored.path.parent.resolve(), restored.state.step)
    return restored


def check_start(work: Work, epochs: int, restored: Restored | None, new_trainer: bool) -> Past | None:
    """Refuse an optimizer of another model, and warn of a schedule that does not go with so many epochs.

    Warn too of weights that are trained already but are taken for new ones, and return their past.
    """
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
            stacklevel=4,
        )
    if restored is not None or epochs == 0:
        return None
    check_past(work, past := Past.of(work.model), new_trainer)
    return past


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
