"""A run that was interrupted anywhere and resumed ends bit for bit as if it had not been."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from training_runs import BATCH, RUNS, adam_with_schedule, everything, fit, images, seeded, sgd_with_momentum

import minidl as dl
from minidl.training import resume
from minidl.training.checkpoint import checkpoint_path, checkpoint_paths, read_checkpoint

STEPS = 9
CAMPAIGN = Path(__file__).parent.parent / "support" / "kill_campaign.py"


class Death(Exception):  # noqa: N818 (it is none)
    pass


class DieAt(dl.Callback):
    """Ends the process after so many steps, as far as the run can tell: nothing is saved any more."""

    runs_last = True

    def __init__(self, *steps):
        self.steps = steps

    def on_batch_end(self, trainer):
        if trainer.step in self.steps:
            raise Death


@pytest.fixture(params=RUNS.values(), ids=RUNS.keys())
def run(request):
    return request.param


def undisturbed(run, epochs=3):
    trainer, arguments = seeded(run)
    fit(trainer, arguments, epochs)
    return everything(trainer)


def killed(run, directory, step, **checkpointing):
    trainer, arguments = seeded(run, [dl.Checkpoint(directory, **checkpointing), DieAt(step)])
    with pytest.raises(Death):
        fit(trainer, arguments)


def resumed(run, directory, epochs=3, callbacks=(), **checkpointing):
    trainer, arguments = run([dl.Checkpoint(directory, **checkpointing), *callbacks])
    fit(trainer, arguments, epochs, resume_from=directory)
    return trainer


@pytest.mark.parametrize("checkpointing", [{"every_steps": 1}, {"every_steps": 2, "every_epochs": None}, {}])
def test_killed_at_any_step(run, tmp_path, checkpointing):
    expected = undisturbed(run)
    for step in range(1, expected["counters"][2] + 1):
        if checkpointing.get("every_steps") != 1 and step <= 3:
            continue  # nothing is saved yet, and the fresh seeds of the two runs would differ
        killed(run, tmp_path / str(step), step, **checkpointing)
        assert everything(resumed(run, tmp_path / str(step), **checkpointing)) == expected


def test_killed_again_and_again(run, tmp_path):
    expected = undisturbed(run)
    trainer, arguments = seeded(run, [dl.Checkpoint(tmp_path, every_steps=1), DieAt(1)])
    for step in range(2, expected["counters"][2] + 1):
        with pytest.raises(Death):
            fit(trainer, arguments, resume_from=tmp_path)
        trainer, arguments = run([dl.Checkpoint(tmp_path, every_steps=1), DieAt(step)])
    with pytest.raises(Death):
        fit(trainer, arguments, resume_from=tmp_path)
    assert everything(resumed(run, tmp_path)) == expected


def test_in_the_same_session_with_the_same_trainer(run, tmp_path):
    trainer, arguments = seeded(run, [dl.Checkpoint(tmp_path, every_steps=1), DieAt(2, 5)])
    for _ in range(2):
        with pytest.raises(Death):
            fit(trainer, arguments, resume_from=tmp_path)
    fit(trainer, arguments, resume_from=tmp_path)
    assert everything(trainer) == undisturbed(run)


def test_a_finished_run_is_left_as_it_is_and_can_be_made_longer(run, tmp_path):
    trainer, arguments = seeded(run, [dl.Checkpoint(tmp_path)])
    fit(trainer, arguments)
    again = resumed(run, tmp_path)
    assert everything(again) == everything(trainer) == undisturbed(run)
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


def test_what_was_drawn_afresh_comes_back(tmp_path):
    trainer, arguments = RUNS["batch_norm_dropout_augmentation"]([dl.Checkpoint(tmp_path)])
    fit(trainer, arguments, 1)
    seed = trainer.model.network.layers[5].seed
    again = resumed(RUNS["batch_norm_dropout_augmentation"], tmp_path)
    assert again.model.network.layers[5].seed == seed


def test_a_directory_without_a_checkpoint_begins_the_run(run, tmp_path):
    for place in (tmp_path, tmp_path / "not" / "there"):
        trainer, arguments = seeded(run)
        fit(trainer, arguments, resume_from=place)
        assert everything(trainer) == undisturbed(run)


def test_what_a_callback_froze_stays_frozen(tmp_path):
    class Freezes(dl.Callback):
        def on_epoch_begin(self, trainer):
            if trainer.epoch == 2:
                trainer.model.network.layers[1].freeze()

    def run(callbacks):
        trainer, arguments = sgd_with_momentum([Freezes(), *callbacks])
        return trainer, arguments

    whole, arguments = run([])
    fit(whole, arguments)
    killed(run, tmp_path, 5, every_steps=1)
    assert everything(resumed(run, tmp_path)) == everything(whole)


def test_seconds_of_an_epoch_add_up_over_the_interruption(tmp_path):
    killed(sgd_with_momentum, tmp_path, 2, every_steps=1)
    _, state = read_checkpoint(checkpoint_paths(tmp_path)[0])
    assert state["seconds"] > 0
    row = resumed(sgd_with_momentum, tmp_path).history.rows[0]
    assert row["seconds"] > state["seconds"]


CHANGES = {
    "batch_size was 16 and is 8": {"batch_size": 8},
    "validation was .* and is None": {"validation": None},
    "train_metrics was True and is False": {"train_metrics": False},
    r"augment was \[\] and is \[Mirror": {"augment": [dl.Mirror()]},
    "nonfinite was 'raise' and is 'skip'": {"nonfinite": "skip"},
    "train was x": {"train": images(seed=9)},
}


@pytest.mark.parametrize("words", CHANGES)
def test_other_arguments_are_refused_and_nothing_changes(tmp_path, words):
    killed(sgd_with_momentum, tmp_path, 5, every_steps=1)
    trainer, _ = sgd_with_momentum()
    before = everything(trainer)
    arguments = {"train": images(), "validation": images(20, 1), "epochs": 3, "batch_size": BATCH}
    with pytest.raises(dl.CheckpointError, match=f"a checkpoint of another run: {words}"):
        trainer.fit(**{**arguments, **CHANGES[words]}, resume_from=tmp_path)
    assert everything(trainer) == before
    fit(trainer, {}, resume_from=tmp_path)
    assert everything(trainer) == undisturbed(sgd_with_momentum)


def other(network=None, loss=None, regularizer=None, optimizer=None, callbacks=(), rng=3):
    usual, _ = sgd_with_momentum()
    model = dl.Model(network or usual.model.network, loss or usual.model.loss, regularizer or usual.model.regularizer)
    return dl.Trainer(model, optimizer or usual.optimizer, callbacks, rng=rng)


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        (other(loss=dl.SoftmaxCrossEntropy(0.1)), "loss was SoftmaxCrossEntropy"),
        (other(regularizer=dl.L2(0.02)), r"regularizer was L2\(0.01\) and is L2\(0.02\)"),
        (other(optimizer=dl.SGD(0.05, momentum=0.8)), "optimizer was SGD"),
        (other(optimizer=dl.Adam(0.05)), "optimizer was SGD"),
        (other(optimizer=dl.SGD(dl.ExponentialDecay(0.05, 0.9), momentum=0.9)), "optimizer was SGD"),
        (other(network=dl.Sequential(dl.Flatten(), dl.Dense(72, 3))), "weights are not of Model"),
        (other(rng=4), "rng was 3 and is 4"),
        (other(callbacks=[dl.EarlyStopping()]), "callbacks that remember something were none and are EarlySt"),
    ],
    ids=["loss", "regularizer", "momentum", "rule", "schedule", "network", "seed", "callbacks"],
)
def test_another_run_is_refused_and_nothing_changes(tmp_path, trainer, words):
    killed(sgd_with_momentum, tmp_path, 5, every_steps=1)
    before = everything(trainer)
    with pytest.raises(dl.CheckpointError, match=words):
        fit(trainer, {}, resume_from=tmp_path)
    assert everything(trainer) == before


def test_fewer_epochs_than_are_done(tmp_path):
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    fit(trainer, arguments)
    again, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    with pytest.raises(dl.InputError, match=r"epochs: expected at least 3, as many as .* has, got 2"):
        fit(again, arguments, epochs=2, resume_from=tmp_path)
    assert again.epoch == 0


def test_the_newest_whole_checkpoint_is_taken_and_nothing_deleted(tmp_path):
    killed(sgd_with_momentum, tmp_path, 7, every_steps=1)
    newest, second, third = checkpoint_paths(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-1])
    second.write_bytes(b"")
    trainer, arguments = sgd_with_momentum()
    with pytest.warns(UserWarning, match="going on from") as told:
        fit(trainer, arguments, resume_from=tmp_path)
    for path, warning in zip((newest, second), told, strict=True):
        assert re.search(f"{path.name}: .*; going on from {third.name}", str(warning.message))
    assert everything(trainer) == undisturbed(sgd_with_momentum)
    assert newest.exists()
    third.write_bytes(third.read_bytes() + b"0")
    trainer, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    with pytest.raises(dl.CheckpointError, match="no checkpoint in it is whole"):
        fit(trainer, arguments, resume_from=tmp_path)
    assert checkpoint_paths(tmp_path) == [newest, second, third]


def test_one_file_can_be_named(tmp_path):
    killed(sgd_with_momentum, tmp_path, 7, every_steps=1)
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path / "new")])
    fit(trainer, arguments, resume_from=str(checkpoint_path(tmp_path, 5)))
    assert everything(trainer) == undisturbed(sgd_with_momentum)
    with pytest.raises(dl.CheckpointError, match="No such file"):
        fit(trainer, arguments, resume_from=checkpoint_path(tmp_path, 77))
    trainer.model.save_weights(tmp_path / "weights.safetensors")
    with pytest.raises(dl.CheckpointError, match="expected a checkpoint, got weights alone"):
        fit(trainer, arguments, resume_from=tmp_path / "weights.safetensors")


def test_a_callback_of_ones_own_goes_on(tmp_path):
    class Draws(dl.Callback):
        saved_attributes = ("rng", "numbers", "table", "seen")

        def on_train_begin(self, trainer):
            self.rng, self.numbers, self.table, self.seen = np.random.default_rng(6), [], {}, (0, "none")

        def on_batch_end(self, trainer):
            self.numbers.append(self.rng.random())
            self.table[str(trainer.step)] = np.full((2, 2), trainer.step)
            self.seen = (trainer.step, "some")

    def run(callbacks):
        trainer, arguments = sgd_with_momentum([Draws(), *callbacks])
        return trainer, arguments

    whole, arguments = run([])
    fit(whole, arguments)
    killed(run, tmp_path, 5, every_steps=2)
    found, expected = resumed(run, tmp_path).callbacks[0], whole.callbacks[0]
    assert found.numbers == expected.numbers
    assert found.seen == expected.seen
    assert found.table.keys() == expected.table.keys()
    assert all((found.table[key] == expected.table[key]).all() for key in expected.table)


def test_what_no_file_can_hold_is_refused_before_the_first_step(tmp_path):
    class Holds(dl.Callback):
        saved_attributes = ("thing",)
        thing = object()

    trainer, arguments = sgd_with_momentum([Holds(), dl.Checkpoint(tmp_path)])
    with pytest.raises(dl.InputError, match=r"checkpoint: callbacks.0.1.thing: expected .* got object"):
        fit(trainer, arguments)
    assert trainer.step == 0


def test_another_machine_is_told(tmp_path, monkeypatch):
    killed(sgd_with_momentum, tmp_path, 5, every_steps=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    with pytest.warns(UserWarning, match="with other roundings: threads .* is now .*77"):
        fit(trainer, arguments, resume_from=tmp_path)


def forged(path, change):
    """Give a checkpoint another state, with a digest that fits: whoever can write the file can do that."""
    weights, state = read_checkpoint(path)
    change(state)
    dl.checkpoint.write_checkpoint(path, weights, state)


FORGERIES = {
    "a count below 0": lambda state: state["counters"].update(epoch=-1),
    "a count that is none": lambda state: state["counters"].update(step="4"),
    "a count that is true": lambda state: state["counters"].update(batch=True),
    "no counts": lambda state: state.pop("counters"),
    "a seed below 0": lambda state: state.update(seed=-3),
    "a history of text": lambda state: state.update(history="long"),
    "a history of lists": lambda state: state.update(history=[{"loss": 1.0}]),
    "a row of text": lambda state: state.update(history='[{"loss": "low"}]'),
    "a row that is none": lambda state: state.update(history="[5]"),
    "logs of lists": lambda state: state.update(logs={"loss": [1]}),
    "a rate below 0": lambda state: state["optimizer"].update(learning_rate=-1.0),
    "a rate of NaN": lambda state: state["optimizer"].update(learning_rate=float("nan")),
    "a slot too small": lambda state: state["optimizer"]["state"]["1.weight"].update(velocity=np.ones(2)),
    "a slot that is a number": lambda state: state["optimizer"]["state"]["1.weight"].update(velocity=2),
    "a slot of nothing": lambda state: state["optimizer"]["state"].update(other={}),
    "frozen what is not there": lambda state: state.update(frozen=["9.weight"]),
    "a layer too many": lambda state: state.update(layers={"5.": {"seed": 1}}),
    "callbacks of text": lambda state: state.update(callbacks=["Checkpoint"]),
    "an attribute of another kind": lambda state: state["callbacks"][0][1].update(_best="low"),
    "a callback without its attribute": lambda state: state["callbacks"][0].__setitem__(1, {}),
    "terms of numbers": lambda state: state.update(terms=5),
    "no rate": lambda state: state["optimizer"].update(learning_rate=0.0),
    "more batches than an epoch has": lambda state: state["counters"].update(batch=4),
    "more epochs before than in all": lambda state: state["counters"].update(first_epoch=9),
    "stopping by text": lambda state: state.update(stopping="no"),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_state_is_refused_and_nothing_changes(tmp_path, change):
    def run(callbacks):
        trainer, arguments = sgd_with_momentum([dl.EarlyStopping(), *callbacks])
        return trainer, arguments

    killed(run, tmp_path, 5, every_steps=1)
    path = checkpoint_paths(tmp_path)[0]
    forged(path, change)
    trainer, arguments = run([dl.Checkpoint(tmp_path)])
    before = everything(trainer)
    with pytest.raises(dl.CheckpointError, match=path.name):
        fit(trainer, arguments, resume_from=path)
    assert everything(trainer) == before


def test_the_fingerprint_sees_targets_shapes_and_rows():
    data = images()
    seen = {resume.fingerprint(data), resume.fingerprint(data[:39])}
    targets = data.y.copy()
    targets[7] = (targets[7] + 1) % 3
    pixels = data.x.copy()
    pixels[3, 2, 2, 1] += 1
    seen |= {resume.fingerprint(dl.Dataset(data.x, targets)), resume.fingerprint(dl.Dataset(pixels, data.y))}
    seen.add(resume.fingerprint(dl.Dataset(data.x.astype(np.float64), data.y)))
    assert len(seen) == 5
    assert resume.fingerprint(dl.Dataset(data.x.copy(order="F"), data.y)) == resume.fingerprint(data)


def campaign(*arguments, timeout=600):
    """Run the campaign in a process of its own, whose BLAS has one thread, and return its counts."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CAMPAIGN), *map(str, arguments)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    assert answer.returncode == 0, answer.stderr
    counts = json.loads(answer.stdout)
    print(" ".join(map(str, arguments)), counts)
    return counts


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_every_file_operation(name, capsys):
    with capsys.disabled():
        counts = campaign("operations", name)
    assert counts["kills"] >= 80
    assert counts["different"] == 0


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_random_instants(name, capsys):
    with capsys.disabled():
        counts = campaign("random", name, 50, 1)
    assert counts["kills"] >= 50
    assert counts["longest_chain"] >= 3
    assert counts["different"] == 0


@pytest.mark.nightly
@pytest.mark.parametrize("name", RUNS)
def test_killed_at_many_random_instants(name, capsys):
    with capsys.disabled():
        counts = campaign("random", name, 250, 2, timeout=3600)
    assert counts["kills"] >= 250
    assert counts["different"] == 0


def test_resuming_warns_of_nothing_on_the_same_machine(tmp_path):
    killed(adam_with_schedule, tmp_path, 5, every_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed(adam_with_schedule, tmp_path)
