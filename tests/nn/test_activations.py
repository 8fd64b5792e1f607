"""Activations and their special functions, against scalar formulas with the math module."""

import math
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minidl as dl
from minidl import ELU, GELU, Activation, LeakyReLU, LogSoftmax, Sigmoid, SiLU, Softmax, Softplus, Tanh, testing
from minidl.nn.arithmetic import erf, sigmoid


def logistic(x):
    return 1.0 if x > 700 else math.exp(max(x, -745)) / (1 + math.exp(x))


def normal(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def inner(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def sech_squared(x):
    return 0.0 if abs(x) > 300 else 1 / math.cosh(x) ** 2


# The correct y and derivative of one number, by formulas that differ from those of the layers.
REFERENCES = {
    LeakyReLU(0.25): (lambda x: max(x, x / 4), lambda x: 1.0 if x > 0 else 0.25),
    LeakyReLU(3.0): (lambda x: min(x, 3 * x), lambda x: 1.0 if x > 0 else 3.0),
    ELU(): (lambda x: x if x > 0 else math.expm1(x), lambda x: 1.0 if x > 0 else math.exp(x)),
    ELU(0.5): (lambda x: x if x > 0 else 0.5 * math.expm1(x), lambda x: 1.0 if x > 0 else 0.5 * math.exp(x)),
    GELU(): (lambda x: x * normal(x), lambda x: normal(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
    GELU("tanh"): (
        lambda x: x * logistic(2 * inner(x)),
        lambda x: (
            logistic(2 * inner(x)) + x / 2 * sech_squared(inner(x)) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        ),
    ),
    SiLU(): (lambda x: x * logistic(x), lambda x: logistic(x) + x * sech_squared(x / 2) / 4),
    Sigmoid(): (logistic, lambda x: sech_squared(x / 2) / 4),
    Tanh(): (math.tanh, sech_squared),
    Softplus(): (lambda x: x if x > 700 else math.log1p(math.exp(x)), logistic),
}
LAYERS = [*REFERENCES, Softmax(), LogSoftmax()]
every_entrywise = pytest.mark.parametrize("layer", REFERENCES, ids=repr)
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=repr)


def fresh(layer):
    """A new layer like `layer`: its repr is the code that creates it."""
    return eval(repr(layer), vars(dl))


def slope_of(layer, x):
    layer.forward(x, train=True)
    return layer.backward(np.ones_like(x))


def numbers(dtype):
    width = np.dtype(dtype).itemsize * 8
    elements = st.floats(-20, 20, width=width) | st.floats(-1e4, 1e4, width=width)
    return arrays(dtype, st.tuples(st.integers(0, 3), st.integers(1, 3)), elements=elements)


@every_entrywise
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("part", [0, 1], ids=["y", "dx"])
def test_each_entry_equals_the_formula(layer, dtype, part):
    layer, reference = fresh(layer), REFERENCES[layer][part]

    @settings(max_examples=40)
    @given(numbers(dtype))
    def agrees(x):
        got = slope_of(layer, x) if part else layer.forward(x)
        assert got.dtype == dtype
        assert got.shape == x.shape
        wanted = np.array([reference(float(value)) for value in x.flat]).reshape(x.shape)
        rounding = 16 * np.finfo(dtype).eps
        np.testing.assert_allclose(got, wanted, rtol=rounding, atol=rounding)

    agrees()


@every_layer
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_numbers_give_finite_results_without_a_warning(layer, dtype):
    x = np.array([[0.0, 1e4, -1e4, 89.0], [-0.0, 710.0, -746.0, 104.0]], dtype)
    if dtype == np.float16:
        x = np.clip(x, -30, 30)  # the square of 1e4 is infinite there
    layer = fresh(layer)
    y = layer.forward(x, train=True)
    dx = layer.backward(np.ones_like(x))
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()
    assert y.dtype == dx.dtype == dtype


def test_small_results_for_large_negative_x_stay_accurate():
    x = np.array([[-40.0, -80.0]], np.float32)
    for layer, wanted in ((Sigmoid(), np.exp(x)), (Softplus(), np.exp(x)), (SiLU(), x * np.exp(x))):
        np.testing.assert_allclose(layer.forward(x), wanted, rtol=1e-6)
        assert (slope_of(layer, x) != 0).all()
    np.testing.assert_allclose(slope_of(ELU(), x), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(Softmax().forward(np.array([[0.0, -80.0]], np.float32))[0, 1], np.exp(-80.0), rtol=1e-6)


@pytest.mark.parametrize(("layer", "slope"), [(LeakyReLU(0.25), 0.25), (ELU(), 1.0), (ELU(0.5), 0.5)], ids=repr)
def test_the_slope_at_the_kink_is_the_left_hand_slope(layer, slope):
    assert slope_of(layer, np.array([[0.0, -0.0]])).tolist() == [[slope, slope]]


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh(), Softmax(), LogSoftmax()], ids=repr)
def test_a_derivative_of_y_does_not_hold_x_in_memory(layer):
    x = np.ones((2, 3))
    watched = weakref.ref(x)
    layer.forward(x, train=True)
    del x
    assert watched() is None


def test_two_methods_define_an_activation():
    class Sine(Activation):
        def function(self, x):
            return np.sin(x)

        def derivative(self, x):
            return np.cos(x)

    class HalfSquare(Sine):
        """Whose derivative is what it was given."""

        def function(self, x):
            return x * x / 2

        def derivative(self, x):
            return x

    class Exponential(HalfSquare):
        derivative_takes_y = True

        def function(self, x):
            return np.exp(x)

    for cls in (Sine, HalfSquare, Exponential):
        testing.check_layer_contract(cls, (3,))


# ---- softmax

SCORES = arrays(np.float64, st.tuples(st.integers(0, 3), st.integers(1, 4)), elements=st.floats(-1e4, 1e4))


@given(SCORES, st.floats(-1e3, 1e3))
def test_softmax_gives_probabilities_that_a_shift_does_not_change(x, shift):
    p = Softmax().forward(x)
    assert p.shape == x.shape
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(Softmax().forward(x + shift), p, rtol=1e-8, atol=1e-11)


@given(SCORES)
def test_log_softmax_is_the_logarithm_of_softmax(x):
    y = LogSoftmax().forward(x)
    assert (y <= 0).all()
    np.testing.assert_allclose(np.exp(y), Softmax().forward(x), rtol=1e-11, atol=1e-300)
    for row, result in zip(x, y, strict=True):
        log_sum = max(row) + math.log(math.fsum(math.exp(value - max(row)) for value in row))
        np.testing.assert_allclose(result, row - log_sum, rtol=1e-13, atol=1e-11)


# ---- special functions


def test_erf_equals_the_math_module_on_a_fine_grid():
    x = np.concatenate([np.linspace(-6.5, 6.5, 20_001), np.logspace(-307, 5, 10_001), -np.logspace(-307, 5, 1001)])
    wanted = np.array([math.erf(value) for value in x])
    before = x.copy()
    np.testing.assert_allclose(erf(x), wanted, rtol=1e-15)
    np.testing.assert_array_equal(x, before)
    normal = np.abs(x) > 1e-37
    np.testing.assert_allclose(erf(x[normal].astype(np.float32)), wanted[normal], rtol=5e-7)


def test_erf_of_infinite_and_extreme_numbers():
    y = erf(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0]))
    np.testing.assert_array_equal(y, [np.nan, 1.0, -1.0, 0.0, -0.0])
    assert np.signbit(y[4])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("function", [erf, sigmoid])
def test_special_functions_keep_dtype_and_shape(function, dtype):
    for shape in ((0, 2), (3,), (2, 1, 2)):
        y = function(np.full(shape, 0.3, dtype))
        assert (y.dtype, y.shape) == (dtype, shape)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize(("dtype", "largest"), [("float32", 3e38), ("float64", 1e308)])
def test_gelu_equals_relu_far_from_zero(approximate, dtype, largest):
    layer, x = dl.GELU(approximate), np.array([[-largest, -1e20, 1e20, largest]], dtype)
    assert layer.forward(x, train=True).tolist() == [[0, 0, *x[0, 2:].tolist()]]
    assert layer.backward(np.ones_like(x)).tolist() == [[0, 0, 1, 1]]
