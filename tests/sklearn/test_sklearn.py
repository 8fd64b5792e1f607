"""The scikit-learn estimators: scikit-learn's own checks, its tools, and equality with minidl's API."""

import importlib
import pickle
import sys
from functools import partial

import numpy as np
import pytest
from estimator_models import classifier, normalized, regressor, smooth

import minidl as dl

pytest.importorskip("sklearn", reason="the estimators need scikit-learn: the extra `sklearn`")

from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from minidl.sklearn import NeuralNetClassifier, NeuralNetRegressor


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


def same_models(a, b):
    return all(np.array_equal(a.weights()[name], array) for name, array in b.weights().items())


# No check is expected to fail. Some legacy checks provoke warnings, which this project turns into errors.
@pytest.mark.filterwarnings("default")
@parametrize_with_checks(
    [
        NeuralNetClassifier(classifier),
        NeuralNetClassifier(classifier, {"units": 16}, optimizer=partial(dl.SGD, momentum=0.9)),
        NeuralNetClassifier(classifier, {"dtype": np.float64}, validation_fraction=0.2),
        # float64: the last bit of a float32 product depends on the row's place in it, and the checks allow 1e-7.
        NeuralNetRegressor(regressor, {"dtype": np.float64}),
        NeuralNetRegressor(regressor, {"units": 16, "dtype": np.float64}, callbacks=[dl.EarlyStopping("loss")]),
    ]
)
def test_the_checks_of_scikit_learn(estimator, check):
    with np.errstate(divide="warn", over="warn", invalid="warn"):  # scikit-learn computes as well
        check(estimator)


def test_a_pipeline_learns_and_is_scored(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), NeuralNetClassifier(classifier, {"units": 16}, random_state=0))
    assert pipeline.fit(X, y).score(X, y) > 0.95
    probabilities = pipeline.predict_proba(X)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (pipeline.classes_[probabilities.argmax(axis=1)] == pipeline.predict(X)).all()


def test_a_grid_goes_over_arguments_of_the_factory_and_settings_of_training(iris):
    X, y = iris
    grid = {
        "neuralnetclassifier__build__units": [0, 8],
        "neuralnetclassifier__build__strength": [0.0, 10.0],
        "neuralnetclassifier__learning_rate": [0.03, 1e-6],
        "neuralnetclassifier__optimizer": [dl.Adam],
    }
    net = NeuralNetClassifier(classifier, {"units": 4}, epochs=10, random_state=0)
    search = GridSearchCV(make_pipeline(StandardScaler(), net), grid, cv=3).fit(X, y)
    assert search.best_params_["neuralnetclassifier__learning_rate"] == 0.03
    assert search.best_params_["neuralnetclassifier__build__strength"] == 0.0
    assert len(set(search.cv_results_["mean_test_score"])) > 2
    best = search.best_estimator_[-1]
    assert best.build_params == {"units": search.best_params_["neuralnetclassifier__build__units"], "strength": 0.0}
    assert len(best.model_.parameters) == (4 if best.build_params["units"] else 2)
    assert net.build_params == {"units": 4}


def test_cross_validation_in_processes_is_that_in_this_one(iris):
    net = NeuralNetClassifier(classifier, learning_rate=0.1, epochs=5, random_state=0)
    alone, together = (cross_val_score(net, *iris, cv=3, n_jobs=n) for n in (1, 2))
    assert np.array_equal(alone, together)
    assert alone.mean() > 0.6


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [7, -3], [0.0, 1.0], ["b", "a"]])
def test_labels_may_be_anything_that_has_an_order(labels, rng):
    y = np.array(labels)[rng.integers(2, size=40)]
    X = np.where(y == labels[0], -1.0, 1.0)[:, np.newaxis] + 0.1 * rng.standard_normal((40, 2))
    net = NeuralNetClassifier(classifier, learning_rate=0.1, random_state=0).fit(X, y)
    assert net.classes_.tolist() == sorted(labels)
    assert net.predict(X).dtype == y.dtype
    assert (net.predict(X) == y).all()


def test_it_is_the_plain_api_bit_for_bit(iris):
    X, y = iris
    net = NeuralNetClassifier(classifier, {"units": 8}, learning_rate=0.02, epochs=3, batch_size=20, random_state=5)
    net.fit(X, y)
    model = classifier(4, 3, np.random.default_rng(5), units=8)
    trainer = dl.Trainer(model, dl.Adam(0.02), rng=5)
    trainer.fit(dl.Dataset(X, np.unique(y, return_inverse=True)[1]), epochs=3, batch_size=20)
    assert same_models(model, net.model_)
    assert np.array_equal(net.predict_proba(X), model.predict_proba(X))
    assert net.history_["loss"] == trainer.history["loss"]
    assert net.n_iter_ == 3


@pytest.mark.parametrize(("estimator", "build"), [(NeuralNetClassifier, normalized), (NeuralNetRegressor, smooth)])
def test_a_single_row_joins_the_batch_before_it(estimator, build):
    x = np.random.default_rng(0).normal(size=(161, 5))
    y = (x[:, 0] > 0).astype(int)
    net = estimator(build, epochs=2, random_state=0)
    # Four of the five folds train on 129 rows, which are 4 batches of 32 and one row.
    assert np.isfinite(cross_val_score(net, x, y, cv=5, error_score="raise")).all()
    model = build(5, 2 if estimator is NeuralNetClassifier else 1, np.random.default_rng(0))
    targets = y if estimator is NeuralNetClassifier else y.astype(float)[:, None]
    trainer = dl.Trainer(model, dl.Adam(0.01), rng=0)
    trainer.fit(dl.Dataset(x[:129], targets[:129]), epochs=2, batch_size=32, drop_last="merge")
    assert trainer.step == 8
    assert same_models(model, net.fit(x[:129], y[:129]).model_)


def test_random_state_decides_all(iris):
    X, y = iris
    net = NeuralNetClassifier(classifier, {"units": 4}, epochs=2, validation_fraction=0.2)

    def trained(random_state):
        return clone(net).set_params(random_state=random_state).fit(X, y).model_

    assert same_models(trained(3), trained(3))
    assert same_models(trained(np.random.RandomState(3)), trained(np.random.RandomState(3)))
    assert not same_models(trained(3), trained(4))
    assert not same_models(trained(None), trained(None))


def test_a_second_fit_starts_again_and_changes_no_setting(iris):
    X, y = iris
    stopping = dl.EarlyStopping("val_loss", patience=0)
    options = {"epochs": 200, "validation_fraction": 0.3, "callbacks": [stopping], "random_state": 0}
    net = NeuralNetClassifier(classifier, learning_rate=dl.StepDecay(0.5, factor=0.5, every=50), **options)
    first = net.fit(X, y).model_
    assert net.n_iter_ == len(net.history_) < 200
    assert "val_loss" in net.history_
    second = net.fit(X, y).model_
    assert first is not second
    assert same_models(first, second)
    assert net.callbacks == [stopping]
    assert stopping.best_epoch is None


def test_clone_and_pickle(iris):
    X, y = iris
    net = NeuralNetClassifier(classifier, {"units": 8}, epochs=2, random_state=0).fit(X, y)
    twin = clone(net)
    assert not hasattr(twin, "model_")
    assert twin.get_params() == net.get_params()
    assert twin.build_params is not net.build_params
    loaded = pickle.loads(pickle.dumps(net))
    assert np.array_equal(loaded.predict_proba(X), net.predict_proba(X))
    assert np.array_equal(loaded.fit(X, y).predict_proba(X), net.predict_proba(X))


def test_settings_of_the_factory_are_settings():
    given = {"units": 8}
    net = NeuralNetClassifier(classifier, given)
    assert net.get_params()["build__units"] == 8
    assert "build__units" not in net.get_params(deep=False)
    assert net.set_params(build__units=16, build__strength=0.1, epochs=3) is net
    assert (net.build_params, net.epochs) == ({"units": 16, "strength": 0.1}, 3)
    assert given == {"units": 8}
    assert NeuralNetClassifier(classifier).set_params(build__units=1).build_params == {"units": 1}
    with pytest.raises(ValueError, match=r"Invalid parameter 'epoch' for estimator"):
        net.set_params(epoch=3)


def test_regression():
    X, y = make_regression(200, 5, noise=1.0, random_state=0)
    y /= y.std()
    net = NeuralNetRegressor(regressor, {"units": 16}, learning_rate=0.03, random_state=0).fit(X, y)
    assert net.score(X, y) > 0.95
    assert net.predict(X).shape == (200,)
    assert cross_val_score(net, X, y, cv=3, n_jobs=2).mean() > 0.9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"build": None}, "NeuralNetClassifier: expected build to be a function that returns a Model, got None"),
        ({"build_params": 3}, "NeuralNetClassifier: expected build_params to be a dict, got 3"),
        ({"build": lambda f, k, rng: None}, "expected the result of build to be a Model, got None"),
        ({"build": lambda f, k, rng: classifier(f, 2, rng)}, r"model from build with 3 outputs per row, got \(2,\)"),
        ({"build": lambda f, k, rng: classifier(f + 1, k, rng)}, r"expected x of shape \(n, 5\), got \(1, 4\)"),
        ({"optimizer": dl.Adam(0.1)}, "expected optimizer to be a class such as SGD, got Adam"),
        ({"optimizer": float}, "expected optimizer to be an Optimizer, got 0.01"),
        ({"validation_fraction": 1.0}, r"validation_fraction: expected a number in \[0, 1\), got 1.0"),
        ({"callbacks": [dl.EarlyStopping("val_loss")]}, "pass validation data"),
    ],
)
def test_a_wrong_setting_is_refused_by_fit(iris, settings, said):
    with pytest.raises(ValueError, match=said):
        NeuralNetClassifier(**{"build": classifier, **settings}).fit(*iris)


def test_a_factory_that_returns_the_same_optimizer_again_is_refused(iris):
    X, y = iris
    optimizer = dl.Adam(0.01)
    net = NeuralNetClassifier(classifier, optimizer=lambda learning_rate: optimizer, epochs=2, random_state=0).fit(X, y)
    before = net.predict(X)
    for refit in (net, clone(net)):
        with pytest.raises(ValueError, match="Make a new optimizer for each model"):
            refit.fit(X, y)
    assert (net.predict(X) == before).all()


def test_wrong_data_and_arguments_raise_the_errors_of_scikit_learn_and_python(iris):
    X, y = iris
    net = NeuralNetClassifier(classifier, epochs=1)
    with pytest.raises(TypeError, match="sample_weight"):
        net.fit(X, y, sample_weight=np.ones(len(X)))
    with pytest.raises(TypeError, match="unexpected keyword argument 'unit'"):
        clone(net).set_params(build__unit=3).fit(X, y)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        net.set_params(validation_fraction=0.5).fit(X[:1], y[:1])


def test_a_loss_without_probabilities_is_named(iris):
    def hinge(n_features, n_classes, rng):
        return dl.Model(dl.Dense(n_features, n_classes, rng=rng), dl.MulticlassHinge())

    net = NeuralNetClassifier(hinge, random_state=0).fit(*iris)
    assert net.score(*iris) > 0.6
    with pytest.raises(dl.InputError, match=r"MulticlassHinge\(\): this loss has no probabilities"):
        net.predict_proba(iris[0])


def test_without_scikit_learn_the_import_names_the_extra(monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "sklearn":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "minidl.sklearn")
    with pytest.raises(ImportError, match=r'needs scikit-learn >= 1.6; run: pip install "minidl\[sklearn\]"'):
        importlib.import_module("minidl.sklearn")
