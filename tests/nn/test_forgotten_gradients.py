"""Mistakes in a user's layer: fit computes a gradient on a copy, and reports them before the first step."""

import numpy as np
import pytest

import minidl as dl


class Affine(dl.Layer):
    """Correct, unless an attribute of a subclass leaves something out."""

    keeps_in = (True,)
    adds = ("gain", "shift")

    def __init__(self):
        super().__init__()
        self.gain = self.add_parameter("gain", np.ones(5))
        self.shift = self.add_parameter("shift", np.zeros(5), penalized=False)

    def forward(self, x, train=False):
        if train in self.keeps_in:
            self.keep(x)
        return x * self.gain.value + self.shift.value

    def backward(self, dy):
        (x,) = self.kept()
        for name, gradient in (("gain", (dy * x).sum(axis=0)), ("shift", dy.sum(axis=0))):
            if name in self.adds:
                getattr(self, name).add_grad(gradient)
        return dy * self.gain.value


class Halves(dl.Layer):
    """Two parallel layers; the gradient reaches only those in `reached`."""

    reached = ("a", "b")

    def __init__(self):
        super().__init__()
        self.a = self.add_layer("a", dl.Dense(5, 5, rng=0))
        self.b = self.add_layer("b", dl.Dense(5, 5, rng=1))

    def forward(self, x, train=False):
        return self.a.forward(x, train) + self.b.forward(x, train)

    def backward(self, dy):
        return sum(getattr(self, name).backward(dy) for name in self.reached)


class ForPrediction(Halves):
    """Passes the wrong `train` on."""

    reached = ("a",)

    def forward(self, x, train=False):
        return self.a.forward(x, not train)


def made(base, **attributes):
    return type("Mine", (base,), attributes)()


def train_one(layer):
    x = np.random.default_rng(0).normal(size=(30, 5))
    model = dl.Model(dl.Sequential(layer, dl.Dense(5, 2, rng=0)), dl.SoftmaxCrossEntropy(), dl.L2(0.01))
    trainer = dl.Trainer(model, dl.SGD(0.1), rng=0)
    trainer.fit(dl.Dataset(x, np.arange(30) % 2), epochs=2, batch_size=10)
    return trainer


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        # The regularizer adds a gradient to penalized parameters.
        (lambda: made(Affine, adds=("shift",)), r"Mine\(\), at '0': gain gets no gradient.*call gain.add_grad"),
        (lambda: made(Affine, adds=("gain",)), r"Mine\(\), at '0': shift gets no gradient.*call shift.add_grad"),
        (lambda: made(Halves, reached=("b",)), r"Dense\(5, 5\), at '0.a': weight gets no gradient.*call its backward"),
    ],
)
def test_a_parameter_without_gradient_warns_once_unless_it_is_frozen(layer, words):
    with pytest.warns(UserWarning, match=words) as caught:
        train_one(layer())
    assert [w.filename for w in caught] == [__file__]
    frozen = layer()
    frozen.freeze()
    train_one(frozen)


@pytest.mark.parametrize("layer", [lambda: made(Affine, keeps_in=(False,)), ForPrediction])
def test_a_layer_that_keeps_only_in_prediction_is_refused_before_the_first_step(layer):
    layer = layer()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"(Mine\(\)|Dense\(5, 5\)): backward needs .*if train: self.keep"):
            train_one(layer)


def test_correct_layers_give_no_warning():
    train_one(made(Affine, keeps_in=(True, False)))
    train_one(made(Halves))
    layer = Affine()
    # A forward without backward also leaves kept values.
    layer.forward(np.ones((2, 5), np.float32), train=True)
    assert train_one(layer).step == 6
