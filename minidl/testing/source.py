"""The Python that makes a value again, so that a failing case prints as one line to run."""

import ast
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from minidl._core.types import Array


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
    return f"np.repeat({text}, 2, axis=-1)[..., ::2]"


def call_source(make: Callable[..., Any], arguments: list[str]) -> str:
    """Return Python for a call of `make`: of a lambda its body, with the arguments in it.

    Examples
    --------
    >>> print(call_source(np.zeros, ["3"]))
    zeros(3)
    """
    name = getattr(make, "__name__", "make")
    function = _lambda_tree(make) if name == "<lambda>" else None
    if function is None:
        return f"{name.replace('<lambda>', 'make')}({', '.join(arguments)})"
    places = dict(zip([argument.arg for argument in function.args.args], arguments, strict=False))
    for node in ast.walk(function.body):
        if isinstance(node, ast.Name) and node.id in places:
            # A "name" such as 3: it is only to be printed.
            node.id = places[node.id]
    return ast.unparse(function.body)


def _lambda_tree(make: Callable[..., Any]) -> ast.Lambda | None:
    """Return the syntax tree of a lambda, or None where its source is not available."""
    try:
        text = inspect.getsource(make)
    except (OSError, TypeError):
        return None
    text = " ".join(text[text.find("lambda") :].split())
    # The source is whole lines: what follows the lambda must be cut off.
    for end in range(len(text), 0, -1):
        with suppress(SyntaxError):
            tree = ast.parse(text[:end], mode="eval").body
            if isinstance(tree, ast.Lambda):
                return tree
    return None
