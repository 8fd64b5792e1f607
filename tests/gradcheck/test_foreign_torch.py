"""Functions and modules of PyTorch, checked as they are."""

import numpy as np
import pytest

import minidl as dl
from minidl import ForeignLayer, Verdict

torch = pytest.importorskip("torch", reason="needs the extra oracle: pip install torch")


@pytest.fixture(autouse=True)
def one_thread():
    """On a busy machine PyTorch's threads wait for each other longer than these small arrays take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


X = np.random.default_rng(0).normal(size=(4, 3))
W, B = np.random.default_rng(1).normal(size=(3, 5)), np.array([0.5, -1.0, 0.25, 2.0, 1.0])


class Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w)
        return x @ w + b

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return dy @ w.T, x.T @ dy, dy.sum(0)


class Power(torch.autograd.Function):
    """``(gain * x) ** power`` of the newer kind, with a context set up apart and a constant."""

    @staticmethod
    def forward(x, gain, power):
        return (gain * x) ** power

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.power = inputs[2]

    @staticmethod
    def backward(ctx, dy):
        x, gain = ctx.saved_tensors
        slope = dy * ctx.power * (gain * x) ** (ctx.power - 1)
        return slope * gain, (slope * x).sum(0), None


class Mixed(torch.autograd.Function):
    """Hands dy on to an array that is a constant for it."""

    @staticmethod
    def forward(ctx, x, mixing):
        ctx.save_for_backward(mixing)
        return x @ mixing

    @staticmethod
    def backward(ctx, dy):
        return dy @ ctx.saved_tensors[0].T, None


def altered(function, change):
    """Return the function with what its backward returns changed."""
    return type(
        "Altered", (function,), {"backward": staticmethod(lambda ctx, dy: change(function.backward(ctx, dy), dy))}
    )


def module(function):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Tanh())
            self.w, self.b = torch.nn.Parameter(torch.tensor(W)), torch.nn.Parameter(torch.tensor(B))
            self.unused = torch.nn.Parameter(torch.ones(2))

        def forward(self, x):
            return function.apply(self.body(x), self.w.to(x.dtype), self.b.to(x.dtype))

    torch.manual_seed(0)
    return ForeignLayer.from_torch(Net(), batch_independent=False)


def test_functions_and_modules_pass():
    identity = type("Identity", (Affine,), {})
    identity.forward = staticmethod(lambda ctx, x: x.view_as(x))
    identity.backward = staticmethod(lambda ctx, dy: dy)
    layers = [
        ForeignLayer.from_torch(Affine, W, torch.tensor(B, requires_grad=True)),
        ForeignLayer.from_torch(Power, W[:, 0], 3),
        ForeignLayer.from_torch(Mixed, torch.ones(3, 2)),
        ForeignLayer.from_torch(identity),
        module(Affine),
    ]
    for layer in layers:
        report = dl.check_layer(layer, X)
        assert report.verdict is Verdict.PASS, report
    assert [*layers[0].named_parameters()] == ["w", "b"]
    # As a layer of minidl, without a check around it.
    layers[0].forward(X, train=True)
    assert layers[0].backward(np.ones((4, 5))).shape == X.shape
    assert {"w", "body.0.weight", "body.1.bias"} < layers[-1].named_parameters().keys()


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda found, dy: (*found[:2], dy.mean(0)), Verdict.FAIL_VALUE, "b["),
        (lambda found, dy: (found[0] * 1.001, *found[1:]), Verdict.FAIL_VALUE, "x["),
        (lambda found, dy: (found[0], found[1].T, found[2]), Verdict.FAIL_CONTRACT, "got [5, 3]"),
        (lambda found, dy: (*found[:2], None), Verdict.FAIL_CONTRACT, "x, w, b; got Tensor, Tensor, NoneType"),
        (lambda found, dy: found[:2], Verdict.FAIL_CONTRACT, "(expected 3, got 2)"),
        (lambda found, dy: (found, dy.mul_(2))[0], Verdict.FAIL_CONTRACT, "backward changed dy"),
    ],
)
def test_a_wrong_backward_is_found_and_the_parameter_named_as_in_the_signature(change, verdict, words):
    report = dl.check_layer(ForeignLayer.from_torch(altered(Affine, change), W, B), X)
    assert report.verdict is verdict
    assert words in str(report)


def test_a_wrong_function_inside_a_module_is_found():
    report = dl.check_layer(module(altered(Affine, lambda found, dy: (found[0], found[1] * 2, found[2]))), X)
    assert (report.verdict, report.findings[0].tensor) == (Verdict.FAIL_VALUE, "w")


def test_what_cannot_be_checked_is_said():
    in_float32 = type("InFloat32", (Affine,), {"forward": staticmethod(lambda ctx, x, w, b: (x @ w + b).float())})
    report = dl.check_layer(ForeignLayer.from_torch(in_float32, W, B), X)
    assert (report.verdict, report.findings[0].tensor) == (Verdict.FAIL_CONTRACT, "y")
    assert "float32" in report.findings[0].reason
    drawing = ForeignLayer.from_torch(torch.nn.Dropout(0.5), batch_independent=False)
    assert dl.check_layer(drawing, X).verdict is Verdict.NONDETERMINISTIC
    for target in (Affine.apply, torch.relu, 3):
        with pytest.raises(dl.InputError, match="expected a Function class"):
            ForeignLayer.from_torch(target)
    with pytest.raises(dl.InputError, match="at least 2 rows, got 1"):
        dl.check_layer(module(Affine), X[:1])
