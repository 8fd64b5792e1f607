"""Dense and ReLU: results and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minidl import Dense, InputError, Normal, ReLU, ShapeError


def test_dense_equals_its_definition(rng):
    layer, x = Dense(3, 2, rng=0, dtype=np.float64), rng.normal(size=(5, 3))
    layer.bias.value = [1.0, -1.0]
    w = layer.weight.value
    expected = [[sum(x[i, k] * w[k, j] for k in range(3)) + [1, -1][j] for j in (0, 1)] for i in range(5)]
    np.testing.assert_allclose(layer.forward(x), expected)


@pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 3, 1), (3, 5)])
def test_dense_refuses_rows_of_another_width(shape):
    with pytest.raises(ShapeError, match=r"Dense\(3, 2\): expected x of shape \(n, 3\), got") as refusal:
        Dense(3, 2).forward(np.zeros(shape))
    assert ("transpose x" in str(refusal.value)) == (shape == (3, 5))
    with pytest.raises(ShapeError, match=r"Dense\(3, 2\): expected rows of shape \(3,\), got"):
        Dense(3, 2).output_shape((4,))


def test_foreign_byte_order_is_converted_or_refused():
    assert Dense(3, 2, dtype=">f8").weight.value.dtype == np.float64
    with pytest.raises(InputError, match="native byte order, got dtype >f4"):
        Dense(3, 2).forward(np.zeros((1, 3), ">f4"))


def test_a_users_initializer_must_return_the_shape():
    class Turned(Normal):
        def __call__(self, shape, rng):
            return super().__call__(shape[::-1], rng)

    with pytest.raises(ShapeError, match=r"shape \(3, 2\), got \(2, 3\)"):
        Dense(3, 2, weight_init=Turned(1.0))


def test_the_same_seed_draws_the_same_weights_in_every_dtype():
    layers = [Dense(4, 3, weight_init=Normal(0.1), rng=7, dtype=d) for d in (np.float32, np.float64)]
    single, double = (layer.weight.value for layer in layers)
    np.testing.assert_array_equal(single, double.astype(np.float32))
    assert [p.penalized for p in layers[0].named_parameters().values()] == [True, False]


numbers = st.floats(-(2.0**100), 2.0**100, width=32)


@given(arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(0, 4)), elements=numbers))
def test_relu_is_the_larger_of_x_and_zero_and_so_is_its_slope(x):
    layer = ReLU()
    y = layer.forward(x, train=True)
    assert all(b == max(a, 0.0) for a, b in zip(x.flat, y.flat, strict=True))
    # At the kink the slope is 0; a dy of 1e30 would show any other slope.
    np.testing.assert_array_equal(layer.backward(np.full_like(x, 1e30)), np.where(x > 0, np.float32(1e30), 0))
