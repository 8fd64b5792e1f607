"""Cases of convolution and pooling: layers whose windows fit small images."""

from typing import Any

from hypothesis import strategies as st

from cases.layers import SEEDS
from minidl.nn.layers import AvgPool2D, Conv2D, GlobalAvgPool2D, MaxPool2D
from minidl.testing.arrays import DTYPES, Shape
from minidl.testing.source import Written, write_call
from minidl.testing.strategies import Layers

_IMAGES: st.SearchStrategy[Shape] = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3))
_STEPS = st.tuples(st.integers(1, 3), st.integers(1, 3))
_GAPS = st.tuples(st.integers(1, 2), st.integers(1, 2))
_BORDERS = st.tuples(st.integers(0, 2), st.integers(0, 2))


@st.composite
def _conv2d(draw: st.DrawFn, image: Shape) -> Written:
    height, width, channels = image
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    (dh, dw), same, (top, left) = draw(_GAPS), draw(st.booleans()), draw(_BORDERS)
    kernel = (
        draw(st.integers(1, 3 if same else min(3, (height + 2 * top - 1) // dh + 1))),
        draw(st.integers(1, 3 if same else min(3, (width + 2 * left - 1) // dw + 1))),
    )
    return write_call(
        *(Conv2D, channels, groups * draw(st.integers(1, 2)), kernel),
        stride=draw(_STEPS),
        padding="same" if same else (top, left),
        dilation=(dh, dw),
        groups=groups,
        bias=draw(st.booleans()),
        rng=draw(SEEDS),
        dtype=draw(DTYPES),
    )


@st.composite
def _pool(draw: st.DrawFn, image: Shape, cls: type) -> Written:
    rows, columns = (draw(st.integers(1, min(3, size))) for size in image[:2])
    padding = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
    stride = draw(st.one_of(st.none(), _STEPS))
    return write_call(cls, (rows, columns), stride=stride, padding=padding)


LAYERS: dict[type, tuple[Layers, st.SearchStrategy[Any]]] = {
    Conv2D: (_conv2d, _IMAGES),
    MaxPool2D: (lambda image: _pool(image, MaxPool2D), _IMAGES),
    AvgPool2D: (lambda image: _pool(image, AvgPool2D), _IMAGES),
    GlobalAvgPool2D: (lambda image: st.builds(write_call, st.just(GlobalAvgPool2D)), _IMAGES),
}
