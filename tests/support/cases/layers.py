"""Cases of layers: ``(layer, x)`` for `check_layer`.

A failing case prints the line that checks it again.
"""

from typing import Any

from hypothesis import strategies as st
from small_parts import ForeignScale

from minidl.gradcheck import ForeignLayer
from minidl.nn.layers import Dense, ReLU, Sequential
from minidl.testing.arrays import DTYPES, SIDES, other_than
from minidl.testing.source import Written, write_call
from minidl.testing.strategies import Layers

SEEDS = st.integers(0, 2**16)


@st.composite
def _dense(draw: st.DrawFn, features: int, dtype: str | None = None, outputs_from: int = 1) -> Written:
    outputs, bias, seed = draw(other_than(features, outputs_from)), draw(st.booleans()), draw(SEEDS)
    return write_call(Dense, features, outputs, bias=bias, rng=seed, dtype=dtype or draw(DTYPES))


def _relu(features: int) -> st.SearchStrategy[Written]:
    return st.builds(write_call, st.just(ReLU))


def _foreign(features: int) -> st.SearchStrategy[Written]:
    target = st.builds(write_call, st.just(ForeignScale), st.just(features))
    return st.builds(write_call, st.just(ForeignLayer), target, st.just({"gain": "d_gain"}))


@st.composite
def sequentials(draw: st.DrawFn, features: int, dtype: str | None = None, outputs_from: int = 1) -> Written:
    layers: list[Written] = []
    for _ in range(draw(st.integers(1, 3))):
        layers += [write_call(ReLU)] if layers else []
        layers.append(draw(_dense(features, dtype, outputs_from)))
        features = layers[-1].value.out_features
    return write_call(Sequential, *layers)


LAYERS: dict[type, tuple[Layers, st.SearchStrategy[Any]]] = {
    Dense: (_dense, SIDES),
    ReLU: (_relu, SIDES),
    Sequential: (sequentials, SIDES),
    ForeignLayer: (_foreign, SIDES),
}
"""For each class how to draw it, and the features (or shape) of a row of x."""
