import numpy as np
import pytest

from minidl import InputError, NonFiniteError, ShapeError, numerical_gradient, relative_error
from minidl.gradcheck.arrays import random_upstream


def test_an_upstream_gradient_hides_nothing_and_is_of_the_size_of_1(rng):
    dy = random_upstream((99,), rng)
    assert set(np.sign(dy)) == {-1, 1}
    assert 0.5 <= np.abs(dy).min() < np.abs(dy).max() < 2
    assert len(np.unique(np.abs(dy))) > 90


def test_central_differences_find_known_slopes(rng):
    x = rng.uniform(0.5, 2.0, (3, 4))
    before = x.copy()
    np.testing.assert_allclose(numerical_gradient(lambda x: np.log(x).sum(), x), 1 / x, rtol=1e-8)
    np.testing.assert_array_equal(x, before)


def test_the_error_is_of_second_order_in_the_step():
    def cube(x):
        return float((x**3).sum())

    errors = [abs(numerical_gradient(cube, [1.0], step=h)[0] - 3.0) for h in (0.1, 0.01)]
    assert errors[0] == pytest.approx(0.01, rel=1e-9)
    assert errors[1] == pytest.approx(0.0001, rel=1e-6)


def test_integers_and_single_precision_are_differenced_in_double():
    assert numerical_gradient(lambda x: float(x @ x), [3, 4]).tolist() == pytest.approx([6.0, 8.0])
    assert numerical_gradient(lambda x: float(x @ x), np.ones(1, np.float32)).dtype == np.float64


def test_what_has_no_slope_is_refused():
    with pytest.raises(NonFiniteError, match="f to return finite numbers"):
        numerical_gradient(lambda x: float("nan"), [1.0])
    with pytest.raises(NonFiniteError, match="x: expected finite"):
        numerical_gradient(lambda x: 0.0, [np.nan])
    with pytest.raises(InputError, match="step: expected a finite number > 0"):
        numerical_gradient(lambda x: 0.0, [1.0], step=0)


def test_relative_error_is_symmetric_and_bounded_below_by_eps():
    assert relative_error([2.0], [1.0]) == relative_error([1.0], [2.0]) == [1 / 3]
    assert relative_error([1e-9], [0.0]) == pytest.approx([1e-3])
    assert relative_error([0.0], [0.0]) == [0.0]
    assert relative_error([1.0], [-1.0]) == [1.0]
    assert relative_error(np.uint8([200]), np.uint8([250])) == [50 / 450]
    with pytest.raises(ShapeError, match="same shape"):
        relative_error(np.zeros((2, 1)), np.zeros((1, 2)))
