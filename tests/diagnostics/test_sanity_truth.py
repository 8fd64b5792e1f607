"""sanity_check: no false alarm for correct data with rare classes, and the true cause is reported."""

import numpy as np
import pytest

import minidl as dl
from minidl.diagnostics.relation import relation


def seeds(few, many):
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(few, many))]


def rare(rows, times, seed, shift=1.2, features=5):
    """`rows` of class 1, shifted, and `times` as many of class 0; at 1.2 the area under the curve is 0.97."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(rows * (times + 1)) < rows).astype(int)
    return dl.Dataset(rng.normal(size=(len(y), features)) + shift * y[:, None], y)


def check(data, network=None, loss=None):
    network = network or dl.Dense(data.x.shape[1], int(data.y.max()) + 1, rng=0)
    return dl.sanity_check(dl.Trainer(dl.Model(network, loss or dl.SoftmaxCrossEntropy()), dl.Adam(0.01), rng=0), data)


def relation_of(data):
    """Return the item about labels and x."""
    return next(item for item in check(data).items if item.name == "labels and x")


@pytest.mark.parametrize("seed", seeds(1, 20))
@pytest.mark.parametrize(("rows", "times"), [(100, 100), (40, 100), (40, 500)])
def test_rare_classes_are_reported_and_not_mistaken_for_shuffled_labels(rows, times, seed):
    report = check(rare(rows, times, seed))
    (warning,) = report.warnings
    assert warning.name == "labels"
    assert f"{rows} rows of label 1, but {rows * times} of label 0" in warning.sentence
    assert "class_weights" in warning.sentence
    assert report.faults == []
    assert "averaged over the classes" in str(report) or rows == 100
    assert check(rare(100, 10, seed)).ok


@pytest.mark.parametrize(("rows", "times"), [(100, 1), (100, 10), (100, 100), (40, 500)])
def test_shuffled_labels_are_reported_for_any_class_shares(rows, times):
    found = 0
    for seed in range(20):
        data = rare(rows, times, seed, shift=2.0)
        assert relation(data, np.random.default_rng(0))[1], seed
        data.y[:] = np.random.default_rng(seed + 100).permutation(data.y)
        found += not relation(data, np.random.default_rng(0))[1]
    # At this threshold, about one shuffled dataset in 250 passes.
    assert found >= 19
    assert relation_of(data).verdict == "warning"


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_tail_of_classes_is_checked(shuffled):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(30), 620 // (1 + np.arange(30)))
    data = dl.Dataset(2 * rng.normal(size=(30, 8))[y] + rng.normal(size=(len(y), 8)), y)
    if shuffled:
        data.y[:] = rng.permutation(y)
    assert relation_of(data).verdict == ("warning" if shuffled else "ok")


def test_a_few_rare_rows_give_no_item():
    assert "labels and x" not in [item.name for item in check(rare(5, 200, 0)).items]


def regression(scale, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 5))
    return dl.Dataset(x, scale * (x[:, :1] + 0.1 * rng.normal(size=(300, 1)) + offset))


def network():
    return dl.Sequential(dl.Dense(5, 16, rng=0), dl.ReLU(), dl.Dense(16, 1, rng=1))


@pytest.mark.parametrize(
    ("loss", "scale", "offset"),
    [(dl.MeanSquaredError(), 1e6, 3.0), (dl.Huber(), -1e5, 1.0), (dl.MeanAbsoluteError(), 1e6, 0.0)],
)
def test_only_large_targets_are_reported(loss, scale, offset):
    report = check(regression(scale, offset), network(), loss)
    assert [item.name for item in report.items if item.verdict != "ok"] == ["targets"], str(report)
    assert "divide by their standard deviation" in report.warnings[0].sentence
    for words in ("too small", "gradient wrong"):
        assert words not in str(report)


def test_a_network_that_cannot_learn_is_reported_in_addition_to_the_targets():
    frozen = network()
    frozen.freeze()
    report = check(regression(1e6), frozen, dl.MeanSquaredError())
    assert [item.name for item in report.items if item.verdict != "ok"] == ["targets", "overfitting"]
    assert "every parameter is frozen" in report.faults[0].sentence


class OwnSoftmax(dl.Layer):
    """A user's softmax, hidden in a layer that contains another layer."""

    def __init__(self, inner):
        super().__init__()
        self.inner = self.add_layer("inner", inner)

    def forward(self, x, train=False):
        z = np.exp(self.inner.forward(x, train))
        p = z / z.sum(axis=1, keepdims=True)
        if train:
            self.keep(p)
        return p

    def backward(self, dy):
        (p,) = self.kept()
        return self.inner.backward(p * (dy - (dy * p).sum(axis=1, keepdims=True)))


def test_a_users_softmax_is_recognised_by_its_outputs():
    data = rare(100, 1, 0)
    report = check(data, OwnSoftmax(dl.Dense(5, 2, rng=0)))
    assert report.faults == [report.items[0]]
    assert report.items[0].name == "last layer"
    assert "remove the softmax" in report.items[0].sentence
    assert check(data, OwnSoftmax(dl.Dense(5, 2, rng=0)), dl.MulticlassHinge()).items[0].name == "last layer"


def test_class_names_of_the_wrong_number_are_a_fault():
    data = rare(100, 1, 0)
    (fault,) = check(dl.Dataset(data.x, data.y, class_names=["a", "b", "c"])).faults
    assert "one for each of the network's 2 outputs, got 3" in fault.sentence


def test_memorising_reports_large_targets_and_not_the_network():
    for scale, words in ((1e6, "targets are as large as"), (1.0, "")):
        model = dl.Model(network(), dl.MeanSquaredError())
        result = dl.overfit_tiny(model, regression(scale), steps=300, learning_rate=0.01)
        assert words in str(result)
        assert "gradient wrong" not in str(result)
