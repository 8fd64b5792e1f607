"""Metrics against scikit-learn's."""

import numpy as np
import pytest

from minidl import confusion_matrix, per_class_accuracy, top_k_accuracy

metrics = pytest.importorskip("sklearn.metrics", reason="needs an extra oracle: pip install scikit-learn")


@pytest.mark.parametrize("seed", range(5))
def test_metrics_agree(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(3, 8))
    scores = rng.normal(size=(60, classes))
    targets, predictions = rng.integers(0, classes, 60), scores.argmax(axis=1)
    labels = np.arange(classes)
    for k in range(1, classes):
        expected = metrics.top_k_accuracy_score(targets, scores, k=k, labels=labels)
        assert top_k_accuracy(scores, targets, k) == pytest.approx(expected, rel=1e-14)
    expected = metrics.confusion_matrix(targets, predictions, labels=labels)
    np.testing.assert_array_equal(confusion_matrix(predictions, targets, classes), expected)
    expected = metrics.recall_score(targets, predictions, labels=labels, average=None)
    np.testing.assert_allclose(per_class_accuracy(predictions, targets, classes), expected, rtol=1e-14)
