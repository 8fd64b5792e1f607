"""Cases of regularizers and models: what `check_regularizer` and `check_model` take.

A failing case prints the line that checks it again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import note
from hypothesis import strategies as st

from cases.layers import sequentials
from minidl._core.types import Array
from minidl.nn.losses import SoftmaxCrossEntropy
from minidl.nn.model import Model
from minidl.nn.regularizers import L1, L2, ElasticNet
from minidl.testing.arrays import DTYPES, SIDES, Values, batches, labels, shapes
from minidl.testing.source import Written, source, write_call

STRENGTHS = st.sampled_from([1.0, 0.5, 0.125, 3.0])  # 0 has no gradient to check
_REGULARIZERS: dict[type, st.SearchStrategy[Written]] = {
    L1: st.builds(write_call, st.just(L1), STRENGTHS),
    L2: st.builds(write_call, st.just(L2), STRENGTHS),
    ElasticNet: st.builds(write_call, st.just(ElasticNet), STRENGTHS, STRENGTHS),
}


@st.composite
def _regularizer_cases(draw: st.DrawFn, regularizers: st.SearchStrategy[Written], values: Values) -> tuple[Any, Array]:
    regularizer = draw(regularizers)
    rows, *others = draw(shapes(1, 3))
    w = draw(batches(tuple(others), rows=rows, values=values))
    note(f"check_regularizer({regularizer.source}, {source(w)}, seed=0)")
    return regularizer.value, w


@st.composite
def _models(draw: st.DrawFn, features: int) -> Written:
    network = draw(sequentials(features, draw(DTYPES), 2))  # a softmax of one class has no gradient
    parts = [network, write_call(SoftmaxCrossEntropy)]
    if draw(st.booleans()):
        parts.append(draw(st.one_of(*_REGULARIZERS.values())))
    return write_call(Model, *parts)


def small_models(features: int) -> st.SearchStrategy[Model]:
    """Draw classifiers of one to three Dense layers with ReLU between, with and without a regularizer."""
    return _models(features).map(lambda model: model.value)


@st.composite
def _model_cases(draw: st.DrawFn, values: Values) -> tuple[Model, Array, Array]:
    features = draw(SIDES)
    model = draw(_models(features))
    x = draw(batches(features, values=values))
    y = draw(labels(len(x), model.value.network.output_shape((features,))[0]))
    note(f"check_model({model.source}, {source(x)}, {source(y)}, seed=0)")
    return model.value, x, y


COSTS: dict[type, Callable[[Values], st.SearchStrategy[Any]]] = {
    Model: _model_cases,
    **{cls: partial(_regularizer_cases, drawn) for cls, drawn in _REGULARIZERS.items()},
}
"""For each class how to draw its cases, with entries of these values."""
