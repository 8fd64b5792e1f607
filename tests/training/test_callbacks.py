"""Callback: a class is refused if training would never call one of its methods, or could not."""

import functools
from unittest.mock import Mock

import numpy as np
import pytest
from training_runs import trained

import minidl as dl
from minidl.training.callback import MOMENTS


def define(bases=(dl.Callback,), **methods):
    return type("Mine", bases, methods)


async def asynchronous(self, trainer):
    return None


def generator(self, trainer):
    yield


class Keras:
    def on_epoch_end(self, epoch, logs=None): ...


class Button:
    def on_click(self): ...


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_epoch_ends", "on_epoch_end"),
        ("on_train_start", "on_train_begin"),
        ("on_epoch_start", "on_epoch_begin"),
        ("on_train_batch_end", "on_batch_end"),
        ("on_bach_begin", "on_batch_begin"),
        ("on_interupt", "on_interrupt"),
    ],
)
@pytest.mark.parametrize("kind", [lambda f: f, staticmethod, classmethod, functools.partial, functools.partialmethod])
def test_an_unknown_method_names_the_nearest_moment(name, meant, kind):
    for _ in range(2):
        with pytest.raises(dl.InputError, match=rf"^Mine\.{name}: no moment .* did you mean {meant}\? .* _{name}$"):
            define(**{name: kind(lambda *_: None)})


@pytest.mark.parametrize("base", [dl.EarlyStopping, dl.CSVLogger, dl.Checkpoint, dl.LambdaCallback])
def test_an_unknown_method_is_refused_in_subclasses_too(base):
    with pytest.raises(dl.InputError, match="did you mean on_epoch_end"):
        define((base,), on_epoch_finish=lambda self, trainer: None)


@pytest.mark.parametrize(
    "method",
    [
        lambda self, epoch, logs=None: None,
        lambda self, logs=None: None,
        lambda self: None,
        lambda self, trainer, *, path: None,
        lambda self, **names: None,
        staticmethod(lambda self, trainer: None),
        classmethod(lambda cls: None),
        functools.partialmethod(lambda self, a, trainer: None, 1, 2),
        asynchronous,
        generator,
        "later",
    ],
)
def test_a_moment_that_the_trainer_cannot_call_is_refused(method):
    for moment in MOMENTS:
        words = rf"^Mine: expected {moment} to be a function of \(trainer\), got .*; write def {moment}\(self, tr"
        with pytest.raises(dl.InputError, match=words):
            define(**{moment: method})


def test_the_parameters_of_keras_name_their_attributes_of_the_trainer():
    with pytest.raises(dl.InputError, match=r"got one of \(epoch, logs=None\); .*; trainer.epoch, trainer.batch"):
        define((Keras, dl.Callback))
    with pytest.raises(dl.InputError, match=r"on_epoch_end\(self, trainer\)$"):
        define(on_epoch_end=lambda self, a, b: None)


@pytest.mark.parametrize(
    "method",
    [
        lambda self, t: None,
        lambda self, trainer, path="log": None,
        lambda self, *arguments: None,
        lambda *arguments, **names: None,
        staticmethod(lambda trainer: None),
        classmethod(lambda cls, trainer: None),
        functools.partial(lambda a, trainer: None, 1),
        functools.partialmethod(lambda self, a, trainer: None, 1),
        functools.lru_cache(lambda self, trainer: None),
        property(lambda self: lambda trainer: None),
        Mock(),
        bool,
    ],
)
def test_every_kind_of_callable_is_accepted(method):
    trained(define(**dict.fromkeys(MOMENTS, method))(), epochs=1)


def test_other_names_are_allowed():
    define((Button, dl.Callback), on_gpu=True, on=print, _on_click=print, on_disk=property(lambda self: 1))
    define((define((Button, dl.Callback)),), on_epoch_end=lambda self, trainer: self.on_click())


# ---- LambdaCallback


def test_each_moment_calls_its_function_with_the_trainer():
    called = set()
    functions = {name: lambda trainer, name=name: called.add((name, trainer)) for name in MOMENTS}
    trainer = trained(dl.LambdaCallback(**functions), epochs=1)
    assert called == {(name, trainer) for name in MOMENTS if name != "on_interrupt"}


@pytest.mark.parametrize(("name", "meant"), [("on_epoch_finish", "on_epoch_"), ("epoch_end", "on_epoch_end")])
def test_a_wrong_moment_names_the_nearest(name, meant):
    with pytest.raises(dl.InputError, match=rf"no moment '{name}'; available: .*; did you mean '{meant}"):
        dl.LambdaCallback(**{name: print})


@pytest.mark.parametrize("function", [lambda: None, lambda epoch, logs=None: None, lambda a, b: None, asynchronous, 3])
def test_a_function_that_does_not_take_the_trainer_is_refused(function):
    with pytest.raises(dl.InputError, match=r"^LambdaCallback: expected on_epoch_end to be .*; write on_epoch_end=lam"):
        dl.LambdaCallback(on_epoch_end=function)
    dl.LambdaCallback(on_epoch_end=[].append, on_train_end=lambda *_: None, on_batch_end=dl.Timer().on_batch_end)


def test_a_moment_that_is_set_during_training_is_called():
    calls = []

    class Late(dl.Callback):
        def on_epoch_begin(self, trainer):
            if trainer.epoch == 2:
                self.on_batch_end = lambda trainer: calls.append(trainer.step)

    model = dl.Model(dl.Dense(2, 2, rng=0), dl.SoftmaxCrossEntropy())
    data = dl.Dataset(np.ones((4, 2), np.float32), [0, 1, 0, 1])
    dl.Trainer(model, dl.SGD(0.1), [Late()], rng=0).fit(data, epochs=3, batch_size=2)
    assert calls == [3, 4, 5, 6]
