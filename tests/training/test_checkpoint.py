"""Checkpoint files: which are kept, their contents, and that a failed save loses nothing."""

import collections
import errno
import itertools
import json
import os

import numpy as np
import pytest
from faulty_os import TAKES_SPACE, WRITING, FaultyOs, replacing_os
from training_runs import Death, DieAt, Measures, at, ended_by, everything, fit, saved_steps, trained, usual_run

import minidl as dl
from minidl._storage.locks import locked
from minidl._storage.tensors import read_tensors, write_tensors
from minidl.training.checkpoint import checkpoint_paths, find_checkpoint, read_checkpoint, steps_of, write_checkpoint


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.glob("*.safetensors")}


def best_of(directory):
    return read_checkpoint(directory / "best.safetensors")[1]["run"]


def refused(words, *callbacks, error=dl.InputError, **options):
    """Check that training is refused before its first step."""
    assert ended_by(error, *callbacks, match=words, **options).step == 0


# ---- which are kept


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, [9, 6, 3]),
        ({"keep": 1}, [9]),
        ({"every_epochs": 2}, [9, 6]),
        ({"every_epochs": None, "every_steps": 4}, [9, 8, 4]),
        ({"every_steps": 2, "keep": 99}, [9, 8, 6, 4, 3, 2]),
        ({"every_epochs": None, "every_steps": 100}, [9]),
    ],
)
def test_number_of_checkpoints_kept(tmp_path, options, left):
    trained(dl.Checkpoint(tmp_path, **options))
    assert saved_steps(tmp_path) == left
    assert len(contents(tmp_path)) == len(left)


@pytest.mark.parametrize("number", ["", "copy", "²", "-1", "9" * 20])
def test_a_file_with_another_name_is_not_a_checkpoint(tmp_path, number):
    assert steps_of(tmp_path / f"checkpoint-{number}.safetensors") == -1


def test_an_old_checkpoint_is_removed_after_the_new_one_is_written(tmp_path):
    steps = []
    notes = dl.LambdaCallback(on_batch_end=lambda trainer: steps.append(saved_steps(tmp_path)))
    notes.runs_last = True
    trained(dl.Checkpoint(tmp_path, every_steps=1, keep=2), notes)
    assert steps == [[1], *([k + 1, k] for k in range(1, 9))]


def test_it_runs_after_all_others_and_saves_a_stopped_run(tmp_path):
    class Late(dl.Callback):
        saved_attributes = ("epochs",)
        epochs = 0

        def on_epoch_end(self, trainer):
            self.epochs = trainer.epoch
            trainer.stop()

    trained(dl.Checkpoint(tmp_path, every_epochs=100), Late())
    assert saved_steps(tmp_path) == [3]
    assert read_checkpoint(checkpoint_paths(tmp_path)[0])[1]["attributes"] == {"callback 0": {"epochs": 1}}


def test_the_best_checkpoint_is_never_removed(tmp_path):
    nan = float("nan")
    trained(Measures(nan, 3.0, 1.0, 2.0, nan, 1.0), dl.Checkpoint(tmp_path, keep=1, monitor="quality"), epochs=6)
    assert sorted(contents(tmp_path)) == ["best.safetensors", "checkpoint-000000018.safetensors"]
    assert best_of(tmp_path)["epoch"] == 3
    for name, array in trained().model.weights().items():
        np.testing.assert_array_equal(read_checkpoint(tmp_path / "best.safetensors")[0][name], array)


def test_the_best_value_is_kept_after_a_resume(tmp_path):
    measures = Measures(0.5, 0.9, 0.7, 0.8, name="my_accuracy")
    trained(measures, dl.Checkpoint(tmp_path, monitor="my_accuracy"), epochs=2)
    trained(measures, dl.Checkpoint(tmp_path, monitor="my_accuracy"), epochs=4, resume_from=tmp_path)
    assert best_of(tmp_path)["epoch"] == 2


@pytest.mark.parametrize("every", [5, 100])
def test_the_best_is_kept_even_if_it_is_newer_than_the_newest(tmp_path, every):
    for step, place in [(22, None), (20 if every == 5 else 23, tmp_path)]:
        save = dl.Checkpoint(tmp_path, every_epochs=every, monitor="quality")
        measures = Measures(5, 4, 4, 4, 4, 3.9, 1, 3, 3, 3)
        ended_by(Death, measures, DieAt(step), save, epochs=10, resume_from=place)
    assert best_of(tmp_path)["logs"]["quality"] == 1


def test_the_best_of_two_directories_and_of_two_fits(tmp_path):
    measures, everywhere = Measures(5, 1, 3, 4, 2), dl.Checkpoint(tmp_path / "all")
    ended_by(Death, measures, DieAt(8), everywhere, dl.Checkpoint(tmp_path / "best", monitor="quality"), epochs=4)
    before = contents(tmp_path / "best")
    both = measures, dl.Checkpoint(tmp_path / "all"), dl.Checkpoint(tmp_path / "best", monitor="quality")
    refused("this directory already has a run", *both, epochs=4, resume_from=tmp_path / "all")
    new = dl.Checkpoint(tmp_path / "new", monitor="quality")
    trainer = trained(measures, dl.Checkpoint(tmp_path / "all"), new, epochs=4, resume_from=tmp_path / "all")
    assert contents(tmp_path / "best") == before
    fit(trainer, {}, 1)
    assert best_of(tmp_path / "new")["logs"]["quality"] == 2


def test_an_unreadable_best_checkpoint_warns(tmp_path):
    trainer = trained(Measures(1, 2, 3), dl.Checkpoint(tmp_path, monitor="quality"), epochs=2)
    (tmp_path / "best.safetensors").write_bytes(b"short")
    with pytest.warns(UserWarning, match="cannot read the best checkpoint so far"):
        fit(trainer, {}, 1)
    assert best_of(tmp_path)["logs"]["quality"] == 3


# ---- refusals


WRONG = {"every_epochs": [None, 0], "every_steps": [2.5], "keep": [0], "mode": ["best"], "monitor": [5]}
WRONG["directory"] = [123, True, "", "a\0b", b"bytes"]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_options(tmp_path, name, value):
    with pytest.raises(dl.InputError, match=name):
        dl.Checkpoint(**{"directory": tmp_path, "monitor": "loss", name: value})


def test_an_unknown_monitor_names_the_nearest(tmp_path):
    refused("no 'val_los'; the nearest names are val_loss", dl.Checkpoint(tmp_path, monitor="val_los"))


def test_an_existing_run_is_not_overwritten(tmp_path):
    first = trained(dl.Checkpoint(tmp_path / "a"))
    trained(dl.Checkpoint(tmp_path / "b"), epochs=2)
    before = contents(tmp_path / "a")
    for options in ({}, {"epochs": 6, "resume_from": tmp_path / "b"}):
        refused(r"this directory already has a run.*resume_from=", dl.Checkpoint(tmp_path / "a"), **options)
    assert contents(tmp_path / "a") == before
    fit(first, {}, 1)  # the run itself goes on
    assert saved_steps(tmp_path / "a")[0] == 12


def test_a_directory_with_only_the_best_checkpoint_has_a_run(tmp_path):
    trained(Measures(1, 2), dl.Checkpoint(tmp_path, monitor="quality"), epochs=2)
    for path in checkpoint_paths(tmp_path):
        path.unlink()
    before = contents(tmp_path)
    refused(r"with best\.safetensors", Measures(0), dl.Checkpoint(tmp_path, monitor="quality"), epochs=1)
    assert contents(tmp_path) == before
    trained(Measures(0), dl.Checkpoint(tmp_path, monitor="quality"), epochs=1, resume_from=tmp_path)


def test_resuming_an_old_checkpoint_does_not_leave_two_branches(tmp_path):
    trainer = trained(dl.Checkpoint(tmp_path))
    before, early = contents(tmp_path), tmp_path / "checkpoint-000000003.safetensors"
    refused("step 3, but the later .* exists; remove", dl.Checkpoint(tmp_path), resume_from=early)
    assert contents(tmp_path) == before
    back = trained(dl.Checkpoint(tmp_path / "other"), resume_from=str(early))
    assert everything(back) == everything(trainer)
    trained(dl.Checkpoint(tmp_path), epochs=4, resume_from=tmp_path / "checkpoint-000000009.safetensors")


def test_two_runs_in_one_directory(tmp_path):
    with locked(tmp_path):
        refused(f"process {os.getpid()}", dl.Checkpoint(tmp_path))


def test_a_directory_name_may_end_like_a_file_and_the_working_directory_may_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    leave = dl.LambdaCallback(on_epoch_end=lambda trainer: monkeypatch.chdir(tmp_path / "elsewhere"))
    trained(leave, dl.Checkpoint("run.safetensors"), epochs=2)
    place = tmp_path / "run.safetensors"
    assert saved_steps(place) == [6, 3]
    trained(dl.Checkpoint(place), resume_from=place)


def test_weights_with_nan_are_never_saved(tmp_path):
    spoils = at("on_epoch_end", 2, lambda trainer: np.put(trainer.model.network.layers[1].bias.value, 3, np.nan))
    with pytest.raises(dl.NonFiniteError, match=r"1.bias: expected finite numbers, got 1 .* index \(3,\)"):
        trained(spoils, dl.Checkpoint(tmp_path))
    with pytest.warns(UserWarning, match="did not save .*: 1.bias"):
        trained(spoils, dl.Checkpoint(tmp_path / "other"), epochs=2, nonfinite="ignore")
    assert saved_steps(tmp_path) == saved_steps(tmp_path / "other") == [3]


@pytest.mark.parametrize(("moment", "number"), [("on_epoch_begin", 2), ("on_batch_begin", 3)])
def test_saving_before_the_first_step_of_an_epoch_is_refused(tmp_path, moment, number):
    save = at(moment, number, lambda trainer: trainer.save_checkpoint(tmp_path / "c.safetensors"))
    ended_by(dl.CallOrderError, save, match="no step of this epoch is done yet")


def test_saving_by_hand_and_before_a_fit(tmp_path):
    trainer, _ = usual_run()
    with pytest.raises(dl.CallOrderError, match="call fit first"):
        trainer.save_checkpoint(tmp_path / "c.safetensors")
    fit(trainer, {}, 1)
    trainer.save_checkpoint(tmp_path / "c.safetensors")
    assert everything(trained(resume_from=tmp_path / "c.safetensors")) == everything(trained())


# ---- a save that fails


@pytest.mark.parametrize(
    ("error", "sticky"),
    [(errno.ENOSPC, True), (errno.EIO, False), (errno.EACCES, True), (errno.EMFILE, False), (errno.EROFS, True)],
)
def test_a_save_may_fail_at_any_operation(tmp_path, error, sticky):
    """If any operation fails, training ends with a CheckpointError, and earlier checkpoints are intact."""
    watched = TAKES_SPACE if error == errno.ENOSPC else WRITING - {"rmdir"}
    outcomes = set()
    for number in itertools.count(1):
        directory = tmp_path / str(number)
        trainer = trained(dl.Checkpoint(directory, keep=1), epochs=1)
        assert saved_steps(directory) == [3]
        with replacing_os(FaultyOs(number, error, sticky=sticky, watched=watched)) as faulty:
            try:
                fit(trainer, {}, 2)
                outcome = "saved"
            except dl.CheckpointError as failure:
                outcome = "refused" if "could not save" in str(failure) else str(failure)
            except dl.InputError:  # before the first step
                assert trainer.step == 3
                outcome = "refused at the door"
        if not faulty.reached:
            break
        outcomes.add(outcome)
        _, weights, tree = find_checkpoint(directory)
        assert tree["run"]["step"] in (3, 6, 9)
        if outcome == "saved":
            assert tree["run"]["step"] == 9
            assert all((weights[name] == array).all() for name, array in trainer.model.weights().items())
        # The trainer can still be used.
        trainer.callbacks = []
        fit(trainer, {}, 1)
        assert everything(trainer) == everything(trained(epochs=len(trainer.history)))
    assert outcomes - {"saved"} == {"refused", "refused at the door"}


# ---- contents


def test_state_of_every_type_is_restored(tmp_path):
    rng = np.random.default_rng(5)
    rng.random(3)
    plain = {
        "none": None, "yes": True, "count": 2**62, "number": 0.1 + 0.2, "infinite": float("-inf"), "text": 'ü"\n',
        "list": [1, [2.5, "x"], {}], "float64": np.float64(0.1),
    }  # fmt: skip
    arrays = {"empty": np.zeros((0, 3), np.float32), "scalar": np.array(7), "column": np.ones((3, 2), order="F")}
    generators = {"rng": rng, "twister": np.random.Generator(np.random.MT19937(3))}
    tree = {**plain, **arrays, **generators, "tuple": (1, 2), "table": {"a b/c.d": {"e": np.arange(6).reshape(2, 3)}}}
    write_checkpoint(tmp_path / "c.safetensors", {"w": np.ones(2, np.float32)}, tree)
    weights, found = read_checkpoint(tmp_path / "c.safetensors")
    assert list(weights) == ["w"]
    assert {name: found[name] for name in plain} == plain
    assert [type(found[name]) for name in plain] == [*map(type, list(plain.values())[:-1]), float]
    assert found["tuple"] == [1, 2]
    arrays["e"], found["e"] = tree["table"]["a b/c.d"]["e"], found["table"]["a b/c.d"]["e"]
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected, strict=True)
        assert found[name].flags.writeable
    for name, generator in generators.items():
        assert found[name].random() == generator.random()


def test_shared_objects_stay_shared(tmp_path):
    rng, array = np.random.default_rng(1), np.arange(3)
    tree = {"a": rng, "b": {"c": [rng]}, "x": array, "y": array, "z": array.copy()}
    write_checkpoint(tmp_path / "c.safetensors", {}, tree)
    _, found = read_checkpoint(tmp_path / "c.safetensors")
    assert found["a"] is found["b"]["c"][0]
    assert found["x"] is found["y"]
    assert found["z"] is not found["x"]
    assert found["a"].random() == np.random.default_rng(1).random()
    np.testing.assert_array_equal(found["z"], array)


UNKNOWN = [object(), {1: 2}, {"@array": 1}, 1j, b"bytes", {"deep": [set()]}, np.float32(1)]
UNKNOWN += [collections.Counter(a=1), collections.defaultdict(int), np.ma.masked_array([1.0], [True])]
UNWRITABLE = [(np.ones(2, complex), "complex"), (np.array([object()]), "object"), (10**5000, "digits")]
UNWRITABLE += [(json.loads("[" * 40 + "]" * 40), "levels"), *((value, "thing.*None, a bool") for value in UNKNOWN)]


@pytest.mark.parametrize(("value", "words"), UNWRITABLE, ids=lambda value: type(value).__name__)
def test_state_of_other_types_is_refused_before_the_first_step(tmp_path, value, words):
    class Holds(dl.Callback):
        saved_attributes = ("thing",)
        thing = value

    errors = dl.InputError, dl.CheckpointError
    refused(f"^checkpoint: .*{words}", Holds(), dl.Checkpoint(tmp_path), error=errors)
    with pytest.raises(errors, match=words):
        write_checkpoint(tmp_path / "c.safetensors", {}, {"thing": value})
    assert contents(tmp_path) == {}


FORGED = ['{"@array": "b"}', '{"@array": []}', '{"@same": 3}', '{"@generator": {}}']
FORGED += ['{"@generator": {"bit_generator": "PCG64", "state": {"state": -1, "inc": 3}}}']


def text(tree="{}", machine="{}", number="2"):
    return {"minidl.format": number, "minidl.state": tree, "minidl.machine": machine}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        *((text(number=number), f"format '2', got '{number[:3]}") for number in ("1", "3", "0", "x" * 99)),
        *((text(tree), "expected a checkpoint") for tree in ("{", "[]", "[" * 99_999, "1" * 5000)),
        (text(machine="3"), "expected a checkpoint"),
        ({"minidl.format": "2", "minidl.state": "{}"}, "expected a checkpoint"),
        (text('{"a":' * 99 + "1" + "}" * 99), "deep"),
        *((text(f'{{"a": {part}}}'), "expected a checkpoint") for part in FORGED),
        ({"other": "text"}, "expected a checkpoint, got only weights"),
    ],
)
def test_invalid_texts(tmp_path, texts, words):
    write_tensors(tmp_path / "c.safetensors", {"w": np.ones(2)}, texts)
    with pytest.raises(dl.CheckpointError, match=words):
        read_checkpoint(tmp_path / "c.safetensors")


MT, PHILOX = (np.random.Generator(kind(0)).bit_generator.state for kind in (np.random.MT19937, np.random.Philox))


IMPOSSIBLE = [
    *(
        {**MT, "state": {**MT["state"], **part}}
        for part in ({"pos": 10**9}, {"pos": -1}, {"key": MT["state"]["key"][:9]})
    ),
    *({**PHILOX, "buffer_pos": position} for position in (-(10**9), 10**9)),
    {**PHILOX, "buffer": PHILOX["buffer"][:1]},
    {**PHILOX, "state": {**PHILOX["state"], "counter": PHILOX["state"]["counter"][:1]}},
    *({**MT, "bit_generator": name} for name in ("default_rng", ["PCG64"])),
]


@pytest.mark.parametrize("state", IMPOSSIBLE)
def test_a_generator_in_an_invalid_state(tmp_path, state):
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, {}, {"rng": {"generator": state}})
    arrays, texts = read_tensors(path)
    forged = texts["minidl.state"].replace('"generator"', '"@generator"')
    assert forged != texts["minidl.state"]
    write_tensors(path, arrays, texts | {"minidl.state": forged})
    with pytest.raises(dl.CheckpointError, match="expected a checkpoint of minidl"):
        read_checkpoint(path)
