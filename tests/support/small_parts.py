"""Right layers, losses and optimizers as a user would write them, for the tests of several modules."""

import numpy as np

from minidl import Layer, Loss, Optimizer


class Scale(Layer):
    """The layer of the README: each feature times its gain."""

    def __init__(self, features):
        super().__init__()
        self.gain = self.add_parameter("gain", np.ones(features))

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x * self.gain.value.astype(x.dtype)

    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad((dy * x).sum(axis=0))
        return dy * self.gain.value.astype(dy.dtype)


class ForeignScale:
    """``y = x * gain``, as a script without minidl writes it: a target for `ForeignLayer`."""

    def __init__(self, features):
        self.gain = np.arange(1.0, features + 1.0) / 4.0

    def forward(self, x):
        self.x = x
        return x * self.gain

    def backward(self, dy):
        self.d_gain = (dy * self.x).sum(axis=0)
        return dy * self.gain


class SquaredError(Loss):
    """Without metrics and probabilities, which a loss need not have."""

    def forward(self, outputs, targets):
        self.keep(outputs - targets)
        return float(((outputs - targets) ** 2).sum(axis=1).mean())

    def backward(self):
        (difference,) = self.kept()
        return 2.0 * difference / len(difference)


class Momentum(Optimizer):
    """A velocity for each parameter, halved at every step."""

    def init_state(self, parameter):
        return {"velocity": np.zeros_like(parameter.value)}

    def update(self, parameter, state, learning_rate):
        state["velocity"] *= 0.5
        state["velocity"] -= learning_rate * parameter.grad
        parameter.value += state["velocity"]
