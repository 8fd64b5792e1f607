"""Common mistakes in a first layer or loss: the error names each of them."""

import copy
import functools
import operator
import pickle
from abc import abstractmethod

import numpy as np
import pytest
from function_layer import function_layer
from small_parts import Scale

import minidl as dl

X = np.random.default_rng(0).normal(size=(4, 3)).astype("f")


def gain():
    return dl.Parameter(np.ones((3, 3)), name="Scale.gain")


COMPUTATIONS = {
    "x * p": lambda p: X * p,
    "p @ x.T": lambda p: p @ X.T,
    "1 - p": lambda p: 1 - p,
    "np.float32(2) * p": lambda p: np.float32(2) * p,
    "-p": lambda p: -p,
    "p**2": lambda p: p**2,
    "p > 0": lambda p: p > 0,
    "x == p": lambda p: p == X,
    "p[0]": lambda p: p[0],
    "p[0] = 0": lambda p: p.__setitem__(0, 0.0),
    "p += 1": lambda p: operator.iadd(p, 1.0),
    "x *= p": lambda p: operator.imul(X, p),
    "list": list,
    "np.exp": np.exp,
    "np.asarray": np.asarray,
    "np.concatenate": lambda p: np.concatenate([X, p]),
    "np.array of it": lambda p: np.array([p]),
}


@pytest.mark.parametrize("compute", COMPUTATIONS.values(), ids=COMPUTATIONS)
def test_a_parameter_used_as_an_array_says_use_value(compute):
    parameter, before = gain(), X.copy()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"^Parameter\('Scale.gain', .*\) is not an array; use its .value"):
            compute(parameter)
    assert (parameter.value == 1).all()
    assert (before == X).all()


def test_a_parameter_is_an_ordinary_object():
    parameter = gain()
    assert parameter
    assert parameter in [1, parameter]
    assert {parameter: 1}[parameter] == 1
    for twin in (copy.copy(parameter), copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        assert (twin.value == parameter.value).all()


def test_a_gradient_changes_in_place_and_is_never_replaced():
    parameter = dl.Parameter(np.ones(3), name="Scale.gain")
    memory = parameter.grad
    parameter.add_grad(np.array([2.0, 4.0, 6.0]))
    parameter.grad *= 0.5
    parameter.grad += np.ones(3, np.float32)
    parameter.grad[0] = 0.0
    for new in (parameter.grad + 1, None):
        with pytest.raises(dl.InputError, match=r"^Scale.gain: grad cannot be replaced; .* add_grad\(g\)"):
            parameter.grad = new
    assert parameter.grad is memory
    assert memory.tolist() == [0, 3, 4]


WITHOUT_COMMA = {
    "dy * x": lambda x, dy: (dy * x).sum(axis=0),
    "dy @ x": lambda x, dy: dy.T @ x,
    "x > 0": lambda x, dy: x > 0,
    "np.where": lambda x, dy: np.where(x, dy, 0),
    "x.shape": lambda x, dy: x.shape,
}


@pytest.mark.parametrize("use", WITHOUT_COMMA.values(), ids=WITHOUT_COMMA)
def test_kept_without_the_comma_is_reported(use):
    class Forgot(Scale):
        def backward(self, dy):
            x = self.kept()
            return use(x, dy)

    model = dl.Model(dl.Sequential(Forgot(3)), dl.SoftmaxCrossEntropy())
    before = model.parameters["0.gain"].value.copy()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"write \(x,\) = self.kept\(\), with the comma"):
            model.compute_gradients(X, [0, 1, 2, 0])
    assert (model.parameters["0.gain"].value == before).all()
    assert "with the comma" in str(dl.check_layer(Forgot(3), X.astype(float)))


def test_kept_returns_a_tuple():
    layer = dl.ReLU()
    layer.keep(1, X)
    kept = layer.kept()
    assert (len(kept), kept[0], list(kept)[1] is X) == (2, 1, True)
    layer.keep(X)
    assert (copy.deepcopy(layer).kept()[0] == X).all()
    assert (pickle.loads(pickle.dumps(layer)).kept()[0] == X).all()


# Users' losses: how they compare outputs and targets, and the shape of targets that is wrong.


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
    """A loss whose gradient has the correct shape all the same."""

    def forward(self, outputs, targets):
        return super().forward(outputs, targets) * outputs.size

    def backward(self):
        return super().backward().sum(axis=-1, keepdims=True)


class Flat(Squares):
    def difference(self, outputs, targets):
        return outputs[:, 0] - targets

    def backward(self):
        return super().backward()[..., None]


class Ranked(Flat):
    """Compares rows with each other intentionally."""

    def difference(self, outputs, targets):
        self.signs = np.sign(targets[:, None] - targets)
        return np.maximum(0, 1 - self.signs * (outputs - outputs.T)) * (self.signs != 0)

    def backward(self):
        (d,) = self.kept()
        return (-2 * (d * self.signs) / d.size).sum(axis=1, keepdims=True) * 2


ROWS = np.random.default_rng(1).normal(size=(30, 3)).astype("f")
FLAT, COLUMN = ROWS[:, 0], ROWS[:, :1]


def fit(loss, y):
    model = dl.Model(dl.Dense(3, 1, rng=0), loss)
    return model, lambda: dl.Trainer(model, dl.SGD(0.1), rng=0).fit(dl.Dataset(ROWS, y), epochs=2, batch_size=10)


@pytest.mark.parametrize(
    ("loss", "y", "way"), [(Squares(), FLAT, ":, None"), (Summed(), FLAT, ":, None"), (Flat(), COLUMN, ":, 0")]
)
def test_a_loss_that_compares_each_output_with_every_target_is_refused(loss, y, way):
    model, train = fit(loss, y)
    before = model.network.weight.value.copy()
    for _ in range(2):
        with pytest.raises(dl.ShapeError, match=rf"compares each output .*Pass targets\[{way}\]"):
            train()
        assert (model.network.weight.value == before).all()
    assert "with every target" in str(dl.check_loss(loss, np.linspace(-1, 1, 5)[:, None], y[:5]))


@pytest.mark.parametrize(("loss", "y"), [(Squares(), COLUMN), (Flat(), FLAT), (Ranked(), FLAT)])
def test_a_loss_that_compares_row_by_row_is_trained(loss, y):
    _, train = fit(loss, y)
    history = train()
    assert history["loss"][1] < history["loss"][0]


def test_the_shape_of_a_gradient_of_pairs_is_explained():
    with pytest.raises(dl.ShapeError, match=r"got \(30, 30\); .*compares each output .*Pass targets\[:, None\]"):
        fit(Squares(), FLAT)[0].compute_gradients(ROWS, FLAT)


@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_a_model_is_checked_with_whole_numbers(dtype):
    x = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    model = dl.Model(dl.Sequential(dl.Dense(4, 5, rng=0), dl.Tanh(), dl.Dense(5, 3, rng=1)), dl.SoftmaxCrossEntropy())
    dl.check_model(model, x, [0, 1, 2]).assert_ok()
    assert x.dtype == dtype


def in_place():
    return function_layer(lambda x: np.multiply(x, 2, out=x), lambda dy, x: 2 * dy)


@pytest.mark.parametrize("before", [[], [dl.Reshape((5, 1)), dl.Flatten()]], ids=["first", "behind-views"])
def test_fit_refuses_a_layer_that_would_change_the_data_in_place(before):
    x = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    data = dl.Dataset(x, np.arange(30) % 2)
    kept = data.x.copy()
    model = dl.Model(dl.Sequential(*before, in_place(), dl.Dense(5, 2, rng=0)), dl.SoftmaxCrossEntropy())
    trainer = dl.Trainer(model, dl.SGD(0.1), rng=0)
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"train, its first 8 rows: .* changes x in place.*y = x \* 2"):
            trainer.fit(data, data, epochs=1, batch_size=10)
        assert (data.x == kept).all()
        assert trainer.step == 0
    # After a Dense it changes only the output of that layer, which does no harm.
    model = dl.Model(dl.Sequential(dl.Dense(5, 2, rng=0), in_place()), dl.SoftmaxCrossEntropy())
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
def test_a_method_that_minidl_can_call_is_accepted(forward):
    layer = type("Mine", (dl.Layer,), {"forward": forward, "backward": lambda self, dy: 2 * dy})()
    model = dl.Model(dl.Sequential(layer, dl.Dense(3, 3, rng=0)), dl.SoftmaxCrossEntropy())
    assert np.isfinite(model.compute_gradients(X, [0, 1, 2, 0])).all()
    assert (layer.forward(X) == 2 * X).all()


def test_a_class_may_leave_methods_to_its_subclasses():
    # A user's abstract methods are not checked.
    methods = {"output_shape": lambda self, shape, /, times=1: shape, "scale": abstractmethod(lambda self, x: x)}
    base = type("Base", (dl.Layer,), methods)
    methods = {"forward": lambda self, x, train=False: x, "backward": lambda self, dy: dy, "scale": lambda self: 1}
    assert type("Mine", (base,), methods)().scale() == 1
