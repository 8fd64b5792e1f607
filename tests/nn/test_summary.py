"""Summary of a network: shapes and sizes without running data."""

import numpy as np
import pytest

import minidl as dl


def network():
    return dl.Sequential(dl.Dense(6, 4), dl.BatchNorm(4), dl.ReLU(), dl.Sequential(dl.Dense(4, 3), dl.ReLU()))


def test_every_layer_has_a_row_with_its_path_shape_and_parameters():
    summary = dl.Model(network(), dl.MeanSquaredError()).summary((6,))
    assert summary.rows == [
        ("0", "Dense", (4,), 28),
        ("1", "BatchNorm", (4,), 8),
        ("2", "ReLU", (4,), 0),
        ("3.0", "Dense", (3,), 15),
        ("3.1", "ReLU", (3,), 0),
    ]
    assert summary.parameters == summary.trainable == 28 + 8 + 15
    assert summary.row_bytes == 4 * (6 + 4 + 4 + 4 + 3 + 3)
    assert summary.parameter_bytes == 4 * (2 * 51 + 8)
    text = str(summary)
    assert len(text.splitlines()) == 7
    assert "51 parameters, float32" in text


def test_the_summary_of_a_single_layer_has_one_row():
    assert dl.Model(dl.Dense(6, 4, rng=0), dl.MeanSquaredError()).summary((6,)).rows == [("-", "Dense", (4,), 28)]


def test_frozen_parameters_are_counted_and_shown():
    model = dl.Model(network(), dl.MeanSquaredError())
    model.network.layers[0].freeze()
    summary = model.summary((6,))
    assert (summary.parameters, summary.trainable) == (51, 51 - 28)
    assert "51 parameters (23 trainable, 28 frozen), float32" in str(summary)


def test_memory_depends_on_the_dtype_of_the_parameters():
    double = dl.Model(network(), dl.MeanSquaredError()).astype(np.float64).summary((6,))
    assert (double.row_bytes, double.parameter_bytes) == (8 * 24, 8 * 110)
    assert "880 bytes with gradients and buffers; x and all outputs take 192 bytes per row" in str(double)


def test_a_users_container_counts_its_layers():
    class Twice(dl.Layer):
        def __init__(self):
            super().__init__()
            self.inner = self.add_layer("inner", dl.Dense(3, 3, rng=0))

        def forward(self, x, train=False):
            return 2 * self.inner.forward(x, train)

        def backward(self, dy):
            return self.inner.backward(2 * dy)

    summary = dl.Model(dl.Sequential(Twice(), dl.Dense(3, 2, rng=0)), dl.MeanSquaredError()).summary((3,))
    assert [row[3] for row in summary.rows] == [12, 8]


def test_nothing_runs():
    class NeverRuns(dl.ReLU):
        def forward(self, x, train=False):
            raise AssertionError

    summary = dl.Model(dl.Sequential(dl.Dense(6, 4, rng=0), NeverRuns()), dl.MeanSquaredError()).summary((6,))
    assert [row[3] for row in summary.rows] == [28, 0]


def test_flat_rows_may_be_given_by_their_length():
    model = dl.Model(network(), dl.MeanSquaredError())
    assert (
        model.summary() == model.summary(6) == model.summary((6,)) == model.summary([6]) == model.summary(np.int64(6))
    )


@pytest.mark.parametrize("shape", ["6", 6.0, (None, 6), (0,), (-6,), True, np.ones(2)])
def test_an_invalid_shape_is_refused(shape):
    with pytest.raises(dl.InputError, match="input_shape: expected an integer >= 1, got"):
        dl.Model(network(), dl.MeanSquaredError()).summary(shape)


def test_a_shape_is_required_if_the_first_layer_does_not_fix_it():
    network = dl.Sequential(dl.Sequential(dl.Conv2D(3, 4, kernel_size=3, rng=0)), dl.Flatten())
    with pytest.raises(dl.InputError, match=r"input_shape: the first layer, Conv2D\(.*; pass the shape of one row"):
        dl.Model(network, dl.MeanSquaredError()).summary()


def test_a_batch_axis_is_recognised():
    hint = r"input_shape is the shape of one row, without the batch axis: did you mean \(6,\)\?"
    for first in ([], [dl.Flatten()]):
        model = dl.Model(dl.Sequential(*first, *network().layers), dl.MeanSquaredError())
        with pytest.raises(dl.ShapeError, match=r"Dense\(6, 4\): expected rows of shape \(6,\).*" + hint):
            model.summary((60, 6))
        for other in [(60, 5), (5,), (2, 2, 2)]:
            with pytest.raises(dl.ShapeError) as refusal:
                model.summary(other)
            assert "batch axis" not in str(refusal.value)
