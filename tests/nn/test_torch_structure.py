"""Residual, Parallel, Flatten and Reshape against PyTorch, where they are a sum, a cat and views: y, dx, gradients."""

import numpy as np
import pytest
from cases import strategy_for
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as dl
from minidl import testing

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")


def outputs(layer, x, leaves, path=""):
    """Return what `layer` makes of the tensor x by PyTorch's arithmetic, with parameters out of `leaves`."""
    parts = {name: (part, f"{path}{name}.") for name, part in layer._layers.items()}
    if isinstance(layer, dl.Dense):
        y = x @ leaves[f"{path}weight"]
        return y if layer.bias is None else y + leaves[f"{path}bias"]
    if isinstance(layer, dl.Residual):
        past = outputs(parts["shortcut"][0], x, leaves, parts["shortcut"][1]) if "shortcut" in parts else x
        return outputs(parts["body"][0], x, leaves, parts["body"][1]) + past
    if isinstance(layer, dl.Parallel):
        return torch.cat([outputs(part, x, leaves, place) for part, place in parts.values()], dim=-1)
    if isinstance(layer, dl.Sequential):
        for part, place in parts.values():
            x = outputs(part, x, leaves, place)
        return x
    if isinstance(layer, dl.Flatten):
        return x.flatten(1)
    if isinstance(layer, dl.Reshape):
        return x.reshape(len(x), *layer.shape)
    modules = {"ReLU": torch.nn.ReLU(), "LeakyReLU": torch.nn.LeakyReLU(0.01), "Tanh": torch.nn.Tanh()}
    return modules[type(layer).__name__](x)


def compare(layer, x, dy_of):
    """Raise AssertionError unless PyTorch's y, dx and parameter gradients are those of `layer`."""
    layer = layer.astype(x.dtype)
    leaves = {path: torch.tensor(p.value.copy(), requires_grad=True) for path, p in layer.named_parameters().items()}
    theirs = torch.tensor(np.array(x), requires_grad=True)
    y = outputs(layer, theirs, leaves)
    dy = dy_of(tuple(y.shape))
    y.backward(torch.tensor(dy))
    results = [(layer.forward(x, train=True), y.detach()), (layer.backward(dy), theirs.grad)]
    results += [(p.grad, leaves[path].grad) for path, p in layer.named_parameters().items()]
    tolerance = 1e-10 if x.dtype == np.float64 else 1e-5
    for got, wanted in results:
        scale = tolerance * max(1.0, float(wanted.abs().max()))
        np.testing.assert_allclose(got, wanted.numpy(), rtol=tolerance, atol=scale)


@pytest.mark.parametrize("cls", [dl.Flatten, dl.Reshape, dl.Residual, dl.Parallel], ids=lambda cls: cls.__name__)
def test_values_and_gradients_are_those_of_torch(cls):
    @settings(max_examples=25)
    @given(st.data())
    def agrees(data):
        layer, x = data.draw(strategy_for(cls))
        compare(layer, x, lambda shape: data.draw(testing.upstream(shape, x.dtype)))

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
def test_a_network_of_all_of_them_is_that_of_torch(dtype, rng):
    compare(nested(), rng.normal(size=(5, 3, 2)).astype(dtype), lambda shape: rng.normal(size=shape).astype(dtype))
