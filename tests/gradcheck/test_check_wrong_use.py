"""What a user may get wrong around the gradient itself: every check answers in a sentence, never with a traceback."""

import threading
from contextlib import suppress

import numpy as np
import pytest
from function_layer import center, function_layer
from planted.contracts import Squares
from small_parts import SquaredError

import minidl as dl
from minidl import Verdict

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
TARGETS = np.zeros((2, 3))
NOT_NUMBERS = [None, "a", 1j, (1, 2)]


def square(x):
    return x * x


def square_vjp(dy, x):
    return 2 * dy * x


def raises(*arguments, **options):
    raise KeyError("gamma")


class Double(dl.Layer):
    def forward(self, x, train=False):
        if train:
            self.keep()
        return 2 * x

    def backward(self, dy):
        self.kept()
        return 2 * dy


def changed(cls, **methods):
    return type(cls.__name__, (cls,), methods)


def model(layer, loss=None):
    return dl.Model(dl.Sequential(dl.Dense(3, 3, rng=0), layer), loss or SquaredError())


def checks_with(broken):
    """Yield a check for each method that a user writes, with `broken` in its place."""
    yield lambda: dl.check_function(broken, square_vjp, X)
    yield lambda: dl.check_function(square, broken, X)
    yield lambda: dl.check_layer(changed(Double, forward=broken)(), X)
    yield lambda: dl.check_layer(changed(Double, backward=broken)(), X)
    yield lambda: dl.check_loss(changed(SquaredError, forward=broken)(), X, TARGETS)
    yield lambda: dl.check_loss(changed(SquaredError, backward=broken)(), X, TARGETS)
    yield lambda: dl.check_regularizer(changed(dl.L2, penalty=broken)(0.1), X)
    yield lambda: dl.check_regularizer(changed(dl.L2, gradient=broken)(0.1), X)
    yield lambda: dl.check_model(model(changed(Double, forward=broken)()), X, TARGETS)
    yield lambda: dl.check_model(model(changed(Double, backward=broken)()), X, TARGETS)
    yield lambda: dl.check_model(model(Double(), changed(SquaredError, forward=broken)()), X, TARGETS)
    yield lambda: dl.check_model(model(Double(), changed(SquaredError, backward=broken)()), X, TARGETS)


@pytest.mark.parametrize("check", list(checks_with(raises)))
def test_a_method_that_raises_is_a_finding_in_its_own_words(check):
    report = check()
    assert report.verdict is Verdict.FAIL_CONTRACT
    assert "raised KeyError: 'gamma'" in report.findings[0].reason


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_a_method_that_returns_no_numbers_is_a_finding_or_an_input_error(value):
    for check in checks_with(lambda *arguments, **options: value):
        with suppress(dl.InputError):  # a network that gives no outputs cannot be checked
            report = check()
            assert report.verdict is Verdict.FAIL_CONTRACT, report


@pytest.mark.parametrize("vjp", [lambda dy, x: (2 * dy * x).tolist(), lambda dy, x: [2 * dy * x]])
def test_a_list_is_taken_for_what_it_holds(vjp):
    assert dl.check_function(square, vjp, X).ok


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"seed": seed}, "seed: expected an integer >= 0") for seed in (-1, None)),
        ({"every_entry": np.ones(2)}, "every_entry to be a bool"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(dl.InputError, match=words):
        dl.check_function(square, square_vjp, X, **options)


def test_targets_need_not_be_an_array():
    def forward(self, outputs, targets):
        return Squares.forward(self, outputs, targets["values"])

    assert dl.check_loss(changed(Squares, forward=forward)(), X, {"values": TARGETS}).ok
    assert dl.check_loss(dl.SoftmaxCrossEntropy(), X, [2, 0]).ok


def test_what_cannot_be_copied_is_refused():
    class Locked(Double):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(dl.InputError, match=r"layer: expected an object that copy.deepcopy can copy; .* cannot pickle"):
        dl.check_layer(Locked(), X)


def test_an_error_at_a_nearby_point_is_reported():
    report = dl.check_function(lambda x: square(x) if np.array_equal(x, X) else raises(), square_vjp, X)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "after a small step, forward raised KeyError: 'gamma'" in str(report)


def test_a_domain_with_an_edge_nearby_can_be_checked():
    def logarithm(x):
        if (x <= 0).any():
            raise dl.InputError("x: expected positive numbers")
        return np.log(x)

    report = dl.check_function(logarithm, lambda dy, x: dy / x, np.array([0.01, 0.1, 2.0]))
    assert report.verdict is Verdict.PASS, report


def test_a_shape_that_depends_on_the_point_is_reported():
    report = dl.check_function(lambda x: x[x > 0.4], lambda dy, x: 1.0 * (x > 0.4), np.array([0.5, -1.0]))
    assert "a small step changes the shape of the outputs" in str(report)


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_raising_in_single_precision_alone_is_a_finding(method):
    def doubles_only(self, a, train=False):
        if a.dtype == np.float32:
            raises()
        return Double.forward(self, a, train) if method == "forward" else Double.backward(self, a)

    report = dl.check_layer(changed(Double, **{method: doubles_only})(), X)
    assert report.verdict is Verdict.FAIL_CONTRACT
    assert "in float32, forward or backward raised KeyError" in str(report)


def test_running_statistics_that_stay_as_they_are_are_noted():
    class Still(dl.BatchNorm):
        def forward(self, x, train=False):
            before = self.running_mean.copy()
            y = super().forward(x, train)
            self.running_mean[...] = before
            return y

    assert dl.check_layer(dl.BatchNorm(3), X).notes == []
    assert "does not change running_mean" in dl.check_layer(Still(3), X).notes[0]


def test_a_regularizer_need_not_know_an_empty_weight():
    mean = {"penalty": lambda self, w: float((w**2).mean()), "gradient": lambda self, w: 2 * w / w.size}
    dl.check_regularizer(changed(dl.Regularizer, **mean)(), X).assert_ok()


SUM = function_layer(lambda x: x.sum(axis=1, keepdims=True), lambda dy, x: np.repeat(dy, x.shape[1], axis=1))
FLAT = function_layer(lambda x: x.reshape(len(x), -1).copy(), lambda dy, x: dy.reshape(x.shape).copy())


@pytest.mark.parametrize(
    ("layer", "x"),
    [(dl.Sequential(dl.Dense(3, 2, rng=0), SUM), X), (dl.Sequential(), X), (FLAT, X[:, :, None])],
    ids=["promises no shape", "nothing", "refuses an empty batch"],
)
def test_right_layers_out_of_the_ordinary_pass(layer, x):
    report = dl.check_layer(layer, x)
    assert report.ok, report


def test_what_does_it_again_can_be_pasted():
    small, large = np.array([0.5, -1.0]), np.random.default_rng(0).normal(size=12)
    names = {**vars(dl), "np": np, "square_vjp": square_vjp, "vjp": lambda dy, x: dy, "argument_0": large}
    for report in (
        dl.check_function(np.sin, square_vjp, small, seed=3, every_entry=True),
        dl.check_function(np.sin, lambda dy, x: dy, small),
        dl.check_function(np.sin, lambda dy, x: dy, large),
    ):
        again = eval(report.reproduce, {name: getattr(dl, name) for name in dl.__all__} | names)
        assert again.to_dict() | {"seconds": 0, "subject": ""} == report.to_dict() | {"seconds": 0, "subject": ""}
        assert len(report.reproduce) < 320


def test_a_repr_that_fails_does_not_end_the_check():
    class Shy(Double):
        def __repr__(self):
            return self.name

    report = dl.check_layer(Shy(), X)  # an error message of the layer's own has its name in it
    assert "a second backward after one forward must raise CallOrderError" in str(report)
    assert "check_layer(layer, " in report.reproduce


def test_rows_that_mix_get_a_hint():
    layer = center()
    type(layer).batch_independent = True
    assert "set batch_independent = False" in str(dl.check_layer(layer, X))


def test_the_callers_floating_point_settings_do_not_matter():
    with np.errstate(all="raise"):
        assert dl.check_loss(dl.SoftmaxCrossEntropy(), 1e4 * X, [0, 1]).verdict in (Verdict.PASS, Verdict.VACUOUS)
