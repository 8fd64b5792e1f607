"""``minidl checkgrad`` for teachers: a reference, and several submissions, each in its own process."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from minidl.cli import main
from minidl.testing import ContractError

PAGE = Path(__file__).parent.parent.parent / "docs" / "for-teachers.md"
REFERENCE = """
import numpy as np
import minidl as dl

class Affine(dl.Layer):
    def __init__(self, names=("weight", "bias"), shape=(5, 3)):
        super().__init__()
        self.W = self.add_parameter(names[0], np.random.default_rng(0).normal(size=shape))
        self.b = self.add_parameter(names[1], np.zeros(shape[1]))
    def forward(self, x, train=False):
        if train:
            self.keep(x)
        return x @ self.W.value + self.b.value
    def backward(self, dy):
        (x,) = self.kept()
        self.W.add_grad(x.T @ dy)
        self.b.add_grad(dy.sum(axis=0))
        return dy @ self.W.value.T
    def output_shape(self, input_shape):
        return self.b.value.shape

make = Affine
norm = lambda: dl.BatchNorm(5)
cross = dl.SoftmaxCrossEntropy()
ridge = dl.L2(0.1)
model = lambda: dl.Model(dl.Sequential(dl.Dense(5, 3, rng=0), dl.Tanh()), dl.MeanSquaredError(), dl.L2(0.1))
class Outside:
    w = np.arange(1.0, 6.0)
    def forward(self, x):
        self.x = x
        return x * self.w
    def backward(self, dy):
        self.dw = (dy * self.x).sum(axis=0)
        return dy * self.w

foreign = lambda: dl.ForeignLayer(Outside(), {"w": "dw"})
given = lambda: (Affine(), np.linspace(-1, 1, 15).reshape(3, 5))
"""
SUBMISSIONS = (
    REFERENCE
    + """
class NoBias(Affine):
    def forward(self, x, train=False):
        return super().forward(x, train) - self.b.value
    def backward(self, dy):
        dx = super().backward(dy)
        self.b.add_grad(-dy.sum(axis=0))
        return dx

class Slope(Affine):
    def backward(self, dy):
        (x,) = self.kept()
        h = 1e-6
        self.W.add_grad(x.T @ dy)
        self.b.add_grad(dy.sum(axis=0))
        steps = [x + h * (np.arange(5) == i) for i in range(5)]
        return np.stack([((self.forward(s) - self.forward(x)) * dy).sum(axis=1) / h for s in steps], axis=1)

class Library(Affine):
    def backward(self, dy):
        (x,) = self.kept()
        dl.numerical_gradient(lambda x: float((self.forward(x) * dy).sum()), x)
        self.keep(x)
        return super().backward(dy)

class Again(Affine):
    def backward(self, dy):
        (x,) = self.kept()
        self.forward(x, train=True), self.forward(x, train=True)
        return super().backward(dy)

class Eight(Affine):
    def forward(self, x, train=False):
        return super().forward(x, train) if len(x) < 8 else 1 / 0

class Twice(dl.Loss):
    def forward(self, z, t):
        self.keep(z, t)
        return 2 * cross.forward(z, t)
    def backward(self):
        return 2 * cross.backward()

class Half(dl.Regularizer):
    def penalty(self, w):
        return 0.05 * float((w**2).sum())
    def gradient(self, w):
        return 0.1 * w

norm_class = lambda: type("Mine", (dl.BatchNorm,), {})(5)
inside = lambda: dl.Sequential(dl.BatchNorm(5))
ridge_class = lambda: type("Mine", (dl.L2,), {})(0.1)
named = lambda: Affine(("W", "b"))
shaped = lambda: Affine(shape=(5, 4))
unseeded = lambda: dl.Model(dl.Sequential(dl.Dense(5, 3), dl.Tanh()), dl.MeanSquaredError(), dl.L2(0.1))
sigmoid = lambda: dl.Model(dl.Sequential(dl.Dense(5, 3), dl.Sigmoid()), dl.MeanSquaredError(), dl.L2(0.1))
returns_class = lambda: Affine
"""
)


AGREES = "reference: ok"


@pytest.fixture
def here(capsys, monkeypatch, tmp_path):
    """A function that runs the command in a folder with these files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "solution.py").write_text(REFERENCE)
    (tmp_path / "hand_in.py").write_text(SUBMISSIONS)

    def run(*arguments):
        status = main(["checkgrad", "--input-shape", "5", *arguments])
        return status, *capsys.readouterr()

    yield run
    sys.modules.pop("solution", None)


@pytest.mark.parametrize(
    ("subject", "reference", "words"),
    [
        ("make", "make", AGREES),
        ("Again", "make", AGREES),
        ("make", "given", AGREES),
        ("unseeded", "model", AGREES),
        ("foreign", "foreign", AGREES),
        ("NoBias", "make", "(for input shape (4, 5))"),
        ("NoBias", "given", "(for input shape (3, 5))"),
        ("Eight", "make", "ZeroDivisionError"),
        ("named", "make", "'W': (5, 3)"),
        ("shaped", "make", "'weight': (5, 4)"),
        ("Twice", "cross", "(for input shape (4, 5))"),
        ("Half", "ridge", "(for input shape (5,))"),
        ("sigmoid", "model", "(for input shape (4, 5))"),
        ("Slope", "make", "differentiates numerically: it calls forward"),
        ("Library", "make", "its backward runs minidl.gradcheck.numerical"),
        ("norm", "norm", "contains BatchNorm"),
        ("norm_class", "norm", "contains BatchNorm"),
        ("inside", "norm", "contains BatchNorm"),
        ("ridge_class", "ridge", "contains L2"),
        ("Twice", "make", "expected a Layer like the reference, got a Loss"),
        ("returns_class", "make", "got Affine; return such an object"),
    ],
)
def test_a_submission_is_compared_with_a_reference_or_refused(subject, reference, words, here):
    status, out, err = here(f"hand_in.py:{subject}", "--reference", f"solution.py:{reference}")
    assert words in (out.splitlines() or [err])[-1]
    assert status == (words != AGREES)


def test_a_submission_that_imports_the_reference_is_refused(here, tmp_path):
    (tmp_path / "hand_in.py").write_text("from solution import make")
    assert "it imports the reference, solution.py" in here("hand_in.py:make", "--reference", "solution.py:make")[2]


def test_a_rule_of_the_contract_alone_is_a_reason(here, monkeypatch):
    def broken(make, input_shape):
        raise ContractError(f"{type(make()).__name__} of {input_shape} breaks a rule")

    monkeypatch.setattr("minidl.testing.check_layer_contract", broken)
    status, out, _ = here("hand_in.py:make")
    assert (status, out.split()[0], out.splitlines()[-1]) == (1, "PASS", "contract: Affine of (5,) breaks a rule")
    for module in ("checkgrad", "submission"):
        monkeypatch.setattr(f"minidl.cli.{module}.HAS_HYPOTHESIS", False)
    status, _, err = here("hand_in.py:make")
    assert (status, err.count('pip install "minidl[test]"')) == (0, 1)


def test_several_submissions_do_not_disturb_each_other(here, tmp_path):
    """The reference does not disturb them either, although its helper has the same name as theirs."""
    (tmp_path / "solution.py").write_text("from helper import make")
    (tmp_path / "helper.py").write_text(REFERENCE)
    prints = "import os, atexit; os.write(1, b'x'); os.system('echo x'); atexit.register(print, 'x')"
    sources = {
        "a": "from helper import make",
        "b": f"from helper import make; {prints}",
        "c": "import os; os._exit(0)",
        "d": "import minidl; del minidl.check_layer; import random; random.seed = None; def make(:",
        "e": "from helper import NoBias as make",
    }
    for name, source in sources.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "layer.v2.py").write_text(source)
        # A child must not import these instead of the standard library.
        (tmp_path / name / "statistics.py").write_text("raise SystemExit")
        (tmp_path / name / "helper.py").write_text(SUBMISSIONS)
    status, out, err = here(
        *(f"{name}/layer.v2.py:make" for name in sources), "--reference", "solution.py:make", "--json"
    )
    rows = json.loads(out)
    assert (status, err) == (1, "")
    assert [row["submission"] for row in rows] == [f"{name}/layer.v2.py:make" for name in sources]
    points = ["".join(str(row["points"][part]) for part in ("gradient", "contract", "reference")) for row in rows]
    assert points == ["111", "111", "000", "000", "110"]
    assert [row["ok"] for row in rows] == [point == "111" for point in points]
    reasons = [next(iter(row["reasons"].values()), "") for row in rows]
    assert "ended the process with exit status 0" in reasons[2]
    assert reasons[3].startswith("SyntaxError")


def test_an_endless_loop_is_stopped_and_the_others_are_graded(here, tmp_path):
    (tmp_path / "endless.py").write_text("while True: print(1)")
    status, out, err = here("endless.py:make", "hand_in.py:make", "--max-seconds", "10")
    assert (status, err) == (1, "")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [["endless.py:make", "0", "0"], ["hand_in.py:make", "1", "1"]]
    assert "stopped after 10 s; if the code is just slow, increase --max-seconds" in out


def test_an_uncheckable_subject_gives_a_document_in_json(here):
    status, out, _ = here("hand_in.py:nothing", "--json")
    assert (status, json.loads(out)["points"]) == (1, {"gradient": 0, "contract": 0})
    assert json.loads(out)["reasons"]["run"].startswith("hand_in.py has no nothing")


def test_a_fault_of_the_reference_is_named(here):
    status, out, err = here("hand_in.py:make", "--reference", "solution.py:wrong")
    assert (status, out) == (1, "")
    assert "solution.py has no wrong" in err


def test_the_command_of_the_page_prints_its_table(here, tmp_path, capsys):
    page = PAGE.read_text(encoding="utf-8")
    for name, code in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(code)
    command, table = re.search(
        r"^```sh\nminidl (.*?)```\n\n```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
    ).groups()
    assert main(shlex.split(command)) == 1
    # The last digits depend on the machine.
    shown, expected = (re.sub(r"(\.\d{3})\d+", r"\1", text) for text in (capsys.readouterr().out, table))
    assert shown == expected
