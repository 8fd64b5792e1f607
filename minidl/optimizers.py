"""Optimizers: how a gradient changes a parameter. The base class owns the loop; a rule is one formula."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from minidl.checks import as_number
from minidl.errors import InputError
from minidl.parameter import Parameter
from minidl.types import Array

State = dict[str, Array]


class Optimizer(ABC):
    """A rule that changes every parameter in place by its gradient.

    A subclass writes `update`, and `init_state` if it remembers something between steps. One optimizer serves one
    model: what it remembers goes by the parameters' paths.

    Parameters
    ----------
    learning_rate : float
        Greater than 0.

    Attributes
    ----------
    state : dict of str to dict of str to array
        What the rule remembers, for each parameter's path.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = as_number("learning_rate", learning_rate, 0, above=True)
        self.state: dict[str, State] = {}

    def step(self, parameters: Mapping[str, Parameter]) -> None:
        """Change each parameter once, by the gradient it holds."""
        if not parameters:
            raise InputError(f"{self!r}: expected at least one parameter to train, got a model without any")
        for path, parameter in parameters.items():
            if path not in self.state:
                self.state[path] = self.init_state(parameter)
            self.update(parameter, self.state[path], self.learning_rate)

    def init_state(self, parameter: Parameter) -> State:
        """Return what the rule remembers of `parameter` before the first step: nothing, unless overridden."""
        return {}

    @abstractmethod
    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        """Change ``parameter.value`` and the arrays of `state` in place."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.learning_rate:g})"


class SGD(Optimizer):
    """Stochastic gradient descent, ``w -= learning_rate * grad``.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", Ann. Math. Statist. 22, 1951.
    """

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        parameter.value -= learning_rate * parameter.grad
