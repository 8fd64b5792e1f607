"""The command line in subprocesses: exit status, standard output and standard error."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import minidl as dl
from minidl.cli import main
from minidl.data.datasets.cifar10_content import NAMES

PROGRAM = [sys.executable, "-W", "error", "-m", "minidl"]
LAYERS = """
import numpy as np
import minidl as dl
from small_parts import Scale

class Wrong(Scale):
    def backward(self, dy):
        self.gain.add_grad(dy.sum(axis=0))
        return super().backward(dy)

right = Scale(5)

def make_right():
    return Scale(5)

def make_wrong():
    return Wrong(5), np.linspace(-1, 1, 15).reshape(3, 5)

def make_nothing():
    return 3

def fails():
    return 1 / 0

def leaves():
    raise SystemExit(0)

def takes(x):
    return Scale(x)

class Leaving(Scale):
    def forward(self, x, train=False):
        raise SystemExit(0)

def leaving():
    return Leaving(5)

def raising_model():
    class Raising(Scale):
        def forward(self, x, train=False):
            raise KeyError("x")
    return dl.Model(Raising(5), dl.SoftmaxCrossEntropy())

def called(cls, *arguments, **options):
    return type("Called" + cls.__name__, (cls,), {"__call__": lambda self, x: x})(*arguments, **options)

called_layer = called(Scale, 5)
called_model = called(dl.Model, dl.Dense(5, 3, rng=0), dl.SoftmaxCrossEntropy())
"""


def environment(folder, **more):
    kept = {k: v for k, v in os.environ.items() if k not in ("MINIDL_DATA_DIR", "XDG_CACHE_HOME", "COLUMNS")}
    return kept | {"HOME": str(folder), "PYTHONUTF8": "1"} | more


def strict(text):
    """Read one JSON document that has no NaN and no infinity."""

    def refuse(word):
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def here(capsys, monkeypatch, tmp_path):
    """A function that runs the program in this process, in an empty home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MINIDL_DATA_DIR", "XDG_CACHE_HOME", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        try:
            status = main(list(map(str, arguments)))
        except SystemExit as left:
            status = left.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, status, out, err)

    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a small run."""
    folder = tmp_path_factory.mktemp("run")
    train = dl.datasets.synthetic_images(60, rng=0).map(lambda x: x / 255)
    model = dl.Model(dl.Sequential(dl.Dense(3072, 10, rng=0)), dl.SoftmaxCrossEntropy())
    trainer = dl.Trainer(model, dl.SGD(1e-5), [dl.Checkpoint(folder)], rng=0)
    trainer.fit(train, epochs=8, batch_size=20).to_csv(folder / "history-a.csv")
    model.save_weights(folder / "weights.safetensors")
    (folder / "report.html").write_text("a page")
    setting = {"lambda": 0.1, "eta": 0.001, "seed": 42, "test_accuracy": 0.39}
    results = {"dataset": {"name": "few images", "source": "drawn"}, "settings": [setting]}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


# -- the program -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--version"], 0, f"minidl {dl.__version__}"),
        (["--help"], 0, "exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted"),
        ([], 2, "COMMAND"),
        (["reprot"], 2, "no command 'reprot'; did you mean report?"),
        (["report", "--seeds", "0"], 2, "argument --seeds: expected an integer >= 1, got 0"),
        (["data", "fetch", "--data-dir", "x"], 2, "fetch downloads into the cache"),
        (["checkgrad", "layers"], 2, "expected MODULE:NAME or FILE.py:NAME, got 'layers'"),
    ],
)
def test_help_and_wrong_usage(here, arguments, code, words):
    done = here(*arguments)
    assert done.returncode == code, done.stderr
    assert words in " ".join((done.stderr if code else done.stdout).split())
    assert (done.stdout if code else done.stderr) == ""


def test_the_command_of_the_package_is_the_same_program():
    from importlib.metadata import entry_points

    (command,) = entry_points(group="console_scripts", name="minidl")
    assert command.load() is main


# -- report ------------------------------------------------------------------------------------------------------------


def test_ctrl_c_is_a_status_and_a_sentence(here, monkeypatch, tmp_path):
    def interrupted(trainer, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(dl.Trainer, "_run_epoch", interrupted)
    (tmp_path / "results.json").write_text("those of an earlier run")
    done = here("report", "--quick", "--json", "--out", ".")
    assert (done.returncode, done.stdout) == (130, "")
    assert "Interrupted: what was finished before is in the --out folder." in done.stderr
    # No setting is done yet.
    assert (tmp_path / "results.json").read_text() == "those of an earlier run"


# -- data --------------------------------------------------------------------------------------------------------------


def test_data_shows_the_place_of_the_data(here, tmp_path, monkeypatch):
    place, advice = here("data").stdout.splitlines()
    assert place == f"{tmp_path}/.cache/minidl/cifar-10 (the cache)"
    assert "`minidl data fetch`" in advice
    monkeypatch.setenv("MINIDL_DATA_DIR", "some/where")
    document = strict(here("data", "where", "--json").stdout)
    assert document == {"place": f"{tmp_path}/some/where", "named_by": "MINIDL_DATA_DIR", "files": {}}


def test_verify_reports_the_error_of_each_batch(here, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    np.zeros(30_730_000, np.uint8).tofile(folder / "test_batch.u8")
    (folder / "data_batch_1.u8").write_bytes(b"short")
    done = here("data", "verify", "--data-dir", "data", "--json")
    document = strict(done.stdout)
    assert done.returncode == here("data", "verify", "--data-dir", "data").returncode == 1
    assert document["files"] == {"data_batch_1.u8": 5, "test_batch.u8": 30_730_000}
    assert list(document["batches"]) == list(NAMES)
    assert "expected 30730000 bytes, got 5" in document["batches"]["data_batch_1"]
    assert "SHA-256" in document["batches"]["test_batch"]


def test_verify_confirms_published_data(here, monkeypatch):
    monkeypatch.setattr("minidl.cli.data.read_place", lambda place, names: ({}, "folder"))
    done = here("data", "verify", "--data-dir", ".")
    assert (done.returncode, done.stdout.count("as published")) == (0, 6)


# -- checkgrad ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write a user's modules, which are imported again in each test."""
    (tmp_path / "else where").mkdir()
    for name, source in {
        "layers": LAYERS,
        "more": "from layers import Scale\npair = (Scale(5), 1, 2)",
        "broken": "def make(:",
        "script": "import sys\nsys.exit()\n",
        "sys": LAYERS,
        "loud": "print('hello')\nfrom layers import right",
        "else where/neighbour": LAYERS,
        "else where/mine": "from neighbour import make_right",
    }.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in ("layers", "more", "script", "loud", "neighbour", "mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("subject", "status", "shown"),
    [
        ("layers:make_right", 0, "PASS  check_layer(Scale()"),
        ("layers.py:right", 0, "PASS  check_layer(Scale()"),
        ("sys.py:make_right", 0, "PASS  check_layer(Scale()"),
        ("else where/mine.py:make_right", 0, "PASS  check_layer(Scale()"),
        ("layers:make_wrong", 1, "a gradient is wrong (FAIL_VALUE)  check_layer(Wrong("),
        ("layers:called_layer", 0, "PASS  check_layer(CalledScale("),
        ("layers:called_model", 0, "PASS  check_model("),
    ],
)
def test_checkgrad_prints_the_report_and_its_verdict_is_the_status(subject, status, shown, here, modules):
    done = here("checkgrad", subject, "--input-shape", "5")
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith(shown)


def test_checkgrad_in_json_has_the_report_without_prints_of_the_module(here, modules):
    done = here("checkgrad", "layers:make_wrong", "--seed", "7", "--json")
    report = strict(done.stdout)
    assert (done.returncode, report["ok"], report["verdict"], report["seed"]) == (1, False, "FAIL_VALUE", 7)
    assert report["findings"]
    done = here("checkgrad", "loud:right", "--input-shape", "5", "--json")
    assert strict(done.stdout)["ok"] is True
    assert done.stderr == "hello\n"


@pytest.mark.parametrize(
    ("subject", "options", "words"),
    [
        ("layers:make_wright", "", "layers has no make_wright; did you mean make_right"),
        ("nowhere:make", "", "ModuleNotFoundError: No module named 'nowhere'"),
        ("layers:make_nothing", "", "expected a Layer, Loss, Regularizer or Model"),
        ("layers:fails", "", "ZeroDivisionError: division by zero (layers.py, line 23)"),
        ("broken.py:make", "", "SyntaxError"),
        ("layers:leaves", "", "SystemExit: 0 (layers.py, line 26)"),
        ("script.py:make", "", "SystemExit:  (script.py, line 2)"),
        ("layers:leaving", "--input-shape 5", "layers:leaving: SystemExit: 0 (layers.py, line 33)"),
        ("layers:takes", "", "takes() missing 1 required positional argument: 'x'\n"),
        ("more:pair", "", "InputError: more:pair: TypeError: check_layer: takes 2 positional arguments"),
        ("layers:raising_model", "--input-shape 5", "KeyError: 'x' (layers.py, line 41)"),
        ("layers:right", "--input-shape 9999999999999", "MemoryError: Unable to allocate"),
        ("layers:make_right", "", "layers:make_right has no inputs. Add --input-shape"),
    ],
)
def test_an_uncheckable_subject_gives_one_error_line(subject, options, words, here, modules):
    done = here("checkgrad", subject, *options.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


# -- show --------------------------------------------------------------------------------------------------------------


def test_show_prints_the_results_of_a_run(here, run_folder):
    done = here("show", run_folder)
    assert done.returncode == 0, done.stderr
    blocks = {block.split(":")[0]: block for block in done.stdout.split("\n\n")}
    assert list(blocks)[:2] == ["results.json", "histories"]
    assert blocks["histories"].splitlines()[-1].split()[:2] == ["history-a.csv", "8"]
    assert "epoch: 8" in blocks["checkpoint-000000024.safetensors"]
    assert "SoftmaxCrossEntropy()" in blocks["checkpoint-000000024.safetensors"]
    assert "0.weight  (3072, 10)  float32" in blocks["weights.safetensors"]
    assert "network: -: Sequential(...), 0: Dense(3072, 10)" in blocks["weights.safetensors"]
    assert "few images (drawn)" in blocks["results.json"]
    assert "0.39" in blocks["results.json"]
    assert "Other files: 1 .html" in done.stdout
    document = strict(here("show", run_folder, "--json").stdout)
    assert [row["epoch"] for row in document["files"]["history-a.csv"]["rows"]] == list(range(1, 9))
    assert document["files"]["checkpoint-000000024.safetensors"]["step"] == 24
    assert (document["damaged"], document["others"]) == ({}, ["report.html"])


def test_show_takes_one_file_and_numbers_that_json_lacks(here, tmp_path):
    dl.History([{"loss": float("nan")}, {"loss": float("inf")}]).to_csv(tmp_path / "history.csv")
    document = strict(here("show", "history.csv", "--json").stdout)
    assert [row["loss"] for row in document["files"]["history.csv"]["rows"]] == ["NaN", "Infinity"]
    assert "not a number" in here("show", "history.csv").stdout


def test_show_reads_a_sweep(here, tmp_path):
    def run(config, seed):
        return {"accuracy": 1 / max(0, 2 - config["rate"])}

    dl.sweep(run, {"rate": [1, 2], "seed": [42]}, out=tmp_path / "s.jsonl", verbose=0)
    document = strict(here("show", "s.jsonl", "--json").stdout)["files"]["s.jsonl"]
    assert (document["kind"], document["trials"], document["failed"]) == ("sweep", 2, 1)
    assert {row["rate"]: row.get("accuracy") for row in document["rows"]} == {1: 1.0, 2: None}
    assert [row["seed"] for row in document["rows"]] == [42, 42]  # as it is in the config
    lines = [line.split() for line in here("show", "s.jsonl").stdout.splitlines()]
    assert ["rate", "seed", "accuracy", "trial_seconds"] in lines


def test_damaged_files_are_reported_and_the_others_shown(here, run_folder, tmp_path):
    content = bytearray((run_folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(content)
    (tmp_path / "history-a.csv").write_bytes((run_folder / "history-a.csv").read_bytes())
    (tmp_path / "results.json").write_text("{")
    done = here("show", tmp_path)
    assert done.returncode == 1
    assert "weights.safetensors: DAMAGED: " in done.stdout
    assert "results.json: DAMAGED: " in done.stdout
    assert "\n  history-a.csv" in done.stdout
    damaged = strict(here("show", tmp_path, "--json").stdout)["damaged"]
    assert set(damaged) == {"results.json", "weights.safetensors"}


def test_a_file_cannot_steer_the_terminal(here, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"note": "\x1b[2J\x07"}))
    assert "note: \ufffd[2J\ufffd" in here("show", ".").stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "no such file"),
        ("a.txt", "expected a file of a run"),
        # Reading a device might never end.
        ("/dev/zero", "expected a file of a run" if os.name == "posix" else "no such file"),
    ],
)
def test_show_refuses_unsupported_files(here, name, words, tmp_path):
    (tmp_path / "a.txt").touch()
    done = here("show", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe of POSIX")
def test_a_reader_that_closes_the_pipe_gets_no_traceback(tmp_path):
    rows = [{"loss": 1.0 / epoch} for epoch in range(1, 20_000)]
    dl.History(rows).to_csv(tmp_path / "history.csv")
    command = [*PROGRAM, "show", "history.csv", "--json"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), **streams) as process:
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
        process.wait(timeout=60)
    assert stderr == b""
    assert process.returncode == 1


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor of POSIX")
@pytest.mark.parametrize(("shell", "shown"), [('exec "$@"', "?: ?"), ('exec "$@" >&-', "")], ids=["ASCII", "closed"])
def test_a_closed_output_or_one_without_greek_letters_is_no_error(tmp_path, shell, shown):
    (tmp_path / "x.json").write_text(json.dumps({"λ": "é"}))
    command = ["sh", "-c", shell, "sh", *PROGRAM, "show", "."]
    ascii_only = environment(tmp_path, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=ascii_only, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout
