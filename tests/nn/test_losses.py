import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_parts import SquaredError

from minidl import InputError, NonFiniteError, ShapeError, SoftmaxCrossEntropy, numerical_gradient


@st.composite
def batches(draw, dtype=np.float32, bound=1e4):
    """Logits (n, classes) up to `bound` and labels that fit."""
    n, classes = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    width = np.finfo(dtype).bits
    z = draw(arrays(dtype, (n, classes), elements=st.floats(-bound, bound, width=width)))
    y = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return z, y


def reference(z, y):
    """The definition in exact sums of Python floats, with the largest logit taken out."""
    total = 0.0
    for row, label in zip(z.astype(float).tolist(), y.tolist(), strict=True):
        top = max(row)
        total += math.log(math.fsum(math.exp(v - top) for v in row)) + top - row[label]
    return total / len(y)


@given(batches())
def test_loss_is_finite_and_not_negative_up_to_logits_of_ten_thousand(batch):
    loss = SoftmaxCrossEntropy()
    value = loss.forward(*batch)
    assert math.isfinite(value)
    assert value >= 0
    assert np.isfinite(loss.backward()).all()


@given(batches(np.float64))
def test_loss_is_the_mean_of_minus_log_probability(batch):
    assert SoftmaxCrossEntropy().forward(*batch) == pytest.approx(reference(*batch), rel=1e-12, abs=1e-12)


@given(batches(np.float64, 20.0), st.floats(-100, 100))
def test_a_shift_of_all_logits_of_a_row_changes_nothing(batch, shift):
    z, y = batch
    loss = SoftmaxCrossEntropy()
    np.testing.assert_allclose(loss.probabilities(z + shift), loss.probabilities(z), atol=1e-12)
    assert loss.forward(z + shift, y) == pytest.approx(loss.forward(z, y), abs=1e-11)


@given(batches(np.float64, 20.0), st.data())
def test_the_batch_mean_is_the_weighted_mean_of_its_parts(batch, data):
    z, y = batch
    loss = SoftmaxCrossEntropy()
    if len(y) == 1:
        return
    cut = data.draw(st.integers(1, len(y) - 1))
    parts = cut * loss.forward(z[:cut], y[:cut]) + (len(y) - cut) * loss.forward(z[cut:], y[cut:])
    assert loss.forward(z, y) == pytest.approx(parts / len(y), rel=1e-12, abs=1e-12)


@given(batches(np.float64, 3.0))
def test_gradient_agrees_with_central_differences(batch):
    z, y = batch
    loss = SoftmaxCrossEntropy()
    loss.forward(z, y)
    np.testing.assert_allclose(loss.backward(), numerical_gradient(lambda z: loss.forward(z, y), z), atol=1e-8)


@given(batches())
def test_probabilities_sum_to_one_and_their_largest_is_the_prediction(batch):
    z, _ = batch
    loss = SoftmaxCrossEntropy()
    p = loss.probabilities(z)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-5)
    rows = np.arange(len(z))
    assert (p[rows, loss.predict(z)] == p.max(axis=1)).all()


@given(batches())
def test_dtype_is_kept_and_callers_arrays_are_not_changed(batch):
    z, y = batch
    z.flags.writeable = y.flags.writeable = False
    loss = SoftmaxCrossEntropy()
    loss.forward(z, y)
    assert loss.backward().dtype == np.float32
    assert loss.probabilities(z).dtype == np.float32


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    assert SoftmaxCrossEntropy().forward(np.full((3, 10), 1e4, np.float32), [0, 5, 9]) == pytest.approx(math.log(10))


def test_minus_infinity_off_the_label_is_a_certain_no():
    loss = SoftmaxCrossEntropy()
    assert loss.forward(np.array([[0.0, -np.inf]]), [0]) == 0.0
    assert loss.backward().tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_named_with_their_row(bad):
    with pytest.raises(NonFiniteError, match=f"got {bad} in row 1"):
        SoftmaxCrossEntropy().forward(np.array([[0.0, 1.0], [bad, 0.0]]), [0, 1])


def test_a_row_of_minus_infinities_has_no_softmax():
    with pytest.raises(NonFiniteError, match="row 0"):
        SoftmaxCrossEntropy().probabilities(np.array([[-np.inf, -np.inf]]))


@pytest.mark.parametrize(
    ("targets", "error", "words"),
    [
        ([0, -1], InputError, r"labels in 0..2, got -1 in row 1$"),
        ([3, 0], InputError, r"labels in 0..2, got 3 in row 0; outputs that are 3 wide stand for 3 classes$"),
        ([1, 3], InputError, r"got 3 in row 1; class labels count from 0: subtract 1 from targets$"),
        ([1, 4], InputError, r"got 4 in row 1; outputs that are 3 wide"),
        ([0.0, 1.0], InputError, r"integer class labels as targets, got dtype float64; .*targets.astype\(int\)$"),
        ([0.5, 1.0], InputError, r"integer class labels as targets, got dtype float64$"),
        ([np.nan, 1.0], InputError, r"integer class labels as targets, got dtype float64$"),
        ([True, False], InputError, "integer class labels"),
        (["a", "b"], InputError, "real numbers"),
        (None, InputError, "got NoneType"),
        ([[0], [1]], ShapeError, r"shape \(2,\), got \(2, 1\); make it flat: targets.ravel\(\)$"),
        (np.eye(3)[:2], ShapeError, r"argmax"),
        ([0], ShapeError, r"shape \(2,\), got \(1,\)"),
    ],
)
def test_targets_that_are_not_labels_are_refused(targets, error, words):
    with pytest.raises(error, match=words):
        SoftmaxCrossEntropy().forward(np.zeros((2, 3)), targets)


def test_small_unsigned_labels_do_not_wrap():
    z = np.zeros((2, 300))
    loss = SoftmaxCrossEntropy()
    assert loss.forward(z, np.array([255, 0], np.uint8)) == pytest.approx(math.log(300))
    assert loss.backward()[0, 255] < 0


@pytest.mark.parametrize(
    "outputs", [np.zeros((0, 3)), np.zeros((2, 0)), np.zeros(2), [[0.0]], np.zeros((2, 3), np.uint8)]
)
def test_logits_are_floating_point_numbers_of_at_least_one_row_and_class(outputs):
    with pytest.raises(ShapeError, match=r"logits: expected a floating-point array of shape \(n, classes\), both >= 1"):
        SoftmaxCrossEntropy().forward(outputs, np.zeros(len(outputs), int))


def test_accuracy_is_measured_beside_the_loss():
    assert SoftmaxCrossEntropy().metrics(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1, 1])) == {"accuracy": 0.5}


def test_a_loss_of_ones_own_needs_two_methods(rng):
    loss, z, t = SquaredError(), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    loss.forward(z, t)
    np.testing.assert_allclose(loss.backward(), numerical_gradient(lambda z: loss.forward(z, t), z), atol=1e-8)
    assert loss.predict(z) is z
    assert loss.metrics(z, t) == {}
    with pytest.raises(InputError, match="no probabilities"):
        loss.probabilities(z)
