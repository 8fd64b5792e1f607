"""CSVLogger and JSONLLogger: the file is the history, whatever happens, and nothing of another run is lost."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from training_runs import fit, sgd_with_momentum

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths

STEPS = 3  # in an epoch
LOGGERS = {"csv": dl.CSVLogger, "jsonl": dl.JSONLLogger}


class Death(Exception):  # noqa: N818 (it is none)
    pass


class DieAt(dl.Callback):
    """Ends the process, as far as the run can tell: after a step, or after an epoch that is logged but not saved."""

    runs_last = True

    def __init__(self, step, moment):
        self.step, self.moment = step, moment

    def on_batch_end(self, trainer):
        if self.moment == "step" and trainer.step == self.step:
            raise Death

    def on_epoch_end(self, trainer):
        if self.moment == "epoch" and trainer.step == self.step:
            raise Death


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


def test_a_csv_line_and_a_json_line_are_what_others_read(tmp_path):
    trainer, arguments = sgd_with_momentum([dl.CSVLogger(tmp_path / "a.csv"), dl.JSONLLogger(tmp_path / "a.jsonl")])
    fit(trainer, arguments, 2)
    header, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert header == "epoch,loss,cost,accuracy,val_loss,val_cost,val_accuracy,learning_rate,seconds"
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines == trainer.history.rows


def test_nan_is_a_text_in_strict_json(tmp_path):
    trainer, arguments = make(tmp_path / "log.jsonl")
    trainer.model.network.layers[1].weight.value[0, 0] = float("nan")
    fit(trainer, arguments, 1, nonfinite="ignore")
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] == "NaN"


@pytest.mark.parametrize("moment", ["step", "epoch"])
@pytest.mark.parametrize("every_epochs", [1, 2, 3])
def test_killed_anywhere_and_resumed_there_is_one_row_an_epoch(tmp_path, kind, every_epochs, moment):
    for step in range(1, 4 * STEPS):
        if moment == "epoch" and step % STEPS:
            continue
        path, saves = tmp_path / f"log-{step}.{kind}", tmp_path / str(step)
        trainer, arguments = make(path, DieAt(step, moment), dl.Checkpoint(saves, every_epochs))
        with pytest.raises(Death):
            fit(trainer, arguments, 4)
        before = path.read_bytes() if path.exists() else b""
        done = step // STEPS if moment == "epoch" else (step - 1) // STEPS
        assert not done or read(path)["epoch"] == list(range(1, done + 1))
        trainer, arguments = make(path, dl.Checkpoint(saves, every_epochs))
        if before and not checkpoint_paths(saves):  # nothing to go on from: a new run
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
from training_runs import fit, sgd_with_momentum

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
    trainer, arguments = make(path)
    fit(trainer, arguments, 1)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_run_that_measures_nothing_leaves_what_is_there(tmp_path, kind):
    path = tmp_path / f"log.{kind}"
    path.write_bytes(b"old")
    trainer, arguments = make(path)
    fit(trainer, arguments, 0)
    trainer.callbacks.append(DieAt(1, "step"))
    with pytest.raises(Death):
        fit(trainer, arguments, 1)
    assert path.read_bytes() == b"old"


def test_going_back_to_an_older_checkpoint_keeps_the_later_rows(tmp_path):
    path, saves = tmp_path / "log.csv", tmp_path / "run"
    trainer, arguments = make(path, dl.Checkpoint(saves))
    fit(trainer, arguments, 3)
    before = path.read_bytes()
    oldest = checkpoint_paths(saves)[-1]
    trainer, arguments = make(path)
    with pytest.warns(
        UserWarning, match=r"goes further than the checkpoint that was asked for; it is kept as log-1\.csv"
    ):
        fit(trainer, arguments, 3, resume_from=oldest)
    assert (tmp_path / "log-1.csv").read_bytes() == before
    assert read(path) == trainer.history


def test_a_logger_that_comes_later_writes_what_was_before_it(tmp_path):
    trainer, arguments = sgd_with_momentum()
    fit(trainer, arguments, 2)
    trainer.callbacks.append(dl.CSVLogger(tmp_path / "log.csv"))
    fit(trainer, arguments, 1)
    assert read(tmp_path / "log.csv")["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("place", ["folder", "file/log.csv", "/dev/null"])
def test_what_cannot_be_written_is_refused_when_training_begins(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    steps = []
    trainer, arguments = sgd_with_momentum([dl.CSVLogger(tmp_path / place)])
    trainer.callbacks.append(dl.LambdaCallback(on_batch_end=lambda trainer: steps.append(trainer.step)))
    with pytest.raises(dl.InputError, match="expected a f"):
        fit(trainer, arguments, 1)
    assert steps == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_is_refused_when_training_begins(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    trainer, arguments = sgd_with_momentum([dl.CSVLogger(tmp_path / "locked" / "log.csv")])
    with pytest.raises(dl.InputError, match="expected a folder that can be written"):
        fit(trainer, arguments, 1)


def test_a_failed_write_ends_training_and_leaves_the_last_rows(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    trainer, arguments = make(path)

    def fail(source, target):
        raise OSError(5, "planted")

    break_it = dl.LambdaCallback(
        on_epoch_begin=lambda trainer: monkeypatch.setattr("os.replace", fail) if trainer.epoch == 3 else None
    )
    trainer.callbacks.append(break_it)
    with pytest.raises(OSError, match="planted"):
        fit(trainer, arguments, 4)
    monkeypatch.undo()
    assert read(path)["epoch"] == [1, 2]
    assert os.listdir(tmp_path) == ["log.csv"]


@pytest.mark.parametrize("path", ["", None, 3, b"log.csv"])
def test_a_path_must_be_a_name(kind, path):
    with pytest.raises(dl.InputError, match="path: expected the name of a file"):
        LOGGERS[kind](path)


def test_repr_names_the_file(tmp_path):
    assert re.fullmatch(r"JSONLLogger\('/.*/log\.jsonl'\)", repr(dl.JSONLLogger(tmp_path / "log.jsonl")))
