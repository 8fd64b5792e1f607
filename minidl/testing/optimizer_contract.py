"""The contracts of optimizers and schedules."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minidl._core.checks import as_count, is_number
from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.nn.parameter import Parameter
from minidl.testing.contract import Contract, require, require_equal, sample
from minidl.training.optimizers import Optimizer, Schedule

# The factors of the gradients, step by step: after large gradients a small one of the other sign, which shows whether a
# rule that uses signs keeps its state.
_FACTORS = (1.0, 2.0, -0.5, -0.01, 0.02, 3.0)


def check_optimizer_contract(make: Callable[[], Optimizer]) -> None:
    """Check that the optimizers of `make` keep the contract of `Optimizer`.

    Gradients change with each step, and are zero in one step. The contract does not check the formula of the update:
    for example, a momentum that is updated too early keeps every rule. Compare the steps with the formula yourself.

    Parameters
    ----------
    make : callable
        Returns a new optimizer, the same each time. It must minimise, with a rate above 0 from the first step on.

    Raises
    ------
    InputError
        If `make` does not return new optimizers.
    ContractError
        At the first broken rule, naming the class and the rule.

    Examples
    --------
    >>> from minidl import SGD
    >>> check_optimizer_contract(lambda: SGD(0.1))
    """
    OptimizerContract(make)._check()


class OptimizerContract(Contract):
    _kind = Optimizer

    def moves_against_the_gradient_of_a_parabola(self) -> None:
        optimizer = self._make()
        rate = optimizer.current_learning_rate
        # Everything scales with the learning rate, so that no step can jump over the minimum, whether its size is
        # rate * gradient or about the rate itself. RMSProp's first step is ten times the rate.
        start = 100.0 * rate * np.array([1.0, -2.0, 3.0])
        weight = Parameter(start, dtype=np.float64)
        for _ in range(3):
            weight.zero_grad()
            weight.add_grad(0.1 / rate * weight.value)
            optimizer.step({"weight": weight})
        nearer = np.abs(weight.value) < np.abs(start)
        require(nearer.all(), f"expected three steps to move {start} towards the minimum at 0, got {weight.value}")

    def uses_the_learning_rate(self) -> None:
        optimizer = self._make()
        optimizer.learning_rate = 2.0 * optimizer.current_learning_rate
        twice, once = (_walk(o, _weight(), steps=(0,)) for o in (optimizer, self._make()))
        require(not np.array_equal(twice, once), "twice the rate gives the same step; use the learning_rate of update")

    def changes_values_in_place(self) -> None:
        weight = _weight()
        memory, before = weight.value, weight.value.copy()
        _walk(self._make(), weight)
        require(weight.value is memory, "expected the same array in parameter.value after a step")
        require(not np.array_equal(memory, before), "a step with a nonzero gradient changed nothing")

    def keeps_state_by_path(self) -> None:
        together, alone = self._make(), self._make()
        # Clipping by norm depends on all gradients together, so it is turned off here.
        together.clip_norm = alone.clip_norm = None
        got, expected = _walk(together, _weight(), _weight()), _walk(alone, _weight())
        paths = sorted(together.state)
        require(paths == ["0.weight", "1.weight"], f"expected state for 0.weight and 1.weight, got {paths}")
        require_equal("0.weight trained with another weight", got, expected, "; keep state by parameter, in init_state")

    def keeps_the_dtype(self) -> None:
        for dtype in ("float32", "float64"):
            optimizer, weight = self._make(), _weight(dtype=dtype)
            _walk(optimizer, weight)
            arrays = weight.value, *optimizer.state["0.weight"].values()
            got = sorted({array.dtype.name for array in arrays if array.ndim})
            require(got == [dtype], f"expected {dtype} in all arrays of a {dtype} parameter, got {', '.join(got)}")

    def leaves_gradients_alone(self) -> None:
        weight = _weight()
        _walk(self._make(), weight, steps=(0,))
        require_equal("the gradient after a step", weight.grad, _gradient(0, 0))

    def changes_state_in_place(self) -> None:
        optimizer, weight = self._make(), _weight()
        _walk(optimizer, weight, steps=(0,))
        before = dict(optimizer.state["0.weight"])
        _walk(optimizer, weight, steps=(1,))
        for name, array in optimizer.state["0.weight"].items():
            require(array is before.get(name), f"expected update to change state {name!r} in place, got a new array")

    def gradients_of_zero_give_finite_numbers(self) -> None:
        optimizer, weight = self._make(), _weight()
        optimizer.step({"0.weight": weight})
        for name, array in {"the weight": weight.value, **optimizer.state["0.weight"]}.items():
            require(np.isfinite(array).all(), f"{name}: a gradient of 0 gives NaN or infinity; add an epsilon")

    def continues_from_its_state(self) -> None:
        optimizer, resumed, weight = self._make(), self._make(), _weight()
        _walk(optimizer, weight, steps=(0, 1))
        twin = Parameter(weight.value, dtype=np.float64)
        resumed.state, resumed.steps = copy.deepcopy(optimizer.state), optimizer.steps
        for step in range(2, len(_FACTORS)):
            got, expected = _walk(resumed, twin, steps=(step,)), _walk(optimizer, weight, steps=(step,))
            message = "the weight after a new optimizer took over state and steps"
            require_equal(message, got, expected, "; keep all state in arrays of init_state, which checkpoints save")

    def memory_order_of_a_weight_changes_nothing(self) -> None:
        rows, columns = (_walk(self._make(), _weight(order=order)) for order in ("C", "F"))
        require_equal("a weight in column order", columns, rows)

    def leaves_frozen_parameters_alone(self) -> None:
        frozen = _weight()
        before = frozen.value.copy()
        frozen.trainable = False
        _walk(self._make(), _weight(), frozen)
        require(np.array_equal(frozen.value, before), "a step changed a parameter whose trainable is False")

    def refuses_another_model(self) -> None:
        optimizer = self._make()
        _walk(optimizer, _weight())
        try:
            _walk(optimizer, _weight())
        except MinidlError:
            return
        require(False, "expected a step with another model's parameter to raise an error, got none")


def _weight(dtype: Any = np.float64, order: Any = "C") -> Parameter:
    return Parameter(np.array(sample((3, 2), 0), order=order), dtype=dtype)


def _gradient(place: int, step: int) -> Array:
    return _FACTORS[step] * sample((3, 2), place + 1)


def _walk(optimizer: Optimizer, *weights: Parameter, steps: Iterable[int] = range(len(_FACTORS))) -> Array:
    """Take the given steps with their gradients, and return the value of the first weight."""
    for step in steps:
        for place, weight in enumerate(weights):
            weight.zero_grad()
            weight.add_grad(_gradient(place, step).astype(weight.value.dtype))
        optimizer.step({f"{place}.weight": weight for place, weight in enumerate(weights)})
    return weights[0].value


def check_schedule_contract(make: Callable[[], Schedule], steps: int = 1000) -> None:
    """Check that the schedules of `make` keep the contract of `Schedule`: pure functions with finite rates >= 0.

    Parameters
    ----------
    make : callable
        Returns a new schedule, the same each time.
    steps : int
        The number of steps to check; more than the schedule has until it ends.

    Raises
    ------
    InputError, ContractError
        As for `check_optimizer_contract`.

    Examples
    --------
    >>> from minidl import CosineAnnealing
    >>> check_schedule_contract(lambda: CosineAnnealing(0.1, steps=300))
    """
    ScheduleContract(make, steps)._check()


class ScheduleContract(Contract):
    _kind = Schedule

    def __init__(self, make: Callable[[], Schedule], steps: int = 1000) -> None:
        super().__init__(make)
        self._steps = range(as_count("steps", steps))

    def rates_are_finite_and_not_negative(self) -> None:
        for step, rate in enumerate(map(self._make(), self._steps)):
            fits = is_number(rate) and 0.0 <= rate < math.inf
            require(fits, f"expected a finite number >= 0 as the rate of step {step}, got {rate!r:.80}")

    def same_step_same_rate(self) -> None:
        schedule, other = self._make(), self._make()
        rates = [*map(schedule, self._steps)]
        for which, step in itertools.product((schedule, other), reversed(self._steps)):
            message = f"step {step}: expected {rates[step]!r} again in another order of calls, got "
            require((rate := which(step)) == rates[step], f"{message}{rate!r}; compute a rate from the step alone")
