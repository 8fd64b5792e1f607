"""Regularizers: their formulas, and what they refuse; `check_regularizer` tests the rest."""

import numpy as np
import pytest

from minidl import L1, L2, ElasticNet, InputError


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
