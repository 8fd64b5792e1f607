"""Optimizers: wrong rules, which end elsewhere than right ones do, and classes that break the contract."""

import math

import numpy as np
from small_parts import Momentum

import minidl as dl

BUGS = {}
"""For each bug the case of `optimizer_problem` in which it shows, and the class."""


def bug(case, name, base, **parts):
    BUGS[name] = (case, type(base.__name__, (base,), parts))


# ---- right rules, written out in parts that a bug can replace


class SGD(dl.SGD):
    def update(self, parameter, state, rate):
        w, g, v = parameter.value, parameter.grad, state.get("velocity", np.zeros(1))
        v[...] = self.velocity(v, g, rate)
        w -= self.move(v, g, rate)

    def velocity(self, v, g, rate):
        return self.momentum * v + g if self.momentum else 0

    def move(self, v, g, rate):
        if not self.momentum:
            return rate * g
        return rate * (g + self.momentum * v if self.nesterov else v)


class Clipped(dl.SGD):
    def step(self, parameters):
        trained = [p for p in parameters.values() if p.trainable]
        for p in trained:
            p.value -= self.learning_rate * self.clipped(p.grad, trained, parameters.values())
        self.steps += 1

    def clipped(self, g, trained, everyone):
        if self.clip_value:
            return np.clip(g, -self.clip_value, self.clip_value)
        return g * min(1.0, self.clip_norm / (norm_of(trained) + 1e-6))


def norm_of(parameters):
    return math.sqrt(sum(np.square(p.grad).sum() for p in parameters))


class Adagrad(dl.Adagrad):
    def update(self, parameter, state, rate):
        g, total = parameter.grad, state["total"]
        total[...] = self.total(total, g)
        parameter.value -= rate * g / self.root(total)

    def total(self, total, g):
        return total + g * g

    def root(self, total):
        return np.sqrt(total) + self.epsilon


class RMSProp(dl.RMSProp):
    def update(self, parameter, state, rate):
        g, square, v = parameter.grad, state["square"], state.get("velocity", np.zeros(1))
        square[...] = self.square(square, g)
        move = g / self.root(square)
        if self.momentum:
            v[...] = self.velocity(v, move)
            move = v
        parameter.value -= rate * move

    def square(self, square, g):
        return self.rho * square + (1 - self.rho) * g * g

    def root(self, square):
        return np.sqrt(square) + self.epsilon

    def velocity(self, v, move):
        return self.momentum * v + move


class Moments:
    """Adam's rule; those of its kin differ in what they keep of a weight, or in the direction."""

    def update(self, parameter, state, rate):
        w, mean, square, t = parameter.value, state["mean"], state["square"], self.count(state)
        w *= self.kept(parameter, rate)
        g = self.gradient(parameter.grad, w)
        mean[...] = self.mean(mean, g)
        square[...] = self.square(square, g, mean)
        w -= rate * self.direction(g, mean, state, t) / self.root(square, self.correction(t))

    def count(self, state):
        state["count"] += 1
        return int(state["count"])

    def kept(self, parameter, rate):
        return 1.0

    def gradient(self, g, w):
        return g

    def mean(self, mean, g):
        return self.beta1 * mean + (1 - self.beta1) * g

    def square(self, square, g, mean):
        return self.beta2 * square + (1 - self.beta2) * g * g

    def direction(self, g, mean, state, t):
        return mean / self.mean_correction(t)

    def mean_correction(self, t):
        return 1 - self.beta1**t

    def correction(self, t):
        return math.sqrt(1 - self.beta2**t)

    def root(self, square, correction):
        return np.sqrt(square) / correction + self.epsilon


class Adam(Moments, dl.Adam):
    pass


class AdamW(Moments, dl.AdamW):
    def kept(self, parameter, rate):
        return 1 - rate * self.weight_decay if parameter.penalized else 1.0


class NAdam(Moments, dl.NAdam):
    def direction(self, g, mean, state, t):
        mu, following = self.mu(t), self.mu(t + 1)
        state["product"][...] = product = self.product(state["product"], mu)
        return self.own(g) * (1 - mu) / (1 - product) + following * mean / (1 - product * following)

    def mu(self, t):
        return self.beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))

    def product(self, product, mu):
        return product * mu

    def own(self, g):
        return g


RIGHT = {
    **dict.fromkeys(("SGD", "momentum", "Nesterov"), SGD),
    **dict.fromkeys(("clipped by norm", "clipped by value"), Clipped),
    **dict.fromkeys(("RMSProp", "RMSProp, momentum"), RMSProp),
    **{cls.__name__: cls for cls in (Adagrad, Adam, AdamW, NAdam)},
}
"""For each case the rule written out: it must end where minidl's own does."""


# ---- bugs of the loop


class CountsEach(SGD):
    def update(self, parameter, state, rate):
        self.steps += 1
        super().update(parameter, state, self.current_learning_rate)


class Thaws(dl.SGD):
    def step(self, parameters):
        for parameter in parameters.values():
            parameter.trainable = True
        super().step(parameters)


# fmt: off
bug("SGD", "uphill", SGD, move=lambda self, v, g, rate: -rate * g)
bug("SGD", "rate of the next step", SGD, move=lambda self, v, g, rate: self.learning_rate(self.steps + 1) * g)
bug("SGD", "steps counted for each parameter", CountsEach)
bug("SGD", "frozen ones move", Thaws)
bug("momentum", "dampened", SGD, velocity=lambda self, v, g, rate: self.momentum * v + (1 - self.momentum) * g)
bug("momentum", "velocity without decay", SGD, velocity=lambda self, v, g, rate: v + g)
bug("momentum", "rate within the velocity", SGD, velocity=lambda self, v, g, rate: self.momentum * v + rate * g,
    move=lambda self, v, g, rate: v)
bug("momentum", "one state for all", SGD, init_state=lambda self, parameter:
    next(iter(self.state.values()), None) or dl.SGD.init_state(self, parameter))
bug("Nesterov", "no look-ahead", SGD, move=lambda self, v, g, rate: rate * v)
bug("Nesterov", "looks ahead from the weight alone", SGD, move=lambda self, v, g, rate: rate * (g + v))
bug("clipped by norm", "norm of the squares", Clipped,
    clipped=lambda self, g, trained, everyone: g * min(1, self.clip_norm / norm_of(trained) ** 2))
bug("clipped by norm", "norm of the last gradient", Clipped,
    clipped=lambda self, g, trained, everyone: g * min(1, self.clip_norm / norm_of(trained[-1:])))
bug("clipped by norm", "frozen ones in the norm", Clipped,
    clipped=lambda self, g, trained, everyone: g * min(1, self.clip_norm / norm_of(everyone)))
bug("clipped by norm", "always of this length", Clipped,
    clipped=lambda self, g, trained, everyone: g * self.clip_norm / norm_of(trained))
bug("clipped by value", "clipped above alone", Clipped,
    clipped=lambda self, g, trained, everyone: np.minimum(g, self.clip_value))
bug("clipped by value", "not clipped", Clipped, clipped=lambda self, g, trained, everyone: g)

bug("Adagrad", "epsilon within the root", Adagrad, root=lambda self, total: np.sqrt(total + self.epsilon))
bug("Adagrad", "no root", Adagrad, root=lambda self, total: total + self.epsilon)
bug("Adagrad", "forgets", Adagrad, total=lambda self, total, g: g * g)
bug("RMSProp", "epsilon within RMSProp's root", RMSProp, root=lambda self, square: np.sqrt(square + self.epsilon))
bug("RMSProp", "rho on the wrong side", RMSProp,
    square=lambda self, square, g: self.rho * square + self.rho * g * g)
bug("RMSProp", "mean of gradients, not squares", RMSProp,
    square=lambda self, square, g: self.rho * square + (1 - self.rho) * abs(g))
bug("RMSProp, momentum", "velocity that forgets", RMSProp, velocity=lambda self, v, move: move)

bug("Adam", "no correction of the mean", Adam, mean_correction=lambda self, t: 1.0)
bug("Adam", "no correction of the square", Adam, correction=lambda self, t: 1.0)
bug("Adam", "epsilon before the correction", Adam,
    root=lambda self, square, correction: (np.sqrt(square) + self.epsilon) / correction)
bug("Adam", "epsilon within Adam's root", Adam,
    root=lambda self, square, correction: np.sqrt(square / correction**2 + self.epsilon))
bug("Adam", "correction without its root", Adam, correction=lambda self, t: 1 - self.beta2**t)
bug("Adam", "count one behind", Adam, mean_correction=lambda self, t: 1 - self.beta1 ** (t + 1))
bug("Adam", "frozen steps counted", Adam, init_state=lambda self, parameter: {
    **dl.Adam.init_state(self, parameter), "count": np.array(self.steps)})
bug("Adam", "count by the optimizer", Adam, count=lambda self, state: self.steps + 1)
bug("Adam", "betas swapped", Adam, mean=lambda self, mean, g: self.beta2 * mean + (1 - self.beta1) * g)
bug("Adam", "square of the mean", Adam,
    square=lambda self, square, g, mean: self.beta2 * square + (1 - self.beta2) * mean * mean)
bug("Adam", "mean that forgets", Adam, mean=lambda self, mean, g: (1 - self.beta1) * g)
bug("Adam", "square without its share", Adam, square=lambda self, square, g, mean: self.beta2 * square + g * g)
bug("AdamW", "decay upwards", AdamW,
    kept=lambda self, parameter, rate: 1 + rate * self.weight_decay if parameter.penalized else 1)
bug("AdamW", "decay without the rate", AdamW,
    kept=lambda self, parameter, rate: 1 - self.weight_decay if parameter.penalized else 1)
bug("AdamW", "decay of biases", AdamW, kept=lambda self, parameter, rate: 1 - rate * self.weight_decay)
bug("AdamW", "decay through the gradient", AdamW, kept=lambda self, parameter, rate: 1,
    gradient=lambda self, g, w: g + self.weight_decay * w)
bug("NAdam", "constant momentum", NAdam, mu=lambda self, t: self.beta1)
bug("NAdam", "momentum of this step twice", NAdam, mu=lambda self, t: NAdam.mu(self, t - t % 2))
bug("NAdam", "product of one", NAdam, product=lambda self, product, mu: mu)
bug("NAdam", "no gradient of its own", NAdam, own=lambda self, g: 0 * g)
# fmt: on


# ---- breaches of the contract


class OutOfPlace(dl.SGD):
    def update(self, parameter, state, learning_rate):
        parameter._value = parameter.value - learning_rate * parameter.grad


class DoubleState(Momentum):
    def init_state(self, parameter):
        return {"velocity": np.zeros(parameter.value.shape)}


class ScalesGradient(dl.SGD):
    def update(self, parameter, state, learning_rate):
        parameter.grad[...] *= learning_rate
        parameter.value -= parameter.grad


class SharedState(Momentum):
    shared = None

    def init_state(self, parameter):
        self.shared = self.shared or super().init_state(parameter)
        return self.shared


class Lazy(dl.SGD):
    def step(self, parameters):
        for parameter in parameters.values():
            self.state["weight"] = {}
            self.update(parameter, {}, self.learning_rate)


class NewState(Momentum):
    def update(self, parameter, state, learning_rate):
        state["velocity"] = 0.5 * state["velocity"] - learning_rate * parameter.grad
        parameter.value += state["velocity"]


class Trusting(dl.SGD):
    def __init__(self, learning_rate):
        # Whatever it is given.
        super().__init__(0.1)


class Faithless(dl.SGD):
    def check_model(self, parameters):
        pass


BREACHES = {
    BUGS["uphill"][1]: "moves_against_the_gradient_of_a_parabola",
    OutOfPlace: "changes_values_in_place",
    DoubleState: "keeps_the_dtype",
    Thaws: "leaves_frozen_parameters_alone",
    ScalesGradient: "leaves_gradients_alone",
    SharedState: "remembers_by_path",
    Lazy: "remembers_by_path",
    NewState: "remembers_in_place",
    Trusting: "refuses_bad_learning_rates",
    Faithless: "refuses_another_model",
}
"""For each class that breaks the contract of `Optimizer` the rule that it breaks."""
