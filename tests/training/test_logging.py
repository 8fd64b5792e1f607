"""CSVLogger and JSONLLogger: the file is always the history, and no file of another run is lost."""

import os
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
from training_runs import BATCH, Death, DieAt, Measures, at, fit, images, saved_steps, trained, usual_run

import minidl as dl
from minidl.training.checkpoint import checkpoint_path

STEPS = 3  # in an epoch
LOGGERS = {"csv": dl.CSVLogger, "jsonl": dl.JSONLLogger}


@pytest.fixture(params=LOGGERS)
def kind(request):
    return request.param


def read(path):
    return getattr(dl.History, f"from_{path.suffix[1:]}")(path)


def logged(path, *others, **options):
    """Return a trainer that was fitted with a logger of this file, and with other callbacks."""
    return trained(LOGGERS[path.suffix[1:]](path), *others, **options)


def test_the_file_is_the_history_after_each_epoch(tmp_path, kind):
    path = tmp_path / "runs" / f"log.{kind}"
    equal = []
    look = dl.LambdaCallback(on_epoch_end=lambda trainer: equal.append(read(path) == trainer.history))
    look.runs_last = True
    trainer = logged(path, look)
    assert equal == [True] * 3
    assert read(path) == trainer.history
    fit(trainer, {}, 2)  # goes on in the same file
    assert read(path)["epoch"] == [1, 2, 3, 4, 5]
    assert read(path) == trainer.history
    assert os.listdir(path.parent) == [path.name]
    written = path.read_bytes()
    assert getattr(trainer.history, f"to_{kind}")(path).read_bytes() == written


@pytest.mark.parametrize("moment", ["step", "epoch"])
@pytest.mark.parametrize("every_epochs", [1, 2, 3])
def test_killed_anywhere_and_resumed_there_is_one_row_per_epoch(tmp_path, kind, every_epochs, moment):
    for step in range(1, 4 * STEPS):
        if moment == "epoch" and step % STEPS:
            continue
        path, saves = tmp_path / f"log-{step}.{kind}", tmp_path / str(step)
        usual = Measures(1, 2, 3, 4), dl.Checkpoint(saves, every_epochs)
        with pytest.raises(Death):
            logged(path, *usual, DieAt(step, moment=moment), epochs=4)
        before = path.read_bytes() if path.exists() else b""
        done = step // STEPS if moment == "epoch" else (step - 1) // STEPS
        assert not done or read(path)["epoch"] == list(range(1, done + 1))
        new = before and not saved_steps(saves)  # nothing to go on from
        warns = pytest.warns(UserWarning, match=rf"is of another run; it was renamed to log-{step}-1")
        with warns if new else nullcontext():
            trainer = logged(path, *usual, epochs=4, resume_from=saves)
        assert [kept.read_bytes() for kept in tmp_path.glob(f"log-{step}-*")] == ([before] if new else [])
        assert read(path) == trainer.history
        assert read(path)["epoch"] == read(path)["quality"] == [1, 2, 3, 4]


@pytest.mark.parametrize("epochs_done", [1, 2])
def test_killed_after_the_first_row_and_resumed_in_the_middle_of_its_epoch(tmp_path, kind, epochs_done):
    path, saves = tmp_path / f"log.{kind}", tmp_path / "saves"
    checkpoint = dl.Checkpoint(saves, None, 2)
    for _ in range(2):  # twice at the same place
        with pytest.raises(Death):
            logged(path, checkpoint, DieAt(epochs_done * STEPS, moment="epoch"), epochs=4, resume_from=saves)
        for later in saved_steps(saves)[:-1]:  # as if it could not be written
            checkpoint_path(saves, later).unlink()
        assert saved_steps(saves) == [2]
        assert read(path)["epoch"] == list(range(1, epochs_done + 1))
    trainer = logged(path, checkpoint, epochs=4, resume_from=saves)
    assert not list(tmp_path.glob("log-*"))
    assert read(path) == trainer.history
    assert read(path)["epoch"] == [1, 2, 3, 4]


@pytest.mark.parametrize("there", ["another run", "other columns", "nothing measured"])
def test_resumed_in_the_first_epoch_the_file_of_another_run_is_kept(tmp_path, kind, there):
    path, saves = tmp_path / f"log.{kind}", tmp_path / "saves"

    def run(*others, seed=0, **options):
        trainer, _ = usual_run([LOGGERS[kind](path), *others])
        measured = there != "nothing measured"
        return trainer.fit(images(seed=seed), epochs=2, batch_size=BATCH, train_metrics=measured, **options)

    with pytest.raises(Death):
        run(DieAt(2), dl.Checkpoint(saves, None, 2))
    if there == "other columns":
        getattr(dl.History([{"mine": 1.0}]), f"to_{kind}")(path)
    else:
        run(seed=9)
    before = path.read_bytes()
    with pytest.warns(UserWarning, match="is of another run; it was renamed to log-1"):
        history = run(dl.Checkpoint(saves, None, 2), resume_from=saves)
    assert (tmp_path / f"log-1.{kind}").read_bytes() == before
    assert read(path) == history


CONTENTS = {
    "another run": (b"epoch,loss\n1,2.5\n", b'{"epoch": 1, "loss": 2.5}\n', "is of another run"),
    "something else": (b"a letter", b"a letter", "is not a history in this format"),
    "a torn line": (b"epoch,loss\n1,2.5\n2", b'{"epoch": 1, "lo', "is not a history in this format"),
    "no text": (b"\xff\xfe\x00", b"\xff\xfe\x00", "is not a history in this format"),
    "no rows": (b"epoch\n", b"", None),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_an_existing_file_is_kept_under_another_name(tmp_path, kind, content):
    path = tmp_path / f"log.{kind}"
    as_csv, as_jsonl, reason = CONTENTS[content]
    there = as_csv if kind == "csv" else as_jsonl
    path.write_bytes(there)
    (tmp_path / f"log-1.{kind}").write_bytes(b"an older one")
    warns = rf"log\.{kind} {reason}.*; it was renamed to log-2\.{kind}"
    with pytest.warns(UserWarning, match=warns) if reason else nullcontext():
        trainer = logged(path, epochs=2)
    assert (tmp_path / f"log-1.{kind}").read_bytes() == b"an older one"
    assert len(os.listdir(tmp_path)) == (3 if reason else 2)
    assert not reason or (tmp_path / f"log-2.{kind}").read_bytes() == there
    assert read(path) == trainer.history


def test_a_run_without_epochs_keeps_the_file_and_a_later_run_writes_all_rows(tmp_path, kind):
    path = tmp_path / f"log.{kind}"
    path.write_bytes(b"")
    trainer = logged(path, DieAt(1), epochs=0)
    with pytest.raises(Death):
        fit(trainer, {}, 1)
    assert path.read_bytes() == b""
    trainer.callbacks, logger = [], trainer.callbacks[0]
    fit(trainer, {}, 2)
    trainer.callbacks = [logger]
    fit(trainer, {}, 1)
    assert read(path)["epoch"] == [2, 3, 4]


def test_going_back_to_an_older_checkpoint_keeps_the_later_rows(tmp_path):
    path, saves = tmp_path / "log.csv", tmp_path / "run"
    logged(path, dl.Checkpoint(saves))
    before = path.read_bytes()
    with pytest.warns(UserWarning, match=r"more epochs than the checkpoint .*log-1\.csv"):
        trainer = logged(path, resume_from=checkpoint_path(saves, STEPS))
    assert (tmp_path / "log-1.csv").read_bytes() == before
    assert read(path) == trainer.history


def test_a_failed_write_ends_training_and_leaves_the_last_rows(tmp_path, monkeypatch):
    fails = Mock(side_effect=OSError(5, "planted"))
    path = tmp_path / "log.csv"
    with pytest.raises(OSError, match="planted"):
        logged(path, at("on_epoch_begin", 3, lambda trainer: monkeypatch.setattr("os.replace", fails)), epochs=4)
    monkeypatch.undo()
    assert read(path)["epoch"] == [1, 2]
    assert os.listdir(tmp_path) == ["log.csv"]


def test_a_path_must_be_a_path(kind):
    for path in ("", None, 3, b"log.csv"):
        with pytest.raises(dl.InputError, match="path: expected the name of a file"):
            LOGGERS[kind](path)
