"""Regularizers: their formulas, and what they refuse; `check_regularizer` tests the rest."""

import numpy as np

from minidl import L1, L2, ElasticNet


def test_the_formulas_carry_no_half():
    w = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert L2(0.5).penalty(w) == 7.0
    assert L1(0.5).penalty(w) == 3.0
    assert ElasticNet(0.5, 0.5).penalty(w) == 10.0
    assert L2(0.5).gradient(w).tolist() == [[1, -2], [0, 3]]
    assert L1(0.5).gradient(w).tolist() == [[0.5, -0.5], [0, 0.5]]


def test_a_numpy_number_does_not_widen_the_gradient():
    assert L2(np.float64(0.1)).gradient(np.ones(2, np.float32)).dtype == np.float32
