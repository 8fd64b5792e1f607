"""The checks as their users meet them: verdicts, reports, wrong use."""

import json
import re

import numpy as np
import pytest
from function_layer import center
from planted.layers import Dropout
from planted.models import Gathers
from small_parts import ForeignScale, Scale

import minidl as dl
from minidl import Verdict
from minidl.gradcheck.subjects import FunctionSubject


class Doubled(dl.Dense):
    """A Dense whose weight gradient is twice what it should be, or another one by another factor."""

    spoilt, entries, factor = "weight", ..., 2

    def backward_parameters(self, dy):
        super().backward_parameters(dy)
        gradient = getattr(self, self.spoilt).grad
        gradient[self.entries] *= self.factor


def off(**attributes):
    return type("Off", (Doubled,), attributes)


X44 = np.random.default_rng(0).normal(size=(4, 4))


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 6))


def test_right_classes_pass_and_say_how_well_they_were_looked_at(x):
    report = dl.check_layer(dl.Dense(6, 3, rng=0), x)
    report.assert_ok()
    assert report.verdict is Verdict.PASS
    assert report.nonzero == report.compared >= 24 + 18 + 3
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
    assert "repeat with: check_layer(layer, x, seed=3)  # with the same layer and x" in text
    small = dl.check_layer(Doubled(2, 1, rng=0), [[0.5, -1.0]])
    assert small.reproduce == "check_layer(layer, np.array([[0.5, -1.0]]), seed=0)  # with the same layer"


@pytest.mark.parametrize("layer", [dl.Dense(6, 3, rng=0), Doubled(6, 3, rng=0)], ids=repr)
def test_everything_in_a_report_is_plain_json(layer, x):
    report = dl.check_layer(layer, x)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["verdict"] == report.verdict.name
    assert again["ok"] == report.ok
    assert len(again["findings"]) == len(report.findings)


def test_nothing_of_the_callers_is_touched(x):
    layer, x32 = dl.Dense(6, 3, rng=0), x.astype(np.float32)
    x32.flags.writeable = False
    dl.check_layer(layer, x32)
    assert layer.weight.value.tobytes() == dl.Dense(6, 3, rng=0).weight.value.tobytes()
    dropout = Dropout()
    dl.check_layer(dropout, x)
    assert dropout.rng.bit_generator.state == Dropout().rng.bit_generator.state


@pytest.mark.parametrize(
    ("entry", "error", "words"),
    [((411, 83), 1e-6, "no other entry examined is wrong"), (..., 1e-7, "factor 1 + 1e-07")],
)
def test_a_tiny_error_of_a_large_layer_is_found_and_located(entry, error, words, rng):
    report = dl.check_layer(off(entries=entry, factor=1 + error)(784, 100, rng=0), rng.normal(size=(5, 784)))
    assert report.verdict is Verdict.FAIL_VALUE
    assert report.findings[0].tensor == "weight"
    assert entry in (..., report.findings[0].index)
    assert words in report.findings[0].reason


def test_every_entry_of_the_main_jobs_layer_agrees_to_the_last_digits(rng):
    entries = dl.check_layer(dl.Dense(300, 10, rng=0), rng.normal(size=(3, 300)), every_entry=True)
    for name in ("weight", "bias"):
        assert entries.tensors[name]["mean_relative_error"] <= 1e-11
        assert entries.tensors[name]["max_relative_error"] <= 1e-9
    assert entries.tensors["weight"]["entries"] == 3000


def test_what_is_nowhere_different_from_zero_is_no_pass():
    assert dl.check_layer(dl.ReLU(), [[-1.0, -2.0]]).verdict is Verdict.VACUOUS
    assert dl.check_regularizer(dl.L2(0.0), [[1.0]]).verdict is Verdict.VACUOUS
    assert not Verdict.VACUOUS.ok
    assert not Verdict.INCONCLUSIVE.ok


def test_a_foreign_object_can_be_checked(x):
    layer = ForeignScale(6)
    assert dl.check_layer(dl.ForeignLayer(layer, {"gain": "d_gain"}), x).verdict is Verdict.PASS
    assert not hasattr(layer, "x")
    wrong = dl.check_layer(dl.ForeignLayer(layer, {"gain": "gain"}), x)
    assert wrong.verdict in (Verdict.FAIL_CONTRACT, Verdict.FAIL_VALUE)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones((2, 6), int), "expected floating-point numbers, got int64"),
        (np.full((2, 6), np.nan), "expected finite numbers"),
        (np.zeros((0, 6)), "at least one number"),
    ],
)
def test_a_batch_that_cannot_be_checked_is_refused_in_a_sentence(x, words):
    with pytest.raises(dl.MinidlError, match=words):
        dl.check_layer(dl.Dense(6, 3), x)


@pytest.mark.parametrize(
    ("check", "arguments", "words"),
    [
        (dl.check_layer, (dl.SoftmaxCrossEntropy(), X44), "expected layer to be a Layer"),
        (dl.check_loss, (dl.ReLU(), X44, [0]), "expected loss to be a Loss"),
        (dl.check_function, (np.sin, np.cos), "at least one argument"),
        (dl.check_function, (3, np.cos, X44), "expected f to be callable"),
        (dl.check_loss, (dl.SoftmaxCrossEntropy(), X44, [0, 1, 2, 9]), r"labels in 0..3, got 9"),
        (dl.check_layer, (dl.ReLU(), 1.0), "expected a batch"),
        (dl.check_model, (dl.Model(dl.ReLU(), dl.MeanSquaredError()), 1.0, 0.0), "expected a batch"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_a_sentence(check, arguments, words):
    with pytest.raises(dl.InputError, match=words):
        check(*arguments)


@pytest.mark.parametrize(
    ("vjp", "words"),
    [
        (lambda dy, a, b: (dy * b, None), "argument 1, .* real numbers, but returned NoneType; does it have a return"),
        (lambda dy, a, b: (dy * b, (dy * a).sum()), r"expected a gradient of shape \(3,\), got shape \(\)"),
        (lambda dy, a, b: (dy * b, np.multiply(dy, a, out=a)), "vjp changed argument 0: "),
        (lambda dy, a, b: (np.clip(dy, -1e6, 1e6) * b, dy * a), "not linear in dy: 1.09951e"),
    ],
)
def test_the_report_names_the_rule_that_a_vjp_breaks(vjp, words, rng):
    report = dl.check_function(lambda a, b: a * b, vjp, rng.normal(size=3), rng.normal(size=3))
    assert report.verdict is Verdict.FAIL_CONTRACT
    assert re.search(words, str(report)), str(report)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda g: -g, "the sign is wrong"),
        (lambda g: g / 4, "factor 1/4"),
        (lambda g: g * (1 + 1e-8), "factor 1 + 1e-08"),
        (lambda g: g * 10000.005, "factor 10000"),
        (lambda g: g.T, "transpose"),
        (lambda g: g[::-1], "reversed along axis 0"),
        (lambda g: g - g.mean(axis=0), "off by the same amount everywhere along axis 0"),
        (lambda g: g * (np.arange(4) < 3)[:, None], "only the last index of axis 0 is wrong"),
        (lambda g: g * np.where(X44 < 0, 1.5, 1.0), "wrong exactly where x is negative"),
        (lambda g: np.where(np.isfinite(g), np.nan, g), "a finite gradient"),
    ],
)
def test_the_cause_is_guessed(spoil, words):
    report = dl.check_function(np.sinh, lambda dy, x: spoil(dy * np.cosh(x)), X44)
    assert not report.ok
    assert words in str(report)


@pytest.mark.parametrize(("x", "wrong", "found"), [(X44[0, :3], 1, 1), (X44, 4, 4), (X44, 5, 5)])
def test_up_to_four_wrong_entries_are_shown_and_a_lone_one_is_called_so(x, wrong, found):
    factors = np.where(np.arange(x.size).reshape(x.shape) < wrong, 2.0, 1.0)
    report = dl.check_function(np.sinh, lambda dy, x: dy * np.cosh(x) * factors, x)
    assert len(report.findings) == found
    assert ("no other entry examined is wrong" in str(report)) == (wrong == 1)


@pytest.mark.parametrize(
    ("f", "vjp", "x"),
    [
        (lambda x: np.floor(x * 1e9), lambda dy, x: 0 * dy, [0.3, 0.7]),
        (np.sin, lambda dy, x: dy * np.nan, np.linspace(-2, 2, 300)),
        (np.sqrt, lambda dy, x: dy * 0.5 / np.sqrt(x), [0.0, 1.0]),
    ],
    ids=["no slope", "NaN", "infinite"],
)
def test_what_is_no_number_never_passes_and_the_report_stays_json(f, vjp, x):
    with np.errstate(divide="ignore", invalid="ignore"):
        report = dl.check_function(f, vjp, np.array(x))
    assert not report.ok
    json.dumps(report.to_dict(), allow_nan=False)


def test_noise_that_no_output_shows_is_no_fault(rng):
    fails = 0
    for _ in range(20):
        x = rng.uniform(-2, 2, 20)
        report = dl.check_function(lambda x: (np.sin(x) + 1e4) - 1e4, lambda dy, x: dy * np.cos(x), x)
        fails += report.verdict is Verdict.FAIL_VALUE
    assert fails == 0


def test_what_a_check_costs_is_counted():
    x = np.float64(np.float32(X44))
    subject = FunctionSubject(np.sin, lambda dy, x: dy * np.cos(x), {"x": x}, np.random.default_rng(0))
    subject.gradients()
    assert (subject.forwards, subject.backwards) == (2, 1)


def test_a_large_tensor_does_not_hide_that_a_small_one_cannot_be_seen(x):
    assert not dl.check_layer(off(spoilt="bias")(6, 2, rng=0), x * 1e16).ok


def test_a_bias_with_a_correct_gradient_of_zero_passes(rng):
    for n in (2, 5, 32):
        report = dl.check_layer(dl.Sequential(dl.Dense(4, 5, rng=0), center()), rng.normal(size=(n, 4)))
        assert report.verdict is Verdict.PASS, report


def test_single_precision_that_loses_digits_is_no_fault():
    for offset in (10, 100, 1000, 1e4):
        for seed in range(5):
            x = offset + np.random.default_rng(seed).normal(size=(4, 4))
            report = dl.check_layer(dl.Sequential(dl.Dense(4, 3, rng=seed), center()), x)
            assert report.verdict is not Verdict.FAIL_VALUE, report


def test_a_parameter_idle_at_this_point_is_named():
    class Forgets(Scale):
        """The gradient of its gain, which nothing shows where x is 0."""

        def backward(self, dy):
            self.kept()
            return dy * self.gain.value

    idle = dl.check_layer(Forgets(2), np.zeros((1, 2)))
    assert idle.ok
    assert "gain" in idle.notes[0]
    assert dl.check_layer(Forgets(2), np.array([[1.0, -2.0]])).verdict is Verdict.FAIL_VALUE


@pytest.mark.parametrize("scale", [1e-4, 1e-5, 1e-6, 1e-8])
def test_a_function_steeper_than_any_step_is_not_called_wrong(scale):
    x = np.array([1.0, -1.3]) * scale
    assert dl.check_function(lambda x: 1 / x, lambda dy, x: -dy / x**2, x).verdict is not Verdict.FAIL_VALUE
    report = dl.check_function(lambda x: np.tanh(x / scale), lambda dy, x: dy / np.cosh(x / scale) ** 2 / scale, x)
    assert report.verdict is not Verdict.FAIL_VALUE


def test_a_model_with_a_dropout_is_held_to_its_contract_too(x):
    network = dl.Sequential(dl.Dense(6, 3, rng=0), dl.Dropout(0.4, rng=0))
    assert dl.check_model(dl.Model(network, dl.SoftmaxCrossEntropy()), x, [0, 1, 2, 1]).ok
    assert not dl.check_model(Gathers(network, dl.SoftmaxCrossEntropy()), x, [0, 1, 2, 1]).ok


def test_every_entry_of_a_model_is_measured_in_parts_alone(rng):
    model = dl.Model(dl.Dense(300, 3, rng=0), dl.SoftmaxCrossEntropy(), dl.L2(0.1))
    report = dl.check_model(model, rng.normal(size=(4, 300)), [0, 1, 2, 1], every_entry=True)
    assert report.ok
    assert {name: part["entries"] for name, part in report.tensors.items()} == {"weight": 900, "bias": 3}
    assert report.forwards < 5 * 903 + 500  # of the cost itself only directions are measured: it is one rounded number
