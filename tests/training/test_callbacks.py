"""Callback: what is refused where a class is defined, since training would never call it, or could not."""

import functools
from unittest.mock import Mock

import numpy as np
import pytest

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
def test_a_method_that_is_no_moment_is_answered_with_the_nearest(name, meant, kind):
    for _ in range(2):
        with pytest.raises(dl.InputError, match=rf"^Mine\.{name}: no moment .* did you mean {meant}, or .* _{name}$"):
            define(**{name: kind(lambda *_: None)})


@pytest.mark.parametrize("base", [dl.EarlyStopping, dl.CSVLogger, dl.Checkpoint, dl.LambdaCallback])
def test_so_it_is_below_any_callback(base):
    with pytest.raises(dl.InputError, match="did you mean on_epoch_end"):
        define((base,), on_epoch_finish=lambda self, trainer: None)


@pytest.mark.parametrize(
    "method",
    [
        lambda self, epoch, logs=None: None,
        lambda self, batch, logs=None: None,
        lambda self, logs=None: None,
        lambda self: None,
        lambda self, trainer, module: None,
        lambda self, trainer, *, path: None,
        lambda self, **names: None,
        staticmethod(lambda self, trainer: None),
        classmethod(lambda cls: None),
        functools.partialmethod(lambda self, a, trainer: None, 1, 2),
        asynchronous,
        generator,
        None,
        "later",
    ],
)
def test_a_moment_that_the_trainer_cannot_call_is_refused(method):
    for moment in MOMENTS:
        words = rf"^Mine: expected {moment} to be a function of \(trainer\), got .*; write def {moment}\(self, tr"
        with pytest.raises(dl.InputError, match=words):
            define(**{moment: method})


def test_what_keras_passes_is_said_where_it_is():
    with pytest.raises(
        dl.InputError, match=r"got one of \(epoch, logs=None\); .*; trainer.epoch, trainer.batch and tr"
    ):
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
def test_what_can_be_called_is_taken_and_called(method):
    data = dl.Dataset(np.eye(3), [0, 1, 2])
    callback = define(**dict.fromkeys(MOMENTS, method))()
    model = dl.Model(dl.Dense(3, 3, rng=0), dl.SoftmaxCrossEntropy())
    dl.Trainer(model, dl.SGD(0.1), [callback], rng=0).fit(data, epochs=1, batch_size=3)


def test_other_names_are_left_alone():
    define((Button, dl.Callback), on_gpu=True, on=print, _on_click=print, on_disk=property(lambda self: 1))
    define((define((Button, dl.Callback)),), on_epoch_end=lambda self, trainer: self.on_click())


@pytest.mark.parametrize("function", [lambda: None, lambda epoch, logs=None: None, lambda a, b: None, asynchronous])
def test_a_lambda_callback_asks_the_same(function):
    words = (
        r"LambdaCallback: expected on_epoch_end to be a function of \(trainer\), got .*; write on_epoch_end=lambda tra"
    )
    with pytest.raises(dl.InputError, match=words):
        dl.LambdaCallback(on_epoch_end=function)
    dl.LambdaCallback(on_epoch_end=[].append, on_train_end=lambda *_: None, on_batch_end=dl.Timer().on_batch_end)
