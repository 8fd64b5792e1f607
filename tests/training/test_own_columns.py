"""What callbacks put into the logs in on_epoch_end: columns of the history, seen by all, kept and resumed."""

import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from training_runs import Death, DieAt, Measures, everything, fit, seeded, sgd_with_momentum

import minidl as dl
from minidl.training.callback import MOMENTS

DATA = dl.Dataset(np.eye(3, dtype=np.float32), [0, 1, 2])


class F1(dl.Callback):
    """Measures every second epoch from the first on, and nothing in the others."""

    def on_epoch_end(self, trainer):
        if trainer.epoch % 2 == 1:
            trainer.logs["val_f1"] = np.float32(1 / trainer.epoch)


def make(*callbacks):
    return dl.Trainer(dl.Model(dl.Dense(3, 3, rng=0), dl.SoftmaxCrossEntropy()), dl.SGD(0.1), callbacks, rng=0)


def run(*callbacks, epochs=4, **options):
    trainer = make(*callbacks)
    trainer.fit(DATA, DATA, epochs=epochs, batch_size=3, **options)
    return trainer


def adding(moment="on_epoch_end", **numbers):
    return dl.LambdaCallback(**{moment: lambda trainer: trainer.logs.update(numbers)})


# ---- what becomes of a number


def test_a_number_is_a_column_with_nan_where_an_epoch_has_none():
    history = run(F1()).history
    assert str(history["val_f1"]) == str([1.0, math.nan, float(np.float32(1 / 3)), math.nan])
    assert "val_f1" not in history.rows[1]
    assert type(history.rows[0]["val_f1"]) is float
    assert history.columns[-1] == "val_f1"


@pytest.mark.parametrize("value", [1, 0.5, math.nan, -math.inf, np.float32(0.1), np.int64(3), 10**30])
def test_any_number_goes_through_any_file(tmp_path, value):
    loggers = dl.CSVLogger(tmp_path / "log.csv"), dl.JSONLLogger(tmp_path / "log.jsonl")
    history = run(*loggers, adding(own=value), epochs=2).history
    assert dl.History.from_csv(tmp_path / "log.csv") == dl.History.from_jsonl(tmp_path / "log.jsonl") == history
    assert str(history["own"]) == str([int(value) if isinstance(value, int | np.integer) else float(value)] * 2)


@pytest.mark.parametrize("first", [True, False])
def test_all_see_it_whatever_their_place(tmp_path, first):
    scalars, seen = [], []
    writer = SimpleNamespace(add_scalar=lambda tag, value, step: scalars.append((tag, value, step)))
    look = dl.LambdaCallback(on_epoch_end=lambda trainer: seen.append(trainer.logs.get("val_f1")))
    own, others = (
        F1(),
        [
            dl.CSVLogger(tmp_path / "log.csv"),
            dl.TensorBoard(writer),
            dl.LiveCurves(tmp_path / "live.html", quantities=["f1", "loss"]),
            dl.ProgressBar(verbose=2, file=open(tmp_path / "bar", "w")),  # noqa: SIM115
            dl.Checkpoint(tmp_path / "saves", monitor="loss"),
        ],
    )
    trainer = run(*([own, look, *others] if first else [*others, own, look]))
    others[3].file.close()
    assert seen == [1.0, None, trainer.history["val_f1"][2], None]
    assert dl.History.from_csv(tmp_path / "log.csv") == trainer.history
    assert [(value, step) for tag, value, step in scalars if tag == "f1/validation"] == [(1.0, 1), (seen[2], 3)]
    assert 'alt="f1 over 4 epochs' in (tmp_path / "live.html").read_text("utf-8")
    lines = (tmp_path / "bar").read_text().splitlines()
    assert [("val_f1 " in line) for line in lines] == [True, False, True, False]
    resumed = make()
    resumed.callbacks = [F1()]
    resumed.fit(DATA, DATA, epochs=4, batch_size=3, resume_from=tmp_path / "saves")
    assert resumed.history == trainer.history


def test_others_follow_it(tmp_path):
    quality = Measures(1, 5, 2, 3)
    stopping = dl.EarlyStopping("quality", mode="max", verbose=0)
    checkpoint = dl.Checkpoint(tmp_path, monitor="quality", mode="max")
    plateau = dl.ReduceLROnPlateau("quality", mode="max", factor=0.5, patience=0)
    trainer, arguments = sgd_with_momentum([checkpoint, quality, stopping, plateau])
    history = fit(trainer, arguments, 4)
    assert stopping.best_epoch == 2
    assert history["learning_rate"] == [0.05, 0.05, 0.05, 0.025]
    for name, best in quality.weights[1].items():
        assert (trainer.model.weights()[name] == best).all()
    twin, _ = sgd_with_momentum()
    twin.model.load_weights(tmp_path / "best.safetensors")
    assert all((twin.model.weights()[name] == best).all() for name, best in quality.weights[1].items())
    dl.plotting.plot_curves(history, "quality")


@pytest.mark.parametrize("follow", [dl.EarlyStopping, dl.ReduceLROnPlateau])
def test_epochs_without_the_number_are_not_judged(follow):
    class Odd(Measures):
        def on_epoch_end(self, trainer):
            if trainer.epoch % 2:
                super().on_epoch_end(trainer)

    callback = follow("quality", patience=1, **({"verbose": 0} if follow is dl.EarlyStopping else {}))
    trainer = make(Odd(1, 0, 2, 0, 3, 0, 4, 0, 5), callback)
    history = trainer.fit(DATA, epochs=9, batch_size=3)
    # The second value, of epoch 3, is the first one that is no better; the third, of epoch 5, the second in a row.
    assert (
        len(history) == 3 if follow is dl.EarlyStopping else history["learning_rate"][4] > history["learning_rate"][5]
    )
    # A column that only an earlier fit had is none of this one.
    trainer.callbacks = [follow("quality")]
    with pytest.raises(dl.InputError, match="an epoch has no 'quality'"):
        trainer.fit(DATA, epochs=1, batch_size=3)
    trainer.callbacks = [adding(other=1), follow("quality")]
    with pytest.raises(dl.InputError, match="an epoch has no 'quality'"):
        trainer.fit(DATA, epochs=1, batch_size=3)


# ---- resuming


def test_a_number_is_in_a_checkpoint_that_its_own_callback_saves(tmp_path):
    class Saves(F1):
        def on_epoch_end(self, trainer):
            super().on_epoch_end(trainer)
            trainer.save_checkpoint(tmp_path / "one.safetensors")

    trainer = run(Saves(), epochs=2)
    again = make(Saves())
    again.fit(DATA, DATA, epochs=2, batch_size=3, resume_from=tmp_path / "one.safetensors")
    assert again.history == trainer.history
    assert "val_f1" in again.history


@pytest.mark.parametrize("moment", ["step", "epoch"])
def test_a_run_that_died_anywhere_has_the_same_columns(tmp_path, moment):
    whole, arguments = seeded(sgd_with_momentum, [F1(), dl.EarlyStopping("val_loss", verbose=0)])
    fit(whole, arguments, 4)
    for step in range(1, 3 * 4):
        saves, log = tmp_path / str(step), tmp_path / f"{step}.csv"
        trainer, arguments = seeded(sgd_with_momentum, [])
        callbacks = [
            dl.CSVLogger(log),
            dl.Checkpoint(saves, every_steps=1),
            F1(),
            dl.EarlyStopping("val_loss", verbose=0),
        ]
        trainer.callbacks = [*callbacks, DieAt(step, moment=moment)]
        if moment == "epoch" and step % 3:
            continue
        with pytest.raises(Death):
            fit(trainer, arguments, 4)
        trainer, arguments = seeded(sgd_with_momentum, [])
        trainer.callbacks = [dl.CSVLogger(log), dl.Checkpoint(saves), F1(), dl.EarlyStopping("val_loss", verbose=0)]
        fit(trainer, arguments, 4, resume_from=saves)
        assert everything(trainer) == everything(whole)
        assert dl.History.from_csv(log) == trainer.history


# ---- what is refused


class Last(F1):
    runs_last = True

    def on_epoch_end(self, trainer):
        trainer.logs["late"] = 1


CHANGES = {
    "text": (adding(own="0.5"), "LambdaCallback.on_epoch_end: expected a number for 'own', got '0.5'"),
    "array": (adding(own=np.ones(2)), "expected a number for 'own', got array"),
    "bool": (adding(own=True), "expected a number for 'own', got True"),
    "None": (adding(own=None), "expected a number for 'own', got None"),
    "line break": (adding(**{"a\nb": 1}), "expected a column name of printable text"),
    "loss": (adding(loss=0.0), "expected 'loss' in the logs to stay as it is, but it was changed; give a number of"),
    "array as loss": (adding(loss=np.zeros(3)), "expected 'loss' in the logs to stay"),
    "same key": (Measures(*range(9), name="seconds"), r"^Measures.on_epoch_end: expected 'seconds' in the logs"),
    "removed": (
        dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.pop("cost")),
        "expected 'cost' in the logs",
    ),
    "cleared": (dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.logs.clear()), "expected 'epoch' in the logs"),
    "last": (Last(), r"^Last.on_epoch_end: 'late' in the logs is too late for others; set runs_last = False"),
    **{
        moment: (adding(moment, own=1.0), rf"LambdaCallback.{moment}: 'own' in the logs would be lost; .* on_epoch_end")
        for moment in ("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end")
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_all_else_is_refused_and_the_row_stays_what_it_was(name, tmp_path):
    callback, words = CHANGES[name]
    trainer, twin = make(callback, dl.CSVLogger(tmp_path / "log.csv")), make()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=words):
            trainer.fit(DATA, DATA, epochs=1, batch_size=3)
        if name in MOMENTS:
            assert not trainer.history.rows
        else:
            twin.fit(DATA, DATA, epochs=1, batch_size=3)
            same = [{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history]
            assert same == [{k: v for k, v in row.items() if k != "seconds"} for row in twin.history]
            assert trainer.logs == trainer.history.rows[-1]
    assert os.listdir(tmp_path) == []


def test_two_callbacks_cannot_have_one_name():
    with pytest.raises(dl.InputError, match=r"^Measures.on_epoch_end: expected 'quality' in the logs to stay"):
        run(Measures(1), Measures(2), epochs=1)


def test_what_is_added_after_training_is_in_no_row():
    trainer = run(adding("on_train_end", test=1.0), epochs=2)
    assert "test" not in trainer.history
    assert trainer.logs["test"] == 1.0


@pytest.mark.parametrize("follow", [dl.EarlyStopping, dl.ReduceLROnPlateau])
def test_who_follows_it_must_come_after_it(follow):
    trainer = make(follow("quality"), Measures(*range(9)))
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"no 'quality'; .*; if Measures adds it, put Measures before this"):
            trainer.fit(DATA, epochs=2, batch_size=3)
    assert trainer.step == 0


def test_a_callback_around_another_can_add_what_that_one_follows():
    class Around(dl.Callback):
        def __init__(self):
            self.inner = dl.EarlyStopping("own", verbose=0)

        def on_train_begin(self, trainer):
            self.inner.on_train_begin(trainer)

        def on_epoch_end(self, trainer):
            trainer.logs["own"] = float(trainer.epoch)
            self.inner.on_epoch_end(trainer)

    around = Around()
    run(around)
    assert around.inner.best_epoch == 1


# ---- killed


PROGRAM = """
import os, sys
import numpy as np
import minidl as dl

class Own(dl.Callback):
    saved_attributes = ("total",)

    def on_train_begin(self, trainer):
        self.total = 0.0

    def on_epoch_end(self, trainer):
        self.total += float(trainer.logs["loss"])
        trainer.logs["total"] = self.total
        if trainer.epoch == int(sys.argv[2]):
            os.kill(os.getpid(), 9)

x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
data = dl.Dataset(x, x[:, :3].argmax(axis=1))
folder = sys.argv[1]
callbacks = [dl.CSVLogger(f"{folder}/log.csv"), dl.Checkpoint(folder), Own()]
trainer = dl.Trainer(dl.Model(dl.Dense(4, 3, rng=0), dl.SoftmaxCrossEntropy()), dl.Adam(0.01), callbacks, rng=0)
trainer.fit(data, epochs=5, batch_size=8, resume_from=folder)
print(trainer.history["total"], trainer.history["loss"], dl.History.from_csv(f"{folder}/log.csv") == trainer.history)
"""


def test_a_killed_program_goes_on_with_the_same_numbers(tmp_path):
    def program(folder, epoch):
        command = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / folder), str(epoch)]
        return subprocess.run(command, capture_output=True, text=True)

    whole = program("whole", 9)
    assert whole.stdout.endswith("True\n"), whole.stderr
    for epoch in (1, 3, 5):
        assert program(f"part{epoch}", epoch).returncode == -9
        part = program(f"part{epoch}", 9)
        assert part.stdout == whole.stdout, part.stderr
