"""The contracts of what trains: optimizers, initializers, callbacks."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._core.errors import MinidlError
from minidl.data.dataset import Dataset
from minidl.nn.initializers import Initializer
from minidl.nn.layers import Dense, Sequential
from minidl.nn.losses import SoftmaxCrossEntropy
from minidl.nn.model import Model
from minidl.nn.parameter import Parameter
from minidl.testing.contract import require, require_equal, require_raises, run_checks, sample
from minidl.training.callbacks import Callback
from minidl.training.optimizers import SGD, Optimizer
from minidl.training.trainer import Trainer

MakeOptimizer = Callable[[], Optimizer]
MakeInitializer = Callable[[], Initializer]
MakeCallback = Callable[[], Callback]


def check_optimizer_contract(make: MakeOptimizer) -> None:
    """Check that the optimizers of `make` keep the contract of `Optimizer`.

    Parameters
    ----------
    make : callable
        Returns a new optimizer, the same each time, that minimises, at a rate above 0 from the first step on.

    Raises
    ------
    ContractError
        At the first rule that is broken, naming the class and the rule.

    Examples
    --------
    >>> check_optimizer_contract(lambda: SGD(0.1))
    """
    checks = (
        *(moves_against_the_gradient_of_a_parabola, changes_values_in_place, keeps_the_dtype, leaves_gradients_alone),
        *(remembers_by_path, remembers_in_place, is_deterministic, memory_order_of_a_weight_changes_nothing),
        *(leaves_frozen_parameters_alone, refuses_bad_learning_rates, refuses_to_train_nothing),
    )
    run_checks(Optimizer, make, checks)


def moves_against_the_gradient_of_a_parabola(make: MakeOptimizer) -> None:
    optimizer = make()
    rate = optimizer.current_learning_rate
    # Everything goes by the learning rate, so that neither steps of rate * gradient nor steps of about the rate itself,
    # whatever the gradient, can jump over the minimum; RMSProp's first step is ten rates long.
    start = 100.0 * rate * np.array([1.0, -2.0, 3.0])
    weight = Parameter(start, dtype=np.float64)
    for _ in range(3):
        _set_gradient(weight, 0.1 / rate * weight.value)
        optimizer.step({"weight": weight})
    require(
        (np.abs(weight.value) < np.abs(start)).all(), f"three steps led from {start} to {weight.value}, away from 0"
    )


def changes_values_in_place(make: MakeOptimizer) -> None:
    weight = _weight()
    memory, before = weight.value, weight.value.copy()
    make().step({"weight": weight})
    require(weight.value is memory, "expected the same array in parameter.value after a step")
    require(not np.array_equal(memory, before), "a step with a gradient changed nothing")


def keeps_the_dtype(make: MakeOptimizer) -> None:
    for dtype in (np.float32, np.float64):
        optimizer, weight = make(), _weight(dtype=dtype)
        optimizer.step({"weight": weight})
        got = [weight.value.dtype, *(array.dtype for array in optimizer.state["weight"].values() if array.ndim)]
        require(all(d == dtype for d in got), f"expected all arrays of a {np.dtype(dtype)} parameter in it, got {got}")


def leaves_gradients_alone(make: MakeOptimizer) -> None:
    optimizer, weight = make(), _weight()
    before = weight.grad.copy()
    for _ in range(2):
        optimizer.step({"weight": weight})
    require_equal("the gradient after a step", weight.grad, before)


def remembers_by_path(make: MakeOptimizer) -> None:
    together, one, other = make(), make(), make()
    together.clip_norm = one.clip_norm = other.clip_norm = None  # it goes by all gradients together, and rightly so
    both = {"0.weight": _weight(1), "1.weight": _weight(2)}
    alone, beside = {"0.weight": _weight(1)}, {"1.weight": _weight(2)}
    for _ in range(3):
        together.step(both)
        one.step(alone)
        other.step(beside)
    require(set(together.state) == set(both), f"expected state for {sorted(both)}, got {sorted(together.state)}")
    for path, expected in (alone | beside).items():
        require_equal(f"{path} trained beside another", both[path].value, expected.value)


def remembers_in_place(make: MakeOptimizer) -> None:
    optimizer, weight = make(), _weight()
    optimizer.step({"weight": weight})
    before = dict(optimizer.state["weight"])
    optimizer.step({"weight": weight})
    for name, array in optimizer.state["weight"].items():
        require(array is before.get(name), f"expected state {name!r} to be changed in place, got a new array")


def is_deterministic(make: MakeOptimizer) -> None:
    results = []
    for _ in range(2):
        optimizer, weight = make(), _weight()
        for _ in range(3):
            optimizer.step({"weight": weight})
        results.append(weight.value)
    require_equal("the weight of a second run", results[1], results[0])


def memory_order_of_a_weight_changes_nothing(make: MakeOptimizer) -> None:
    values = []
    for order in ("C", "F"):
        optimizer, weight = make(), Parameter(np.array(sample((3, 2), 0), order=order), dtype=np.float64)
        weight.add_grad(sample((3, 2), 1))
        for _ in range(2):
            optimizer.step({"weight": weight})
        values.append(weight.value)
    require_equal("a weight in column order", values[1], values[0])


def leaves_frozen_parameters_alone(make: MakeOptimizer) -> None:
    optimizer, free, frozen = make(), _weight(), _weight()
    before = frozen.value.copy()
    frozen.trainable = False
    for _ in range(2):
        optimizer.step({"free": free, "frozen": frozen})
    require(np.array_equal(frozen.value, before), "a step changed a parameter whose trainable is False")


def refuses_bad_learning_rates(make: MakeOptimizer) -> None:
    cls = type(make())
    parameters = inspect.signature(cls).parameters
    needed = [name for name, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if "learning_rate" in parameters and needed in ([], ["learning_rate"]):  # else we do not know how to make one
        for rate in (0.0, -0.1, math.nan, math.inf, "0.1", None):
            require_raises(f"a learning rate of {rate!r}", MinidlError, lambda rate=rate: cls(learning_rate=rate))  # type: ignore[misc]


def refuses_to_train_nothing(make: MakeOptimizer) -> None:
    require_raises("a step without parameters", MinidlError, lambda: make().step({}))


def _weight(seed: int = 0, dtype: Any = np.float64) -> Parameter:
    weight = Parameter(sample((3, 2), seed), dtype=dtype)
    weight.add_grad(sample((3, 2), seed + 1, dtype))
    return weight


def _set_gradient(parameter: Parameter, gradient: Any) -> None:
    parameter.zero_grad()
    parameter.add_grad(gradient)


def check_initializer_contract(make: MakeInitializer) -> None:
    """Check that the initializers of `make` keep the contract of `Initializer`; see `check_optimizer_contract`.

    Examples
    --------
    >>> from minidl import Normal
    >>> check_initializer_contract(lambda: Normal(0.01))
    """
    run_checks(Initializer, make, (draws_finite_float64_of_the_shape, same_seed_same_draw, each_draw_is_a_new_array))


def draws_finite_float64_of_the_shape(make: MakeInitializer) -> None:
    for shape in ((4, 3), (1, 1), (3, 2, 5, 4)):
        draw = make()(shape, np.random.default_rng(0))
        require(isinstance(draw, np.ndarray), f"expected an array, got {type(draw).__name__}")
        require(draw.shape == shape, f"expected an array of shape {shape}, got {draw.shape}")
        require(draw.dtype == np.float64, f"expected float64 (the parameter rounds it), got {draw.dtype}")
        require(np.isfinite(draw).all(), f"expected finite numbers, got {draw}")


def same_seed_same_draw(make: MakeInitializer) -> None:
    initializer = make()
    first, second = (initializer((4, 3), np.random.default_rng(5)) for _ in range(2))
    require_equal("a second draw from the same seed", second, first)
    require_equal("a draw of another instance", make()((4, 3), np.random.default_rng(5)), first)


def each_draw_is_a_new_array(make: MakeInitializer) -> None:
    initializer, rng = make(), np.random.default_rng(0)
    first, second = initializer((4, 3), rng), initializer((4, 3), rng)
    require(not np.shares_memory(first, second), "expected a new array for each draw, got the same memory twice")


def check_callback_contract(make: MakeCallback) -> None:
    """Check that the callbacks of `make` keep the contract of `Callback`; see `check_optimizer_contract`.

    They meet a softmax classifier with 9 features, 3 classes and 8 rows, in fits that run through, fail and repeat.

    Parameters
    ----------
    make : callable
        Returns a new callback; one that writes files should get a folder that may be filled.

    Examples
    --------
    >>> check_callback_contract(Callback)
    """
    checks = (
        *(survives_a_fit, survives_a_fit_without_validation_or_metrics, survives_a_fit_of_no_epochs),
        *(lets_an_error_through, serves_a_second_fit, serves_another_trainer, serves_after_a_failed_fit),
    )
    run_checks(Callback, make, checks)


def survives_a_fit(make: MakeCallback) -> None:
    _fit(_trainer(make()))


def survives_a_fit_without_validation_or_metrics(make: MakeCallback) -> None:
    _trainer(make()).fit(_data(), epochs=2, batch_size=3, train_metrics=False)


def survives_a_fit_of_no_epochs(make: MakeCallback) -> None:
    _trainer(make()).fit(_data(), epochs=0, batch_size=3)


def lets_an_error_through(make: MakeCallback) -> None:
    for error in (RuntimeError("planted"), KeyboardInterrupt("planted")):
        for at_step in (1, 4):  # in the first epoch, and after one was finished
            _fail(_trainer(make(), _Failing(error, at_step)), error)


def serves_a_second_fit(make: MakeCallback) -> None:
    trainer = _trainer(make())
    _fit(trainer)
    _fit(trainer)


def serves_another_trainer(make: MakeCallback) -> None:
    callback = make()
    _fit(_trainer(callback))
    _fit(_trainer(callback))


def serves_after_a_failed_fit(make: MakeCallback) -> None:
    callback, error = make(), RuntimeError("planted")
    _fail(_trainer(callback, _Failing(error, 4)), error)
    _fit(_trainer(callback))


class _Failing(Callback):
    """Raises an error at a step."""

    def __init__(self, error: BaseException, at_step: int) -> None:
        self.error = error
        self.at_step = at_step

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step == self.at_step:
            raise self.error


def _data() -> Dataset:
    return Dataset(sample((8, 9), 0, np.float32), np.arange(8) % 3)


def _trainer(*callbacks: Callback) -> Trainer:
    model = Model(Sequential(Dense(9, 3, rng=0)), SoftmaxCrossEntropy())
    return Trainer(model, SGD(0.1), callbacks, rng=0)


def _fit(trainer: Trainer) -> None:
    trainer.fit(_data(), _data(), epochs=2, batch_size=3)


def _fail(trainer: Trainer, planted: BaseException) -> None:
    try:
        _fit(trainer)
    except BaseException as error:
        if error is not planted:
            raise
        return
    require(False, f"a fit swallowed the {type(planted).__name__} of another callback")
