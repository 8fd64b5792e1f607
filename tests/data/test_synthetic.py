"""Synthetic images."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from minidl._core.errors import InputError
from minidl.data.datasets import synthetic_images


def test_the_form_is_that_of_cifar10_and_every_class_is_equally_frequent_to_one():
    data = synthetic_images(1234, rng=1)
    assert (data.x.shape, data.x.dtype, data.y.dtype) == ((1234, 3072), np.uint8, np.int64)
    assert (len(data.class_names), data.name, data.source) == (10, "synthetic images", "drawn by minidl")
    counts = np.bincount(data.y, minlength=10)
    assert counts.min() >= counts.max() - 1


def test_the_same_seed_gives_the_same_bits_in_another_process():
    code = (
        "import hashlib; from minidl.data.datasets import synthetic_images as s; d = s(600, rng=7);"
        "print(hashlib.sha256(d.x.tobytes() + d.y.tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    here = synthetic_images(600, rng=7)
    assert there == hashlib.sha256(here.x.tobytes() + here.y.tobytes()).hexdigest()


def test_two_seeds_share_no_picture():
    one, two = ({row.tobytes() for row in synthetic_images(200, rng=seed).x} for seed in (1, 2))
    assert len(one) == 200
    assert not one & two


def test_colour_alone_does_not_separate_the_classes_of_shapes():
    data = synthetic_images(1000, rng=3)
    colours = data.x.reshape(1000, 3, 1024).mean(axis=2)
    means = np.array([colours[data.y == k].mean(axis=0) for k in range(10)])
    assert (means.max(axis=0) - means.min(axis=0) < 60).all()


def test_one_layer_learns_about_half_of_it():
    train, test = synthetic_images(2000, rng=1), synthetic_images(1000, rng=2)
    mean, std = train.x.mean(axis=0), train.x.std(axis=0)
    x, x_test = (((d.x - mean) / std).astype(np.float32) for d in (train, test))
    weight, one_hot = np.zeros((3072, 10), np.float32), np.eye(10, dtype=np.float32)[train.y]
    for _ in range(8):
        for start in range(0, 2000, 200):
            rows = slice(start, start + 200)
            exp = np.exp(x[rows] @ weight)
            weight -= 0.01 * x[rows].T @ (exp / exp.sum(axis=1, keepdims=True) - one_hot[rows]) / 200
    assert 0.35 < ((x_test @ weight).argmax(axis=1) == test.y).mean() < 0.65


@pytest.mark.parametrize(
    ("n", "rng", "message"),
    [*((n, 0, "n: expected an integer >= 1") for n in (0, -1, 2.5, True, "many")), (5, -1, "rng")],
)
def test_invalid_counts_and_seeds_are_refused(n, rng, message):
    with pytest.raises(InputError, match=message):
        synthetic_images(n, rng=rng)
