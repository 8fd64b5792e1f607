"""Optimizers: wrong rules, which end elsewhere than right ones do, and classes that break the contract."""

import math
from types import SimpleNamespace

import numpy as np
from small_parts import Momentum

import minidl as dl

BUGS = {}
"""For each bug the case of `optimizer_problem` in which it shows, and the class."""


def bug(case, name, base, **parts):
    """Add a bug: formulas in the place of right ones, and methods."""
    right = getattr(base, "formulas", {})
    formulas = right | {part: parts.pop(part) for part in list(parts) if part in right}
    BUGS[name] = (case, type(base.__name__, (base,), {"formulas": formulas, **parts}))


# ---- right rules, written out in formulas that a bug can replace


class Written:
    """Formulas in their order, of an object that has the options, the state, w, g, and what was computed so far."""

    def update(self, parameter, state, rate):
        of = {**vars(self), **state, "w": parameter.value, "g": parameter.grad, "penalized": parameter.penalized}
        o = SimpleNamespace(**of, rate=rate)
        for name, formula in self.formulas.items():
            if name in state:
                state[name][...] = formula(o)
            else:
                vars(o)[name] = formula(o)
        parameter.value[...] = o.w


def written(base, **formulas):
    return type(base.__name__, (Written, base), {"formulas": formulas})


SGD = written(
    dl.SGD,
    velocity=lambda o: o.momentum * o.velocity + o.g if o.momentum else o.g,
    move=lambda o: o.g + o.momentum * o.velocity if o.nesterov else o.velocity,
    w=lambda o: o.w - o.rate * o.move,
)


class Clipped(dl.SGD):
    def step(self, parameters):
        trained = [p for p in parameters.values() if p.trainable]
        for p in trained:
            o = SimpleNamespace(**vars(self), g=p.grad, trained=trained, everyone=parameters.values())
            p.value -= self.learning_rate * self.clipped(o)
        self.steps += 1

    def clipped(self, o):
        return np.clip(o.g, -o.clip_value, o.clip_value) if o.clip_value else o.g * shortened(o, o.trained)


def norm_of(parameters):
    return math.sqrt(sum(np.square(p.grad).sum() for p in parameters))


def shortened(o, parameters):
    return min(1.0, o.clip_norm / (norm_of(parameters) + 1e-6))


Adagrad = written(
    dl.Adagrad,
    total=lambda o: o.total + o.g * o.g,
    root=lambda o: np.sqrt(o.total) + o.epsilon,
    w=lambda o: o.w - o.rate * o.g / o.root,
)

RMSProp = written(
    dl.RMSProp,
    square=lambda o: o.rho * o.square + (1 - o.rho) * o.g * o.g,
    root=lambda o: np.sqrt(o.square) + o.epsilon,
    velocity=lambda o: o.momentum * o.velocity + o.g / o.root if o.momentum else o.g / o.root,
    w=lambda o: o.w - o.rate * o.velocity,
)

Adam = written(
    dl.Adam,
    count=lambda o: o.count + 1,
    kept=lambda o: 1.0,
    g=lambda o: o.g,
    mean=lambda o: o.beta1 * o.mean + (1 - o.beta1) * o.g,
    square=lambda o: o.beta2 * o.square + (1 - o.beta2) * o.g * o.g,
    direction=lambda o: o.mean / (1 - o.beta1**o.count),
    correction=lambda o: np.sqrt(1 - o.beta2**o.count),
    root=lambda o: np.sqrt(o.square) / o.correction + o.epsilon,
    w=lambda o: o.kept * o.w - o.rate * o.direction / o.root,
)

DECAYED = {"kept": lambda o: 1 - o.rate * o.weight_decay if o.penalized else 1.0}
AdamW = written(dl.AdamW, **Adam.formulas | DECAYED)


def momentum_at(o, count):
    return o.beta1 * (1 - 0.5 * 0.96 ** (count * o.momentum_decay))


LOOKS_AHEAD = {
    "direction": lambda o: o.own * (1 - o.mu) / (1 - o.product) + o.following * o.mean / (1 - o.product * o.following)
}
NAdam = written(
    dl.NAdam,
    mu=lambda o: momentum_at(o, o.count + 1),
    following=lambda o: momentum_at(o, o.count + 2),
    product=lambda o: o.product * o.mu,
    own=lambda o: o.g,
    **Adam.formulas | LOOKS_AHEAD,
)

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


class Thaws(SGD):
    def step(self, parameters):
        for parameter in parameters.values():
            parameter.trainable = True
        super().step(parameters)


# fmt: off
bug("SGD", "uphill", SGD, w=lambda o: o.w + o.rate * o.move)
bug("SGD", "rate of the next step", SGD, w=lambda o: o.w - o._learning_rate(o.steps + 1) * o.move)
bug("SGD", "steps counted for each parameter", CountsEach)
bug("SGD", "frozen ones move", Thaws)
bug("momentum", "dampened", SGD, velocity=lambda o: o.momentum * o.velocity + (1 - o.momentum) * o.g)
bug("momentum", "velocity without decay", SGD, velocity=lambda o: o.velocity + o.g)
bug("momentum", "rate within the velocity", SGD, velocity=lambda o: o.momentum * o.velocity + o.rate * o.g,
    w=lambda o: o.w - o.velocity)
bug("momentum", "one state for all", SGD, init_state=lambda self, parameter:
    next(iter(self.state.values()), None) or dl.SGD.init_state(self, parameter))
bug("Nesterov", "no look-ahead", SGD, move=lambda o: o.velocity)
bug("Nesterov", "looks ahead from the weight alone", SGD, move=lambda o: o.g + o.velocity)
bug("clipped by norm", "norm of the squares", Clipped,
    clipped=lambda self, o: o.g * min(1, o.clip_norm / norm_of(o.trained) ** 2))
bug("clipped by norm", "norm of the last gradient", Clipped, clipped=lambda self, o: o.g * shortened(o, o.trained[-1:]))
bug("clipped by norm", "frozen ones in the norm", Clipped, clipped=lambda self, o: o.g * shortened(o, o.everyone))
bug("clipped by norm", "always of this length", Clipped, clipped=lambda self, o: o.g * o.clip_norm / norm_of(o.trained))
bug("clipped by value", "clipped above alone", Clipped, clipped=lambda self, o: np.minimum(o.g, o.clip_value))
bug("clipped by value", "not clipped", Clipped, clipped=lambda self, o: o.g)

bug("Adagrad", "epsilon within the root", Adagrad, root=lambda o: np.sqrt(o.total + o.epsilon))
bug("Adagrad", "no root", Adagrad, root=lambda o: o.total + o.epsilon)
bug("Adagrad", "forgets", Adagrad, total=lambda o: o.g * o.g)
bug("RMSProp", "epsilon within RMSProp's root", RMSProp, root=lambda o: np.sqrt(o.square + o.epsilon))
bug("RMSProp", "rho on the wrong side", RMSProp, square=lambda o: o.rho * o.square + o.rho * o.g * o.g)
bug("RMSProp", "mean of gradients, not squares", RMSProp, square=lambda o: o.rho * o.square + (1 - o.rho) * abs(o.g))
bug("RMSProp, momentum", "velocity that forgets", RMSProp, velocity=lambda o: o.g / o.root)

bug("Adam", "no correction of the mean", Adam, direction=lambda o: o.mean)
bug("Adam", "no correction of the square", Adam, correction=lambda o: 1.0)
bug("Adam", "epsilon before the correction", Adam, root=lambda o: (np.sqrt(o.square) + o.epsilon) / o.correction)
bug("Adam", "epsilon within Adam's root", Adam, root=lambda o: np.sqrt(o.square / o.correction**2 + o.epsilon))
bug("Adam", "correction without its root", Adam, correction=lambda o: 1 - o.beta2**o.count)
bug("Adam", "count one behind", Adam, direction=lambda o: o.mean / (1 - o.beta1 ** (o.count + 1)))
bug("Adam", "frozen steps counted", Adam, init_state=lambda self, parameter: {
    **dl.Adam.init_state(self, parameter), "count": np.array(self.steps)})
bug("Adam", "count by the optimizer", Adam, count=lambda o: o.steps + 1)
bug("Adam", "betas swapped", Adam, mean=lambda o: o.beta2 * o.mean + (1 - o.beta1) * o.g)
bug("Adam", "square of the mean", Adam, square=lambda o: o.beta2 * o.square + (1 - o.beta2) * o.mean * o.mean)
bug("Adam", "mean that forgets", Adam, mean=lambda o: (1 - o.beta1) * o.g)
bug("Adam", "square without its share", Adam, square=lambda o: o.beta2 * o.square + o.g * o.g)
bug("AdamW", "decay upwards", AdamW, kept=lambda o: 1 + o.rate * o.weight_decay if o.penalized else 1)
bug("AdamW", "decay without the rate", AdamW, kept=lambda o: 1 - o.weight_decay if o.penalized else 1)
bug("AdamW", "decay of biases", AdamW, kept=lambda o: 1 - o.rate * o.weight_decay)
bug("AdamW", "decay through the gradient", AdamW, kept=lambda o: 1, g=lambda o: o.g + o.weight_decay * o.w)
bug("NAdam", "constant momentum", NAdam, mu=lambda o: o.beta1, following=lambda o: o.beta1)
bug("NAdam", "momentum of this step twice", NAdam, following=lambda o: o.mu)
bug("NAdam", "product of one", NAdam, product=lambda o: o.mu)
bug("NAdam", "no gradient of its own", NAdam, own=lambda o: 0 * o.g)
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


class Faithless(dl.SGD):
    def check_model(self, parameters):
        pass


BREACHES = {
    BUGS["uphill"][1]: "moves_against_the_gradient_of_a_parabola",
    OutOfPlace: "changes_values_in_place",
    DoubleState: "keeps_the_dtype",
    Thaws: "leaves_frozen_parameters_alone",
    ScalesGradient: "leaves_gradients_alone",
    SharedState: "keeps_state_by_path",
    Lazy: "keeps_state_by_path",
    NewState: "changes_state_in_place",
    Faithless: "refuses_another_model",
}
"""For each class that breaks the contract of `Optimizer` the rule that it breaks."""
