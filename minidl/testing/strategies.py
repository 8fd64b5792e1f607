"""Cases of layers of your own.

A *case* is what its check takes: ``check_layer(*case)``. A failing case prints the line that checks it again.
"""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from minidl._core.types import Array
from minidl.nn.layers import Layer
from minidl.testing.arrays import SIDES, Values, batches, off_kinks
from minidl.testing.source import array_source, call_source


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
