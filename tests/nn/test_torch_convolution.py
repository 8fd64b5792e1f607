"""Convolution and pooling against PyTorch, which has the channels first."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import AvgPool2D, Conv2D, GlobalAvgPool2D, MaxPool2D

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
DTYPES = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 2**16)
few = settings(max_examples=25)


def tensor(images):
    return torch.from_numpy(np.moveaxis(images, -1, 1).copy())


def images(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def near(got, want, dtype):
    """Hold arrays against each other, relative to the largest entry."""
    return (
        got.shape == want.shape
        and got.dtype == want.dtype == dtype
        and np.abs(got - want).max() <= TOLERANCE[dtype] * np.abs(want).max(initial=1e-30)
    )


def same_pads(size, kernel, stride, dilation):
    """As Keras documents its padding same."""
    extent = (kernel - 1) * dilation + 1
    total = max((extent - stride) if size % stride == 0 else (extent - size % stride), 0)
    return total // 2, total - total // 2


@st.composite
def convolutions(draw):
    """Draw a convolution, and images that are as large as its kernel at least."""
    one_to_three = st.integers(1, 3)
    pairs = st.tuples(one_to_three, one_to_three)
    kernel, stride, dilation, groups = draw(pairs), draw(pairs), draw(pairs), draw(one_to_three)
    padding = draw(st.one_of(st.just("same"), st.tuples(st.integers(0, 3), st.integers(0, 3))))
    least = [dilation[a] * (kernel[a] - 1) + 1 - (0 if padding == "same" else 2 * padding[a]) for a in (0, 1)]
    height, width = (draw(st.integers(max(1, side), max(1, side) + 5)) for side in least)
    layer = Conv2D(
        *(groups * draw(one_to_three), groups * draw(one_to_three), kernel),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        rng=draw(SEEDS),
        dtype=draw(DTYPES),
    )
    rng = np.random.default_rng(draw(SEEDS))
    if layer.bias is not None:
        layer.bias.value = rng.normal(size=layer.out_channels)
    x = rng.normal(size=(draw(one_to_three), height, width, layer.in_channels)).astype(layer.weight.value.dtype)
    return layer, x, rng


def torch_convolution(layer, x, dy):
    """Return what PyTorch makes of it: y, dx, dweight, dbias."""
    weight = torch.from_numpy(layer.weight.value.transpose(3, 2, 0, 1).copy()).requires_grad_()
    bias = None if layer.bias is None else torch.from_numpy(layer.bias.value.copy()).requires_grad_()
    t = tensor(x).requires_grad_()
    if layer.padding == "same":
        rows, columns = map(same_pads, x.shape[1:3], layer.kernel_size, layer.stride, layer.dilation)
        padded, padding = torch.nn.functional.pad(t, (*columns, *rows)), 0
    else:
        padded, padding = t, layer.padding
    y = torch.nn.functional.conv2d(padded, weight, bias, layer.stride, padding, layer.dilation, layer.groups)
    y.backward(tensor(dy))
    dbias = None if bias is None else bias.grad.numpy()
    return images(y), images(t.grad), weight.grad.numpy().transpose(2, 3, 1, 0), dbias


@settings(max_examples=60)
@given(convolutions())
def test_conv2d_is_that_of_pytorch(case):
    layer, x, rng = case
    dtype = x.dtype.type
    y = layer.forward(x, train=True)
    dy = rng.normal(size=y.shape).astype(dtype)
    dx = layer.backward(dy)
    want_y, want_dx, want_dweight, want_dbias = torch_convolution(layer, x, dy)
    assert near(y, want_y, dtype)
    assert near(dx, want_dx, dtype)
    assert near(layer.weight.grad, want_dweight, dtype)
    assert layer.bias is None or near(layer.bias.grad, want_dbias, dtype)


@pytest.mark.parametrize("size", [(9, 7), (64, 48)])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": 2, "groups": 2}], ids=str)
def test_large_batches_and_large_images_are_done_in_blocks_alike(size, options, rng):
    layer = Conv2D(8, 6, 5, padding=2, rng=0, dtype=np.float64, **options)
    layer.bias.value = rng.normal(size=6)
    x = rng.normal(size=(24 if size[0] < 10 else 2, *size, 8))  # beyond the columns of one block
    y = layer.forward(x, train=True)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy)
    for got, want in zip((y, dx, layer.weight.grad, layer.bias.grad), torch_convolution(layer, x, dy), strict=True):
        assert near(got, want, np.float64)


@pytest.mark.parametrize(("cls", "twin"), [(MaxPool2D, "max_pool2d"), (AvgPool2D, "avg_pool2d")])
def test_pooling_is_that_of_pytorch(cls, twin):
    @few
    @given(st.data())
    def agrees(data):
        draw = data.draw
        size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        stride = draw(st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(1, 4))))
        padding = tuple(draw(st.integers(0, side // 2)) for side in size)  # PyTorch has no more
        shape = [draw(st.integers(side, side + 6)) for side in size]
        dtype, rng = draw(DTYPES), np.random.default_rng(draw(SEEDS))
        x = rng.normal(size=(draw(st.integers(1, 3)), *shape, draw(st.integers(1, 3)))).astype(dtype)
        layer = cls(size, stride, padding)
        y = layer.forward(x, train=True)
        dy = rng.normal(size=y.shape).astype(dtype)
        t = tensor(x).requires_grad_()
        want = getattr(torch.nn.functional, twin)(t, size, stride, padding)
        want.backward(tensor(dy))
        assert near(y, images(want), dtype)
        assert near(layer.backward(dy), images(t.grad), dtype)

    agrees()


def test_of_equal_entries_pytorch_too_takes_the_first(rng):
    x = rng.integers(0, 3, (3, 8, 7, 2)).astype(np.float64)
    for size, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 1, 0)):
        layer = MaxPool2D(size, stride, padding)
        dy = rng.normal(size=layer.forward(x, train=True).shape)
        t = tensor(x).requires_grad_()
        torch.nn.functional.max_pool2d(t, size, stride, padding).backward(tensor(dy))
        assert near(layer.backward(dy), images(t.grad), np.float64)


@few
@given(st.tuples(*[st.integers(1, 5)] * 4), DTYPES, SEEDS)
def test_global_average_pooling_is_that_of_pytorch(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(dtype)
    layer, t = GlobalAvgPool2D(), tensor(x).requires_grad_()
    y = layer.forward(x, train=True)
    dy = rng.normal(size=y.shape).astype(dtype)
    want = torch.nn.functional.adaptive_avg_pool2d(t, 1).flatten(1)
    want.backward(torch.from_numpy(dy))
    assert near(y, want.detach().numpy(), dtype)
    assert near(layer.backward(dy), images(t.grad), dtype)


def test_he_draws_as_pytorch_does():
    weight = Conv2D(8, 64, 3, groups=2, rng=0).weight.value
    fan_in, _ = torch.nn.init._calculate_fan_in_and_fan_out(torch.from_numpy(weight.transpose(3, 2, 0, 1).copy()))
    assert weight.std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)
