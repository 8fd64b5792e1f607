"""Cases of layers: ``(layer, x)`` for `check_layer`."""

import math
from functools import partial

from hypothesis import strategies as st
from small_parts import ForeignScale

import minidl as dl
from minidl.testing import batches, shapes
from minidl.testing.arrays import DTYPES, SIDES, other_than

SEEDS = st.integers(0, 2**16)
ROWS = shapes(1, 3)
# Plain rows, sequences and images.
FEATURES_LAST = st.one_of([st.tuples(*[st.integers(1, 3)] * sides, st.integers(1, 4)) for sides in range(3)])
# A softmax of one class has no gradient.
SCORES = shapes(1, 2).map(lambda row: (*row[:-1], row[-1] + 1))
IMAGES = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3))
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
EPSILONS = st.sampled_from([1e-5, 1e-3, 0.5])


@st.composite
def layer_and_batch(draw, layers, rows, values, least=1):
    row = draw(rows)
    layer = draw(layers(row))
    n = draw(st.integers(least, 5)) if least > 1 else None
    return layer, draw(batches(row, rows=n, values=values))


@st.composite
def dense(draw, features, dtype=None, outputs_from=1):
    outputs, bias, seed = draw(other_than(features, outputs_from)), draw(st.booleans()), draw(SEEDS)
    return dl.Dense(features, outputs, bias=bias, rng=seed, dtype=dtype or draw(DTYPES))


@st.composite
def sequentials(draw, features, dtype=None, outputs_from=1):
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        layers += [dl.ReLU()] if layers else []
        layers.append(draw(dense(features, dtype, outputs_from)))
        features = layers[-1].out_features
    return dl.Sequential(*layers)


@st.composite
def reshapes(draw, row):
    sides, entries = [], math.prod(row)
    for _ in range(draw(st.integers(0, 2))):
        sides.append(draw(st.sampled_from([side for side in range(1, entries + 1) if entries % side == 0])))
        entries //= sides[-1]
    sides.insert(draw(st.integers(0, len(sides))), draw(st.sampled_from([-1, entries])))
    return dl.Reshape(tuple(sides))


@st.composite
def residuals(draw, features):
    dtype = draw(DTYPES)
    body = draw(sequentials(features, dtype))
    outputs = body.output_shape((features,))[0]
    if outputs == features and draw(st.booleans()):
        return dl.Residual(body)
    shortcut = dl.Dense(features, outputs, bias=draw(st.booleans()), rng=draw(SEEDS), dtype=dtype)
    return dl.Residual(body, shortcut)


@st.composite
def parallels(draw, features):
    branches = sequentials(features, draw(DTYPES)) | st.builds(dl.LeakyReLU) | st.builds(dl.Flatten)
    return dl.Parallel(*draw(st.lists(branches, min_size=1, max_size=3)))


@st.composite
def convolutions(draw, image):
    *sides, channels = image
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    dilation, same = draw(st.tuples(*[st.integers(1, 2)] * 2)), draw(st.booleans())
    borders = draw(st.tuples(*[st.integers(0, 2)] * 2))
    largest = [3 if same else min(3, (sides[i] + 2 * borders[i] - 1) // dilation[i] + 1) for i in range(2)]
    kernel = tuple(draw(st.integers(1, most)) for most in largest)
    return dl.Conv2D(
        *(channels, groups * draw(st.integers(1, 2)), kernel),
        stride=draw(PAIRS),
        padding="same" if same else borders,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        rng=draw(SEEDS),
        dtype=draw(DTYPES),
    )


@st.composite
def pools(draw, image, cls):
    size = tuple(draw(st.integers(1, min(3, side))) for side in image[:2])
    padding = tuple(draw(st.integers(0, side - 1)) for side in size)
    return cls(size, stride=draw(st.none() | PAIRS), padding=padding)


def norms(cls, **options):
    return lambda row: st.builds(cls, st.just(row[-1]), epsilon=EPSILONS, dtype=DTYPES, **options)


def always(cls, *arguments, **options):
    return lambda row: st.builds(cls, *arguments, **options)


# For each class how to draw it for a row of x, and the rows (or their number of features).
LAYERS = {
    dl.Dense: (dense, SIDES),
    dl.Sequential: (sequentials, SIDES),
    dl.Residual: (residuals, SIDES),
    dl.Parallel: (parallels, SIDES),
    dl.ForeignLayer: (
        lambda row: st.builds(dl.ForeignLayer, st.builds(ForeignScale, st.just(row)), st.just({"gain": "d_gain"})),
        SIDES,
    ),
    dl.ReLU: (always(dl.ReLU), SIDES),
    dl.LeakyReLU: (always(dl.LeakyReLU, st.sampled_from([0.25, 0.01, -0.5, 0.0, 2.0])), ROWS),
    dl.ELU: (always(dl.ELU, st.sampled_from([1.0, 0.5, 0.25, 2.0])), ROWS),
    dl.GELU: (always(dl.GELU, st.sampled_from(["none", "tanh"])), ROWS),
    **{cls: (always(cls), ROWS) for cls in (dl.Sigmoid, dl.Tanh, dl.Softplus, dl.SiLU, dl.Flatten)},
    **{cls: (always(cls), SCORES) for cls in (dl.Softmax, dl.LogSoftmax)},
    dl.Reshape: (reshapes, ROWS),
    dl.Conv2D: (convolutions, IMAGES),
    **{cls: (partial(pools, cls=cls), IMAGES) for cls in (dl.MaxPool2D, dl.AvgPool2D)},
    dl.GlobalAvgPool2D: (always(dl.GlobalAvgPool2D), IMAGES),
    dl.Dropout: (always(dl.Dropout, st.sampled_from([0.5, 0.25, 0.0]), rng=SEEDS), FEATURES_LAST),
    dl.LayerNorm: (norms(dl.LayerNorm), FEATURES_LAST),
    # In one row, not every feature varies.
    dl.BatchNorm: (norms(dl.BatchNorm, momentum=st.sampled_from([0.9, 0.5, 0.0])), FEATURES_LAST, 2),
}
