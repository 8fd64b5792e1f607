"""The planted faults still fit the code that they are planted in; under ``-m nightly`` each is planted and noticed."""

import shutil

import pytest
from planted_faults import FAULTS, PACKAGE, apply, noticed


def test_there_are_thirty():
    assert len(FAULTS) >= 30


@pytest.mark.parametrize("name", FAULTS)
def test_it_can_be_planted(tmp_path, name):
    shutil.copytree(PACKAGE, tmp_path / "minidl", ignore=shutil.ignore_patterns("__pycache__"))
    apply(FAULTS[name], tmp_path / "minidl")
    file = FAULTS[name].file
    assert (tmp_path / "minidl" / file).read_text() != (PACKAGE / file).read_text()


def test_two_are_noticed():
    assert noticed(FAULTS["SIGTERM leaves with 0"])
    assert noticed(FAULTS["the digest is not compared"])


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAULTS)
def test_each_is_noticed(name):
    assert noticed(FAULTS[name])
