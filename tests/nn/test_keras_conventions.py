"""Conventions that differ from Keras, as described in docs/weights-from-keras.md."""

import os

import numpy as np
import pytest

import minidl as dl

os.environ.setdefault("KERAS_BACKEND", "torch")
try:
    import keras
except ImportError:
    pytest.skip("needs Keras and a backend of it", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_the_running_statistics_of_batch_normalization(rng):
    theirs, ours = keras.layers.BatchNormalization(), dl.BatchNorm(3, momentum=0.99, epsilon=1e-3, unbiased=False)
    for _ in range(5):
        x = rng.normal(2.0, 3.0, (4, 3)).astype(np.float32)
        y = keras.ops.convert_to_numpy(theirs(x, training=True))
        np.testing.assert_allclose(ours.forward(x, train=True), y, atol=1e-5)
    found = [ours.running_mean, ours.running_variance]
    expected = [keras.ops.convert_to_numpy(v) for v in (theirs.moving_mean, theirs.moving_variance)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_keras_boundaries_of_a_piecewise_constant_are_one_step_later():
    theirs = keras.optimizers.schedules.PiecewiseConstantDecay([10, 30], [0.5, 0.25, 0.125])
    ours = dl.PiecewiseConstant([11, 31], [0.5, 0.25, 0.125])
    assert [ours(step) for step in range(40)] == [float(theirs(step)) for step in range(40)]


def test_nadam_with_a_momentum_decay_of_1(rng):
    value, gradients = rng.normal(size=5), rng.normal(size=(10, 5))
    theirs, variable = keras.optimizers.Nadam(0.1, epsilon=1e-8), keras.Variable(value, dtype="float64")
    ours, weight = dl.NAdam(0.1, momentum_decay=1.0), dl.Parameter(value, dtype=np.float64)
    for gradient in gradients:
        theirs.apply_gradients([(keras.ops.convert_to_tensor(gradient, dtype="float64"), variable)])
        weight.zero_grad()
        weight.add_grad(gradient)
        ours.step({"w": weight})
    np.testing.assert_allclose(weight.value, keras.ops.convert_to_numpy(variable.value), rtol=1e-5)


def test_keras_counts_all_ties_with_the_kth():
    scores, targets = [[0.5, 0.5, 0.1]] * 3, [0, 1, 2]
    assert keras.ops.in_top_k(targets, np.array(scores, np.float32), k=1).tolist() == [True, True, False]
    assert dl.top_k_accuracy(scores, targets, 1) == pytest.approx(1 / 3)
