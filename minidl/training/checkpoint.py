"""Checkpoints: all that a run needs to continue exactly, in one file of tensors.

The weights have their own names in it, so that other tools can read them. All other state is a tree of numbers, texts
and arrays: its arrays are tensors whose names begin with ``@``, the rest is JSON in the file's metadata.
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
"""Version of the tree's layout; a file of another version is refused."""
SUFFIX = ".safetensors"
BEST = f"best{SUFFIX}"
_PREFIX = "checkpoint-"
_ARRAY, _GENERATOR, _SAME = "@array", "@generator", "@same"
_MOST_LEVELS = 32
_LAST_POSITIONS = {"PCG64": 0, "PCG64DXSM": 0, "SFC64": 0, "MT19937": 624, "Philox": 4}
"""The largest valid position in its buffer, for each bit generator."""

Weights = dict[str, Array]
Tree = dict[str, Any]
"""A tree of dict, list, None, bool, int, float, str, array and Generator."""


def checkpoint_path(directory: PathLike, step: int) -> Path:
    """Return the name of the checkpoint after `step` steps."""
    return Path(directory) / f"{_PREFIX}{step:09d}{SUFFIX}"


def checkpoint_paths(directory: PathLike) -> list[Path]:
    """Return the checkpoints in `directory`, newest first: by their steps, since clocks may be set back."""
    paths = [path for path in Path(directory).glob(f"{_PREFIX}*{SUFFIX}") if steps_of(path) >= 0]
    return sorted(paths, key=lambda path: (steps_of(path), path.name), reverse=True)


def steps_of(path: Path) -> int:
    """Return the number of steps in the name of a checkpoint; -1 for any other name."""
    number = path.name[len(_PREFIX) : -len(SUFFIX)]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else -1


def write_checkpoint(path: PathLike, weights: Mapping[str, Array], tree: Tree) -> None:
    """Write weights and tree to one file, completely or not at all.

    Raises
    ------
    CheckpointError
        If the file cannot be written; an older file of that name stays as it is.
    InputError
        If the tree has a value of a type that `Tree` does not list; nothing is written then.
    """
    try:
        write_tensors(path, *_encoded(weights, tree))
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"{path}: could not save checkpoint: {reason}; earlier ones are intact") from error


def check_checkpoint(weights: Mapping[str, Array], tree: Tree) -> None:
    """Refuse values that `write_checkpoint` could not write, without writing anything."""
    packed("checkpoint", *_encoded(weights, tree))


def read_checkpoint(path: PathLike) -> tuple[Weights, Tree]:
    """Return the weights and the tree of a file.

    Warns
    -----
    UserWarning
        If it was written with another machine, NumPy or number of threads: the resumed run then rounds differently.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, not a checkpoint, or of another format.
    """
    tensors, texts = read_tensors(path)
    if "minidl.state" not in texts:
        raise CheckpointError(f"{path}: expected a checkpoint, got only weights; load them with Model.load_weights")
    if (got := texts.get("minidl.format")) != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT!r}, got {got!r:.20}; use the version that wrote it")
    try:
        tree = _decoded(json.loads(texts["minidl.state"]), tensors, [])
        before = json.loads(texts["minidl.machine"])
        if not isinstance(tree, dict) or not isinstance(before, dict):
            raise ValueError("its state is invalid")
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
    """Return the checkpoint `place`, or the newest undamaged one in the directory `place`; None if it has none.

    The best checkpoint of a directory is tried last: it is older than the newest, or the first one that was written.

    Warns
    -----
    UserWarning
        For each newer checkpoint that is damaged.

    Raises
    ------
    CheckpointError
        If `place` is a file and not an undamaged checkpoint, or if all checkpoints in the directory are damaged.
    """
    path = as_path("resume_from", place)
    if not path.is_dir() and (path.suffix == SUFFIX or os.path.lexists(path)):
        return path, *read_checkpoint(path)
    faults: list[str] = []
    for candidate in [*checkpoint_paths(path), *path.glob(BEST)]:
        try:
            checkpoint = candidate, *read_checkpoint(candidate)
        except CheckpointError as error:
            faults.append(str(error))
        else:
            for fault in faults:
                warnings.warn(f"{fault}; resuming from {candidate.name} instead", stacklevel=3)
            return checkpoint
    if faults:
        raise CheckpointError(f"{path}: all its checkpoints are damaged: {' | '.join(faults)}")
    return None


def machine() -> dict[str, Any]:
    """Return the properties of this machine that affect how sums are rounded."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "processor": f"{platform.machine()} with {', '.join(simd_features()) or 'no more than its baseline'}",
        "numpy": f"{np.__version__} with {blas.get('name')} {blas.get('version')}",
        "threads": f"{usable_cores()} cores {thread_limits() or ''}".strip(),
    }


def _encoded(weights: Mapping[str, Array], tree: Tree) -> tuple[Weights, dict[str, str]]:
    """Return all arrays by their names in the file, and everything else as texts."""
    arrays: Weights = {}
    plain = _plain(tree, (), arrays, {})
    try:
        text = json.dumps(plain)
    except ValueError as error:
        # An integer may have thousands of digits.
        raise InputError(f"checkpoint: {error}") from error
    texts = {"minidl.format": FORMAT, "minidl.state": text, "minidl.machine": json.dumps(machine())}
    return {**weights, **arrays}, texts


def _plain(value: Any, keys: tuple[str, ...], arrays: Weights, known: dict[int, tuple[int, Any]]) -> Any:
    """Return the JSON of a tree, and collect its arrays. An object in two places is one object again after reading.

    `known` maps the ids of the arrays and generators so far to their numbers, in the order of the tree. It also keeps
    the objects alive, so that no id is used twice.
    """
    if value is None or type(value) in (int, float, str, bool):
        return value
    where = ".".join(keys)
    if len(keys) > _MOST_LEVELS:
        raise InputError(f"checkpoint: {where:.80}...: expected at most {_MOST_LEVELS} levels of nesting, got more")
    if isinstance(value, np.float64 | np.integer | np.bool_):
        # These types compute the same as Python's own numbers.
        return value.item()
    if type(value) in (np.ndarray, np.random.Generator):
        if id(value) in known:
            return {_SAME: known[id(value)][0]}
        known[id(value)] = len(known), value
        if isinstance(value, np.random.Generator):
            return {_GENERATOR: _plain(value.bit_generator.state, keys, arrays, known)}
        name = "@" + "/".join(keys)
        if name in arrays:
            raise InputError(f"checkpoint: two arrays would have the name {name!r}; rename one")
        arrays[name] = value
        return {_ARRAY: name}
    if type(value) is dict and all(isinstance(key, str) and not key.startswith("@") for key in value):
        return {key: _plain(item, (*keys, key), arrays, known) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item, (*keys, str(i)), arrays, known) for i, item in enumerate(value)]
    wanted = "None, a bool, int, float or str, an array, a Generator, or a list, tuple or dict of these by name"
    raise InputError(f"checkpoint: {where}: expected {wanted}, got {type(value).__name__}; convert it")


def _decoded(value: Any, tensors: Mapping[str, Array], known: list[Any], level: int = 0) -> Any:
    """Return the tree of the JSON of `_plain`; `known` are the arrays and generators so far, in the same order."""
    if level > 2 * _MOST_LEVELS:
        raise ValueError("its state is nested too deeply")
    if isinstance(value, list):
        return [_decoded(item, tensors, known, level + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_SAME}:
        return known[value[_SAME]]
    if set(value) == {_ARRAY}:
        known.append(tensors[value[_ARRAY]])
        return known[-1]
    if set(value) == {_GENERATOR}:
        place = len(known)
        known.append(None)
        known[place] = _generator(_decoded(value[_GENERATOR], tensors, known, level + 1))
        return known[place]
    return {key: _decoded(item, tensors, known, level + 1) for key, item in value.items()}


def _generator(state: Tree) -> np.random.Generator:
    """Return the generator in `state`, which is checked first: NumPy does not refuse invalid states itself."""
    last = _LAST_POSITIONS[state["bit_generator"]]
    bits: np.random.BitGenerator = getattr(np.random, state["bit_generator"])(0)
    fresh, parts = ({**s, **s["state"]} for s in (bits.state, state))
    position = parts.get("pos", parts.get("buffer_pos", 0))
    fits = all(np.shape(parts[name]) == np.shape(value) for name, value in fresh.items())
    if not fits or not isinstance(position, int) or not 0 <= position <= last:
        raise ValueError(f"a {state['bit_generator']} generator in an invalid state")
    bits.state = state
    return np.random.Generator(bits)
