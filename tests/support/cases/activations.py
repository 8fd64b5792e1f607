"""Cases of activations: ``(layer, x)`` for `check_layer`."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from minidl.nn.layers import ELU, GELU, LeakyReLU, LogSoftmax, Sigmoid, SiLU, Softmax, Softplus, Tanh
from minidl.testing.arrays import Shape, shapes
from minidl.testing.source import Written, write_call
from minidl.testing.strategies import Layers

_ROWS = shapes(1, 3)
_SCORES = shapes(1, 2).map(lambda row: (*row[:-1], row[-1] + 1))  # a softmax of one class has no gradient
_SLOPES = st.sampled_from([0.25, 0.01, -0.5, 0.0, 2.0])


def _of(cls: type, *arguments: st.SearchStrategy[Any]) -> Callable[[Shape], st.SearchStrategy[Written]]:
    return lambda row: st.builds(write_call, st.just(cls), *arguments)


LAYERS: dict[type, tuple[Layers, st.SearchStrategy[Any]]] = {
    LeakyReLU: (_of(LeakyReLU, _SLOPES), _ROWS),
    ELU: (_of(ELU, st.sampled_from([1.0, 0.5, 0.25, 2.0])), _ROWS),
    GELU: (_of(GELU, st.sampled_from(["none", "tanh"])), _ROWS),
    **{cls: (_of(cls), _ROWS) for cls in (Sigmoid, Tanh, Softplus, SiLU)},
    **{cls: (_of(cls), _SCORES) for cls in (Softmax, LogSoftmax)},
}
"""For each class how to draw it, and the shape of a row of x."""
