import numpy as np
import pytest
from small_parts import Momentum

from minidl import SGD, InputError, Parameter


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sgd_moves_against_the_gradient_in_place(dtype):
    parameter = Parameter([1.0, 2.0], dtype=dtype)
    memory = parameter.value
    parameter.add_grad(np.array([1.0, -2.0]))
    SGD(0.5).step({"w": parameter})
    assert parameter.value is memory
    assert memory.tolist() == [0.5, 3.0]
    assert memory.dtype == dtype
    assert parameter.grad.tolist() == [1.0, -2.0]


def test_sgd_on_a_parabola_shrinks_by_the_closed_form():
    parameter = Parameter([8.0], dtype=np.float64)
    optimizer = SGD(0.1)
    for _ in range(10):
        parameter.zero_grad()
        parameter.add_grad(2.0 * parameter.value)  # of w**2
        optimizer.step({"w": parameter})
    assert parameter.value[0] == pytest.approx(8.0 * (1 - 0.2) ** 10, rel=1e-14)


def test_a_rule_of_ones_own_is_a_formula_and_its_state_goes_by_path():
    optimizer = Momentum(1.0)
    parameters = {"0.weight": Parameter([0.0]), "1.weight": Parameter([0.0])}
    parameters["0.weight"].add_grad(np.array([1.0]))
    for _ in range(2):
        optimizer.step(parameters)
    assert parameters["0.weight"].value[0] == -2.5
    assert parameters["1.weight"].value[0] == 0
    assert optimizer.state["0.weight"]["velocity"][0] == -1.5


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf"), "0.1", None, True])
def test_a_learning_rate_is_a_finite_number_above_zero(rate):
    with pytest.raises(InputError, match="learning_rate: expected a finite number > 0"):
        SGD(rate)


def test_there_must_be_something_to_train():
    with pytest.raises(InputError, match="at least one parameter"):
        SGD(0.1).step({})


def test_representation_reads_like_the_code():
    assert repr(SGD(np.float64(0.1))) == "SGD(0.1)"
