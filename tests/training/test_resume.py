"""A run that is interrupted anywhere and resumed has the same result, bit for bit, as without the interruption."""

import json
import operator
import os
import re
import signal
import subprocess
import sys
import warnings
from functools import partial, reduce
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import training_runs
from training_runs import RUNS, Death, DieAt, everything, fit, images, killed, seeded, trained, undisturbed, usual_run

import minidl as dl
from minidl.training.checkpoint import checkpoint_path, checkpoint_paths, read_checkpoint, write_checkpoint
from minidl.training.state import Restored
from minidl.training.work import fingerprint

CAMPAIGN = Path(__file__).parent.parent / "support" / "kill_campaign.py"


@pytest.fixture(params=RUNS.values(), ids=RUNS)
def run(request):
    return request.param


def resumed(run, directory, epochs=3, **checkpointing):
    trainer, arguments = run([dl.Checkpoint(directory, **checkpointing)])
    fit(trainer, arguments, epochs, resume_from=directory)
    return trainer


def with_callback(make):
    """Return a run whose first callback is from `make`."""
    return lambda callbacks=(): usual_run([make(), *callbacks])


# ---- killed anywhere


@pytest.mark.parametrize("checkpointing", [{"every_steps": 1}, {"every_steps": 2, "every_epochs": None}, {}])
def test_killed_at_any_step(run, tmp_path, checkpointing):
    expected = undisturbed(run)
    for step in range(1, expected["counters"][2] + 1):
        if checkpointing.get("every_steps") != 1 and step <= 3:
            continue  # nothing is saved yet, and the fresh seeds of the two runs would differ
        killed(run, tmp_path / str(step), step, **checkpointing)
        assert everything(resumed(run, tmp_path / str(step), **checkpointing)) == expected


@pytest.mark.parametrize("place", [".", "not/there"])
def test_the_same_trainer_resumes_in_a_directory_that_was_empty(run, tmp_path, place):
    directory = tmp_path / place
    trainer, arguments = seeded(run, [dl.Checkpoint(directory, every_steps=1), DieAt(2, 5)])
    history = trainer.history
    for _ in range(2):
        with pytest.raises(Death):
            fit(trainer, arguments, resume_from=directory)
    assert fit(trainer, arguments, resume_from=directory) is history
    assert everything(trainer) == undisturbed(run)


def test_a_finished_run_is_unchanged_and_can_be_extended(run, tmp_path):
    trainer, arguments = seeded(run, [dl.Checkpoint(tmp_path)])
    fit(trainer, arguments)
    assert everything(resumed(run, tmp_path)) == everything(trainer) == undisturbed(run)
    longer = resumed(run, tmp_path, epochs=5)
    stopped = trainer.stopping  # by EarlyStopping: then that run has no more epochs
    assert len(longer.history) == (len(trainer.history) if stopped else 5)
    assert everything(longer) == (everything(trainer) if stopped else undisturbed(run, 5))


def test_the_early_stopping_run_does_stop():
    trainer, arguments = seeded(RUNS["early_stopping_and_plateau"])
    fit(trainer, arguments)
    assert trainer.stopping
    assert trainer.callbacks[0].stopped_epoch == len(trainer.history) == 3
    assert trainer.callbacks[0].best_epoch == 1


def campaign(*arguments):
    """Run the campaign in a separate process, whose BLAS has one thread, and return its counts."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CAMPAIGN), *map(str, arguments)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600, check=False)
    assert answer.returncode == 0, answer.stderr
    counts = json.loads(answer.stdout)
    assert counts["different"] == 0, counts
    return counts


STOPPING, NORMS = "early_stopping_and_plateau", "batch_norm_dropout_augmentation"


def usual_and_nightly(usual, *more):
    """Return the usual arguments of a campaign, and for the nightly tests those with the name of each run."""
    return [usual, *(pytest.param(name, *more, marks=pytest.mark.nightly) for name in RUNS)]


@pytest.mark.parametrize(
    ("name", "moments", "kills"), usual_and_nightly((STOPPING, ["after"], 80), ["before", "after"], 160)
)
def test_killed_at_every_file_operation(name, moments, kills):
    assert campaign("operations", name, *moments)["kills"] >= kills


@pytest.mark.parametrize(("name", "kills", "seed"), usual_and_nightly((NORMS, 30, 1), 250, 2))
def test_killed_at_random_instants(name, kills, seed):
    counts = campaign("random", name, kills, seed)
    assert counts["kills"] >= kills
    assert counts["longest_chain"] >= 3


# ---- restored state


def freezes():
    return training_runs.at("on_epoch_begin", 2, lambda trainer: trainer.model.network.layers[1].freeze())


class Decay(dl.Callback):
    """Changes at the beginning what a checkpoint saves; a resume must undo it."""

    def on_train_begin(self, trainer):
        trainer.optimizer.learning_rate = 0.1
        trainer.model.parameters["1.weight"].value *= 0

    def on_epoch_end(self, trainer):
        trainer.optimizer.learning_rate *= 0.5


class Draws(dl.Callback):
    saved_attributes = ("rng", "numbers", "table", "seen", "mean", "flag")

    def on_train_begin(self, trainer):
        self.rng, self.numbers, self.table, self.seen = np.random.default_rng(6), [], {}, (0, "none")
        self.mean, self.flag = 0.0, False

    def on_batch_end(self, trainer):
        self.numbers.append(self.rng.random())
        self.table[str(trainer.step)] = np.full((2, 2), trainer.step)
        self.seen = (trainer.step, "some")

    def on_epoch_end(self, trainer):
        # A number may become an array.
        self.mean = self.mean + trainer.model.parameters["3.bias"].value
        self.flag = np.argmin(trainer.history["loss"]) > 0


@pytest.mark.parametrize("make", [freezes, Decay, Draws, dl.GradientMonitor, partial(dl.GradientMonitor, 2)])
def test_the_state_of_callbacks_is_restored(tmp_path, make):
    run = with_callback(make)
    whole, arguments = run()
    fit(whole, arguments)
    killed(run, tmp_path, 5, every_steps=2)
    found = resumed(run, tmp_path)
    assert everything(found) == everything(whole)
    for name, value in vars(whole.callbacks[0]).items():
        if not (name.startswith("_") or name == "rng" or callable(value)):
            assert repr(getattr(found.callbacks[0], name)) == repr(value)
    fit(found, arguments, resume_from=tmp_path)  # what is there now is of these kinds too


def test_a_checkpoint_from_before_the_first_epoch(tmp_path):
    trained(epochs=0).save_checkpoint(tmp_path / "c.safetensors")
    assert everything(trained(resume_from=tmp_path / "c.safetensors")) == undisturbed(usual_run)


def test_a_stop_before_the_first_epoch_still_counts_after_a_resume(tmp_path):
    killed(usual_run, tmp_path, 4)
    stop = dl.LambdaCallback(on_train_begin=lambda trainer: trainer.stop())
    assert len(trained(stop, resume_from=tmp_path).history) == 1


def test_seconds_and_logs_of_a_step_are_restored(tmp_path):
    killed(usual_run, tmp_path, 2, every_steps=1)
    _, tree = read_checkpoint(checkpoint_paths(tmp_path)[0])
    assert set(tree["run"]["logs"]) == {"batch_cost", "batch_loss"}
    assert resumed(usual_run, tmp_path).history["seconds"][0] > tree["run"]["seconds"] > 0


def test_a_history_of_very_many_epochs_is_saved_and_restored(tmp_path):
    # As text it would exceed the 16 MiB limit of the names and texts of a file.
    first = trained(dl.Checkpoint(tmp_path), epochs=1)
    first.history.rows.extend(first.history.rows[0] | {"epoch": epoch} for epoch in range(2, 57_501))
    fit(first, {}, 1)
    assert trained(epochs=1, resume_from=tmp_path).history == first.history
    assert checkpoint_paths(tmp_path)[0].stat().st_size < 8e6


# ---- which checkpoint is taken


def test_the_newest_undamaged_checkpoint_is_taken_and_nothing_deleted(tmp_path):
    killed(usual_run, tmp_path, 7, every_steps=1)
    newest, second, third = checkpoint_paths(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-1])
    second.write_bytes(b"")
    with pytest.warns(UserWarning, match=third.name) as caught:
        trainer = trained(resume_from=tmp_path)
    for path, warning in zip((newest, second), caught, strict=True):
        assert re.search(f"{path.name}: .*{third.name}", str(warning.message))
    assert everything(trainer) == undisturbed(usual_run)
    third.write_bytes(third.read_bytes() + b"0")
    with pytest.raises(dl.CheckpointError, match="all its checkpoints are damaged"):
        trained(dl.Checkpoint(tmp_path), resume_from=tmp_path)
    assert checkpoint_paths(tmp_path) == [newest, second, third]


def test_an_invalid_checkpoint_is_refused(tmp_path):
    usual_run()[0].model.save_weights(tmp_path / "weights.safetensors")
    for name, words in [("none.safetensors", "No such file"), ("weights.safetensors", "got only weights")]:
        with pytest.raises(dl.CheckpointError, match=words):
            trained(resume_from=str(tmp_path / name))


def test_another_machine_warns_and_the_same_one_does_not(tmp_path, monkeypatch):
    killed(usual_run, tmp_path, 5, every_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed(usual_run, tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    with pytest.warns(UserWarning, match="not match bit for bit: threads .* is now .*77"):
        resumed(usual_run, tmp_path)


# ---- another run is refused, and a refusal changes nothing


def unchanged_by(error, words, trainer, **arguments):
    before = everything(trainer)
    usual = {"train": images(), "validation": images(20, 1), "epochs": 3, "batch_size": training_runs.BATCH}
    with pytest.raises(error, match=words):
        trainer.fit(**usual | arguments)
    assert everything(trainer) == before


def other(callbacks=(), rng=3, optimizer=None, **parts):
    usual = usual_run()[0]
    model = dl.Model(**{name: getattr(usual.model, name) for name in ("network", "loss", "regularizer")} | parts)
    return dl.Trainer(model, optimizer or usual.optimizer, callbacks, rng=rng)


# For each error, the arguments of another trainer, and of another `fit`.
OTHERS = {
    "batch_size was 16, now 8": ({}, {"batch_size": 8}),
    "validation was .*, now None": ({}, {"validation": None}),
    "train_metrics was True, now False": ({}, {"train_metrics": False}),
    r"augment was \[\], now \[Mirror": ({}, {"augment": [dl.Mirror()]}),
    "nonfinite was 'raise', now 'skip'": ({}, {"nonfinite": "skip"}),
    "train was x": ({}, {"train": images(seed=9)}),
    "loss was SoftmaxCrossEntropy": ({"loss": dl.SoftmaxCrossEntropy(0.1)}, {}),
    r"regularizer was L2\(0.01\), now L2\(0.02\)": ({"regularizer": dl.L2(0.02)}, {}),
    "optimizer was SGD.*0.8": ({"optimizer": dl.SGD(0.05, momentum=0.8)}, {}),
    "optimizer was SGD.*Decay": ({"optimizer": dl.SGD(dl.ExponentialDecay(0.05, 0.9), momentum=0.9)}, {}),
    "not the weights of Model": ({"network": dl.Sequential(dl.Flatten(), dl.Dense(72, 3))}, {}),
    "rng was 3, now 4": ({"rng": np.int64(4)}, {}),
    r"callbacks was \[\], now \[EarlyStopping": ({"callbacks": [dl.EarlyStopping()]}, {}),
}


@pytest.mark.parametrize("words", OTHERS)
def test_another_run_is_refused(tmp_path, words):
    killed(usual_run, tmp_path, 5, every_steps=1)
    parts, arguments = OTHERS[words]
    unchanged_by(dl.CheckpointError, words, other(**parts), resume_from=tmp_path, **arguments)


def test_equal_arguments_in_another_form_are_the_same_run(tmp_path):
    trained(dl.Checkpoint(tmp_path), augment=(dl.Mirror(),), epochs=1)
    second = other([dl.Checkpoint(tmp_path)], np.int64(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_runs, "BATCH", np.int64(training_runs.BATCH))
        fit(second, {"augment": [dl.Mirror()]}, 2, resume_from=tmp_path)
    assert len(second.history) == 2


def test_fewer_epochs_than_are_done_and_invalid_paths(tmp_path):
    trained(dl.Checkpoint(tmp_path))
    again, _ = usual_run([dl.Checkpoint(tmp_path)])
    words = r"epochs: expected at least the 3 that .* has, got 2"
    unchanged_by(dl.InputError, words, again, epochs=2, resume_from=tmp_path)
    unchanged_by(dl.InputError, "resume_from: expected the name of a file", again, resume_from=123)


def test_a_failed_resume_leaves_the_terms_of_the_run(tmp_path):
    trainer, arguments = seeded(usual_run)
    fit(trainer, arguments, 1)
    trainer.save_checkpoint(tmp_path / "a.safetensors")
    unchanged_by(dl.CheckpointError, "nonfinite", trainer, resume_from=tmp_path / "a.safetensors", nonfinite="skip")
    trainer.save_checkpoint(tmp_path / "b.safetensors")
    fit(trainer, arguments, 3, resume_from=tmp_path / "b.safetensors")


def test_an_error_in_on_train_begin_comes_before_the_checkpoint_is_applied(tmp_path):
    killed(usual_run, tmp_path, 5, every_steps=1)
    refuses = dl.LambdaCallback(on_train_begin=Mock(side_effect=dl.InputError("no")))
    unchanged_by(dl.InputError, "no", other(callbacks=[refuses]), resume_from=tmp_path)


def test_a_signal_while_the_checkpoint_is_applied_waits(tmp_path, monkeypatch):
    killed(usual_run, tmp_path, 4)
    apply = Restored.apply
    monkeypatch.setattr(Restored, "apply", lambda *given: (signal.raise_signal(signal.SIGINT), apply(*given)))
    with pytest.raises(KeyboardInterrupt):
        resumed(usual_run, tmp_path)
    monkeypatch.undo()
    assert checkpoint_paths(tmp_path)[0] == checkpoint_path(tmp_path, 4)
    assert everything(resumed(usual_run, tmp_path)) == undisturbed(usual_run)


# ---- a forged state with a correct digest, which anyone who can write the file can make


HISTORY = {"kinds": np.array([2], np.uint8), "ints": [], "floats": np.ones(1)}
FORGERIES = {
    "run/epoch": [-1, ...], "run/step": ["4"], "run/batch": [True, 4], "run/first_epoch": [9], "run/seed": [-3],
    "run/stopping": ["no"], "run/seconds": [1, -1.0, float("nan")], "run/logs": [{"loss": [1]}], "run/other": [1],
    "run": [..., 5],
    "run/history": ["long", [{"loss": 1.0}], {"loss": {}}],
    "run/history/loss": [
        HISTORY | {"floats": np.ones(0)}, HISTORY | {"kinds": np.array([3], np.uint8)}, HISTORY | {"kinds": "2"},
        HISTORY | {"kinds": np.array([[2]], np.uint8)}, HISTORY | {"floats": ["low"]}, HISTORY | {"floats": [None]},
        HISTORY | {"kinds": np.array([2, 2], np.uint8), "floats": np.ones(2)},
    ],
    "optimizer/learning_rate": [-1.0, 0.0, float("nan"), None], "optimizer/steps": [-1, 0.5],
    "optimizer/state/1.weight/velocity": [np.ones(2), 2], "optimizer/state/1.weight/other": [np.ones(2)],
    "optimizer/state/other": [{}],
    "frozen": [["9.weight"]], "terms": [5, {}],
    "attributes/layer 5.": [{"seed": 1}], "attributes": [["Checkpoint"]],
    "attributes/callback 0": [..., {}], "attributes/callback 0/_best": ["low", ...],
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    killed(with_callback(dl.EarlyStopping), directory, 5, every_steps=1)
    return checkpoint_paths(directory)[0]


@pytest.mark.parametrize(("path", "value"), [(path, v) for path, values in FORGERIES.items() for v in values])
def test_a_forged_state_is_refused_and_nothing_changes(tmp_path, checkpoint, path, value):
    weights, tree = read_checkpoint(checkpoint)
    *way, last = path.split("/")
    place = reduce(operator.getitem, way, tree)
    place[last] = value
    if value is ...:
        del place[last]
    write_checkpoint(tmp_path / "forged.safetensors", weights, tree)
    trainer, _ = with_callback(dl.EarlyStopping)([dl.Checkpoint(tmp_path)])
    unchanged_by(dl.CheckpointError, "forged.safetensors", trainer, resume_from=tmp_path / "forged.safetensors")


def test_the_fingerprint_depends_on_targets_shapes_and_rows():
    data, targets, first, last = (images() for _ in range(4))
    targets.y[7] = (targets.y[7] + 1) % 3
    first.x[0, 2, 2, 1] += 1
    last.x[-1, 2, 2, 1] += 1
    double = dl.Dataset(data.x.astype(np.float64), data.y)
    assert len({fingerprint(variant) for variant in (data, data[:39], targets, first, last, double)}) == 6
    assert fingerprint(dl.Dataset(data.x.copy(order="F"), data.y)) == fingerprint(data)
