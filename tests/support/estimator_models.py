"""Functions that build models for estimators, in a module that other processes can import, too."""

import numpy as np

import minidl as dl


def layers(n_features, n_outputs, rng, units=0, dtype=np.float32):
    if not units:
        return dl.Dense(n_features, n_outputs, rng=rng, dtype=dtype)
    hidden = dl.Dense(n_features, units, rng=rng, dtype=dtype)
    return dl.Sequential(hidden, dl.ReLU(), dl.Dense(units, n_outputs, rng=rng, dtype=dtype))


def classifier(n_features, n_classes, rng, strength=0.0, **options):
    return dl.Model(layers(n_features, n_classes, rng, **options), dl.SoftmaxCrossEntropy(), dl.L2(strength))


def regressor(n_features, n_outputs, rng, **options):
    return dl.Model(layers(n_features, n_outputs, rng, **options), dl.MeanSquaredError())


def normalized(n_features, n_classes, rng):
    network = dl.Sequential(
        dl.Dense(n_features, 8, rng=rng), dl.BatchNorm(8), dl.ReLU(), dl.Dense(8, n_classes, rng=rng)
    )
    return dl.Model(network, dl.SoftmaxCrossEntropy())


def smooth(n_features, n_outputs, rng):
    network = dl.Sequential(dl.BatchNorm(n_features), dl.Dense(n_features, n_outputs, rng=rng))
    return dl.Model(network, dl.MeanSquaredError())
