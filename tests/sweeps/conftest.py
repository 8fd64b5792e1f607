"""A sweep that writes into a folder of its own and says nothing."""

from functools import partial

import pytest

import minidl as dl


@pytest.fixture
def out(tmp_path):
    return tmp_path / "sweep.jsonl"


@pytest.fixture
def sweep(out):
    return partial(dl.sweep, out=out, verbose=0)
