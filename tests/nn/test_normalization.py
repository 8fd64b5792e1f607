import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.nn.arithmetic import SUM_BLOCK, column_sums


def normalised(x, axis, epsilon=1e-5):
    return (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(x.var(axis=axis, keepdims=True) + epsilon)


# ---- results


@pytest.mark.parametrize("shape", [(7, 3), (5, 2, 3), (4, 3, 2, 3)])
def test_forward_is_the_formula(shape, rng):
    x = rng.normal(3.0, 2.0, shape)
    for layer, axis in ((dl.BatchNorm(3, dtype=np.float64), tuple(range(len(shape) - 1))), (dl.LayerNorm(3), -1)):
        layer.gamma.value, layer.beta.value = [0.5, 2.0, -1.0], [1.0, 0.0, -2.0]
        expected = normalised(x, axis) * layer.gamma.value + layer.beta.value
        np.testing.assert_allclose(layer.forward(x, train=True), expected, rtol=1e-12, atol=1e-13)


def test_batch_norm_predicts_with_running_statistics(rng):
    layer, x = dl.BatchNorm(3, epsilon=0.1, dtype=np.float64), rng.normal(size=(6, 3))
    np.testing.assert_allclose(layer.forward(x), x / np.sqrt(1.1))  # mean 0 and variance 1 at first
    layer.running_mean[...], layer.running_variance[...] = [1.0, 2.0, 3.0], [4.0, 0.5, 1.0]
    expected = (x - [1.0, 2.0, 3.0]) / np.sqrt([4.1, 0.6, 1.1])
    np.testing.assert_allclose(layer.forward(x), expected)
    np.testing.assert_allclose(layer.forward(x[:1]), expected[:1])


@pytest.mark.parametrize("unbiased", [True, False])
def test_running_statistics_follow_the_docstring(unbiased, rng):
    layer = dl.BatchNorm(2, momentum=0.75, unbiased=unbiased, dtype=np.float64)
    mean, variance = np.zeros(2), np.ones(2)
    for n in (2, 5, 3):
        x = rng.normal(2.0, 3.0, (n, 4, 1, 2))
        layer.forward(x, train=True)
        mean = 0.75 * mean + 0.25 * x.mean(axis=(0, 1, 2))
        variance = 0.75 * variance + 0.25 * x.var(axis=(0, 1, 2), ddof=int(unbiased))
    np.testing.assert_allclose(layer.running_mean, mean)
    np.testing.assert_allclose(layer.running_variance, variance)


def test_unbiased_changes_only_the_running_variance_and_is_in_the_repr(rng):
    x, dy = rng.normal(size=(2, 5, 3))
    ends = []
    for layer in (dl.BatchNorm(3), dl.BatchNorm(3, unbiased=False)):
        ends.append((layer.forward(x, train=True).tobytes(), layer.backward(dy).tobytes()))
    assert ends[0] == ends[1]
    assert repr(layer) == "BatchNorm(3, unbiased=False)"
    for wrong in (0, "yes", None):
        with pytest.raises(dl.InputError, match="BatchNorm: expected unbiased to be a bool"):
            dl.BatchNorm(3, unbiased=wrong)


# ---- rounding


def offset_data(rng, rows, features):
    """Columns whose means are a thousand times their deviations, in float32, and the same numbers in float64."""
    x = (1000.0 * np.arange(1, features + 1) + np.arange(1, features + 1) * rng.normal(size=(rows, features))).astype(
        np.float32
    )
    return x, x.astype(np.float64)


@pytest.mark.parametrize("shape", [(100_000, 3), (100, 32, 32, 8)])
def test_single_precision_statistics_of_100_000_offset_rows_are_accurate(shape, rng):
    x, exact = offset_data(rng, int(np.prod(shape[:-1])), shape[-1])
    layer = dl.BatchNorm(shape[-1], momentum=0.0)
    y = layer.forward(x.reshape(shape), train=True)
    np.testing.assert_allclose(layer.running_mean, exact.mean(axis=0), rtol=2e-7)
    np.testing.assert_allclose(layer.running_variance, exact.var(axis=0, ddof=1), rtol=2e-6)
    # The mean has an error of half a unit in the last place of the data: here 3e-5 of the deviation.
    np.testing.assert_allclose(y.reshape(x.shape), normalised(exact, 0), atol=1e-4)


def test_single_precision_gradients_of_100_000_rows_are_accurate(rng):
    x, exact = rng.normal(1.0, 1.0, (100_000, 4)).astype(np.float32), None
    dy = rng.normal(0.5, 1.0, x.shape).astype(np.float32)
    results = []
    for dtype in (np.float32, np.float64):
        layer = dl.BatchNorm(4, dtype=dtype)
        layer.forward(x.astype(dtype), train=True)
        results.append([layer.backward(dy.astype(dtype)), layer.gamma.grad, layer.beta.grad])
    for single, exact in zip(*results, strict=True):
        assert np.abs(single - exact).max() <= 1e-5 * np.abs(exact).max()


@given(st.integers(0, 3 * SUM_BLOCK), st.integers(1, 3), st.sampled_from(["C", "F"]))
def test_column_sums_are_sums_over_columns(rows, columns, order):
    a = np.asarray(np.arange(rows * columns, dtype=np.float32).reshape(rows, columns) % 7, order=order)
    assert column_sums(a).dtype == np.float64
    np.testing.assert_array_equal(column_sums(a), a.sum(axis=0, dtype=np.float64))
    np.testing.assert_array_equal(column_sums(a, a), (a * a).sum(axis=0, dtype=np.float64))


def test_column_sums_of_a_stack_and_of_half_precision():
    a = np.full((2, 3 * SUM_BLOCK + 5, 3), 1000, np.float16)  # float16 ends at 65504
    np.testing.assert_array_equal(column_sums(a), np.full((2, 3), 1000 * a.shape[1]))


# ---- dtypes, memory, wrong use


def test_one_value_per_feature_is_refused_only_in_training_and_changes_nothing():
    for shape in ((1, 3), (1, 1, 1, 3), (0, 3), (0, 4, 4, 3)):
        layer = dl.BatchNorm(3)
        with pytest.raises(dl.InputError, match=r"BatchNorm\(3.*at least 2 values per feature.*more rows"):
            layer.forward(np.ones(shape), train=True)
        assert (layer.running_mean.tolist(), layer.running_variance.tolist()) == ([0] * 3, [1] * 3)
        with pytest.raises(dl.CallOrderError):
            layer.backward(np.ones(shape))
        assert layer.forward(np.ones(shape)).shape == shape
    assert dl.BatchNorm(3).forward(np.ones((1, 2, 1, 3)), train=True).shape == (1, 2, 1, 3)


@pytest.mark.parametrize("value", [3333.333, 3e4, 1e-3, 1e8])
def test_a_constant_row_becomes_zero_for_any_length(value):
    x = np.full((2, 1000), value, np.float32)
    assert not dl.LayerNorm(1000).forward(x).any()
