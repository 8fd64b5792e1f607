"""Initializers: their statistics and exact properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import Constant, He, LeCun, Normal, Orthogonal, Uniform, Xavier, Zeros, testing

# Mean and deviation of draws of shape (300, 200), and the deviation for a kernel (3, 3, 20, 30).
SPREADS = {
    "Normal(0.01)": (Normal(0.01), 0, 0.01, 0.01),
    "Uniform(1, 3)": (Uniform(1, 3), 2, 2 / math.sqrt(12), 2 / math.sqrt(12)),
    "Xavier()": (Xavier(), 0, math.sqrt(2 / 500), math.sqrt(2 / (9 * 20 + 9 * 30))),
    "He()": (He(), 0, math.sqrt(2 / 300), math.sqrt(2 / 180)),
    "LeCun()": (LeCun(), 0, math.sqrt(1 / 300), math.sqrt(1 / 180)),
    "Orthogonal(1.5)": (Orthogonal(1.5), 0, 1.5 * math.sqrt(1 / 300), 1.5 * math.sqrt(1 / 180)),
    "Zeros()": (Zeros(), 0, 0, 0),
    "Constant(3)": (Constant(3), 3, 0, 0),
}


@pytest.mark.parametrize("text", SPREADS)
def test_draws_have_the_expected_mean_and_deviation(text, rng):
    initializer, mean, std, of_kernel = SPREADS[text]
    assert repr(initializer) == text
    w = initializer((300, 200), rng)
    assert w.shape == (300, 200)
    assert w.dtype == np.float64
    # Five standard errors.
    assert w.mean() == pytest.approx(mean, abs=5 * std / math.sqrt(w.size))
    assert w.std() == pytest.approx(std, rel=0.02)
    assert initializer((3, 3, 20, 30), rng).std() == pytest.approx(of_kernel, rel=0.05)


def test_uniform_draws_end_at_their_limits_and_normal_ones_have_tails(rng):
    limit = math.sqrt(6 / 500)
    assert 0.99 * limit < abs(Xavier()((300, 200), rng)).max() <= limit
    for initializer, std in ((LeCun(), math.sqrt(1 / 300)), (He(), math.sqrt(2 / 300)), (Normal(1), 1)):
        w = initializer((300, 200), rng) / std
        # The fourth moment is 1.8 for a uniform distribution, and below 3 for a truncated one.
        assert (w**4).mean() == pytest.approx(3, rel=0.05)
        assert abs(w).max() > 3


@given(testing.shapes(2, 4, max_side=6), st.sampled_from([1.0, 0.5, math.sqrt(2)]), st.integers(0, 100))
def test_the_shorter_side_of_an_orthogonal_draw_is_orthonormal(shape, gain, seed):
    w = Orthogonal(gain)(shape, np.random.default_rng(seed))
    assert w.shape == shape
    matrix = w.reshape(-1, shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-13)
    # The next draw does not share its memory.
    w += 1.0
    assert not np.array_equal(w, Orthogonal(gain)(shape, np.random.default_rng(seed)))


def test_all_rotations_and_reflections_are_equally_likely(rng):
    """Haar measure: mean 0, variance 1 / n, E[trace] = 0, E[trace**2] = 1; without the signs the trace is wrong."""
    draws = np.array([Orthogonal()((4, 4), rng) for _ in range(4000)])
    traces = draws.trace(axis1=1, axis2=2)
    assert np.abs(draws.mean(axis=0)).max() < 5 * 0.5 / math.sqrt(4000)
    assert draws.var(axis=0) == pytest.approx(np.full((4, 4), 0.25), rel=0.1)
    assert traces.mean() == pytest.approx(0, abs=5 / math.sqrt(4000))
    assert traces.var() == pytest.approx(1, rel=0.1)
    assert (np.linalg.det(draws) > 0).mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(4000))
