"""Hypothesis strategies: arrays worth testing with, and cases of every public class.

A *case* is what its check takes: ``check_layer(*case)``, ``check_loss(*case)``, ``check_regularizer(*case)``,
``check_model(*case)``. A failing case prints the line that checks it again. How entries are drawn is a parameter,
``values=``: `off_kinks` (the default), `ties`, `zeros` or `extremes`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import given, note
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import DTypeLike

from minidl.errors import InputError
from minidl.gradcheck import ForeignLayer
from minidl.initializers import Constant, He, Normal, Uniform, Xavier, Zeros
from minidl.layers import Dense, Layer, ReLU, Sequential
from minidl.losses import SoftmaxCrossEntropy
from minidl.model import Model
from minidl.optimizers import SGD
from minidl.regularizers import L1, L2, ElasticNet
from minidl.testing.source import Written, source, write_call
from minidl.types import Array

Shape = tuple[int, ...]
Values = Callable[[Shape], st.SearchStrategy[Array]]

_SIDES = st.integers(1, 4)
_DTYPES = st.sampled_from(["float64", "float32"])
_SEEDS = st.integers(0, 2**16)
_STRENGTHS = st.sampled_from([1.0, 0.5, 0.125, 3.0])  # 0 has no gradient to check


def shapes(min_dims: int = 1, max_dims: int = 3, *, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Draw small shapes, more often than not with pairwise distinct sides: in a square, a transposition goes unseen."""
    sides = st.integers(1, max_side)
    lists = [st.lists(sides, min_size=min_dims, max_size=max_dims, unique=unique) for unique in (False, True)]
    return st.one_of(*lists).map(tuple)


def off_kinks(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw distinct odd multiples of 1/32: no ties, no zeros, off the usual kinks; exact in binary.

    Both signs are there (in a single entry: plus), so that a ReLU has something to let through.
    """
    reach = max(64, math.prod(shape))
    numbers = hnp.arrays(np.int64, shape, elements=st.integers(-reach, reach - 1), unique=True, fill=st.nothing())

    def dyadics(k: Array) -> Array:
        values: Array = (2 * k + 1) / 32
        if values.size and ((values < 0).all() or (values.size > 1 and (values > 0).all())):
            values.flat[0] *= -1.0
        return values

    return numbers.map(dyadics)


def ties(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays in which values repeat."""
    return _sampled(shape, 0.03125, -0.03125, 1.0)


def zeros(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays with zeros of both signs, up to nothing but zeros."""
    return _sampled(shape, 0.0, -0.0, 0.03125, -1.0)


def extremes(shape: Shape) -> st.SearchStrategy[Array]:
    """Draw arrays of large and tiny values, which saturate a softmax or lie next to a kink."""
    return _sampled(shape, 30.0, -30.0, 1024.0, -1024.0, 2.0**-30, -(2.0**-30))


def _sampled(shape: Shape, *values: float) -> st.SearchStrategy[Array]:
    return hnp.arrays(np.float64, shape, elements=st.sampled_from(values), fill=st.nothing())


@st.composite
def batches(
    draw: st.DrawFn,
    features: int | Shape,
    *,
    rows: int | None = None,
    dtype: DTypeLike | None = None,
    values: Values = off_kinks,
) -> Array:
    """Draw an x of `rows` rows of shape `features`, in one of four memory layouts (C, F, strided, read-only).

    Parameters
    ----------
    features : int or tuple of int
        The shape of one row.
    rows : int, optional
        None draws 1 to 4, seldom as many as features.
    dtype : dtype, optional
        None draws float64 or float32.
    values : function of a shape
        `off_kinks`, `ties`, `zeros`, `extremes`, or any other that returns a strategy of float64 arrays.
    """
    row = (features,) if isinstance(features, int) else features
    n = draw(_other_than(row[0])) if rows is None else rows
    x = draw(values((n, *row))).astype(draw(_DTYPES) if dtype is None else dtype)
    layout = draw(st.sampled_from(["C", "F", "strided", "read-only"]))
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "strided":
        return np.repeat(x, 2, axis=0)[::2]
    return np.broadcast_to(x, x.shape) if layout == "read-only" else x


def _other_than(side: int, least: int = 1) -> st.SearchStrategy[int]:
    sides = st.integers(least, 4)
    return st.one_of(sides, sides.filter(lambda other: other != side))


def logits(n: int, classes: int, *, dtype: DTypeLike | None = None) -> st.SearchStrategy[Array]:
    """Draw outputs of shape (n, classes) for a softmax: ordinary ones, ties and saturated ones."""
    return st.one_of(*(batches(classes, rows=n, dtype=dtype, values=values) for values in (off_kinks, ties, extremes)))


def labels(n: int, classes: int) -> st.SearchStrategy[Array]:
    """Draw class labels, shape (n,)."""
    return hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1), fill=st.nothing())


def upstream(shape: Shape, dtype: DTypeLike = np.float64) -> st.SearchStrategy[Array]:
    """Draw a dy that hides nothing: no two entries alike, and both signs wherever there are two entries."""
    return off_kinks(shape).map(lambda values: values.astype(dtype))


@st.composite
def _dense(draw: st.DrawFn, features: int, dtype: str | None = None, outputs_from: int = 1) -> Written:
    outputs, bias, seed = draw(_other_than(features, outputs_from)), draw(st.booleans()), draw(_SEEDS)
    return write_call(Dense, features, outputs, bias=bias, rng=seed, dtype=dtype or draw(_DTYPES))


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
def _sequential(draw: st.DrawFn, features: int, dtype: str | None = None, outputs_from: int = 1) -> Written:
    layers: list[Written] = []
    for _ in range(draw(st.integers(1, 3))):
        layers += [write_call(ReLU)] if layers else []
        layers.append(draw(_dense(features, dtype, outputs_from)))
        features = layers[-1].value.out_features
    return write_call(Sequential, *layers)


@st.composite
def _models(draw: st.DrawFn, features: int) -> Written:
    network = draw(_sequential(features, draw(_DTYPES), 2))  # a softmax of one class has no gradient
    parts = [network, write_call(SoftmaxCrossEntropy)]
    if draw(st.booleans()):
        parts.append(draw(st.one_of(*_REGULARIZERS.values())))
    return write_call(Model, *parts)


def small_models(features: int) -> st.SearchStrategy[Model]:
    """Draw classifiers of one to three Dense layers with ReLU between, with and without a regularizer."""
    return _models(features).map(lambda model: model.value)


@st.composite
def _layer_cases(
    draw: st.DrawFn,
    layers: Callable[[Any], st.SearchStrategy[Written]],
    features: st.SearchStrategy[int | Shape],
    values: Values,
) -> tuple[Layer, Array]:
    row = draw(features)
    layer = draw(layers(row))
    x = draw(batches(row, values=values))
    note(f"check_layer({layer.source}, {source(x)}, seed=0)")
    return layer.value, x


@st.composite
def _softmax_cases(draw: st.DrawFn, values: Values) -> tuple[SoftmaxCrossEntropy, Array, Array]:
    n, classes = draw(_SIDES), draw(st.integers(2, 5))  # a softmax of one class has no gradient
    outputs = draw(batches(classes, rows=n, values=values))
    targets = draw(labels(n, classes))
    note(f"check_loss(SoftmaxCrossEntropy(), {source(outputs)}, {source(targets)}, seed=0)")
    return SoftmaxCrossEntropy(), outputs, targets


@st.composite
def _regularizer_cases(draw: st.DrawFn, regularizers: st.SearchStrategy[Written], values: Values) -> tuple[Any, Array]:
    regularizer = draw(regularizers)
    rows, *others = draw(shapes(1, 3))
    w = draw(batches(tuple(others), rows=rows, values=values))
    note(f"check_regularizer({regularizer.source}, {source(w)}, seed=0)")
    return regularizer.value, w


@st.composite
def _model_cases(draw: st.DrawFn, values: Values) -> tuple[Model, Array, Array]:
    features = draw(_SIDES)
    model = draw(_models(features))
    x = draw(batches(features, values=values))
    y = draw(labels(len(x), model.value.network.output_shape((features,))[0]))
    note(f"check_model({model.source}, {source(x)}, {source(y)}, seed=0)")
    return model.value, x, y


_LAYERS: dict[type, Callable[[int], st.SearchStrategy[Written]]] = {
    Dense: _dense,
    ReLU: _relu,
    Sequential: _sequential,
    ForeignLayer: _foreign,
}
_REGULARIZERS: dict[type, st.SearchStrategy[Written]] = {
    L1: st.builds(write_call, st.just(L1), _STRENGTHS),
    L2: st.builds(write_call, st.just(L2), _STRENGTHS),
    ElasticNet: st.builds(write_call, st.just(ElasticNet), _STRENGTHS, _STRENGTHS),
}
_CASES: dict[type, Callable[[Values], st.SearchStrategy[Any]]] = {
    SoftmaxCrossEntropy: _softmax_cases,
    Model: _model_cases,
    **{cls: partial(_layer_cases, layers, _SIDES) for cls, layers in _LAYERS.items()},
    **{cls: partial(_regularizer_cases, drawn) for cls, drawn in _REGULARIZERS.items()},
}
_INSTANCES: dict[type, st.SearchStrategy[Any]] = {
    SGD: st.builds(SGD, st.sampled_from([0.5, 0.001, 1.0])),
    Normal: st.builds(Normal, st.sampled_from([0.01, 1.0, 0.0])),
    Uniform: st.builds(Uniform, st.sampled_from([-1.0, 0.0]), st.sampled_from([0.0, 2.0])),
    Constant: st.builds(Constant, st.sampled_from([0.0, -1.5])),
    **{cls: st.builds(cls) for cls in (Zeros, Xavier, He)},
}


def strategy_for(cls: type, values: Values = off_kinks) -> st.SearchStrategy[Any]:
    """Return the strategy of a public class of minidl.

    Parameters
    ----------
    cls : type
        A layer draws cases ``(layer, x)``, a loss ``(loss, outputs, targets)``, a regularizer ``(regularizer, w)``,
        `Model` ``(model, x, y)``; an optimizer or initializer draws the instance.
    values : function of a shape
        Draws the entries of x, outputs or w; see the module.

    Raises
    ------
    InputError
        For any other class; `layer_cases` takes layers of your own.
    """
    if cls in _INSTANCES:
        return _INSTANCES[cls]
    if cls not in _CASES:
        known = ", ".join(sorted(known.__name__ for known in (*_CASES, *_INSTANCES)))
        raise InputError(
            f"strategy_for: expected a class of minidl ({known}), got {cls!r}; layers of your own: layer_cases"
        )
    return _CASES[cls](values)


def layer_cases(
    make: Callable[[Any], Layer], *, features: st.SearchStrategy[Any] = _SIDES, values: Values = off_kinks
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
    return _layer_cases(lambda row: st.builds(write_call, st.just(make), st.just(row)), features, values)


def given_layer_cases(
    make: Callable[[Any], Layer], *, features: st.SearchStrategy[Any] = _SIDES, values: Values = off_kinks
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test that takes a layer and an x; see `layer_cases` for the arguments.

    Examples
    --------
    >>> @given_layer_cases(lambda features: Dense(features, 2))
    ... def test_dense(layer, x):
    ...     assert layer.forward(x).shape == (len(x), 2)
    >>> test_dense()
    """
    case = st.shared(layer_cases(make, features=features, values=values))

    @st.composite
    def part(draw: st.DrawFn, position: int) -> Any:
        return draw(case)[position]

    return given(part(0), part(1))
