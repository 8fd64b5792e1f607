"""environment: the same facts at every call, without user and date."""

import getpass
import os
import platform
import re
import socket

import matplotlib
import numpy as np
import pytest

import minidl
from minidl._core.environment import environment


def test_it_tells_the_versions_and_the_machine():
    facts = environment()
    assert list(facts) == ["minidl", "Python", "NumPy", "matplotlib", "platform", "processor", "threads"]
    assert facts["minidl"] == minidl.__version__
    assert facts["matplotlib"] == matplotlib.__version__
    assert facts["NumPy"].startswith(f"{np.__version__}, BLAS: ")
    assert facts["Python"].startswith(platform.python_version())
    assert all(isinstance(value, str) and value.strip() for value in facts.values())
    assert re.match(r"[1-9]\d* cores?", facts["threads"])


def test_two_calls_agree_and_no_person_or_moment_is_named(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    first = environment()
    assert "OPENBLAS_NUM_THREADS=3" in first["threads"]
    assert environment() == first
    text = " ".join(first.values())
    assert socket.gethostname() not in text
    assert os.path.expanduser("~") not in text
    if len(user := getpass.getuser()) > 4:
        assert user not in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)


@pytest.mark.parametrize("config", [{}, {"Build Dependencies": {}}])
def test_a_numpy_that_does_not_tell_its_blas_is_no_reason_to_fail(config, monkeypatch):
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    assert "BLAS: unknown" in environment()["NumPy"]
