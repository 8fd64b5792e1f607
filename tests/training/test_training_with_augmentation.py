"""Augmentation in training: an augmented image depends on the seed, the epoch and the row alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_runs import Spy

import minidl as dl
from minidl.data.augmentation import augmenter

ALL = [dl.Mirror(), dl.Shift(2), dl.RandomCrop(6, 2), dl.Cutout(3), dl.Brightness(0.5), dl.Contrast(0.5), dl.Mirror()]
N = 100


def images(n=N, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(n, 6, 6, 3)).astype(dtype)


def augmented(x, sizes, order, seed=3, epoch=1, sequence=ALL):
    """Return all of x, augmented in batches of these sizes, in this order."""
    augment, result, start = augmenter(sequence, len(x), seed, epoch), np.empty_like(x), 0
    while start < len(x):
        rows = order[start : start + sizes[start % len(sizes)]]
        result[rows] = augment(x[rows], rows)
        start += len(rows)
    return result


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_batches_of_any_size_in_any_order_give_the_same_pictures(dtype, rng):
    x = (100 * images()).astype(np.int64).astype(dtype)
    expected = augmented(x, [N], np.arange(N))
    assert (expected != x).any()
    for order in (np.arange(N), rng.permutation(N), np.arange(N)[::-1]):
        for sizes in ([1], [7], [N], [3, 1, 20]):
            np.testing.assert_array_equal(augmented(x, sizes, order), expected)


@settings(max_examples=20)
@given(st.integers(1, N), st.integers(0, 2**70), st.integers(1, 1000))
def test_rows_that_come_after_change_nothing(n, seed, epoch):
    x, rows = images(), np.arange(n)
    expected = augmenter(ALL, N, seed, epoch)(x[:n], rows)
    np.testing.assert_array_equal(augmenter(ALL, n, seed, epoch)(x[:n], rows), expected)


def shares_that_change(one, other):
    return (one != other).any(axis=(1, 2, 3)).mean()


@pytest.mark.parametrize("changed", [{"epoch": 2}, {"seed": 4}, {"sequence": [dl.Mirror(0), *ALL]}])
def test_another_epoch_seed_or_position_gives_other_pictures(changed):
    x, order = images(), np.arange(N)
    expected = augmented(x, [N], order)
    np.testing.assert_array_equal(augmented(x, [N], order), expected)
    assert shares_that_change(augmented(x, [N], order, **changed), expected) > 0.9


def test_augmentations_images_and_epochs_draw_independently():
    rows, x, y = np.arange(10_000), np.arange(10_000 * 2.0).reshape(-1, 1, 2, 1), np.ones((10_000, 1, 1, 1))
    twice = augmenter([dl.Mirror(), dl.Mirror()], len(x), 0, 1)(x, rows)
    assert abs(shares_that_change(twice, x) - 0.5) < 4.5 * 0.005  # the same draw twice would change none
    one, two = (augmenter([dl.Brightness(1)], len(y), 0, epoch)(y, rows).ravel() for epoch in (1, 2))
    for a, b in ((one[1:], one[:-1]), (one, two)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4.5 / np.sqrt(10_000)


# ---- Dataset.batches


@given(st.integers(0, 30), st.integers(1, 40), st.none() | st.integers(0, 5))
def test_a_transform_gets_copies_of_batches_and_their_row_numbers(n, batch_size, seed):
    data = dl.Dataset(np.arange(n) * 10.0, np.arange(n))

    def transform(x, rows):
        assert not np.shares_memory(x, data.x)
        np.testing.assert_array_equal(x, data.x[rows])
        return -x

    plain, changed = (list(data.batches(batch_size, seed, t)) for t in (None, transform))
    for (x, y), (x_changed, y_changed) in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(x_changed, -x)
        np.testing.assert_array_equal(y_changed, y)


# ---- Trainer.fit


def trainer():
    network = dl.Sequential(Spy(), dl.Dense(108, 2, rng=0))
    return dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.SGD(0.01), rng=5)


def numbered(n=20):
    """Return images whose first row of pixels holds the number of the image, which Mirror does not change."""
    x = images(n)
    x[:, 0] = np.arange(n, dtype=np.float32)[:, None, None]
    return dl.Dataset(x, np.arange(n) % 2)


def images_of(fitted, train=True):
    """Return the images that the network got in all batches, sorted by their numbers."""
    x = np.concatenate(fitted.model.network.layers[0].seen[train])
    return x[np.argsort(x[:, 0, 0, 0], kind="stable")]


def test_training_gets_the_images_of_its_seed_and_epoch_for_any_batch_size():
    data, sequence = numbered(), [dl.Mirror(), dl.Mirror(0.3)]
    expected = [augmenter(sequence, 20, 5, epoch)(data.x, np.arange(20)) for epoch in (1, 2)]
    assert (expected[0] != expected[1]).any()
    for batch_size in (1, 7, 20):
        fitted = trainer()
        for epoch in (1, 2):  # a second fit goes on with the second epoch
            fitted.model.network.layers[0].seen[True].clear()
            fitted.fit(data, epochs=1, batch_size=batch_size, augment=sequence)
            np.testing.assert_array_equal(images_of(fitted), expected[epoch - 1])


def test_measured_sets_are_not_augmented_and_the_training_set_is_unchanged():
    data, validation, fitted = numbered(), numbered(6), trainer()
    before = data.x.copy()
    history = fitted.fit(data, validation, epochs=1, batch_size=7, augment=[dl.Mirror(1), dl.Mirror(0.5)])
    measured = np.concatenate(fitted.model.network.layers[0].seen[False])
    pictures = {x.tobytes() for x in (*before, *validation.x)}
    assert all(x.tobytes() in pictures for x in measured)
    assert history["loss"][0] == fitted.model.evaluate(data)["loss"]
    np.testing.assert_array_equal(data.x, before)


@pytest.mark.parametrize("augment", [(), [dl.Shift(0), dl.Mirror(0)]])
def test_without_augmentation_training_is_as_before(augment):
    plain, other = trainer(), trainer()
    plain.fit(numbered(), epochs=2, batch_size=7)
    other.fit(numbered(), epochs=2, batch_size=7, augment=augment)
    for path, parameter in plain.model.parameters.items():
        np.testing.assert_array_equal(other.model.parameters[path].value, parameter.value)


NONE = [(None, "to be a seq"), ([dl.Mirror], r"\[0\] .* <class"), ([dl.Mirror(), "flip"], r"\[1\] .* got 'flip'")]


@pytest.mark.parametrize(("augment", "words"), NONE)
def test_an_invalid_augmentation_is_refused_before_training(augment, words):
    fitted = trainer()
    with pytest.raises(dl.InputError, match=f"Trainer.fit: expected augment ?{words}"):
        fitted.fit(numbered(), epochs=1, batch_size=2, augment=augment)
    assert fitted.epoch == 0


@pytest.mark.parametrize(
    ("method", "rule", "words"),
    [
        ("draw", lambda n, rng: np.zeros(n - 1, bool), "expected 20 rows, one for each image, got 19"),
        ("draw", lambda n, rng: None, "expected it to return an array, got NoneType"),
        ("apply", lambda images, draws: None, "expected it to return an array, got NoneType"),
        ("apply", lambda images, draws: images * np.float64(2), "7 images of dtype float32, got float64"),
        ("apply", lambda images, draws: images[1:], r"7 images of dtype float32, got float32 \(6, 6, 6, 3\)"),
        ("apply", lambda images, draws: images.sum(axis=3), r"7 images .* got float32 \(7, 6, 6\)"),
    ],
)
def test_a_users_own_class_is_named_in_the_error(method, rule, words):
    mine = type("Mine", (dl.Mirror,), {method: lambda self, *arguments: rule(*arguments)})()
    with pytest.raises(dl.InputError, match=f"Mine.*{method}: .*{words}"):
        trainer().fit(numbered(), epochs=1, batch_size=7, augment=[mine])
