"""What the tests of CIFAR-10 share: tiny batches in place of the real ones, and a home of its own for every test."""

from collections.abc import Iterator
from pathlib import Path

import cifar_files as files
import pytest

from minidl.data.datasets import cifar10


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    with files.tiny_cifar10():
        yield


@pytest.fixture
def cache(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder, which is not there yet, of a home with nothing in it and nothing to download from."""
    for variable in ("XDG_CACHE_HOME", "MINIDL_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(cifar10, "_sources", list)
    return tmp_path / "home/.cache/minidl/cifar-10"
