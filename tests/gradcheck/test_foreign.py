"""NumPy code in the style of CS231n and layers of numpy-ml, checked as they are."""

import numpy as np
import pytest

import minidl as dl
from minidl import ForeignLayer, Verdict

X = np.random.default_rng(0).normal(size=(4, 3))
W, B = np.random.default_rng(1).normal(size=(3, 5)), np.array([0.5, -1.0, 0.25, 2.0, 1.0])
GAMMA, BETA = np.array([1.5, -0.5, 2.0]), np.array([0.5, 1.0, -1.0])


def affine_forward(x, w, b):
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def relu_forward(x):
    # A float64 result for whatever x, as np.zeros gives in many scripts.
    return np.where(x > 0, x, np.zeros(x.shape)), x


def batchnorm_forward(x, gamma, beta, bn_param):
    mean, deviation = x.mean(axis=0), np.sqrt(x.var(axis=0) + bn_param["eps"])
    bn_param["running_mean"] = 0.9 * bn_param.get("running_mean", 0.0) + 0.1 * mean
    normal = (x - mean) / deviation
    return gamma * normal + beta, (normal, gamma / deviation)


def batchnorm_backward(dout, cache):
    normal, scale = cache
    dx = scale * (dout - dout.mean(axis=0) - normal * (dout * normal).mean(axis=0))
    return dx, (dout * normal).sum(axis=0), dout.sum(axis=0)


def test_pairs_of_functions_pass_and_what_they_were_given_is_untouched():
    affine = ForeignLayer.from_functions(affine_forward, affine_backward, W, B)
    settings = {"eps": 1e-5}
    norm = ForeignLayer.from_functions(
        batchnorm_forward, batchnorm_backward, GAMMA, BETA, settings, batch_independent=False
    )
    relu = ForeignLayer.from_functions(relu_forward, lambda dout, x: dout * (x > 0))
    handed_on = ForeignLayer.from_functions(
        lambda x, *terms: (x + sum(terms), None), lambda d, _: (d, *[d.sum(0)] * 2), BETA, GAMMA
    )
    for layer in (affine, norm, relu, handed_on):
        report = dl.check_layer(layer, X)
        assert report.verdict is Verdict.PASS, report
    assert settings == {"eps": 1e-5}
    assert [*handed_on.named_parameters()] == ["terms", "terms2"]


@pytest.mark.parametrize(
    ("backward", "verdict", "words"),
    [
        (lambda d, c: (*affine_backward(d, c)[:2], d.mean(axis=0)), Verdict.FAIL_VALUE, "b["),
        (lambda d, c: (d @ c[1].T, c[0].T @ d * 1.001, d.sum(axis=0)), Verdict.FAIL_VALUE, "w["),
        (
            lambda d, c: (d @ c[1].T, d.T @ c[0], d.sum(axis=0)),
            Verdict.FAIL_CONTRACT,
            "w: expected a gradient of shape",
        ),
        (lambda d, c: affine_backward(d, c)[:2], Verdict.FAIL_CONTRACT, "gradients of x, w, b; got ndarray, ndarray"),
        (lambda d, c: d @ c[1].T, Verdict.FAIL_CONTRACT, "gradients of x, w, b; got ndarray"),
        (lambda d, c: (*affine_backward(d, c)[:2], None), Verdict.FAIL_CONTRACT, "got ndarray, ndarray, NoneType"),
        (lambda d, c: affine_backward(np.multiply(d, 2, out=d) / 2, c), Verdict.FAIL_CONTRACT, "backward changed dy"),
        (
            lambda d, c: affine_backward(d, c + (np.multiply(c[1], 2, out=c[1]),)[:0]),
            Verdict.FAIL_CONTRACT,
            "changed w",
        ),
    ],
)
def test_a_wrong_backward_is_found_and_the_parameter_named_as_in_the_signature(backward, verdict, words):
    report = dl.check_layer(ForeignLayer.from_functions(affine_forward, backward, W, B), X)
    assert report.verdict is verdict
    assert words in str(report)


def test_wrong_use_is_answered_with_what_came():
    with pytest.raises(dl.InputError, match="y and a cache, got ndarray"):
        dl.check_layer(ForeignLayer.from_functions(lambda x: 2 * x, lambda dout, cache: 2 * dout), X)
    assert "missing 1 required positional argument: 'b'" in str(
        dl.check_layer(ForeignLayer.from_functions(affine_forward, affine_backward, W), X)
    )
    with pytest.raises(dl.InputError, match=r"a Function class .* or a Module, got <function"):
        ForeignLayer.from_torch(affine_forward, W, B)
    with pytest.raises(dl.InputError, match="at least 1 rows, got 0"):
        ForeignLayer.from_functions(affine_forward, affine_backward, W, B).forward(X[:0])


class Adding:
    """An object that adds to its gradient, as most libraries do between two calls of zero_grad."""

    def __init__(self):
        self.w, self.dw = np.array([2.0, -1.0, 0.5]), np.zeros(3)

    def forward(self, x):
        self.x = x
        return x * self.w

    def backward(self, dy):
        self.dw += (dy * self.x).sum(axis=0)
        return dy * self.w


class Deriving(Adding):
    """An object whose gradient is a property."""

    def __init__(self):
        self.w = np.array([2.0, -1.0, 0.5])

    dw = property(lambda self: (self.dy * self.x).sum(axis=0))

    def backward(self, dy):
        self.dy = dy
        return dy * self.w


@pytest.mark.parametrize("cls", [Adding, Deriving])
def test_an_object_may_add_to_its_gradient_or_derive_it(cls):
    assert dl.check_layer(ForeignLayer(cls(), {"w": "dw"}), X).verdict is Verdict.PASS


class Gradual:
    """The interface of a numpy-ml layer: parameters from the first forward, gradients summed over all kept inputs."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.X, self.parameters, self.gradients = [], {}, {}

    def make(self, x):
        raise NotImplementedError

    def forward(self, X, retain_derived=True):
        if not self.gradients:
            self.make(X)
            self.gradients = {
                name: np.zeros_like(value) for name, value in self.parameters.items() if "mean" not in name
            }
        if retain_derived:
            self.X.append(X)
        return self.compute(X, retain_derived)

    def backward(self, dLdy, retain_grads=True):
        dx, *found = self.slopes(self.X[0], dLdy)
        for name, gradient in zip(self.gradients, found, strict=True):
            self.gradients[name] += self.factor * gradient
        return dx

    def flush_gradients(self):
        self.X = []
        self.gradients = {name: np.zeros_like(value) for name, value in self.gradients.items()}


class FullyConnected(Gradual):
    def make(self, x):
        self.parameters = {"W": np.ones((x.shape[1], 2)), "b": np.zeros((1, 2))}

    def compute(self, x, _):
        return x @ self.parameters["W"] + self.parameters["b"]

    def slopes(self, x, dy):
        return dy @ self.parameters["W"].T, x.T @ dy, dy.sum(axis=0, keepdims=True)


class Centered(Gradual):
    """``y = x - mean + intercept``, with the mean of the batch in training and a running one in prediction."""

    def make(self, x):
        self.parameters = {"running_mean": np.zeros(x.shape[1]), "intercept": np.ones(x.shape[1])}

    def compute(self, x, retain_derived):
        mean = x.mean(axis=0) if retain_derived else self.parameters["running_mean"]
        self.parameters["running_mean"] = (self.parameters["running_mean"] + mean) / 2
        return x - mean + self.parameters["intercept"]

    def slopes(self, x, dy):
        return dy - dy.mean(axis=0), dy.sum(axis=0)


@pytest.mark.parametrize(("cls", "parameter"), [(FullyConnected, "W"), (Centered, "intercept")])
def test_layers_of_numpy_ml(cls, parameter):
    options = {"batch_independent": cls is FullyConnected}
    layer = cls()
    wrapped = ForeignLayer.from_numpy_ml(layer, X, **options)
    assert dl.check_layer(wrapped, X).verdict is Verdict.PASS
    assert not layer.parameters
    assert [*wrapped.named_buffers()] == ["running_mean"] * (cls is Centered)
    wrong = dl.check_layer(ForeignLayer.from_numpy_ml(cls(1.001), X, **options), X)
    assert (wrong.verdict, wrong.findings[0].tensor) == (Verdict.FAIL_VALUE, parameter)
