"""Sweeps: each trial runs once, results depend neither on workers nor on order, and no finished trial is lost."""

import errno
import itertools
import os
import random
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import sweep_runs
from faulty_os import TAKES_SPACE, FaultyOs, replacing_os
from screen import terminal
from sweep_runs import rows, trials_of

import minidl as dl
from minidl._storage.locks import locked

GRID = {"x": [0, 1, 2, 3], "y": ["a", "b"]}


def test_a_grid_is_tried_in_its_order_and_every_trial_is_a_line(sweep, out):
    result = sweep(sweep_runs.noisy, GRID)
    assert [t.config for t in result] == [{"x": x, "y": y} for x in GRID["x"] for y in GRID["y"]]
    for row, trial in zip(rows(out), result, strict=True):
        assert list(row) == ["run", "key", "config", "seed", "status", "metrics", "seconds", "host"]
        assert (row["run"], row["status"], row["config"]) == ("sweep_runs.noisy", "ok", trial.config)
        assert row["metrics"] == trial.metrics == sweep_runs.noisy(trial.config, trial.seed)
        assert row["seconds"] == trial.seconds > 0
        assert row["host"] == trial.host
    assert len({t.seed for t in result}) == len({t.key for t in result}) == 8


class Shuffled:
    """An executor that waits for five tasks, and finishes them in another order."""

    def __init__(self, order):
        self.order, self.waiting, self.sent = random.Random(order), [], 0

    def submit(self, function, /, *arguments):
        future = Future()
        self.waiting.append((future, function, arguments))
        self.sent += 1
        if self.sent == 1 or len(self.waiting) == 4:  # the first task checks that the function can be sent
            self.order.shuffle(self.waiting)
            for future_, function_, arguments_ in self.waiting:
                future_.set_result(function_(*arguments_))
            self.waiting = []
        return future


def test_the_numbers_depend_on_neither_workers_nor_order_nor_restarts(tmp_path):
    space = {"lam": [0, 0.1], "eta": np.logspace(-2, 0, 4)}
    sweep = partial(dl.sweep, sweep_runs.train, space, verbose=0)
    serial = sweep(out=tmp_path / "serial")
    results = {"own": sweep(out=tmp_path / "own", workers=2)}
    with ThreadPoolExecutor(3) as threads:
        results["threads"] = sweep(out=tmp_path / "threads", executor=threads)
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        results["processes"] = sweep(out=tmp_path / "processes", executor=processes)
    for order in range(5):
        results[f"shuffled {order}"] = sweep(out=tmp_path / f"shuffled {order}", executor=Shuffled(order))
    lines = (tmp_path / "serial").read_text().splitlines(keepends=True)
    for number in range(len(lines) + 1):  # restarted, with any number of trials done before
        (tmp_path / f"{number}").write_text("".join(random.Random(number).sample(lines, number)))
        results[f"restarted {number}"] = sweep(out=tmp_path / f"{number}")
    for name, result in results.items():
        assert trials_of(result) == trials_of(serial), name
    assert len({trial.metrics["val_loss"] for trial in serial}) == 8
    written = [[row["config"] for row in rows(tmp_path / name)] for name in ("serial", "shuffled 0")]
    assert written[0] != written[1]  # the file has the order in which they finished


def test_a_config_reaches_its_function_as_plain_values_that_are_its_own(sweep):
    got = []

    def take(config, seed):
        got.append(dict(config, inner=list(config["inner"])))
        config["inner"].append("changed")
        return {}

    given = {"i": np.int64(3), "f": np.float32(0.5), "t": True, "n": None, "inner": (1, 2)}
    result = sweep(take, [given])
    assert got == [{"i": 3, "f": 0.5, "t": True, "n": None, "inner": [1, 2]}]
    assert [type(value) for value in got[0].values()] == [int, float, bool, type(None), list]
    assert result.trials[0].config == got[0]
    assert given["inner"] == (1, 2)


def test_a_restarted_sweep_runs_missing_trials_and_keeps_those_of_another_space(sweep, tmp_path, out):
    def calls():
        return sorted(int(path.name.split("-")[0]) for path in (tmp_path / "calls").iterdir())

    (tmp_path / "calls").mkdir()
    sweep = partial(sweep, sweep_runs.counted)
    space = {"x": [1, 2], "folder": [str(tmp_path / "calls")]}
    first = sweep(space)
    assert trials_of(sweep(space)) == trials_of(first)
    assert calls() == [1, 2]
    larger = sweep(space | {"x": [3, 2, 4]})
    assert calls() == [1, 2, 3, 4]
    assert [t.config["x"] for t in larger] == [3, 2, 4]
    assert [row["config"]["x"] for row in rows(out)] == [1, 2, 3, 4]
    assert trials_of(sweep(space)) == trials_of(first)


@pytest.mark.parametrize("engine", [{}, {"workers": 2}], ids=["here", "workers"])
def test_a_trial_that_raises_fails_alone_and_is_retried_only_on_request(sweep, out, engine):
    result = sweep(sweep_runs.odd_ones_fail, {"x": range(5)}, **engine)
    assert [t.ok for t in result] == [True, False, True, False, True]
    assert [t.config["x"] for t in result.failed] == [1, 3]
    assert "failed: 2 of 5\n  x=1: ValueError: x is 1\n  x=3: ValueError: x is 3" in str(result)
    row = next(row for row in rows(out) if row["config"] == {"x": 3})
    assert (row["status"], row["metrics"]) == ("failed", {})
    assert row["error"].startswith("Traceback (most recent call last)")
    assert "in odd_ones_fail\n" in row["error"]
    assert row["error"].endswith("ValueError: x is 3")
    again = sweep(sweep_runs.odd_ones_fail, {"x": range(5)}, **engine)
    assert trials_of(again) == trials_of(result)
    assert [t.error for t in again] == [t.error for t in result]
    assert len(rows(out)) == 5
    sweep(sweep_runs.odd_ones_fail, {"x": range(5)}, retry_failed=True, **engine)
    assert len(rows(out)) == 7


def test_of_a_trial_that_was_tried_again_the_last_line_counts(sweep, out):
    works = {"now": False}

    def run(config, seed):
        return {"a": config["x"] / works["now"]}

    assert len(sweep(run, {"x": [1, 2]}).failed) == 2
    works["now"] = True
    assert sweep(run, {"x": [1, 2]}, retry_failed=True)["a"] == [1, 2]
    assert sweep(run, {"x": [1, 2]})["a"] == [1, 2]
    assert dl.SweepResult.from_file(out)["a"] == [1, 2]
    assert [row["status"] for row in rows(out)] == ["failed", "failed", "ok", "ok"]


@pytest.mark.parametrize("returned", [None, 0.5, {"a": "0.5"}, {"a": True}, {1: 0.5}, {"a\n": 1}], ids=repr)
def test_results_other_than_dicts_of_numbers_are_failures(sweep, returned):
    (trial,) = sweep(lambda config, seed: returned, [{}])
    assert "InputError: run: expected " in trial.error


@pytest.mark.parametrize("engine", ["here", "workers", "threads", "processes"])
def test_a_failed_trial_costs_no_other_on_every_engine(sweep, out, engine):
    space = {"x": list(sweep_runs.WHATEVER)}
    with ExitStack() as stack:
        engines = {
            "workers": lambda: {"workers": 2},
            "threads": lambda: {"executor": stack.enter_context(ThreadPoolExecutor(2))},
            "processes": lambda: {"executor": stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))},
        }
        result = sweep(sweep_runs.whatever, space, **engines.get(engine, dict)())
    assert [t.config["x"] for t in result if t.ok] == ["largest", "long"]
    assert result["a"] == [(1 << 1023) - 1, 0.5]
    assert [t.config["x"] for t in result.best("a")] == ["long", "largest"]
    assert [t.config["x"] for t in result.best("a", "max")] == ["largest", "long"]
    failed = {t.config["x"]: t.error.splitlines()[-1] for t in result.failed}
    refused = "minidl._core.errors.InputError: run: expected a number for 'a' that fits a float, got an integer of "
    assert failed["digits"] == f"{refused}16610 bits; take its logarithm"
    assert failed["overflow"] == f"{refused}1024 bits; take its logarithm"
    assert failed["OwnError"] == "sweep_runs.OwnError: planted"
    assert failed["CancelledError"] == "asyncio.exceptions.CancelledError: planted"
    lines = out.read_bytes()
    assert trials_of(sweep(sweep_runs.whatever, space)) == trials_of(result)  # has nothing to do
    assert out.read_bytes() == lines
    assert len(dl.SweepResult.from_file(out).failed) == len(failed) == len(space["x"]) - 2
    assert "failed: 13 of 15" in str(result)


def test_the_best_are_also_found_among_integers_that_no_float_can_hold():
    """Texts of older versions."""
    values = [1.5, 10**400, -(10**400), np.nan]
    result = dl.SweepResult(dl.sweeps.Trial({"x": i}, "", 0, {"a": a}, 0.0, "") for i, a in enumerate(values))
    assert [t.config["x"] for t in result.best("a", count=4)] == [2, 0, 1, 3]
    assert [t.config["x"] for t in result.best("a", "max", count=4)] == [1, 0, 2, 3]


def test_numbers_that_json_lacks_and_those_of_numpy_come_back_exactly(sweep, out):
    values = {"a": np.nan, "b": np.inf, "c": -np.inf, "d": np.float32(0.1), "e": np.int64(7), "f": 0.1 + 0.2}
    first = sweep(lambda config, seed: values, [{"x": 0}])
    texts = {"a": "NaN", "b": "Infinity", "c": "-Infinity"}
    assert rows(out)[0]["metrics"] == texts | {"d": 0.10000000149011612, "e": 7, "f": 0.30000000000000004}
    again = sweep(lambda config, seed: values, [{"x": 0}])
    assert repr(again.trials[0].metrics) == repr(first.trials[0].metrics)
    assert [type(value) for value in again.trials[0].metrics.values()] == [float] * 4 + [int, float]


def test_the_trials_of_another_function_are_refused_and_can_be_set_aside(sweep, out):
    sweep(sweep_runs.noisy, {"x": [1]})
    before = out.read_bytes()
    with pytest.raises(dl.InputError, match=r"sweep_runs.odd_ones_fail, got some of sweep_runs.noisy; .*resume=False"):
        sweep(sweep_runs.odd_ones_fail, {"x": [1]})
    assert out.read_bytes() == before
    (out.parent / "sweep-1.jsonl").write_text("somebody else's")
    sweep(sweep_runs.odd_ones_fail, {"x": [2]}, resume=False)
    assert (out.parent / "sweep-1.jsonl").read_text() == "somebody else's"
    assert (out.parent / "sweep-2.jsonl").read_bytes() == before
    assert [row["run"] for row in rows(out)] == ["sweep_runs.odd_ones_fail"]


def test_arguments_of_a_partial_are_not_part_of_the_trial(sweep):
    def run(config, seed, folder):
        return {"length": len(folder)}

    here = sweep(partial(run, folder="data"), {"x": [1]})
    assert trials_of(sweep(partial(run, folder="data/elsewhere"), {"x": [1]})) == trials_of(here)


@pytest.mark.parametrize("threads", [0, 2])
def test_ctrl_c_stops_the_sweep_and_finished_trials_are_kept(sweep, out, threads):
    ran, gate = [], threading.Event()

    def run(config, seed):
        ran.append(config["x"])
        if config["x"] == 3:
            raise KeyboardInterrupt
        if config["x"] > 3:  # so that these cannot be done before the interrupt has come
            gate.wait(30)
        return {"a": 1}

    with ThreadPoolExecutor(2) as executor:
        with pytest.raises(KeyboardInterrupt):
            sweep(run, {"x": range(50)}, executor=executor if threads else None)
        gate.set()
    assert ran[:4] == [0, 1, 2, 3]
    assert len(ran) <= 3 * threads + 4  # the others were cancelled
    assert [row["config"]["x"] for row in rows(out)] == [0, 1, 2]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal of POSIX")
def test_sigterm_in_the_middle_of_training_ends_the_sweep_and_blames_no_trial(sweep, out):
    """A batch system sends SIGTERM at its time limit: the trial has not failed, and the next job runs it."""
    sent = []

    def train(config, seed):
        def terminate(trainer):
            if config["x"] == 2 and not sent:
                sent.append(os.kill(os.getpid(), signal.SIGTERM))

        model = dl.Model(dl.Dense(2, 2, rng=0), dl.SoftmaxCrossEntropy())
        callback = dl.LambdaCallback(on_batch_end=terminate)
        trainer = dl.Trainer(model, dl.SGD(0.1), [callback], rng=0)
        trainer.fit(dl.Dataset(np.eye(2), [0, 1]), epochs=1, batch_size=2)
        return {"loss": trainer.history["loss"][-1]}

    with pytest.raises(SystemExit, match="143"):
        sweep(train, {"x": [1, 2, 3]})
    assert [row["config"]["x"] for row in rows(out)] == [1]
    assert [t.ok for t in sweep(train, {"x": [1, 2, 3]})] == [True] * 3


class Failing:
    """An executor that runs some tasks; for the others it raises, or returns a failed or cancelled future."""

    def __init__(self, fails, error, at_submit=False):
        self.sent, self.fails, self.error, self.at_submit = -1, fails, error, at_submit

    def submit(self, function, /, *arguments):
        # The first task checks that the function can be sent.
        future, self.sent = Future(), self.sent + 1
        if not self.sent or not self.fails(self.sent):
            future.set_result(function(*arguments))
        elif self.at_submit:
            raise self.error
        elif self.error is None:
            future.cancel()
        else:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "at_submit"),
    [(BrokenExecutor("gone"), False), (BrokenExecutor("gone"), True), (RuntimeError("shut down"), True), (None, False)],
)
def test_an_executor_that_breaks_down_loses_nothing_and_blames_no_trial(sweep, out, error, at_submit):
    executor = Failing(lambda number: number > 3, error, at_submit)
    with pytest.raises(dl.SweepError, match=r"Failing failed .* 5 of 8 trials missing.* workers=N"):
        sweep(sweep_runs.noisy, GRID, executor=executor)
    assert [row["status"] for row in rows(out)] == ["ok"] * 3
    assert [t.ok for t in sweep(sweep_runs.noisy, GRID)] == [True] * 8


def test_a_worker_error_is_the_failure_of_its_trial(sweep):
    executor = Failing(lambda number: number == 3, OSError("the worker's answer was lost"))
    result = sweep(sweep_runs.noisy, {"x": range(4)}, executor=executor)
    assert [(t.config["x"], t.error) for t in result.failed] == [(2, "OSError: the worker's answer was lost")]


def test_a_full_disk_stops_the_sweep_and_a_restart_continues(sweep, out):
    expected = trials_of(sweep(sweep_runs.noisy, GRID))
    for number in itertools.count(1):
        path = out.with_name(f"{number}")
        error = None
        with replacing_os(FaultyOs(number, errno.ENOSPC, watched=TAKES_SPACE, sticky=True)) as faulty:
            try:
                sweep(sweep_runs.noisy, GRID, out=path)
            except (OSError, dl.InputError) as raised:
                error = raised
        if not faulty.reached:
            break
        assert error is not None
        done = len(rows(path)) if path.exists() else 0
        assert trials_of(sweep(sweep_runs.noisy, GRID, out=path)) == expected
        assert len(rows(path)) == 8 >= done
    assert number > 8 * 3


def test_a_file_belongs_to_one_sweep_at_a_time_under_any_name(sweep, out):
    pytest.importorskip("fcntl", reason="this platform has no such locks")
    alias = out.with_name("alias")
    alias.symlink_to(out.name)
    for other in (out, alias):
        with locked(out.parent, out.name), pytest.raises(dl.InputError, match=f"{other}: .*no other process"):
            sweep(sweep_runs.noisy, GRID, out=other)
    assert not out.exists()
    with locked(out.parent), locked(out.parent, "other.jsonl"):
        sweep(sweep_runs.noisy, GRID, out=alias)
    assert alias.is_symlink()
    assert len(rows(out)) == 8


@pytest.mark.skipif(not hasattr(os, "link"), reason="makes a hard link")
def test_a_second_name_of_the_file_keeps_what_it_has(sweep, out):
    sweep(sweep_runs.noisy, {"x": [1, 2]})
    backup, before = out.with_name("backup"), out.read_bytes()
    os.link(out, backup)
    sweep(sweep_runs.noisy, {"x": [4]}, out=backup)
    sweep(sweep_runs.noisy, {"x": [1, 2, 3]})
    for path, last in ((out, 3), (backup, 4)):
        assert path.read_bytes().startswith(before)
        assert [row["config"]["x"] for row in rows(path)] == [1, 2, last]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"run": None}, "run: .*a function of a config and a seed, got None"),
        ({"space": 3}, "space: .*a grid such as .*, a RandomSearch, .* or a list of configs, got 3"),
        ({"space": []}, r"space: .*at least one config, got \[\]"),
        ({"space": {"lam": 0.1}}, r"space\['lam'\]: .*a sequence of at least one value, got 0.1"),
        ({"space": {"loss": "hinge"}}, r"space\['loss'\]: .*a sequence .* got 'hinge'"),
        ({"space": {"lam": dl.LogUniform(1, 2)}}, r"space\['lam'\]: .* use RandomSearch"),
        ({"space": [0.1, 1]}, "space: .*each config .* a dict with printable names, got 0.1"),
        ({"space": [{"lam": float("nan")}]}, "space: .*configs of numbers, texts and lists of them"),
        ({"space": {"x": [np.zeros(2)]}}, "JSON cannot represent ndarray"),
        ({"seed": -1}, "seed: .* >= 0, got -1"),
        ({"out": ""}, "out: .*the name of a file"),
        ({"workers": 0}, "workers: .* >= 1, got 0"),
        ({"workers": 2, "blas_threads": 0}, "blas_threads: .* >= 1, got 0"),
        ({"verbose": 3}, "verbose: expected 0"),
        ({"executor": 4}, "executor: .*concurrent.futures.Executor, got 4"),
        ({"executor": Shuffled(0), "workers": 2}, "workers: an executor has its own"),
    ],
)
def test_wrong_arguments_are_refused(out, changed, message):
    arguments = {"run": sweep_runs.noisy, "space": GRID, "out": out, "verbose": 0} | changed
    with pytest.raises(dl.InputError, match=message):
        dl.sweep(arguments.pop("run"), arguments.pop("space"), **arguments)
    assert not out.exists()


def test_one_line_per_trial_without_a_terminal_and_nothing_with_verbose_0(sweep, capsys, monkeypatch):
    sweep(sweep_runs.odd_ones_fail, {"x": [1, 2]}, verbose=None)
    sweep(sweep_runs.odd_ones_fail, {"x": [1, 2, 4]}, verbose=2)
    first, second, known, third = capsys.readouterr().err.splitlines()
    assert first.startswith("trial 1/2  x=1: ValueError: x is 1  0.0 s")
    assert second.startswith("trial 2/2  x=2: value ")
    assert known == "2 of 3 trials were done before"
    assert third.startswith("trial 3/3  x=4: value ")
    monkeypatch.setenv("MINIDL_VERBOSE", "0")
    sweep(sweep_runs.odd_ones_fail, {"x": [6]}, verbose=None)
    assert capsys.readouterr() == ("", "")


def test_one_bar_for_all_rounds_on_a_terminal(sweep, monkeypatch):
    search = dl.CoarseToFine({"x": dl.LogUniform(1, 100)}, "value", trials=3, rounds=2)
    # The second time all trials are done already.
    for shown in (["0/3", "6/6"], ["6/6"]):
        with terminal(80) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
            monkeypatch.setattr(sys, "stderr", file)
            sweep(sweep_runs.noisy, search, verbose=1)
        (line,) = screen.lines()
        assert shown[-1] in line


@pytest.mark.parametrize("resume", [True, False])
def test_a_file_that_cannot_be_written_is_refused_before_any_trial(sweep, tmp_path, resume):
    for name, words in (("f" * 251, "choose a shorter name"), ("", "this is a folder or a device")):
        with pytest.raises(dl.InputError, match=f"{name}: expected a file that can be written, but: .*{words}"):
            sweep(lambda config, seed: pytest.fail("tried"), {"x": [1]}, out=tmp_path / name, resume=resume)
    long = tmp_path / ("f" * 248)
    sweep(lambda config, seed: {"x": 1}, {"x": [1]}, out=long, resume=resume)
    assert long.read_bytes().count(b"\n") == 1
