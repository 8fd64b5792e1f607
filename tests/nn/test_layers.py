"""Tests for every layer, one table row each, and for `Layer` itself."""

import copy
import pickle

import numpy as np
import pytest

import minidl as dl
from minidl import CallOrderError, InputError, Layer, ReLU, Sequential, ShapeError, testing

# The code of a layer, which is also its repr, and the shape of its rows.
LAYERS = {
    "Dense(4, 3)": (4,),
    "ReLU()": (2, 3),
    "LeakyReLU(3)": (2, 3),
    "ELU()": (2, 3),
    "GELU()": (2, 3),
    "SiLU()": (2, 3),
    "Sigmoid()": (4,),
    "Tanh()": (2, 3),
    "Softplus()": (4,),
    "Softmax()": (2, 3),
    "LogSoftmax()": (2, 3),
    "Conv2D(2, 3, 3, padding='same', bias=False)": (5, 4, 2),
    "Conv2D(2, 4, (2, 3), stride=(2, 1), padding='same', groups=2)": (5, 4, 2),
    "Conv2D(3, 2, 2, padding=1, dilation=(2, 1))": (4, 5, 3),
    "Conv2D(3, 3, 3, padding=1, groups=3)": (3, 4, 3),
    "MaxPool2D((3, 2), stride=(2, 1), padding=1)": (5, 4, 2),
    "AvgPool2D(3, stride=1, padding=(1, 2))": (4, 3, 2),
    "GlobalAvgPool2D()": (3, 4, 2),
    "Dropout(0.5)": (2, 3),
    "BatchNorm(4)": (4,),
    "BatchNorm(3, momentum=0.5, epsilon=0.1)": (2, 4, 3),
    "LayerNorm(4)": (4,),
    "LayerNorm(3, epsilon=0.1)": (2, 2, 3),
    "Flatten()": (2, 3, 2),
    "Reshape((3, -1))": (2, 3, 2),
    "Residual(Dense(4, 3), Dense(4, 3))": (4,),
    "Residual(Flatten())": (4,),
    "Parallel(Dense(4, 3), ReLU(), Dense(4, 1))": (4,),
    "Parallel(Tanh(), ReLU())": (3, 2, 2),
    "Sequential()": (4,),
    "Sequential(Conv2D(2, 3, 3, padding=1), MaxPool2D(2), Flatten(), Dense(12, 2))": (4, 5, 2),
    "Sequential(Dense(3, 4), BatchNorm(4), ReLU(), Dropout(0.25), LayerNorm(4))": (3,),
    "Sequential(Flatten(), Residual(Parallel(Dense(4, 1), Residual(Dense(4, 4))), Sequential(Dense(4, 5))))": (2, 2),
}
every_layer = pytest.mark.parametrize(("code", "shape"), LAYERS.items(), ids=str)


def drawn(layer, seed=0):
    """Return `layer` with parameters and masks drawn from `seed`."""
    rng = np.random.default_rng(seed)
    for path, parameter in layer.named_parameters().items():
        offset = 1.0 if path.endswith("gamma") else 0.0
        parameter.value = offset + rng.normal(0.0, 0.5, parameter.value.shape)
    for _, part in layer.walk():
        if isinstance(part, dl.Dropout):
            part.seed = seed
    return layer


def make(code, seed=0):
    return drawn(eval(code, vars(dl)), seed)


def gradients(layer):
    return {path: parameter.grad for path, parameter in layer.named_parameters().items()}


@every_layer
def test_the_layer_contract_is_kept(code, shape):
    testing.check_layer_contract(lambda: make(code), shape)
    assert repr(make(code)) == code
    rows_mix = not all(part.batch_independent for _, part in make(code).walk())
    assert rows_mix == ("BatchNorm" in code or "Dropout" in code)


@every_layer
@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_y_has_the_dtype_of_x_and_dx_that_of_dy(code, shape, own, dtype, rng):
    layer, x = make(code).astype(own), rng.normal(size=(3, *shape)).astype(dtype)
    assert layer.forward(x).dtype == dtype
    for other in (np.float32, np.float64):
        y = layer.forward(x, train=True)
        assert y.dtype == dtype
        assert layer.backward(y.astype(other)).dtype == other
    assert {gradient.dtype for gradient in gradients(layer).values()} <= {np.dtype(own)}


@every_layer
def test_backward_parameters_needs_one_training_forward_each(code, shape, rng):
    layer, x = make(code), rng.normal(size=(3, *shape)).astype(np.float32)
    dy = np.ones_like(layer.forward(x, train=True))
    layer.backward_parameters(dy)
    for backward in (layer.backward, layer.backward_parameters):
        with pytest.raises(CallOrderError, match="one backward"):
            backward(dy)


@every_layer
def test_a_wrong_dy_is_refused(code, shape, rng):
    layer, x = make(code), rng.normal(size=(2, *shape)).astype(np.float32)
    y = layer.forward(x, train=True)
    for wrong in (y[:1], y[..., :1], y[..., None], y.ravel()):
        if wrong.shape != y.shape and code != "Sequential()":
            layer.forward(x, train=True)
            with pytest.raises(ShapeError, match="expected dy of shape"):
                layer.backward(wrong)


@every_layer
@pytest.mark.parametrize("x", ["int", "complex", ">f4", None, [[0.0]]], ids=str)
def test_only_floating_point_arrays_are_accepted(code, shape, x):
    if code != "Sequential()":
        with pytest.raises(InputError, match="floating-point array"):
            make(code).forward(np.zeros((2, *shape), x) if isinstance(x, str) else x)


# ---- Layer


class Counting(ReLU):
    # It does not call the base constructor, which does no harm.
    def __init__(self):
        self.gain = self.add_parameter("gain", np.ones(1))
        self.count = self.add_buffer("count", 2**53 + 1, dtype=np.int64)
        self.mean = self.add_buffer("mean", 0.5)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), lambda n: n.astype("f8")])
def test_copies_share_nothing_and_a_counter_stays_an_integer(twin):
    network = Sequential(Counting(), Counting())
    other = twin(network)
    assert list(other.named_parameters()) == ["0.gain", "1.gain"]
    assert list(other.named_buffers()) == ["0.count", "0.mean", "1.count", "1.mean"]
    assert other.layers[0].count is other.named_buffers()["0.count"]
    assert (other.layers[0].count.dtype, other.layers[0].count) == (np.int64, 2**53 + 1)
    other.layers[0].count += 1
    assert network.layers[0].count == 2**53 + 1
    assert network.astype("f8").layers[0].mean.dtype == np.float64


def test_freeze_applies_to_all_inner_parameters():
    network = Sequential(dl.Dense(2, 2), Sequential(dl.Dense(2, 2)))
    network.freeze()
    assert not any(p.trainable for p in network.named_parameters().values())
    network.unfreeze()
    assert all(p.trainable for p in network.named_parameters().values())


@pytest.mark.parametrize("name", ["weight", "", "a.b", "@a"])
def test_a_name_must_be_new_and_without_a_dot(name):
    with pytest.raises(InputError, match="expected an unused name without a dot"):
        dl.Dense(2, 2).add_parameter(name, np.ones(2))


@pytest.mark.parametrize("dtype", [bool, complex, str, None, object])
def test_parameters_and_buffers_must_be_numbers(dtype):
    with pytest.raises(InputError, match="dtype: expected a floating-point dtype"):
        ReLU().add_parameter("p", 0, dtype=dtype)
    with pytest.raises(InputError, match="dtype: expected a floating-point or integer dtype"):
        ReLU().add_buffer("b", 0, dtype=dtype)


@pytest.mark.parametrize("cls", [Layer, dl.Activation])
def test_a_layer_must_define_its_methods(cls):
    with pytest.raises(TypeError, match="abstract"):
        cls()
