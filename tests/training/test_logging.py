"""CSVLogger and JSONLLogger: the file is the history, whatever happens, and nothing of another run is lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from training_runs import Death, DieAt, fit, saved_steps, sgd_with_momentum

import minidl as dl
from minidl.training.checkpoint import checkpoint_path

STEPS = 3  # in an epoch
LOGGERS = {"csv": dl.CSVLogger, "jsonl": dl.JSONLLogger}


@pytest.fixture(params=LOGGERS)
def kind(request):
    return request.param


def read(path):
    return getattr(dl.History, f"from_{path.suffix[1:]}")(path)


def make(path, *others):
    return sgd_with_momentum([LOGGERS[path.suffix[1:]](path), *others])


def test_the_file_is_the_history_after_each_epoch(tmp_path, kind):
    path = tmp_path / "runs" / f"log.{kind}"
    seen = []
    look = dl.LambdaCallback(on_epoch_end=lambda trainer: seen.append(read(path) == trainer.history))
    trainer, arguments = make(path, look)
    fit(trainer, arguments, 3)
    assert seen == [True] * 3
    assert read(path) == trainer.history
    fit(trainer, arguments, 2)  # goes on in the same file
    assert read(path)["epoch"] == [1, 2, 3, 4, 5]
    assert read(path) == trainer.history
    assert os.listdir(path.parent) == [path.name]


def test_a_csv_line_and_a_strict_json_line_are_what_others_read(tmp_path):
    trainer, arguments = sgd_with_momentum([dl.CSVLogger(tmp_path / "a.csv"), dl.JSONLLogger(tmp_path / "a.jsonl")])
    fit(trainer, arguments, 1)
    trainer.model.network.layers[1].weight.value[0, 0] = float("nan")
    fit(trainer, arguments, 1, nonfinite="ignore")
    header, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert header == "epoch,loss,cost,accuracy,val_loss,val_cost,val_accuracy,learning_rate,seconds"
    assert [row.split(",")[:2] for row in rows] == [["1", repr(trainer.history["loss"][0])], ["2", "NaN"]]
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines[0] == trainer.history.rows[0]
    assert lines[1]["loss"] == "NaN"


@pytest.mark.parametrize("moment", ["step", "epoch"])
@pytest.mark.parametrize("every_epochs", [1, 2, 3])
def test_killed_anywhere_and_resumed_there_is_one_row_an_epoch(tmp_path, kind, every_epochs, moment):
    for step in range(1, 4 * STEPS):
        if moment == "epoch" and step % STEPS:
            continue
        path, saves = tmp_path / f"log-{step}.{kind}", tmp_path / str(step)
        trainer, arguments = make(path, DieAt(step, moment=moment), dl.Checkpoint(saves, every_epochs))
        with pytest.raises(Death):
            fit(trainer, arguments, 4)
        before = path.read_bytes() if path.exists() else b""
        done = step // STEPS if moment == "epoch" else (step - 1) // STEPS
        assert not done or read(path)["epoch"] == list(range(1, done + 1))
        trainer, arguments = make(path, dl.Checkpoint(saves, every_epochs))
        if before and not saved_steps(saves):  # nothing to go on from: a new run
            with pytest.warns(UserWarning, match=rf"is of another run; it is kept as log-{step}-1"):
                fit(trainer, arguments, 4, resume_from=saves)
            assert (tmp_path / f"log-{step}-1.{kind}").read_bytes() == before
        else:
            fit(trainer, arguments, 4, resume_from=saves)
            assert not list(tmp_path.glob(f"log-{step}-*"))
        assert read(path) == trainer.history
        assert read(path)["epoch"] == [1, 2, 3, 4]


PROGRAM = """
import os, signal, sys, minidl as dl
sys.path.insert(0, sys.argv[3])
from training_runs import Death, DieAt, fit, saved_steps, sgd_with_momentum

def die(trainer):
    if trainer.step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

folder = sys.argv[1]
loggers = [dl.CSVLogger(folder + "/log.csv"), dl.JSONLLogger(folder + "/log.jsonl")]
others = [dl.LambdaCallback(on_batch_end=die), dl.Checkpoint(folder + "/run", 2)]
trainer, arguments = sgd_with_momentum([*loggers, *others])
fit(trainer, arguments, 5, resume_from=folder + "/run")
trainer.history.to_csv(folder + "/expected.csv")
"""


def test_really_killed_twice_and_started_again(tmp_path):
    def start(step):
        tests = str(Path(__file__).parent.parent / "support")
        run = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path), str(step), tests]
        return subprocess.run(run, check=False).returncode

    assert start(8) == -signal.SIGKILL
    assert read(tmp_path / "log.csv")["epoch"] == [1, 2]
    assert start(11) == -signal.SIGKILL
    assert read(tmp_path / "log.csv") == read(tmp_path / "log.jsonl")
    assert read(tmp_path / "log.csv")["epoch"] == [1, 2, 3]
    assert start(0) == 0
    assert read(tmp_path / "log.csv") == read(tmp_path / "log.jsonl") == read(tmp_path / "expected.csv")
    assert read(tmp_path / "log.csv")["epoch"] == [1, 2, 3, 4, 5]
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "log.jsonl", "expected.csv", "run"}


CONTENTS = {
    "another run": (b"epoch,loss\n1,2.5\n", b'{"epoch": 1, "loss": 2.5}\n', "is of another run"),
    "something else": (b"a letter", b"a letter", "is no history of this kind"),
    "a torn line": (b"epoch,loss\n1,2.5\n2", b'{"epoch": 1, "lo', "is no history of this kind"),
    "no text": (b"\xff\xfe\x00", b"\xff\xfe\x00", "is no history of this kind"),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_there_already_is_kept_beside(tmp_path, kind, content):
    path = tmp_path / f"log.{kind}"
    as_csv, as_jsonl, reason = CONTENTS[content]
    there = as_csv if kind == "csv" else as_jsonl
    path.write_bytes(there)
    (tmp_path / f"log-1.{kind}").write_bytes(b"an older one")
    trainer, arguments = make(path)
    with pytest.warns(UserWarning, match=rf"log\.{kind} {reason}.*; it is kept as log-2\.{kind}"):
        fit(trainer, arguments, 2)
    assert (tmp_path / f"log-1.{kind}").read_bytes() == b"an older one"
    assert (tmp_path / f"log-2.{kind}").read_bytes() == there
    assert read(path) == trainer.history


def test_a_file_without_rows_is_not_worth_keeping(tmp_path, kind):
    path = tmp_path / f"log.{kind}"
    getattr(dl.History(), f"to_{kind}")(path)
    fit(*make(path), 1)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_run_that_measures_nothing_leaves_what_is_there(tmp_path, kind):
    path = tmp_path / f"log.{kind}"
    path.write_bytes(b"old")
    trainer, arguments = make(path, DieAt(1))
    fit(trainer, arguments, 0)
    with pytest.raises(Death):
        fit(trainer, arguments, 1)
    assert path.read_bytes() == b"old"


def test_going_back_to_an_older_checkpoint_keeps_the_later_rows(tmp_path):
    path, saves = tmp_path / "log.csv", tmp_path / "run"
    trainer, arguments = make(path, dl.Checkpoint(saves))
    fit(trainer, arguments, 3)
    before = path.read_bytes()
    oldest = checkpoint_path(saves, STEPS)
    trainer, arguments = make(path)
    with pytest.warns(UserWarning, match=r"goes further than the checkpoint .*log-1\.csv"):
        fit(trainer, arguments, 3, resume_from=oldest)
    assert (tmp_path / "log-1.csv").read_bytes() == before
    assert read(path) == trainer.history


def test_a_logger_that_comes_later_writes_what_was_before_it(tmp_path):
    trainer, arguments = sgd_with_momentum()
    fit(trainer, arguments, 2)
    trainer.callbacks.append(dl.CSVLogger(tmp_path / "log.csv"))
    fit(trainer, arguments, 1)
    assert read(tmp_path / "log.csv")["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("place", ["folder", "file/log.csv", "/dev/null", "locked/log.csv"])
def test_what_cannot_be_written_is_refused_when_training_begins(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "locked").mkdir(mode=0o500)
    if "locked" in place and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    trainer, arguments = sgd_with_momentum([dl.CSVLogger(tmp_path / place)])
    with pytest.raises(dl.InputError, match="expected a f"):
        fit(trainer, arguments, 1)
    assert trainer.step == 0


def test_a_failed_write_ends_training_and_leaves_the_last_rows(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(5, "planted")

    def break_it(trainer):
        if trainer.epoch == 3:
            monkeypatch.setattr("os.replace", fail)

    path = tmp_path / "log.csv"
    with pytest.raises(OSError, match="planted"):
        fit(*make(path, dl.LambdaCallback(on_epoch_begin=break_it)), 4)
    monkeypatch.undo()
    assert read(path)["epoch"] == [1, 2]
    assert os.listdir(tmp_path) == ["log.csv"]


def test_a_path_must_be_a_name_and_shows(tmp_path, kind):
    for path in ("", None, 3, b"log.csv"):
        with pytest.raises(dl.InputError, match="path: expected the name of a file"):
            LOGGERS[kind](path)
    assert repr(LOGGERS[kind](tmp_path / "log")) == f"{LOGGERS[kind].__name__}({str(tmp_path / 'log')!r})"
