"""Undeclared attributes cannot be assigned on minidl's own objects."""

import ast
import copy
import importlib
import inspect
import pickle
import pkgutil
import textwrap

import numpy as np
import pytest

import minidl
import minidl as dl
from minidl._core.attributes import Declared, declared, is_ours


def own_classes():
    """Yield each class of minidl whose objects refuse attributes that are not declared."""
    for found in pkgutil.walk_packages(minidl.__path__, "minidl."):
        # Those need other packages.
        if found.name in ("minidl.sklearn", "minidl.__main__"):
            continue
        for item in vars(importlib.import_module(found.name)).values():
            if inspect.isclass(item) and issubclass(item, Declared) and item.__module__ == found.name:
                yield item


@pytest.mark.parametrize("cls", list(own_classes()), ids=lambda cls: cls.__qualname__)
def test_every_public_attribute_that_a_class_sets_on_itself_is_declared(cls):
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    stored = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    assert {name for name in stored if name[0] != "_"} <= declared(cls)


def test_every_public_class_with_attributes_of_its_own_is_declared():
    # Errors, enumerations, named tuples, texts and frozen dataclasses follow their own rules.
    free = [
        cls.__name__
        for name in dl.__all__
        if inspect.isclass(cls := getattr(dl, name)) and is_ours(cls) and not issubclass(cls, Declared)
    ]
    frozen = [name for name in free if getattr(getattr(dl, name), "__dataclass_params__", None)]
    assert all(getattr(dl, name).__dataclass_params__.frozen for name in frozen)
    others = [getattr(dl, name) for name in free if name not in frozen]
    assert [cls.__name__ for cls in others if not issubclass(cls, tuple | str | dl.MinidlError)] == ["Verdict"]


MODEL = dl.Model(dl.Dense(3, 3, rng=0), dl.SoftmaxCrossEntropy())
TRAINER = dl.Trainer(MODEL, dl.SGD(0.1), rng=0)
FOREIGN = [
    (dl.Dense(3, 3, rng=0), "trainable", False, "Dense: .*freeze"),
    (dl.ReLU(), "training", True, "ReLU: .*train=True"),
    (dl.SGD(0.1), "momentun", 0.9, "SGD: .*did you mean 'momentum'"),
    (TRAINER, "stop", True, r"Trainer: stop is a method; call it: stop\(\.\.\.\)"),
    (TRAINER, "stop_training", True, "Trainer: .*stop()"),
    (MODEL, "loss_fn", dl.SoftmaxCrossEntropy(), "Model: .*loss"),
    (MODEL, "optimizer", dl.SGD(0.1), "Model: .*Trainer"),
    (dl.Parameter([1.0]), "requires_grad", False, "Parameter: .*trainable"),
    (dl.Dataset(np.eye(3), [0, 1, 2]), "labels", [2, 1, 0], "Dataset: .*y"),
    (dl.SoftmaxCrossEntropy(), "reduction", "sum", "SoftmaxCrossEntropy: .*mean"),
    (dl.L2(0.1), "lam", 1.0, "L2: .*strength"),
    (dl.Dropout(0.5), "p", 0.1, "Dropout: .*rate"),
    (TRAINER, "model", MODEL.astype(np.float64), "Trainer: model cannot be replaced; make a new Trainer"),
    (TRAINER, "optimizer", dl.SGD(0.1), "Trainer: optimizer .*learning_rate, or make a new Trainer"),
    (TRAINER, "epochs", 1, "Trainer: epochs .*pass it to fit"),
    (TRAINER, "nonfinite", "skip", "Trainer: nonfinite .*pass it to fit"),
    (TRAINER, "rng", 5, "Trainer: .*constructor"),
    (MODEL, "loss", dl.MulticlassHinge(), r"Model: loss .*Model\(model.network, loss\)"),
    (MODEL, "dtype", np.float64, "Model: dtype .*astype"),
    (dl.Dense(3, 3, rng=0), "weight_init", dl.Normal(0.1), "Dense: .*constructor"),
    (dl.Dropout(0.5), "rng", 5, "Dropout: .*constructor"),
]


@pytest.mark.parametrize(
    ("owner", "name", "value", "words"), FOREIGN, ids=[f"{type(o).__name__}.{n}" for o, n, *_ in FOREIGN]
)
def test_a_foreign_attribute_is_refused_and_changes_nothing(owner, name, value, words):
    before = pickle.dumps(owner)
    for _ in range(2):
        with pytest.raises(dl.InputError, match=f"^{words}"):
            setattr(owner, name, value)
        assert pickle.dumps(owner) == before


def test_declared_attributes_can_be_assigned():
    optimizer, stopping = dl.SGD(0.1), dl.EarlyStopping("loss")
    optimizer.learning_rate, optimizer.steps, stopping.patience = 0.01, 3, 7
    assert (optimizer.learning_rate, optimizer.steps, stopping.patience) == (0.01, 3, 7)
    trainer = dl.Trainer(dl.Model(dl.Dense(3, 3, rng=0), dl.SoftmaxCrossEntropy()), optimizer)
    trainer.callbacks, trainer.model.regularizer = [stopping], dl.L2(0.1)
    assert trainer.callbacks == [stopping]
    layer = dl.Dropout(0.5, rng=0)
    layer.rate, layer._mine = 0.25, "free"
    assert (copy.deepcopy(layer).rate, pickle.loads(pickle.dumps(layer))._mine) == (0.25, "free")


class Mine(dl.ReLU):
    """A user's class may set any attribute."""


class Switched(dl.ReLU):
    def __init__(self, trainable=True):
        super().__init__()
        self.trainable = trainable


def test_a_users_class_may_set_any_attribute():
    layer = Mine()
    layer.anything, layer.weights = 1, 2
    assert layer.anything == 1
    # There it means something.
    assert Switched(False).trainable is False


@pytest.mark.parametrize("name", ["trainable", "training", "requires_grad"])
def test_a_users_layer_refuses_attributes_without_effect(name):
    layer = Mine()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=f"^Mine: {name} has no effect here; "):
            setattr(layer, name, False)
    assert name not in vars(layer)
