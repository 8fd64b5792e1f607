"""What every test shares: deterministic Hypothesis, NumPy warnings as errors, a seeded generator."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings

# To explain a failure Hypothesis runs it a hundred times more, and some tests look at what fails on purpose.
PHASES = [phase for phase in Phase if phase is not Phase.explain]
settings.register_profile("default", derandomize=True, deadline=None, max_examples=50, phases=PHASES)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# What tests write and read back does not depend on the kind of disk, and a disk takes long to confirm that it is there.
IN_MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > 2**31:
    os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


def pytest_configure(config: pytest.Config) -> None:
    """Let ``pytest -m nightly`` draw more examples, and let Ctrl-C arrive whoever has started this."""
    # A job in the background, or under nohup, inherits that SIGINT is ignored, and so would every process of a test.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.markexpr == "nightly":
        settings.load_profile("nightly")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count what draws more examples then, or is scaled by that, among the nightly tests."""
    if config.option.markexpr == "nightly":
        for item in items:
            if item.get_closest_marker("scaled") or getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker("nightly")


@pytest.fixture(autouse=True)
def numpy_errors() -> Iterator[None]:
    """Make NumPy raise instead of returning NaN or infinity; underflow is legitimate in a softmax."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
