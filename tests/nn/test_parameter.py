import copy

import numpy as np
import pytest

from minidl import Parameter, ShapeError


def test_the_value_is_a_copy_of_the_argument():
    given = np.ones(3, np.float32)
    parameter = Parameter(given)
    parameter.value -= 1.0
    assert given.tolist() == [1, 1, 1]
    assert parameter.value.tolist() == [0, 0, 0]


def test_float32_is_the_default():
    assert Parameter([1.0]).value.dtype == np.float32
    assert Parameter([1.0], dtype=np.float64).grad.dtype == np.float64


def test_gradients_add_up_and_zero_grad_clears_even_a_nan():
    parameter, given = Parameter(np.zeros(2)), np.array([1.0, 2.0])
    parameter.add_grad(given)
    parameter.add_grad(given)
    assert parameter.grad.tolist() == [2, 4]
    assert given.tolist() == [1, 2]
    for added in (given, 0 * given):
        parameter.add_grad(np.array([np.nan, 1.0]))
        parameter.zero_grad()
        if added.any():
            parameter.add_grad(added)
        assert parameter.grad.tolist() == added.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_added_like_gradients_in_the_values_dtype(dtype, rng):
    parameter = Parameter(np.asfortranarray(np.ones((3, 2))), dtype=dtype)
    memory, a, b = parameter.grad, rng.normal(size=(3, 5)), rng.normal(size=(5, 2))
    for times in (1, 2):
        parameter.add_product(a, b)
        np.testing.assert_allclose(parameter.grad, times * (a @ b), rtol=1e-6)
    parameter.zero_grad()
    parameter.add_product(2 * a, b)
    np.testing.assert_allclose(parameter.grad, 2 * (a @ b), rtol=1e-6)
    assert parameter.grad is memory
    with pytest.raises(ShapeError, match=r"expected a gradient of shape \(3, 2\), got \(5, 2\)"):
        parameter.add_product(a.T, b)


@pytest.mark.parametrize("wrong", [np.zeros((3, 2)), np.zeros((1, 1))])
def test_a_gradient_or_value_of_another_shape_is_refused(wrong):
    parameter = Parameter(np.zeros((2, 3)), name="Dense.weight")
    with pytest.raises(ShapeError, match=r"Dense.weight: expected a gradient of shape \(2, 3\)"):
        parameter.add_grad(wrong)
    with pytest.raises(ShapeError, match=r"Dense.weight: expected a value of shape \(2, 3\)"):
        parameter.value = wrong


def test_assigning_a_value_keeps_memory_and_dtype():
    parameter = Parameter(np.zeros(2))
    memory = parameter.value
    parameter.value = np.array([1.0, 2.0])
    assert parameter.value is memory
    assert memory.tolist() == [1, 2]
    assert memory.dtype == np.float32


def test_memory_order_survives_a_deep_copy():
    parameter = Parameter(np.asfortranarray(np.ones((2, 3))))
    assert copy.deepcopy(parameter).value.flags.f_contiguous
    assert parameter.grad.flags.f_contiguous
