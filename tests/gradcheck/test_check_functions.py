"""The checks as their users meet them: verdicts, reports, wrong use."""

import json
import re

import numpy as np
import pytest
from planted.models import Gathers

import minidl as dl
from minidl import Verdict


class Doubled(dl.Dense):
    """A Dense whose weight gradient is twice what it should be."""

    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        gradient = self.weight.grad
        gradient *= 2


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 6))


def test_right_classes_pass_and_say_how_well_they_were_looked_at(x):
    report = dl.check_layer(dl.Dense(6, 3, rng=0), x)
    assert report.verdict is Verdict.PASS
    assert report
    report.assert_ok()
    assert report.compared >= 24 + 18 + 3
    assert report.nonzero == report.compared
    assert report.resolution < 1e-10
    assert report.max_relative_error < 1e-11
    assert set(report.tensors) == {"x", "weight", "bias"}


def test_a_wrong_gradient_is_reported_and_not_raised(x):
    report = dl.check_layer(Doubled(6, 3, rng=0), x)
    assert report.verdict is Verdict.FAIL_VALUE
    assert not report.ok
    worst = report.findings[0]
    assert worst.tensor == "weight"
    assert worst.analytic == pytest.approx(2 * worst.numeric)
    assert worst.bar < 1e-9 * abs(worst.numeric)
    assert "factor 2" in worst.reason
    with pytest.raises(dl.GradientCheckError, match="FAIL_VALUE") as error:
        report.assert_ok()
    assert isinstance(error.value, AssertionError)
    assert str(error.value) == str(report)


def test_a_report_fits_on_a_screen_and_says_how_to_do_it_again(x):
    text = str(dl.check_layer(Doubled(6, 3, rng=0), x, seed=3))
    assert len(text.splitlines()) <= 15
    assert "again: check_layer(Doubled(6, 3), x, seed=3)" in text
    assert "seed 3; " in text
    small = dl.check_layer(Doubled(2, 1, rng=0), [[0.5, -1.0]])
    assert small.reproduce == "check_layer(Doubled(2, 1), np.array([[0.5, -1.0]]), seed=0)"


@pytest.mark.parametrize("layer", [dl.Dense(6, 3, rng=0), Doubled(6, 3, rng=0)], ids=repr)
def test_everything_in_a_report_is_plain_json(layer, x):
    report = dl.check_layer(layer, x)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["verdict"] == report.verdict.name
    assert again["ok"] == report.ok
    assert len(again["findings"]) == len(report.findings)


def test_the_same_seed_gives_the_same_report(x):
    first, second = (dl.check_layer(Doubled(6, 3, rng=0), x).to_dict() for _ in range(2))
    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_nothing_of_the_callers_is_touched(x):
    layer, x32 = dl.Dense(6, 3, rng=0), x.astype(np.float32)
    before = [(p.value.tobytes(), p.grad.tobytes()) for p in layer.named_parameters().values()] + [x32.tobytes()]
    x32.flags.writeable = False
    dl.check_layer(layer, x32)
    after = [(p.value.tobytes(), p.grad.tobytes()) for p in layer.named_parameters().values()] + [x32.tobytes()]
    assert before == after
    assert layer.weight.value.dtype == np.float32


def test_one_entry_off_by_a_millionth_is_found_and_located(rng):
    class OneEntry(dl.Dense):
        def backward_parameters(self, dy):
            super().backward_parameters(dy)
            gradient = self.weight.grad
            gradient[411, 83] *= 1 + 1e-6

    report = dl.check_layer(OneEntry(784, 100, rng=0), rng.normal(size=(5, 784)))
    assert report.verdict is Verdict.FAIL_VALUE
    assert (report.findings[0].tensor, report.findings[0].index) == ("weight", (411, 83))
    assert "no other entry examined is wrong" in report.findings[0].reason


def test_a_factor_of_one_and_a_ten_millionth_is_found(rng):
    class Factor(dl.Dense):
        def backward_parameters(self, dy):
            super().backward_parameters(dy)
            gradient = self.weight.grad
            gradient *= 1 + 1e-7

    report = dl.check_layer(Factor(784, 100, rng=0), rng.normal(size=(5, 784)))
    assert report.verdict is Verdict.FAIL_VALUE
    assert "factor 1 + 1e-07" in report.findings[0].reason


def test_every_entry_of_the_main_jobs_layer_agrees_to_the_last_digits(rng):
    report = dl.check_layer(dl.Dense(3072, 10, weight_init=dl.Normal(0.01), rng=0), rng.normal(size=(3, 3072)))
    assert report.verdict is Verdict.PASS
    entries = dl.check_layer(dl.Dense(300, 10, rng=0), rng.normal(size=(3, 300)), every_entry=True)
    for name in ("weight", "bias"):
        assert entries.tensors[name]["mean_relative_error"] <= 1e-11
        assert entries.tensors[name]["max_relative_error"] <= 1e-9
    assert entries.tensors["weight"]["entries"] == 3000


def test_kinks_are_no_faults_and_a_gradient_outside_of_them_is():
    class Twice(dl.ReLU):
        def backward(self, dy):
            (positive,) = self.kept()
            return dy * positive + 2 * dy * self.at_zero

        def forward(self, x, train=False):
            self.at_zero = x == 0
            return super().forward(x, train)

    x = np.array([[0.0, 1.0, -1.0]])
    assert dl.check_layer(dl.ReLU(), x).verdict is Verdict.PASS_SUBGRADIENT
    report = dl.check_layer(Twice(), x)
    assert report.verdict is Verdict.FAIL_VALUE
    assert report.findings[0].index == (0, 0)
    assert "at this kink the slopes are" in report.findings[0].reason


def test_what_is_nowhere_different_from_zero_is_no_pass():
    assert dl.check_layer(dl.ReLU(), [[-1.0, -2.0]]).verdict is Verdict.VACUOUS
    assert dl.check_regularizer(dl.L2(0.0), [[1.0]]).verdict is Verdict.VACUOUS
    assert not Verdict.VACUOUS.ok
    assert not Verdict.INCONCLUSIVE.ok


def test_what_has_no_slope_is_inconclusive():
    report = dl.check_function(lambda x: np.floor(x * 1e9), lambda dy, x: 0 * dy, np.array([0.3, 0.7]))
    assert not report.ok


def test_losses_regularizers_and_models_are_checked_alike(x):
    y = [0, 1, 2, 1]
    assert dl.check_loss(dl.SoftmaxCrossEntropy(), x, [0, 5, 2, 1]).verdict is Verdict.PASS
    for regularizer in (dl.L1(0.1), dl.L2(0.1), dl.ElasticNet(0.1, 0.2)):
        assert dl.check_regularizer(regularizer, x).verdict is Verdict.PASS
    network = dl.Sequential(dl.Dense(6, 5, rng=0), dl.ReLU(), dl.Dense(5, 3, rng=1))
    assert dl.check_model(dl.Model(network, dl.SoftmaxCrossEntropy(), dl.L2(0.1)), x, y).verdict is Verdict.PASS


def test_a_penalty_in_the_cost_and_not_in_the_gradient_is_caught(x):
    class Forgetful(dl.Model):
        def compute_gradients(self, x, y):
            regularizer, self.regularizer = self.regularizer, None
            result = super().compute_gradients(x, y)
            self.regularizer = regularizer
            return result

    report = dl.check_model(Forgetful(dl.Dense(6, 3, rng=0), dl.SoftmaxCrossEntropy(), dl.L2(0.1)), x, [0, 1, 2, 1])
    assert report.verdict is Verdict.FAIL_VALUE
    assert report.findings[0].tensor == "weight"


class Course:
    """A layer as a course script writes it: columns of its own names, no train flag."""

    def __init__(self, rng):
        self.W, self.b = rng.normal(size=(6, 3)), np.zeros(3)

    def forward(self, x):
        self.cache = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.cache.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


def test_a_foreign_object_can_be_checked(x, rng):
    layer = Course(rng)
    assert dl.check_layer(dl.ForeignLayer(layer, {"W": "dW", "b": "db"}), x).verdict is Verdict.PASS
    assert not hasattr(layer, "cache")
    wrong = dl.check_layer(dl.ForeignLayer(layer, {"W": "dW", "b": "W"}), x)
    assert wrong.verdict is Verdict.FAIL_CONTRACT or wrong.verdict is Verdict.FAIL_VALUE


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones((2, 6), int), "expected floating-point numbers, got int64"),
        ([[1, 2, 3, 4, 5, 6]], "expected floating-point numbers"),
        (np.full((2, 6), np.nan), "expected finite numbers"),
        (np.zeros((0, 6)), "nothing would be compared"),
        (np.zeros((2, 5)), r"Dense\(6, 3\): expected x of shape \(n, 6\), got \(2, 5\)"),
        (None, "expected an array of numbers"),
    ],
)
def test_a_batch_that_cannot_be_checked_is_refused_in_a_sentence(x, words):
    with pytest.raises(dl.MinidlError, match=words):
        dl.check_layer(dl.Dense(6, 3), x)


def test_what_is_no_layer_is_refused_in_a_sentence(x):
    with pytest.raises(dl.InputError, match="expected layer to be a Layer"):
        dl.check_layer(dl.SoftmaxCrossEntropy(), x)
    with pytest.raises(dl.InputError, match="expected loss to be a Loss"):
        dl.check_loss(dl.ReLU(), x, [0])
    with pytest.raises(dl.InputError, match="expected model to be a Model"):
        dl.check_model(dl.ReLU(), x, [0])
    with pytest.raises(dl.InputError, match="at least one argument"):
        dl.check_function(np.sin, np.cos)
    with pytest.raises(dl.InputError, match=r"labels in 0..5, got 9"):
        dl.check_loss(dl.SoftmaxCrossEntropy(), x, [0, 1, 2, 9])


def test_a_layer_that_raises_is_a_finding_in_its_own_words(x):
    class Raises(dl.ReLU):
        def forward(self, x, train=False):
            raise KeyError("gamma")

    report = dl.check_layer(Raises(), x)
    assert report.verdict is Verdict.FAIL_CONTRACT
    assert "forward raised KeyError: 'gamma'" in str(report)


@pytest.mark.parametrize(
    ("vjp", "words"),
    [
        (lambda dy, a, b: (dy * b,), "1 gradients for 2 arguments"),
        (
            lambda dy, a, b: (dy * b, None),
            "argument 1, must return real numbers and returned NoneType; is a return missing",
        ),
        (lambda dy, a, b: (dy * b, (dy * a).sum()), r"expected a gradient of shape \(3,\), got shape \(\)"),
        (lambda dy, a, b: (dy * b, np.multiply(dy, a, out=dy)), "vjp changed dy"),
        (lambda dy, a, b: (dy * b, np.multiply(dy, a, out=a)), "f or vjp changed it"),
    ],
)
def test_a_vjp_that_breaks_the_rules_is_told_which(vjp, words, rng):
    report = dl.check_function(lambda a, b: a * b, vjp, rng.normal(size=3), rng.normal(size=3))
    assert report.verdict is Verdict.FAIL_CONTRACT
    assert re.search(words, str(report)), str(report)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda g: -g, "the sign is wrong"),
        (lambda g: g / 4, "factor 1/4"),
        (lambda g: 0 * g, "it is zero"),
        (lambda g: g.T, "transpose"),
        (lambda g: g[::-1], "reversed along axis 0"),
        (lambda g: g - g.mean(axis=0), "off by the same amount all along axis 0"),
        (lambda g: g * (np.arange(4) < 3)[:, None], "only the last of axis 0 is wrong"),
        (lambda g: np.where(np.isfinite(g), np.nan, g), "not finite"),
    ],
)
def test_the_cause_is_guessed(spoil, words, rng):
    x = rng.normal(size=(4, 4))
    report = dl.check_function(np.sinh, lambda dy, x: spoil(dy * np.cosh(x)), x)
    assert not report.ok
    assert words in str(report)


def test_wrong_only_for_negative_numbers_is_guessed(rng):
    x = rng.normal(size=(4, 4))
    report = dl.check_function(np.sinh, lambda dy, x: dy * np.cosh(x) * np.where(x < 0, 1.5, 1.0), x)
    assert "wrong exactly where x is negative" in str(report)


def test_a_gradient_of_nan_never_passes(rng):
    report = dl.check_function(np.sin, lambda dy, x: dy * np.nan, rng.normal(size=300))
    assert not report.ok


def test_noise_that_no_output_shows_is_no_fault(rng):
    fails = 0
    for _ in range(20):
        x = rng.uniform(-2, 2, 20)
        report = dl.check_function(lambda x: (np.sin(x) + 1e4) - 1e4, lambda dy, x: dy * np.cos(x), x)
        fails += report.verdict is Verdict.FAIL_VALUE
    assert fails == 0


@pytest.mark.parametrize("distance", [1e-3, 1e-4, 3e-5, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12])
def test_however_near_a_kink_is_a_right_gradient_is_never_called_wrong(distance, rng):
    for _ in range(20):
        x = rng.uniform(0.5, 1.0, (2, 4)) * rng.choice([-1.0, 1.0], (2, 4))
        x[0, :2] *= distance
        assert dl.check_layer(dl.ReLU(), x).verdict is not Verdict.FAIL_VALUE


def test_a_number_without_axes_can_be_checked():
    assert dl.check_function(lambda x: x * x, lambda dy, x: 2 * dy * x, 3.0).verdict is Verdict.PASS


def test_an_infinite_gradient_never_passes_and_the_report_stays_json():
    with np.errstate(divide="ignore", invalid="ignore"):
        report = dl.check_function(np.sqrt, lambda dy, x: dy * 0.5 / np.sqrt(x), np.array([0.0, 1.0]))
    assert report.verdict is Verdict.FAIL_VALUE
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_large_tensor_does_not_hide_that_a_small_one_cannot_be_seen(x):
    class BiasTwice(dl.Dense):
        def backward_parameters(self, dy):
            super().backward_parameters(dy)
            gradient = self.bias.grad
            gradient *= 2

    assert not dl.check_layer(BiasTwice(6, 2, rng=0), x * 1e16).ok


def test_a_wrong_choice_at_a_kink_inside_a_network_is_no_pass(rng):
    class SixAtZero(dl.ReLU):
        def forward(self, x, train=False):
            y = super().forward(x, train)
            if train:
                self.keep(x)
            return y

        def backward(self, dy):
            (x,) = self.kept()
            return dy * ((x > 0) + 5.0 * (x == 0))

    x = rng.normal(size=(16, 16))
    x[0, :7] = 0
    assert not dl.check_layer(dl.Sequential(SixAtZero()), x).ok
    assert not dl.check_layer(dl.Sequential(SixAtZero(), dl.Dense(16, 2, rng=0)), x).ok


def test_a_bias_whose_gradient_is_rightly_zero_is_no_fault(rng):
    class Center(dl.Layer):
        """Takes the mean over the batch away: what a bias before it adds has no effect."""

        batch_independent = False

        def forward(self, x, train=False):
            if train:
                self.keep()
            return x - x.mean(axis=0)

        def backward(self, dy):
            self.kept()
            return dy - dy.mean(axis=0)

    for n in (2, 5, 32):
        report = dl.check_layer(dl.Sequential(dl.Dense(4, 5, rng=0), Center()), rng.normal(size=(n, 4)))
        assert report.verdict is Verdict.PASS, report


@pytest.mark.parametrize("scale", [1e-4, 1e-5, 1e-6, 1e-8])
def test_a_function_steeper_than_any_step_is_not_called_wrong(scale):
    x = np.array([1.0, -1.3]) * scale
    assert dl.check_function(lambda x: 1 / x, lambda dy, x: -dy / x**2, x).verdict is not Verdict.FAIL_VALUE
    report = dl.check_function(lambda x: np.tanh(x / scale), lambda dy, x: dy / np.cosh(x / scale) ** 2 / scale, x)
    assert report.verdict is not Verdict.FAIL_VALUE


def test_a_right_dropout_is_no_fault(rng):
    class Dropout(dl.Layer):
        def __init__(self, rng):
            super().__init__()
            self.rng = np.random.default_rng(rng)

        def forward(self, x, train=False):
            if not train:
                return x.copy()
            mask = (self.rng.random(x.shape) < 0.8).astype(x.dtype) / x.dtype.type(0.8)
            self.keep(mask)
            return x * mask

        def backward(self, dy):
            return dy * self.kept()[0]

    for n in (1, 2, 5):
        for seed in range(8):
            assert dl.check_layer(Dropout(seed), rng.normal(size=(n, 4))).verdict in (Verdict.PASS, Verdict.VACUOUS)


def test_a_model_with_a_dropout_is_held_to_its_contract_too(x):
    class Noisy(dl.Layer):
        def __init__(self):
            super().__init__()
            self.rng = np.random.default_rng(0)

        def forward(self, x, train=False):
            if train:
                self.keep()
                return x + self.rng.normal(size=x.shape)
            return x.copy()

        def backward(self, dy):
            self.kept()
            return dy.copy()

    network = dl.Sequential(dl.Dense(6, 3, rng=0), Noisy())
    assert dl.check_model(dl.Model(network, dl.SoftmaxCrossEntropy()), x, [0, 1, 2, 1]).ok
    assert not dl.check_model(Gathers(network, dl.SoftmaxCrossEntropy()), x, [0, 1, 2, 1]).ok


def test_every_entry_of_a_model_is_measured_in_parts_alone(rng):
    model = dl.Model(dl.Dense(300, 3, rng=0), dl.SoftmaxCrossEntropy(), dl.L2(0.1))
    report = dl.check_model(model, rng.normal(size=(4, 300)), [0, 1, 2, 1], every_entry=True)
    assert report.ok
    assert {name: part["entries"] for name, part in report.tensors.items()} == {"weight": 900, "bias": 3}
    assert report.forwards < 5 * 903 + 500  # of the cost itself only directions are measured: it is one rounded number
