"""What is wrong in float32 alone, what computes in float32 whatever it gets, and gradients that are all rounding."""

import numpy as np
import pytest
from function_layer import function_layer
from seeds import MANY, SEEDS

import minidl as dl
from minidl import Verdict

pytestmark = pytest.mark.scaled
LABELS = np.array([0, 1, 2, 0, 1])


def verdicts(check, seeds=SEEDS):
    """Return the verdicts of ``check(rng, seed)``, and the last report."""
    reports = [check(np.random.default_rng(seed), seed) for seed in seeds]
    return {report.verdict for report in reports}, reports[-1]


def half_in_float32(gradient):
    return gradient * (0.5 if gradient.dtype == np.float32 else 1.0)


class HalfLoss(dl.SoftmaxCrossEntropy):
    def backward(self):
        return half_in_float32(super().backward())


class HalfDistance(dl.MeanAbsoluteError):
    def backward(self):
        return half_in_float32(super().backward())


class HalfPenalty(dl.L2):
    def gradient(self, w):
        return half_in_float32(super().gradient(w))


class HalfDense(dl.Dense):
    def backward(self, dy):
        return half_in_float32(super().backward(dy))


class Unshifted(dl.SoftmaxCrossEntropy):
    """Softmax without the shift by the largest logit, which overflows from 89 on in float32, from 710 on in float64."""

    def forward(self, outputs, targets):
        p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
        self.keep(p, targets)
        return float(-np.log(p[np.arange(len(p)), targets]).mean(dtype=np.float64))


def model(*layers, loss=None):
    return dl.Model(dl.Sequential(dl.Dense(4, 6, rng=0), *layers), loss or dl.SoftmaxCrossEntropy(), dl.L2(0.01))


def tied(rng, loss):
    """Check with one output exactly at its target, where rounding changes the gradient altogether."""
    outputs = rng.normal(size=(5, 3)).round(2)
    return dl.check_loss(loss, outputs, outputs + rng.normal(size=(5, 3)) * (np.arange(15).reshape(5, 3) > 0))


WRONG = {
    "loss": lambda rng, s: dl.check_loss(HalfLoss(), rng.normal(size=(5, 3)), LABELS, seed=s),
    "loss at a tie": lambda rng, s: tied(rng, HalfDistance()),
    "loss that overflows": lambda rng, s: dl.check_loss(Unshifted(), 99 + rng.normal(size=(5, 3)), LABELS, seed=s),
    "penalty": lambda rng, s: dl.check_regularizer(HalfPenalty(0.1), rng.normal(size=(4, 3)), seed=s),
    "small penalty": lambda rng, s: dl.check_regularizer(HalfPenalty(1e-7), rng.normal(size=(4, 3)), seed=s),
    "layer": lambda rng, s: dl.check_layer(HalfDense(4, 3, rng=s), rng.normal(size=(5, 4)), seed=s),
    "model": lambda rng, s: dl.check_model(model(dl.ReLU(), HalfDense(6, 3, rng=s)), rng.normal(size=(5, 4)), LABELS),
    "model with a dropout": lambda rng, s: dl.check_model(
        model(dl.Dropout(0.3, rng=0), HalfDense(6, 3, rng=s)), rng.normal(size=(5, 4)), LABELS
    ),
}


@pytest.mark.parametrize("check", WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_float32_alone_is_found_with_entry_and_scale(check):
    found, report = verdicts(check)
    assert found == {Verdict.FAIL_VALUE}
    assert report.findings[0].tensor
    assert "in float32 and" in report.findings[0].reason
    assert "the largest entry is" in report.findings[0].reason


def noisy(dtype_of):
    """Return a layer that multiplies by random numbers, drawn in the dtype that `dtype_of` says."""

    class Noise(dl.Layer):
        def __init__(self):
            super().__init__()
            self.rng = np.random.default_rng(0)

        def forward(self, x, train=False):
            if not train:
                return x
            noise = self.rng.standard_normal(x.shape, dtype=dtype_of(x)).astype(x.dtype)
            self.keep(noise)
            return x * noise

        def backward(self, dy):
            return dy * self.kept()[0]

    return Noise()


RIGHT = {
    "saturated loss": lambda rng, s: dl.check_loss(dl.SoftmaxCrossEntropy(), 25 * np.eye(3)[LABELS], LABELS, seed=s),
    "loss of large outputs": lambda rng, s: dl.check_loss(
        dl.MeanSquaredError(), 1e4 + rng.normal(size=(4, 3)), 1e4 + rng.normal(size=(4, 3))
    ),
    "penalty of large weights": lambda rng, s: dl.check_regularizer(dl.L2(10.0), 1e5 * rng.normal(size=(40, 30))),
    "long sum": lambda rng, s: dl.check_layer(dl.Dense(3000, 1, rng=s), rng.normal(size=(2, 3000))),
    "model with batch norm": lambda rng, s: dl.check_model(
        model(dl.BatchNorm(6), dl.Dense(6, 3, rng=s)), rng.normal(size=(5, 4)), LABELS
    ),
    "noise in float64": lambda rng, s: dl.check_layer(noisy(lambda x: np.float64), rng.normal(size=(5, 4))),
    "noise in x's dtype": lambda rng, s: dl.check_layer(noisy(lambda x: x.dtype), rng.normal(size=(5, 4))),
    "labels times w": lambda rng, s: dl.check_function(
        lambda x, w: np.round(x) * w, lambda dy, x, w: (0 * dy, dy * np.round(x)), *rng.normal(size=(2, 9))
    ),
}


@pytest.mark.parametrize("check", RIGHT.values(), ids=RIGHT)
def test_rounding_is_no_fault(check):
    found, report = verdicts(check)
    # In a saturated loss there is little to compare.
    assert found <= {Verdict.PASS, Verdict.INCONCLUSIVE}, report


def single(a):
    return np.asarray(a).astype(np.float32)


class Affine(dl.Dense):
    """Fills an output array that is made without the dtype of x."""

    def forward(self, x, train=False):
        y = np.zeros((len(x), self.weight.value.shape[1]), np.float32)
        y[...] = super().forward(x, train)
        return y.astype(x.dtype)


class SinglePenalty(dl.L2):
    def penalty(self, w):
        return super().penalty(single(w))


class SingleLoss(dl.MeanSquaredError):
    def forward(self, outputs, targets):
        return super().forward(single(outputs), targets)

    def backward(self):
        return super().backward().astype(np.float64)


def cosine(dy, x):
    return dy * np.cos(x)


def sine_layer(f, vjp=cosine):
    return lambda rng, s: dl.check_layer(function_layer(f, vjp), rng.normal(size=(3, 5)), seed=s)


def sine_function(f, vjp=cosine, size=(3, 5)):
    return lambda rng, s: dl.check_function(f, vjp, rng.normal(size=size), seed=s)


INSIDE = {
    "layer": ("y", sine_layer(lambda x: np.sin(single(x)).astype(x.dtype))),
    "layer that fills an array": ("y", lambda rng, s: dl.check_layer(Affine(5, 4, rng=s), rng.normal(size=(3, 5)))),
    "backward": ("dx", sine_layer(np.sin, lambda dy, x: single(cosine(dy, x)).astype(x.dtype))),
    "loss": (
        "gradient of the outputs",
        lambda rng, s: dl.check_loss(SingleLoss(), *rng.normal(size=(2, 5, 3)), seed=s),
    ),
    "function": ("y", sine_function(lambda x: np.sin(single(x)))),
    "vjp": ("argument 0", sine_function(np.sin, lambda dy, x: single(cosine(dy, x)))),
}


@pytest.mark.parametrize(("tensor", "check"), INSIDE.values(), ids=INSIDE)
def test_what_computes_in_float32_gets_one_verdict_that_names_it(tensor, check):
    found, report = verdicts(check, MANY)
    assert found == {Verdict.FAIL_CONTRACT}
    assert report.findings[0].tensor == tensor
    assert "holds only float32 numbers" in report.findings[0].reason


IN_PART = {
    "vjp of a number": sine_function(np.sin, lambda dy, x: single(cosine(dy, x)), size=1),
    "function of a number": sine_function(lambda x: np.sin(single(x)), size=()),
    "input rounded": sine_layer(lambda x: np.sin(single(x).astype(x.dtype))),
    "beside x itself": sine_layer(lambda x: x + np.sin(single(x)), lambda dy, x: dy + cosine(dy, x)),
    "within a model": lambda rng, s: dl.check_model(
        model(function_layer(lambda x: np.sin(single(x)).astype(x.dtype), cosine), dl.Dense(6, 3, rng=s)),
        rng.normal(size=(5, 4)),
        LABELS,
    ),
    "vjp": sine_function(np.sin, lambda dy, x: dy * np.cos(single(x))),
    "penalty": lambda rng, s: dl.check_regularizer(SinglePenalty(0.1), rng.normal(size=(4, 3)), seed=s),
}


@pytest.mark.parametrize("check", IN_PART.values(), ids=IN_PART)
def test_what_computes_in_float32_in_part_is_not_decided_by_chance(check):
    found, report = verdicts(check)
    assert found == {Verdict.INCONCLUSIVE}
    assert "does a part compute in float32?" in report.findings[0].reason


@pytest.mark.parametrize("returned", [single, lambda y: np.round(y).astype(int)], ids=["float32", "integer"])
def test_a_layer_of_one_other_dtype_breaks_the_contract(returned):
    report = dl.check_layer(function_layer(lambda x: returned(np.sin(x)), cosine), np.array([[0.5, -1.25]]))
    assert report.verdict is Verdict.FAIL_CONTRACT
    assert "must keep dtype float64" in report.findings[0].reason


def batch_norm(b, x):
    return (x + b - (x + b).mean(0)) / np.sqrt((x + b).var(0) + 1e-5)


def batch_norm_vjp(dy, b, x):
    y = batch_norm(b, x)
    dz = (dy - dy.mean(0) - y * (dy * y).mean(0)) / np.sqrt((x + b).var(0) + 1e-5)
    return dz.sum(0), dz


def quotient_vjp(dy, x, v):
    return dy * v / x - dy * v * x / x**2, dy * x / x


def sign_vjp(dy, x, v):
    return dy * v / np.abs(x) - dy * v * x / x**2 * np.sign(x), dy * np.sign(x)


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def softmax_vjp(dy, b, x):
    p = softmax(x + b)
    dz = p * (dy - (dy * p).sum(axis=1, keepdims=True))
    return dz.sum(axis=1, keepdims=True), dz


ALL_ROUNDING = {
    "a bias before batch norm": (batch_norm, batch_norm_vjp, (3,), (6, 3)),
    "v * x / x": (lambda x, v: v * x / x, quotient_vjp, (4,), (4,)),
    "v * x / |x|": (lambda x, v: v * x / np.abs(x), sign_vjp, (4,), (4,)),
    "one number": (lambda x, v: v * x / np.abs(x), sign_vjp, (), ()),
    "softmax": (lambda b, x: softmax(x + b), softmax_vjp, (4, 1), (4, 3)),
}


@pytest.mark.parametrize(("f", "vjp", "first", "second"), ALL_ROUNDING.values(), ids=ALL_ROUNDING)
def test_a_gradient_that_is_all_rounding_is_no_fault(f, vjp, first, second):
    found, report = verdicts(
        lambda rng, s: dl.check_function(f, vjp, rng.normal(size=first), rng.normal(size=second)), MANY
    )
    assert found == {Verdict.PASS}, report


class Contrast(dl.Loss):
    """InfoNCE: the i-th row of the outputs belongs to the i-th of the targets."""

    def forward(self, outputs, targets):
        p = dl.SoftmaxCrossEntropy().probabilities(outputs @ targets.astype(outputs.dtype).T)
        self.keep(p, targets.astype(outputs.dtype))
        return float(-np.log(np.diag(p)).mean(dtype=np.float64))

    def backward(self):
        p, targets = self.kept()
        return (p - np.eye(len(p), dtype=p.dtype)) @ targets / len(p)


class WeightedMean(dl.Loss):
    """The mean of squares with a weight for each label; 0 leaves a row out."""

    weights = np.array([1.0, 2.0, 4.0])

    def forward(self, outputs, targets):
        w = self.weights[targets].astype(outputs.dtype)[:, None]
        self.keep(w / w.sum() * outputs)
        return float((w * outputs**2).sum(dtype=np.float64) / w.sum(dtype=np.float64))

    def backward(self):
        return 2 * self.kept()[0]


class Triplet(dl.Loss):
    """Anchors, positives and negatives are each a third of the rows, in this order."""

    def forward(self, outputs, targets):
        a, p, n = np.split(outputs, 3)
        self.keep(a, p, n)
        return float(((a - p) ** 2 - (a - n) ** 2).sum(dtype=np.float64))

    def backward(self):
        a, p, n = self.kept()
        return 2 * np.concatenate([n - p, p - a, a - n])


MIXING = {
    "InfoNCE": (Contrast, lambda rng: rng.normal(size=(6, 3))),
    "class weights": (WeightedMean, lambda rng: np.r_[:3, rng.integers(0, 3, 3)]),
    "ignored rows": (type("", (WeightedMean,), {"weights": np.array([0.0, 1.0, 1.0])}), lambda rng: np.r_[:3, :3]),
    "triplets": (Triplet, lambda rng: np.arange(6)),
}


@pytest.mark.parametrize(("loss", "targets"), MIXING.values(), ids=MIXING)
def test_a_loss_that_is_no_mean_over_its_rows_says_so_by_an_attribute(loss, targets):
    says = type("Says", (loss,), {"batch_independent": False})

    def check(cls):
        return verdicts(lambda rng, s: dl.check_loss(cls(), rng.normal(size=(6, 3)), targets(rng), seed=s))

    found, report = check(loss)
    assert found == {Verdict.FAIL_CONTRACT}
    assert "if the loss is not a mean over its rows, set batch_independent = False" in str(report)
    assert check(says)[0] == {Verdict.PASS}
    wrong = type("Wrong", (says,), {"backward": lambda self: 1.01 * says.backward(self)})
    assert check(wrong)[0] == {Verdict.FAIL_VALUE}
