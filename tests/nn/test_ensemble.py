"""Ensembles: the mean probability, or the majority, of several models."""

import copy

import numpy as np
import pytest
from function_layer import function_layer
from small_parts import SquaredError

import minidl as dl


def model(*probabilities, loss=dl.SoftmaxCrossEntropy):
    """Return a model with the same logits for every row."""
    logits = np.log(probabilities)
    rows = function_layer(lambda x: np.tile(logits.astype(x.dtype), (len(x), 1)), lambda dy, x: 0 * x)
    return dl.Model(rows, loss())


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


@pytest.mark.parametrize(("models", "vote"), [([], "mean"), (MODELS, "median")])
def test_wrong_use_is_refused(models, vote):
    with pytest.raises(dl.InputError, match="expected models, vote 'mean' or 'majority'"):
        dl.Ensemble(models, vote=vote)
    with pytest.raises(dl.InputError, match=r"models\[1\] to be a Model"):
        dl.Ensemble([MODELS[0], "model"])


def test_a_majority_needs_no_probabilities_and_a_mean_does():
    models = [model(*p, loss=dl.MulticlassHinge) for p in ([0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.01, 0.9, 0.09])]
    majority = dl.Ensemble(models, vote="majority")
    assert majority.predict(X).tolist() == [0] * 4
    assert np.allclose(majority.predict_proba(X)[0], [2 / 3, 1 / 3, 0])
    assert majority.evaluate(dl.Dataset(X, [0, 0, 0, 1])) == {"accuracy": 0.75}
    with pytest.raises(dl.InputError, match=r"models\[1\]: its loss .*MulticlassHinge.*vote='majority'"):
        dl.Ensemble([MODELS[0], models[0]])


def test_sigmoids_are_averaged_without_scaling():
    models = [model(*p, loss=dl.SigmoidCrossEntropy) for p in ([1.0, 3.0], [1.0, 1.0])]  # p / (1 + p)
    assert np.allclose(dl.Ensemble(models).predict_proba(X)[0], [0.5, 0.625])
    assert dl.Ensemble(models).predict(X).tolist() == [1] * 4


@pytest.mark.parametrize("vote", ["mean", "majority"])
@pytest.mark.parametrize("columns", [1, 2])
def test_a_model_that_predicts_no_single_class_is_refused(columns, vote):
    binary = model(*[9.0] * columns, loss=dl.BinaryCrossEntropy)
    words = rf"models\[0\]: .* one class per row, .*int64 \(4, {columns}\) from outputs .* BinaryCrossEntropy"
    with pytest.raises(dl.InputError, match=words):
        dl.Ensemble([binary], vote=vote).predict(X)
    with pytest.raises(dl.InputError, match=r"models\[0\]: (.* one class.*SquaredError|its loss)"):
        dl.Ensemble([model(0.5, 0.5, loss=SquaredError)], vote=vote).predict(X)
    with pytest.raises(dl.InputError, match=r"\(n, classes >= 2\), got .* from outputs \(4, 1\)"):
        dl.Ensemble([model(1.0)], vote=vote).predict(X)


def test_a_regression_is_no_class():
    class RowError(SquaredError):
        def predict(self, outputs):
            return outputs.mean(axis=1)

    with pytest.raises(dl.InputError, match=r"got float32 \(4,\) from outputs \(4, 2\)"):
        dl.Ensemble([model(0.5, 0.5, loss=RowError)], vote="majority").predict(X)


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_different_numbers_of_classes_are_refused(vote):
    with pytest.raises(dl.ShapeError, match=r"models with the same classes, got outputs of shapes \(4, 3\), \(4, 2\)"):
        dl.Ensemble([MODELS[0], model(0.5, 0.5)], vote=vote).predict(X)


@pytest.mark.parametrize("twin", [lambda m: m, copy.copy, lambda m: dl.Model(m.network, dl.MulticlassHinge())])
def test_the_same_model_or_network_twice_is_refused(twin):
    for _ in range(2):
        with pytest.raises(dl.InputError, match=r"take snapshots with copy.deepcopy\(model\)"):
            dl.Ensemble([MODELS[0], twin(MODELS[0])], vote="majority")
    assert dl.Ensemble([MODELS[0], copy.deepcopy(MODELS[0])]).predict(X).tolist() == [0] * 4


def test_two_networks_of_the_same_layers_are_refused_and_those_of_one_body_are_not():
    body, loss = dl.Dense(1, 3, rng=0), dl.SoftmaxCrossEntropy()
    once, again = (dl.Model(dl.Sequential(body, dl.Flatten()), loss) for _ in range(2))
    with pytest.raises(dl.InputError, match="same model or network twice"):
        dl.Ensemble([once, again])
    heads = [dl.Model(dl.Sequential(body, dl.Dense(3, 3, rng=seed)), loss) for seed in (1, 2)]
    assert dl.Ensemble(heads).predict(X).shape == (4,)
