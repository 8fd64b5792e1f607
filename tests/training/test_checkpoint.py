"""Checkpoint files: which there are, what they hold, and that a failed save never does harm."""

import errno
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from faulty_os import TAKES_SPACE, WRITING, FaultyOs, standing_in
from training_runs import adam_with_schedule, everything, fit, seeded, sgd_with_momentum

import minidl as dl
from minidl._storage.tensors import write_tensors
from minidl.training.checkpoint import checkpoint_paths, find_checkpoint, read_checkpoint, write_checkpoint


def names(directory):
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")


def steps(directory):
    return [int(path.stem.split("-")[1]) for path in checkpoint_paths(directory)]


class Notes(dl.Callback):
    """What lies in the directory after each step and epoch, seen after the Checkpoint's turn."""

    runs_last = True

    def __init__(self, directory):
        self.directory, self.seen = directory, []

    def on_batch_end(self, trainer):
        self.seen.append(steps(self.directory))


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, [9, 6, 3]),
        ({"keep": 1}, [9]),
        ({"every_epochs": 2}, [9, 6]),
        ({"every_epochs": None, "every_steps": 4}, [9, 8, 4]),
        ({"every_steps": 2}, [9, 8, 6]),
        ({"every_steps": 2, "keep": 99}, [9, 8, 6, 4, 3, 2]),
        ({"every_epochs": None, "every_steps": 100}, [9]),
    ],
    ids=str,
)
def test_what_is_kept(tmp_path, options, left):
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path, **options)])
    fit(trainer, arguments)
    assert steps(tmp_path) == left
    assert len(names(tmp_path)) == len(left)


def test_the_older_one_goes_only_when_the_newer_one_is_there(tmp_path):
    notes = Notes(tmp_path)
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path, every_steps=1, keep=2), notes])
    fit(trainer, arguments)
    assert notes.seen == [[1], *([k + 1, k] for k in range(1, 9))]


def test_it_has_its_turn_after_all_others(tmp_path):
    class Late(dl.Callback):
        saved_attributes = ("epochs",)

        def on_train_begin(self, trainer):
            self.epochs = 0

        def on_epoch_end(self, trainer):
            self.epochs += 1

    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path), Late()])
    fit(trainer, arguments, 2)
    _, state = read_checkpoint(checkpoint_paths(tmp_path)[0])
    assert [attributes for _, attributes in state["callbacks"]] == [{"epochs": 2}]


def test_the_best_stays_whatever_else_goes(tmp_path):
    class Measures(dl.Callback):
        values = iter([float("nan"), 3.0, 1.0, 2.0, float("nan"), 1.0])

        def on_epoch_end(self, trainer):
            trainer.logs["quality"] = next(self.values)

    trainer, arguments = sgd_with_momentum([Measures(), dl.Checkpoint(tmp_path, keep=1, monitor="quality")])
    fit(trainer, arguments, 6)
    assert names(tmp_path) == ["best.safetensors", "checkpoint-000000018.safetensors"]
    _, state = read_checkpoint(tmp_path / "best.safetensors")
    assert state["counters"]["epoch"] == 3
    best = seeded(sgd_with_momentum)[0]
    fit(best, {}, 3)
    other = sgd_with_momentum()[0].model
    other.load_weights(tmp_path / "best.safetensors")
    for name, array in best.model.weights().items():
        np.testing.assert_array_equal(other.weights()[name], array)


def test_the_best_is_still_the_best_after_a_resume(tmp_path):
    class Measures(dl.Callback):
        def on_epoch_end(self, trainer):
            trainer.logs["quality_accuracy"] = [0.5, 0.9, 0.7, 0.8][trainer.epoch - 1]

    def run():
        return sgd_with_momentum([Measures(), dl.Checkpoint(tmp_path, monitor="quality_accuracy")])

    trainer, arguments = run()
    fit(trainer, arguments, 2)
    trainer, arguments = run()
    fit(trainer, arguments, 4, resume_from=tmp_path)
    _, state = read_checkpoint(tmp_path / "best.safetensors")
    assert state["counters"]["epoch"] == 2


def test_a_name_that_does_not_exist_is_an_error_with_the_nearest(tmp_path):
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path, monitor="val_los")])
    with pytest.raises(dl.InputError, match="no 'val_los'; the nearest names are val_loss"):
        fit(trainer, arguments)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every_epochs": None}, "every_epochs or every_steps"),
        ({"every_epochs": 0}, "every_epochs: expected an integer >= 1"),
        ({"every_steps": 2.5}, "every_steps: expected an integer >= 1"),
        ({"keep": 0}, "keep: expected an integer >= 1"),
        ({"monitor": "loss", "mode": "best"}, "mode: expected"),
        ({"monitor": 5}, "monitor: expected the name"),
    ],
    ids=str,
)
def test_wrong_options(tmp_path, options, words):
    with pytest.raises(dl.InputError, match=words):
        dl.Checkpoint(tmp_path, **options)


def test_a_run_that_is_there_is_not_written_over(tmp_path):
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    fit(trainer, arguments)
    before = {path: path.read_bytes() for path in checkpoint_paths(tmp_path)}
    again, _ = sgd_with_momentum([dl.Checkpoint(tmp_path)])
    with pytest.raises(dl.InputError, match=r"a run in this directory already.*resume_from="):
        fit(again, arguments)
    assert again.step == 0
    assert {path: path.read_bytes() for path in checkpoint_paths(tmp_path)} == before
    fit(trainer, arguments, 1)  # the run itself goes on
    assert steps(tmp_path)[0] == 12


def test_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "file").write_text("mine")
    trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path / "file")])
    with pytest.raises(dl.InputError, match="expected a folder that can be written"):
        fit(trainer, arguments)
    assert (tmp_path / "file").read_text() == "mine"
    assert trainer.step == 0


def test_two_runs_in_one_directory(tmp_path):
    script = (
        "import sys, minidl as dl\nfrom minidl._storage.locks import locked\n"
        f"with locked({str(tmp_path)!r}): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout.readline() == "held\n"
        trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path)])
        with pytest.raises(dl.InputError, match=f"process {other.pid}"):
            fit(trainer, arguments)
        assert trainer.step == 0
        other.stdin.close()
    fit(trainer, arguments)
    assert steps(tmp_path) == [9, 6, 3]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE, errno.EROFS])
@pytest.mark.parametrize("sticky", [False, True])
def test_any_operation_of_a_save_may_fail(tmp_path, error, sticky):
    """Whatever operation fails, training ends with a CheckpointError, and what was saved before is whole."""
    watched = TAKES_SPACE if error == errno.ENOSPC else WRITING - {"rmdir"}
    outcomes = set()
    for number in itertools.count(1):
        directory = tmp_path / str(number)
        trainer, arguments = seeded(sgd_with_momentum, [dl.Checkpoint(directory, keep=1)])
        fit(trainer, arguments, 1)
        assert steps(directory) == [3]
        with standing_in(FaultyOs(number, error, sticky=sticky, watched=watched)) as faulty:
            try:
                fit(trainer, arguments, 2)
                outcome = "saved"
            except dl.CheckpointError as failure:
                outcome = "refused" if "not saved" in str(failure) else str(failure)
            except dl.InputError:  # before the first step
                assert trainer.step == 3
                outcome = "refused at the door"
        if not faulty.reached:
            break
        outcomes.add(outcome)
        _, weights, state = find_checkpoint(directory)
        assert state["counters"]["step"] in (3, 6, 9)
        if outcome == "saved":
            assert state["counters"]["step"] == 9
            assert all((weights[name] == array).all() for name, array in trainer.model.weights().items())
    assert outcomes - {"saved"} == {"refused", "refused at the door"}


def test_a_failed_save_leaves_the_training_usable(tmp_path):
    trainer, arguments = seeded(sgd_with_momentum, [dl.Checkpoint(tmp_path)])
    fit(trainer, arguments, 1)
    faulty = FaultyOs(8, errno.ENOSPC, sticky=True, watched=TAKES_SPACE)
    with standing_in(faulty), pytest.raises(dl.CheckpointError) as failure:
        fit(trainer, arguments, 2)
    assert "not saved" in str(failure.value)
    assert trainer.history.rows[0]["epoch"] == 1
    trainer.callbacks = []
    fit(trainer, arguments, 1)
    whole, arguments = seeded(sgd_with_momentum)
    fit(whole, arguments, len(trainer.history))
    assert everything(trainer) == everything(whole)


def test_state_of_every_kind_comes_back(tmp_path):
    rng = np.random.default_rng(5)
    rng.random(3)
    state = {
        "none": None, "yes": True, "count": 2**62, "number": 0.1 + 0.2, "infinite": float("-inf"), "text": 'ü"\n',
        "list": [1, [2.5, "x"], {}], "tuple": (1, 2), "table": {"a b/c.d": {"e": np.arange(6).reshape(2, 3)}},
        "empty": np.zeros((0, 3), np.float32), "scalar": np.array(7), "float64": np.float64(0.1),
        "column": np.ones((3, 2), order="F"),
        "rng": rng, "twister": np.random.Generator(np.random.MT19937(3)),
    }  # fmt: skip
    write_checkpoint(tmp_path / "c.safetensors", {"w": np.ones(2, np.float32)}, state)
    weights, found = read_checkpoint(tmp_path / "c.safetensors")
    assert list(weights) == ["w"]
    for name in ("none", "yes", "count", "number", "infinite", "text", "list", "float64"):
        assert found[name] == state[name]
        assert isinstance(found[name], type(state[name])) or name == "float64"
    assert found["tuple"] == [1, 2]
    for array, expected in [
        (found["table"]["a b/c.d"]["e"], state["table"]["a b/c.d"]["e"]),
        *((found[name], state[name]) for name in ("empty", "scalar", "column")),
    ]:
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
        assert array.flags.writeable
    for name in ("rng", "twister"):
        assert found[name].random() == state[name].random()


@pytest.mark.parametrize("value", [object(), {1: 2}, {"@array": 1}, 1j, b"bytes", {"deep": [set()]}, np.float32(1)])
def test_state_of_other_kinds_is_refused_before_the_disk_is_touched(tmp_path, value):
    with pytest.raises(dl.InputError, match=r"checkpoint: thing.*: expected None, a bool"):
        write_checkpoint(tmp_path / "c.safetensors", {}, {"thing": value})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"minidl.format": "2", "minidl.state": "{}", "minidl.machine": "{}"}, "format '2', .* reads up to 1"),
        ({"minidl.format": "0", "minidl.state": "{}", "minidl.machine": "{}"}, "format '0'"),
        ({"minidl.format": "x" * 99, "minidl.state": "{}", "minidl.machine": "{}"}, "format 'xxx"),
        ({"minidl.format": "1", "minidl.state": "{", "minidl.machine": "{}"}, "expected a checkpoint"),
        ({"minidl.format": "1", "minidl.state": "[]", "minidl.machine": "{}"}, "expected a checkpoint"),
        ({"minidl.format": "1", "minidl.state": "{}", "minidl.machine": "3"}, "expected a checkpoint"),
        ({"minidl.format": "1", "minidl.state": "{}"}, "expected a checkpoint"),
        ({"minidl.format": "1", "minidl.state": "[" * 99_999, "minidl.machine": "{}"}, "expected a checkpoint"),
        ({"minidl.format": "1", "minidl.state": '{"a":' * 99 + "1" + "}" * 99, "minidl.machine": "{}"}, "deep"),
        ({"minidl.format": "1", "minidl.state": '{"a": {"@array": "b"}}', "minidl.machine": "{}"}, "expected a chec"),
        ({"minidl.format": "1", "minidl.state": '{"a": {"@array": []}}', "minidl.machine": "{}"}, "expected a chec"),
        ({"minidl.format": "1", "minidl.state": '{"a": {"@generator": {}}}', "minidl.machine": "{}"}, "expected"),
        (
            {
                "minidl.format": "1",
                "minidl.state": '{"a": {"@generator": {"bit_generator": "PCG64", "state": {"state": -1, "inc": 3}}}}',
                "minidl.machine": "{}",
            },
            "expected",
        ),
        ({"minidl.format": "1", "minidl.state": "1" * 5000, "minidl.machine": "{}"}, "expected a checkpoint"),
        ({"other": "text"}, "expected a checkpoint, got weights alone"),
    ],
)
def test_texts_that_are_no_state(tmp_path, metadata, words):
    write_tensors(tmp_path / "c.safetensors", {"w": np.ones(2)}, metadata)
    with pytest.raises(dl.CheckpointError, match=words):
        read_checkpoint(tmp_path / "c.safetensors")


def test_other_tools_read_the_weights(tmp_path):
    numpy_side = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    trainer, arguments = adam_with_schedule([dl.Checkpoint(tmp_path)])
    fit(trainer, arguments, 1)
    found = numpy_side.load_file(checkpoint_paths(tmp_path)[0])
    for name, array in trainer.model.weights().items():
        np.testing.assert_array_equal(found[name], array)


def test_saving_by_hand_and_before_a_fit(tmp_path):
    trainer, arguments = seeded(sgd_with_momentum)
    with pytest.raises(dl.CallOrderError, match="call fit first"):
        trainer.save_checkpoint(tmp_path / "c.safetensors")
    fit(trainer, arguments, 1)
    trainer.save_checkpoint(tmp_path / "c.safetensors")
    again, _ = sgd_with_momentum()
    fit(again, arguments, 3, resume_from=tmp_path / "c.safetensors")
    whole, _ = seeded(sgd_with_momentum)
    fit(whole, arguments, 3)
    assert everything(again) == everything(whole)


def test_weights_with_nan_are_never_saved(tmp_path):
    class Spoils(dl.Callback):
        def on_epoch_end(self, trainer):
            if trainer.epoch == 2:
                trainer.model.network.layers[1].bias.value[3] = np.nan

    trainer, arguments = sgd_with_momentum([Spoils(), dl.Checkpoint(tmp_path)])
    with pytest.raises(dl.NonFiniteError, match=r"1.bias: expected finite numbers, got 1 .* index \(3,\)"):
        fit(trainer, arguments)
    assert steps(tmp_path) == [3]
    trainer, arguments = sgd_with_momentum([Spoils(), dl.Checkpoint(tmp_path / "other")])
    with pytest.warns(UserWarning, match="not saved: 1.bias"):
        fit(trainer, arguments, 2, nonfinite="ignore")
    assert steps(tmp_path / "other") == [3]


def test_nothing_stays_open(tmp_path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to count open files")
    before = len(os.listdir("/proc/self/fd"))
    for i in range(5):
        trainer, arguments = sgd_with_momentum([dl.Checkpoint(tmp_path / str(i))])
        fit(trainer, arguments, 1)
    assert len(os.listdir("/proc/self/fd")) == before
