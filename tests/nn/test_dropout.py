import copy
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl

RATES = pytest.mark.parametrize("rate", [0.1, 0.5, 0.875])
ONES = np.ones((40, 25), np.float32)


def masks(layer, forwards, x=ONES):
    return [layer.forward(x, train=True) != 0 for _ in range(forwards)]


# ---- results


@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    dtype=st.sampled_from([np.float32, np.float64]),
    rows=st.integers(0, 4),
    order=st.sampled_from("CF"),
)
def test_an_entry_is_dropped_or_scaled_and_so_is_its_gradient(seed, rate, dtype, rows, order):
    layer, x = dl.Dropout(rate, rng=seed), np.arange(1, 6 * rows + 1, dtype=dtype).reshape((rows, 6), order=order)
    y = layer.forward(x, train=True)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - rate), rtol=1e-6)
    dy = np.cos(x)
    np.testing.assert_allclose(layer.backward(dy), np.where(kept, dy / (1 - rate), 0), rtol=1e-6)


# ---- statistics: a seeded draw, and a bar of five standard deviations


@RATES
def test_every_entry_is_dropped_equally_often(rate):
    layer, forwards = dl.Dropout(rate, rng=7), 2000
    kept = np.sum(masks(layer, forwards, np.ones((5, 4), np.float32)), axis=0)
    assert np.abs(kept - forwards * (1 - rate)).max() <= 5 * np.sqrt(forwards * rate * (1 - rate))


def test_consecutive_masks_are_independent():
    drawn = masks(dl.Dropout(0.5, rng=8), 20)
    for one, next_one in pairwise(drawn):
        assert abs(int((one == next_one).sum()) - ONES.size / 2) <= 5 * np.sqrt(ONES.size) / 2


# ---- runs


def test_a_generator_gives_each_layer_its_own_seed():
    generators = np.random.default_rng(3), np.random.default_rng(3)
    (a, b), (c, d) = ([dl.Dropout(0.5, rng=g) for _ in range(2)] for g in generators)
    np.testing.assert_array_equal(masks(a, 2), masks(c, 2))
    np.testing.assert_array_equal(masks(b, 2), masks(d, 2))
    assert a.seed != b.seed


def test_no_seed_gives_a_random_seed_without_using_the_global_state():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - the test shows that it is not used
    assert not np.array_equal(masks(dl.Dropout(0.5), 1), masks(dl.Dropout(0.5), 1))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_a_run_is_resumed_from_the_buffer():
    whole = masks(dl.Dropout(0.5, rng=4), 5)
    resumed = dl.Dropout(0.5, rng=4)
    resumed.named_buffers()["forwards"][...] = 3
    np.testing.assert_array_equal(masks(resumed, 2), whole[3:])


def test_prediction_and_backward_draw_nothing():
    layer, undisturbed = dl.Dropout(0.5, rng=4), dl.Dropout(0.5, rng=4)
    for expected in masks(undisturbed, 3):
        y = layer.forward(ONES, train=True)
        np.testing.assert_array_equal(y != 0, expected)
        assert layer.forward(ONES) is ONES
        layer.backward(ONES)
    assert layer.forwards == 3


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda layer: layer.astype(np.float64)])
def test_a_copy_continues_the_same_sequence_even_in_another_dtype(twin_of):
    layer = dl.Dropout(0.3, rng=4)
    # A float64 counter could not count beyond this.
    layer.forwards[...] = 2**53
    twin = twin_of(layer)
    one, other = masks(layer, 2)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(masks(twin, 2, ONES.astype(np.float64)), [one, other])
