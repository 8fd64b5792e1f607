"""Optimizer: the base class with the loop over parameters."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict
from weakref import ref

import numpy as np

from minidl._core.attributes import Declared
from minidl._core.checks import as_number, check_finite
from minidl._core.errors import InputError, NonFiniteError, ShapeError
from minidl._core.reprs import constructor_call
from minidl._core.types import Array
from minidl.nn.arithmetic import blocks, quietly
from minidl.nn.parameter import Parameter
from minidl.training.optimizers.schedules import Schedule

State = dict[str, Array]


class Clipping(TypedDict, total=False):
    """The options that every optimizer passes to the base class."""

    clip_norm: float | None
    clip_value: float | None


class Optimizer(Declared, ABC):
    """A rule that changes every trainable parameter in place by its gradient.

    A subclass defines `update`, and `init_state` if it keeps state between steps. An optimizer belongs to the first
    model that it trains. A copy (or a pickled and loaded optimizer) belongs to the first model that the copy trains.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than 0; a schedule may also give 0.
    clip_norm : float, optional
        The largest norm of the gradients of all trained parameters, taken as one long vector. Longer gradients are
        multiplied by ``min(1, clip_norm / (norm + 1e-6))``, as in PyTorch's ``clip_grad_norm_``. Keras calls this
        ``global_clipnorm``; its ``clipnorm`` is for each parameter alone.
    clip_value : float, optional
        Every entry of every gradient is limited to [-clip_value, clip_value]. Not together with `clip_norm`.

    Attributes
    ----------
    steps : int
        The number of steps taken so far. During `update` it is the number of the current step, from 0.
    state : dict of str to dict of str to array
        The arrays of the rule, by the path of the parameter. A checkpoint saves `state` and `steps`. After you assign
        a new state, the optimizer may train another model.

    Raises
    ------
    InputError
        From `step` and `Trainer.fit`: if the parameters are not those of its model.
    NonFiniteError
        From `step`: with `clip_norm`, if the norm of the gradients is not finite; from a rule that sums their squares,
        if the squares overflow (in float32 from about 1e19 on). Nothing changes then.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013: clipping by the
    norm, which keeps the direction.
    """

    _overridable = ("init_state",)

    steps: int

    def __init__(
        self, learning_rate: float | Schedule, *, clip_norm: float | None = None, clip_value: float | None = None
    ) -> None:
        if clip_norm is not None and clip_value is not None:
            raise InputError(f"expected clip_norm or clip_value, got both ({clip_norm} and {clip_value}); pass one")
        self.learning_rate = learning_rate
        self.clip_norm = None if clip_norm is None else as_number("clip_norm", clip_norm, 0, above=True)
        self.clip_value = None if clip_value is None else as_number("clip_value", clip_value, 0, above=True)
        self.steps = 0
        self.state = {}

    @property
    def state(self) -> dict[str, State]:
        """The arrays of the rule for each parameter, by its path."""
        return self._state

    @state.setter
    def state(self, new: dict[str, State]) -> None:
        self._state = new
        self._stepped: dict[str, ref[Parameter]] = {}

    @property
    def learning_rate(self) -> float | Schedule:
        """The rate or the schedule; may be assigned between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, new: float | Schedule) -> None:
        if not isinstance(new, Schedule):
            new = as_number("learning_rate", new, 0, above=True, instead="a Schedule")
        self._learning_rate = new

    @property
    def current_learning_rate(self) -> float:
        """The rate of the last step, or of the first one before any step, by the current `learning_rate`."""
        rate = self._learning_rate
        return self._scheduled(rate, max(self.steps - 1, 0)) if isinstance(rate, Schedule) else rate

    @quietly
    def step(self, parameters: Mapping[str, Parameter]) -> None:
        """Change each trainable parameter once, by its gradient; the gradients stay as they are."""
        trained = {path: parameter for path, parameter in parameters.items() if parameter.trainable}
        if not trained:
            got = f"{len(parameters)} frozen ones" if parameters else "none"
            raise InputError(f"{self!r}: expected at least one parameter to train, got {got}")
        ours = parameters == {path: stepped() for path, stepped in self._stepped.items()}
        if not ours:
            self.check_model(parameters)
        rate = self._learning_rate
        learning_rate = self._scheduled(rate, self.steps) if isinstance(rate, Schedule) else rate
        scale = 1.0 if self.clip_norm is None else _scale(self.clip_norm, trained)
        # Check all gradients before the first change: a step is taken completely or not at all.
        self._check_gradients(trained, scale)
        if not ours:
            self._stepped |= {path: ref(parameter) for path, parameter in parameters.items()}
        for path, parameter in trained.items():
            if path not in self._state:
                self._state[path] = self.init_state(parameter)
            if scale < 1.0 or self.clip_value is not None:
                parameter = self._clipped(parameter, scale)
            self.update(parameter, self._state[path], learning_rate)
        vars(self)["steps"] += 1

    def check_model(self, parameters: Mapping[str, Parameter]) -> None:
        """Refuse parameters that do not belong to the model of this optimizer.

        Frozen parameters count too, and new parameters beside known ones are allowed, so that a model may be frozen in
        part, and grow.

        Raises
        ------
        InputError
            If a path that it has trained is now another parameter, or no path is known.
        ShapeError
            If its state, from a copy or a file, has other shapes or dtypes.
        """
        known = [path for path in parameters if path in self.state]
        foreign = [] if known else list(self.state)
        for path in known:
            stepped = self._stepped.get(path)
            if stepped is None:
                self._check_state(path, parameters[path])
            elif stepped() is not parameters[path]:
                foreign.append(path)
        if foreign:
            got = f"another one (different parameters at {', '.join(map(repr, foreign[:3]))})"
            hint = "Make a new optimizer for each model, and for each part that you train separately"
            raise InputError(f"{self!r}: expected the model that it trained for {self.steps} steps, got {got}. {hint}")

    def _clipped(self, parameter: Parameter, scale: float) -> Parameter:
        """Return `parameter` with its clipped gradient; `scale` is the factor by `clip_norm`."""
        if scale < 1.0:
            return parameter.with_grad(scale * parameter.grad)
        if self.clip_value is not None:
            return parameter.with_grad(np.clip(parameter.grad, -self.clip_value, self.clip_value))
        return parameter

    def _check_gradients(self, trained: Mapping[str, Parameter], scale: float) -> None:
        """Refuse gradients that the rule cannot use; accepts any gradient unless overridden."""

    def init_state(self, parameter: Parameter) -> State:
        """Return the initial arrays of the rule for `parameter`: none, unless overridden."""
        return {}

    @abstractmethod
    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        """Change ``parameter.value`` and the arrays of `state` in place by ``parameter.grad`` (already clipped)."""

    def _check_state(self, path: str, parameter: Parameter) -> None:
        """Refuse a parameter whose shape or dtype does not fit the rule's arrays."""
        expected, got = (
            {name: f"{np.shape(array)} {np.asarray(array).dtype}" for name, array in state.items()}
            for state in (self.init_state(parameter), self.state[path])
        )
        if got != expected:
            raise ShapeError(f"{self!r}: expected {expected} at {path!r}, got {got}; make a new optimizer")

    @staticmethod
    def _scheduled(schedule: Schedule, step: int) -> float:
        return as_number(f"{type(schedule).__name__}({step})", schedule(step), 0)

    def __getstate__(self) -> dict[str, Any]:
        # A copy may train a copy of the model. It shares no dict with this optimizer, even if it is a shallow copy.
        return vars(self) | {"_state": dict(self.state), "_stepped": {}}

    __repr__ = constructor_call


@quietly
def check_gradients(parameters: Mapping[str, Parameter]) -> None:
    """Refuse gradients with NaN or infinity, naming the parameter and the first bad entry."""
    for path, parameter in parameters.items():
        gradient = parameter.grad.ravel(order="K")
        # BLAS computes the sum of squares in half the time of a sum (5 us for 30,720 numbers). If it overflows, each
        # entry is checked. The method is 0.5 us faster than np.dot.
        if not math.isfinite(gradient.dot(gradient)):
            check_finite(f"the gradient of {path}", parameter.grad)


def norm(arrays: Iterable[Array]) -> float:
    """Return the Euclidean norm of `arrays`, taken as one long vector."""
    squares = 0.0
    # In float32 the square of 1e20 is infinite, and that of 1e-23 is 0.
    with np.errstate(all="ignore"):
        for array in arrays:
            for (block,) in blocks(array):
                squares += float(np.square(block, dtype=np.float64).sum())
    return math.sqrt(squares)


def _scale(clip_norm: float, parameters: Mapping[str, Parameter]) -> float:
    length = norm(parameter.grad for parameter in parameters.values())
    if not math.isfinite(length):
        check_gradients(parameters)
        raise NonFiniteError(f"clip_norm: expected gradients with a finite norm, got {length}")
    return clip_norm / (length + 1e-6)
