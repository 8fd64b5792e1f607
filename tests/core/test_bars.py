"""Bars: how much is printed, where a bar can be drawn, and lines printed above bars."""

import io
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from gone import KINDS, gone
from screen import terminal

from minidl import InputError
from minidl._core.bars import SafeStream, coloured, download_bar, new_bar, say, verbosity


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    monkeypatch.delenv("MINIDL_VERBOSE", raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("verbose", "variable", "level"),
    [(None, None, 1), (None, "0", 0), (None, "2", 2), (None, " 1 ", 1), (None, "", 1), (0, "2", 0), (2, "loud", 2)],
)
def test_the_argument_goes_before_the_environment(monkeypatch, verbose, variable, level):
    if variable is not None:
        monkeypatch.setenv("MINIDL_VERBOSE", variable)
    assert verbosity(verbose) == level


@pytest.mark.parametrize(
    ("verbose", "words"), [(3, "verbose: expected 0"), (True, "verbose"), (None, "MINIDL_VERBOSE")]
)
def test_a_wrong_argument_or_variable_is_refused(monkeypatch, verbose, words):
    monkeypatch.setenv("MINIDL_VERBOSE", "x" * 1000)
    with pytest.raises(InputError, match=words) as caught:
        verbosity(verbose)
    assert len(str(caught.value)) < 200


def test_no_bar_without_a_terminal_or_on_a_dumb_one_or_on_a_bare_stream(monkeypatch):
    assert new_bar(3, io.StringIO()) is None
    assert new_bar(3, SimpleNamespace(write=print)) is None
    monkeypatch.setenv("TERM", "dumb")
    with terminal(80) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        assert new_bar(3, file) is None
    assert screen.lines() == []


def test_a_bar_on_a_terminal_is_as_wide_as_that():
    with terminal(50) as (screen, descriptor), open(descriptor, "w", closefd=False) as file, new_bar(3, file) as bar:
        bar.update(3)
    assert screen.wraps == 0
    assert 45 <= len(screen.lines()[0]) <= 50


@contextmanager
def on_standard_error(monkeypatch, columns=80):
    """Make standard error a terminal during a with block, and yield its screen."""
    with terminal(columns) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        monkeypatch.setattr("sys.stderr", file)
        yield screen


def test_a_line_is_printed_above_the_bar(monkeypatch):
    with on_standard_error(monkeypatch) as screen:
        with new_bar(4, sys.stderr, desc="work") as bar:
            bar.update(2)
            say("something else")
            bar.update(2)
        say("the end")
    assert [line[:10] for line in screen.lines()] == ["something ", "work: 100%", "the end"]


def test_lines_go_to_standard_error_unless_verbose_is_0(monkeypatch, capsys):
    say("one")
    say("two", verbose=0)
    monkeypatch.setenv("MINIDL_VERBOSE", "0")
    say("three")
    say("four", verbose=2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "one\nfour\n")
    monkeypatch.setattr("sys.stderr", None)
    say("five", verbose=1)
    assert capsys.readouterr().out == ""


def test_to_say_something_does_not_need_tqdm():
    code = "import sys; from minidl._core.bars import say; say('hello'); print('tqdm' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("False\n", "hello\n")


@pytest.mark.parametrize("variable", ["0", "1", "2"])
def test_a_download_has_a_bar_where_bars_are_wanted(monkeypatch, capsys, variable):
    monkeypatch.setenv("MINIDL_VERBOSE", variable)
    with download_bar(10, desc="archive") as bar:
        for _ in range(10):
            bar.update()
    shown = capsys.readouterr().err
    assert ("archive: 100%" in shown) == (variable == "1")
    assert shown.count("\r") <= 3  # not a line for each update: there is no terminal


def test_without_standard_error_a_download_goes_on(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with download_bar(10) as bar:
        bar.update(10)
    assert bar.disable


@pytest.mark.parametrize("tqdm", ["there", "not there"])
@pytest.mark.parametrize("kind", KINDS)
def test_unwritable_lines_are_dropped(monkeypatch, kind, tqdm):
    if tqdm == "not there":
        monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    with gone(kind) as file:
        monkeypatch.setattr("sys.stderr", file)
        for _ in range(2):
            say("one")
            with download_bar(10) as bar:
                bar.update(10)


def test_letters_that_a_stream_has_not_are_dropped_with_their_line(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stderr", stream)
    say("\u03bb = 0.1")
    say("next")
    assert stream.buffer.getvalue().endswith(b"next\n")


def test_a_bar_outlives_its_terminal(monkeypatch):
    with terminal(80) as (_, descriptor), open(descriptor, "w", closefd=False) as file:
        monkeypatch.setattr("sys.stderr", file)
        bar = new_bar(4, file)
        bar.update()
        bar.refresh()
        assert bar.fp == SafeStream(file) == file
        broken = SimpleNamespace(write=broken_write, flush=broken_write, encoding="utf-8", isatty=lambda: True)
        bar.fp._wrapped._stream = broken
        for _ in range(3):
            bar.update()
            bar.refresh()
        bar.close()
    assert bar.n == 4


def broken_write(*_):
    raise BrokenPipeError(32, "Broken pipe")


RED, GREEN, YELLOW = (f"\x1b[{code}m" for code in (31, 32, 33))
PLAIN = "PASS_SUBGRADIENT  Dense(2, 2)\na gradient is wrong (FAIL_VALUE)  BYPASS()\nVACUOUS"
PAINTED = f"{GREEN}PASS_SUBGRADIENT\x1b[0m  Dense(2, 2)\n{RED}a gradient is wrong (FAIL_VALUE)\x1b[0m  BYPASS()\n"
PAINTED += f"{YELLOW}VACUOUS\x1b[0m"


@pytest.mark.parametrize(
    ("variables", "on_a_terminal", "in_a_pipe"),
    [
        ({}, PAINTED, PLAIN),
        ({"TERM": "dumb"}, PLAIN, PLAIN),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, PLAIN, PLAIN),
        ({"FORCE_COLOR": "1"}, PAINTED, PAINTED),
    ],
)
def test_verdicts_are_in_colour_where_a_terminal_shows_it(monkeypatch, variables, on_a_terminal, in_a_pipe):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert coloured(PLAIN) == in_a_pipe
    with terminal(80) as (_, descriptor), open(descriptor, "w", closefd=False) as file:
        monkeypatch.setattr("sys.stdout", file)
        assert coloured(PLAIN) == on_a_terminal
