"""Model: bugs in the cost and in the gradients of all its parameters."""

import math

from minidl import L2, Dense, Model, ReLU, Sequential, SoftmaxCrossEntropy
from planted.fault import (
    FAIL_CONTRACT,
    FAIL_VALUE,
    LABELS,
    NOISE,
    NONDETERMINISTIC,
    PASS,
    PASS_SUBGRADIENT,
    STATE_CHANGED,
    Family,
    X,
    plant,
    signed,
)
from planted.networks import LastLayerAlone


def network(trained=True):
    layers = Sequential(Dense(4, 6, rng=0), ReLU(), Dense(6, 3, rng=1))
    if trained:  # biases start at 0, where a penalty on them has no slope
        for path, p in layers.named_parameters().items():
            if path.endswith("bias"):
                p.value = signed(p.value.size, seed=3)
    return layers


model = Family(
    "model", lambda c, trained=True: (c(network(trained), SoftmaxCrossEntropy(), L2(0.1)), X, LABELS), "0.weight"
)


def scaled_penalty(model, factor, penalized=(True,)):
    for p in model.parameters.values():
        if p.penalized in penalized:
            p.add_grad(factor * model.regularizer.gradient(p.value))


model(76, "a model of two layers", PASS, PASS_SUBGRADIENT)(Model)


@model(73, "the regularizer is in the cost and not in the gradient")
class NoPenaltyGradient(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        scaled_penalty(self, -1)
        return result


@model(73, "the regularizer's gradient is divided by N")
class PenaltyOverN(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        scaled_penalty(self, 1 / len(x) - 1)
        return result


@model(71, "biases are penalized in the gradient alone", tensor="0.bias")
class PenalizesBiases(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        scaled_penalty(self, 1, penalized=(False,))
        return result


@model(71, "one weight's penalty has no gradient", tensor="2.weight")
class ForgetsLastPenalty(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        p = self.parameters["2.weight"]
        p.add_grad(-self.regularizer.gradient(p.value))
        return result


@model(62, "gradients gather over the calls", FAIL_CONTRACT, FAIL_VALUE, NONDETERMINISTIC)
class Gathers(Model):
    def compute_gradients(self, x, y):
        before = {path: p.grad.copy() for path, p in self.parameters.items()}
        result = super().compute_gradients(x, y)
        for path, p in self.parameters.items():
            p.add_grad(before[path])
        return result


@model(73, "`compute_gradients` returns (loss, cost)", FAIL_CONTRACT)
class SwapsCostAndLoss(Model):
    def compute_gradients(self, x, y):
        cost, loss = super().compute_gradients(x, y)
        return loss, cost


@model(74, "the gradients are clipped to norm 0.1")
class ClipsInModel(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in self.parameters.values()))
        for p in self.parameters.values():
            p.add_grad((min(1.0, 0.1 / norm) - 1) * p.grad)
        return result


@model(75, "the first layer gets no gradient, as if it were frozen")
class Frozen(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        for path in ("0.weight", "0.bias"):
            self.parameters[path].zero_grad()
        return result


@model(16, "`compute_gradients` takes the optimizer's step", STATE_CHANGED, FAIL_CONTRACT)
class StepsInModel(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        for p in self.parameters.values():
            p.value -= 0.01 * p.grad
        return result


@model(22, "`compute_gradients` scales x in place", FAIL_CONTRACT, FAIL_VALUE)
class ScalesInput(Model):
    def compute_gradients(self, x, y):
        x /= 2
        return super().compute_gradients(x, y)


@model(53, "the gradients are noisy", NONDETERMINISTIC)
class NoisyModel(Model):
    def compute_gradients(self, x, y):
        result = super().compute_gradients(x, y)
        p = self.parameters["0.bias"]
        p.add_grad(1e-8 * NOISE.normal(size=p.value.shape))
        return result


plant(
    68,
    "network-last-layer-alone",
    "`backward_parameters` of the network reaches the last layer alone",
    "model",
    lambda: (Model(LastLayerAlone(*network().layers), SoftmaxCrossEntropy()), X, LABELS),
    tensor="0.weight",
)


# fmt: off
model.row(73, "NoPenaltyInCost", "the regularizer is in the gradient and not in the cost", Model,
    {"penalty": lambda self: 0.0})
model.row(73, "PenaltyTwice", "the cost has the penalty twice", Model,
    {"compute_cost": lambda self, x, y: Model.compute_cost(self, x, y) + self.penalty()}, FAIL_CONTRACT, FAIL_VALUE)
model.row(71, "PenalizesZeroBiases", "the same, checked before training, when every bias is 0", PenalizesBiases, {},
    tensor="0.bias", trained=False)
# fmt: on
