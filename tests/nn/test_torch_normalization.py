"""BatchNorm, LayerNorm and Dropout against PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import BatchNorm, Dropout, LayerNorm

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
DTYPES = st.sampled_from([np.float32, np.float64])
EPSILONS = st.sampled_from([1e-5, 1e-3, 0.1])
SEEDS = st.integers(0, 2**16)
few = settings(max_examples=25)


def spread_out(rng, shape, axis, dtype):
    """Draw numbers whose deviation along `axis` is near 2: what is divided by next to nothing is all rounding."""
    grid = np.linspace(-3.5, 3.5, shape[axis])
    places = np.moveaxis(np.broadcast_to(grid, (*np.delete(shape, axis), len(grid))), -1, axis)
    return (1.0 + rng.permuted(places, axis=axis) + rng.uniform(-0.4, 0.4, shape)).astype(dtype)


def assert_near(got, want, dtype):
    """Hold arrays against PyTorch's, relative to the largest entry."""
    want = want.detach().numpy() if isinstance(want, torch.Tensor) else want
    assert got.shape == want.shape
    assert got.dtype == want.dtype == dtype
    assert np.abs(got - want).max() <= TOLERANCE[dtype] * np.abs(want).max()


def channels_first(x):
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def channels_last(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def torch_batch_norm(layer, rank, momentum, epsilon):
    """PyTorch's twin of a new layer; its momentum is the share of the new batch."""
    make = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}[rank]
    twin = make(
        layer.features, eps=epsilon, momentum=1 - momentum, dtype=torch.from_numpy(layer.gamma.value.copy()).dtype
    )
    copy_parameters(layer, twin)
    return twin


def copy_parameters(layer, twin):
    with torch.no_grad():
        twin.weight.copy_(torch.from_numpy(layer.gamma.value))
        twin.bias.copy_(torch.from_numpy(layer.beta.value))


def drawn_parameters(layer, rng):
    layer.gamma.value = rng.normal(1.0, 0.5, layer.features)
    layer.beta.value = rng.normal(size=layer.features)


@few
@given(
    shape=st.one_of(
        st.tuples(st.integers(3, 9), st.integers(1, 6)),
        st.tuples(st.integers(3, 5), st.integers(1, 4), st.integers(1, 4)),
        st.tuples(st.integers(3, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4)),
    ),
    momentum=st.sampled_from([0.9, 0.5, 0.0]),
    epsilon=EPSILONS,
    dtype=DTYPES,
    seed=SEEDS,
)
def test_batch_norm_trains_and_predicts_as_in_pytorch(shape, momentum, epsilon, dtype, seed):
    rng = np.random.default_rng(seed)
    layer = BatchNorm(shape[-1], momentum=momentum, epsilon=epsilon, dtype=dtype)
    drawn_parameters(layer, rng)
    twin = torch_batch_norm(layer, len(shape), momentum, epsilon)
    for _ in range(4):
        x, dy = spread_out(rng, shape, 0, dtype), rng.normal(size=shape).astype(dtype)
        for parameter in layer.named_parameters().values():
            parameter.zero_grad()
        twin.zero_grad()
        x_twin = channels_first(x).requires_grad_()
        y_twin = twin(x_twin)
        y_twin.backward(channels_first(dy))
        assert_near(layer.forward(x, train=True), channels_last(y_twin), dtype)
        assert_near(layer.backward(dy), channels_last(x_twin.grad), dtype)
        assert_near(layer.gamma.grad, twin.weight.grad, dtype)
        assert_near(layer.beta.grad, twin.bias.grad, dtype)
        assert_near(layer.running_mean, twin.running_mean, dtype)
        assert_near(layer.running_variance, twin.running_var, dtype)
    twin.eval()
    x = spread_out(rng, shape, 0, dtype)
    assert_near(layer.forward(x), channels_last(twin(channels_first(x))), dtype)


def test_on_an_offset_batch_as_large_as_that_of_a_convolutional_network():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 1.0, (20, 32, 32, 8)).astype(np.float32)
    dy = rng.normal(size=x.shape).astype(np.float32)
    layer = BatchNorm(8)
    twin = torch_batch_norm(layer, 4, 0.9, 1e-5)
    x_twin = channels_first(x).requires_grad_()
    y_twin = twin(x_twin)
    y_twin.backward(channels_first(dy))
    assert_near(layer.forward(x, train=True), channels_last(y_twin), np.float32)
    assert_near(layer.backward(dy), channels_last(x_twin.grad), np.float32)
    assert_near(layer.gamma.grad, twin.weight.grad, np.float32)
    assert_near(layer.running_variance, twin.running_var, np.float32)


@few
@given(
    leading=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    features=st.integers(3, 7),
    epsilon=EPSILONS,
    dtype=DTYPES,
    seed=SEEDS,
)
def test_layer_norm_is_that_of_pytorch(leading, features, epsilon, dtype, seed):
    rng = np.random.default_rng(seed)
    layer = LayerNorm(features, epsilon=epsilon, dtype=dtype)
    drawn_parameters(layer, rng)
    x, dy = spread_out(rng, (*leading, features), -1, dtype), rng.normal(size=(*leading, features)).astype(dtype)
    x_twin = torch.from_numpy(x.copy()).requires_grad_()
    twin = torch.nn.LayerNorm(features, eps=epsilon, dtype=x_twin.dtype)
    copy_parameters(layer, twin)
    y_twin = twin(x_twin)
    y_twin.backward(torch.from_numpy(dy))
    assert_near(layer.forward(x), y_twin, dtype)
    assert_near(layer.forward(x, train=True), y_twin, dtype)
    assert_near(layer.backward(dy), x_twin.grad, dtype)
    assert_near(layer.gamma.grad, twin.weight.grad, dtype)
    assert_near(layer.beta.grad, twin.bias.grad, dtype)


@few
@given(rate=st.floats(0.0, 0.95), dtype=DTYPES, seed=SEEDS)
def test_dropout_scales_as_in_pytorch(rate, dtype, seed):
    """The masks are drawn otherwise, so each is held against the product that PyTorch makes of its own."""
    rng = np.random.default_rng(seed)
    x, dy = (rng.normal(size=(20, 10)).astype(dtype) for _ in range(2))
    layer = Dropout(rate, rng=seed)
    y, dx = layer.forward(x, train=True), layer.backward(dy)
    x_twin = torch.from_numpy(x).requires_grad_()
    y_twin = torch.nn.functional.dropout(x_twin, rate, training=True)
    y_twin.backward(torch.from_numpy(dy))
    both = (y != 0) & (y_twin.detach().numpy() != 0)
    assert both.any() or rate > 0.8
    for got, want in ((y, y_twin), (dx, x_twin.grad)):
        assert_near(np.where(both, got, 0), torch.where(torch.from_numpy(both), want, 0), dtype)
    np.testing.assert_array_equal(dx == 0, y == 0)
