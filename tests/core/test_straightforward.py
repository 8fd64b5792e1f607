"""Optimizations of training change only rounding: the main job against a plain loop of formulas."""

import tracemalloc

import numpy as np
import pytest
from places import peak_below

import minidl as dl
from minidl._core.randomness import keyed_generator
from minidl.nn import arithmetic as products
from minidl.training import work as work_module

ROWS, FEATURES, CLASSES, BATCH, RATE, STRENGTH, SEED = 1500, 3072, 10, 100, 0.001, 0.1, 7
NAMES = ("cost", "loss", "accuracy")


def plain_training(train, validation, weight, epochs):
    """Yield weight, bias and the metrics of each epoch, in float64, one formula a line."""
    weight, bias = weight.astype(np.float64), np.zeros(CLASSES)
    for epoch in range(1, epochs + 1):
        order = keyed_generator(SEED, "shuffle", epoch).permutation(len(train))
        for i in range(0, len(train), BATCH):
            x, y = train.x[order[i : i + BATCH]].astype(np.float64), train.y[order[i : i + BATCH]]
            d = (probabilities(x @ weight + bias) - np.eye(CLASSES)[y]) / len(y)
            weight, bias = weight - RATE * (x.T @ d + 2 * STRENGTH * weight), bias - RATE * d.sum(axis=0)
        row = {}
        for prefix, data in [("", train), ("val_", validation)]:
            p = probabilities(data.x.astype(np.float64) @ weight + bias)
            loss = -np.log(p[np.arange(len(data)), data.y]).mean()
            accuracy = (p.argmax(axis=1) == data.y).mean()
            values = loss + STRENGTH * (weight**2).sum(), loss, accuracy
            row |= {prefix + name: value for name, value in zip(NAMES, values, strict=True)}
        yield weight, bias, row


def probabilities(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("in_pieces", [True, False])
def test_the_main_job_gives_the_numbers_of_the_plain_loop(monkeypatch, in_pieces):
    for module in (products, work_module):  # both ways, whatever this machine would choose
        monkeypatch.setattr(module, "IN_PIECES", in_pieces)
    train, validation = (dl.datasets.synthetic_images(ROWS, rng=seed) for seed in (1, 2))
    scale = dl.Standardizer().fit(train.x)
    train, validation = train.map(scale), validation.map(scale)
    layer = dl.Dense(FEATURES, CLASSES, weight_init=dl.Normal(0.01), rng=42)
    start = layer.weight.value.copy()
    trainer = dl.Trainer(dl.Model(layer, dl.SoftmaxCrossEntropy(), dl.L2(STRENGTH)), dl.SGD(RATE), rng=SEED)
    for weight, bias, expected in plain_training(train, validation, start, epochs=4):
        row = trainer.fit(train, validation, epochs=1, batch_size=BATCH).rows[-1]
        np.testing.assert_allclose(layer.weight.value, weight, rtol=0, atol=2e-6 * np.abs(weight).max())
        np.testing.assert_allclose(layer.bias.value, bias, rtol=0, atol=1e-7)
        for name, value in expected.items():
            # If the two largest outputs of a row are equal up to rounding, either class is correct.
            atol = 1.5 / ROWS if name.endswith("accuracy") else 0
            np.testing.assert_allclose(row[name], value, rtol=2e-6, atol=atol, err_msg=name)


def test_memory_does_not_grow_over_epochs():
    rng = np.random.default_rng(0)
    train = dl.Dataset(rng.normal(size=(600, FEATURES)).astype(np.float32), rng.integers(CLASSES, size=600))
    trainer = dl.Trainer(dl.Model(dl.Dense(FEATURES, CLASSES, rng=0), dl.SoftmaxCrossEntropy()), dl.SGD(RATE), rng=0)
    trainer.fit(train, train, epochs=2, batch_size=BATCH)  # caches fill
    held, batch_bytes = [], BATCH * FEATURES * 4
    # This batch, the next one, and one block of the evaluation.
    with peak_below(4 * batch_bytes):
        for _ in range(4):
            trainer.fit(train, train, epochs=3, batch_size=BATCH)
            held.append(tracemalloc.get_traced_memory()[0])
    # A few rows of the history.
    assert held[-1] - held[0] < 50_000
