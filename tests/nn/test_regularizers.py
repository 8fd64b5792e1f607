"""Regularizers: formulas and errors; `check_regularizer` tests the rest."""

import numpy as np
import pytest

import minidl as dl
from minidl import L1, L2, ElasticNet


def test_the_formulas_have_no_factor_one_half():
    w = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert L2(0.5).penalty(w) == 7.0
    assert L1(0.5).penalty(w) == 3.0
    assert ElasticNet(0.5, 0.5).penalty(w) == 10.0
    assert L2(0.5).gradient(w).tolist() == [[1, -2], [0, 3]]
    assert L1(0.5).gradient(w).tolist() == [[0.5, -0.5], [0, 0.5]]


def test_a_numpy_number_does_not_widen_the_gradient():
    assert L2(np.float64(0.1)).gradient(np.ones(2, np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("method", "value", "words"),
    [
        ("penalty", None, "a float, got NoneType"),
        ("penalty", np.ones((2, 2)), "a float, got ndarray"),
        ("penalty", "0.5", "a float, got str"),
        ("gradient", None, "an array, got NoneType; does the method have a return"),
        ("gradient", 1.0, "an array, got float"),
        ("gradient", np.ones(2), r"an array of shape \(2, 2\), got \(2,\)"),
    ],
)
def test_an_error_names_the_users_regularizer_that_returns_a_wrong_value(method, value, words):
    own = type("Mine", (L2,), {method: lambda self, w: value})(0.1)
    model = dl.Model(dl.Dense(2, 2, rng=0), dl.SoftmaxCrossEntropy(), own)
    trainer, before = dl.Trainer(model, dl.SGD(0.1)), model.network.weight.value.tobytes()
    for _ in range(2):
        with pytest.raises(dl.InputError, match=rf"Mine\(0.1\)\.{method}: expected it to return {words}"):
            trainer.fit(dl.Dataset(np.eye(2), [0, 1]), epochs=1, batch_size=2)
        assert (model.network.weight.value.tobytes(), trainer.step) == (before, 0)
