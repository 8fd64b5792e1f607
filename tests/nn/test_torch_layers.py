"""Every layer against PyTorch: y, dx, the gradients of all parameters, buffers, and predictions after the step."""

from functools import partial

import numpy as np
import pytest
from cases import strategy_for
from cases.layers import LAYERS
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl import testing

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")
functional = torch.nn.functional


def same_pads(size, kernel, stride, dilation):
    """Padding "same" as documented by Keras."""
    extent = (kernel - 1) * dilation + 1
    total = max((extent - stride) if size % stride == 0 else (extent - size % stride), 0)
    return total // 2, total - total // 2


def padded(x, layer, value):
    """Return images (n, channels, height, width) with their borders; PyTorch's own padding of a pool ends at half."""
    if layer.padding == "same":
        rows, columns = map(same_pads, x.shape[2:], layer.kernel_size, layer.stride, layer.dilation)
    else:
        rows, columns = ((border, border) for border in layer.padding)
    return functional.pad(x, (*columns, *rows), value=value)


def convolution(layer, x, state, train):
    weight = state["weight"].permute(3, 2, 0, 1)
    x = padded(x, layer, 0.0)
    return functional.conv2d(x, weight, state.get("bias"), layer.stride, 0, layer.dilation, layer.groups)


def batch_norm(layer, x, state, train):
    statistics, scales = ([state[name] for name in names] for names in (layer.named_buffers(), ("gamma", "beta")))
    # PyTorch's momentum is the weight of the new batch.
    return functional.batch_norm(x, *statistics, *scales, train, 1 - layer.momentum, layer.epsilon)


def layer_norm(layer, x, state, train):
    return functional.layer_norm(x, x.shape[-1:], state["gamma"], state["beta"], layer.epsilon)


def sequential(layer, x, state, train):
    for name, part in layer._layers.items():
        x = twin(part, x, within(state, name), train)
    return x


def residual(layer, x, state, train):
    ways = {name: twin(part, x, within(state, name), train) for name, part in layer._layers.items()}
    return ways["body"] + ways.get("shortcut", x)


def parallel(layer, x, state, train):
    return torch.cat([twin(part, x, within(state, name), train) for name, part in layer._layers.items()], dim=-1)


def within(state, name):
    return {path.removeprefix(f"{name}."): tensor for path, tensor in state.items() if path.startswith(f"{name}.")}


def channels_first(f):
    """Return a PyTorch twin for rows with channels last."""
    return lambda layer, x, state, train: f(layer, x.movedim(-1, 1), state, train).movedim(1, -1)


def of_x(f):
    """Return a PyTorch twin without parameters and options."""
    return lambda layer, x, state, train: f(x)


TWINS = {
    dl.Dense: lambda layer, x, state, train: functional.linear(x, state["weight"].T, state.get("bias")),
    dl.Conv2D: channels_first(convolution),
    dl.MaxPool2D: channels_first(
        lambda layer, x, *_: functional.max_pool2d(padded(x, layer, -np.inf), layer.pool_size, layer.stride)
    ),
    dl.AvgPool2D: channels_first(
        lambda layer, x, *_: functional.avg_pool2d(padded(x, layer, 0.0), layer.pool_size, layer.stride)
    ),
    dl.GlobalAvgPool2D: of_x(lambda x: functional.adaptive_avg_pool2d(x.movedim(-1, 1), 1).flatten(1)),
    dl.BatchNorm: channels_first(batch_norm),
    dl.LayerNorm: layer_norm,
    dl.ReLU: of_x(functional.relu),
    dl.LeakyReLU: lambda layer, x, *_: functional.leaky_relu(x, layer.slope),
    dl.ELU: lambda layer, x, *_: functional.elu(x, layer.alpha),
    dl.GELU: lambda layer, x, *_: functional.gelu(x, approximate=layer.approximate),
    dl.SiLU: of_x(functional.silu),
    dl.Sigmoid: of_x(torch.sigmoid),
    dl.Tanh: of_x(torch.tanh),
    dl.Softplus: of_x(partial(functional.softplus, threshold=80)),
    dl.Softmax: of_x(partial(functional.softmax, dim=-1)),
    dl.LogSoftmax: of_x(partial(functional.log_softmax, dim=-1)),
    dl.Flatten: of_x(partial(torch.flatten, start_dim=1)),
    dl.Reshape: lambda layer, x, *_: x.reshape(len(x), *layer.shape),
    dl.Sequential: sequential,
    dl.Residual: residual,
    dl.Parallel: parallel,
}
# Dropout draws other masks; a Foreign layer comes from the user.
WITHOUT_TWIN = {dl.Dropout, dl.ForeignLayer}
# If a feature hardly varies, the division by a tiny number amplifies rounding.
NORMS = {dl.BatchNorm, dl.LayerNorm}


def twin(layer, x, state, train):
    """Return the PyTorch outputs for the tensor x, with the parameters and buffers of `layer` in `state`."""
    return TWINS[type(layer)](layer, x, state, train)


def compare(layer, x, dy_of, steps=2):
    """Raise AssertionError unless PyTorch agrees, to 1e-5 in float32 and 1e-10 in float64, of the largest number."""
    layer, parameters = layer.astype(x.dtype), {}
    for path, p in layer.named_parameters().items():
        # Initial ones and zeros would hide mistakes.
        p.value += np.cos(np.arange(p.value.size)).reshape(p.value.shape) / 2
        parameters[path] = torch.tensor(p.value.copy(), requires_grad=True)
    buffers = {path: torch.tensor(buffer.copy()) for path, buffer in layer.named_buffers().items()}
    for _ in range(steps):
        theirs = torch.tensor(np.array(x), requires_grad=True)
        y = twin(layer, theirs, parameters | buffers, True)
        dy = dy_of(tuple(y.shape))
        y.backward(torch.tensor(dy))
        results = [(layer.forward(x, train=True), y), (layer.backward(dy), theirs.grad)]
        results += [(p.grad, parameters[path].grad) for path, p in layer.named_parameters().items()]
        results += [(buffer, buffers[path]) for path, buffer in layer.named_buffers().items()]
        results += [(layer.forward(x), twin(layer, theirs, parameters | buffers, False))]
        tolerance = 1e-10 if x.dtype == np.float64 else 1e-5
        for got, wanted in results:
            wanted = wanted.detach().numpy()
            assert got.dtype == wanted.dtype == x.dtype
            scale = tolerance * max(1.0, np.abs(wanted).max())
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=scale)


def test_every_layer_has_a_twin():
    assert set(TWINS) | WITHOUT_TWIN == set(LAYERS)


@pytest.mark.parametrize("cls", TWINS, ids=lambda cls: cls.__name__)
def test_values_and_gradients_equal_those_of_torch(cls):
    kinds = [testing.off_kinks] if cls in NORMS else [testing.off_kinks, testing.ties, testing.extremes]

    @settings(max_examples=30)
    @given(st.data())
    def agrees(data):
        layer, x = data.draw(strategy_for(cls, data.draw(st.sampled_from(kinds))))
        x = x.astype(np.float64) if cls in NORMS else x
        compare(layer, x, lambda shape: data.draw(testing.off_kinks(shape)).astype(x.dtype))

    agrees()


def nested():
    narrow = dl.Sequential(dl.Dense(6, 2, rng=0), dl.Tanh())
    return dl.Sequential(
        dl.Flatten(),
        dl.Residual(dl.Parallel(narrow, dl.Residual(dl.Dense(6, 6, rng=1))), dl.Dense(6, 8, rng=2, bias=False)),
        dl.Reshape((2, -1)),
        dl.ReLU(),
        dl.Flatten(),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nested(), (5, 3, 2)),
        # Normalization of batches as large as in a convolutional network.
        (dl.BatchNorm(8), (20, 32, 32, 8)),
        (dl.LayerNorm(8), (20, 32, 32, 8)),
        # More columns than one block: many images, large images.
        (dl.Conv2D(8, 6, 5, padding=2, rng=0), (24, 9, 7, 8)),
        (dl.Conv2D(8, 6, 5, padding=2, stride=2, rng=0), (2, 64, 48, 8)),
        (dl.Conv2D(8, 6, 5, padding=2, dilation=2, groups=2, rng=0), (2, 64, 48, 8)),
    ],
)
def test_large_batches_and_deep_networks_equal_those_of_torch(layer, shape, dtype, rng):
    x = rng.normal(3.0, 1.0, shape).astype(dtype)
    compare(layer, x, lambda shape: rng.normal(size=shape).astype(dtype), steps=1)
