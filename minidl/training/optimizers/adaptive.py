"""Adagrad and RMSProp: each entry's step is divided by how large its gradients are."""

from typing import Unpack

import numpy as np

from minidl._core.checks import as_fraction, as_number
from minidl.nn.arithmetic import blocks
from minidl.nn.parameter import Parameter
from minidl.training.optimizers.base import Clipping, Optimizer, State
from minidl.training.optimizers.schedules import Schedule


class Adagrad(Optimizer):
    """``total += grad**2``, then ``w -= learning_rate * grad / (sqrt(total) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule
    epsilon : float
        Greater than 0.
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12,
    2011.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        epsilon: float = 1e-10,
        **clipping: Unpack[Clipping],
    ) -> None:
        super().__init__(learning_rate, **clipping)
        self.epsilon = as_number("epsilon", epsilon, 0, above=True)

    def init_state(self, parameter: Parameter) -> State:
        return {"total": np.zeros_like(parameter.value)}

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        for w, g, total in blocks(parameter.value, parameter.grad, state["total"]):
            total += g * g
            w -= learning_rate * g / (np.sqrt(total) + self.epsilon)


class RMSProp(Optimizer):
    """``square = rho * square + (1 - rho) * grad**2``, then ``w -= learning_rate * grad / (sqrt(square) + epsilon)``.

    With momentum the quotient is added to ``momentum * velocity``, and the velocity moves w. `square` begins at 0, so
    the first steps are up to ``1 / sqrt(1 - rho)`` rates long.

    Parameters
    ----------
    learning_rate : float or Schedule
    rho : float
        In [0, 1): how much of the running mean of squares stays.
    epsilon : float
        Greater than 0.
    momentum : float
        In [0, 1).
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, Neural networks for machine learning, 2012; the details and
    defaults are those of PyTorch.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        rho: float = 0.99,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
        **clipping: Unpack[Clipping],
    ) -> None:
        super().__init__(learning_rate, **clipping)
        self.rho = as_fraction("rho", rho)
        self.epsilon = as_number("epsilon", epsilon, 0, above=True)
        self.momentum = as_fraction("momentum", momentum)

    def init_state(self, parameter: Parameter) -> State:
        names = ("square", "velocity") if self.momentum else ("square",)
        return {name: np.zeros_like(parameter.value) for name in names}

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        velocity = [state["velocity"]] if self.momentum else []
        for w, g, square, *v in blocks(parameter.value, parameter.grad, state["square"], *velocity):
            square *= self.rho
            square += (1.0 - self.rho) * (g * g)
            move = g / (np.sqrt(square) + self.epsilon)
            if v:
                v[0] *= self.momentum
                v[0] += move
            w -= learning_rate * (v[0] if v else move)
