"""Named arrays in one safetensors file: written completely or not at all, and fully checked when read.

The file is a JSON header with the position of each array, followed by the arrays' bytes. Other tools can read it, and
reading it runs no code. The format has no checksum, so minidl stores one as the first entry of ``__metadata__``:
SHA-256 over the whole file, computed with zeros in place of the digest. Files of other tools have none.

References
----------
https://github.com/huggingface/safetensors, section "Format".
"""

import hashlib
import json
import math
import operator
import os
import re
import reprlib
from collections.abc import Mapping
from io import BufferedReader
from typing import Any

import numpy as np

from minidl._core.checks import as_path
from minidl._core.errors import CheckpointError
from minidl._core.types import Array, PathLike
from minidl._storage.files import replacing
from minidl._storage.kinds import kind_of, reading

_DTYPES = {f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}") for kind in "IU" for size in (1, 2, 4, 8)}
_DTYPES |= {f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)} | {"BOOL": np.dtype(bool)}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
# NumPy has no bfloat16, which is the upper half of a float32; it is read, but never written.
_BFLOAT16 = "BF16"
_DTYPES[_BFLOAT16] = np.dtype("<u2")

_DAMAGED = ". The file is damaged or not a safetensors file; save or download it again"
_DIGEST = "minidl.sha256"
_ZEROS = "0" * 64
# Limits the memory that a forged size can request: a billion float32 weights.
_LARGEST_FILE = 1 << 32
_LARGEST_HEADER = 1 << 24
_MOST_AXES = 64
# A header may always have _MANY_NAMES names; for more, the file must have _BYTES_PER_NAME bytes for each of them.
_MANY_NAMES = 4096
_BYTES_PER_NAME = 128
# The closing quote is optional, so that no search restarts inside an unterminated string.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def write_tensors(path: PathLike, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write `arrays` and texts to `path`, completely or not at all.

    The arrays are copied first, so later changes do not reach the file.

    Raises
    ------
    CheckpointError
        If the format does not support an array's dtype, a name or text could not be read again, or the file would be
        larger than `read_tensors` accepts. Nothing is written then.
    OSError
        If the file cannot be written.
    """
    content = packed(path, arrays, metadata)
    with replacing(path) as file:
        for part in content:
            file.write(part)


def packed(path: PathLike, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> list[bytes]:
    """Return the bytes that `write_tensors` would write to `path`, or raise its errors; nothing is written."""
    texts = dict(metadata or {})
    entries: dict[str, Any] = {"__metadata__": {_DIGEST: _ZEROS, **texts}}
    parts: list[bytes] = []
    end = 0
    try:
        if _DIGEST in texts or "__metadata__" in arrays:
            raise ValueError(f"the names {_DIGEST!r} and '__metadata__' are reserved; choose another")
        _check_words(*arrays, *texts, *texts.values())
        for name, array in arrays.items():
            code, data = _as_bytes(name, array)
            entries[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [end, end + len(data)]}
            end += len(data)
            parts.append(data)
        start = _start(entries)
        _check_sizes(len(start) - 8, len(start) + end)
        _check_counts(start[8:].decode(), len(start) + end)
    except ValueError as error:
        raise CheckpointError(f"{path}: cannot be written: {error}") from error
    digest = hashlib.sha256(start)
    for part in parts:
        digest.update(part)
    entries["__metadata__"][_DIGEST] = digest.hexdigest()
    return [_start(entries), *parts]


def _as_bytes(name: str, array: Array) -> tuple[str, bytes]:
    """Return the format's code for the dtype of `array`, and its entries row by row, little-endian."""
    if not isinstance(array, np.ndarray | np.generic) or isinstance(array, np.ma.MaskedArray):
        raise ValueError(f"{name!r}: expected a NumPy array, got {type(array).__name__}")
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _CODES:
        known = ", ".join(known.name for known in _CODES)
        raise ValueError(f"{name!r}: expected a dtype among {known}, got {array.dtype}; convert the array")
    return _CODES[dtype], array.astype(dtype, copy=False).tobytes()


def _start(entries: dict[str, Any]) -> bytes:
    """Return the header after its length, padded so that the arrays begin at a multiple of 8."""
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def read_tensors(path: PathLike, *, require_digest: bool = True) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and texts of the file `path`, after checking that it is complete and unchanged.

    The arrays are new, writable and in the machine's byte order; bfloat16 becomes float32. Reading takes at most eight
    megabytes plus ten times the size of the file. A file may have at most 4 GiB, with 16 MiB of names and texts; more
    than 4096 arrays are allowed only if the file has 128 bytes for each.

    Parameters
    ----------
    path : str or PathLike
        The file's name.
    require_digest : bool
        Whether to refuse a file without a digest, as other tools write it. Without a digest, only non-finite numbers
        reveal damaged arrays.

    Raises
    ------
    InputError
        If `path` is not a valid file name.
    CheckpointError
        If the file is missing, not a regular file (a pipe, a device), not in this format, or its digest is wrong.
    """
    as_path("path", path)
    try:
        with reading(path, CheckpointError) as file:
            return _read(file, os.fstat(file.fileno()).st_size, require_digest)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected a complete, unchanged safetensors file; {error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: cannot be read: not enough free memory for its arrays") from error


def _read(file: BufferedReader, size: int, require_digest: bool) -> tuple[dict[str, Array], dict[str, str]]:
    """Read an open file of `size` bytes; a ValueError describes what is wrong with it."""
    start = file.read(512)
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{":
        raise ValueError(f"it is {kind_of(start)}")
    _check_sizes(length, size)
    if 8 + length > size:
        raise ValueError(f"it is incomplete or damaged: it has {size} bytes, its header alone needs {8 + length}")
    file.seek(0)
    start = file.read(8 + length)
    layout, texts = _parsed(str(start[8:], "utf-8"), size - len(start))
    digest = texts.pop(_DIGEST, None)
    if require_digest and digest is None:
        raise ValueError(f"it has no digest {_DIGEST!r} to detect damage: minidl did not write it")
    total = hashlib.sha256(start.replace(digest.encode(), _ZEROS.encode(), 1) if digest else start)
    arrays = {}
    for name, (code, shape) in layout.items():
        array: Array = np.empty(math.prod(shape), _DTYPES[code])
        raw = array.view(np.uint8)
        if file.readinto(raw.data) != len(raw):
            raise ValueError("it became shorter while it was read")
        total.update(raw.data)
        if code == "BOOL" and raw.max(initial=0) > 1:
            raise ValueError(f"{name!r:.60}: expected bytes 0 and 1, got {raw.max()}")
        if code == _BFLOAT16:
            array = (array.astype(np.uint32) << 16).view(np.float32)
        if digest is None and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name!r:.60}: expected finite numbers, got NaN or infinity")
        arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False).reshape(shape)
    if digest is not None and total.hexdigest() != digest:
        raise ValueError("its content does not match its digest: it is damaged or altered; get it again")
    return arrays, texts


def _parsed(header: str, data: int) -> tuple[dict[str, tuple[str, list[int]]], dict[str, str]]:
    """Return dtype and shape of each array, in their order in the `data` bytes, and the texts."""
    _check_counts(header, len(header) + data)
    entries = json.loads(header, object_pairs_hook=_without_repeats)
    texts = entries.pop("__metadata__", None) or {}
    if not isinstance(texts, dict):
        raise ValueError(f"'__metadata__': expected texts by name, got {reprlib.repr(texts)}")
    _check_words(*entries, *texts, *texts.values())
    places = []
    for name, entry in entries.items():
        match entry:
            case {"dtype": str(code), "shape": list(shape), "data_offsets": [first, last]} if (
                code in _DTYPES
                and len(shape) <= _MOST_AXES
                and all(type(n) is int and 0 <= n <= _LARGEST_FILE for n in (*shape, first, last))
                and last - first == math.prod(shape) * _DTYPES[code].itemsize
            ):
                places.append((first, last, name, code, shape))
            case _:
                wanted = f"dtype {', '.join(_DTYPES)}, at most {_MOST_AXES} axes, fitting data_offsets"
                raise ValueError(f"{name!r:.60}: expected {wanted}, got {reprlib.repr(entry)}{_DAMAGED}")
    layout, end = {}, 0
    for first, last, name, code, shape in sorted(places, key=operator.itemgetter(0, 1)):
        if first != end:
            raise ValueError(f"{name!r:.60}: expected data_offsets that start at {end}, got {first}{_DAMAGED}")
        layout[name] = code, shape
        end = last
    if end != data:
        raise ValueError(f"it is incomplete or damaged: its header lists {end} bytes of arrays, it has {data}")
    return layout, texts


def _check_sizes(header: int, size: int) -> None:
    if header > _LARGEST_HEADER or size > _LARGEST_FILE:
        most = f"{_LARGEST_HEADER} bytes of names and texts in a file of {_LARGEST_FILE}"
        raise ValueError(f"expected at most {most}, got {header} in {size}")


def _check_counts(header: str, size: int) -> None:
    """Refuse a header whose parsed objects would need too much memory: in JSON, two bytes make a list.

    An array's entry has 11 of the counted characters, and one more for each further axis.
    """
    bare = _STRING.sub("", header)
    if sum(map(bare.count, "{[:,")) > 16 * max(_MANY_NAMES, size // _BYTES_PER_NAME):
        raise ValueError(f"its header has too many names or numbers for a file of {size} bytes")
    if re.search("[0-9]{20}", bare):
        raise ValueError("its header has a number of 20 digits or more")


def _check_words(*words: object) -> None:
    """Refuse values that are not strings, and surrogates, which JSON can write but UTF-8 cannot."""
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"names and texts must be strings, got {word!r:.60}")
        word.encode()


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("its header has the same name twice")
    return table
