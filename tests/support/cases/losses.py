"""Cases of losses: ``(loss, outputs, targets)`` for `check_loss`.

A failing case prints the line that checks it again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl._core.types import Array
from minidl.nn.losses import (
    BinaryCrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    MulticlassHinge,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)
from minidl.testing.arrays import SIDES, Values, batches, labels, shapes
from minidl.testing.source import Written, source, write_call

Case = tuple[Loss, Array, Array]
LossOf = Callable[[int], st.SearchStrategy[Written]]
"""Takes the number of classes and draws a loss."""


@st.composite
def _class_cases(draw: st.DrawFn, loss_of: LossOf, values: Values) -> Case:
    n, classes = draw(SIDES), draw(st.integers(2, 5))  # a softmax or hinge of one class has no gradient
    return _noted(draw(loss_of(classes)), draw(batches(classes, rows=n, values=values)), draw(labels(n, classes)))


@st.composite
def _number_cases(
    draw: st.DrawFn, losses: st.SearchStrategy[Written], numbers: st.SearchStrategy[float], values: Values
) -> Case:
    rows, *others = shape = draw(shapes(1, 3))
    targets = hnp.arrays("float64", shape, elements=numbers, fill=st.nothing())
    return _noted(draw(losses), draw(batches(tuple(others), rows=rows, values=values)), draw(targets))


def _noted(loss: Written, outputs: Array, targets: Array) -> Case:
    note(f"check_loss({loss.source}, {source(outputs)}, {source(targets)}, seed=0)")
    return loss.value, outputs, targets


@st.composite
def _softmax(draw: st.DrawFn, classes: int) -> Written:
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["label_smoothing"] = draw(st.sampled_from([0.125, 0.5]))
    if draw(st.booleans()):
        weights = st.sampled_from([0.5, 1.0, 3.0])  # with one of 0, a batch of that class alone has no gradient
        options["class_weights"] = draw(st.lists(weights, min_size=classes, max_size=classes))
    return write_call(SoftmaxCrossEntropy, **options)


def _made(cls: type, *arguments: Any) -> st.SearchStrategy[Written]:
    return st.builds(write_call, st.just(cls), *(st.sampled_from(choices) for choices in arguments))


# Even multiples of 1/32, so that from outputs off the kinks, odd ones, no residual is 0 or on the border of a Huber.
_NUMBERS = st.integers(-64, 64).map(lambda k: k / 16)
_SHARES = st.sampled_from([0.0, 1.0, 0.25, 0.875])

CASES: dict[type, Callable[[Values], st.SearchStrategy[Any]]] = {
    SoftmaxCrossEntropy: partial(_class_cases, _softmax),
    SigmoidCrossEntropy: partial(_class_cases, lambda classes: _made(SigmoidCrossEntropy)),
    MulticlassHinge: partial(_class_cases, lambda classes: _made(MulticlassHinge, [1.0, 0.53125])),
    BinaryCrossEntropy: partial(_number_cases, _made(BinaryCrossEntropy), _SHARES),
    MeanSquaredError: partial(_number_cases, _made(MeanSquaredError), _NUMBERS),
    MeanAbsoluteError: partial(_number_cases, _made(MeanAbsoluteError), _NUMBERS),
    Huber: partial(_number_cases, _made(Huber, [1.0, 0.25, 2.0]), _NUMBERS),
}
"""For each class how to draw its cases, with outputs of these values."""
