"""find_learning_rate: it suggests a rate that trains if something can be learned, and no rate for noise."""

from functools import cache

import numpy as np
import pytest

import minidl as dl


def seeds(few, many=40):
    """Return some seeds, and more of them for the nightly run."""
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(few, many))]


@cache
def pictures():
    data = dl.datasets.synthetic_images(1500)
    return data.map(dl.Standardizer().fit(data.x))


def main_job(seed, weight_init=None):
    return dl.Model(dl.Sequential(dl.Dense(3072, 10, weight_init=weight_init, rng=seed)), dl.SoftmaxCrossEntropy())


def loss_after(rate, batch_size):
    """Return the loss of the main job's network after two epochs."""
    trainer = dl.Trainer(main_job(0), dl.SGD(rate), rng=1)
    return trainer.fit(pictures(), epochs=2, batch_size=batch_size)["loss"][-1]


@cache
def goal(batch_size):
    """Return the loss after half of the best improvement in two epochs."""
    best = min(loss_after(rate, batch_size) for rate in (1e-3, 3e-3, 1e-2))
    return (main_job(0).evaluate(pictures())["loss"] + best) / 2


@pytest.mark.parametrize("weight_init", [None, dl.Normal(0.01)], ids=["Xavier", "small"])
@pytest.mark.parametrize("batch_size", [4, 10, 32, 100])
@pytest.mark.parametrize("seed", seeds(2, 15))
def test_a_fresh_network_gets_a_rate_that_trains(seed, batch_size, weight_init):
    trainer = dl.Trainer(main_job(seed, weight_init), dl.SGD(0.001), rng=seed)
    found = dl.find_learning_rate(trainer, pictures(), batch_size=batch_size)
    assert 1e-5 < found.suggestion < 1e-2
    assert loss_after(found.suggestion, batch_size) < goal(batch_size)


@pytest.mark.parametrize("weight_init", [None, dl.Normal(0.01)], ids=["Xavier", "small"])
@pytest.mark.parametrize("seed", seeds(4))
def test_labels_unrelated_to_x_give_no_suggestion(seed, weight_init):
    data = dl.Dataset(pictures().x, np.random.default_rng(seed).permutation(pictures().y))
    trainer = dl.Trainer(main_job(seed, weight_init), dl.SGD(0.001), rng=seed)
    found = dl.find_learning_rate(trainer, data, batch_size=5)
    assert found.suggestion is None
    assert str(found).startswith("no suggestion: the loss fell at no learning rate")


def mlp_data(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, 5))
    return dl.Dataset(x, (x[:, :3] + rng.normal(size=(600, 3))).argmax(axis=1))


def mlp(seed, *between):
    weights = np.random.default_rng(seed)
    network = dl.Sequential(dl.Dense(5, 16, rng=weights), *between, dl.ReLU(), dl.Dense(16, 3, rng=weights))
    return dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.Adam(0.01), rng=seed)


@pytest.mark.parametrize("seed", seeds(4))
def test_after_training_there_is_no_rate_below_the_sweep(seed):
    trainer, data = mlp(seed), mlp_data(seed)
    fresh = dl.find_learning_rate(trainer, data, batch_size=32)
    assert 1e-3 < fresh.suggestion < 0.1
    before = trainer.fit(data, epochs=10, batch_size=32)["loss"][-1]
    found = dl.find_learning_rate(trainer, data, batch_size=32)
    if found.suggestion is not None:
        assert 1e-6 <= found.suggestion <= 10
        trainer.optimizer.learning_rate = found.suggestion
        assert trainer.fit(data, epochs=5, batch_size=32)["loss"][-1] < before


def test_a_suggestion_is_never_below_the_sweep():
    found = dl.find_learning_rate(mlp(0), mlp_data(0), lowest=0.05, batch_size=32)
    assert found.suggestion == 0.05
    assert "pass a smaller lowest=" in str(found)


@pytest.mark.parametrize("layer", [dl.BatchNorm(16), dl.Dropout(0.3, rng=1), dl.LayerNorm(16)], ids=repr)
def test_running_statistics_and_dropout_do_not_count_as_learning(layer):
    trainer, data = mlp(0, layer), mlp_data(0)
    assert dl.find_learning_rate(trainer, data, batch_size=32).suggestion > 1e-3
    other = dl.Dataset(data.x, np.random.default_rng(0).permutation(data.y))
    assert dl.find_learning_rate(trainer, other, batch_size=32).suggestion is None


@pytest.mark.parametrize("loss", [dl.MeanSquaredError(), dl.Huber(), dl.MeanAbsoluteError()], ids=repr)
def test_a_regression_gets_a_rate_for_any_mean_of_its_targets(loss):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 5))
    trainer = dl.Trainer(dl.Model(dl.Dense(5, 1, rng=0), loss), dl.SGD(0.1), rng=0)
    for mean in (0.0, 3.0):
        assert dl.find_learning_rate(trainer, dl.Dataset(x, mean + x[:, :1]), batch_size=20).suggestion > 1e-3
        noise = dl.Dataset(x, mean + rng.normal(size=(500, 1)))
        assert dl.find_learning_rate(trainer, noise, batch_size=20).suggestion is None


@pytest.mark.parametrize("rows", [1, 2, 9, 39, 40, 45])
def test_few_rows_are_used_for_training_and_measuring(rows):
    found = dl.find_learning_rate(mlp(0, dl.LayerNorm(16)), mlp_data(0)[:rows])
    assert found.suggestion is None or 1e-6 <= found.suggestion <= 10
    assert np.isfinite(found.held_out[0])
