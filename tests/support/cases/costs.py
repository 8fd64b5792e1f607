"""Cases of losses, regularizers and models: what `check_loss`, `check_regularizer` and `check_model` take."""

from functools import partial

from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl
from cases.layers import sequentials
from minidl.testing import batches, labels, shapes
from minidl.testing.arrays import DTYPES, SIDES


@st.composite
def class_cases(draw, loss_of, values):
    # A softmax or hinge of one class has no gradient.
    n, classes = draw(SIDES), draw(st.integers(2, 5))
    loss, outputs = draw(loss_of(classes)), draw(batches(classes, rows=n, values=values))
    return loss, outputs, draw(labels(n, classes))


@st.composite
def number_cases(draw, losses, numbers, values):
    rows, *others = shape = draw(shapes(1, 3))
    targets = draw(hnp.arrays("float64", shape, elements=numbers, fill=st.nothing()))
    return draw(losses), draw(batches(tuple(others), rows=rows, values=values)), targets


@st.composite
def softmaxes(draw, classes):
    options = {}
    if draw(st.booleans()):
        options["label_smoothing"] = draw(st.sampled_from([0.125, 0.5]))
    if draw(st.booleans()):
        # With a weight of 0, a batch of that class alone has no gradient.
        weights = st.sampled_from([0.5, 1.0, 3.0])
        options["class_weights"] = draw(st.lists(weights, min_size=classes, max_size=classes))
    return dl.SoftmaxCrossEntropy(**options)


@st.composite
def regularizer_cases(draw, regularizers, values):
    rows, *others = draw(shapes(1, 3))
    w = draw(batches(tuple(others), rows=rows, values=values))
    return draw(regularizers), w


@st.composite
def models(draw, features):
    """Draw classifiers of one to three Dense layers with ReLU between, with and without a regularizer."""
    parts = [draw(sequentials(features, draw(DTYPES), 2)), dl.SoftmaxCrossEntropy()]
    if draw(st.booleans()):
        parts.append(draw(st.one_of(*REGULARIZERS.values())))
    return dl.Model(*parts)


@st.composite
def model_cases(draw, values):
    features = draw(SIDES)
    model, x = draw(models(features)), draw(batches(features, values=values))
    y = draw(labels(len(x), model.network.output_shape((features,))[0]))
    return model, x, y


# Even multiples of 1/32, so that from outputs off the kinks, odd ones, no residual is 0 or on the border of a Huber.
NUMBERS = st.integers(-64, 64).map(lambda k: k / 16)
SHARES = st.sampled_from([0.0, 1.0, 0.25, 0.875])
# A strength of 0 has no gradient to check.
STRENGTHS = st.sampled_from([1.0, 0.5, 0.125, 3.0])
REGULARIZERS = {
    dl.L1: st.builds(dl.L1, STRENGTHS),
    dl.L2: st.builds(dl.L2, STRENGTHS),
    dl.ElasticNet: st.builds(dl.ElasticNet, STRENGTHS, STRENGTHS),
}
# For each class how to draw its cases, with entries of these values.
COSTS = {
    dl.SoftmaxCrossEntropy: partial(class_cases, softmaxes),
    dl.SigmoidCrossEntropy: partial(class_cases, lambda classes: st.builds(dl.SigmoidCrossEntropy)),
    dl.MulticlassHinge: partial(
        class_cases, lambda classes: st.builds(dl.MulticlassHinge, st.sampled_from([1.0, 0.53125]))
    ),
    dl.BinaryCrossEntropy: partial(number_cases, st.builds(dl.BinaryCrossEntropy), SHARES),
    dl.MeanSquaredError: partial(number_cases, st.builds(dl.MeanSquaredError), NUMBERS),
    dl.MeanAbsoluteError: partial(number_cases, st.builds(dl.MeanAbsoluteError), NUMBERS),
    dl.Huber: partial(number_cases, st.builds(dl.Huber, st.sampled_from([1.0, 0.25, 2.0])), NUMBERS),
    dl.Model: model_cases,
    **{cls: partial(regularizer_cases, drawn) for cls, drawn in REGULARIZERS.items()},
}
