"""Checkpoints: all that a run needs to go on exactly, in one file of tensors.

The weights lie in it under their own names, so that other tools read them. What else there is, is a tree of numbers,
texts and arrays: its arrays are tensors whose names begin with ``@``, the rest is JSON in the file's metadata.
"""

import json
import os
import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl._core.checks import as_path
from minidl._core.environment import simd_features, thread_limits, usable_cores
from minidl._core.errors import CheckpointError, InputError
from minidl._core.types import Array, PathLike
from minidl._storage.tensors import packed, read_tensors, write_tensors

FORMAT = "2"
"""Version of the tree's layout; a file of another one is refused."""
SUFFIX = ".safetensors"
BEST = f"best{SUFFIX}"
_PREFIX = "checkpoint-"
_ARRAY, _GENERATOR, _SAME = "@array", "@generator", "@same"
_MOST_LEVELS = 32
_LAST_POSITIONS = {"PCG64": 0, "PCG64DXSM": 0, "SFC64": 0, "MT19937": 624, "Philox": 4}
"""The bit generators, and the last position in its numbers that each can be at."""

Weights = dict[str, Array]
Tree = dict[str, Any]
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


def write_checkpoint(path: PathLike, weights: Mapping[str, Array], tree: Tree) -> None:
    """Write weights and tree to one file, whole or not at all.

    Raises
    ------
    CheckpointError
        If the file cannot be written; an older one of that name is still there then.
    InputError
        If the tree holds something that is not as in `Tree`; nothing has been written then.
    """
    try:
        write_tensors(path, *_encoded(weights, tree))
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"{path}: could not save checkpoint: {reason}; earlier ones are intact") from error


def check_checkpoint(weights: Mapping[str, Array], tree: Tree) -> None:
    """Refuse what `write_checkpoint` could not write, without touching the disk."""
    packed("checkpoint", *_encoded(weights, tree))


def read_checkpoint(path: PathLike) -> tuple[Weights, Tree]:
    """Return the weights and the tree of a file that is as it was written.

    Warns
    -----
    UserWarning
        If it was written by another machine, NumPy or number of threads: the run then goes on with other roundings.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, no checkpoint, or of another format.
    """
    tensors, texts = read_tensors(path)
    if "minidl.state" not in texts:
        raise CheckpointError(f"{path}: expected a checkpoint, got weights alone; read them by Model.load_weights")
    if (found := texts.get("minidl.format")) != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT!r}, got {found!r:.20}; use the minidl that wrote it")
    try:
        tree = _decoded(json.loads(texts["minidl.state"]), tensors, [])
        before = json.loads(texts["minidl.machine"])
        if not isinstance(tree, dict) or not isinstance(before, dict):
            raise ValueError("its state is no table")
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected a checkpoint of minidl; {error!r:.200}") from error
    changes = [f"{k} {before.get(k)!r:.80} is now {v!r:.80}" for k, v in machine().items() if before.get(k) != v]
    if changes:
        warnings.warn(
            f"{path}: written on a different machine, NumPy or thread count, so the resumed run will not match bit for "
            f"bit: {'; '.join(changes)}",
            stacklevel=3,
        )
    return {name: array for name, array in tensors.items() if not name.startswith("@")}, tree


def find_checkpoint(place: PathLike) -> tuple[Path, Weights, Tree] | None:
    """Return the checkpoint `place`, or the newest whole one in the directory `place`; None if that holds none.

    The best one of a directory comes last: it is older than the newest, or was written when there was no other yet.

    Warns
    -----
    UserWarning
        For each damaged one that is newer.

    Raises
    ------
    CheckpointError
        If a file is given and is no whole checkpoint, or all in the directory are damaged.
    """
    path = as_path("resume_from", place)
    if not path.is_dir() and (path.suffix == SUFFIX or os.path.lexists(path)):
        return path, *read_checkpoint(path)
    faults: list[str] = []
    for candidate in [*checkpoint_paths(path), *path.glob(BEST)]:
        try:
            found = candidate, *read_checkpoint(candidate)
        except CheckpointError as error:
            faults.append(str(error))
        else:
            for fault in faults:
                warnings.warn(f"{fault}; going on from {candidate.name}", stacklevel=3)
            return found
    if faults:
        raise CheckpointError(f"{path}: no checkpoint in it is whole: {' | '.join(faults)}")
    return None


def machine() -> dict[str, Any]:
    """Return what decides how sums are rounded on this machine, apart from the program."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "processor": f"{platform.machine()} with {', '.join(simd_features()) or 'no more than its baseline'}",
        "numpy": f"{np.__version__} with {blas.get('name')} {blas.get('version')}",
        "threads": f"{usable_cores()} cores {thread_limits() or ''}".strip(),
    }


def _encoded(weights: Mapping[str, Array], tree: Tree) -> tuple[Weights, dict[str, str]]:
    """Return all arrays by the names they get, and all the rest as texts."""
    arrays: Weights = {}
    plain = _plain(tree, (), arrays, {})
    try:
        text = json.dumps(plain)
    except ValueError as error:
        # An integer may have thousands of digits.
        raise InputError(f"checkpoint: {error}") from error
    texts = {"minidl.format": FORMAT, "minidl.state": text, "minidl.machine": json.dumps(machine())}
    return {**weights, **arrays}, texts


def _plain(value: Any, keys: tuple[str, ...], arrays: Weights, met: dict[int, tuple[int, Any]]) -> Any:
    """Return the JSON of a tree, and collect its arrays. What is one object in two places is one again when it is read.

    `met` are the arrays and generators so far, with their places in the order in which they are met. Each is kept
    alive, so that none of them gives its id to another.
    """
    if value is None or type(value) in (int, float, str, bool):
        return value
    where = ".".join(keys)
    if len(keys) > _MOST_LEVELS:
        raise InputError(f"checkpoint: {where:.80}...: expected at most {_MOST_LEVELS} levels, got more")
    if isinstance(value, np.float64 | np.integer | np.bool_):
        # They compute the same as Python's own numbers.
        return value.item()
    if type(value) in (np.ndarray, np.random.Generator):
        if id(value) in met:
            return {_SAME: met[id(value)][0]}
        met[id(value)] = len(met), value
        if isinstance(value, np.random.Generator):
            return {_GENERATOR: _plain(value.bit_generator.state, keys, arrays, met)}
        name = "@" + "/".join(keys)
        if name in arrays:
            raise InputError(f"checkpoint: two arrays would be called {name!r}; rename one")
        arrays[name] = value
        return {_ARRAY: name}
    if type(value) is dict and all(isinstance(key, str) and not key.startswith("@") for key in value):
        return {key: _plain(item, (*keys, key), arrays, met) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item, (*keys, str(i)), arrays, met) for i, item in enumerate(value)]
    wanted = "None, a bool, int, float or str, an array, a Generator, or a list, tuple or dict of these by name"
    raise InputError(f"checkpoint: {where}: expected {wanted}, got {type(value).__name__}; convert it")


def _decoded(value: Any, tensors: Mapping[str, Array], met: list[Any], level: int = 0) -> Any:
    """Return what `_plain` was given; `met` are the arrays and generators so far, in the same order."""
    if level > 2 * _MOST_LEVELS:
        raise ValueError("its state is nested too deep")
    if isinstance(value, list):
        return [_decoded(item, tensors, met, level + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_SAME}:
        return met[value[_SAME]]
    if set(value) == {_ARRAY}:
        met.append(tensors[value[_ARRAY]])
        return met[-1]
    if set(value) == {_GENERATOR}:
        place = len(met)
        met.append(None)
        met[place] = _generator(_decoded(value[_GENERATOR], tensors, met, level + 1))
        return met[place]
    return {key: _decoded(item, tensors, met, level + 1) for key, item in value.items()}


def _generator(state: Tree) -> np.random.Generator:
    """Return the generator in `state`. NumPy itself would take a state that it cannot be in without a look at it."""
    last = _LAST_POSITIONS[state["bit_generator"]]
    bits: np.random.BitGenerator = getattr(np.random, state["bit_generator"])(0)
    fresh, parts = ({**s, **s["state"]} for s in (bits.state, state))
    position = parts.get("pos", parts.get("buffer_pos", 0))
    right = all(np.shape(parts[name]) == np.shape(value) for name, value in fresh.items())
    if not right or not isinstance(position, int) or not 0 <= position <= last:
        raise ValueError(f"a generator {state['bit_generator']} in a state that it cannot be in")
    bits.state = state
    return np.random.Generator(bits)
