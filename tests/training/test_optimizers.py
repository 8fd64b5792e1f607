import copy

import numpy as np
import pytest
from small_parts import Momentum

from minidl import SGD, Adam, InputError, NAdam, OneCycle, Parameter, RMSProp, ShapeError, StepDecay


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


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf"), "cosine", None, True, OneCycle])
def test_a_learning_rate_is_a_finite_number_above_zero(rate):
    with pytest.raises(InputError, match="learning_rate: expected a finite number > 0 or a Schedule, got"):
        SGD(rate)


def test_the_current_rate_is_that_of_the_last_step_also_after_an_assignment():
    optimizer, parameter = SGD(StepDecay(1.0, 0.5, every=2)), Parameter([0.0])
    assert optimizer.current_learning_rate == 1.0
    for _ in range(4):
        optimizer.step({"w": parameter})
    assert optimizer.current_learning_rate == 0.5  # of step 3; step 4 will have 0.25
    optimizer.learning_rate = StepDecay(8.0, 0.5, every=2)
    assert optimizer.current_learning_rate == 4.0
    optimizer.learning_rate = 0.1
    assert optimizer.current_learning_rate == 0.1


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.1), NAdam(0.1), RMSProp(0.1)], ids=repr)
@pytest.mark.parametrize("shape", [(2,), (4, 3), (1,), (400, 300)])
def test_an_optimizer_of_another_model_says_so(optimizer, shape):
    optimizer = copy.deepcopy(optimizer)
    optimizer.step({"w": Parameter(np.zeros((3, 4)))})
    with pytest.raises(ShapeError, match=r"remembers parameters of other shapes: at 'w' .*; make a new one for each"):
        optimizer.step({"w": Parameter(np.zeros(shape))})


def test_an_error_of_the_rule_itself_stays_what_it_is():
    class Broken(SGD):
        def update(self, parameter, state, learning_rate):
            raise ValueError("my own")

    with pytest.raises(ValueError, match=r"^my own$"):
        Broken(0.1).step({"w": Parameter([0.0])})


def test_there_must_be_something_to_train():
    with pytest.raises(InputError, match="at least one parameter"):
        SGD(0.1).step({})


def test_representation_reads_like_the_code():
    assert repr(SGD(np.float64(0.1))) == "SGD(0.1)"
