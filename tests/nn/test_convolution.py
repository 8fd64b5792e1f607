import itertools
import math

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl.nn.layers import correlation
from minidl.nn.layers.windows import Windows

# ---- convolution


def by_loops(layer, x, y_shape):
    """Return y, computed product by product."""
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    weight, (n, height, width, channels), (rows, columns) = layer.weight.value, x.shape, y_shape[1:3]
    if layer.padding == "same":
        top = max((rows - 1) * sh + (kh - 1) * dh + 1 - height, 0) // 2
        left = max((columns - 1) * sw + (kw - 1) * dw + 1 - width, 0) // 2
    else:
        top, left = layer.padding
    inputs, outputs = channels // layer.groups, layer.out_channels // layer.groups
    y = np.zeros(y_shape)
    places = (range(n), range(rows), range(columns), range(layer.out_channels), range(kh), range(kw), range(inputs))
    for i, r, c, o, p, q, k in itertools.product(*places):
        row, column, channel = r * sh + p * dh - top, c * sw + q * dw - left, o // outputs * inputs + k
        if 0 <= row < height and 0 <= column < width:
            y[i, r, c, o] += weight[p, q, k, o] * x[i, row, column, channel]
    return y + (0 if layer.bias is None else layer.bias.value)


@settings(max_examples=40)
@given(strategy_for(dl.Conv2D))
def test_conv2d_equals_its_definition(case):
    layer, x = case[0].astype(np.float64), case[1].astype(np.float64)
    if layer.bias is not None:
        layer.bias.value = np.arange(1.0, layer.out_channels + 1)
    y = layer.forward(x)
    np.testing.assert_allclose(y, by_loops(layer, x, y.shape), rtol=1e-10, atol=1e-12)


@settings(max_examples=30)
@given(strategy_for(dl.Conv2D), st.sampled_from([1, 200, 1000]))
def test_the_size_of_a_block_changes_nothing(case, column_bytes):
    layer, x = case[0].astype(np.float64), np.concatenate([case[1]] * 3).astype(np.float64)
    if layer.bias is not None:
        layer.bias.value = np.arange(1.0, layer.out_channels + 1)
    want = trained(layer, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlation, "COLUMN_BYTES", column_bytes)
        got = trained(layer, x)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def trained(layer, x):
    """Return y, dx and the gradients of one training step."""
    for parameter in layer.named_parameters().values():
        parameter.zero_grad()
    y = layer.forward(x, train=True)
    dx = layer.backward(np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype))
    return [y, dx, *(p.grad.copy() for p in layer.named_parameters().values())]


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_same_keeps_the_size_or_divides_it_by_the_stride(size, kernel, stride, dilation):
    layer = dl.Conv2D(1, 1, kernel, stride=stride, dilation=dilation, padding="same")
    assert layer.output_shape((size, size + 1, 1)) == (math.ceil(size / stride), math.ceil((size + 1) / stride), 1)


def test_the_extra_zero_of_same_is_at_the_bottom_and_right():
    layer = dl.Conv2D(1, 1, 2, padding="same", bias=False)
    layer.weight.value = np.array([[1.0, 10.0], [100.0, 1000.0]])[:, :, None, None]
    x = np.array([[1.0, 2.0], [3.0, 4.0]])[None, :, :, None]
    assert layer.forward(x)[0, :, :, 0].tolist() == [[4321, 402], [43, 4]]


def test_initializers_use_the_fan_in_of_a_group():
    weight = dl.Conv2D(8, 64, 3, groups=4, rng=0).weight.value
    assert weight.std() == pytest.approx(math.sqrt(2 / 18), rel=0.05)
    np.testing.assert_array_equal(weight, dl.Conv2D(8, 64, 3, groups=4, weight_init=dl.He(), rng=0).weight.value)


def test_shapes_and_penalties_of_the_parameters():
    layer = dl.Conv2D(4, 6, (3, 2), groups=2)
    assert {path: (p.value.shape, p.penalized) for path, p in layer.named_parameters().items()} == {
        "weight": ((3, 2, 2, 6), True),
        "bias": ((6,), False),
    }
    assert list(dl.Conv2D(4, 6, 3, bias=False).named_parameters()) == ["weight"]


# ---- windows


@given(st.tuples(*[st.integers(1, 3)] * 6), st.tuples(*[st.integers(0, 2)] * 4))
def test_windows_and_taps_are_views_of_the_same_data(sizes, pads):
    windows = Windows(sizes[:2], sizes[2:4], sizes[4:], (pads[:2], pads[2:]))
    padded = windows.pad(np.arange(1.0, 2 * 7 * 8 * 2 + 1).reshape(2, 7, 8, 2), 0.0)
    view = windows.view(padded)
    assert view.shape == (2, *windows.output_size(7, 8), *sizes[:2], 2)
    assert np.shares_memory(view, padded)
    for place, tap in zip(np.ndindex(sizes[:2]), windows.taps(padded), strict=True):
        np.testing.assert_array_equal(tap, view[:, :, :, *place])
    np.testing.assert_array_equal(windows.interior(padded, 7, 8).ravel(), np.arange(1.0, 225))
