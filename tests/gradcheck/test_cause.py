"""What a finding says about a cause: in the numbers of the user, and only where they fit."""

import re

import numpy as np
import pytest
from planted.contracts import Sum
from planted.numbers import signed
from seeds import SEEDS
from small_parts import Scale

import minidl as dl

pytestmark = pytest.mark.scaled


def of_function(f, vjp, *shape):
    return lambda seed: dl.check_function(f, vjp, signed(*shape, seed=seed), seed=seed)


def of_layer(layer, *shape):
    return lambda seed: dl.check_layer(layer, signed(*shape, seed=seed), seed=seed)


def of_penalty(gradient, *shape):
    squares = changed(Sum, gradient=gradient)()
    return lambda seed: dl.check_regularizer(squares, signed(*shape, seed=seed), seed=seed)


def of_quantiles(gradient):
    """Check the quantile loss of 0.9, whose gradient is given by ``target > output``."""

    class Quantile(dl.Loss):
        def forward(self, outputs, targets):
            self.keep(outputs, targets)
            return float(np.maximum(0.9 * (targets - outputs), 0.1 * (outputs - targets)).mean())

        def backward(self):
            outputs, targets = self.kept()
            return gradient(targets > outputs) / outputs.size

    def check(seed):
        z = np.linspace(-1.0, 1.0, 6)[:, None]
        return dl.check_loss(Quantile(), z, z + signed(6, 1, seed=seed), seed=seed)

    return check


def changed(right, **methods):
    return type("Changed", (right,), methods)


def with_dx(edit):
    """Return a `Scale` of three features whose dx is edited."""
    return changed(Scale, backward=lambda self, dy: edit(Scale.backward(self, dy)))(3)


def with_gain(edit):
    """Return a `Scale` of three features whose gradient is ``edit(dy * x)``."""

    def backward(self, dy):
        (x,) = self.kept()
        self.gain.add_grad(edit(dy * x))
        return dy * self.gain.value.astype(dy.dtype)

    return changed(Scale, backward=backward)(3)


class Old(Scale):
    """Uses a copy of its gain from the time when it was made, which is not all ones."""

    def __init__(self):
        super().__init__(3)
        self.gain.value += signed(3)
        self.old = self.gain.value.copy()

    def backward(self, dy):
        super().backward(dy)
        return dy * self.old


def variance(x):
    return x.var(axis=0)


def d_variance(dy, x):
    return dy * 2 * (x - x.mean(axis=0)) / len(x)


class Binary(dl.Dense):
    """Straight-through: of its weight only the sign counts."""

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x @ np.sign(self.weight.value).astype(x.dtype)

    def backward(self, dy):
        (x,) = self.kept()
        self.weight.add_grad(x.T @ dy)
        return dy @ np.sign(self.weight.value).T.astype(dy.dtype)


PAGE = "see surrogate-gradients.md"
# A check of one seed, what its findings say, and what they do not.
CASES = {
    "gain left out": (of_layer(changed(Old, __init__=lambda self: Scale.__init__(self, 3), old=1.0)(), 4, 3),
        "correct for these parameters, .* by the factor 64/65", "mean"),
    "old copy": (of_layer(Old(), 4, 3), "correct for these parameters, .* use an old copy", "mean"),
    "square": (of_penalty(lambda self, w: w.copy(), 4, 3), r"1/2: is a factor 2 of a square missing", "mean"),
    "twice": (of_layer(with_gain(lambda g: 2 * g.sum(axis=0)), 4, 3), "is there an extra factor 2.*twice", "mean"),
    "mean of rows": (of_layer(with_gain(lambda g: g.mean(axis=0)), 4, 3), "factor 1/4: is a mean used", PAGE),
    "mean of two": (of_layer(with_gain(lambda g: g.mean(axis=0)), 2, 3), "factor 2 .* or is a mean used", PAGE),
    "mean of all": (of_layer(with_dx(lambda dx: dx / dx.size), 4, 3), "factor 1/12: is a mean used", PAGE),
    "sum of rows": (of_layer(with_dx(lambda dx: dx * len(dx)), 5, 3), "factor 5: is a mean missing", PAGE),
    "no size": (of_layer(with_dx(lambda dx: dx * 7), 4, 3), r"factor 7\)", "mean"),
    "a tenth": (of_layer(with_dx(lambda dx: dx / 10), 4, 3), r"factor 1/10\)", "mean"),
    "reversal": (of_function(np.copy, lambda dy, x: -dy / 10, 4, 3), f"there is a factor 1/10; .*{PAGE}", "mean"),
    "reversal by n": (of_function(np.copy, lambda dy, x: -dy / 4, 4, 3), f"there is a factor 1/4; .*{PAGE}", "mean"),
    "sign": (of_function(np.copy, lambda dy, x: -dy, 4, 3), r"\(the sign is wrong\)", "factor"),
    "branches": (of_quantiles(lambda above: np.where(above, -0.1, 0.9)), "the gradient is", "mean"),
    "variance": (of_function(variance, lambda dy, x: d_variance(dy, x) * 50 / 49, 50, 1), "50/49: is n used", "mean"),
    "deviation": (of_function(lambda x: x.std(axis=0), lambda dy, x: d_variance(dy, x) / 2 / x.std(axis=0, ddof=1),
        50, 1), r"factor 0.98994\d*: is n used for n - 1", "mean"),
    "centered": (of_function(lambda x: x - x.mean(axis=0), lambda dy, x: dy, 4, 3), "over this axis missing", PAGE),
    "rounded": (of_function(np.round, lambda dy, x: dy, 4, 3), f"forward is constant here; .*{PAGE}", "mean"),
    "binary": (of_layer(Binary(3, 2, rng=0), 4, 3), f"weight.*forward is constant here; .*{PAGE}", "mean"),
    "clipped": (of_layer(with_dx(lambda dx: np.clip(dx, -9, 9)), 4, 3), f"linear .*clips on purpose, {PAGE}", "mean"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_cause_is_guessed_where_the_numbers_fit(case):
    check, says, never = CASES[case]
    for seed in SEEDS:
        report = check(seed)
        said = " ".join(map(str, report.findings))
        assert not report.ok
        assert re.search(says, said), report
        assert never not in said, report


def test_numbers_are_those_at_the_parameters_that_were_given():
    for seed in SEEDS:
        layer = with_gain(lambda g: 3 * g.sum(axis=0))
        layer.gain.value += signed(3, seed=seed).astype(np.float32)
        worst = of_layer(layer, 4, 3)(seed).findings[0]
        wrong_dx = with_dx(lambda dx: 3 * dx)
        wrong_dx.gain.value[...] = layer.gain.value
        x = of_layer(wrong_dx, 4, 3)(seed).findings[0]
        assert worst.analytic == pytest.approx(3 * worst.numeric)
        # The upstream gradient is a multiple of 1/4096.
        parts = 4096 * x.numeric / layer.gain.value[x.index[1]]
        assert parts == pytest.approx(round(parts), abs=3e-3)


def test_a_model_is_shown_at_the_parameters_that_were_given():
    layer = dl.Dense(3, 1, weight_init=dl.Constant(1.0))
    half = changed(dl.L2, gradient=lambda self, w: dl.L2.gradient(self, w) / 2)
    x = np.zeros((2, 3))
    report = dl.check_model(dl.Model(layer, dl.MeanSquaredError(), half(0.5)), x, x[:, :1])
    assert [finding.numeric for finding in report.findings[:3]] == pytest.approx([1.0] * 3)
