"""LeCun and Orthogonal: their statistics, and what is exact about them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import Dense, InputError, LeCun, Orthogonal, testing


def test_lecun_has_the_spread_of_one_over_fan_in(rng):
    w = LeCun()((300, 200), rng)
    assert w.mean() == pytest.approx(0, abs=5 * math.sqrt(1 / 300) / math.sqrt(w.size))
    assert w.std() == pytest.approx(math.sqrt(1 / 300), rel=0.02)
    assert LeCun()((3, 3, 20, 30), rng).std() == pytest.approx(math.sqrt(1 / 180), rel=0.05)


def test_lecun_is_normal(rng):
    w = LeCun()((300, 200), rng) * math.sqrt(300)
    assert (w**4).mean() == pytest.approx(3, rel=0.05)  # 1.8 if it were uniform
    assert abs(w).max() > 3  # not truncated


def test_a_layer_drawn_by_lecun_keeps_the_spread_of_its_input(rng):
    x = rng.normal(size=(200, 400))
    y = Dense(400, 300, weight_init=LeCun(), rng=0, dtype=np.float64).forward(x)
    assert y.std() == pytest.approx(1, rel=0.03)


@given(testing.shapes(2, 4, max_side=6), st.sampled_from([1.0, 0.5, math.sqrt(2)]), st.integers(0, 100))
def test_the_shorter_side_of_an_orthogonal_draw_is_orthonormal(shape, gain, seed):
    w = Orthogonal(gain)(shape, np.random.default_rng(seed))
    assert w.shape == shape
    assert w.dtype == np.float64
    matrix = w.reshape(-1, shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-13)


def test_orthogonal_layers_keep_lengths(rng):
    x = rng.normal(size=(5, 8))
    for seed in range(20):
        x_next = Dense(8, 8, weight_init=Orthogonal(), rng=seed, dtype=np.float64).forward(x)
        np.testing.assert_allclose(np.linalg.norm(x_next, axis=1), np.linalg.norm(x, axis=1), rtol=1e-12)
        x = x_next


def test_all_rotations_and_reflections_are_equally_likely(rng):
    """Of Haar's measure: mean 0, variance 1 / n, E[trace] = 0, E[trace**2] = 1; without the signs the trace is off."""
    draws = np.array([Orthogonal()((4, 4), rng) for _ in range(4000)])
    traces = draws.trace(axis1=1, axis2=2)
    assert np.abs(draws.mean(axis=0)).max() < 5 * 0.5 / math.sqrt(4000)
    assert draws.var(axis=0) == pytest.approx(np.full((4, 4), 0.25), rel=0.1)
    assert traces.mean() == pytest.approx(0, abs=5 / math.sqrt(4000))
    assert traces.var() == pytest.approx(1, rel=0.1)
    assert (np.linalg.det(draws) > 0).mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(4000))


@given(st.sampled_from([(3, 5), (5, 3), (1, 1), (2, 2, 3, 4)]))
def test_each_draw_is_its_own_memory(shape):
    w = Orthogonal()(shape, np.random.default_rng(0))
    w += 1.0
    assert not np.array_equal(w, Orthogonal()(shape, np.random.default_rng(0)))


@pytest.mark.parametrize("initializer", [LeCun(), Orthogonal()], ids=repr)
def test_a_weight_of_one_axis_has_no_fans(initializer, rng):
    with pytest.raises(InputError, match="at least two axes"):
        initializer((3,), rng)


def test_a_gain_below_zero_is_refused():
    with pytest.raises(InputError, match="gain: expected a finite number >= 0, got -1"):
        Orthogonal(-1)


def test_representations():
    assert [repr(i) for i in (LeCun(), Orthogonal(), Orthogonal(1.5))] == ["LeCun()", "Orthogonal()", "Orthogonal(1.5)"]
