"""Masked arrays are refused wherever arrays are passed in: NumPy would compute with the masked values."""

import numpy as np
import pytest
from function_layer import function_layer

import minidl as dl

X = np.random.default_rng(0).normal(size=(20, 4))
LABELS = X[:, :3].argmax(axis=1)
SHARES = np.full((20, 3), 1 / 3)


def masked(array):
    return np.ma.array(array, mask=np.zeros(np.shape(array), bool))


def model():
    return dl.Model(dl.Dense(4, 3, rng=0), dl.SoftmaxCrossEntropy())


class MasksGradient(dl.SoftmaxCrossEntropy):
    def backward(self):
        return masked(super().backward())


def fitted(network, loss):
    return dl.Trainer(dl.Model(network, loss), dl.SGD(0.1)).fit(dl.Dataset(X, LABELS), epochs=1, batch_size=10)


DOORS = {
    "Dataset x": lambda: dl.Dataset(masked(X), LABELS),
    "Dataset y": lambda: dl.Dataset(X, masked(LABELS)),
    "Dataset of nested lists": lambda: dl.Dataset([[masked(row)] for row in X], LABELS),
    "Dataset.map": lambda: dl.Dataset(X, LABELS).map(masked),
    "rows of a Dataset": lambda: dl.Dataset(X, LABELS)[masked(np.arange(3))],
    "Standardizer.fit": lambda: dl.Standardizer().fit(masked(X)),
    "Standardizer": lambda: dl.Standardizer().fit(X)(masked(X)),
    "forward": lambda: model().forward(masked(X)),
    "predict": lambda: model().predict(masked(X)),
    "compute_loss": lambda: model().compute_loss(X, masked(LABELS)),
    "compute_gradients": lambda: model().compute_gradients(masked(X), LABELS),
    "Ensemble": lambda: dl.Ensemble([model()]).predict(masked(X)),
    "dead_units": lambda: dl.dead_units(model(), masked(X)),
    "a layer's output": lambda: fitted(
        dl.Sequential(dl.Dense(4, 3), function_layer(masked, lambda dy, x: dy)), dl.SoftmaxCrossEntropy()
    ),
    "a layer's gradient": lambda: fitted(
        dl.Sequential(dl.Dense(4, 3), function_layer(abs, lambda dy, x: masked(dy))), dl.SoftmaxCrossEntropy()
    ),
    "a loss's gradient": lambda: fitted(dl.Dense(4, 3), MasksGradient()),
    "targets of cross-entropy": lambda: dl.SoftmaxCrossEntropy().forward(SHARES, masked(LABELS)),
    "squared error": lambda: dl.MeanSquaredError().forward(masked(SHARES), SHARES),
    "Parameter": lambda: dl.Parameter(masked(X)),
    "accuracy": lambda: dl.accuracy(masked(LABELS), LABELS),
    "confusion_matrix": lambda: dl.confusion_matrix(LABELS, masked(LABELS), 3),
    "most_confused": lambda: dl.most_confused(masked(np.eye(3, dtype=int))),
    "check_layer": lambda: dl.check_layer(dl.Dense(4, 3), masked(X)),
    "check_loss": lambda: dl.check_loss(dl.SoftmaxCrossEntropy(), masked(SHARES), LABELS),
    "check_regularizer": lambda: dl.check_regularizer(dl.L2(0.1), masked(X)),
    "check_function": lambda: dl.check_function(np.sin, lambda dy, x: dy * np.cos(x), masked(X)),
    "numerical_gradient": lambda: dl.numerical_gradient(np.sum, masked(X)),
    "plot_curves": lambda: dl.plotting.plot_curves({"loss": masked([1.0, 2.0])}, "loss"),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_masked_array_is_refused(door):
    with pytest.raises(dl.InputError, match="expected a plain array, got a masked one; fill or drop"):
        DOORS[door]()


def test_a_value_and_a_gradient_stay_as_they_were():
    weight = dl.Parameter(X)
    for attempt in (lambda: weight.add_grad(masked(X)), lambda: setattr(weight, "value", masked(X + 1))):
        with pytest.raises(dl.InputError):
            attempt()
    assert (weight.value == X.astype("f")).all()
    assert not weight.grad.any()


def test_the_wrappers_for_scikit_learn_refuse_one():
    pytest.importorskip("sklearn", reason="needs scikit-learn, of the extra sklearn")
    from minidl.sklearn import NeuralNetClassifier

    def build(features, outputs, rng):
        return dl.Model(dl.Dense(features, outputs, rng=rng), dl.SoftmaxCrossEntropy())

    net = NeuralNetClassifier(build, epochs=1).fit(X, LABELS)
    for ask in (lambda: net.fit(masked(X), LABELS), lambda: net.fit(X, masked(LABELS)), lambda: net.predict(masked(X))):
        with pytest.raises(dl.InputError, match="masked"):
            ask()
