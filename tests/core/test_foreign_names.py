"""Names of PyTorch, Keras and scikit-learn: each gets a hint on what minidl has instead, or no hint."""

import re

import numpy as np
import pytest

import minidl as dl
from minidl._core import foreign_names

X, Y = np.random.default_rng(0).normal(size=(20, 5)), np.arange(20) % 3
DATA = dl.Dataset(X, Y)
LAYER = dl.Dense(5, 3, rng=0)
MODEL = dl.Model(dl.Sequential(LAYER), dl.SoftmaxCrossEntropy())
TRAINER = dl.Trainer(MODEL, dl.SGD(0.1), rng=0)
HISTORY = dl.History([{"loss": 1.0}])
SCALE = dl.Standardizer().fit(X)


@pytest.mark.parametrize(("name", "answer"), foreign_names._PUBLIC.items())
def test_a_public_name_of_another_library_gets_a_hint(name, answer):
    with pytest.raises(AttributeError) as caught:
        getattr(dl, name)
    assert str(caught.value) == f"minidl has no {name!r}; {answer}"


def test_hints_name_existing_objects():
    for answer in {*foreign_names._PUBLIC.values(), *foreign_names._MEMBERS.values()}:
        for name in re.findall(r"\b[A-Z]\w*[a-z]\w*\b", answer):
            assert name in {*dl.__all__, "Trainer", "NumPy", "True"}, answer


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Conv2d", "Conv2D"),
        ("MaxPooling2D", "MaxPool2D"),
        ("BatchNorm2d", "BatchNorm"),
        ("BinaryCrossentropy", "BinaryCrossEntropy"),
        ("RMSprop", "RMSProp"),
        ("Nadam", "NAdam"),
        ("CosineAnnealingLR", "CosineAnnealing"),
        ("trainer", "Trainer"),
    ],
)
def test_a_near_misspelling_is_answered_with_the_name(name, nearest):
    with pytest.raises(AttributeError, match=f"did you mean '{nearest}'"):
        getattr(dl, name)


@pytest.mark.parametrize("name", ["Kalman", "XGBoost", "Quaternion", "ViT", "pi", "KMeans", "attention"])
def test_a_name_unlike_all_others_gets_no_hint(name):
    with pytest.raises(AttributeError, match=f"^minidl has no '{name}'$"):
        getattr(dl, name)


@pytest.mark.parametrize(
    ("owner", "name", "answer"),
    [
        (MODEL, "fit", "Trainer(model, optimizer).fit"),
        (MODEL, "train", "train=True"),
        (MODEL, "layers", "model.network.layers"),
        (MODEL, "state_dict", "save_weights"),
        (MODEL, "named_parameters", "model.parameters"),
        (MODEL, "optimizer", "an argument of Trainer"),
        (TRAINER, "train", "fit"),
        (TRAINER, "predict", "trainer.model"),
        (TRAINER, "current_epoch", "trainer.epoch"),
        (TRAINER.optimizer, "zero_grad", "zero_grad() of each"),
        (TRAINER.optimizer, "lr", "learning_rate"),
        (LAYER, "kernel", "weight"),
        (LAYER, "parameters", "named_parameters()"),
        (LAYER.weight, "shape", "its value"),
        (SCALE, "transform", "scale(x)"),
        (DATA, "transform", "map(function)"),
        (HISTORY, "history", "history['loss']"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_attribute_of_another_library_gets_a_hint(owner, name, answer):
    assert not hasattr(owner, name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; .*{re.escape(answer)}"):
        getattr(owner, name)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda: TRAINER.fit(DATA, validation_split=0.2), "Trainer.fit: .*; it is called validation"),
        (lambda: TRAINER.fit(DATA), "Trainer.fit: missing .*'epochs' and 'batch_size'$"),
        (lambda: TRAINER.optimizer.step(), "Optimizer.step: missing .*'parameters'$"),
        (lambda: MODEL.evaluate(DATA, verbose=0), "Model.evaluate: .*; .*ProgressBar"),
        (lambda: dl.check_layer(LAYER, X, eps=1e-6), "check_layer: .*; each derivative has its own step"),
        (lambda: dl.Flatten(start_dim=1), "Flatten: .*; Flatten always keeps axis 0"),
        (lambda: dl.MaxPool2D(kernel_size=2), "MaxPool2D: .*; it is called pool_size"),
        (lambda: MODEL(X), r"Model cannot be called.*; write model.predict\(x\)"),
        (lambda: LAYER(X), r"Dense cannot be called.*; write layer.forward\(x\)"),
        (lambda: MODEL.loss(X, Y), "SoftmaxCrossEntropy cannot be called.*; write loss.forward"),
        (lambda: dl.L2(0.1)(X), r"L2 cannot be called.*; write regularizer.penalty\(w\)"),
        (lambda: MODEL.parameters(), r"write model.parameters, without \(\)"),
    ],
)
def test_an_argument_or_a_call_of_another_library_gets_a_hint(call, answer):
    with pytest.raises(TypeError, match=f"^.*{answer}"):
        call()


def test_errors_inside_a_method_are_unchanged():
    def failing(x):
        return len(3)

    with pytest.raises(TypeError, match="has no len"):
        MODEL.network.layers[0].forward(failing(X))

    class Own(dl.Layer):
        def forward(self, x, train=False):
            return x

        def backward(self, dy):
            return dy

        @property
        def depth(self):
            return self.missing

    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = Own().depth


def test_a_network_gives_its_layers_by_number():
    assert MODEL.network[0] is LAYER
    assert [*MODEL.network] == [LAYER]
    assert len(MODEL.network) == 1


def test_a_data_set_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(AttributeError, match="available: load_cifar10"):
        _ = dl.datasets.load_mnist
