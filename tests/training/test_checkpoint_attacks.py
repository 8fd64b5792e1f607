"""What an attack on checkpoints found: ways to lose one, to go on otherwise, and to be refused too late."""

import collections
import json
import re
import signal

import numpy as np
import pytest
import training_runs
from screen import terminal
from training_runs import everything, fit, seeded, sgd_with_momentum

import minidl as dl
from minidl._storage.tensors import write_tensors
from minidl.training.checkpoint import checkpoint_path, checkpoint_paths, read_checkpoint, write_checkpoint


def steps(directory):
    return [int(path.stem.split("-")[1]) for path in checkpoint_paths(directory)]


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.glob("*.safetensors")}


class Measures(dl.Callback):
    """Puts a value for each epoch into the logs, and dies in the middle of an epoch if told so."""

    def __init__(self, *values, dies_at=None):
        self.values, self.dies_at = values, dies_at

    def on_batch_end(self, trainer):
        if trainer.step == self.dies_at:
            raise RuntimeError("the end")

    def on_epoch_end(self, trainer):
        trainer.logs["quality"] = self.values[trainer.epoch - 1]


# Nothing that is saved is lost.


def test_the_checkpoints_of_another_run_are_left_alone(tmp_path):
    first, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path / "a")])
    fit(first, arguments)
    before = contents(tmp_path / "a")
    second, _ = sgd_with_momentum([dl.Checkpoint(tmp_path / "b")])
    fit(second, arguments, 2)
    other, _ = sgd_with_momentum([dl.Checkpoint(tmp_path / "a")])
    with pytest.raises(dl.InputError, match="there is a run in this directory already"):
        fit(other, arguments, 6, resume_from=tmp_path / "b")
    trained, _ = sgd_with_momentum()
    fit(trained, arguments, 1)
    trained.callbacks = [dl.Checkpoint(tmp_path / "a")]
    with pytest.raises(dl.InputError, match="there is a run in this directory already"):
        fit(trained, arguments, 5)
    assert contents(tmp_path / "a") == before


def test_a_best_checkpoint_alone_is_a_run_too(tmp_path):
    trainer, arguments = sgd_with_momentum([Measures(1, 2), dl.Checkpoint(tmp_path, monitor="quality")])
    fit(trainer, arguments, 2)
    for path in checkpoint_paths(tmp_path):
        path.unlink()
    before = contents(tmp_path)
    other, _ = sgd_with_momentum([Measures(0), dl.Checkpoint(tmp_path, monitor="quality")])
    with pytest.raises(dl.InputError, match=r"with best\.safetensors"):
        fit(other, arguments, 1)
    assert contents(tmp_path) == before
    fit(other, arguments, 1, resume_from=tmp_path)  # but one can go on from it


@pytest.mark.parametrize("every", [5, 100])
def test_the_best_is_not_lost_where_the_newest_is_older(tmp_path, every):
    values = [5, 4, 4, 4, 4, 3.9, 1, 3, 3, 3]

    def run(**death):
        callbacks = [Measures(*values, **death), dl.Checkpoint(tmp_path, every_epochs=every, monitor="quality")]
        return sgd_with_momentum(callbacks)

    trainer, arguments = run(dies_at=22)
    with pytest.raises(RuntimeError):
        fit(trainer, arguments, 10)
    best = contents(tmp_path)["best.safetensors"]
    trainer, arguments = run(dies_at=20)
    if every == 100:  # there is nothing else to go on from
        trainer.callbacks[0].dies_at = 23
    with pytest.raises(RuntimeError):
        fit(trainer, arguments, 10, resume_from=tmp_path)
    assert contents(tmp_path)["best.safetensors"] == best


def test_the_best_of_two_directories_and_of_two_fits(tmp_path):
    def run(*values, **death):
        callbacks = [dl.Checkpoint(tmp_path / "all"), dl.Checkpoint(tmp_path / "best", monitor="quality")]
        return sgd_with_momentum([Measures(*values, **death), *callbacks])

    trainer, arguments = run(5, 1, 3, 4, dies_at=8)
    with pytest.raises(RuntimeError):
        fit(trainer, arguments, 4)
    best = contents(tmp_path / "best")["best.safetensors"]
    trainer, arguments = run(5, 1, 3, 4, 2)
    with pytest.raises(dl.InputError, match="a run in this directory already"):
        fit(trainer, arguments, 4, resume_from=tmp_path / "all")
    trainer.callbacks[2] = dl.Checkpoint(tmp_path / "new", monitor="quality")
    fit(trainer, arguments, 4, resume_from=tmp_path / "all")
    assert contents(tmp_path / "best")["best.safetensors"] == best
    fit(trainer, arguments, 1)
    _, state = read_checkpoint(tmp_path / "new" / "best.safetensors")
    assert state["logs"]["quality"] == 2


def test_a_best_that_cannot_be_read_is_told(tmp_path):
    trainer, arguments = sgd_with_momentum([Measures(1, 2, 3), dl.Checkpoint(tmp_path, monitor="quality")])
    fit(trainer, arguments, 2)
    (tmp_path / "best.safetensors").write_bytes(b"short")
    with pytest.warns(UserWarning, match="the best checkpoint so far cannot be read"):
        fit(trainer, arguments, 1)
    assert read_checkpoint(tmp_path / "best.safetensors")[1]["logs"]["quality"] == 3


def test_who_goes_back_does_not_leave_two_branches(tmp_path):
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    fit(trainer, arguments)
    before = contents(tmp_path)
    back, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    with pytest.raises(dl.InputError, match="going on from step 3, but there are later checkpoints"):
        fit(back, arguments, resume_from=checkpoint_path(tmp_path, 3))
    assert contents(tmp_path) == before
    back.callbacks = [dl.Checkpoint(tmp_path / "other")]
    fit(back, arguments, resume_from=checkpoint_path(tmp_path, 3))
    assert everything(back) == everything(trainer)
    newest, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    fit(newest, arguments, 4, resume_from=checkpoint_path(tmp_path, 9))


# The resumed run is the same run.


@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_batch_begin"])
def test_saving_where_an_epoch_would_be_lost_is_refused(tmp_path, moment):
    class Saves(dl.Callback):
        pass

    def save(self, trainer):
        if trainer.epoch == 2:
            trainer.save_checkpoint(tmp_path / "c.safetensors")

    setattr(Saves, moment, save)
    trainer, arguments = sgd_with_momentum([Saves()])
    with pytest.raises(dl.CallOrderError, match="without a step yet"):
        fit(trainer, arguments)


def test_what_on_train_begin_does_to_the_model_does_not_outlive_a_resume(tmp_path):
    class Decay(dl.Callback):
        def on_train_begin(self, trainer):
            trainer.optimizer.learning_rate = 0.1
            trainer.model.parameters["1.weight"].value *= 0

        def on_epoch_end(self, trainer):
            trainer.optimizer.learning_rate *= 0.5

    whole, arguments = sgd_with_momentum([Decay()])
    fit(whole, arguments)
    first, _ = sgd_with_momentum([Decay(), Measures(1, 2, 3, dies_at=8), dl.Checkpoint(tmp_path)])
    with pytest.raises(RuntimeError):
        fit(first, arguments)
    second, _ = sgd_with_momentum([Decay(), dl.Checkpoint(tmp_path)])
    fit(second, arguments, resume_from=tmp_path)
    assert everything(second) == everything(whole)


def test_a_plateau_of_a_number_that_the_history_does_not_have(tmp_path):
    values = [3, 4, 2, 5, 5, 5]

    def run(*more, **death):
        plateau = dl.ReduceLROnPlateau("quality", factor=0.5, patience=1)
        return sgd_with_momentum([Measures(*values, **death), plateau, *more])

    whole, arguments = run()
    fit(whole, arguments, 6)
    assert whole.optimizer.learning_rate == 0.025
    first, _ = run(dl.Checkpoint(tmp_path), dies_at=14)
    with pytest.raises(RuntimeError):
        fit(first, arguments, 6)
    second, _ = run(dl.Checkpoint(tmp_path))
    fit(second, arguments, 6, resume_from=tmp_path)
    assert everything(second) == everything(whole)


def test_what_is_shared_stays_shared(tmp_path):
    rng, array = np.random.default_rng(1), np.arange(3)
    state = {"a": rng, "b": {"c": [rng]}, "x": array, "y": array, "z": array.copy()}
    write_checkpoint(tmp_path / "c.safetensors", {}, state)
    _, found = read_checkpoint(tmp_path / "c.safetensors")
    assert found["a"] is found["b"]["c"][0]
    assert found["x"] is found["y"]
    assert found["z"] is not found["x"]
    assert found["a"].random() == np.random.default_rng(1).random()
    np.testing.assert_array_equal(found["z"], array)


# What can be saved can be read again, or is refused when it is saved.


def test_numbers_in_the_logs_are_those_of_a_history(tmp_path):
    class Notes(dl.Callback):
        def __init__(self, value):
            self.value = value

        def on_epoch_end(self, trainer):
            trainer.logs["note"] = trainer.history.rows[-1]["note"] = self.value

    def run(value):
        return sgd_with_momentum([Notes(value), dl.Checkpoint(tmp_path / str(value))])

    for value in (np.float32(0.5), 3, float("nan")):
        trainer, arguments = run(value)
        fit(trainer, arguments, 1)
        fit(run(value)[0], arguments, 2, resume_from=tmp_path / str(value))
    for value in (True, "good", None, [1]):
        trainer, arguments = run(value)
        with pytest.raises(dl.InputError, match="expected a number for 'note'"):
            fit(trainer, arguments, 1)


@pytest.mark.parametrize(
    "value",
    [
        collections.Counter(a=1),
        collections.defaultdict(int),
        np.ones(2, complex),
        np.array([object()]),
        10**5000,
        json.loads("[" * 40 + "]" * 40),
        np.ma.masked_array([1.0], [True]),
    ],
    ids=["Counter", "defaultdict", "complex", "objects", "digits", "deep", "masked"],
)
def test_it_is_refused_before_the_first_step(tmp_path, value):
    class Holds(dl.Callback):
        saved_attributes = ("thing",)
        thing = value

    trainer, arguments = sgd_with_momentum([Holds(), dl.Checkpoint(tmp_path)])
    with pytest.raises((dl.InputError, dl.CheckpointError), match=r"checkpoint: "):
        fit(trainer, arguments)
    assert trainer.step == 0


def test_a_number_may_become_an_array(tmp_path):
    class Mean(dl.Callback):
        saved_attributes = ("mean", "best", "flag")

        def on_train_begin(self, trainer):
            self.mean, self.best, self.flag = 0.0, 0, False

        def on_epoch_end(self, trainer):
            self.mean = self.mean + trainer.model.parameters["3.bias"].value
            self.best = np.argmin(trainer.history["loss"])
            self.flag = self.best > 0

    trainer, arguments = sgd_with_momentum([Mean(), dl.Checkpoint(tmp_path)])
    fit(trainer, arguments, 2)
    for again in (sgd_with_momentum([Mean(), dl.Checkpoint(tmp_path)])[0], trainer):
        fit(again, arguments, 3, resume_from=tmp_path)
        assert again.callbacks[0].mean.shape == (3,)


# Forged states.

MT, PHILOX = (np.random.Generator(kind(0)).bit_generator.state for kind in (np.random.MT19937, np.random.Philox))


@pytest.mark.parametrize(
    "state",
    [
        {**MT, "state": {**MT["state"], "pos": 10**9}},
        {**MT, "state": {**MT["state"], "pos": -1}},
        {**MT, "state": {**MT["state"], "key": MT["state"]["key"][:9]}},
        {**PHILOX, "buffer_pos": -(10**9)},
        {**PHILOX, "buffer_pos": 10**9},
        {**PHILOX, "buffer": PHILOX["buffer"][:1]},
        {**PHILOX, "state": {**PHILOX["state"], "counter": PHILOX["state"]["counter"][:1]}},
        {**MT, "bit_generator": "default_rng"},
        {**MT, "bit_generator": ["PCG64"]},
    ],
)
def test_a_generator_in_a_state_that_it_cannot_be_in(tmp_path, state):
    arrays = {}

    def collected(value, name):
        if isinstance(value, dict):
            return {key: collected(item, f"{name}.{key}") for key, item in value.items()}
        if isinstance(value, np.ndarray):
            arrays[name] = value
            return {"@array": name}
        return value

    plain = {"rng": {"@generator": collected(state, "@rng")}}
    texts = {"minidl.format": "1", "minidl.state": json.dumps(plain), "minidl.machine": "{}"}
    write_tensors(tmp_path / "c.safetensors", arrays, texts)
    with pytest.raises(dl.CheckpointError, match="expected a checkpoint of minidl"):
        read_checkpoint(tmp_path / "c.safetensors")


# NaN.


class Spoils(dl.Layer):
    """Hands on what it gets, with a NaN in one training forward or backward."""

    def __init__(self, call, backward=False):
        super().__init__()
        self.call, self.calls, self.spoils_backward = call, 0, backward

    def forward(self, x, train=False):
        self.calls += train
        y = x.copy()
        if train:
            self.keep()
            if self.calls == self.call and not self.spoils_backward:
                y[0, 0] = np.nan
        return y

    def backward(self, dy):
        self.kept()
        dx = dy.copy()
        if self.calls == self.call and self.spoils_backward:
            dx[0, 0] = np.nan
        return dx


def spoiled(*callbacks, backward=False, **options):
    layers = dl.Flatten(), dl.Dense(72, 4, rng=1), Spoils(5, backward), dl.BatchNorm(4), dl.Dense(4, 3, rng=2)
    model = dl.Model(dl.Sequential(*layers), dl.SoftmaxCrossEntropy())
    return dl.Trainer(model, dl.SGD(0.1, **options), callbacks, rng=1)


def test_after_the_error_the_model_is_as_before_the_step():
    trainer = spoiled()
    with pytest.raises(dl.NonFiniteError, match=r"batch 2: ") as told, np.errstate(invalid="ignore"):
        fit(trainer, {})
    assert "running" not in str(told.value)
    assert all(np.isfinite(array).all() for array in trainer.model.weights().values())
    trainer.model.evaluate(trainer.train_data)


@pytest.mark.parametrize("choice", ["skip", "ignore"])
def test_clipping_by_the_norm_does_not_end_a_run_that_is_to_go_on(choice):
    trainer = spoiled(clip_norm=1.0, backward=True)
    with np.errstate(invalid="ignore"):
        fit(trainer, {}, 3, nonfinite=choice)
    assert trainer.skipped_steps == 1


@pytest.mark.parametrize("name", ["val_accuracy", "val_loss", "accuracy"])
def test_a_followed_number_is_there_although_it_is_nan(tmp_path, name):
    callbacks = dl.EarlyStopping(name), dl.ReduceLROnPlateau(name), dl.Checkpoint(tmp_path, monitor=name)
    trainer = spoiled(*callbacks, backward=True)
    with np.errstate(invalid="ignore"), pytest.warns(UserWarning, match="not saved"):
        history = fit(trainer, {}, 3, nonfinite="ignore")
    assert np.isnan(history[name][-1])


# A refusal changes nothing.


def test_a_failed_resume_leaves_the_terms_of_the_run(tmp_path):
    trainer, arguments = seeded(sgd_with_momentum)
    fit(trainer, arguments, 1)
    trainer.save_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(dl.CheckpointError):
        fit(trainer, arguments, 3, resume_from=tmp_path / "a.safetensors", nonfinite="skip")
    trainer.save_checkpoint(tmp_path / "b.safetensors")
    fit(trainer, arguments, 3, resume_from=tmp_path / "b.safetensors")


def test_a_refusal_in_on_train_begin_comes_before_the_checkpoint_is_taken(tmp_path):
    class Refuses(dl.Callback):
        def on_train_begin(self, trainer):
            raise dl.InputError("no")

    first, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    fit(first, arguments, 1)
    second, _ = sgd_with_momentum([Refuses()])
    before = everything(second)
    with pytest.raises(dl.InputError, match="no"):
        fit(second, arguments, 3, resume_from=tmp_path)
    assert everything(second) == before


def test_a_signal_while_the_checkpoint_is_taken_waits(tmp_path, monkeypatch):
    first, arguments = seeded(sgd_with_momentum, [dl.Checkpoint(tmp_path)])
    fit(first, arguments, 1)
    second, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    apply = dl.resume.Restored.apply

    def interrupted(self):
        signal.raise_signal(signal.SIGINT)
        apply(self)

    monkeypatch.setattr(dl.resume.Restored, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(second, arguments, resume_from=tmp_path)
    monkeypatch.undo()
    assert second.step == 4
    third, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    fit(third, arguments, resume_from=tmp_path)
    whole, _ = seeded(sgd_with_momentum)
    fit(whole, arguments)
    assert everything(third) == everything(whole)


# Words and types.


def test_the_same_in_other_words_is_the_same_run(tmp_path):
    first, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    fit(first, {"augment": (dl.Mirror(),)}, 1)
    second, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_runs, "BATCH", np.int64(training_runs.BATCH))
        fit(second, {"augment": [dl.Mirror()]}, 2, resume_from=tmp_path)
    assert len(second.history) == 2


def test_the_logs_of_a_step_come_back_as_they_were(tmp_path):
    trainer, arguments = sgd_with_momentum([Measures(1, dies_at=2), dl.Checkpoint(tmp_path, every_steps=1)])
    with pytest.raises(RuntimeError):
        fit(trainer, arguments)
    _, state = read_checkpoint(checkpoint_path(tmp_path, 1))
    assert set(state["logs"]) == {"batch_cost", "batch_loss"}


def test_a_seed_of_numpy_is_a_seed_too(tmp_path):
    def run(seed):
        model = dl.Model(dl.Sequential(dl.Flatten(), dl.Dense(72, 3, rng=1)), dl.SoftmaxCrossEntropy())
        return dl.Trainer(model, dl.SGD(0.1), [dl.Checkpoint(tmp_path)], rng=seed)

    fit(run(np.int64(3)), {}, 1)
    with pytest.raises(dl.CheckpointError, match="rng was 3 and is 4"):
        fit(run(np.int64(4)), {}, 2, resume_from=tmp_path)
    fit(run(3), {}, 2, resume_from=tmp_path)


@pytest.mark.parametrize("place", [123, True, "", "a\0b", b"bytes"])
def test_what_names_no_file(tmp_path, place):
    with pytest.raises(dl.InputError, match="directory: expected the name of a file or folder"):
        dl.Checkpoint(place)
    trainer, arguments = sgd_with_momentum()
    with pytest.raises(dl.InputError, match="resume_from: expected the name of a file or folder"):
        fit(trainer, arguments, resume_from=place)


def test_a_directory_may_be_called_like_a_file_and_may_be_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    class Leaves(dl.Callback):
        def on_epoch_end(self, trainer):
            monkeypatch.chdir(tmp_path / "elsewhere")

    trainer, arguments = sgd_with_momentum([Leaves(), dl.Checkpoint("run.safetensors")])
    fit(trainer, arguments, 2)
    assert steps(tmp_path / "run.safetensors") == [6, 3]
    again, _ = sgd_with_momentum([dl.Checkpoint(tmp_path / "run.safetensors")])
    fit(again, arguments, 3, resume_from=tmp_path / "run.safetensors")


def test_an_error_of_a_users_own_class_stays_what_it_is():
    class Own(dl.InputError):
        def __init__(self, a, b):
            super().__init__(f"{a} {b}")

    class Raises(dl.Callback):
        def on_batch_end(self, trainer):
            raise Own("one", "two")

    trainer, arguments = sgd_with_momentum([Raises()])
    with pytest.raises(Own, match="one two"):
        fit(trainer, arguments)


def test_the_bar_of_a_resumed_run_ends_full(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    first, arguments = sgd_with_momentum([Measures(1, 2, 3, dies_at=5), dl.Checkpoint(tmp_path, every_steps=1)])
    with pytest.raises(RuntimeError):
        fit(first, arguments)
    with terminal(120) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        second, _ = sgd_with_momentum([dl.ProgressBar(file=file), dl.Checkpoint(tmp_path)])
        fit(second, arguments, resume_from=tmp_path)
    assert re.match(r"epoch 3/3 \|█+\| in ", screen.lines()[-1])
