"""The contracts of what trains: optimizers, initializers, callbacks, augmentations."""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minidl._core.errors import MinidlError
from minidl._core.types import Array
from minidl.data.augmentation import Augmentation
from minidl.data.dataset import Dataset
from minidl.nn.initializers import Initializer
from minidl.nn.layers import Dense
from minidl.nn.losses import SoftmaxCrossEntropy
from minidl.nn.model import Model
from minidl.nn.parameter import Parameter
from minidl.testing.contract import Contract, ContractError, require, require_equal, require_raises, sample
from minidl.training.callbacks import Callback, LambdaCallback
from minidl.training.optimizers import SGD, Optimizer
from minidl.training.trainer import Trainer


def check_optimizer_contract(make: Callable[[], Optimizer]) -> None:
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
    OptimizerContract(make).check()


class OptimizerContract(Contract):
    _kind = Optimizer

    def moves_against_the_gradient_of_a_parabola(self) -> None:
        optimizer = self.make()
        rate = optimizer.current_learning_rate
        # Everything goes by the learning rate, so that neither steps of rate * gradient nor steps of about the rate
        # itself, whatever the gradient, can jump over the minimum; RMSProp's first step is ten rates long.
        start = 100.0 * rate * np.array([1.0, -2.0, 3.0])
        weight = Parameter(start, dtype=np.float64)
        for _ in range(3):
            weight.zero_grad()
            weight.add_grad(0.1 / rate * weight.value)
            _step(optimizer, weight)
        nearer = np.abs(weight.value) < np.abs(start)
        require(nearer.all(), f"three steps led from {start} to {weight.value}, away from 0")

    def changes_values_in_place(self) -> None:
        weight = _weight()
        memory, before = weight.value, weight.value.copy()
        _step(self.make(), weight)
        require(weight.value is memory, "expected the same array in parameter.value after a step")
        require(not np.array_equal(memory, before), "a step with a gradient changed nothing")

    def keeps_the_dtype(self) -> None:
        for dtype in ("float32", "float64"):
            optimizer, weight = self.make(), _weight(dtype=dtype)
            _step(optimizer, weight)
            arrays = weight.value, *optimizer.state["weight"].values()
            got = sorted({array.dtype.name for array in arrays if array.ndim})
            require(got == [dtype], f"expected all arrays of a {dtype} parameter in it, got {', '.join(got)}")

    def leaves_gradients_alone(self) -> None:
        weight = _weight()
        before = weight.grad.copy()
        _step(self.make(), weight, times=2)
        require_equal("the gradient after a step", weight.grad, before)

    def remembers_by_path(self) -> None:
        together, alone = self.make(), self.make()
        # Clipping by norm goes by all gradients together, and rightly so.
        together.clip_norm = alone.clip_norm = None
        weights = {"0.weight": _weight(1), "1.weight": _weight(2)}
        first = {"0.weight": _weight(1)}
        for _ in range(3):
            together.step(weights)
            alone.step(first)
        got = sorted(together.state)
        require(got == sorted(weights), f"expected state for {sorted(weights)}, got {got}")
        require_equal("0.weight trained beside another", weights["0.weight"].value, first["0.weight"].value)

    def remembers_in_place(self) -> None:
        optimizer, weight = self.make(), _weight()
        _step(optimizer, weight)
        before = dict(optimizer.state["weight"])
        _step(optimizer, weight)
        for name, array in optimizer.state["weight"].items():
            require(array is before.get(name), f"expected state {name!r} to be changed in place, got a new array")

    def is_deterministic(self) -> None:
        first, second = (_step(self.make(), _weight(), times=3) for _ in range(2))
        require_equal("the weight of a second run", second, first)

    def memory_order_of_a_weight_changes_nothing(self) -> None:
        rows, columns = (_step(self.make(), _weight(order=order), times=3) for order in ("C", "F"))
        require_equal("a weight in column order", columns, rows)

    def leaves_frozen_parameters_alone(self) -> None:
        optimizer, free, frozen = self.make(), _weight(), _weight()
        before = frozen.value.copy()
        frozen.trainable = False
        for _ in range(2):
            optimizer.step({"free": free, "frozen": frozen})
        require(np.array_equal(frozen.value, before), "a step changed a parameter whose trainable is False")

    def refuses_bad_learning_rates(self) -> None:
        cls: Callable[..., Any] = type(self.make())
        try:
            inspect.signature(cls).bind(learning_rate=0.1)
        except TypeError:
            # Only its author knows how to make an optimizer that needs other arguments.
            return
        for rate in (0.0, -0.1, math.nan, math.inf, "0.1", None):
            require_raises(f"a learning rate of {rate!r}", MinidlError, partial(cls, learning_rate=rate))

    def refuses_to_train_nothing(self) -> None:
        require_raises("a step without parameters", MinidlError, lambda: self.make().step({}))

    def refuses_another_model(self) -> None:
        optimizer = self.make()
        _step(optimizer, _weight())
        require_raises("a step with another model's parameter", MinidlError, lambda: _step(optimizer, _weight()))


def _weight(seed: int = 0, dtype: Any = np.float64, order: Any = "C") -> Parameter:
    weight = Parameter(np.array(sample((3, 2), seed), order=order), dtype=dtype)
    weight.add_grad(sample((3, 2), seed + 1, dtype))
    return weight


def _step(optimizer: Optimizer, weight: Parameter, times: int = 1) -> Array:
    """Return the value of `weight` after so many steps."""
    for _ in range(times):
        optimizer.step({"weight": weight})
    return weight.value


def check_initializer_contract(make: Callable[[], Initializer]) -> None:
    """Check that the initializers of `make` keep the contract of `Initializer`; see `check_optimizer_contract`.

    Examples
    --------
    >>> from minidl import Normal
    >>> check_initializer_contract(lambda: Normal(0.01))
    """
    InitializerContract(make).check()


class InitializerContract(Contract):
    _kind = Initializer

    def draws_finite_float64_of_the_shape(self) -> None:
        for shape in ((4, 3), (1, 1), (3, 2, 5, 4)):
            draw = self.make()(shape, np.random.default_rng(0))
            require(isinstance(draw, np.ndarray), f"expected an array, got {type(draw).__name__}")
            require(draw.shape == shape, f"expected an array of shape {shape}, got {draw.shape}")
            require(draw.dtype == np.float64, f"expected float64 (the parameter rounds it), got {draw.dtype}")
            require(np.isfinite(draw).all(), f"expected finite numbers, got {draw}")

    def same_seed_same_draw(self) -> None:
        initializer = self.make()
        first, second = (initializer((4, 3), np.random.default_rng(5)) for _ in range(2))
        require_equal("a second draw from the same seed", second, first)
        require_equal("a draw of another instance", self.make()((4, 3), np.random.default_rng(5)), first)

    def each_draw_is_a_new_array(self) -> None:
        initializer, rng = self.make(), np.random.default_rng(0)
        first, second = initializer((4, 3), rng), initializer((4, 3), rng)
        require(not np.shares_memory(first, second), "expected a new array for each draw, got the same memory twice")


def check_callback_contract(make: Callable[[], Callback]) -> None:
    """Check that the callbacks of `make` keep the contract of `Callback`; see `check_optimizer_contract`.

    They meet a softmax classifier with 9 features, 3 classes and 8 rows, in fits that run through, fail and repeat.
    What its `saved_attributes` names begins anew with each run.

    Parameters
    ----------
    make : callable
        Returns a new callback; one that writes files should get a folder that may be filled.

    Examples
    --------
    >>> check_callback_contract(Callback)
    """
    CallbackContract(make).check()


class CallbackContract(Contract):
    _kind = Callback

    def survives_a_fit_without_validation_or_metrics(self) -> None:
        _fit(_trainer(self.make()), validation=None, train_metrics=False)

    def survives_a_fit_of_no_epochs(self) -> None:
        _fit(_trainer(self.make()), validation=None, epochs=0)

    def lets_an_error_through(self) -> None:
        for error in (RuntimeError("planted"), KeyboardInterrupt("planted")):
            # In the first epoch, and after one was finished.
            for at_step in (1, 4):
                _fail(self.make(), error, at_step)

    def serves_a_second_fit(self) -> None:
        trainer = _trainer(self.make())
        _fit(trainer)
        _fit(trainer)

    def serves_after_a_failed_fit(self) -> None:
        callback = self.make()
        _fail(callback, RuntimeError("planted"), 4)
        _fit(_trainer(callback))

    def forgets_the_run_before(self) -> None:
        used, new = self.make(), self.make()
        _fit(_trainer(used), epochs=3)
        for callback in (used, new):
            _fit(_trainer(callback))
        for name in new.saved_attributes:
            got, expected = (_comparable(getattr(callback, name)) for callback in (used, new))
            try:
                np.testing.assert_equal(got, expected)
            except AssertionError as error:
                told = f"{name}: expected {expected!r:.80} after a second run, as a new one has, got {got!r:.80}"
                raise ContractError(f"{told}; let on_train_begin set what saved_attributes names") from error


def _comparable(saved: Any) -> Any:
    return saved.bit_generator.state if isinstance(saved, np.random.Generator) else saved


def _trainer(*callbacks: Callback) -> Trainer:
    return Trainer(Model(Dense(9, 3, rng=0), SoftmaxCrossEntropy()), SGD(0.1), callbacks, rng=0)


def _fit(trainer: Trainer, **options: Any) -> None:
    data = Dataset(sample((8, 9), 0, np.float32), np.arange(8) % 3)
    trainer.fit(data, **{"validation": data, "epochs": 2, "batch_size": 3, **options})


def _fail(callback: Callback, planted: BaseException, at_step: int) -> None:
    def fail(trainer: Trainer) -> None:
        if trainer.step == at_step:
            raise planted

    try:
        _fit(_trainer(callback, LambdaCallback(on_batch_end=fail)))
    except BaseException as error:
        if error is not planted:
            raise
        return
    raise ContractError(f"a fit swallowed the {type(planted).__name__} of another callback")


def check_augmentation_contract(make: Callable[[], Augmentation], image_shape: tuple[int, ...] = (6, 5, 3)) -> None:
    """Check that the augmentations of `make` keep the contract of `Augmentation`.

    Parameters
    ----------
    make : callable
        Returns a new augmentation, the same each time.
    image_shape : tuple of int
        (height, width, channels) of images it takes.

    Raises
    ------
    ContractError
        At the first rule that is broken, naming the class and the rule.

    Examples
    --------
    >>> from minidl import Mirror
    >>> check_augmentation_contract(Mirror)
    """
    AugmentationContract(make, tuple(image_shape)).check()


@dataclass
class AugmentationContract(Contract):
    _kind = Augmentation
    shape: tuple[int, ...]

    def draws_depend_on_the_generator_alone(self) -> None:
        augmentation = self.make()
        for other in (augmentation, self.make()):
            _require_same("a second draw from the same seed", _draw(other, 5), _draw(augmentation, 5))

    def fewer_images_draw_the_first_rows(self) -> None:
        most = _draw(self.make(), 40)
        for n in (0, 1, 2, 17):
            _require_same(f"what {n} images draw, compared with the first {n} of 40", _draw(self.make(), n), most[:n])

    def results_are_new_and_of_the_same_dtype(self) -> None:
        for images, draws in self._batches():
            got = self.make().apply(images, draws)
            require(got.dtype == images.dtype, f"expected images of dtype {images.dtype}, got {got.dtype}")
            require(got.ndim == 4 and len(got) == len(images), f"expected {len(images)} images, got {got.shape}")
            require(not np.shares_memory(got, images), "expected a new array, got memory of the images")

    def images_do_not_mix(self) -> None:
        for images, draws in self._batches():
            together = self.make().apply(images, draws)
            for rows in ([0], [3, 1], [], list(range(len(images)))[::-1]):
                apart = self.make().apply(images[rows], draws[rows])
                _require_same(f"images {rows} of a batch, changed apart from the others", apart, together[rows])

    def memory_order_of_images_changes_nothing(self) -> None:
        for images, draws in self._batches():
            expected = self.make().apply(images, draws)
            for order, other in (("F", np.asfortranarray(images)), ("strided", np.repeat(images, 2, axis=0)[::2])):
                _require_same(f"images in {order} order", self.make().apply(other, draws), expected)

    def _batches(self) -> Iterator[tuple[Array, Array]]:
        """Yield read-only images of each kind, and what is drawn for them."""
        pixels = np.random.default_rng(1).integers(0, 256, (9, *self.shape)).astype(np.uint8)
        pixels.flags.writeable = False
        for images in (*(sample((9, *self.shape), 1, dtype) for dtype in (np.float32, np.float64)), pixels):
            yield images, _draw(self.make(), len(images))


def _draw(augmentation: Augmentation, n: int) -> Array:
    draws = augmentation.draw(n, np.random.default_rng(7))
    require(isinstance(draws, np.ndarray), f"draw: expected it to return an array, got {type(draws).__name__}")
    require(draws.shape[:1] == (n,), f"draw: expected {n} rows, one for each image, got shape {draws.shape}")
    return draws


def _require_same(what: str, got: Array, expected: Array) -> None:
    require(np.array_equal(got, expected), f"{what}: expected the same to the last bit")
