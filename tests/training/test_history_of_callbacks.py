"""Numbers that callbacks add to the logs in on_epoch_end: they become columns of the history, and are saved."""

import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
from training_runs import Measures, ended_by, everything, fit, trained, usual_run

import minidl as dl
from minidl.training.callback import MOMENTS


class F1(dl.Callback):
    """Measures in every second epoch, from the first on."""

    def on_epoch_end(self, trainer):
        if trainer.epoch % 2 == 1:
            trainer.logs["val_f1"] = np.float32(1 / trainer.epoch)


def adding(moment="on_epoch_end", **numbers):
    return dl.LambdaCallback(**{moment: lambda trainer: trainer.logs.update(numbers)})


def both_files(folder):
    """The histories in the files of two loggers."""
    return dl.History.from_csv(folder / "log.csv"), dl.History.from_jsonl(folder / "log.jsonl")


# ---- where a number appears


def test_a_number_becomes_a_column_with_nan_for_epochs_without_it():
    history = trained(F1(), epochs=4).history
    assert str(history["val_f1"]) == str([1.0, math.nan, float(np.float32(1 / 3)), math.nan])
    assert "val_f1" not in history.rows[1]
    assert type(history.rows[0]["val_f1"]) is float
    assert history.columns[-1] == "val_f1"


@pytest.mark.parametrize("value", [1, 0.5, math.nan, -math.inf, np.float32(0.1), np.int64(3), 10**30])
def test_any_number_is_restored_from_any_file(tmp_path, value):
    loggers = dl.CSVLogger(tmp_path / "log.csv"), dl.JSONLLogger(tmp_path / "log.jsonl")
    history = trained(*loggers, adding(own=value), dl.Checkpoint(tmp_path), epochs=2).history
    assert both_files(tmp_path) == (history, history)
    assert str(history["own"]) == str([int(value) if isinstance(value, int | np.integer) else float(value)] * 2)
    assert trained(adding(own=value), epochs=2, resume_from=tmp_path).history == history


@pytest.mark.parametrize("first", [True, False])
def test_later_callbacks_and_observers_get_the_number(tmp_path, first):
    scalars, values = [], []
    writer = SimpleNamespace(add_scalar=lambda tag, value, step: scalars.append((tag, value, step)))
    own = [F1(), dl.LambdaCallback(on_epoch_end=lambda trainer: values.append(trainer.logs.get("val_f1")))]
    with open(tmp_path / "bar", "w") as file:
        others = [
            *(dl.CSVLogger(tmp_path / "log.csv"), dl.JSONLLogger(tmp_path / "log.jsonl"), dl.TensorBoard(writer)),
            dl.LiveCurves(tmp_path / "live.html", quantities=["f1", "loss"]),
            dl.ProgressBar(verbose=2, file=file),
        ]
        history = trained(*([*own, *others] if first else [*others, *own]), epochs=4).history
    assert values == [1.0, None, history["val_f1"][2], None]
    assert both_files(tmp_path) == (history, history)
    assert [(value, step) for tag, value, step in scalars if tag == "f1/validation"] == [(1.0, 1), (values[2], 3)]
    assert '="f1 over 4 epochs' in (tmp_path / "live.html").read_text("utf-8")
    lines = (tmp_path / "bar").read_text().splitlines()
    assert [("f1 val " in line) for line in lines] == [True, False, True, False]


def test_other_callbacks_can_monitor_it(tmp_path):
    quality, stopping = Measures(1, 5, 2, 3), dl.EarlyStopping("quality", mode="max", verbose=0)
    checkpoint = dl.Checkpoint(tmp_path, monitor="quality", mode="max")
    plateau = dl.ReduceLROnPlateau("quality", mode="max", factor=0.5, patience=0)
    trainer, twin = trained(checkpoint, quality, stopping, plateau, epochs=4), usual_run()[0]
    assert stopping.best_epoch == 2
    assert trainer.history["learning_rate"] == [0.05, 0.05, 0.05, 0.025]
    twin.model.load_weights(tmp_path / "best.safetensors")
    for model in (trainer.model, twin.model):
        assert all((model.weights()[name] == best).all() for name, best in quality.weights[1].items())
    dl.plotting.plot_curves(trainer.history, "quality")


@pytest.mark.parametrize("follow", [dl.EarlyStopping, dl.ReduceLROnPlateau])
def test_epochs_without_the_number_are_ignored(follow):
    class Odd(Measures):
        def on_epoch_end(self, trainer):
            if trainer.epoch % 2:
                super().on_epoch_end(trainer)

    trainer = trained(Odd(1, 0, 2, 0, 3, 0, 4, 0, 5), callback := follow("quality", patience=1), epochs=9)
    # The value of epoch 3 is the first that is not better, that of epoch 5 the second; the others have none.
    rates = trainer.history["learning_rate"]
    assert callback.stopped_epoch == 3 if follow is dl.EarlyStopping else rates[4] > rates[5]
    # A column of an earlier fit does not count.
    for others in ([], [adding(other=1)]):
        trainer.callbacks = [*others, follow("quality")]
        with pytest.raises(dl.InputError, match="an epoch has no 'quality'"):
            fit(trainer, {}, 1)


# ---- resuming


def test_a_checkpoint_that_a_callback_saves_has_its_numbers(tmp_path):
    class Saves(F1):
        def on_epoch_end(self, trainer):
            super().on_epoch_end(trainer)
            trainer.save_checkpoint(tmp_path / "one.safetensors")

    history = trained(Saves(), epochs=1).history
    assert "val_f1" in history
    assert trained(Saves(), epochs=1, resume_from=tmp_path / "one.safetensors").history == history


# ---- errors


LAST = adding(late=1)
LAST.runs_last = True
STAYS = "in the logs to stay as it is; choose another name"
CHANGES = {
    "text": (adding(own="0.5"), "LambdaCallback.on_epoch_end: expected a number for 'own', got '0.5'"),
    "array": (adding(own=np.ones(2)), "expected a number for 'own', got array"),
    "bool": (adding(own=True), "expected a number for 'own', got True"),
    "line break": (adding(**{"a\nb": 1}), "expected a column name of printable text"),
    "loss": (adding(loss=0.0), f"expected 'loss' {STAYS}"),
    "same key": (Measures(*range(9), name="seconds"), rf"^Measures.on_epoch_end: expected 'seconds' {STAYS}"),
    "removed": (dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.pop("cost")), f"'cost' {STAYS}"),
    "cleared": (dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.clear()), f"'epoch' {STAYS}"),
    "last": (LAST, r"^LambdaCallback.on_epoch_end: 'late' in the logs is too late .*; set runs_last = False"),
    **{
        moment: (adding(moment, own=1.0), rf"LambdaCallback.{moment}: 'own' in the logs would be lost; .* on_epoch_end")
        for moment in ("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end")
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_changes_are_refused_and_the_row_is_unchanged(name, tmp_path):
    callback, words = CHANGES[name]
    trainer = ended_by(dl.InputError, callback, dl.CSVLogger(tmp_path / "log.csv"), match=words)
    if name in MOMENTS:
        assert not trainer.history.rows
    else:
        assert everything(trainer)["history"] == everything(trained(epochs=1))["history"]
        assert trainer.logs == trainer.history.rows[-1]
    assert os.listdir(tmp_path) == []


def test_numbers_that_are_added_after_training_are_in_no_row():
    trainer = trained(adding("on_train_end", test=1.0))
    assert "test" not in trainer.history
    assert trainer.logs["test"] == 1.0


@pytest.mark.parametrize("follow", [dl.EarlyStopping, dl.ReduceLROnPlateau])
def test_a_callback_that_monitors_it_must_come_later(follow):
    words = r"no 'quality'; .*; if Measures adds it, put Measures before this"
    assert ended_by(dl.InputError, follow("quality"), Measures(*range(9)), match=words).step == 0


def test_a_callback_that_wraps_another_can_add_its_monitor():
    class Around(dl.Callback):
        inner = dl.EarlyStopping("own", verbose=0)

        def on_train_begin(self, trainer):
            self.inner.on_train_begin(trainer)

        def on_epoch_end(self, trainer):
            trainer.logs["own"] = float(trainer.epoch)
            self.inner.on_epoch_end(trainer)

    trained(Around())
    assert Around.inner.best_epoch == 1
