"""Kinks, ties and exact hits: they hide no error, and a right choice at them is never called wrong."""

import numpy as np
import pytest
from function_layer import function_layer
from seeds import MANY, SEEDS

import minidl as dl
from minidl import InputError, Verdict
from minidl.gradcheck.compare import Comparison
from minidl.gradcheck.subjects import FunctionSubject

pytestmark = pytest.mark.scaled
PASSES = (Verdict.PASS, Verdict.PASS_SUBGRADIENT)


def relu(x):
    return np.maximum(x, 0)


def relu_backward(dy, x):
    return dy * (x > 0)


def with_zeros(count, shape=(40, 20), seed=0):
    """Return normal numbers of which `count` are zero, as a ReLU before the layer gives them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    x.flat[rng.choice(x.size, count, replace=False)] = 0
    return x


def last_column_missing(dy, x):
    gradient = relu_backward(dy, x)
    gradient[:, -1] = 0
    return gradient


def one_row_doubled(dy, x):
    gradient = relu_backward(dy, x)
    gradient[3] *= 2
    return gradient


def one_entry_off(dy, x):
    gradient = relu_backward(dy, x)
    gradient[3, 5] += 1
    return gradient


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sparse_input_hides_no_error_of_a_large_layer(seed):
    sparse = relu(np.random.default_rng(seed).normal(size=(40, 20)) - 1.2)
    assert dl.check_layer(function_layer(relu, relu_backward), sparse).verdict is Verdict.PASS_SUBGRADIENT
    wrong = dl.check_layer(function_layer(relu, lambda dy, x: -relu_backward(dy, x)), sparse)
    assert wrong.verdict is Verdict.FAIL_VALUE


@pytest.mark.parametrize(
    ("zeros", "backward"),
    [
        (100, last_column_missing),
        (100, lambda dy, x: dy * np.where(x < 0, 0.01, x > 0)),
        (100, lambda dy, x: 1.02 * relu_backward(dy, x)),
        (600, lambda dy, x: 2 * relu_backward(dy, x)),
        (700, lambda dy, x: 3 * relu_backward(dy, x)),
        (400, one_row_doubled),
        (400, one_entry_off),
        # Wrong at the kinks alone.
        (400, lambda dy, x: dy * ((x > 0) + 5.0 * (x == 0))),
    ],
)
def test_no_error_hides_behind_kinks(zeros, backward):
    for seed in SEEDS:
        report = dl.check_layer(function_layer(relu, backward), with_zeros(zeros, seed=seed))
        assert report.verdict is Verdict.FAIL_VALUE


class AbsoluteWeights(dl.Layer):
    def __init__(self, weight, factor):
        self.w = self.add_parameter("w", weight)
        self.factor = factor

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x @ np.abs(self.w.value)

    def backward(self, dy):
        (x,) = self.kept()
        self.w.add_grad(self.factor * (x.T @ dy) * np.sign(self.w.value))
        return dy @ np.abs(self.w.value).T


class Lasso(dl.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def penalty(self, w):
        return float(np.abs(w).sum())

    def gradient(self, w):
        return self.factor * np.sign(w)


def pruned_model(factor, seed):
    class Scaled(dl.Dense):
        def backward_parameters(self, dy):
            super().backward_parameters(dy)
            self.weight.grad *= factor

    layer = Scaled(30, 20, rng=seed)
    layer.weight.value = with_zeros(300, (30, 20), seed)
    return dl.Model(layer, dl.SoftmaxCrossEntropy(), dl.L1(0.1))


@pytest.mark.parametrize(
    "check",
    [
        lambda factor, seed, rng: dl.check_layer(
            AbsoluteWeights(with_zeros(100, seed=seed), factor), rng.normal(size=(3, 40))
        ),
        lambda factor, seed, rng: dl.check_regularizer(Lasso(factor), with_zeros(400, seed=seed)),
        lambda factor, seed, rng: dl.check_model(
            pruned_model(factor, seed), rng.normal(size=(5, 30)), np.arange(5) % 20
        ),
    ],
    ids=["layer", "regularizer", "model"],
)
def test_weights_at_zero_hide_no_error(check, rng):
    for seed in SEEDS:
        right = check(1.0, seed, rng)
        assert right.verdict is Verdict.PASS_SUBGRADIENT
        assert right.resolution <= 1e-3
        assert check(1.3, seed, rng).verdict is Verdict.FAIL_VALUE


def test_ok_is_said_only_where_a_small_error_would_have_been_refused():
    """Right at its kinks alone: beside them nothing is compared, since the function refuses that."""

    def at_zero_only(x):
        if np.any(x * (np.abs(x) > 1e-5)):
            raise ValueError("off the point")
        return np.abs(x)

    report = dl.check_function(at_zero_only, lambda dy, x: 0 * dy, np.zeros(3))
    assert not report.ok


def top(k):
    def forward(x):
        return np.sort(x, axis=-1)[..., ::-1][..., :k]

    def backward(dy, x):
        gradient = np.zeros_like(x)
        np.put_along_axis(gradient, np.argsort(-x, axis=-1, kind="stable")[..., :k], dy, -1)
        return gradient

    return forward, backward


def sort():
    def backward(dy, x):
        gradient = np.zeros_like(x)
        np.put_along_axis(gradient, np.argsort(x, axis=-1, kind="stable"), dy, -1)
        return gradient

    return lambda x: np.sort(x, axis=-1), backward


@pytest.mark.parametrize(
    ("functions", "x"),
    [
        (top(2), [[0.9, 0.9, 0.9, 0.9, 0.3]]),
        (top(2), [[0.9, 0.9, 0.9, 0.2, 0.3]]),
        (sort(), np.full((1, 4), 0.5)),
        (sort(), np.full((3, 4), 0.5)),
        (sort(), np.full((1, 6), 0.5)),
        (sort(), np.full((3, 6), 0.5)),
    ],
    ids=["top 2 of 4", "top 2 of 3", "sort 4", "sort 3 x 4", "sort 6", "sort 3 x 6"],
)
def test_a_tie_that_is_broken_in_one_way_passes(functions, x):
    reports = [dl.check_layer(function_layer(*functions), np.array(x), seed=seed) for seed in MANY]
    assert [report for report in reports if report.verdict is not Verdict.PASS_SUBGRADIENT] == []


def test_two_ties_that_are_each_counted_twice_never_cancel():
    x = np.array([[1.0, 1.0, 0.5], [0.1, 0.2, 0.3], [0.2, 0.7, 0.7]])
    everyone = lambda dy, x: dy[:, None] * (x == x.max(axis=-1, keepdims=True))  # noqa: E731
    reports = [dl.check_function(lambda x: x.max(axis=-1), everyone, x, seed=seed) for seed in MANY]
    assert [report for report in reports if report.verdict is not Verdict.FAIL_VALUE] == []


class Quantile(dl.Loss):
    def forward(self, z, t):
        self.keep(z, t)
        return float(np.maximum(0.9 * (t - z), -0.1 * (t - z)).mean())

    def backward(self):
        z, t = self.kept()
        return (np.where(t - z > 0, -0.9, 0.1) / len(z)).astype(z.dtype)

    def predict(self, outputs):
        return outputs


@pytest.mark.parametrize("rows", [4, 30])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_output_that_equals_a_decimal_target_is_decided(rows, seed):
    rng = np.random.default_rng(seed)
    targets, outputs = rng.normal(size=(rows, 1)).round(2), rng.normal(size=(rows, 1))
    outputs[1] = targets[1]
    assert dl.check_loss(Quantile(), outputs, targets, seed=seed).verdict in PASSES


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bound", (np.arange(1, 100, 5) / 100).tolist())
def test_a_clip_at_a_decimal_bound_is_decided(bound, dtype):
    inside = function_layer(lambda x: np.clip(x, -bound, bound), lambda dy, x: dy * (np.abs(x) < bound))
    x = np.array([[bound, 0.003, -2.0, 1.5]], dtype)
    assert dl.check_layer(inside, x).verdict in PASSES


def test_a_wrong_choice_at_a_decimal_bound_is_seen():
    wrong = lambda dy, x: dy * np.where((x == -0.3) | (x == 0.7), 1.5, (x > -0.3) & (x < 0.7))  # noqa: E731
    x = np.array([[-0.3, 0.7, 0.1, 0.5]])
    assert dl.check_function(lambda x: np.clip(x, -0.3, 0.7), wrong, x).verdict is Verdict.FAIL_VALUE


def test_one_entry_next_to_a_kink_leaves_the_others_decided():
    x = np.array([1e-8, 1, 2, -1, 0.5, -3, -0.2, 0.7, 0.3, 1, 2, 3])
    assert dl.check_function(relu, relu_backward, x).ok


@pytest.mark.parametrize("seed", SEEDS)
def test_a_residual_network_at_a_billionth_of_a_kink_is_not_accused(seed):
    def dense(*sides, bias, rng):
        return dl.Dense(*sides, bias=bias, rng=rng, dtype="float64")

    body = dl.Sequential(dense(3, 2, bias=False, rng=563), dl.ReLU(), dense(2, 1, bias=False, rng=1528))
    rows = [[1024, -1024, 9.3e-10], [9.3e-10, -9.3e-10, 9.3e-10], [1024, -9.3e-10, -30], [-30, -30, -1024]]
    report = dl.check_layer(dl.Residual(body, dense(3, 1, bias=True, rng=2507)), np.float32(rows), seed=seed)
    assert report.verdict is not Verdict.FAIL_VALUE


@pytest.mark.parametrize("seed", SEEDS)
def test_two_opposite_errors_in_a_large_tensor_do_not_cancel(seed):
    def swapped(dy, x):
        gradient = dy * (1 - np.tanh(x) ** 2)
        gradient[3, 4], gradient[9, 9] = gradient[9, 9], gradient[3, 4]
        return gradient

    x = np.random.default_rng(2).normal(size=(15, 20))
    assert dl.check_function(np.tanh, swapped, x, seed=seed).verdict is Verdict.FAIL_VALUE


def test_points_beside_that_are_refused_leave_a_kink_undecided(rng):
    class Refuses(FunctionSubject):
        def renew(self):
            raise InputError("no other point than the given one")

    subject = Refuses(np.abs, lambda dy, x: 0 * dy, {"x": np.zeros(3)}, rng)
    verdict, _ = Comparison(subject, rng, 256).outcome()
    assert not verdict.ok
    # A slope of 2 is wrong at the point itself, whatever is said beside it.
    subject = Refuses(np.abs, lambda dy, x: 2 * dy, {"x": np.zeros(3)}, rng)
    assert Comparison(subject, rng, 256).outcome()[0] is Verdict.FAIL_VALUE
