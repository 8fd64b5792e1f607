"""Finite numbers near the end of a dtype: the result is right where the dtype can hold it, else refused by name."""

import copy

import numpy as np
import pytest

import minidl as dl

LARGEST = 3.4e38
ROW = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)


@pytest.mark.parametrize("scale", [1e18, 1e20, 1e30, 8e37, -8e37, 1e-30])
def test_layer_norm_of_huge_rows_is_that_of_their_shape(scale):
    huge, dy = ROW * np.float32(scale), np.array([[1, 0, 0, 0]], np.float32)
    # In float64 nothing overflows, up to 1e154.
    exact = dl.LayerNorm(4, dtype=np.float64)
    layer = dl.LayerNorm(4)
    y = layer.forward(huge, train=True)
    np.testing.assert_allclose(y, exact.forward(huge.astype(float), train=True), rtol=1e-5)
    np.testing.assert_allclose(layer.backward(dy), exact.backward(dy.astype(float)), rtol=1e-5, atol=1e-44)
    assert y.dtype == np.float32
    assert layer.forward(huge).tobytes() == y.tobytes()


def test_each_row_is_normalized_by_itself_whatever_the_others_are():
    ordinary = np.random.default_rng(0).normal(size=(5, 3)).astype("f")
    table = np.concatenate(
        [ordinary, np.array([[LARGEST, -LARGEST, 0], [np.nan, 1, 2], [1e38, 1e38, 1e38]], np.float32)]
    )
    y = dl.LayerNorm(3).forward(table)
    assert y[:5].tobytes() == dl.LayerNorm(3).forward(ordinary).tobytes()
    np.testing.assert_allclose(y[5], [1.2247449, -1.2247449, 0], rtol=1e-6, atol=1e-7)
    assert np.isnan(y[6]).all()
    assert (y[7] == 0).all()


@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, 1e200), (np.float16, 1e4)])
def test_layer_norm_does_the_same_in_other_dtypes(dtype, scale):
    y = dl.LayerNorm(4, dtype=dtype).forward(ROW.astype(dtype) * dtype(scale))
    np.testing.assert_allclose(
        y, [[-1.3416408, -0.4472136, 0.4472136, 1.3416408]], rtol=1e-3 if dtype is np.float16 else 1e-6
    )


def test_batch_norm_refuses_a_variance_that_it_cannot_remember():
    layer = dl.BatchNorm(2)
    layer.forward(np.random.default_rng(0).normal(size=(8, 2)).astype("f"), train=True)
    before = {name: array.copy() for name, array in layer.named_buffers().items()}
    x = np.array([[1.0, 1e30], [2.0, 2e30], [3.0, 4e30]], np.float32)
    for _ in range(2):
        with pytest.raises(
            dl.NonFiniteError, match=r"BatchNorm\(2\): .*variance float32 can hold, got .*e\+60 in feature 1"
        ):
            layer.forward(x, train=True)
        assert all(array.tobytes() == before[name].tobytes() for name, array in layer.named_buffers().items())


def test_batch_norm_refuses_numbers_whose_difference_overflows_without_a_warning():
    layer = dl.BatchNorm(1, dtype=np.float64)
    x = np.array([[LARGEST]] + [[-LARGEST]] * 9, np.float32)
    with pytest.raises(dl.NonFiniteError, match="got inf in feature 0"):
        layer.forward(x, train=True)
    assert layer.running_variance.tolist() == [1]


def test_batch_norm_that_can_remember_it_is_right():
    x, dy = ROW.T * np.float32(1e30), np.array([[1], [0], [0], [0]], np.float32)
    wide, exact = dl.BatchNorm(1, dtype=np.float64), dl.BatchNorm(1, dtype=np.float64)
    np.testing.assert_allclose(wide.forward(x, train=True).ravel(), [-1.34164, -0.44721, 0.44721, 1.34164], rtol=1e-4)
    exact.forward(ROW.T.astype(float), train=True)
    np.testing.assert_allclose(wide.backward(dy), exact.backward(dy.astype(float)) / 1e30, rtol=1e-4)
    assert np.isfinite(wide.running_variance).all()
    # The largest that float32 can hold is taken.
    narrow = dl.BatchNorm(1)
    narrow.forward(ROW.T * np.float32(1e19), train=True)
    assert np.isfinite(narrow.running_variance).all()


def test_a_fit_of_such_a_batch_ends_or_is_skipped_with_statistics_as_they_were():
    x = np.random.default_rng(0).normal(size=(20, 2)).astype("f")
    x[10:] *= 1e25
    model = dl.Model(dl.Sequential(dl.BatchNorm(2), dl.Dense(2, 2, rng=0)), dl.SoftmaxCrossEntropy())
    trainer = dl.Trainer(model, dl.SGD(0.1), rng=0)
    data = dl.Dataset(x, np.arange(20) % 2)
    with pytest.raises(
        dl.NonFiniteError, match=r"epoch 1, after step 0: batch 1: layer 0: BatchNorm\(2\): .*scale x down"
    ):
        trainer.fit(data, epochs=1, batch_size=20)
    assert model.network.layers[0].running_variance.tolist() == [1, 1]
    trainer.fit(data, epochs=1, batch_size=20, nonfinite="skip")
    assert trainer.skipped_steps == 1
    assert model.network.layers[0].running_variance.tolist() == [1, 1]


def test_means_of_images_are_right_where_their_sums_overflow():
    x = np.full((2, 10, 10, 3), LARGEST, np.float32)
    x[1] = 1.0
    for layer in (dl.GlobalAvgPool2D(), dl.AvgPool2D(2), dl.AvgPool2D(5, stride=5), dl.MaxPool2D(2)):
        y = layer.forward(x)
        np.testing.assert_allclose(y[0], x[0, 0, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(y[1], 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("window", "place"),
    [
        ([1, np.nan, 3, 2], 1),
        ([np.nan, 1, np.nan, 2], 0),
        ([1, 2, 3, np.nan], 3),
        ([np.nan] * 4, 0),
        ([np.inf, 1, np.nan, np.nan], 2),
        ([5, 1, 5, 2], 0),
    ],
)
@pytest.mark.parametrize("layer", [dl.MaxPool2D(2), dl.MaxPool2D(2, stride=1), dl.MaxPool2D((2, 4))], ids=repr)
def test_max_pooling_sends_dy_to_what_it_returned(window, place, layer):
    x = np.zeros((1, 2, 4, 1))
    x[0, :, :2, 0] = np.reshape(window, (2, 2))
    y = layer.forward(x, train=True)
    dx = layer.backward(np.eye(1, y.size).reshape(y.shape))[0, :, :2, 0]
    expected = np.eye(4)[place].reshape(2, 2)
    # A wider window counts row by row: what is in the second row comes after zeros.
    np.testing.assert_array_equal(dx, expected)
    np.testing.assert_array_equal(np.isnan(y.flat[0]), np.isnan(window).any())


EXTREME = np.array([[LARGEST, -LARGEST, 0.0], [1.0, 2.0, 3.0]], np.float32)
LOSSES = [
    dl.SoftmaxCrossEntropy(),
    dl.SoftmaxCrossEntropy(label_smoothing=0.1),
    dl.SoftmaxCrossEntropy(class_weights=[1, 2, 3]),
    dl.SigmoidCrossEntropy(),
    dl.MulticlassHinge(),
]


@pytest.mark.parametrize("labels", [[0, 2], [1, 0], [2, 1]])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_of_extreme_scores_are_those_of_float64(loss, labels):
    exact = copy.deepcopy(loss)
    assert loss.forward(EXTREME, labels) == pytest.approx(exact.forward(EXTREME.astype(float), labels), rel=1e-6)
    np.testing.assert_allclose(loss.backward(), exact.backward(), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(loss.predict(EXTREME), [0, 2])


def test_a_class_that_cannot_be_has_an_infinite_loss_as_before():
    assert dl.SoftmaxCrossEntropy().forward(np.array([[0.0, -np.inf]], np.float32), [1]) == np.inf


@pytest.mark.parametrize("size", [1e30, 1.5e38, LARGEST])
@pytest.mark.parametrize("loss", [dl.MeanSquaredError(), dl.MeanAbsoluteError(), dl.Huber(), dl.Huber(1e30)], ids=repr)
def test_losses_of_huge_residuals_are_those_of_float64(loss, size):
    outputs, targets = np.array([[size], [1.0]], np.float32), np.array([[-size], [0.0]])
    exact = copy.deepcopy(loss)
    assert loss.forward(outputs, targets) == pytest.approx(exact.forward(outputs.astype(float), targets), rel=1e-6)
    gradient, expected = loss.backward(), exact.backward()
    # Where the gradient is too large for float32 it is infinite, and a trainer refuses it.
    fits = np.abs(expected) * 2 < LARGEST
    np.testing.assert_allclose(gradient[fits], expected[fits], rtol=1e-6)


@pytest.mark.parametrize("layer", [dl.Softmax(), dl.LogSoftmax()], ids=repr)
def test_a_softmax_layer_takes_extreme_scores_without_a_warning(layer):
    y = layer.forward(EXTREME, train=True)
    p = np.exp(y) if isinstance(layer, dl.LogSoftmax) else y
    np.testing.assert_allclose(p[0], [1, 0, 0])
    assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_penalties_of_huge_weights_are_those_of_float64():
    w = np.full((3, 2), 1e30, np.float32)
    for regularizer in (dl.L1(0.1), dl.L2(0.1), dl.ElasticNet(0.1, 0.1)):
        assert regularizer.penalty(w) == pytest.approx(regularizer.penalty(w.astype(float)), rel=1e-6)


def test_a_standardizer_refuses_what_its_dtype_cannot_hold():
    scale = dl.Standardizer().fit(np.array([[1e-30], [2e-30]]))
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"that float32 can hold once they are scaled, .* got 1e\+30 in row 0"):
            scale([[1e30]])
    # The largest number of a block may be harmless, in a feature of its own.
    two = dl.Standardizer().fit(np.array([[1e-30, 1e30], [2e-30, 2e30]]))
    with pytest.raises(dl.InputError, match=r"got 1e\+20 in row 300, column 0"):
        two(np.array([*[[1e-30, 1e30]] * 300, [1e20, 3e30]]))
    assert dl.Standardizer(np.float64).fit(np.array([[1e-30], [2e-30]]))([[1e30]])[0, 0] > 1e59
    assert dl.Standardizer().fit(np.array([[1e30], [3e30]], np.float32))([[3e30]])[0, 0] == pytest.approx(1.0)


def test_a_cost_that_is_infinite_ends_training_or_the_step_is_left_out():
    data = dl.Dataset(np.ones((4, 1)), np.full((4, 1), 1e200))
    for nonfinite in ("raise", "skip"):
        model = dl.Model(dl.Dense(1, 1, rng=0, dtype=np.float64), dl.MeanSquaredError())
        before, trainer = model.parameters["weight"].value.copy(), dl.Trainer(model, dl.SGD(1e-9), rng=0)
        if nonfinite == "raise":
            with pytest.raises(dl.NonFiniteError, match="batch 1: the cost is inf"):
                trainer.fit(data, epochs=1, batch_size=4)
        else:
            trainer.fit(data, epochs=1, batch_size=4, nonfinite=nonfinite)
            assert trainer.skipped_steps == 1
        assert (model.parameters["weight"].value == before).all()


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([0.9, 1.0], [1, 1], "integer class labels as predictions, got dtype float64$"),
        ([1.0, 1.0], [1, 1], r"as predictions, got dtype float64; they are whole: predictions.astype\(int\)"),
        ([1, 1], [0.5, 1.0], "as targets, got dtype float64"),
        ([True, False], [1, 0], "as predictions, got dtype bool"),
        ([np.nan, 1.0], [1, 1], "as predictions"),
    ],
)
def test_accuracy_refuses_floats_as_its_sisters_do(predictions, targets, message):
    for metric in (dl.accuracy, lambda p, t: dl.confusion_matrix(p, t, 2), lambda p, t: dl.per_class_accuracy(p, t, 2)):
        with pytest.raises(dl.InputError, match=message.removesuffix("$")):
            metric(predictions, targets)
    with pytest.raises(dl.InputError, match=message):
        dl.accuracy(predictions, targets)
    float_labels = dl.Dataset(np.zeros((2, 2)), np.array([0.0, 1.0]))
    with pytest.raises(dl.InputError, match="as targets"):
        dl.Ensemble([dl.Model(dl.Dense(2, 2), dl.SoftmaxCrossEntropy())]).evaluate(float_labels)
