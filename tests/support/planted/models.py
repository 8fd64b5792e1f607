"""Model: bugs in the cost and in the gradients of all its parameters."""

import math

import numpy as np

from minidl import L2, Dense, Model, ReLU, Sequential, SoftmaxCrossEntropy
from planted.fault import (
    FAIL_CONTRACT,
    FAIL_VALUE,
    NONDETERMINISTIC,
    PASS,
    PASS_SUBGRADIENT,
    STATE_CHANGED,
    After,
    Family,
    plant,
)
from planted.networks import LastLayerAlone
from planted.numbers import LABELS, NOISE, X, signed


def network(trained=True):
    layers = Sequential(Dense(4, 6, rng=0), ReLU(), Dense(6, 3, rng=1))
    if trained:  # biases start at 0, where a penalty on them has no slope
        for path, p in layers.named_parameters().items():
            if path.endswith("bias"):
                p.value = signed(p.value.size, seed=3)
    return layers


def arguments(cls, trained=True):
    return cls(network(trained), SoftmaxCrossEntropy(), L2(0.1)), X, LABELS


model = Family("model", arguments, "0.weight")


class Spoiled(Model):
    """Right, but for what `spoil` does to the gradients afterwards, of n rows."""

    def compute_gradients(self, x, y):
        terms = super().compute_gradients(x, y)
        self.spoil(len(x))
        return terms

    def add_penalty(self, factor, *paths):
        for path in paths:
            p = self.parameters[path]
            p.add_grad(factor * self.regularizer.gradient(p.value))

    def scale(self, factor, *paths):
        for path in paths or self.parameters:
            p = self.parameters[path]
            p.add_grad((factor - 1) * p.grad)


@model(62, "gradients gather over the calls", FAIL_CONTRACT, FAIL_VALUE, NONDETERMINISTIC)
class Gathers(Model):
    def compute_gradients(self, x, y):
        before = {path: p.grad.copy() for path, p in self.parameters.items()}
        result = super().compute_gradients(x, y)
        for path, p in self.parameters.items():
            p.add_grad(before[path])
        return result


@model(74, "the gradients are clipped to norm 0.1")
class ClipsInModel(Spoiled):
    def spoil(self, n):
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in self.parameters.values()))
        self.scale(min(1.0, 0.1 / norm))


@model(16, "`compute_gradients` takes the optimizer's step", STATE_CHANGED, FAIL_CONTRACT)
class StepsInModel(Spoiled):
    def spoil(self, n):
        for p in self.parameters.values():
            p.value -= 0.01 * p.grad


# fmt: off
model.row(76, "Model", "a model of two layers", Model, {}, PASS, PASS_SUBGRADIENT)
model.row(73, "NoPenaltyGradient", "the regularizer is in the cost and not in the gradient", Spoiled,
    {"spoil": lambda self, n: self.add_penalty(-1, "0.weight", "2.weight")})
model.row(73, "PenaltyOverN", "the regularizer's gradient is divided by N", Spoiled,
    {"spoil": lambda self, n: self.add_penalty(1 / n - 1, "0.weight", "2.weight")})
model.row(71, "PenalizesBiases", "biases are penalized in the gradient alone", Spoiled,
    {"spoil": lambda self, n: self.add_penalty(1, "0.bias", "2.bias")}, tensor="0.bias")
model.row(71, "PenalizesZeroBiases", "the same, checked before training, when every bias is 0", Spoiled,
    {"spoil": lambda self, n: self.add_penalty(1, "0.bias", "2.bias")}, tensor="0.bias", trained=False)
model.row(71, "ForgetsLastPenalty", "one weight's penalty has no gradient", Spoiled,
    {"spoil": lambda self, n: self.add_penalty(-1, "2.weight")}, tensor="2.weight")
model.row(73, "NoPenaltyInCost", "the regularizer is in the gradient and not in the cost", Model,
    {"penalty": lambda self: 0.0})
model.row(73, "PenaltyTwice", "the cost has the penalty twice", Model,
    {"compute_cost": After(lambda self, cost, x, y: cost + self.penalty())}, FAIL_CONTRACT, FAIL_VALUE)
model.row(73, "SwapsCostAndLoss", "`compute_gradients` returns (loss, cost)", Model,
    {"compute_gradients": After(lambda self, terms, x, y: terms[::-1])}, FAIL_CONTRACT)
model.row(75, "Frozen", "the first layer gets no gradient, as if it were frozen", Spoiled,
    {"spoil": lambda self, n: self.scale(0, "0.weight", "0.bias")})
model.row(22, "ScalesInput", "`compute_gradients` scales x in place", Model,
    {"compute_gradients": lambda self, x, y: Model.compute_gradients(self, np.divide(x, 2, out=x), y)},
    FAIL_CONTRACT, FAIL_VALUE)
model.row(53, "NoisyModel", "the gradients are noisy", Spoiled,
    {"spoil": lambda self, n: self.parameters["0.bias"].add_grad(1e-8 * NOISE.normal(size=6))}, NONDETERMINISTIC)
plant(68, "network-last-layer-alone", "`backward_parameters` of the network reaches the last layer alone", "model",
    lambda: (Model(LastLayerAlone(*network().layers), SoftmaxCrossEntropy()), X, LABELS), tensor="0.weight")
# fmt: on
