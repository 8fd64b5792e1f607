"""Checks of arguments: convert a value to an array, a number or a path, or raise an error that explains the mistake."""

import copy
import inspect
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.errors import InputError, NonFiniteError, ShapeError
from minidl._core.reprs import oneline_repr
from minidl._core.spelling import nearest
from minidl._core.types import Array

T = TypeVar("T")


def as_array(name: str, value: Any) -> Array:
    """Return `value` as a plain array of real numbers (bool, integer or floating); an array is not copied.

    Parameters
    ----------
    name : str
        The argument's name in the error message.
    value : array_like
        An array, or nested lists or tuples of numbers.

    Raises
    ------
    InputError
        For text, objects, None, ragged lists, complex numbers, dates, masked arrays.
    """
    array: Array = value
    # A fast path for plain arrays, since every step checks its batch.
    if type(value) is not np.ndarray:
        check_unmasked(name, value)
        if not isinstance(value, np.ndarray | np.generic | list | tuple | int | float):
            # pandas has to_numpy; PyTorch and TensorFlow have numpy.
            methods = [method for method in ("to_numpy", "numpy") if hasattr(value, method)]
            hint = f"; convert it with .{methods[0]}()" if methods else ""
            raise InputError(f"{name}: expected an array of numbers, got {type(value).__name__}{hint}")
        try:
            array = np.asarray(value)
        except ValueError:
            raise InputError(f"{name}: expected rows of equal length, got unequal ones; pad the short rows") from None
    if array.dtype.kind not in "biuf":
        texts = array.dtype.kind == "U" and array.ndim == 1
        hint = f"; for class labels, pass np.unique({name}, return_inverse=True)[1]" if texts else ""
        raise InputError(f"{name}: expected real numbers, got an array of dtype {array.dtype}{hint}")
    return array


def check_unmasked(name: str, value: Any) -> None:
    """Refuse a masked array, also inside lists, since NumPy code would use the values behind its mask."""
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{name}: expected a plain array, got a masked one; fill or drop the masked entries first")
    if isinstance(value, list | tuple):
        for item in value:
            if not isinstance(item, float | int):
                check_unmasked(name, item)


def check_finite(name: str, array: Array) -> None:
    """Refuse NaN and infinity in `array`; the error gives their number and the index of the first."""
    if array.dtype.kind != "f" or array.size == 0:
        return
    # A sum propagates NaN and infinity, needs no large temporary, and reads the data once. A sum of finite numbers can
    # overflow, so the entries decide.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(array.sum()):
            return
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), array.shape))
    got = f"{bad.sum()} not finite, first at index {first}: {array[first]}"
    raise NonFiniteError(f"{name}: expected finite numbers, got {got}")


def as_dtype(name: str, array: Array, dtype: DTypeLike, first_row: int = 0) -> Array:
    """Return `array` in the floating-point `dtype`, copied only if it has another; refuse numbers too large for it.

    `first_row` is the number of the first row in the error message.
    """
    if array.dtype == dtype:
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        with np.errstate(over="ignore"):
            raise too_large(name, array, array.astype(dtype), first_row) from None


def too_large(name: str, array: Array, result: Array, first_row: int, then: str = "") -> InputError:
    """Return an error that names the first number in `array` that is infinite in `result`, and its place."""
    first = int((np.isinf(result) & np.isfinite(array)).argmax())
    row, *place = map(int, np.unravel_index(first, np.atleast_1d(array).shape))
    column = f", column {', '.join(map(str, place))}" if place else ""
    largest = np.finfo(result.dtype)
    wanted = f"numbers that {largest.dtype} can hold{then}, at most {largest.max:.2g} in size"
    got = f"{array.flat[first]:.4g} in row {row + first_row}{column}"
    return InputError(f"{name}: expected {wanted}, got {got}; remove or correct such rows, or use float64")


def check_holds(name: str, array: Array, dtype: DTypeLike) -> None:
    """Refuse finite numbers in `array` that `dtype` cannot hold; the error names row and column of the first."""
    if array.dtype.kind == "f" and not np.can_cast(array.dtype, dtype):
        # In blocks, because memory may not have room for a second copy.
        rows = np.atleast_1d(array)
        for row in range(0, len(rows), 1000):
            as_dtype(name, rows[row : row + 1000], dtype, row)


def as_number(name: str, value: Any, minimum: float = -math.inf, *, above: bool = False, instead: str = "") -> float:
    """Return `value` as a finite float that is at least `minimum` (with `above`: greater than it).

    `instead` names, for the error message, another kind of value that the caller accepts.
    """
    wanted = "a finite number" if minimum == -math.inf else f"a finite number {'>' if above else '>='} {minimum:g}"
    wanted += f" or {instead}" if instead else ""
    number = float(value) if is_number(value) else math.nan
    if not math.isfinite(number) or number < minimum or (above and number == minimum):
        raise InputError(f"{name}: expected {wanted}, got {value!r:.80}")
    return number


def as_fraction(name: str, value: Any, *, or_one: bool = False) -> float:
    """Return `value` as a float that is at least 0 and below 1, or 1 itself with `or_one`."""
    if not is_number(value) or not (0.0 <= value < 1.0 or (or_one and value == 1)):
        raise InputError(f"{name}: expected a number in [0, 1{']' if or_one else ')'}, got {value!r:.80}")
    return float(value)


def is_number(value: Any) -> bool:
    """Return whether `value` is an integer or a float of Python or NumPy; booleans do not count."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def as_count(name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int that is at least `minimum`; True and 2.0 are refused."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise InputError(f"{name}: expected an integer >= {minimum}, got {value!r:.80}")
    return int(value)


def as_pair(name: str, value: Any, minimum: int = 1) -> tuple[int, int]:
    """Return `value`, an integer or a pair (height, width), as a pair of ints >= `minimum`."""
    sides = value if isinstance(value, tuple | list) else (value, value)
    if len(sides) != 2:
        raise InputError(f"{name}: expected an integer or a pair (height, width), got {value!r:.80}")
    return as_count(name, sides[0], minimum), as_count(name, sides[1], minimum)


def check_outputs(outputs: Any, *, classes: bool = False, finite: bool = True) -> None:
    """Refuse outputs that are not a batch of (finite) floating-point numbers; with `classes`, require a 2-D table."""
    name, wanted = ("logits", "(n, classes), both >= 1") if classes else ("outputs", "(n, ...), all sizes >= 1")
    if type(outputs) is not np.ndarray:
        check_unmasked(name, outputs)
    array = isinstance(outputs, np.ndarray)
    rows = array and outputs.dtype.kind == "f" and outputs.ndim > 0 and outputs.size > 0
    if not rows or (classes and outputs.ndim != 2):
        got = f"{outputs.dtype} {outputs.shape}" if array else type(outputs).__name__
        raise ShapeError(f"{name}: expected a floating-point array of shape {wanted}, got {got}")
    if finite:
        check_finite(name, outputs)


def as_labels(where: object, name: str, value: Any, rows: int, classes: int) -> Array:
    """Return `value` as an array of class labels in 0 .. classes - 1, shape (rows,); errors start with `where`."""
    labels = as_array(name, value)
    if labels.shape != (rows,):
        hint = f"; if rows are one-hot, pass {name}.argmax(axis=1)" if labels.shape == (rows, classes) else ""
        hint = f"; flatten it: {name}.ravel()" if labels.shape == (rows, 1) else hint
        raise ShapeError(f"{where}: expected {name} of shape {(rows,)}, got {labels.shape}{hint}")
    if labels.dtype.kind not in "iu":
        raise not_integers(where, name, labels)
    # NumPy would use -1 as the last class; viewed as unsigned, a negative label is larger than all others.
    if rows and labels.view(labels.dtype.str.replace("i", "u")).max() >= classes:
        row = int(np.argmax((labels < 0) | (labels >= classes)))
        hint = ""
        if labels.min() == 1 and labels.max() == classes:
            hint = f"; class labels count from 0: subtract 1 from {name}"
        elif set(labels.tolist()) == {-1, 1}:
            hint = f"; turn -1 and 1 into classes 0 and 1: ({name} + 1) // 2"
        elif labels[row] >= classes:
            hint = f"; {classes} outputs mean {classes} classes"
        raise InputError(f"{where}: {name}: expected labels in 0..{classes - 1}, got {labels[row]} in row {row}{hint}")
    return labels


def not_integers(where: object, name: str, labels: Array) -> InputError:
    """Return an error about class labels that are floats or booleans."""
    whole = labels.dtype.kind == "b" or bool((labels == np.trunc(labels)).all())
    hint = f"; convert them: {name}.astype(int)" if whole else ""
    return InputError(f"{where}: expected integer class labels as {name}, got dtype {labels.dtype}{hint}")


def as_path(name: str, value: Any) -> Path:
    """Return `value`, a str or PathLike that names a file or folder, as an absolute path."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    try:
        # A surrogate in a file name is valid only where Python uses it for a byte that it cannot decode.
        named = isinstance(text, str) and text and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        named = False
    if not named:
        raise InputError(f"{name}: expected the name of a file or folder (str or PathLike), got {value!r:.80}")
    return Path(text).absolute()


def check_type(where: str, name: str, value: Any, kind: type, hint: str = "") -> None:
    """Refuse a `value` that is not an instance of `kind`; `hint` is the advice if the value suggests no better one."""
    if isinstance(value, kind):
        return
    ours = kind.__module__.startswith("minidl.")
    if ours and isinstance(value, type) and issubclass(value, kind):
        hint = f"write {_call(value)}"
    elif ours and isinstance(value, str) and (likely := _named_like(value, kind)):
        hint = f"pass an object, not its name: {likely}"
    elif kind is Sequence and not isinstance(value, str):
        hint = "write a list, [...]"
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    advice = f"; {hint}" if hint else ""
    raise InputError(f"{where}: expected {name} to be {article} {kind.__name__}, got {_shown(value)}{advice}")


def _call(cls: type) -> str:
    """Return the code that makes an object of `cls`."""
    needed = any(p.default is p.empty for p in inspect.signature(cls).parameters.values())
    return f"{cls.__name__}({'...' if needed else ''})"


def _named_like(text: str, kind: type) -> str:
    """Return the code that makes objects of the subclasses of `kind` whose names are nearest to `text`, or ""."""
    kinds = [kind]
    for cls in kinds:
        kinds += cls.__subclasses__()
    known = {cls.__name__: cls for cls in kinds if not inspect.isabstract(cls)}
    names = nearest(text.replace("_", ""), (name for name in known if not name.startswith("_")))
    return " or ".join(_call(known[name]) for name in names)


def _shown(value: Any) -> str:
    """Return `value` as one short line; for an array, its type and shape."""
    if isinstance(value, np.ndarray):
        return f"{type(value).__name__} of shape {value.shape}"
    if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) for item in value):
        return f"{type(value).__name__} of {', '.join(map(_shown, value)):.80}"
    return f"{oneline_repr(value):.80}"


def copied(where: str, original: T) -> T:
    """Return a deep copy of `original` for trial runs; refuse an object that cannot be copied."""
    try:
        return copy.deepcopy(original)
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: expected an object that copy.deepcopy can copy; got {got}") from error


def check_returned(method: str, value: Any, shape: tuple[int, ...] | None = None, *, of: object = None) -> Array:
    """Return the value that a user's method returned, if it is an array (of `shape`).

    The error names `method`, and the object that it is a method `of`. That object's repr takes longer than the check,
    so it is computed only for an error.
    """
    if type(value) is np.ndarray and (shape is None or value.shape == shape):
        return value
    where = f"{method if of is None else f'{of!r:.80}.{method}'}: expected it to return an array"
    if not isinstance(value, np.ndarray):
        raise InputError(f"{where}, got {type(value).__name__}; does the method have a return statement?")
    check_unmasked(f"{method}: returned value", value)
    if shape not in (None, value.shape):
        raise ShapeError(f"{where} of shape {shape}, got {value.shape}")
    return value


def returned_float(method: str, value: Any, *, of: object) -> float:
    """Return the value that a method of a user's object returned, if it is a number."""
    if not is_number(value):
        raise InputError(f"{of!r:.80}.{method}: expected it to return a float, got {type(value).__name__}")
    return float(value)


def as_float_dtype(dtype: DTypeLike, or_integer: bool = False) -> np.dtype[Any]:
    """Return `dtype` as a floating-point (or integer) dtype in this machine's byte order, or refuse it."""
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = np.dtype(object)
    if dtype is None or result.kind not in ("fiu" if or_integer else "f"):
        wanted = f"a floating-point {'or integer ' if or_integer else ''}dtype such as numpy.float32"
        raise InputError(f"dtype: expected {wanted}, got {dtype!r:.80}")
    return result.newbyteorder("=")
