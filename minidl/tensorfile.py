"""Named arrays in one safetensors file, with a digest: written whole or not at all, and never believed unread.

The file is a header of JSON, which says where each array lies, and then nothing but the arrays' bytes: other tools read
it, and reading it runs no code. The format has no checksum, so one is kept in its free ``__metadata__``: SHA-256 over
the whole file, taken with zeros in the digest's own place.

References
----------
https://github.com/huggingface/safetensors, section "Format".
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl.errors import CheckpointError
from minidl.files import replacing
from minidl.types import Array, PathLike

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_CODES = {np.dtype(name): code for code, name in _DTYPES.items()}
_DIGEST = "minidl.sha256"
_LONGEST_HEADER = 100_000_000  # as the reference implementation allows


def write_tensors(path: PathLike, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write `arrays` and texts to `path`, whole or not at all.

    Raises
    ------
    CheckpointError
        If an array has a dtype that the format does not know.
    OSError
        Where the file cannot be written.
    """
    entries: dict[str, Any] = {"__metadata__": {**(metadata or {}), _DIGEST: "0" * 64}}
    parts, position = [], 0
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        if plain.dtype not in _CODES:
            raise CheckpointError(f"{path}: {name!r} cannot be written: its dtype is {array.dtype}")
        offsets = [position, position + plain.nbytes]
        entries[name] = {"dtype": _CODES[plain.dtype], "shape": list(plain.shape), "data_offsets": offsets}
        parts.append(plain)
        position += plain.nbytes
    digest = hashlib.sha256(_start(entries))
    for part in parts:
        digest.update(part.tobytes())
    entries["__metadata__"][_DIGEST] = digest.hexdigest()
    with replacing(path) as file:
        file.write(_start(entries))
        for part in parts:
            file.write(part.tobytes())


def read_tensors(path: PathLike) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and texts of the file at `path`, if all of it is as it was written.

    Raises
    ------
    CheckpointError
        If there is no such file, it is not in this format, or its digest is missing or wrong.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return _parsed(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected a weights file of minidl, whole and unchanged; {error}") from error


def _parsed(content: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, _LONGEST_HEADER):
        raise ValueError("it is cut short, or of another format")
    entries = json.loads(content[8 : 8 + length].decode(), object_pairs_hook=_without_repeats)
    metadata = entries.pop("__metadata__", {})
    digest = metadata.pop(_DIGEST, None)
    if digest is None:
        raise ValueError(
            f"it has no digest {_DIGEST!r}, so that damage would not show; if another tool wrote it, read it with "
            "that, set each model.parameters[name].value[...], and then use save_weights"
        )
    if hashlib.sha256(content.replace(digest.encode(), b"0" * 64, 1)).hexdigest() != digest:
        raise ValueError("its content does not have the digest that it names")
    data, position, arrays = memoryview(content)[8 + length :], 0, {}
    for name, entry in entries.items():
        dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
        start, end = entry["data_offsets"]
        if start != position or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name!r} does not lie where its shape says")
        arrays[name] = np.frombuffer(data[start:end], dtype).reshape(shape).astype(dtype.newbyteorder("="))
        position = end
    if position != len(data):
        raise ValueError("it is longer than its arrays")
    return arrays, metadata


def _start(entries: dict[str, Any]) -> bytes:
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)  # the arrays begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return dict(pairs)
