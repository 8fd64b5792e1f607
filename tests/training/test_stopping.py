"""EarlyStopping: when it stops, what it says, and that the best weights come back on every exit; TerminateOnNaN."""

import math

import numpy as np
import pytest
from screen import terminal
from training_runs import fit, images, sgd_with_momentum

import minidl as dl


class Measures(dl.Callback):
    """Puts chosen values into the logs, and notes the weights of each epoch."""

    def __init__(self, *values):
        self.values, self.weights = values, []

    def on_epoch_end(self, trainer):
        trainer.logs["quality"] = self.values[len(self.weights)]
        self.weights.append({name: array.copy() for name, array in trainer.model.weights().items()})


def run(values, **options):
    measures, stopping = Measures(*values), dl.EarlyStopping("quality", **options)
    trainer, arguments = sgd_with_momentum([measures, stopping])
    fit(trainer, arguments, len(values))
    return trainer, measures, stopping


def assert_weights(trainer, expected):
    for name, array in trainer.model.weights().items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([3, 2, 1, 0], {"patience": 0}, 4, 4),
        ([3, 2, 2, 1], {"patience": 0}, 3, 2),
        ([3, 2, 2, 1], {"patience": 1}, 4, 4),
        ([3, 2, 5, 5, 5, 1], {"patience": 2}, 5, 2),
        ([3, 2, 5, 1, 5, 5, 5], {"patience": 2}, 7, 4),
        ([3, 2.95, 2.9, 2.85], {"patience": 1, "min_delta": 0.07}, 4, 3),
        ([math.nan, 2, math.nan, math.nan], {"patience": 1}, 4, 2),
        ([1, 2, 3, 2, 2], {"patience": 1, "mode": "max"}, 5, 3),
        ([3, 2, math.inf, 1], {"patience": 0}, 3, 2),
    ],
)
def test_when_it_stops_and_what_comes_back(values, options, epochs, best):
    trainer, measures, stopping = run(values, **options)
    assert len(trainer.history) == epochs
    assert stopping.best_epoch == best
    ended_early = epochs < len(values) or (len(values) == epochs and trainer.stopping)
    assert stopping.stopped_epoch == (epochs if ended_early else None)
    assert_weights(trainer, measures.weights[best - 1])


def test_the_last_weights_can_stay():
    trainer, measures, _ = run([1, 2, 3], patience=0, restore_best=False)
    assert_weights(trainer, measures.weights[-1])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_best_weights_come_back_after_an_error_too(error):
    class Ends(dl.Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 8:
                raise error

    measures, stopping = Measures(1, 2, 3), dl.EarlyStopping("quality")
    trainer, arguments = sgd_with_momentum([measures, stopping, Ends()])
    with pytest.raises(error):
        fit(trainer, arguments)
    assert stopping.best_epoch == 1
    assert_weights(trainer, measures.weights[0])


def test_an_accuracy_is_better_when_larger():
    assert dl.EarlyStopping("val_accuracy")._monitor.larger_is_better
    assert not dl.EarlyStopping("val_loss")._monitor.larger_is_better


def test_a_second_fit_counts_anew():
    measures, stopping = Measures(1, 2, 3, 4), dl.EarlyStopping("quality", patience=0)
    trainer, arguments = sgd_with_momentum([measures, stopping])
    fit(trainer, arguments, 4)
    fit(trainer, arguments, 1)
    assert stopping.best_epoch == 3
    assert stopping.stopped_epoch is None


NO_STEP = dl.LambdaCallback(on_batch_begin=lambda trainer: pytest.fail("training has begun"))


@pytest.mark.parametrize("callback", [dl.EarlyStopping, dl.ReduceLROnPlateau])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("val_acuracy", "the nearest names are val_accuracy"),
        ("val_acc", "the nearest names are val_accuracy"),
        ("acc", "the nearest names are accuracy"),
        ("val_los", "the nearest names are val_loss"),
        ("@", "the nearest names are epoch, learning_rate, seconds, cost, loss, accuracy, val_cost"),
    ],
)
def test_a_name_that_is_not_there_is_refused_before_the_first_step(callback, name, hint):
    trainer, arguments = sgd_with_momentum([dl.ProgressBar(0), callback(name), NO_STEP])
    with pytest.raises(dl.InputError, match=rf"{callback.__name__}\(.*: an epoch has no '{name}'; {hint}"):
        fit(trainer, arguments)


@pytest.mark.parametrize("callback", [dl.EarlyStopping, dl.ReduceLROnPlateau])
def test_without_validation_data_it_asks_for_them_before_the_first_step(callback):
    trainer, _ = sgd_with_momentum([callback("val_loss"), NO_STEP])
    with pytest.raises(dl.InputError, match="no 'val_loss'; pass validation data to fit"):
        trainer.fit(images(), epochs=1, batch_size=16)


@pytest.mark.parametrize("name", ["loss", "cost", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"])
def test_every_name_of_the_history_is_known_before_the_first_step(name):
    trainer, arguments = sgd_with_momentum([dl.EarlyStopping(name)])
    assert name in fit(trainer, arguments, 1)


def test_the_names_are_those_of_the_loss():
    model = dl.Model(dl.Dense(3, 2, rng=0), dl.MeanSquaredError())
    trainer = dl.Trainer(model, dl.SGD(0.1), [dl.EarlyStopping("accuracy"), NO_STEP])
    with pytest.raises(dl.InputError, match="no 'accuracy'; the nearest names are"):
        trainer.fit(dl.Dataset(np.zeros((4, 3)), np.zeros((4, 2))), epochs=1, batch_size=2)


@pytest.mark.parametrize(
    "adds",
    [Measures(1, 2, 3), dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.update(quality=trainer.epoch))],
    ids=["class", "lambda"],
)
def test_where_another_callback_may_add_numbers_the_first_epoch_tells(adds):
    trainer, arguments = sgd_with_momentum([adds, dl.EarlyStopping("quality")])
    assert len(fit(trainer, arguments, 1)) == 1
    trainer, arguments = sgd_with_momentum([adds, dl.EarlyStopping("qualty")])
    with pytest.raises(dl.InputError, match="no 'qualty'; the nearest names are quality"):
        fit(trainer, arguments, 2)
    assert len(trainer.history) == 1


# ---- what it says


def test_it_says_which_epoch_came_back(capsys):
    _, _, stopping = run([3, 2.5, 4, 5, 6], patience=1)
    expected = "best quality 2.5 in epoch 2 (its weights are back), stopped after epoch 4"
    assert str(stopping) == expected
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"EarlyStopping: {expected}\n")


def test_it_says_so_too_where_the_epochs_have_run_out(capsys):
    run([3, 0.25, 4], mode="max", patience=5)
    assert capsys.readouterr().err == ""  # the last epoch was the best one
    run([3, 0.25, 2], mode="max", patience=5)
    assert capsys.readouterr().err == "EarlyStopping: best quality 3 in epoch 1 (its weights are back)\n"
    run([1, 2, 3], patience=0, restore_best=False)
    last = "best quality 1 in epoch 1, stopped after epoch 2"
    assert capsys.readouterr().err == f"EarlyStopping: {last}\n"


def test_it_says_why_it_stopped_where_there_was_no_best_epoch(capsys):
    _, _, stopping = run([math.nan, math.inf, math.nan], patience=1)
    assert str(stopping) == "quality was never a finite number, stopped after epoch 2"
    assert f"EarlyStopping: {stopping}\n" in capsys.readouterr().err


def test_it_says_nothing_where_nothing_is_wanted(capsys, monkeypatch):
    run([1, 2, 3], patience=0, verbose=0)
    monkeypatch.setenv("MINIDL_VERBOSE", "0")
    run([1, 2, 3], patience=0)
    assert capsys.readouterr().err == ""
    assert str(dl.EarlyStopping("val_loss", patience=3)) == "EarlyStopping(patience=3)"


def test_what_it_says_does_not_spoil_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for first in (True, False):
        with terminal(100) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
            monkeypatch.setattr("sys.stderr", file)
            bar, measures, stopping = dl.ProgressBar(), Measures(3, 2, 4, 5), dl.EarlyStopping("quality", patience=0)
            callbacks = [bar, measures, stopping] if first else [measures, stopping, bar]
            fit(*sgd_with_momentum(callbacks), 4)
        lines = screen.lines() if first else screen.lines()[::-1]
        assert [line.split()[0] for line in lines] == ["epoch", "EarlyStopping:"]
        assert screen.wraps == 0


@pytest.mark.parametrize("callback", [dl.EarlyStopping, dl.TerminateOnNaN])
def test_a_wrong_verbose(callback, monkeypatch):
    with pytest.raises(dl.InputError, match="verbose: expected 0"):
        callback(verbose=3)
    monkeypatch.setenv("MINIDL_VERBOSE", "loud")
    trainer, arguments = sgd_with_momentum([callback(), NO_STEP])
    with pytest.raises(dl.InputError, match="MINIDL_VERBOSE"):
        fit(trainer, arguments)


@pytest.mark.parametrize("options", [{"patience": -1}, {"min_delta": -1}, {"mode": "up"}, {"monitor": None}], ids=str)
def test_wrong_options(options):
    with pytest.raises(dl.InputError, match=next(iter(options))):
        dl.EarlyStopping(**options)


# ---- TerminateOnNaN


def spoil(step):
    def act(trainer):
        if trainer.step == step:
            trainer.model.network.layers[1].weight.value[0, 0] = math.nan

    return dl.LambdaCallback(on_batch_begin=act)


@pytest.mark.parametrize("nonfinite", ["ignore", "skip"])
def test_training_stops_after_the_epoch_of_the_first_nan(nonfinite, capsys):
    stop = dl.TerminateOnNaN()
    trainer, arguments = sgd_with_momentum([spoil(4), stop])
    history = fit(trainer, arguments, 9, nonfinite=nonfinite)
    assert len(history) == 2
    assert trainer.step == 5
    assert stop.stopped_at == (2, 2)
    told = "epoch 2, batch 2: batch_cost is nan; training ends with this epoch"
    assert str(stop) == told
    assert capsys.readouterr().err == f"TerminateOnNaN: {told}\n"


def test_what_only_measuring_shows_counts_too(capsys):
    stop = dl.TerminateOnNaN(verbose=0)
    late = dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.update(quality=math.inf))
    trainer, arguments = sgd_with_momentum([late, stop])
    assert len(fit(trainer, arguments, 9)) == 1
    assert stop.stopped_at == (1, 0)
    assert str(stop) == "epoch 1: quality is inf; training ends with this epoch"
    assert capsys.readouterr().err == ""


def test_a_healthy_run_goes_on_to_its_end(capsys):
    stop = dl.TerminateOnNaN()
    trainer, arguments = sgd_with_momentum([stop])
    assert len(fit(trainer, arguments, 3)) == 3
    assert stop.stopped_at is None
    assert str(stop) == repr(stop) == "TerminateOnNaN()"
    assert capsys.readouterr().err == ""
