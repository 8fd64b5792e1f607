import math

import numpy as np
import pytest

from minidl import Constant, He, InputError, Normal, Uniform, Xavier, Zeros

SHAPE = (300, 200)


@pytest.mark.parametrize(
    ("initializer", "mean", "std"),
    [
        (Normal(0.01), 0, 0.01),
        (Uniform(1, 3), 2, 2 / math.sqrt(12)),
        (Xavier(), 0, math.sqrt(2 / (300 + 200))),
        (He(), 0, math.sqrt(2 / 300)),
        (Zeros(), 0, 0),
        (Constant(3), 3, 0),
    ],
    ids=repr,
)
def test_draws_have_the_promised_mean_and_spread(initializer, mean, std, rng):
    w = initializer(SHAPE, rng)
    assert w.shape == SHAPE
    assert w.dtype == np.float64
    assert w.mean() == pytest.approx(mean, abs=5 * std / math.sqrt(w.size))  # five standard errors
    assert w.std() == pytest.approx(std, rel=0.02)


def test_the_window_of_a_convolution_counts_in_the_fans(rng):
    w = Xavier()((3, 3, 20, 30), rng)
    assert abs(w).max() <= math.sqrt(6 / (9 * 20 + 9 * 30))
    assert He()((3, 3, 20, 30), rng).std() == pytest.approx(math.sqrt(2 / 180), rel=0.05)


def test_same_seed_same_draw():
    first, second = (Normal(1.0)((2, 2), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_what_cannot_be_drawn_is_refused(rng):
    with pytest.raises(InputError, match="std: expected a finite number >= 0, got -1"):
        Normal(-1)
    with pytest.raises(InputError, match="low <= high"):
        Uniform(1, 0)
    with pytest.raises(InputError, match="value: expected a finite number"):
        Constant(float("nan"))
    with pytest.raises(InputError, match="at least two axes"):
        He()((3,), rng)
