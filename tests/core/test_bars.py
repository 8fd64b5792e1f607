"""bars: how much is said, where a bar can be drawn, and lines that do not spoil one."""

import io
import subprocess
import sys

import pytest
from screen import terminal

from minidl import InputError
from minidl._core.bars import download_bar, new_bar, say, verbosity


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


@pytest.mark.parametrize("verbose", [3, -1, True, 1.0, "1", [1]])
def test_a_wrong_argument(verbose):
    with pytest.raises(InputError, match="verbose: expected 0"):
        verbosity(verbose)


def test_a_wrong_variable(monkeypatch):
    monkeypatch.setenv("MINIDL_VERBOSE", "x" * 1000)
    with pytest.raises(
        InputError, match="the environment variable MINIDL_VERBOSE: expected 0, 1 or 2, got 'xxx"
    ) as caught:
        verbosity(None)
    assert len(str(caught.value)) < 200


def test_no_bar_without_a_terminal_or_on_a_dumb_one(monkeypatch):
    assert new_bar(3, io.StringIO()) is None
    monkeypatch.setenv("TERM", "dumb")
    with terminal(80) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        assert new_bar(3, file) is None
    assert screen.lines() == []


def test_what_can_only_be_written_to_gets_no_bar():
    class Copy:
        def write(self, text): ...

    assert new_bar(3, Copy()) is None


def test_a_bar_on_a_terminal_is_as_wide_as_that():
    with terminal(50) as (screen, descriptor), open(descriptor, "w", closefd=False) as file, new_bar(3, file) as bar:
        bar.update(3)
    assert screen.wraps == 0
    assert 45 <= len(screen.lines()[0]) <= 50


def on_standard_error(monkeypatch, columns=80):
    """Make standard error a terminal, for the time of a with block that yields its screen."""

    class Standard:
        def __enter__(self):
            self.terminal = terminal(columns)
            screen, self.descriptor = self.terminal.__enter__()
            self.file = open(self.descriptor, "w", closefd=False)
            monkeypatch.setattr("sys.stderr", self.file)
            return screen

        def __exit__(self, *error):
            self.file.close()
            self.terminal.__exit__(*error)

    return Standard()


def test_a_line_is_said_above_the_bar(monkeypatch):
    with on_standard_error(monkeypatch) as screen:
        with new_bar(4, sys.stderr, desc="work") as bar:
            bar.update(2)
            say("something else")
            bar.update(2)
        say("the end")
    assert [line[:14] for line in screen.lines()] == ["something else", screen.lines()[1][:14], "the end"]
    assert screen.lines()[1].startswith("work: 100%")


def test_what_is_said_is_on_standard_error_unless_nothing_is_to_be_said(monkeypatch, capsys):
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


def test_a_download_on_a_terminal_has_its_width(monkeypatch):
    with on_standard_error(monkeypatch, columns=60) as screen, download_bar(10, desc="archive") as bar:
        bar.update(10)
    assert 55 <= len(screen.lines()[0]) <= 60


def test_without_standard_error_a_download_goes_on(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with download_bar(10) as bar:
        bar.update(10)
    assert bar.disable
