"""Metrics against their definitions, counted row by row."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minidl as dl


@st.composite
def scored(draw):
    """Scores (n, classes) with many ties, and labels."""
    n, classes = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    scores = draw(arrays(np.float64, (n, classes), elements=st.sampled_from([-1.5, 0.0, 0.25, 2.0])))
    return scores, draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))


@st.composite
def predicted(draw):
    """Predictions and targets in 0 .. classes - 1."""
    n, classes = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    labels = arrays(draw(st.sampled_from([np.int64, np.uint8])), n, elements=st.integers(0, classes - 1))
    return draw(labels), draw(labels), classes


@given(scored(), st.data())
def test_top_k_counts_the_rows_whose_target_is_among_the_first_k_of_the_ranking(case, data):
    scores, targets = case
    k = data.draw(st.integers(1, scores.shape[1]))
    rankings = [sorted(range(len(row)), key=lambda j, row=row: (-row[j], j)) for row in scores.tolist()]
    hits = [target in ranking[:k] for ranking, target in zip(rankings, targets.tolist(), strict=True)]
    assert dl.top_k_accuracy(scores, targets, k) == pytest.approx(sum(hits) / len(hits), rel=1e-15)


@given(predicted())
def test_the_confusion_matrix_counts_pairs(case):
    predictions, targets, classes = case
    expected = np.zeros((classes, classes), int)
    for p, t in zip(predictions, targets, strict=True):
        expected[t, p] += 1
    counts = dl.confusion_matrix(*case)
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.int64
    assert counts.trace() == round(dl.accuracy(predictions, targets) * len(targets))


@given(predicted())
def test_the_accuracy_of_a_class_is_that_of_its_rows(case):
    predictions, targets, classes = case
    shares = dl.per_class_accuracy(*case)
    assert shares.shape == (classes,)
    for c in range(classes):
        rows = targets == c
        expected = dl.accuracy(predictions[rows], targets[rows]) if rows.any() else math.nan
        np.testing.assert_equal(shares[c], expected)


def test_many_classes_do_not_wrap_in_small_dtypes():
    labels = np.arange(200, dtype=np.uint8)
    np.testing.assert_array_equal(dl.confusion_matrix(labels, labels, 200), np.eye(200))


@given(predicted(), st.integers(1, 30))
def test_the_most_confused_pairs_are_the_largest_counts_off_the_diagonal(case, count):
    counts = dl.confusion_matrix(*case)
    pairs = dl.most_confused(counts, count=count)
    expected = sorted((-int(n), t, p) for (t, p), n in np.ndenumerate(counts) if t != p and n)
    assert [(-pair.rows, pair.target, pair.predicted) for pair in pairs] == expected[:count]
    for pair in pairs:
        assert pair.share == pair.rows / (np.asarray(case[1]) == pair.target).sum()
        assert type(pair.rows) is int


def test_confused_pairs_have_class_names():
    matrix = np.array([[5, 1], [3, 1]], dtype=np.uint8)
    assert dl.most_confused(matrix, ("cat", "dog")) == [("dog", "cat", 3, 0.75), ("cat", "dog", 1, 1 / 6)]
    assert dl.most_confused(np.eye(3, dtype=int)) == []
    np.testing.assert_array_equal(matrix, [[5, 1], [3, 1]])


@given(scored())
def test_the_mean_true_class_probability_is_the_mean_over_rows(case):
    scores, targets = case
    p = 1 / (1 + np.exp(-scores))
    expected = math.fsum(p[i, t] for i, t in enumerate(targets)) / len(targets)
    assert dl.mean_true_class_probability(p, targets) == pytest.approx(expected, rel=1e-14)
    assert dl.mean_true_class_probability(p.astype(np.float32), targets) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: dl.top_k_accuracy([1.0, 2.0], [0, 1]), dl.ShapeError, r"scores of shape \(n, classes\).* got \(2,\)"),
        (lambda: dl.top_k_accuracy(np.zeros((2, 3)), [0, 1], 4), dl.InputError, "expected k <= 3, .*got 4"),
        (lambda: dl.top_k_accuracy(np.zeros((2, 3)), [0, 3], 1), dl.InputError, "labels in 0..2, got 3 in row 1"),
        (lambda: dl.top_k_accuracy([[np.nan, 1.0]], [0], 1), dl.NonFiniteError, "got NaN"),
        (lambda: dl.confusion_matrix([0, 1], [0], 2), dl.ShapeError, r"predictions of shape \(1,\), got \(2,\)"),
        (lambda: dl.confusion_matrix([[0]], [[0]], 2), dl.ShapeError, r"targets of shape \(1,\), got \(1, 1\)"),
        (lambda: dl.confusion_matrix([], [], 2), dl.ShapeError, "got no rows"),
        (lambda: dl.confusion_matrix([2], [0], 2), dl.InputError, "predictions: expected labels in 0..1, got 2"),
        (lambda: dl.most_confused([[1, -1], [0, 1]]), dl.InputError, "expected a matrix of counts"),
        (lambda: dl.most_confused([[1, 0], [0, 1]], count=0), dl.InputError, "count: expected an integer >= 1"),
        (lambda: dl.per_class_accuracy([0], [-1], 2), dl.InputError, "targets: expected labels in 0..1, got -1"),
        (lambda: dl.mean_true_class_probability([[1.5, 0.0]], [0]), dl.InputError, "loss.probabilities"),
        (lambda: dl.mean_true_class_probability([[np.nan, 0.0]], [0]), dl.InputError, "expected 0 to 1, got nan"),
        (lambda: dl.mean_true_class_probability([[0.5, 0.5]], [[0]]), dl.ShapeError, r"targets of shape \(1,\)"),
    ],
)
def test_invalid_arguments_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([0.9, 1.0], [1, 1], "integer class labels as predictions, got dtype float64$"),
        ([1.0, 1.0], [1, 1], r"as predictions, got dtype float64; convert them: predictions.astype\(int\)"),
        ([1, 1], [0.5, 1.0], "as targets, got dtype float64"),
        ([True, False], [1, 0], "as predictions, got dtype bool"),
        ([np.nan, 1.0], [1, 1], "as predictions"),
    ],
)
def test_targets_that_are_not_labels_are_refused_by_all_metrics(predictions, targets, message):
    for count in (dl.confusion_matrix, dl.per_class_accuracy, lambda *labels: dl.accuracy(*labels[:2])):
        with pytest.raises(dl.InputError, match=message):
            count(predictions, targets, 2)
