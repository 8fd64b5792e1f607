"""Adaptive rules, from Adagrad to Adam: each entry's step is divided by the size of its gradients."""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Unpack

import numpy as np

from minidl._core.checks import as_fraction, as_number
from minidl._core.errors import NonFiniteError
from minidl._core.types import Array
from minidl.nn.arithmetic import blocks, scalars
from minidl.nn.parameter import Parameter
from minidl.training.optimizers.base import Clipping, Optimizer, State
from minidl.training.optimizers.schedules import Schedule


@lru_cache
def _harmless(dtype: np.dtype[Any]) -> float:
    """Return a square that is too small to change a sum near the largest number of `dtype`."""
    limits = np.finfo(dtype)
    return float(limits.max * limits.eps / 4)


class _Squares(Optimizer):
    """The base of all rules here. They sum squared gradients; an entry with an infinite sum would never move again."""

    def _check_gradients(self, trained: Mapping[str, Parameter], scale: float) -> None:
        """Refuse gradients whose sum of squares overflows the parameter's dtype: in float32 from 1e19 on."""
        for path, parameter in trained.items():
            flat = parameter.grad.ravel(order="K")
            # The squared norm is at least as large as each entry's square. It takes 1 us for 30,720 numbers.
            if flat.dot(flat) < _harmless(flat.dtype):
                continue
            gradient = self._clipped(parameter, scale).grad
            with np.errstate(over="ignore", invalid="ignore"):
                sums = self.summed(gradient, self.state.get(path) or self.init_state(parameter))
                bad = np.isfinite(gradient) & (sums > np.finfo(flat.dtype).max / 2)
            if bad.any():
                first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
                fault = f"too large: its square overflows {flat.dtype} (got {gradient[first]:.4g} at index {first})"
                raise NonFiniteError(f"the gradient of {path} is {fault}. Scale x and targets down, or set clip_norm")

    def summed(self, gradient: Array, state: State) -> Array:
        """Return an upper bound of the sums of squares after adding `gradient`."""
        return gradient * gradient


class Adagrad(_Squares):
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

    def __init__(self, learning_rate: float | Schedule, epsilon: float = 1e-10, **clipping: Unpack[Clipping]) -> None:
        super().__init__(learning_rate, **clipping)
        self.epsilon = as_number("epsilon", epsilon, 0, above=True)

    def init_state(self, parameter: Parameter) -> State:
        return {"total": np.zeros_like(parameter.value)}

    def summed(self, gradient: Array, state: State) -> Array:
        """Return the total plus the squares of `gradient`."""
        total: Array = state["total"] + gradient * gradient
        return total

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        for w, g, total in blocks(parameter.value, parameter.grad, state["total"]):
            total += g * g
            w -= learning_rate * g / (np.sqrt(total) + self.epsilon)


class RMSProp(_Squares):
    """``square = rho * square + (1 - rho) * grad**2``, then ``w -= learning_rate * grad / (sqrt(square) + epsilon)``.

    With momentum, the quotient is added to ``momentum * velocity``, and the velocity takes its place in the step.
    `square` starts at 0, so the first steps are up to ``1 / sqrt(1 - rho)`` times the learning rate.

    Parameters
    ----------
    learning_rate : float or Schedule
    rho : float
        In [0, 1): the fraction of the running mean of squares that is kept in each step.
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


class _Moments(_Squares):
    """The base of Adam and its variants: two running means, the number of gradients in them, and Adam's step."""

    def __init__(
        self,
        learning_rate: float | Schedule,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **clipping: Unpack[Clipping],
    ) -> None:
        super().__init__(learning_rate, **clipping)
        self.beta1 = as_fraction("beta1", beta1)
        self.beta2 = as_fraction("beta2", beta2)
        self.epsilon = as_number("epsilon", epsilon, 0, above=True)

    def init_state(self, parameter: Parameter) -> State:
        # Each parameter has its own count, since a parameter that was frozen for a while has had fewer gradients.
        means = {name: np.zeros_like(parameter.value) for name in ("mean", "square")}
        return {"count": np.zeros((), np.int64), **means}

    def advance(self, parameter: Parameter, state: State) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Update count and means, and yield blocks of (w, gradient, mean, root); root is the divisor of the step."""
        t = state["count"][...] = int(state["count"]) + 1
        correction = math.sqrt(1.0 - self.beta2**t)
        constants = self.beta1, 1.0 - self.beta1, self.beta2, 1.0 - self.beta2, self.epsilon
        beta1, share1, beta2, share2, epsilon = scalars(parameter.value.dtype, *constants)
        for w, g, mean, square in blocks(parameter.value, parameter.grad, state["mean"], state["square"]):
            mean *= beta1
            mean += share1 * g
            square *= beta2
            square += share2 * (g * g)
            yield w, g, mean, np.sqrt(square) / correction + epsilon

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        """Take Adam's step."""
        rate = learning_rate / (1.0 - self.beta1 ** (int(state["count"]) + 1))
        for w, _, mean, root in self.advance(parameter, state):
            w -= rate * mean / root


class Adam(_Moments):
    """Adaptive moment estimation: ``w -= learning_rate * mean / (sqrt(square) + epsilon)``.

    ``mean = beta1 * mean + (1 - beta1) * grad`` and ``square = beta2 * square + (1 - beta2) * grad**2`` start at 0. In
    the step they are divided by ``1 - beta1**t`` and ``1 - beta2**t``, where t counts the parameter's steps from 1; the
    division makes them averages of the gradients so far.

    Parameters
    ----------
    learning_rate : float or Schedule
        The approximate size of a step in each entry; 0.001 is a usual start.
    beta1, beta2 : float
        In [0, 1): the fraction of each running mean that is kept in each step.
    epsilon : float
        Greater than 0.
    clip_norm, clip_value : float, optional
        See `Optimizer`.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """


class AdamW(_Moments):
    """`Adam` after ``w -= learning_rate * weight_decay * w``: weight decay applied directly to the weights.

    The decay bypasses the gradient and its scaling. Only penalized parameters decay, so biases do not. A regularizer of
    the model would be a second penalty.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, clip_norm, clip_value
        See `Adam`.
    weight_decay : float
        At least 0.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019. The decay is multiplied by the learning
    rate, as in PyTorch, which decays all parameters unless the program excludes some.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        **clipping: Unpack[Clipping],
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, **clipping)
        self.weight_decay = as_number("weight_decay", weight_decay, 0)

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        if parameter.penalized:
            parameter.value *= 1.0 - learning_rate * self.weight_decay
        super().update(parameter, state, learning_rate)


class NAdam(_Moments):
    """`Adam` with Nesterov's look-ahead: it uses the mean of the next step.

    ``mu(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2)`` replaces beta1 in the correction of the mean, and P(t) is
    the product of mu(1) .. mu(t): ``w -= learning_rate * ((1 - mu(t)) / (1 - P(t)) * grad + mu(t + 1) /
    (1 - P(t + 1)) * mean) / (sqrt(square / (1 - beta2**t)) + epsilon)``.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, clip_norm, clip_value
        See `Adam`; 0.002 is a usual start.
    momentum_decay : float
        At least 0. The default is PyTorch's; Keras, which has no such argument, computes with 1.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop, 2016.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        momentum_decay: float = 0.004,
        **clipping: Unpack[Clipping],
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, **clipping)
        self.momentum_decay = as_number("momentum_decay", momentum_decay, 0)

    def init_state(self, parameter: Parameter) -> State:
        return {**super().init_state(parameter), "product": np.ones(())}

    def update(self, parameter: Parameter, state: State, learning_rate: float) -> None:
        t = int(state["count"]) + 1
        mu, next_mu = (self.beta1 * (1.0 - 0.5 * 0.96 ** (k * self.momentum_decay)) for k in (t, t + 1))
        state["product"] *= mu
        product = float(state["product"])
        from_gradient = learning_rate * (1.0 - mu) / (1.0 - product)
        from_mean = learning_rate * next_mu / (1.0 - product * next_mu)
        for w, g, mean, root in self.advance(parameter, state):
            w -= (from_gradient * g + from_mean * mean) / root
