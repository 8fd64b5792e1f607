"""Cases of layers that shape and join: ``(layer, x)`` for `check_layer`."""

import math
from typing import Any

from hypothesis import strategies as st

from cases.layers import SEEDS, sequentials
from minidl.nn.layers import Dense, Flatten, LeakyReLU, Parallel, Reshape, Residual
from minidl.testing.arrays import DTYPES, SIDES, Shape, shapes
from minidl.testing.source import Written, write_call
from minidl.testing.strategies import Layers


def _flatten(row: Shape) -> st.SearchStrategy[Written]:
    return st.builds(write_call, st.just(Flatten))


@st.composite
def _reshape(draw: st.DrawFn, row: Shape) -> Written:
    sides, entries = [], math.prod(row)
    for _ in range(draw(st.integers(0, 2))):
        sides.append(draw(st.sampled_from([side for side in range(1, entries + 1) if entries % side == 0])))
        entries //= sides[-1]
    sides.insert(draw(st.integers(0, len(sides))), draw(st.sampled_from([-1, entries])))
    return write_call(Reshape, tuple(sides))


@st.composite
def _residual(draw: st.DrawFn, features: int) -> Written:
    dtype = draw(DTYPES)
    body = draw(sequentials(features, dtype))
    outputs = body.value.output_shape((features,))[0]
    if outputs == features and draw(st.booleans()):
        return write_call(Residual, body)
    shortcut = write_call(Dense, features, outputs, bias=draw(st.booleans()), rng=draw(SEEDS), dtype=dtype)
    return write_call(Residual, body, shortcut)


@st.composite
def _parallel(draw: st.DrawFn, features: int) -> Written:
    dtype = draw(DTYPES)
    kinds = (sequentials(features, dtype), st.builds(write_call, st.sampled_from([LeakyReLU, Flatten])))
    return write_call(Parallel, *draw(st.lists(st.one_of(*kinds), min_size=1, max_size=3)))


LAYERS: dict[type, tuple[Layers, st.SearchStrategy[Any]]] = {
    Flatten: (_flatten, shapes(1, 3)),
    Reshape: (_reshape, shapes(1, 3)),
    Residual: (_residual, SIDES),
    Parallel: (_parallel, SIDES),
}
"""For each class how to draw it, and the features (or shape) of a row of x."""
