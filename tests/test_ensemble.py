"""Ensembles: the mean probability, or the majority, of several models."""

import numpy as np
import pytest

import minidl as dl


class Fixed(dl.Layer):
    """Gives the same logits for every row."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = np.array(logits)

    def forward(self, x, train=False):
        return np.tile(self.logits.astype(x.dtype), (len(x), 1))

    def backward(self, dy):
        return np.zeros((len(dy), 1), dy.dtype)


def model(*probabilities):
    return dl.Model(Fixed(*np.log(probabilities)), dl.SoftmaxCrossEntropy())


MODELS = [model(0.5, 0.4, 0.1), model(0.5, 0.4, 0.1), model(0.01, 0.9, 0.09)]
X = np.zeros((4, 1), np.float32)


def test_the_mean_and_the_majority_may_differ():
    assert dl.Ensemble(MODELS).predict(X).tolist() == [1] * 4
    assert dl.Ensemble(MODELS, vote="majority").predict(X).tolist() == [0] * 4
    assert np.allclose(dl.Ensemble(MODELS).predict_proba(X)[0], [1.01 / 3, 1.7 / 3, 0.29 / 3])
    assert np.allclose(dl.Ensemble(MODELS, vote="majority").predict_proba(X)[0], [2 / 3, 1 / 3, 0])


def test_a_tie_goes_to_the_lower_class():
    assert dl.Ensemble([model(0.1, 0.9), model(0.9, 0.1)], vote="majority").predict(X).tolist() == [0] * 4


def test_accuracy_is_measured_in_batches():
    data = dl.Dataset(X, [1, 1, 0, 1])
    assert dl.Ensemble(MODELS).evaluate(data, batch_size=3) == {"accuracy": 0.75}


def test_one_model_is_itself():
    assert np.array_equal(dl.Ensemble(MODELS[:1]).predict_proba(X), MODELS[0].predict_proba(X))


@pytest.mark.parametrize(("models", "vote"), [([], "mean"), (MODELS, "median")])
def test_wrong_use_is_refused(models, vote):
    with pytest.raises(dl.InputError, match="at least one model, and vote 'mean' or 'majority'"):
        dl.Ensemble(models, vote=vote)
    with pytest.raises(dl.InputError, match=r"models\[1\] to be a Model"):
        dl.Ensemble([MODELS[0], "model"])
