"""Finite numbers near the limit of a dtype: the result is correct if the dtype can hold it, else an error."""

import copy

import numpy as np
import pytest

import minidl as dl

LARGEST = 3.4e38
ROW = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)


@pytest.mark.parametrize(
    ("dtype", "scale"), [("f4", 1e18), ("f4", 1e30), ("f4", 8e37), ("f4", -8e37), ("f8", 1e200), ("f2", 1e4)]
)
def test_layer_norm_of_huge_rows_equals_that_of_scaled_rows(dtype, scale):
    huge, dy = ROW.astype(dtype) * np.dtype(dtype).type(scale), np.array([[1, 0, 0, 0]], dtype)
    layer, rounding = dl.LayerNorm(4, dtype=dtype), 20 * np.finfo(dtype).eps
    y = layer.forward(huge, train=True)
    shape, std = np.sign(scale) * np.array([[-3, -1, 1, 3]]) / np.sqrt(5), abs(scale) * np.sqrt(1.25)
    np.testing.assert_allclose(y, shape, rtol=rounding)
    np.testing.assert_allclose(layer.backward(dy), (dy - 0.25 - shape * shape[0, 0] / 4) / std, rtol=rounding)
    assert y.dtype == dtype
    assert layer.forward(huge).tobytes() == y.tobytes()


def test_each_row_is_normalized_independently_of_the_others():
    ordinary = np.random.default_rng(0).normal(size=(5, 3)).astype("f")
    others = np.array([[LARGEST, -LARGEST, 0], [np.nan, 1, 2], [1e38, 1e38, 1e38]], np.float32)
    table = np.concatenate([ordinary, others])
    y = dl.LayerNorm(3).forward(table)
    assert y[:5].tobytes() == dl.LayerNorm(3).forward(ordinary).tobytes()
    np.testing.assert_allclose(y[5], [1.2247449, -1.2247449, 0], rtol=1e-6, atol=1e-7)
    assert np.isnan(y[6]).all()
    assert (y[7] == 0).all()


def test_batch_norm_refuses_numbers_whose_difference_overflows_without_a_warning():
    layer = dl.BatchNorm(1, dtype=np.float64)
    x = np.array([[LARGEST]] + [[-LARGEST]] * 9, np.float32)
    with pytest.raises(dl.NonFiniteError, match="got inf in feature 0"):
        layer.forward(x, train=True)
    assert layer.running_variance.tolist() == [1]


def test_batch_norm_is_correct_if_its_statistics_can_hold_the_variance():
    x, dy = ROW.T * np.float32(1e30), np.array([[1], [0], [0], [0]], np.float32)
    wide, exact = dl.BatchNorm(1, dtype=np.float64), dl.BatchNorm(1, dtype=np.float64)
    np.testing.assert_allclose(wide.forward(x, train=True), exact.forward(ROW.T.astype(float), train=True), rtol=1e-4)
    np.testing.assert_allclose(wide.backward(dy), exact.backward(dy.astype(float)) / 1e30, rtol=1e-4)
    # The largest number that float32 can hold is accepted.
    dl.BatchNorm(1).forward(ROW.T * np.float32(1e19), train=True)


def test_a_batch_with_too_large_a_variance_ends_fit_or_is_skipped_and_statistics_stay():
    x = np.random.default_rng(0).normal(size=(20, 2)).astype("f")
    x[10:, 1] *= 1e25
    model = dl.Model(dl.Sequential(dl.BatchNorm(2), dl.Dense(2, 2, rng=0)), dl.SoftmaxCrossEntropy())
    trainer = dl.Trainer(model, dl.SGD(0.1), rng=0)
    data = dl.Dataset(x, np.arange(20) % 2)
    words = r"epoch 1, after step 0: batch 1: layer 0: BatchNorm\(2\): .*float32 can hold.* in feature 1.*scale x down"
    with pytest.raises(dl.NonFiniteError, match=words):
        trainer.fit(data, epochs=1, batch_size=20)
    trainer.fit(data, epochs=1, batch_size=20, nonfinite="skip")
    assert trainer.skipped_steps == 1
    for name, value in {"running_mean": 0, "running_variance": 1}.items():
        assert model.network.layers[0].named_buffers()[name].tolist() == [value] * 2


def test_means_of_images_are_correct_if_their_sums_overflow():
    x = np.full((2, 10, 10, 3), LARGEST, np.float32)
    x[1] = 1.0
    for layer in (dl.GlobalAvgPool2D(), dl.AvgPool2D(2), dl.AvgPool2D(5, stride=5), dl.MaxPool2D(2)):
        y = layer.forward(x)
        np.testing.assert_allclose(y[0], x[0, 0, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(y[1], 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("window", "place"),
    [([np.nan, 1, np.nan, 2], 0), ([1, 2, 3, np.nan], 3), ([np.inf, 1, np.nan, np.nan], 2), ([5, 1, 5, 2], 0)],
)
@pytest.mark.parametrize("layer", [dl.MaxPool2D(2), dl.MaxPool2D(2, stride=1), dl.MaxPool2D((2, 4))], ids=repr)
def test_max_pooling_sends_dy_to_the_maximum(window, place, layer):
    x = np.zeros((1, 2, 4, 1))
    x[0, :, :2, 0] = np.reshape(window, (2, 2))
    y = layer.forward(x, train=True)
    dx = layer.backward(np.eye(1, y.size).reshape(y.shape))[0, :, :2, 0]
    expected = np.eye(4)[place].reshape(2, 2)
    # In a wider window, the second row comes after the zeros of the first.
    np.testing.assert_array_equal(dx, expected)
    np.testing.assert_array_equal(np.isnan(y.flat[0]), np.isnan(window).any())


EXTREME = np.array([[LARGEST, -LARGEST, 0.0], [1.0, 2.0, 3.0]], np.float32)
LOSSES = [
    *(dl.SoftmaxCrossEntropy(), dl.SoftmaxCrossEntropy(label_smoothing=0.1)),
    *(dl.SoftmaxCrossEntropy(class_weights=[1, 2, 3]), dl.SigmoidCrossEntropy(), dl.MulticlassHinge()),
]


@pytest.mark.parametrize("labels", [[0, 2], [1, 0], [2, 1]])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_of_extreme_scores_are_those_of_float64(loss, labels):
    exact = copy.deepcopy(loss)
    assert loss.forward(EXTREME, labels) == pytest.approx(exact.forward(EXTREME.astype(float), labels), rel=1e-6)
    np.testing.assert_allclose(loss.backward(), exact.backward(), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(loss.predict(EXTREME), [0, 2])


def test_an_impossible_class_has_an_infinite_loss():
    assert dl.SoftmaxCrossEntropy().forward(np.array([[0.0, -np.inf]], np.float32), [1]) == np.inf


@pytest.mark.parametrize("size", [1e30, 1.5e38, LARGEST])
@pytest.mark.parametrize("loss", [dl.MeanSquaredError(), dl.MeanAbsoluteError(), dl.Huber(), dl.Huber(1e30)], ids=repr)
def test_losses_of_huge_residuals_are_those_of_float64(loss, size):
    outputs, targets = np.array([[size], [1.0]], np.float32), np.array([[-size], [0.0]])
    exact = copy.deepcopy(loss)
    assert loss.forward(outputs, targets) == pytest.approx(exact.forward(outputs.astype(float), targets), rel=1e-6)
    gradient, expected = loss.backward(), exact.backward()
    # A gradient too large for float32 is infinite, and the trainer raises an error.
    fits = np.abs(expected) * 2 < LARGEST
    np.testing.assert_allclose(gradient[fits], expected[fits], rtol=1e-6)


@pytest.mark.parametrize("layer", [dl.Softmax(), dl.LogSoftmax()], ids=repr)
def test_a_softmax_layer_accepts_extreme_scores_without_a_warning(layer):
    y = layer.forward(EXTREME, train=True)
    p = np.exp(y) if isinstance(layer, dl.LogSoftmax) else y
    np.testing.assert_allclose(p[0], [1, 0, 0])
    assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_penalties_of_huge_weights_are_those_of_float64():
    w = np.full((3, 2), 1e30, np.float32)
    for regularizer in (dl.L1(0.1), dl.L2(0.1), dl.ElasticNet(0.1, 0.1)):
        assert regularizer.penalty(w) == pytest.approx(regularizer.penalty(w.astype(float)), rel=1e-6)


def test_a_standardizer_refuses_numbers_that_its_dtype_cannot_hold():
    scale = dl.Standardizer().fit(np.array([[1e-30], [2e-30]]))
    with pytest.raises(dl.InputError, match=r"that float32 can hold after scaling, .* got 1e\+30 in row 0"):
        scale([[1e30]])
    # The largest number of a block may be harmless if it is in another feature.
    two = dl.Standardizer().fit(np.array([[1e-30, 1e30], [2e-30, 2e30]]))
    with pytest.raises(dl.InputError, match=r"got 1e\+20 in row 300, column 0"):
        two(np.array([*[[1e-30, 1e30]] * 300, [1e20, 3e30]]))
    assert dl.Standardizer(np.float64).fit(np.array([[1e-30], [2e-30]]))([[1e30]])[0, 0] > 1e59
    assert dl.Standardizer().fit(np.array([[1e30], [3e30]], np.float32))([[3e30]])[0, 0] == pytest.approx(1.0)
