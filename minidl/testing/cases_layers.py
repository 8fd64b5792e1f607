"""Cases of layers: ``(layer, x)`` for `check_layer`.

A failing case prints the line that checks it again.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import note
from hypothesis import strategies as st

from minidl._core.types import Array
from minidl.gradcheck import ForeignLayer
from minidl.nn.layers import Dense, Layer, ReLU, Sequential
from minidl.testing.arrays import DTYPES, SIDES, Shape, Values, batches, other_than
from minidl.testing.source import Written, source, write_call

SEEDS = st.integers(0, 2**16)

Layers = Callable[[Any], st.SearchStrategy[Written]]
"""Takes the number of features (or the shape) of one row of x, and draws layers that take such rows."""


@st.composite
def layers_with_batches(
    draw: st.DrawFn,
    layers: Layers,
    features: st.SearchStrategy[int | Shape],
    values: Values,
) -> tuple[Layer, Array]:
    row = draw(features)
    layer = draw(layers(row))
    x = draw(batches(row, values=values))
    note(f"check_layer({layer.source}, {source(x)}, seed=0)")
    return layer.value, x


@st.composite
def _dense(draw: st.DrawFn, features: int, dtype: str | None = None, outputs_from: int = 1) -> Written:
    outputs, bias, seed = draw(other_than(features, outputs_from)), draw(st.booleans()), draw(SEEDS)
    return write_call(Dense, features, outputs, bias=bias, rng=seed, dtype=dtype or draw(DTYPES))


def _relu(features: int) -> st.SearchStrategy[Written]:
    return st.builds(write_call, st.just(ReLU))


class ForeignScale:
    """``y = x * gain``, as a script without minidl writes it: a target for `ForeignLayer`."""

    def __init__(self, features: int) -> None:
        self.gain = np.arange(1.0, features + 1.0) / 4.0

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * self.gain

    def backward(self, dy: Array) -> Array:
        self.d_gain: Array = (dy * self.x).sum(axis=0)
        return dy * self.gain


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
