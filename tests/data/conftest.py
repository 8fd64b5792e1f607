"""Fixtures for CIFAR-10: tiny batches instead of the real ones, and a separate home for every test."""

import cifar_files as files
import pytest

from minidl.data.datasets import cifar10


@pytest.fixture(scope="module")
def tiny():
    with files.tiny_cifar10():
        yield


@pytest.fixture
def cache(tiny, tmp_path, monkeypatch):
    """Return the cache folder, not created yet, of an empty home without a download source."""
    for variable in ("XDG_CACHE_HOME", "MINIDL_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(cifar10, "_sources", list)
    return tmp_path / "home/.cache/minidl/cifar-10"
