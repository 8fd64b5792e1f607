"""SGD: stochastic gradient descent, with and without momentum."""

from typing import Unpack

import numpy as np

from minidl._core.checks import as_fraction
from minidl._core.errors import InputError
from minidl.nn.arithmetic import blocks
from minidl.nn.parameter import Parameter
from minidl.training.optimizers.base import Clipping, Optimizer, State
from minidl.training.optimizers.schedules import Schedule


class SGD(Optimizer):
    """Stochastic gradient descent, ``w -= learning_rate * grad``.

    With momentum, ``velocity = momentum * velocity + grad`` and ``w -= learning_rate * velocity``; Nesterov's variant
    looks ahead: ``w -= learning_rate * (grad + momentum * velocity)``.

    Parameters
    ----------
    learning_rate : float or Schedule
    momentum : float
        In [0, 1). With a constant gradient, the velocity approaches ``1 / (1 - momentum)`` times the gradient.
    nesterov : bool
        Needs a momentum.
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", Ann. Math. Statist. 22, 1951. Sutskever, Martens, Dahl and
    Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013; the rate multiplies the
    velocity, as in PyTorch, so a new rate takes effect at once.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        momentum: float = 0.0,
        nesterov: bool = False,
        **clipping: Unpack[Clipping],
    ) -> None:
        super().__init__(learning_rate, **clipping)
        self.momentum = as_fraction("momentum", momentum)
        if not isinstance(nesterov, bool | np.bool_):
            raise InputError(f"nesterov: expected True or False, got {nesterov!r:.80}")
        self.nesterov = bool(nesterov)
        if nesterov and not self.momentum:
            raise InputError("nesterov: expected momentum > 0, got 0; pass momentum=0.9 too")

    def init_state(self, parameter: Parameter) -> State:
        return {"velocity": np.zeros_like(parameter.value)} if self.momentum else {}

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        if not self.momentum:
            parameter.value -= learning_rate * parameter.grad
            return
        for w, g, velocity in blocks(parameter.value, parameter.grad, state["velocity"]):
            velocity *= self.momentum
            velocity += g
            w -= learning_rate * (g + self.momentum * velocity if self.nesterov else velocity)
