"""The example that shows bugs to several checkers: it runs without the others, and minidl does what it says there."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent.parent / "examples" / "gradcheck_against_peers.py"
SPEC = importlib.util.spec_from_file_location("gradcheck_against_peers", PATH)
EXAMPLE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(EXAMPLE)


def test_without_its_peers_it_prints_the_table(monkeypatch, capsys):
    monkeypatch.setattr(EXAMPLE, "optional", lambda module: None)
    monkeypatch.setattr(EXAMPLE, "CHECKERS", {**EXAMPLE.CHECKERS, "minidl": lambda case: True})
    assert EXAMPLE.main([]) == 0
    printed = capsys.readouterr().out
    assert all(case.what in printed for case in EXAMPLE.cases())
    assert "torch slow: not installed" in printed
    assert "SciPy: not installed" in printed


def marked(case):
    """In the default suite, the mutants `function-mean-of-dy` and `function-rolled` stand for the large ones."""
    return pytest.param(case, marks=pytest.mark.nightly if case.x.size >= 10_000 else (), id=case.what)


@pytest.mark.parametrize("case", [marked(case) for case in EXAMPLE.cases()])
def test_minidl_catches_the_bugs_and_raises_no_false_alarm(case):
    expected = "ok" if case.right else "caught"
    assert EXAMPLE.outcome(case, "minidl") == expected
