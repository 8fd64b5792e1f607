import numpy as np
import pytest
from small_parts import SquaredError

import minidl as dl


def two_layers(regularizer=None, dtype=np.float64):
    network = dl.Sequential(dl.Dense(4, 5, rng=0, dtype=dtype), dl.ReLU(), dl.Dense(5, 3, rng=1, dtype=dtype))
    return dl.Model(network, dl.SoftmaxCrossEntropy(), regularizer)


@pytest.fixture
def data(rng):
    return dl.Dataset(rng.normal(size=(7, 4)), rng.integers(0, 3, 7))


def test_cost_is_loss_plus_the_penalty_of_the_weights_and_not_of_the_biases(data):
    model = two_layers(dl.L2(0.5))
    model.parameters["0.bias"].value += 10.0
    squares = sum((model.parameters[path].value ** 2).sum() for path in ("0.weight", "2.weight"))
    assert model.penalty() == pytest.approx(0.5 * squares)
    assert model.compute_cost(data.x, data.y) - model.compute_loss(data.x, data.y) == pytest.approx(0.5 * squares)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_evaluate_is_the_mean_over_all_rows_for_any_batch_size(batch_size, data):
    model = two_layers(dl.L2(0.1))
    result = model.evaluate(data, batch_size)
    assert set(result) == {"cost", "loss", "accuracy"}
    assert result["loss"] == pytest.approx(model.compute_loss(data.x, data.y), rel=1e-13)
    assert result["cost"] == pytest.approx(model.compute_cost(data.x, data.y), rel=1e-13)
    assert result["accuracy"] == pytest.approx((model.predict(data.x) == data.y).mean())


def test_probabilities_and_predictions_agree(data):
    model = two_layers()
    p = model.predict_proba(data.x)
    assert p.shape == (7, 3)
    np.testing.assert_array_equal(p.argmax(axis=1), model.predict(data.x))


def test_inputs_are_cast_to_the_models_dtype_and_never_changed():
    model = two_layers(dtype=np.float32)
    for x in (np.ones((2, 4)), np.ones((2, 4), np.uint8), np.ones((2, 4), ">f4"), np.ones((2, 4), np.float16)):
        x.flags.writeable = False
        outputs = model.forward(x, train=True)
        assert outputs.dtype == np.float32
        np.testing.assert_array_equal(outputs, model.forward([[1.0] * 4] * 2))
    model.loss.forward(outputs, [0, 1])
    model.network.backward(model.loss.backward())
    assert {p.grad.dtype for p in model.parameters.values()} == {np.dtype(np.float32)}


def test_evaluate_changes_no_weight_and_no_gradient(data):
    model = two_layers(dl.L2(0.1))
    model.compute_gradients(data.x, data.y)
    before = {path: (p.value.copy(), p.grad.copy()) for path, p in model.parameters.items()}
    model.evaluate(data)
    model.predict_proba(data.x)
    model.compute_cost(data.x, data.y)
    for path, parameter in model.parameters.items():
        np.testing.assert_array_equal(parameter.value, before[path][0])
        np.testing.assert_array_equal(parameter.grad, before[path][1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_error_names_inputs_that_are_not_finite(bad):
    model, x = two_layers(), np.full((1, 4), bad)
    for measure in (model.compute_loss, model.compute_gradients, lambda x, y: model.evaluate(dl.Dataset(x, y))):
        with pytest.raises(dl.NonFiniteError, match=r"x: expected finite"), np.errstate(all="ignore"):
            measure(x, [0])


class Wrong(dl.Dense):
    """A layer or loss whose methods return nothing, or wrong shapes."""

    def __init__(self, method):
        super().__init__(4, 3)
        self.method = method

    def forward(self, x, train=False):
        return None if self.method == "forward" else super().forward(x, train)

    def backward(self, dy):
        return None if self.method == "backward" else super().backward(dy)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda: Wrong("forward"), r"Wrong\(4, 3\).forward: .* an array, got NoneType; .* a return statement"),
        (lambda: dl.Sequential(Wrong("forward"), dl.Dense(3, 3)), r"Wrong\(4, 3\).forward: .* an array"),
        (lambda: dl.Sequential(dl.Dense(4, 4), Wrong("backward")), r"Wrong\(4, 3\).backward: .* an array"),
    ],
)
def test_a_missing_return_is_reported_with_its_layer(network, words):
    with pytest.raises(dl.InputError, match=words):
        dl.Model(network(), dl.SoftmaxCrossEntropy()).compute_gradients(np.zeros((2, 4)), [0, 1])


def test_a_loss_that_returns_no_number_is_reported():
    class RowsError(SquaredError):
        def forward(self, outputs, targets):
            return (outputs - targets) ** 2

    with pytest.raises(dl.InputError, match=r"RowsError\(\).forward: expected it to return a float, got ndarray"):
        dl.Model(dl.Dense(2, 1), RowsError()).compute_loss(np.zeros((5, 2)), np.zeros((5, 1)))


@pytest.mark.parametrize("measured", [two_layers(), dl.Ensemble([two_layers()])], ids=["Model", "Ensemble"])
def test_evaluate_needs_a_dataset_with_rows(measured):
    words = f"{type(measured).__name__}.evaluate: expected a Dataset with at least one row, "
    for data, got in [
        (dl.Dataset(np.zeros((0, 4)), []), r"got Dataset\(x \(0, 4\)"),
        ((0, 0), "got tuple; put x and y"),
    ]:
        with pytest.raises(dl.InputError, match=words + got):
            measured.evaluate(data)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_a_single_row_is_distinguished_from_a_batch(method):
    dense = two_layers()
    flat = dl.Model(dl.Sequential(dl.Flatten(), *dense.network.layers), dl.SoftmaxCrossEntropy())
    for model, x in [(dense, np.ones((3, 4))), (flat, np.ones((3, 2, 2)))]:
        predict = getattr(model, method)
        with pytest.raises(dl.ShapeError, match=r"layer \d: Dense\(4, 5\).*x looks like one row: keep the batch"):
            predict(x[0])
        assert len(predict(x[:1])) == 1
    for model, x in [(dense, np.ones((3, 5))), (dense, np.ones(5)), (flat, np.ones((3, 2, 3)))]:
        with pytest.raises(dl.ShapeError) as refusal:
            getattr(model, method)(x)
        assert "one row" not in str(refusal.value)


def test_a_users_layer_without_output_shape_does_not_change_the_error():
    class Pictures(dl.ReLU):
        def output_shape(self, input_shape):
            _, _, channels = input_shape
            return (channels,)

    with pytest.raises(dl.ShapeError, match=r"Dense\(4, 5\)"):
        dl.Model(dl.Sequential(Pictures(), dl.Dense(4, 5)), dl.MeanSquaredError()).predict(np.ones((3, 5)))


def test_a_loss_without_metrics_can_be_evaluated(rng):
    x, t = rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    assert set(dl.Model(dl.Dense(2, 1), SquaredError()).evaluate(dl.Dataset(x, t))) == {"cost", "loss"}
