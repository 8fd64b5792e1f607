"""What every test shares: deterministic Hypothesis, NumPy warnings as errors, a seeded generator."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("default", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def numpy_errors() -> Iterator[None]:
    """Make NumPy raise instead of returning NaN or infinity; underflow is legitimate in a softmax."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
