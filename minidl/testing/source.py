"""Values together with the Python that makes them again, so that a failing case prints as one line to run."""

import ast
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minidl._core.types import Array


class Written(NamedTuple):
    """A value and the Python expression for it."""

    value: Any
    source: str


def write_call(make: Callable[..., Any], *arguments: Any, **keywords: Any) -> Written:
    """Return ``make(*arguments, **keywords)`` with its source; an argument that is `Written` goes in by its value."""
    values = [_value(argument) for argument in arguments]
    named = {name: _value(argument) for name, argument in keywords.items()}
    sources = [source(argument) for argument in arguments]
    sources += [f"{name}={source(argument)}" for name, argument in keywords.items()]
    return Written(make(*values, **named), _call_source(make, sources))


def source(value: Any) -> str:
    """Return Python for `value`: its own for a `Written`, an expression with the same memory layout for an array."""
    if isinstance(value, Written):
        return value.source
    return array_source(value) if isinstance(value, np.ndarray) else repr(value)


def array_source(array: Array) -> str:
    """Return a NumPy expression for `array`: same values, dtype, memory order and writability.

    Examples
    --------
    >>> print(array_source(np.array([[0.5], [1.5]], dtype=np.float32)))
    np.array([[0.5], [1.5]], dtype=np.float32)
    """
    dtype = "" if array.dtype in (np.float64, np.int64) else f", dtype=np.{array.dtype}"
    text = f"np.array({array.tolist()}{dtype})"
    if not array.flags.writeable:
        return f"np.broadcast_to({text}, {array.shape})"
    if array.flags.c_contiguous:
        return text
    if array.flags.f_contiguous:
        return f"np.asfortranarray({text})"
    return f"np.repeat({text}, 2, axis=0)[::2]"


def _value(argument: Any) -> Any:
    return argument.value if isinstance(argument, Written) else argument


def _call_source(make: Callable[..., Any], sources: list[str]) -> str:
    name = getattr(make, "__name__", "make")
    if name != "<lambda>":
        return f"{name}({', '.join(sources)})"
    function = _lambda_tree(make)
    if function is None:
        return f"make({', '.join(sources)})"
    places = dict(zip([argument.arg for argument in function.args.args], sources, strict=False))
    for node in ast.walk(function.body):
        if isinstance(node, ast.Name) and node.id in places:
            node.id = places[node.id]  # a "name" such as 3: it is only to be printed
    return ast.unparse(function.body)


def _lambda_tree(make: Callable[..., Any]) -> ast.Lambda | None:
    """Return the syntax tree of a lambda, or None where its source is not to be had."""
    try:
        text = inspect.getsource(make)
    except (OSError, TypeError):
        return None
    text = " ".join(text[text.find("lambda") :].split())
    for end in range(len(text), 0, -1):  # the source is whole lines: what follows the lambda must be cut off
        try:
            tree = ast.parse(text[:end], mode="eval").body
        except SyntaxError:
            continue
        if isinstance(tree, ast.Lambda):
            return tree
    return None
