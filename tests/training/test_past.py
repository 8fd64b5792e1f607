"""Trained weights that a program may take for new ones: which uses warn, which print a line, which do neither."""

import copy
import pickle

import numpy as np
import pytest

import minidl as dl

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)).astype(np.float32)
DATA = dl.Dataset(X, X[:, :3].argmax(axis=1))
PARTS = [slice(0, 40), slice(40, 80), slice(80, 120)]
ROWS = np.arange(120)


def network():
    return dl.Sequential(dl.Dense(5, 4, rng=0), dl.ReLU(), dl.Dense(4, 3, rng=1))


def model(strength=0.0, net=None):
    return dl.Model(net or network(), dl.SoftmaxCrossEntropy(), dl.L2(strength))


def train(made, optimizer=None, data=DATA, validation=None, epochs=2):
    trainer = dl.Trainer(made, optimizer or dl.SGD(0.1), rng=0)
    trainer.fit(data, validation, epochs=epochs, batch_size=20)
    return trainer


def folds(data=DATA):
    for part in PARTS:
        yield data[np.setdiff1d(ROWS, ROWS[part])], data[part]


def regularizer_assigned():
    made = model()
    for strength in (0.0, 0.1):
        made.regularizer = dl.L2(strength)
        train(made)


def strength_assigned():
    made = model()
    for strength in (0.0, 0.1):
        made.regularizer.strength = strength
        train(made)


def network_outside(wrap=lambda net: net):
    net = network()
    for strength in (0.0, 0.1):
        train(model(strength, wrap(net)))


def optimizers():
    made = model()
    for optimizer in (dl.SGD(0.1), dl.SGD(0.1, momentum=0.9)):
        train(made, optimizer)


def folds_of_one_model(validated):
    made = model()
    for data, held_out in folds():
        train(made, None, data, held_out if validated else None)


def folds_of_one_trainer():
    trainer = dl.Trainer(model(), dl.SGD(0.1), rng=0)
    for data, held_out in folds():
        trainer.fit(data, held_out, epochs=1, batch_size=20)


def bootstraps():
    made = model()
    for seed in range(2):
        train(made, None, DATA[np.random.default_rng(seed).integers(120, size=120)])


def large_folds():
    x = np.random.default_rng(0).normal(size=(3000, 2, 9)).astype(np.float32)
    made = dl.Model(dl.Sequential(dl.Flatten(), dl.Dense(18, 3, rng=0)), dl.SoftmaxCrossEntropy())
    data = dl.Dataset(x, np.arange(3000) % 3)
    for start in (0, 600):
        held_out = np.arange(start, start + 600)
        train(made, None, data[np.setdiff1d(np.arange(3000), held_out)], data[held_out], epochs=1)


def a_second_model_of_a(copied):
    train(model(0.1, copied(train(model()).model).network))


@pytest.mark.parametrize(
    ("program", "words", "times"),
    [
        (regularizer_assigned, r"with the regularizer L2\(0\)", 1),
        (strength_assigned, r"with the regularizer L2\(0\)", 1),
        (network_outside, "by another Model", 1),
        (lambda: network_outside(lambda net: dl.Sequential(*net.layers)), "by another Model", 1),
        (lambda: a_second_model_of_a(copy.copy), "by another Model", 1),
        (lambda: a_second_model_of_a(copy.deepcopy), "by another Model", 1),
        (lambda: a_second_model_of_a(lambda made: pickle.loads(pickle.dumps(made))), "by another Model", 1),
        (lambda: a_second_model_of_a(lambda made: made.astype(np.float64)), "by another Model", 1),
        (optimizers, "by another optimizer", 1),
        (lambda: folds_of_one_model(True), "rows that are now validation rows", 2),
        (folds_of_one_trainer, "rows that are now validation rows", 2),
        (large_folds, "rows that are now validation rows", 1),
        (lambda: folds_of_one_model(False), "some are now left out, as in cross-validation", 2),
        (bootstraps, "some are now left out", 1),
    ],
)
def test_a_loop_that_continues_from_trained_weights_warns(program, words, times):
    with pytest.warns(UserWarning, match=words) as met:
        program()
    assert [w.filename for w in met] == [__file__] * times
    assert all("set_weights(start)" in str(w.message) for w in met)


def put_back_by_hand():
    made = model()
    start = {path: parameter.value.copy() for path, parameter in made.parameters.items()}
    for strength in (0.0, 0.1):
        for path, parameter in made.parameters.items():
            parameter.value[...] = start[path]
        made.regularizer = dl.L2(strength)
        train(made)


def put_back():
    made = model()
    start = made.weights()
    losses = []
    for data, held_out in folds():
        made.set_weights(start)
        losses.append(train(made, None, data, held_out).history["val_loss"])
    assert losses == [train(model(), None, *fold).history["val_loss"] for fold in folds()]


def said_to_be_meant():
    made = train(model()).model
    made.set_weights(made.weights())
    train(model(0.1, made.network), dl.Adam(0.01))


def a_new_head():
    body = train(model()).model.network.layers[:-1]
    made = model(0.1, dl.Sequential(*body, dl.Dense(4, 3, rng=5)))
    made.network.layers[0].freeze()
    train(made)


def on_a_file(tmp_path):
    train(model()).model.save_weights(tmp_path / "w.safetensors")
    made = model(0.1)
    made.load_weights(tmp_path / "w.safetensors")
    train(made, dl.Adam(0.01))


def copies_of_an_untrained_one():
    template = model()
    for strength in (0.0, 0.1):
        made = copy.deepcopy(template)
        made.regularizer = dl.L2(strength)
        train(made)


def one_trainer_goes_on():
    trainer = train(model(), None, DATA[:80], DATA[80:])
    trainer.fit(DATA[:80], DATA[80:], epochs=1, batch_size=20)
    trainer.optimizer.learning_rate = 0.01
    # More rows, fewer rows, and other rows.
    for data in (DATA, DATA[:60], DATA[60:]):
        trainer.fit(data, epochs=1, batch_size=20)


def rows_that_are_all_alike():
    x = np.random.default_rng(1).integers(0, 2, size=(120, 5)).astype(np.float32)
    data = dl.Dataset(x, x[:, :3].argmax(axis=1))
    trainer = train(model(), None, data[:40])
    trainer.fit(data[40:80], data[80:], epochs=1, batch_size=20)


def nothing_was_trained():
    net = network()
    train(model(0.0, net), epochs=0)
    train(model(0.1, net))


@pytest.mark.parametrize(
    "program",
    [
        put_back_by_hand,
        put_back,
        said_to_be_meant,
        a_new_head,
        on_a_file,
        copies_of_an_untrained_one,
        one_trainer_goes_on,
        rows_that_are_all_alike,
        nothing_was_trained,
    ],
)
def test_intended_continuation_does_not_warn(program, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINIDL_VERBOSE", "1")
    program(*[tmp_path] * (program is on_a_file))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("verbose", "said"),
    [("0", ""), ("1", "Trainer.fit: training continues from weights that were trained for 5 epochs before\n")],
)
def test_a_new_trainer_of_a_trained_model_prints_a_line(verbose, said, capsys, monkeypatch):
    monkeypatch.setenv("MINIDL_VERBOSE", verbose)
    made = train(model()).model
    train(made, dl.SGD(0.01), DATA[:80], DATA[80:], epochs=0)
    assert capsys.readouterr().err == ""
    train(made, dl.SGD(0.01), epochs=3)
    capsys.readouterr()
    train(made, dl.SGD(0.001))
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("value", [0.1, dl.L2, "l2"])
def test_an_invalid_regularizer_is_refused_before_the_first_step(value):
    made = model()
    made.regularizer = value
    for _ in range(2):
        with pytest.raises(dl.InputError, match="expected regularizer to be"):
            train(made)
