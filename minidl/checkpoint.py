"""Checkpoints: all that a run needs to go on exactly, in one file of tensors.

The weights lie in it under their own names, so that other tools read them. What else there is, is a tree of numbers,
texts and arrays: its arrays are tensors whose names begin with ``@``, the rest is JSON in the file's metadata.
"""

import json
import os
import platform
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl.errors import CheckpointError, InputError
from minidl.tensorfile import read_tensors, write_tensors
from minidl.types import Array, PathLike

FORMAT = 1
"""Version of the tree's layout; a file of a later one is refused."""
SUFFIX = ".safetensors"
_PREFIX = "checkpoint-"
_ARRAY, _GENERATOR = "@array", "@generator"
_MOST_LEVELS = 32

Weights = dict[str, Array]
State = dict[str, Any]
"""A tree of dict, list, None, bool, int, float, str, array and Generator."""


def checkpoint_path(directory: PathLike, step: int) -> Path:
    """Return the name of the checkpoint after `step` steps."""
    return Path(directory) / f"{_PREFIX}{step:09d}{SUFFIX}"


def checkpoint_paths(directory: PathLike) -> list[Path]:
    """Return the checkpoints in `directory`, the newest first: by their steps, as clocks may be set back."""
    paths = [path for path in Path(directory).glob(f"{_PREFIX}*{SUFFIX}") if steps_of(path) >= 0]
    return sorted(paths, key=lambda path: (steps_of(path), path.name), reverse=True)


def steps_of(path: Path) -> int:
    """Return how many steps were done when this checkpoint was written, by its name; -1 for another name."""
    number = path.name[len(_PREFIX) : -len(SUFFIX)]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else -1


def write_checkpoint(path: PathLike, weights: Mapping[str, Array], state: State) -> None:
    """Write weights and state to one file, whole or not at all.

    Raises
    ------
    CheckpointError
        If the file cannot be written; an older one of that name is still there then.
    InputError
        If the state holds something that is not as in `State`; nothing has been written then.
    """
    arrays, text = encoded(state)
    metadata = {"minidl.format": str(FORMAT), "minidl.state": text, "minidl.machine": json.dumps(machine())}
    try:
        write_tensors(path, {**weights, **arrays}, metadata)
    except OSError as error:
        told = error.strerror or str(error)
        raise CheckpointError(f"{path}: this checkpoint is not saved: {told}; those before it are untouched") from error


def read_checkpoint(path: PathLike) -> tuple[Weights, State]:
    """Return the weights and the state of a file that is as it was written.

    Warns
    -----
    UserWarning
        If it was written by another machine, NumPy or number of threads: the run then goes on with other roundings.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, no checkpoint, or of a later format.
    """
    tensors, metadata = read_tensors(path)
    if "minidl.state" not in metadata:
        raise CheckpointError(f"{path}: expected a checkpoint, got weights alone; read them by Model.load_weights")
    version = metadata.get("minidl.format", "")
    if not (version.isascii() and version.isdigit() and len(version) < 6) or not 1 <= int(version) <= FORMAT:
        raise CheckpointError(
            f"{path}: a checkpoint of format {version!r:.20}, this version of minidl reads up to {FORMAT}"
        )
    try:
        state = _decoded(json.loads(metadata["minidl.state"]), tensors, 0)
        before = json.loads(metadata["minidl.machine"])
        if not isinstance(state, dict) or not isinstance(before, dict):
            raise ValueError("its state is no table")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected a checkpoint of minidl; {error!r:.200}") from error
    changes = [f"{name} {before.get(name)!r:.80} is now {now!r:.80}" for name, now in machine().items()]
    changes = [
        change for change, (name, now) in zip(changes, machine().items(), strict=True) if before.get(name) != now
    ]
    if changes:
        warnings.warn(
            f"{path}: written elsewhere, so the run will go on with other roundings: {'; '.join(changes)}", stacklevel=3
        )
    return {name: array for name, array in tensors.items() if not name.startswith("@")}, state


def find_checkpoint(place: PathLike) -> tuple[Path, Weights, State] | None:
    """Return the checkpoint `place`, or the newest whole one in the directory `place`; None if that holds none.

    Warns
    -----
    UserWarning
        For each damaged one that is newer.

    Raises
    ------
    CheckpointError
        If a file is given and is no whole checkpoint, or all in the directory are damaged.
    """
    path = Path(place)
    if path.suffix == SUFFIX or (os.path.lexists(path) and not path.is_dir()):
        return path, *read_checkpoint(path)
    faults: list[str] = []
    for candidate in checkpoint_paths(path):
        try:
            found = candidate, *read_checkpoint(candidate)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            warnings.warn(f"{fault}; going on from {candidate.name}", stacklevel=3)
        return found
    if faults:
        raise CheckpointError(f"{path}: no checkpoint in it is whole: {' | '.join(faults)}")
    return None


def encoded(state: State) -> tuple[Weights, str]:
    """Return the arrays of `state` by the names they get, and all the rest as JSON."""
    arrays: Weights = {}
    return arrays, json.dumps(_plain(state, arrays, ()))


def machine() -> dict[str, Any]:
    """Return what decides how sums are rounded on this machine, apart from the program."""
    config = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    threads = {name: os.environ[name] for name in sorted(os.environ) if name.endswith("_NUM_THREADS")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": f"{platform.machine()} with {', '.join(config['SIMD Extensions']['found'])}",
        "numpy": f"{np.__version__} with {blas.get('name')} {blas.get('version')}",
        "threads": f"{cores} cores {threads or ''}".strip(),
    }


def _plain(value: Any, arrays: Weights, keys: tuple[str, ...]) -> Any:
    if type(value) in (int, float, str):  # nearly all there is: the history
        return value
    if isinstance(value, np.float64 | np.integer | np.bool_):  # as Python's own numbers they compute the same
        value = value.item()
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, np.ndarray):
        name = "@" + "/".join(keys)
        if name in arrays:
            raise InputError(f"checkpoint: two arrays would be called {name!r}")
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, np.random.Generator):
        return {_GENERATOR: _plain(value.bit_generator.state, arrays, keys)}
    if isinstance(value, dict) and all(isinstance(key, str) and not key.startswith("@") for key in value):
        return {key: _plain(item, arrays, (*keys, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, arrays, (*keys, str(i))) for i, item in enumerate(value)]
    raise InputError(
        f"checkpoint: {'.'.join(keys)}: expected None, a bool, int, float or str, an array, a Generator, or a list or "
        f"dict of these, got {type(value).__name__}"
    )


def _decoded(value: Any, tensors: Mapping[str, Array], level: int) -> Any:
    if level > _MOST_LEVELS:
        raise ValueError(f"its state is nested more than {_MOST_LEVELS} levels deep")
    if isinstance(value, list):
        return [_decoded(item, tensors, level + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_ARRAY}:
        return tensors[value[_ARRAY]]
    if set(value) == {_GENERATOR}:
        return _generator(_decoded(value[_GENERATOR], tensors, level + 1))
    return {key: _decoded(item, tensors, level + 1) for key, item in value.items()}


def _generator(state: State) -> np.random.Generator:
    kinds: Iterable[type[np.random.BitGenerator]] = (
        *(np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937),
        *(np.random.Philox, np.random.SFC64),
    )
    bits = {kind.__name__: kind for kind in kinds}[state["bit_generator"]](0)
    bits.state = state
    return np.random.Generator(bits)
