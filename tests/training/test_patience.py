"""EarlyStopping, ReduceLROnPlateau, TerminateOnNaN: when they act, their messages, and the restored weights."""

import math

import numpy as np
import pytest
from plateau_runs import measure, rates_along, trainer_with
from screen import terminal
from training_runs import Death, DieAt, Measures, at, ended_by, fit, trained, usual_run

import minidl as dl

NAN, INF = math.nan, math.inf


def run(values, **options):
    measures, stopping = Measures(*values), dl.EarlyStopping("quality", **options)
    return trained(measures, stopping, epochs=len(values)), measures, stopping


def assert_weights(trainer, expected):
    for name, array in trainer.model.weights().items():
        np.testing.assert_array_equal(array, expected[name])


# ---- EarlyStopping


BACK = "(weights restored)"
NEVER = "quality was never a finite number, stopped after epoch"


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best", "message"),
    [
        ([3, 2, 1, 0], {"patience": 0}, 4, 4, ""),
        ([3, 2, 2, 1], {"patience": 0}, 3, 2, f"best quality 2 in epoch 2 {BACK}, stopped after epoch 3\n"),
        ([3, 2, 2, 1], {"patience": 2}, 4, 4, ""),
        # Keras counts in the same way, but would restore the weights of the 3 in these two.
        ([3, 2.9, 2.8, 2.7, 2.8], {"patience": 4, "min_delta": 1}, 5, 4, "best quality 2.7 in epoch 4"),
        ([3, 3.1, 3.05, 2.95], {"patience": 3, "min_delta": 0.5}, 4, 4, "best quality 2.95 in epoch 4"),
        # The improvement is not larger than 0.5.
        ([3, 2.5], {"patience": 1, "min_delta": 0.5}, 2, 2, f"best quality 2.5 in epoch 2 {BACK}, stop"),
        ([NAN, 2, NAN, NAN], {"patience": 2}, 4, 2, "best quality 2 in epoch 2"),
        ([NAN, NAN, NAN, 1], {"patience": 2}, 3, None, f"{NEVER} 3"),
        ([3, 2, INF, 1], {"patience": 0}, 3, 2, "best quality 2 in epoch 2"),
        ([3, 0.25, 2], {"patience": 5, "mode": "max"}, 3, 1, f"best quality 3 in epoch 1 {BACK}\n"),
        ([1, 2, 3], {"patience": 0, "restore_best": False}, 2, 1, "best quality 1 in epoch 1, stopped after epoch 2\n"),
        ([NAN, INF, NAN], {"patience": 1}, 2, None, f"{NEVER} 2\n"),
        ([1, 2, 3], {"patience": 0, "verbose": 0}, 2, 1, ""),
    ],
)
def test_when_it_stops_which_weights_it_restores_and_its_message(values, options, epochs, best, message, capsys):
    trainer, measures, stopping = run(values, **options)
    assert len(trainer.history) == epochs
    assert stopping.best_epoch == best
    assert stopping.stopped_epoch == (epochs if trainer.stopping else None)
    assert trainer.stopping or epochs == len(values)
    restored = best is not None and options.get("restore_best", True)
    assert_weights(trainer, measures.weights[best - 1 if restored else -1])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"EarlyStopping: {message}") if message else err == ""
    assert not message or err == f"EarlyStopping: {stopping}\n"


def keras_stops(values, patience, min_delta, mode):
    """Return the number of epochs that Keras trains, and the last one with an improvement: its `EarlyStopping`."""
    best, wait, best_epoch = None, 0, 0
    for epoch, value in enumerate(values, 1):
        gain = None if best is None else best - value if mode == "min" else value - best
        wait += 1
        if gain is None or gain > min_delta:
            best, best_epoch, wait = value, epoch, 0
        elif wait >= patience and epoch > 1:
            return epoch, best_epoch
    return len(values), best_epoch


def our_stops(values, patience, min_delta, mode):
    stopping = dl.EarlyStopping("quality", patience=patience, min_delta=min_delta, mode=mode, restore_best=False)
    trainer = trainer_with()
    stopping.on_train_begin(trainer)
    for trainer.epoch, value in enumerate(values, 1):
        measure(trainer, stopping, value, "quality")
        if stopping.stopped_epoch:
            break
    return trainer.epoch, stopping.best_epoch


def test_patience_counts_as_in_keras(rng):
    stopped = 0
    for _ in range(400):
        values = (rng.normal(size=12).cumsum() / 4).round(3).tolist()
        patience, min_delta, mode = int(rng.integers(4)), rng.choice([0.0, 0.1004]), rng.choice(["min", "max"])
        epochs, last_improvement = keras_stops(values, patience, min_delta, mode)
        best = {"min": min, "max": max}[mode](values[:epochs])
        ours = our_stops(values, patience, min_delta, mode)
        assert ours == (epochs, values.index(best) + 1)
        assert min_delta or ours[1] == last_improvement
        stopped += epochs < len(values)
    assert 100 < stopped < 400


@pytest.mark.parametrize(("patience", "epochs"), [(0, 4), (1, 4), (2, 5), (3, 6)])
def test_kerass_own_test_of_patience(patience, epochs):
    """In early_stopping_test.py, whose epochs count from 0."""
    losses = [10, 9, 8, 9, 8.9, 8.8, 8.7, 8.6, 8.5]
    assert keras_stops(losses, patience, 0, "min") == our_stops(losses, patience, 0, "min") == (epochs, 3)


@pytest.mark.parametrize("died", [4, 7, 10, 13])
def test_a_resumed_run_keeps_counts_and_weights(died, tmp_path):
    def a_run(*more, **options):
        stopping = dl.EarlyStopping("quality", patience=3, min_delta=0.5)
        trained(Measures(3, 2.4, 2.3, 2.2, 2.35, 2.3, 2), stopping, *more, epochs=7, **options)
        return stopping

    checkpoint = dl.Checkpoint(tmp_path, every_steps=1)
    with pytest.raises(Death):
        a_run(checkpoint, DieAt(died))
    stopping = a_run(checkpoint, resume_from=tmp_path)
    assert (stopping.best_epoch, stopping.stopped_epoch) == (4, 5)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_best_weights_are_restored_after_an_error_too(error):
    measures, stopping = Measures(1, 2, 3), dl.EarlyStopping("quality")
    trainer = ended_by(error, measures, stopping, DieAt(8, error=error))
    assert stopping.best_epoch == 1
    assert_weights(trainer, measures.weights[0])


@pytest.mark.parametrize("reason", ["an epoch has no 'quality'", "MINIDL_VERBOSE"])
def test_a_refused_fit_does_not_restore_weights_of_the_previous_run(monkeypatch, reason):
    _, measures, stopping = run([1, 2, 3], patience=0)
    callbacks = [stopping]
    if reason == "MINIDL_VERBOSE":
        monkeypatch.setenv(reason, "loud")
        callbacks.insert(0, measures)
    assert_weights(ended_by(dl.InputError, *callbacks, match=reason), usual_run()[0].model.weights())


def test_the_environment_can_silence_it(capsys, monkeypatch):
    monkeypatch.setenv("MINIDL_VERBOSE", "0")
    run([1, 2, 3], patience=0)
    assert capsys.readouterr().err == ""
    assert str(dl.EarlyStopping("val_loss", patience=3)) == "EarlyStopping(patience=3)"


@pytest.mark.parametrize("first", [True, False])
def test_its_message_does_not_damage_a_bar(monkeypatch, first):
    monkeypatch.setenv("TERM", "xterm")
    with terminal(100) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        monkeypatch.setattr("sys.stderr", file)
        bar, measures, stopping = dl.ProgressBar(), Measures(3, 2, 4, 5), dl.EarlyStopping("quality", patience=0)
        callbacks = [bar, measures, stopping] if first else [measures, stopping, bar]
        fit(*usual_run(callbacks), 4)
    assert [line.split()[0] for line in screen.lines()] == ["EarlyStopping:", "epoch"]
    assert screen.wraps == 0


# ---- ReduceLROnPlateau


@pytest.mark.parametrize(
    ("column", "options", "rates"),
    [
        ([1.0, 0.9, 0.9, 0.95, 0.91, 0.8, 0.8, 0.8], {"patience": 2}, [0.1] * 4 + [0.05] * 4),
        ([1.0, 0.9995, 0.999, 0.9985], {"patience": 1, "min_delta": 1e-2}, [0.1, 0.1, 0.05, 0.05]),
        ([NAN, NAN, 1.0, 1.0], {"patience": 0}, [0.05, 0.025, 0.025, 0.0125]),
        ([1.0] * 6, {"patience": 0, "cooldown": 2}, [0.1, 0.05, 0.05, 0.05, 0.025, 0.025]),
        ([1.0] * 4, {"patience": 0, "minimum": 0.03}, [0.1, 0.05, 0.03, 0.03]),
        ([1.0, 2.0, 1.5], {"patience": 0, "mode": "max"}, [0.1, 0.1, 0.05]),
    ],
)
def test_when_the_rate_falls(column, options, rates):
    assert rates_along(column, monitor="quality", factor=0.5, **options) == rates


def test_an_endless_plateau_leaves_a_rate_above_zero():
    assert min(rates_along([1.0] * 400, patience=0)) > 0


def test_a_second_fit_continues_the_first():
    options = {"factor": 0.5, "patience": 3, "cooldown": 2}
    column = [1.0] * 4 + [0.9] + [1.0] * 12
    whole = rates_along(column, **options)
    for cut in range(len(column)):
        trainer = trainer_with()
        got = []
        for part in (column[:cut], column[cut:]):
            plateau = dl.ReduceLROnPlateau(**options)
            plateau.on_train_begin(trainer)
            got += [measure(trainer, plateau, value) for value in part]
        assert got == whole
    assert len(set(whole)) == 3


def test_a_schedule_and_a_plateau_cannot_be_combined():
    with pytest.raises(dl.InputError, match=r"a number as learning rate, got ConstantRate\(0.1\); use only one"):
        dl.ReduceLROnPlateau().on_train_begin(trainer_with(dl.ConstantRate(0.1)))


# ---- monitor and other options

NO_STEP = dl.LambdaCallback(on_batch_begin=lambda trainer: pytest.fail("training has begun"))
FOLLOWING = [dl.EarlyStopping, dl.ReduceLROnPlateau]


@pytest.mark.parametrize("name", ["loss", "cost", "accuracy", "val_loss", "val_accuracy"])
def test_every_name_of_the_history_is_known_before_the_first_step(name):
    assert name in trained(dl.EarlyStopping(name), epochs=1).history


MONITORING = [*FOLLOWING, lambda name, **options: dl.Checkpoint("checkpoints", monitor=name, **options)]


@pytest.mark.parametrize("make", MONITORING)
@pytest.mark.parametrize("name", ["epoch", "learning_rate", "seconds"])
def test_a_column_that_does_not_measure_quality_is_refused(make, name):
    with pytest.raises(dl.InputError, match=f"monitor: '{name}' does not measure quality"):
        make(name)


@pytest.mark.parametrize("make", MONITORING)
@pytest.mark.parametrize(
    ("name", "mode"),
    [("val_loss", "max"), ("cost", "max"), ("val_mean_error", "max"), ("val_accuracy", "min"), ("val_f1", "min")],
)
def test_a_mode_that_picks_the_worst_value_warns(make, name, mode):
    with pytest.warns(UserWarning, match=f"mode='{mode}' picks the worst '{name}'; leave mode out") as met:
        make(name, mode=mode)
    assert [w.filename for w in met] == [__file__]
    for right in ("auto", {"min": "max", "max": "min"}[mode]):
        make(name, mode=right)
    make("quality", mode=mode)


def test_the_mode_may_be_changed_later():
    stopping = dl.EarlyStopping("val_loss", patience=1, verbose=0)
    stopping.monitor, stopping.mode = "val_accuracy", "max"
    history = trained(stopping).history
    assert stopping.best_epoch == 1 + int(np.argmax(history["val_accuracy"]))


def test_the_names_are_those_of_the_loss():
    model = dl.Model(dl.Dense(3, 2, rng=0), dl.MeanSquaredError())
    trainer = dl.Trainer(model, dl.SGD(0.1), [dl.EarlyStopping("accuracy"), NO_STEP])
    with pytest.raises(dl.InputError, match="no 'accuracy'; the nearest names are"):
        trainer.fit(dl.Dataset(np.zeros((4, 3)), np.zeros((4, 2))), epochs=1, batch_size=2)


@pytest.mark.parametrize("callback", FOLLOWING)
@pytest.mark.parametrize(
    "adds", [Measures(1), dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.update(quality=1))]
)
def test_if_another_callback_may_add_numbers_the_check_follows_the_first_epoch(callback, adds):
    trainer = ended_by(dl.InputError, adds, callback("qualty"), match="no 'qualty'; the nearest names are quality")
    assert len(trainer.history) == 1


@pytest.mark.parametrize("callback", [dl.EarlyStopping, dl.TerminateOnNaN, dl.ProgressBar])
def test_a_wrong_verbose(callback, monkeypatch):
    with pytest.raises(dl.InputError, match="verbose: expected 0"):
        callback(verbose=3)
    monkeypatch.setenv("MINIDL_VERBOSE", "loud")
    ended_by(dl.InputError, callback(), NO_STEP, match="MINIDL_VERBOSE")


@pytest.mark.parametrize(
    ("callback", "options"),
    [
        *((cls, {name: -1}) for cls in FOLLOWING for name in ("monitor", "mode", "patience", "min_delta")),
        *((dl.ReduceLROnPlateau, {name: wrong}) for name, wrong in [("minimum", -1), ("cooldown", 0.5)]),
        *((dl.ReduceLROnPlateau, {"factor": wrong}) for wrong in (0, 1)),
    ],
    ids=str,
)
def test_wrong_options(callback, options):
    with pytest.raises(dl.InputError, match=f"{next(iter(options))}: expected"):
        callback(**options)


# ---- TerminateOnNaN


@pytest.mark.parametrize("nonfinite", ["ignore", "skip"])
def test_training_stops_after_the_epoch_of_the_first_nan(nonfinite, capsys):
    spoils = at("on_batch_begin", 4, lambda trainer: np.put(trainer.model.network.layers[1].weight.value, 0, NAN))
    trainer = trained(spoils, stop := dl.TerminateOnNaN(), epochs=9, nonfinite=nonfinite)
    assert (len(trainer.history), trainer.step) == (2, 5)
    assert stop.stopped_at == (2, 2)
    message = "epoch 2, batch 2: batch_cost is nan; training ends with this epoch"
    assert str(stop) == message
    assert capsys.readouterr().err == f"TerminateOnNaN: {message}\n"


def test_nan_in_measuring_alone_stops_training(capsys):
    stop = dl.TerminateOnNaN(verbose=0)
    late = dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.update(quality=INF))
    assert len(trained(late, stop).history) == 1
    assert stop.stopped_at == (1, 0)
    assert str(stop) == "epoch 1: quality is inf; training ends with this epoch"
    trained(stop)
    assert stop.stopped_at is None
    assert str(stop) == "TerminateOnNaN()"
    assert capsys.readouterr().err == ""
