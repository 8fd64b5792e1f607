"""What is right is never refused, whatever the rows and values, and a check leaves everything as it was.

What is refused, and in which words: `test_mutants.py`.
"""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from planted import contracts, dense_contract, layers, normalization

from minidl import (
    Dense,
    Flatten,
    InputError,
    ReLU,
    Sequential,
    ShapeError,
    SoftmaxCrossEntropy,
    Verdict,
    check_layer,
    check_loss,
)

REFUSED = {Verdict.FAIL_VALUE, Verdict.FAIL_CONTRACT, Verdict.NONDETERMINISTIC, Verdict.STATE_CHANGED}

LAYERS = {
    "Scale": layers.Scale,
    "BatchNorm": normalization.BatchNorm,
    "Dropout": lambda d: layers.Dropout(),
    "workspace": lambda d: dense_contract.TrainingWorkspace(d, 3, rng=0),
    "table": lambda d: Sequential(Dense(d, 4, rng=0), layers.Positions()),
    "everything": lambda d: Sequential(
        Flatten(), Dense(d, 4, rng=0), ReLU(), layers.Dropout(), Sequential(Dense(4, 2, rng=1), Sequential())
    ),
}


def state_of(layer):
    """Return copies of all that a check may not change."""
    parameters = layer.named_parameters().values()
    arrays = [array.copy() for p in parameters for array in (p.value, p.grad)]
    return [*arrays, *(buffer.copy() for buffer in layer.named_buffers().values())]


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
@given(rows=st.integers(2, 5), features=st.integers(1, 4), seed=st.integers(0, 9), flat=st.sampled_from([1.0, 0.0]))
@example(rows=2, features=1, seed=0, flat=0.0)
def test_right_layers_are_not_refused_and_stay_as_they_are(make, rows, features, seed, flat):
    rng = np.random.default_rng(seed)
    # Or all ones: no variance, all ties.
    x = flat * rng.normal(size=(rows, features)) + (1 - flat)
    layer, x_before = make(features), x.copy()
    for parameter in layer.named_parameters().values():
        parameter.add_grad(rng.normal(size=parameter.value.shape))
    before = state_of(layer)
    report = check_layer(layer, x)
    assert report.verdict not in REFUSED, str(report)
    np.testing.assert_array_equal(x, x_before)
    for now, then in zip(state_of(layer), before, strict=True):
        np.testing.assert_array_equal(now, then)
    if isinstance(layer, layers.Dropout):
        assert layer.rng.bit_generator.state == make(features).rng.bit_generator.state


def test_images_are_batches_too(rng):
    x = rng.normal(size=(3, 2, 4, 1))
    check_layer(Flatten(), x).assert_ok()
    check_layer(Sequential(ReLU(), Flatten(), Dense(8, 2, rng=0)), x).assert_ok()


@pytest.mark.parametrize("factor", [1e8, 1e-8])
def test_large_and_small_numbers_are_not_refused(factor, rng):
    network = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 2, rng=1))
    assert check_layer(network, factor * rng.normal(size=(4, 3))).verdict not in REFUSED


def test_what_is_wrong_with_the_arguments_is_for_the_caller():
    with pytest.raises(ShapeError, match="expected x of shape"):
        check_layer(Dense(3, 2, rng=0), np.ones((2, 4)))
    with pytest.raises(InputError, match="expected labels in"):
        check_loss(SoftmaxCrossEntropy(), np.zeros((2, 3)), [0, 3])


def test_a_loss_of_targets_that_are_no_array(rng):
    class ByName(contracts.Squares):
        def forward(self, outputs, targets):
            return super().forward(outputs, targets["values"])

    check_loss(ByName(), rng.normal(size=(4, 3)), {"values": rng.normal(size=(4, 3))}).assert_ok()
    check_loss(SoftmaxCrossEntropy(), rng.normal(size=(4, 3)), [2, 0, 1, 0]).assert_ok()
