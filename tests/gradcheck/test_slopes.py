"""The numerical derivatives and, above all, their error bars."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.gradcheck.slopes import Line, round_to_30_bits, slopes

SMOOTH = {
    "exp": (np.exp, np.exp),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "fast sine": (lambda x: np.sin(1e3 * x), lambda x: 1e3 * np.cos(1e3 * x)),
    "tiny": (lambda x: 1e-9 * x * x, lambda x: 2e-9 * x),
    "saturated": (lambda x: 1 / (1 + np.exp(-20 * x)), lambda x: 20 / (2 + 2 * np.cosh(20 * x))),
    "log": (lambda x: np.log(np.abs(x) + 1e-3), lambda x: np.sign(x) / (np.abs(x) + 1e-3)),
}


def at_entries(f, x):
    """Return the slopes of f(x)[i] along x[i]: the diagonal of all slopes."""
    found = slopes(lambda: f(x), [Line(x, (i,)) for i in range(len(x))])
    return {name: np.diag(getattr(found, name)) for name in ("value", "bar", "low", "high", "kink")}


@pytest.mark.parametrize("name", SMOOTH)
@given(values=st.lists(st.floats(-2, 2), min_size=1, max_size=5))
def test_the_bar_covers_the_true_error(name, values):
    f, df = SMOOTH[name]
    x = round_to_30_bits(np.array([v if abs(v) > 1e-3 else 0.5 for v in values]))  # log|x| has a kink at 0
    found = at_entries(f, x)
    assert (np.abs(found["value"] - df(x)) <= found["bar"]).all()


@pytest.mark.parametrize("name", ["exp", "tanh"])
def test_the_bar_is_small_where_the_function_is_tame(name, rng):
    f, _ = SMOOTH[name]
    found = at_entries(f, round_to_30_bits(rng.uniform(-2, 2, 50)))
    assert found["bar"].max() < 1e-10
    assert not found["kink"].any()


@pytest.mark.parametrize("size", [1e6, 1e9])
def test_noise_that_no_output_shows_is_guessed_from_the_finest_steps(size, rng):
    """Outputs of size 1 with the rounding of `size`: by luck it may not show, so misses are rare, not absent."""
    x = round_to_30_bits(rng.uniform(-2, 2, 300))
    found = at_entries(lambda x: (np.sin(x) + size) - size, x)
    assert (np.abs(found["value"] - np.cos(x)) <= 4 * found["bar"]).mean() >= 0.95
    assert (found["bar"] < 0.01).mean() >= 0.9


def test_what_is_left_of_large_numbers_moves_by_three_of_their_roundings():
    x = np.array([0.5])
    found = slopes(lambda: (1e-8 * x + 1e6) - 1e6, [Line(x, (0,))], least=1e6)
    assert found.bar[0, 0] == pytest.approx(3 * np.finfo(float).eps * 1e6 / (0.25 / 4**2), rel=0.01)
    assert abs(found.value[0, 0] - 1e-8) < found.bar[0, 0]


def relu(x):
    return np.maximum(x, 0)


def test_a_kink_at_the_point_shows_both_slopes():
    found = at_entries(relu, np.zeros(2))
    assert found["kink"].all()
    np.testing.assert_allclose(found["low"], 0, atol=1e-8)
    np.testing.assert_allclose(found["high"], 1, atol=1e-8)


@pytest.mark.parametrize("distance", [1.0, 0.1, 1e-2, 1e-3])
def test_a_kink_nearby_is_walked_around_with_smaller_steps(distance):
    x = round_to_30_bits(np.array([distance, -distance]))
    found = at_entries(relu, x)
    np.testing.assert_allclose(found["value"], [1, 0], atol=1e-7)
    assert not found["kink"].any()


@pytest.mark.parametrize("distance", [1e-4, 3e-5, 1e-5, 1e-6])
def test_a_kink_too_near_to_walk_around_makes_the_bar_large_or_shows_as_a_kink(distance):
    found = at_entries(relu, np.array([distance, -distance]))
    assert (found["kink"] | (found["bar"] >= np.abs(found["value"] - [1, 0]))).all()


def test_a_kink_within_the_smallest_step_is_taken_for_one_at_the_point():
    found = at_entries(relu, np.array([1e-8]))
    assert found["kink"][0]
    assert found["low"][0] < 0.1
    assert found["high"][0] > 0.9


def test_a_kink_behind_a_curvature_is_found_at_the_finest_steps():
    x = np.array([0.0])
    found = slopes(
        lambda: 100 * x**2 + np.abs(x),
        [Line(x, (0,))],
    )
    assert found.kink[0, 0]


def test_each_output_is_differenced_by_itself():
    x = np.array([1.0])
    found = slopes(lambda: np.array([1e8 + 0 * x[0], 1e-8 * x[0]]), [Line(x, (0,))])
    assert found.value[0, 1] == pytest.approx(1e-8, rel=1e-10)
    assert found.bar[0, 1] < 1e-18


def test_a_point_outside_the_domain_has_no_slope_and_an_infinite_bar():
    found = at_entries(lambda x: np.sqrt(x), np.array([-1.0]))
    assert found["bar"][0] == np.inf


def test_the_point_is_put_back_bit_by_bit_also_after_an_error(rng):
    x = rng.normal(size=5)
    before = x.tobytes()
    at_entries(np.exp, x)
    assert x.tobytes() == before

    def fail():
        if x.tobytes() != before:
            raise RuntimeError("away from the point")
        return x.copy()

    with pytest.raises(RuntimeError):
        slopes(fail, [Line(x, None, np.ones(5))])
    assert x.tobytes() == before


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=5))
def test_numbers_of_30_bits_keep_single_precision_zeros_and_signs(values):
    x = np.array(values, np.float32)
    np.testing.assert_array_equal(round_to_30_bits(x), x)


def test_numbers_of_30_bits_make_steps_exact(rng):
    x = round_to_30_bits(rng.normal(size=1000))
    for k in range(10):
        h = 0.25 / 4.0**k
        np.testing.assert_array_equal((x + h) - x, h)
    np.testing.assert_allclose(x, round_to_30_bits(x), rtol=0)
