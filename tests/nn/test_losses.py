"""Losses: values, gradients, errors, and relations between losses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minidl as dl
from minidl import InputError, NonFiniteError, ShapeError, testing

CLASS_LOSSES = (
    dl.SoftmaxCrossEntropy(),
    dl.SoftmaxCrossEntropy(label_smoothing=0.1),
    dl.SoftmaxCrossEntropy(class_weights=[0.5, 0.0, 3.0]),
    dl.SoftmaxCrossEntropy(0.25, [0.5, 0.0, 3.0]),
    dl.SigmoidCrossEntropy(),
    dl.MulticlassHinge(),
    dl.MulticlassHinge(0.25),
)
NUMBER_LOSSES = (dl.BinaryCrossEntropy(), dl.MeanSquaredError(), dl.MeanAbsoluteError(), dl.Huber(), dl.Huber(0.25))
LOSSES = CLASS_LOSSES + NUMBER_LOSSES
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)
each_number_loss = pytest.mark.parametrize("loss", NUMBER_LOSSES, ids=repr)
each_class_loss = pytest.mark.parametrize("loss", CLASS_LOSSES, ids=repr)


def takes_labels(loss):
    return isinstance(loss, tuple(type(other) for other in CLASS_LOSSES))


def fresh(loss):
    """A new loss with the same options."""
    return eval(repr(loss), vars(dl))


def targets_for(loss, rng):
    return rng.integers(0, 3, 4) if takes_labels(loss) else rng.uniform(0.1, 0.9, (4, 3))


@st.composite
def batches(draw, loss, dtype=np.float32, bound=1e4):
    """Outputs (n, 3) up to `bound`, and targets that fit the loss."""
    n = draw(st.integers(1, 5))
    z = draw(arrays(dtype, (n, 3), elements=st.floats(-bound, bound, width=np.finfo(dtype).bits)))
    if takes_labels(loss):
        return z, draw(arrays(np.int64, n, elements=st.integers(0, 2)))
    return z, draw(arrays(np.float64, (n, 3), elements=st.floats(0, 1)))


def mean_of(rows, z, y):
    """The mean loss over rows, computed with Python floats."""
    return math.fsum(rows(*row) for row in zip(z.tolist(), y.tolist(), strict=True)) / len(z)


def log_softmax(z):
    top = max(z)
    total = math.log(math.fsum(math.exp(v - top) for v in z))
    return [v - top - total for v in z]


def smoothed(z, y):
    weights, s = [0.5, 0.0, 3.0], 0.25
    targets = [(1 - s) * (j == y) + s / 3 for j in range(3)]
    return -math.fsum(w * t * v for w, t, v in zip(weights, targets, log_softmax(z), strict=True))


def binary(z, t):
    return t * math.log1p(math.exp(-z)) + (1 - t) * math.log1p(math.exp(z))


def huber(r, delta):
    return r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)


DEFINITIONS = {
    "SoftmaxCrossEntropy()": lambda z, y: -log_softmax(z)[y],
    "SoftmaxCrossEntropy(label_smoothing=0.1)": (
        lambda z, y: -0.9 * log_softmax(z)[y] - 0.1 * math.fsum(log_softmax(z)) / 3
    ),
    "SoftmaxCrossEntropy(class_weights=[0.5, 0.0, 3.0])": lambda z, y: -[0.5, 0.0, 3.0][y] * log_softmax(z)[y],
    "SoftmaxCrossEntropy(label_smoothing=0.25, class_weights=[0.5, 0.0, 3.0])": smoothed,
    "SigmoidCrossEntropy()": lambda z, y: math.fsum(binary(v, float(j == y)) for j, v in enumerate(z)) / 3,
    "MulticlassHinge()": lambda z, y: math.fsum(max(0, v - z[y] + 1) for j, v in enumerate(z) if j != y),
    "MulticlassHinge(0.25)": lambda z, y: math.fsum(max(0, v - z[y] + 0.25) for j, v in enumerate(z) if j != y),
    "BinaryCrossEntropy()": lambda z, t: math.fsum(map(binary, z, t)) / 3,
    "MeanSquaredError()": lambda z, t: math.fsum((a - b) ** 2 for a, b in zip(z, t, strict=True)) / 3,
    "MeanAbsoluteError()": lambda z, t: math.fsum(abs(a - b) for a, b in zip(z, t, strict=True)) / 3,
    "Huber()": lambda z, t: math.fsum(huber(a - b, 1.0) for a, b in zip(z, t, strict=True)) / 3,
    "Huber(0.25)": lambda z, t: math.fsum(huber(a - b, 0.25) for a, b in zip(z, t, strict=True)) / 3,
}


# ---- all losses


@each_loss
def test_the_loss_is_the_mean_of_its_definition(loss):
    definition = DEFINITIONS[repr(loss)]

    @given(batches(loss, np.float64, 30.0))
    def holds(batch):
        assert loss.forward(*batch) == pytest.approx(mean_of(definition, *batch), rel=1e-11, abs=1e-12)

    holds()


@each_loss
def test_the_contract_is_kept_and_the_repr_creates_the_loss_again(loss, rng):
    testing.check_loss_contract(lambda: fresh(loss), rng.normal(size=(4, 3)) * 2, targets_for(loss, rng))
    assert repr(fresh(loss)) == repr(loss)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_loss
def test_loss_and_gradient_are_finite_up_to_outputs_of_ten_thousand(loss, dtype):
    @settings(max_examples=20)
    @given(batches(loss, dtype))
    def finite(batch):
        value = loss.forward(*batch)
        assert isinstance(value, float)
        assert 0 <= value < math.inf
        gradient = loss.backward()
        assert np.isfinite(gradient).all()
        assert gradient.dtype == dtype

    finite()


@pytest.mark.parametrize("target_dtype", [np.float64, np.float32, np.int64, np.uint8, bool])
@each_number_loss
def test_the_gradient_has_the_dtype_of_the_outputs_for_targets_of_any_dtype(loss, target_dtype, rng):
    targets = rng.integers(0, 2, (4, 3))
    for dtype in (np.float16, np.float32, np.float64):
        z = rng.normal(size=(4, 3)).astype(dtype)
        assert loss.forward(z, targets.astype(target_dtype)) == loss.forward(z, targets)
        assert loss.backward().dtype == dtype


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@each_loss
def test_outputs_that_are_not_finite_are_refused(loss, bad):
    z = np.array([[0.0, 1.0, 2.0], [bad, 0.0, 1.0]])
    targets = [0, 1] if takes_labels(loss) else np.zeros((2, 3))
    if bad == -np.inf and isinstance(loss, dl.SoftmaxCrossEntropy) and not loss.label_smoothing:
        assert math.isfinite(loss.forward(z, targets))  # probability 0
        return
    with pytest.raises(NonFiniteError, match=f"expected finite numbers, .*{bad}"):
        loss.forward(z, targets)


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((2, 0)), np.zeros((2, 3), int), [[0.0, 1.0, 2.0]], 1.5])
@each_loss
def test_outputs_that_are_not_a_batch_are_refused(loss, bad):
    with pytest.raises(ShapeError, match="expected a floating-point array of shape"):
        loss.forward(bad, np.zeros(np.shape(bad)[: 1 if takes_labels(loss) else None], int))


# ---- softmax


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    assert dl.SoftmaxCrossEntropy().forward(np.full((3, 10), 1e4, np.float32), [0, 5, 9]) == pytest.approx(math.log(10))


def test_minus_infinity_for_a_wrong_class_is_probability_0():
    loss = dl.SoftmaxCrossEntropy()
    assert loss.forward(np.array([[0.0, -np.inf]]), [0]) == 0.0
    assert loss.backward().tolist() == [[0.0, 0.0]]


def test_a_row_of_minus_infinities_has_no_softmax():
    with pytest.raises(NonFiniteError, match="row 0"):
        dl.SoftmaxCrossEntropy().probabilities(np.array([[-np.inf, -np.inf]]))


def test_small_unsigned_labels_do_not_wrap():
    z = np.zeros((2, 300))
    loss = dl.SoftmaxCrossEntropy()
    assert loss.forward(z, np.array([255, 0], np.uint8)) == pytest.approx(math.log(300))
    assert loss.backward()[0, 255] < 0


# ---- relations between losses


def test_a_class_of_weight_0_has_no_gradient_and_may_be_impossible():
    loss = dl.SoftmaxCrossEntropy(class_weights=[0, 1])
    assert loss.forward(np.array([[-np.inf, 1.0]]), [1]) == 0.0
    assert loss.backward().tolist() == [[0, 0]]
    assert loss.forward(np.array([[3.0, 1.0]]), [0]) == 0.0
    assert loss.backward().tolist() == [[0, 0]]


def test_no_cancellation_in_float32_for_confident_outputs():
    z = np.array([20.0, -20.0, 100.0, -80.0], np.float32)
    t = [1, 0, 1, 0]
    exact = math.fsum(math.log1p(math.exp(-v)) for v in (20, 20, 100, 80)) / 4
    assert dl.BinaryCrossEntropy().forward(z, t) == pytest.approx(exact, rel=1e-6)


# ---- kinks, predictions, probabilities


def test_the_slope_at_a_kink_is_the_documented_slope():
    absolute, hinge = dl.MeanAbsoluteError(), dl.MulticlassHinge()
    absolute.forward(np.array([1.0, 2.0]), [1, 1])
    assert absolute.backward().tolist() == [0, 0.5]
    hinge.forward(np.array([[2.0, 1.0, 1.5]]), [0])
    assert hinge.backward().tolist() == [[-1, 0, 1]]


def test_probabilities_are_sigmoids_or_refused():
    z = np.array([[0.0, -800.0, 800.0]])
    for loss in (dl.SigmoidCrossEntropy(), dl.BinaryCrossEntropy()):
        assert loss.probabilities(z).tolist() == [[0.5, 0, 1]]
        assert loss.probabilities(z.astype(np.float32)).dtype == np.float32
    for loss in (dl.MulticlassHinge(), dl.MeanSquaredError()):
        with pytest.raises(InputError, match="has no probabilities; call predict"):
            loss.probabilities(z)


def test_binary_predictions_are_ones_above_a_half():
    loss = dl.BinaryCrossEntropy()
    z = np.array([[-0.5, 0.0], [0.25, 3.0]])
    assert loss.predict(z).tolist() == [[0, 0], [1, 1]]
    assert loss.metrics(z, [[0, 1], [1, 1]]) == {"accuracy": 0.75}
    assert loss.metrics(z, [[0.0, 0.5], [1.0, 0.5]]) == {"accuracy": 0.5}  # 0.5 is never predicted
    assert loss.metrics(z, np.array([[False, True], [True, True]])) == {"accuracy": 0.75}


@each_class_loss
def test_the_predicted_class_is_the_first_of_the_largest(loss):
    z = np.array([[0.5, 2.0, 2.0], [1.0, 1.0, 0.0]])
    assert loss.predict(z).tolist() == [1, 0]
    assert loss.metrics(z, [1, 1]) == {"accuracy": 0.5}


# ---- errors


@pytest.mark.parametrize(
    ("targets", "error", "words"),
    [
        ([0, -1], InputError, r"labels in 0..2, got -1 in row 1$"),
        ([3, 0], InputError, r"labels in 0..2, got 3 in row 0; 3 outputs mean 3 classes$"),
        ([1, 3], InputError, r"got 3 in row 1; class labels count from 0: subtract 1 from targets$"),
        ([0.0, 1.0], InputError, r"integer class labels as targets, got dtype float64; .*targets.astype\(int\)$"),
        ([True, False], InputError, "integer class labels"),
        (["a", "b"], InputError, "real numbers"),
        ([[0], [1]], ShapeError, r"shape \(2,\), got \(2, 1\); flatten it: targets.ravel\(\)$"),
        (np.eye(3)[:2], ShapeError, r"argmax"),
    ],
)
@each_class_loss
def test_targets_that_are_not_labels_are_refused(loss, targets, error, words):
    with pytest.raises(error, match=words):
        loss.forward(np.zeros((2, 3)), targets)


@each_class_loss
def test_labels_need_outputs_for_each_class(loss):
    with pytest.raises(ShapeError, match=r"expected outputs of shape \(n, classes\), got \(2,\)"):
        loss.check_targets([0, 1], (2,))


@pytest.mark.parametrize(
    ("outputs", "targets", "words"),
    [
        ((3, 1), (3,), r"shape \(3, 1\), got \(3,\); add a last axis: targets\[:, None\]"),
        ((3, 2), (3,), r"Dense\(..., 1\), and pass targets\[:, None\]"),
        ((3,), (3, 1), r"shape \(3,\), got \(3, 1\); drop the last axis: targets\[..., 0\]"),
        ((3, 2), (2, 3), r"shape \(3, 2\), got \(2, 3\)$"),
        ((3, 2), (2,), r"shape \(3, 2\), got \(2,\)$"),
    ],
)
@each_number_loss
def test_targets_of_another_shape_are_refused(loss, outputs, targets, words):
    with pytest.raises(ShapeError, match=words):
        loss.forward(np.zeros(outputs), np.zeros(targets))


@each_number_loss
def test_targets_that_are_not_finite_are_refused(loss):
    with pytest.raises(NonFiniteError, match=r"targets: .* index \(1, 0\): nan"):
        loss.forward(np.zeros((2, 1)), [[0.0], [np.nan]])


@pytest.mark.parametrize("targets", [[0.0, 1.5], [-0.25, 1.0]])
def test_binary_targets_are_between_0_and_1(targets):
    with pytest.raises(InputError, match=r"BinaryCrossEntropy\(\): expected targets in \[0, 1\], got"):
        dl.BinaryCrossEntropy().forward(np.zeros(2), targets)


def test_class_weights_are_copied_and_must_be_finite_and_one_per_class():
    weights = np.array([1.0, 2.0])
    loss = dl.SoftmaxCrossEntropy(class_weights=weights)
    weights[:] = 0
    assert loss.class_weights.tolist() == [1, 2]
    with pytest.raises(ShapeError, match="expected 3 class_weights, got 2"):
        loss.forward(np.zeros((1, 3)), [0])
    with pytest.raises(NonFiniteError, match="class_weights"):
        dl.SoftmaxCrossEntropy(class_weights=[1, np.nan])
