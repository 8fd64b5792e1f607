import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minidl import L1, L2, ElasticNet, InputError, numerical_gradient

ALL = [L1(0.3), L2(0.2), ElasticNet(0.3, 0.2)]
every_one = pytest.mark.parametrize("regularizer", ALL, ids=repr)
weights = arrays(
    st.sampled_from([np.float32, np.float64]), st.tuples(st.integers(0, 4), st.integers(1, 4)),
    elements=st.floats(-100, 100, width=32),
)  # fmt: skip


@every_one
@given(weights)
def test_penalty_is_never_negative_and_nothing_is_changed(regularizer, w):
    before = w.copy()
    assert regularizer.penalty(w) >= 0
    gradient = regularizer.gradient(w)
    assert gradient.shape == w.shape
    assert gradient.dtype == w.dtype
    assert not np.shares_memory(gradient, w)
    np.testing.assert_array_equal(w, before)


@every_one
def test_gradient_agrees_with_central_differences(regularizer, rng):
    w = rng.uniform(0.1, 1.0, (3, 4)) * rng.choice([-1.0, 1.0], (3, 4))
    np.testing.assert_allclose(regularizer.gradient(w), numerical_gradient(regularizer.penalty, w), atol=1e-9)


@every_one
def test_memory_order_does_not_matter(regularizer, rng):
    w = rng.normal(size=(3, 4))
    assert regularizer.penalty(np.asfortranarray(w)) == pytest.approx(regularizer.penalty(w), rel=1e-15)
    assert regularizer.penalty(w[:, ::2]) == pytest.approx(regularizer.penalty(w[:, ::2].copy()), rel=1e-15)


def test_the_formulas_carry_no_half():
    w = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert L2(0.5).penalty(w) == 7.0
    assert L1(0.5).penalty(w) == 3.0
    assert ElasticNet(0.5, 0.5).penalty(w) == 10.0
    assert L2(0.5).gradient(w).tolist() == [[1, -2], [0, 3]]
    assert L1(0.5).gradient(w).tolist() == [[0.5, -0.5], [0, 0.5]]


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf"), "0.1", None, True])
def test_a_strength_is_a_finite_number_not_below_zero(strength):
    for make in (L1, L2, lambda s: ElasticNet(s, 0), lambda s: ElasticNet(0, s)):
        with pytest.raises(InputError, match="strength: expected a finite number >= 0"):
            make(strength)


def test_a_numpy_number_does_not_widen_the_gradient():
    assert L2(np.float64(0.1)).gradient(np.ones(2, np.float32)).dtype == np.float32
