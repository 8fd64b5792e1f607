"""Cases of layers of your own.

A *case* is what its check takes: ``check_layer(*case)``. A failing case prints the line that checks it again.
"""

import ast
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from hypothesis import given, note
from hypothesis import strategies as st

from minidl._core.types import Array
from minidl.nn.layers import Layer
from minidl.testing.arrays import SIDES, Values, batches, off_kinks


def layer_cases(
    make: Callable[[Any], Layer], *, features: st.SearchStrategy[Any] = SIDES, values: Values = off_kinks
) -> st.SearchStrategy[tuple[Layer, Array]]:
    """Draw cases ``(layer, x)`` of a layer of your own.

    Parameters
    ----------
    make : callable
        Takes the number of features (or the shape) of one row of x, and returns the layer.
    features : strategy of int or tuple of int
        What `make` is called with; 1 to 4 unless given.
    values : function of a shape
        Draws the entries of x; see the module.
    """

    def case(row: Any, x: Array) -> tuple[Layer, Array]:
        note(f"check_layer({call_source(make, [repr(row)])}, {array_source(x)}, seed=0)")
        return make(row), x

    return features.flatmap(lambda row: batches(row, values=values).map(partial(case, row)))


def given_layer_cases(
    make: Callable[[Any], Layer], *, features: st.SearchStrategy[Any] = SIDES, values: Values = off_kinks
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test that takes a layer and an x; see `layer_cases` for the arguments.

    Examples
    --------
    >>> from minidl import Dense
    >>> @given_layer_cases(lambda features: Dense(features, 2))
    ... def test_dense(layer, x):
    ...     assert layer.forward(x).shape == (len(x), 2)
    >>> test_dense()
    """
    case = st.shared(layer_cases(make, features=features, values=values))
    return given(*(case.map(itemgetter(part)) for part in (0, 1)))


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
