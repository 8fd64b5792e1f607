"""Datasets go through a network in batches: memory does not grow with the rows, and nothing else changes."""

import copy
import gc
import tracemalloc

import numpy as np
import pytest
from function_layer import function_layer
from small_parts import SquaredError

import minidl as dl
from minidl.nn.batches import rows_at_a_time


def convolutions(*before):
    head = dl.ReLU(), dl.MaxPool2D(2), dl.Flatten(), dl.Dense(256, 10, rng=1)
    return dl.Model(dl.Sequential(*before, dl.Conv2D(3, 4, 3, padding="same", rng=0), *head), dl.SoftmaxCrossEntropy())


def peak(call):
    """The peak memory of a call, in bytes."""
    gc.collect()
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def bytes_a_row(call, x):
    """The growth of the peak memory per row of x."""
    few, many = (peak(lambda rows=rows: call(rows)) for rows in (x[: len(x) // 4], x))
    return (many - few) / (0.75 * len(x))


CALLS = {
    "predict": lambda model, x: model.predict(x),
    "predict_proba": lambda model, x: model.predict_proba(x),
    "evaluate": lambda model, x: model.evaluate(dl.Dataset(x, np.zeros(len(x), int))),
    "ensemble": lambda model, x: dl.Ensemble([model, copy.deepcopy(model)], vote="majority").predict(x),
    "ensemble_evaluate": lambda model, x: dl.Ensemble([model]).evaluate(dl.Dataset(x, np.zeros(len(x), int))),
    "dead_units": dl.dead_units,
}


@pytest.mark.parametrize("flat", [False, True], ids=["images", "reshaped"])
@pytest.mark.parametrize("call", CALLS)
def test_the_peak_memory_grows_only_with_the_outputs(call, flat):
    model = convolutions(*[dl.Reshape((16, 16, 3))] * flat)
    x = np.random.default_rng(0).integers(0, 256, (4000, 16, 16, 3), np.uint8)
    x = x.reshape(len(x), -1) if flat else x
    # A row has ten outputs; float64 votes and copies of them take some hundred bytes. The comparison of all rows that
    # dead_units begins with takes as many bytes as there are pixels. In one piece a convolution has 4 KB for each row.
    allowed = 16 * 16 * 3 if call == "dead_units" else 500
    assert bytes_a_row(lambda x: CALLS[call](model, x), x) < allowed


def test_a_file_of_numbers_is_cast_batch_by_batch(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (20_000, 100))
    x[:] = 1.0
    model = dl.Model(dl.Dense(100, 2, rng=0, dtype=np.float64), dl.SoftmaxCrossEntropy())
    assert peak(lambda: model.predict(np.load(tmp_path / "x.npy", mmap_mode="r"))) < x.nbytes / 2


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100, None])
def test_batches_give_the_same_results_as_one_piece(batch_size):
    x = np.random.default_rng(0).normal(size=(7, 4)).round()
    # Sums of whole numbers are exact in any order.
    dense = dl.Dense(4, 3, dtype=np.float64)
    dense.weight.value[...] = np.arange(12).reshape(4, 3) % 5
    model = dl.Model(dl.Sequential(dl.ReLU(), dense), dl.SoftmaxCrossEntropy())
    for call in (model.predict, model.predict_proba, dl.Ensemble([model, copy.deepcopy(model)]).predict_proba):
        assert call(x.tolist(), batch_size).tobytes() == call(x, batch_size=7).tobytes()
    with pytest.raises(dl.InputError, match="batch_size: expected an integer >= 1, got 0"):
        model.predict(x, 0)


def test_up_to_the_default_batch_size_x_stays_in_one_piece():
    network = dl.Sequential(dl.Dense(6, 5, rng=0), dl.Tanh(), dl.Dense(5, 3, rng=1))
    x = np.random.default_rng(0).normal(size=(2500, 6)).astype("f")
    model = dl.Model(network, dl.MeanSquaredError())
    assert model.predict(x).tobytes() == model.forward(x).tobytes()


@pytest.mark.parametrize(
    ("loss", "dtype"),
    [
        *((loss(), np.int64) for loss in (dl.SoftmaxCrossEntropy, dl.SigmoidCrossEntropy, dl.BinaryCrossEntropy)),
        *((dl.MulticlassHinge(), np.int64), (dl.MeanSquaredError(), np.float32), (SquaredError(), np.float32)),
    ],
    ids=repr,
)
def test_no_rows_have_no_predictions(loss, dtype):
    for network, row in [
        (dl.Sequential(dl.Conv2D(3, 2, 3), dl.BatchNorm(2), dl.AvgPool2D(2), dl.Flatten(), dl.Dense(2, 3)), (4, 4, 3)),
        (dl.Sequential(dl.LayerNorm(4), dl.Parallel(dl.ReLU(), dl.Residual(dl.Dropout(0.5))), dl.Dense(8, 3)), (4,)),
    ]:
        model = dl.Model(network, loss)
        some, none = model.predict(np.zeros((5, *row))), model.predict(np.zeros((0, *row)))
        assert none.shape == (0, *some.shape[1:])
        assert none.dtype == some.dtype == dtype
        if "CrossEntropy" in repr(loss):
            probabilities = model.predict_proba(np.zeros((0, *row), np.uint8))
            assert (probabilities.shape, probabilities.dtype) == ((0, 3), np.float32)
    with pytest.raises(dl.ShapeError, match=r"got \(0, 5\)"):
        dl.Model(dl.Dense(4, 3), loss).predict(np.zeros((0, 5)))


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_no_rows_have_no_votes(vote):
    ensemble = dl.Ensemble([dl.Model(dl.Dense(4, 3, rng=i), dl.SoftmaxCrossEntropy()) for i in range(2)], vote)
    assert ensemble.predict(np.zeros((0, 4))).shape == (0,)
    assert ensemble.predict(np.zeros((0, 4))).dtype == ensemble.predict(np.zeros((2, 4))).dtype
    assert ensemble.predict_proba(np.zeros((0, 4))).shape == (0, 3)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_an_error_names_the_shape_of_x_and_the_place_in_x(batch_size):
    wide = dl.Model(dl.Dense(4000, 2, rng=0), dl.SoftmaxCrossEntropy())
    for x, words in [
        (np.zeros(4000), r"got \(4000,\); x looks like one row: .* x\[:1\]"),
        (np.zeros(9), r"got \(9,\)$"),
    ]:
        with pytest.raises(dl.ShapeError, match=words):
            wide.predict(x, batch_size)
    x = np.zeros((6000, 4000), np.float32)
    x[5500, 7] = np.nan
    with pytest.raises(dl.NonFiniteError, match=r"^x: .* first at index \(5500, 7\)"):
        wide.predict(x, batch_size)
    wide.parameters["weight"].value[0] = 1e30
    x[5500] = 0.0
    x[5501, 0] = 3e38
    with np.errstate(over="ignore"), pytest.raises(dl.NonFiniteError, match=r"^outputs: .* index \(5501, 0\)"):
        wide.predict(x, batch_size)


class Last(dl.Layer):
    """Returns a view of a larger array; its output_shape is missing or wrong."""

    def __init__(self, shape=None):
        super().__init__()
        self.shape = shape

    def forward(self, x, train=False):
        return (x + np.zeros(50, x.dtype))[:, -1, :1]

    def backward(self, dy):
        return dy

    def output_shape(self, input_shape):
        if self.shape == "raises":
            raise KeyError("steps")
        return input_shape if self.shape is None else self.shape


def test_a_batch_that_loses_rows_is_refused_and_not_broadcast():
    model = dl.Model(function_layer(lambda x: x[:1], lambda dy, x: dy), dl.MeanSquaredError())
    with pytest.raises(dl.ShapeError, match=r"forward: expected it to return an array of shape \(3, 2\)"):
        model.predict(np.zeros((7, 2)), batch_size=3)


class Block(dl.Layer):
    """A user's network that computes images from flat rows internally."""

    def __init__(self):
        super().__init__()
        self.inner = self.add_layer("inner", dl.Conv2D(1, 64, 3, padding="same", rng=0))

    def forward(self, x, train=False):
        return self.inner.forward(x.reshape(-1, 16, 16, 1), train).mean(axis=(1, 2))[:, :1]

    def backward(self, dy):
        return dy

    def output_shape(self, input_shape):
        return (1,)


@pytest.mark.parametrize(
    ("layer", "row"),
    [(Block(), (256,)), *((Last(shape), (20, 50)) for shape in (None, "raises", (1,), (1, 2, -1)))],
    ids=repr,
)
def test_inner_arrays_of_a_users_layer_are_released_whatever_its_output_shape(layer, row):
    model = dl.Model(dl.Sequential(layer, dl.Dense(1, 2, rng=0)), dl.SoftmaxCrossEntropy())
    assert bytes_a_row(model.predict, np.zeros((4000, *row), np.uint8)) < 200
    assert model.predict(np.zeros((0, *row))).shape == (0,)


def test_the_default_batch_size_depends_on_the_output_shapes():
    flat, images = dl.Dense(3072, 10), dl.Conv2D(3, 16, 3)
    assert rows_at_a_time(flat, (10, 3072)) == 2500
    assert rows_at_a_time(images, (10, 32, 32, 3)) == 250
    assert rows_at_a_time(dl.Sequential(dl.Reshape((32, 32, 3)), images), (10, 3072)) == 250
    assert rows_at_a_time(dl.Sequential(dl.Residual(dl.Sequential(dl.Reshape((3, 4)), dl.Flatten()))), (10, 12)) == 250
    # For wide layers and large images, the number of entries is limited.
    assert rows_at_a_time(dl.Dense(10, 100_000), (10, 10)) == 167
    assert rows_at_a_time(dl.Conv2D(3, 64, 3, padding="same"), (1, 512, 512, 3)) == 1
    # For rows that the network refuses, only the shape of x counts.
    assert rows_at_a_time(flat, (10, 5, 5)) == 250
    assert rows_at_a_time(dl.ReLU(), (10,)) == 2500
    assert rows_at_a_time(dl.Sequential(), (10, 0)) == 2500
