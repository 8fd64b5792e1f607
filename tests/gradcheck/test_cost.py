"""What a check costs: forwards on deep networks, a limit in seconds, and progress on a terminal."""

import io
import sys
import time

import numpy as np
import pytest
from function_layer import function_layer

import minidl as dl
from minidl import InputError, Verdict


def residual_network(side, channels=11):
    """Return a residual network of some 5,000 parameters with batch norm, and a batch for it."""

    def conv(seed, inputs=channels):
        return dl.Conv2D(inputs, channels, 3, padding=1, rng=seed)

    def block(seed):
        body = [conv(seed), dl.BatchNorm(channels), dl.ReLU(), conv(seed + 1), dl.BatchNorm(channels)]
        return dl.Residual(dl.Sequential(*body))

    layers = [conv(0, 3), dl.BatchNorm(channels), dl.ReLU(), block(1), dl.ReLU(), block(5), dl.ReLU()]
    network = dl.Sequential(*layers, dl.GlobalAvgPool2D(), dl.Dense(channels, 10, rng=9))
    model = dl.Model(network, dl.SoftmaxCrossEntropy(), dl.L2(1e-3))
    return model, np.random.default_rng(0).normal(size=(4, side, side, 3)), np.array([1, 2, 3, 4])


def multilayer_perceptron(wrong=False):
    class Wrong(dl.Dense):
        def backward_parameters(self, dy):
            super().backward_parameters(dy)
            self.weight.grad[0, 0] *= 1 + 1e-3 * wrong

    layers = [Wrong(20, 8, rng=0), dl.BatchNorm(8), dl.ReLU(), dl.Dense(8, 8, rng=1), dl.BatchNorm(8), dl.ReLU()]
    model = dl.Model(dl.Sequential(*layers, dl.Dense(8, 3, rng=2)), dl.SoftmaxCrossEntropy())
    return model, np.random.default_rng(0).normal(size=(6, 20)), np.arange(6) % 3


@pytest.mark.parametrize("side", [4, pytest.param(16, marks=pytest.mark.nightly)])
def test_a_residual_network_is_decided_with_3000_forwards(side):
    report = dl.check_model(*residual_network(side))
    assert report.verdict is Verdict.PASS
    assert report.forwards <= 3000


def test_a_perceptron_with_batch_norm_is_decided_with_800_forwards():
    report = dl.check_model(*multilayer_perceptron())
    assert report.verdict is Verdict.PASS
    assert report.forwards <= 800
    assert dl.check_model(*multilayer_perceptron(wrong=True)).verdict is Verdict.FAIL_VALUE


def test_every_entry_of_a_linear_model_takes_less_than_a_forward_an_entry():
    model = dl.Model(dl.Dense(300, 10, rng=0), dl.SoftmaxCrossEntropy(), dl.L2(0.1))
    x, y = np.random.default_rng(0).normal(size=(5, 300)), np.arange(5)
    report = dl.check_model(model, x, y, every_entry=True)
    assert report.verdict is Verdict.PASS
    assert report.tensors["weight"]["entries"] == 3000
    assert report.forwards < 3000 / 2


class Slow(dl.Layer):
    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.w = self.add_parameter("w", np.full(12, 0.5))
        self.v = self.add_parameter("v", np.full(12, 0.25))

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        time.sleep(self.seconds)
        return np.tanh(x * self.w.value) * self.v.value.sum()

    def backward(self, dy):
        (x,) = self.kept()
        slope = dy * (1 - np.tanh(x * self.w.value) ** 2) * self.v.value.sum()
        self.w.add_grad((slope * x).sum(axis=0))
        self.v.add_grad(np.full(12, (dy * np.tanh(x * self.w.value)).sum()))
        return slope * self.w.value


def test_a_check_ends_in_time_and_says_what_it_did_not_reach():
    x = np.random.default_rng(0).normal(size=(2, 12))
    assert dl.check_layer(Slow(), x, max_seconds=60).ok
    report = dl.check_layer(Slow(0.005), x, max_seconds=0.5)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.seconds < 10
    assert "no time left to check" in str(report)
    assert "v" in report.notes[0]
    with pytest.raises(InputError, match="max_seconds"):
        dl.check_layer(Slow(), x, max_seconds=0)


def test_an_error_that_was_found_in_time_counts():
    wrong = function_layer(np.tanh, lambda dy, x: 2 * dy)
    assert dl.check_layer(wrong, np.ones((2, 3)), max_seconds=60).verdict is Verdict.FAIL_VALUE


def test_a_long_check_shows_its_progress_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("minidl.gradcheck.checks.DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    dl.check_layer(Slow(), np.random.default_rng(0).normal(size=(2, 12)))
    assert "gradient check" in sys.stderr.getvalue()
    monkeypatch.setenv("MINIDL_VERBOSE", "0")
    monkeypatch.setattr(sys, "stderr", Terminal())
    dl.check_layer(Slow(), np.random.default_rng(0).normal(size=(2, 12)))
    assert sys.stderr.getvalue() == ""
