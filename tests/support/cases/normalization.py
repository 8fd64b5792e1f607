"""Cases of normalization layers and dropout."""

from collections.abc import Callable
from typing import Any

from hypothesis import note
from hypothesis import strategies as st

from cases.layers import SEEDS
from minidl._core.types import Array
from minidl.nn.layers import BatchNorm, Dropout, Layer, LayerNorm
from minidl.testing.arrays import DTYPES, Shape, Values, batches
from minidl.testing.source import Written, source, write_call
from minidl.testing.strategies import Layers

_EPSILONS = st.sampled_from([1e-5, 1e-3, 0.5])
_SIDES = st.integers(1, 3)
_ROWS: st.SearchStrategy[Shape] = st.one_of(
    st.tuples(st.integers(1, 4)), st.tuples(_SIDES, st.integers(1, 4)), st.tuples(_SIDES, _SIDES, st.integers(1, 3))
)
"""Plain rows, sequences and images."""


@st.composite
def _batch_norm(draw: st.DrawFn, row: Shape) -> Written:
    momentum = draw(st.sampled_from([0.9, 0.5, 0.0]))
    return write_call(BatchNorm, row[-1], momentum=momentum, epsilon=draw(_EPSILONS), dtype=draw(DTYPES))


@st.composite
def _layer_norm(draw: st.DrawFn, row: Shape) -> Written:
    return write_call(LayerNorm, row[-1], epsilon=draw(_EPSILONS), dtype=draw(DTYPES))


@st.composite
def _dropout(draw: st.DrawFn, row: Shape) -> Written:
    return write_call(Dropout, draw(st.sampled_from([0.5, 0.25, 0.0])), rng=draw(SEEDS))


@st.composite
def _batch_norm_cases(draw: st.DrawFn, values: Values) -> tuple[Layer, Array]:
    row = draw(_ROWS)
    layer = draw(_batch_norm(row))
    x = draw(batches(row, rows=draw(st.integers(2, 5)), values=values))  # in one row, not every feature varies
    note(f"check_layer({layer.source}, {source(x)}, seed=0)")
    return layer.value, x


LAYERS: dict[type, tuple[Layers, st.SearchStrategy[Any]]] = {
    Dropout: (_dropout, _ROWS),
    LayerNorm: (_layer_norm, _ROWS),
}
CASES: dict[type, Callable[[Values], st.SearchStrategy[Any]]] = {BatchNorm: _batch_norm_cases}
