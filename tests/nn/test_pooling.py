"""Results of poolings; contract and errors are in `test_layers` and `test_convolution`."""

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import given

from minidl import AvgPool2D, GlobalAvgPool2D, MaxPool2D


def pooled_by_loops(layer, x, y_shape):
    """Return y, window by window."""
    (kh, kw), (sh, sw), (top, left) = layer.pool_size, layer.stride, layer.padding
    y = np.zeros(y_shape)
    for i, r, c, k in np.ndindex(y_shape):
        pixels = [(r * sh + p - top, c * sw + q - left) for p in range(kh) for q in range(kw)]
        values = [x[i, a, b, k] for a, b in pixels if 0 <= a < x.shape[1] and 0 <= b < x.shape[2]]
        y[i, r, c, k] = sum(values) / (kh * kw) if isinstance(layer, AvgPool2D) else max(values)
    return y


@given(strategy_for(MaxPool2D) | strategy_for(AvgPool2D))
def test_pooling_equals_its_definition(case):
    layer, x = case[0], case[1].astype(np.float64)
    y = layer.forward(x)
    np.testing.assert_allclose(y, pooled_by_loops(layer, x, y.shape), rtol=1e-12, atol=1e-14)


def test_the_first_of_equal_entries_gets_the_gradient():
    layer = MaxPool2D(2)
    layer.forward(np.array([[1.0, 2.0], [2.0, 2.0]])[None, :, :, None], train=True)
    assert layer.backward(np.ones((1, 1, 1, 1))).ravel().tolist() == [0, 1, 0, 0]


def test_a_large_pool_counts_beyond_a_byte(rng):
    x = rng.normal(size=(2, 20, 19, 1))
    layer = MaxPool2D((20, 19))
    y = layer.forward(x, train=True)
    np.testing.assert_array_equal(layer.backward(np.ones_like(y)) == 1, x == y)


@pytest.mark.parametrize("layer", [MaxPool2D(2), MaxPool2D(3, 1, 1), AvgPool2D(2), GlobalAvgPool2D()], ids=repr)
@pytest.mark.parametrize("train", [False, True])
def test_nan_passes_through(layer, train, rng):
    x = rng.normal(size=(2, 4, 4, 3))
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
        spoiled = x.copy()
        spoiled[0, *place, 1] = np.nan
        y = layer.forward(spoiled, train)
        assert np.isnan(y[0, ..., 1].flat[0])
        assert not np.isnan(y[1]).any()
        assert not np.isnan(y[..., [0, 2]]).any()


@pytest.mark.parametrize("shape", [(4, 500, 500, 2), (2, 1, 20_000, 3), (20, 16, 16, 8), (2, 7, 9, 3), (0, 3, 3, 2)])
def test_a_global_mean_in_single_precision_is_accurate(shape, rng):
    x = (rng.normal(size=shape) + 10).astype(np.float32)
    y = GlobalAvgPool2D().forward(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, x.mean(axis=(1, 2), dtype=np.float64), rtol=1e-6)


def test_a_global_mean_of_half_precision_does_not_overflow():
    assert GlobalAvgPool2D().forward(np.full((1, 20, 20, 1), 1000, np.float16)).tolist() == [[1000.0]]
