"""The slips of a first layer or loss of one's own: each is named by what it is."""

import copy
import functools
import pickle
from abc import abstractmethod

import numpy as np
import pytest

import minidl as dl

X = np.random.default_rng(0).normal(size=(4, 3)).astype("f")


def gain():
    return dl.Parameter(np.ones((3, 3)), name="Scale.gain")


COMPUTATIONS = {
    "x * p": lambda p: X * p,
    "p * x": lambda p: p * X,
    "x @ p": lambda p: X @ p,
    "p @ x.T": lambda p: p @ X.T,
    "x + p": lambda p: X + p,
    "p + 1": lambda p: p + 1,
    "1 - p": lambda p: 1 - p,
    "x / p": lambda p: X / p,
    "2 * p": lambda p: 2 * p,
    "np.float32(2) * p": lambda p: np.float32(2) * p,
    "-p": lambda p: -p,
    "p**2": lambda p: p**2,
    "p > 0": lambda p: p > 0,
    "x == p": lambda p: p == X,
    "p[0]": lambda p: p[0],
    "list": list,
    "np.add": lambda p: np.add(X, p),
    "np.exp": np.exp,
    "np.dot": lambda p: np.dot(X, p),
    "np.sum": np.sum,
    "np.asarray": np.asarray,
    "np.zeros_like": np.zeros_like,
    "np.concatenate": lambda p: np.concatenate([X, p]),
    "np.einsum": lambda p: np.einsum("ij,jk", X, p),
    "np.array of it": lambda p: np.array([p]),
}


@pytest.mark.parametrize("compute", COMPUTATIONS.values(), ids=COMPUTATIONS)
def test_a_parameter_taken_for_an_array_says_use_value(compute):
    parameter = gain()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"^Parameter\('Scale.gain', .*\) is no array; use its .value"):
            compute(parameter)
    assert (parameter.value == 1).all()


def test_a_parameter_changed_in_place_or_by_index_says_use_value():
    parameter, y = gain(), X.copy()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"use its \.value"):
            parameter[0] = 0.0
        with pytest.raises(dl.InputError, match=r"use its \.value"):
            y *= parameter
        with pytest.raises(dl.InputError, match=r"use its \.value"):
            parameter += 1.0
    assert (y == X).all()
    assert (parameter.value == 1).all()


def test_a_parameter_stays_an_object_like_others():
    parameter = gain()
    assert parameter
    assert parameter in [1, parameter]
    assert {parameter: 1}[parameter] == 1
    for twin in (copy.copy(parameter), copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        assert (twin.value == parameter.value).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_changes_in_place_and_is_never_replaced(dtype):
    parameter = dl.Parameter(np.ones(3), name="Scale.gain", dtype=dtype)
    memory = parameter.grad
    parameter.add_grad(np.array([2.0, 4.0, 6.0]))
    parameter.grad *= 0.5
    parameter.grad += np.ones(3, dtype)
    parameter.grad[0] = 0.0
    assert parameter.grad.tolist() == [0, 3, 4]
    for new in (np.zeros(3, dtype), parameter.grad + 1, None):
        for _ in range(2):
            with pytest.raises(dl.InputError, match=r"^Scale.gain: grad cannot be replaced; .* add_grad\(g\)"):
                parameter.grad = new
            assert parameter.grad is memory
            assert memory.tolist() == [0, 3, 4]


def test_half_a_gradient_is_half_a_step():
    steps = []
    for factor in (1.0, 0.5):
        layer = dl.Dense(3, 2, rng=0)
        model, before = dl.Model(layer, dl.SoftmaxCrossEntropy()), layer.weight.value.copy()
        model.compute_gradients(X, [0, 1, 0, 1])
        layer.weight.grad *= factor
        dl.SGD(1.0).step(model.parameters)
        steps.append(layer.weight.value - before)
    np.testing.assert_allclose(steps[1], steps[0] / 2, rtol=1e-4)


class Scale(dl.Layer):
    """Right, but for what its subclasses do."""

    def __init__(self):
        super().__init__()
        self.gain = self.add_parameter("gain", np.ones(3))

    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x * self.gain.value

    def backward(self, dy):
        (x,) = self.kept()
        self.gain.grad += (dy * x).sum(axis=0)
        return dy * self.gain.value


def test_a_layer_may_add_to_its_gradient_in_place():
    dl.check_layer(Scale(), X.astype(float)).assert_ok()


WITHOUT_COMMA = {
    "dy * x": lambda x, dy: (dy * x).sum(axis=0),
    "x * dy": lambda x, dy: x * dy,
    "dy @ x": lambda x, dy: dy.T @ x,
    "x.T @ dy": lambda x, dy: x.T @ dy,
    "x > 0": lambda x, dy: x > 0,
    "np.where": lambda x, dy: np.where(x, dy, 0),
    "np.maximum": lambda x, dy: np.maximum(x, 0),
    "x.shape": lambda x, dy: x.shape,
    "np.shape": lambda x, dy: np.shape(x),
    "x**2": lambda x, dy: x**2,
}


@pytest.mark.parametrize("use", WITHOUT_COMMA.values(), ids=WITHOUT_COMMA)
def test_kept_without_its_comma_is_named(use):
    class Forgot(Scale):
        def backward(self, dy):
            x = self.kept()
            return use(x, dy)

    model = dl.Model(dl.Sequential(Forgot()), dl.SoftmaxCrossEntropy())
    before = model.parameters["0.gain"].value.copy()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"write \(x,\) = self.kept\(\), with the comma"):
            model.compute_gradients(X, [0, 1, 2, 0])
    assert (model.parameters["0.gain"].value == before).all()
    assert "with the comma" in str(dl.check_layer(Forgot(), X.astype(float)))


def test_what_was_kept_is_a_tuple():
    layer = dl.ReLU()
    layer.keep(1, X)
    kept = layer.kept()
    assert (len(kept), kept[0], list(kept)[1] is X) == (2, 1, True)
    layer.keep(X)
    assert (copy.deepcopy(layer).kept()[0] == X).all()
    assert (pickle.loads(pickle.dumps(layer)).kept()[0] == X).all()


# Losses of a user's: what they do with outputs and targets, and the shape of targets that goes wrong.


class Squares(dl.Loss):
    def difference(self, outputs, targets):
        return outputs - targets

    def forward(self, outputs, targets):
        d = self.difference(outputs, targets)
        self.keep(d)
        return float((d**2).mean())

    def backward(self):
        (d,) = self.kept()
        return 2 * d / d.size


class Summed(Squares):
    """Of which the gradient's shape shows nothing."""

    def forward(self, outputs, targets):
        return super().forward(outputs, targets) * outputs.size

    def backward(self):
        return super().backward().sum(axis=-1, keepdims=True)


class Flat(Squares):
    def difference(self, outputs, targets):
        return outputs[:, 0] - targets

    def backward(self):
        return super().backward()[..., None]


class Ravelled(Flat):
    def difference(self, outputs, targets):
        return outputs.ravel() - np.ravel(targets)


class Ranked(Flat):
    """Compares rows with each other, as it is meant to."""

    def difference(self, outputs, targets):
        self.signs = np.sign(targets[:, None] - targets)
        return np.maximum(0, 1 - self.signs * (outputs - outputs.T)) * (self.signs != 0)

    def backward(self):
        (d,) = self.kept()
        return (-2 * (d * self.signs) / d.size).sum(axis=1, keepdims=True) * 2


ROWS = np.random.default_rng(1).normal(size=(30, 3)).astype("f")
FLAT, COLUMN = ROWS[:, 0], ROWS[:, :1]


def fit(loss, y, network=None):
    model = dl.Model(network or dl.Dense(3, 1, rng=0), loss)
    return model, lambda: dl.Trainer(model, dl.SGD(0.1), rng=0).fit(dl.Dataset(ROWS, y), epochs=2, batch_size=10)


@pytest.mark.parametrize(
    ("loss", "y", "way"),
    [
        (Squares(), FLAT, r"pass targets\[:, None\]"),
        (Summed(), FLAT, r"pass targets\[:, None\]"),
        (Flat(), COLUMN, r"pass targets\[:, 0\]"),
        (Squares(), (FLAT > 0).astype(int), r"pass targets\[:, None\]"),
    ],
)
def test_a_loss_that_compares_each_output_with_every_target_is_refused(loss, y, way):
    model, train = fit(loss, y)
    before = model.network.weight.value.copy()
    for _ in range(2):
        with pytest.raises(dl.ShapeError, match=f"it compares each output .*with every target .*{way}"):
            train()
        assert (model.network.weight.value == before).all()
    report = dl.check_loss(loss, np.linspace(-1, 1, 5)[:, None], y[:5])
    assert not report.ok
    assert "with every target" in str(report)


@pytest.mark.parametrize(
    ("loss", "y"), [(Squares(), COLUMN), (Flat(), FLAT), (Ravelled(), FLAT), (Ravelled(), COLUMN), (Ranked(), FLAT)]
)
def test_a_loss_that_does_not_is_trained(loss, y):
    _, train = fit(loss, y)
    history = train()
    assert history["loss"][1] < history["loss"][0]


def test_the_shape_of_a_gradient_of_pairs_is_explained():
    model, _ = fit(Squares(), FLAT)
    with pytest.raises(dl.ShapeError, match=r"got \(30, 30\); it compares each output .*pass targets\[:, None\]"):
        model.compute_gradients(ROWS, FLAT)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int8, bool])
def test_a_model_is_checked_with_whole_numbers(dtype):
    x = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    model = dl.Model(dl.Sequential(dl.Dense(4, 5, rng=0), dl.Tanh(), dl.Dense(5, 3, rng=1)), dl.SoftmaxCrossEntropy())
    dl.check_model(model, x, [0, 1, 2]).assert_ok()
    assert x.dtype == dtype


def test_a_model_is_not_checked_with_text():
    with pytest.raises(dl.InputError, match="x: expected real numbers"):
        dl.check_model(dl.Model(dl.Dense(1, 3, rng=0), dl.SoftmaxCrossEntropy()), [["a"]], [0])


class InPlace(dl.Layer):
    def forward(self, x, train=False):
        x *= 2
        return x

    def backward(self, dy):
        return dy * 2


@pytest.mark.parametrize("before", [[], [dl.Reshape((5, 1)), dl.Flatten()]], ids=["first", "behind-views"])
def test_fit_refuses_a_layer_that_would_change_the_data_in_place(before):
    x = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    data = dl.Dataset(x, np.arange(30) % 2)
    kept = data.x.copy()
    model = dl.Model(dl.Sequential(*before, InPlace(), dl.Dense(5, 2, rng=0)), dl.SoftmaxCrossEntropy())
    trainer = dl.Trainer(model, dl.SGD(0.1), rng=0)
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"train, its first 8 rows: .* changes its x in place.*y = x \* 2"):
            trainer.fit(data, data, epochs=1, batch_size=10)
        assert (data.x == kept).all()
        assert trainer.step == 0
    # Behind a Dense it is the layer's own output, and harms nobody.
    model = dl.Model(dl.Sequential(dl.Dense(5, 2, rng=0), InPlace()), dl.SoftmaxCrossEntropy())
    dl.Trainer(model, dl.SGD(0.1), rng=0).fit(data, data, epochs=1, batch_size=10)
    assert (data.x == kept).all()


def wrapped(function):
    @functools.wraps(function)
    def inner(self, *arguments, **options):
        return function(self, *arguments[:1])

    return inner


@pytest.mark.parametrize(
    ("base", "name", "method", "right"),
    [
        (dl.Layer, "forward", lambda self, x: x, r"\(self, x, train=False\)"),
        (dl.Layer, "forward", lambda self, x, train: x, r"\(self, x, train=False\)"),
        (dl.Layer, "forward", lambda self, x, training=False: x, r"\(self, x, train=False\)"),
        (dl.Layer, "backward", lambda self: None, r"\(self, dy\)"),
        (dl.Layer, "output_shape", lambda self: None, r"\(self, input_shape\)"),
        (dl.Dense, "forward", lambda self, x: x, r"\(self, x, train=False\)"),
        (dl.Activation, "function", lambda x: x, r"\(self, x\)"),
        (dl.Loss, "forward", lambda self, outputs: 0.0, r"\(self, outputs, targets\)"),
        (dl.Loss, "backward", lambda self, dy: dy, r"\(self\)"),
        (dl.Loss, "metrics", lambda self, outputs: {}, r"\(self, outputs, targets\)"),
        (dl.Regularizer, "penalty", lambda self: 0.0, r"\(self, w\)"),
        (dl.Initializer, "__call__", lambda self, shape: None, r"\(self, shape, rng\)"),
        (dl.Optimizer, "update", lambda self, w, g: None, r"\(self, parameter, state, learning_rate\)"),
        (dl.Optimizer, "init_state", lambda self: {}, r"\(self, parameter\)"),
        (dl.SGD, "update", lambda self, parameter: None, r"\(self, parameter, state, learning_rate\)"),
        (dl.Schedule, "__call__", lambda self: 0.1, r"\(self, step\)"),
        (dl.Augmentation, "draw", lambda self, n: None, r"\(self, n, rng\)"),
    ],
)
def test_a_method_that_minidl_could_not_call_is_refused_with_its_class(base, name, method, right):
    for _ in range(2):
        with pytest.raises(dl.InputError, match=rf"^Mine: expected {name} to be .*; write def {name}{right}$"):
            type("Mine", (base,), {name: method})


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x, *others, **named: 2 * x,
        lambda self, x, train=False, scale=2, *, shift=0: scale * x + shift,
        lambda self, inputs, train=True: 2 * inputs,
        staticmethod(lambda x, train=False: 2 * x),
        functools.partialmethod(lambda self, x, train=False, scale=1: scale * x, scale=2),
        wrapped(lambda self, x: 2 * x),
        property(lambda self: lambda x, train=False: 2 * x),
    ],
)
def test_a_method_that_minidl_can_call_is_taken(forward):
    layer = type("Mine", (dl.Layer,), {"forward": forward, "backward": lambda self, dy: 2 * dy})()
    model = dl.Model(dl.Sequential(layer, dl.Dense(3, 3, rng=0)), dl.SoftmaxCrossEntropy())
    assert np.isfinite(model.compute_gradients(X, [0, 1, 2, 0])).all()
    assert (layer.forward(X) == 2 * X).all()


def test_a_class_may_leave_methods_to_those_below_it():
    # What is abstract in a class of the user's is the user's alone.
    methods = {"output_shape": lambda self, shape, /, times=1: shape, "scale": abstractmethod(lambda self, x: x)}
    base = type("Base", (dl.Layer,), methods)
    methods = {"forward": lambda self, x, train=False: x, "backward": lambda self, dy: dy, "scale": lambda self: 1}
    assert type("Mine", (base,), methods)().scale() == 1
